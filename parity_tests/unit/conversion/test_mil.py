"""The interpreter of Core ML packages: programs are built operator by operator, saved, read back and compared with
NumPy and torch; damage to any part of a package is seen."""

from __future__ import annotations

import json
import logging
import shutil
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auparity.errors import AuparityError, ContractError, ModelFormatError, VariantUnavailable

ct = pytest.importorskip("coremltools")
from coremltools.converters.mil import Builder as mb  # noqa: E402
from coremltools.converters.mil.mil import get_new_symbol, types  # noqa: E402
from coremltools.proto import MIL_pb2, Model_pb2  # noqa: E402

from auparity.conversion.mil.arithmetic import Arithmetic  # noqa: E402
from auparity.conversion.mil.interpreter import Program  # noqa: E402
from auparity.conversion.mil.ops import OPERATORS  # noqa: E402
from auparity.conversion.mil.program import Range  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # the exporter's
few = settings(max_examples=5, deadline=None, derandomize=True)
MODEL, WEIGHTS = "Data/com.apple.CoreML/model.mlmodel", "Data/com.apple.CoreML/weights/weight.bin"
#: Float16 has 11 bits: half a unit in the last place, relatively.
HALF = 2.0**-11


@pytest.fixture(autouse=True, scope="module")
def _quiet():
    logging.getLogger("coremltools").setLevel(logging.ERROR)


def save(folder, body, *shapes, dtype=types.fp32, precision="FLOAT32", target="macOS13"):
    """Save the program that `body` builds from inputs a, b, ... of these shapes."""
    specs = [mb.TensorSpec(shape=shape, dtype=dtype) for shape in shapes]
    names = "abcdef"[: len(shapes)]
    scope: dict = {"body": body}
    exec(f"def program({', '.join(names)}):\n    return body({', '.join(names)})", scope)  # the builder reads the names
    program = mb.program(input_specs=specs, opset_version=getattr(ct.target, target))(scope["program"])
    model = ct.convert(
        program, convert_to="mlprogram", compute_precision=getattr(ct.precision, precision), skip_model_load=True,
        minimum_deployment_target=getattr(ct.target, target),
    )  # fmt: skip
    model.author, model.license, model.short_description = "somebody", "Apache-2.0", "a test"
    model.user_defined_metadata["bundle"] = "abc"
    path = Path(folder) / "program.mlpackage"
    shutil.rmtree(path, ignore_errors=True)
    model.save(str(path))
    return path


def execute(body, *arrays, accumulate="float32", uses=(), **options):
    """Outputs, in order, of a saved and loaded program for these arrays; `uses` must be among its operators."""
    with tempfile.TemporaryDirectory() as folder:
        program = Program.load(save(folder, body, *(array.shape for array in arrays), **options))
    assert set(uses) <= set(program.operators)
    found = program.run(dict(zip("abcdef", arrays, strict=False)), accumulate)
    return list(found.values())


def edit(path, change):
    """Change the specification of a package."""
    model = Model_pb2.Model()
    model.ParseFromString((path / MODEL).read_bytes())
    change(model)
    (path / MODEL).write_bytes(model.SerializeToString())


def operation(model, kind):
    (function,) = model.mlProgram.functions.values()
    return next(op for op in function.block_specializations[function.opset].operations if op.type == kind)


def numbers(seed, *shape, scale=1.0):
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


@pytest.fixture
def package(tmp_path):
    """A small network of 3 x 4 weights, 4 biases inline, and 4 x 20 weights."""

    def body(a):
        hidden = mb.relu(x=mb.linear(x=a, weight=np.abs(numbers(1, 4, 3)), bias=numbers(2, 4)))
        return mb.linear(x=hidden, weight=numbers(3, 20, 4), bias=numbers(4, 20), name="out")

    return save(tmp_path, body, (2, 3))


# What a program says --------------------------------------------------------------------------------------------------


def test_a_program_tells_what_it_is(package):
    program = Program.load(package)
    assert {name: (str(k.dtype), k.shape) for name, k in program.inputs.items()} == {"a": ("float32", (2, 3))}
    assert {name: (str(k.dtype), k.shape) for name, k in program.outputs.items()} == {"out": ("float32", (2, 20))}
    assert (program.opset, program.specification_version) == ("CoreML6", 7)
    assert program.operators == {"linear": 2, "relu": 1}
    assert (program.parameters.count, program.parameters.bytes) == (12 + 4 + 80 + 20, 4 * 116)
    said = program.metadata
    assert (said.author, said.license, said.short_description) == ("somebody", "Apache-2.0", "a test")
    assert said.user_defined["bundle"] == "abc"


def test_the_network_of_the_package_computes_what_it_should(package):
    x = numbers(9, 2, 3)
    hidden = np.maximum(x.astype(np.float64) @ np.abs(numbers(1, 4, 3)).T + numbers(2, 4), 0)
    expected = hidden @ numbers(3, 20, 4).T + numbers(4, 20)
    np.testing.assert_allclose(Program.load(package).run({"a": x})["out"], expected, rtol=1e-5, atol=1e-6)


# Operators ------------------------------------------------------------------------------------------------------------

UNARY = {
    "abs": np.abs, "ceil": np.ceil, "exp": np.exp, "floor": np.floor, "relu": lambda x: np.where(x > 0, x, 0.0),
    "round": np.rint, "sigmoid": lambda x: np.exp(x) / (np.exp(x) + 1), "square": lambda x: x * x, "tanh": np.tanh,
    "sign": np.sign,
}  # fmt: skip
POSITIVE = {"log": np.log, "rsqrt": lambda x: x**-0.5, "sqrt": np.sqrt}
BINARY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "real_div": np.divide, "maximum": np.maximum,
    "minimum": np.minimum,
}  # fmt: skip
COMPARED = {
    "greater": np.greater, "greater_equal": np.greater_equal, "less": np.less, "less_equal": np.less_equal,
    "equal": np.equal, "not_equal": np.not_equal,
}  # fmt: skip
shapes = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


@few
@given(shapes, st.sampled_from(["FLOAT32", "FLOAT16"]), st.integers(0, 99))
def test_functions_of_one_argument(shape, precision, seed):
    x = numbers(seed, *shape, scale=2).astype(np.float16).astype(np.float32)
    x.flat[0] = 2.5  # halves go to the even number
    positive = (np.abs(x) + np.float32(0.25)).astype(np.float16).astype(np.float32)

    def body(a, b):
        return *(getattr(mb, name)(x=a) for name in UNARY), *(getattr(mb, name)(x=b) for name in POSITIVE)

    found = execute(body, x, positive, precision=precision, uses=[*UNARY, *POSITIVE])
    tolerance = 1.01 * HALF if precision == "FLOAT16" else 1e-6
    references = [f(x.astype(float)) for f in UNARY.values()] + [f(positive.astype(float)) for f in POSITIVE.values()]
    for name, one, other in zip([*UNARY, *POSITIVE], found, references, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=2e-7, err_msg=name)
        rounded = one.astype(np.float16).astype(np.float32)
        assert precision == "FLOAT32" or (one == rounded).all(), f"{name} is not rounded to float16"


@few
@given(shapes, st.sampled_from(["FLOAT32", "FLOAT16"]), st.integers(0, 99), st.booleans())
def test_functions_of_two_arguments_broadcast(shape, precision, seed, single):
    x, y = (numbers(seed + k, *shape).astype(np.float16).astype(np.float32) for k in (0, 1))
    y = y[..., :1] if single else y
    y.flat[0] = x.flat[0]

    def body(a, b):
        compared = [mb.cast(x=getattr(mb, name)(x=a, y=b), dtype="fp32") for name in COMPARED]
        return *(getattr(mb, name)(x=a, y=b) for name in BINARY), *compared

    found = execute(body, x, y, precision=precision, uses=[*BINARY, *COMPARED, "cast"])
    tolerance = 1.01 * HALF if precision == "FLOAT16" else 1e-6
    references = [function(x.astype(float), y.astype(float)) for function in (*BINARY.values(), *COMPARED.values())]
    for name, one, other in zip([*BINARY, *COMPARED], found, references, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=6e-8, err_msg=name)


@few
@given(st.integers(0, 99), st.floats(0.5, 3, width=16))
def test_pow_clip_prelu_select(seed, exponent):
    x, slopes = numbers(seed, 2, 3, 4, 5), numbers(seed + 1, 3)

    def body(a):
        power = mb.pow(x=mb.abs(x=a), y=np.float32(exponent))
        chosen = mb.select(cond=mb.greater(x=a, y=0.1), a=a, b=power)
        return (
            power,
            mb.clip(x=a, alpha=-0.5, beta=0.25),
            mb.prelu(x=a, alpha=slopes),
            chosen,
            mb.leaky_relu(x=a, alpha=0.1),
        )

    found = execute(body, x, uses=["pow", "clip", "prelu", "select", "greater", "leaky_relu"])
    power = np.abs(x.astype(float)) ** exponent
    expected = (
        power, np.clip(x, -0.5, 0.25), np.where(x > 0, x, x * slopes[:, None, None]), np.where(x > 0.1, x, power),
        np.where(x > 0, x, x * 0.1),
    )  # fmt: skip
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-6, atol=1e-7)


REDUCED = {
    "reduce_sum": np.sum, "reduce_mean": np.mean, "reduce_max": np.max, "reduce_min": np.min,
    "reduce_sum_square": lambda x, **k: np.sum(x * x, **k),
    "reduce_l2_norm": lambda x, **k: np.sqrt(np.sum(x * x, **k)),
}  # fmt: skip


@few
@given(
    st.tuples(*[st.integers(1, 5)] * 3), st.sets(st.integers(-3, -1), min_size=1), st.booleans(),
    st.sampled_from([("FLOAT32", "float32"), ("FLOAT16", "float32"), ("FLOAT16", "float16")]), st.integers(0, 99),
)  # fmt: skip
def test_reductions_and_softmax(shape, axes, keep, precision, seed):
    x = numbers(seed, *shape).astype(np.float16).astype(np.float32)

    def body(a):
        reduced = [getattr(mb, name)(x=a, axes=sorted(axes), keep_dims=keep) for name in REDUCED]
        return *reduced, mb.softmax(x=a, axis=1)

    found = execute(body, x, precision=precision[0], accumulate=precision[1])
    wide, how = x.astype(float), {"axis": tuple(axes), "keepdims": keep}
    expected = [function(wide, **how) for function in REDUCED.values()]
    expected.append(np.exp(wide) / np.exp(wide).sum(axis=1, keepdims=True))
    steps = {"FLOAT32": 1e-6, "FLOAT16": 4 * HALF}[precision[0]] * (x.size if precision[1] == "float16" else 1)
    for name, one, other in zip([*REDUCED, "softmax"], found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=steps, atol=steps, err_msg=name)


@few
@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 4), st.booleans(), st.booleans(), st.integers(0, 99))
def test_products(rows, inner, columns, turned_x, turned_y, seed):
    x = numbers(seed, 3, *((inner, rows) if turned_x else (rows, inner)))
    y = numbers(seed + 1, 2, 1, *((columns, inner) if turned_y else (inner, columns)))
    weights, bias, matrix = numbers(seed + 2, 5, x.shape[-1]), numbers(seed + 3, 5), numbers(seed + 4, inner, columns)
    vector = numbers(seed + 5, inner)

    def body(a, b, c):
        product = mb.matmul(x=a, y=b, transpose_x=turned_x, transpose_y=turned_y)
        return product, mb.linear(x=a, weight=weights, bias=bias), mb.matmul(x=vector, y=c)

    product, linear, row = execute(body, x, y, matrix, uses=["matmul", "linear"])
    first, second = (np.swapaxes(v, -1, -2) if turn else v for v, turn in ((x, turned_x), (y, turned_y)))
    np.testing.assert_allclose(product, first.astype(float) @ second, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(linear, x.astype(float) @ weights.T + bias, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(row, vector.astype(float) @ matrix, rtol=1e-5, atol=1e-5)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    st.tuples(st.integers(5, 9), st.integers(5, 9)), st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)), st.tuples(st.integers(1, 2), st.integers(1, 2)),
    st.sampled_from(["valid", "same", "same_lower", "custom"]), st.sampled_from([1, 2]), st.booleans(),
    st.integers(0, 99),
)  # fmt: skip
def test_convolutions_as_torch_computes_them(size, kernel, stride, dilation, pad_type, groups, biased, seed):
    torch = pytest.importorskip("torch")
    x, weights, bias = numbers(seed, 2, 4, *size), numbers(seed + 1, 6, 4 // groups, *kernel), numbers(seed + 2, 6)
    pad = [1, 0, 2, 1] if pad_type == "custom" else [0] * 4
    if pad_type.startswith("same"):  # ceil(length / stride) outputs; the odd value at the end, or at the start
        for axis in (0, 1):
            extent = (kernel[axis] - 1) * dilation[axis] + 1
            needed = max((-(-size[axis] // stride[axis]) - 1) * stride[axis] + extent - size[axis], 0)
            small, large = needed // 2, (needed + 1) // 2
            pad[2 * axis : 2 * axis + 2] = [small, large] if pad_type == "same" else [large, small]

    def body(a):
        more = {"pad": pad} if pad_type == "custom" else {}
        more |= {"bias": bias} if biased else {}
        return mb.conv(
            x=a, weight=weights, strides=stride, dilations=dilation, groups=groups, pad_type=pad_type, **more
        )  # fmt: skip

    (found,) = execute(body, x, uses=["conv"])
    padded = torch.nn.functional.pad(torch.from_numpy(x), (pad[2], pad[3], pad[0], pad[1])).double()
    expected = torch.nn.functional.conv2d(
        padded, torch.from_numpy(weights).double(), torch.from_numpy(bias).double() if biased else None, stride,
        dilation=dilation, groups=groups,
    )  # fmt: skip
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-5)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    st.tuples(st.integers(4, 9), st.integers(4, 9)), st.tuples(st.integers(2, 3), st.integers(2, 3)),
    st.integers(1, 2), st.sampled_from([0, 1]), st.booleans(), st.integers(0, 99),
)  # fmt: skip
def test_max_pooling_as_torch_computes_it(size, kernel, stride, pad, ceil_mode, seed):
    torch = pytest.importorskip("torch")
    x = numbers(seed, 2, 3, *size) - 5  # padding with zeros would win

    def body(a):
        return mb.max_pool(
            x=a, kernel_sizes=kernel, strides=[stride] * 2, pad_type="custom", pad=[pad] * 4, ceil_mode=ceil_mode
        )

    (found,) = execute(body, x, uses=["max_pool"])
    expected = torch.nn.functional.max_pool2d(torch.from_numpy(x), kernel, stride, pad, ceil_mode=ceil_mode)
    np.testing.assert_array_equal(found, expected.numpy())


def test_pooling_of_the_same_size_and_normalisation():
    x, (mean, gamma, beta) = numbers(1, 2, 3, 5, 4), (numbers(k, 3) for k in (2, 3, 4))

    def body(a):
        pooled = mb.max_pool(x=a, kernel_sizes=[2, 3], strides=[2, 1], pad_type="same")
        return pooled, mb.batch_norm(x=a, mean=mean, variance=np.exp(gamma), gamma=gamma, beta=beta)

    pooled, normal = execute(body, x, uses=["max_pool"])  # the exporter folds or keeps the normalisation
    padded = np.pad(x, [(0, 0), (0, 0), (0, 1), (1, 1)], constant_values=-np.inf)
    expected = [[padded[:, :, 2 * i : 2 * i + 2, j : j + 3].max((2, 3)) for j in range(4)] for i in range(3)]
    np.testing.assert_array_equal(pooled, np.moveaxis(expected, (0, 1), (2, 3)))
    tall = [v[:, None, None].astype(float) for v in (mean, np.exp(gamma), gamma, beta)]
    np.testing.assert_allclose(
        normal, (x - tall[0]) / np.sqrt(tall[1] + 1e-5) * tall[2] + tall[3], rtol=1e-5, atol=1e-6
    )


@few
@given(
    st.tuples(*[st.integers(2, 6)] * 2), st.booleans(),
    st.sampled_from([("FLOAT32", "float32"), ("FLOAT16", "float32"), ("FLOAT16", "float16")]), st.integers(0, 99),
)  # fmt: skip
def test_instance_norms(size, scaled, precision, seed):
    x = numbers(seed, 2, 3, *size).astype(np.float16).astype(np.float32)
    gamma, beta = numbers(seed + 1, 3).astype(np.float16), numbers(seed + 2, 3).astype(np.float16)
    more = {"gamma": np.float32(gamma), "beta": np.float32(beta)} if scaled else {}

    def body(a):
        return mb.instance_norm(x=a, epsilon=np.float32(1e-3), **more)

    (found,) = execute(body, x, uses=["instance_norm"], precision=precision[0], accumulate=precision[1])
    wide = x.astype(float)
    centred = wide - wide.mean((2, 3), keepdims=True)
    expected = centred / np.sqrt((centred**2).mean((2, 3), keepdims=True) + 1e-3)
    if scaled:
        expected = expected * gamma.astype(float)[:, None, None] + beta.astype(float)[:, None, None]
    # Halves: the program's epsilon is one, too; step by step up to 36 squares are summed in halves.
    tolerance = {"FLOAT32": 2e-6, "FLOAT16": 4 * HALF if precision[1] == "float32" else 40 * HALF}[precision[0]]
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


@few
@given(st.tuples(*[st.integers(1, 5)] * 2), st.tuples(*[st.integers(1, 3)] * 2), st.integers(0, 99))
def test_larger_maps_repeat_their_values(size, factors, seed):
    torch = pytest.importorskip("torch")
    x = numbers(seed, 2, 3, *size)

    def body(a):
        larger = mb.upsample_nearest_neighbor(x=a, scale_factor_height=factors[0], scale_factor_width=factors[1])
        return mb.relu(x=larger)

    (found,) = execute(body, x, uses=["upsample_nearest_neighbor"] if factors != (1, 1) else [])
    expected = torch.nn.functional.interpolate(torch.from_numpy(x), scale_factor=factors, mode="nearest")
    np.testing.assert_array_equal(found, np.maximum(expected.numpy(), 0))


def test_a_pooling_window_outside_of_the_values_is_an_error():
    with pytest.raises(ModelFormatError, match=r"max_pool.*outside"):
        execute(lambda a: mb.max_pool(x=a, kernel_sizes=[1, 1], strides=[3, 3], pad_type="valid", ceil_mode=True),
                numbers(0, 1, 1, 3, 3))  # fmt: skip


@few
@given(st.tuples(*[st.integers(2, 5)] * 3), st.permutations([0, 1, 2]), st.integers(0, 99))
def test_shapes(shape, order, seed):
    x, y = numbers(seed, *shape), numbers(seed + 1, *shape)

    def body(a, b):
        first, second = mb.split(x=a, split_sizes=[1, shape[1] - 1], axis=1)
        return (
            mb.reshape(x=a, shape=[0, -1, 1]), mb.transpose(x=a, perm=order),
            mb.squeeze(x=mb.expand_dims(x=a, axes=[0, -1]), axes=[-1]), mb.concat(values=[a, b], axis=-2),
            mb.concat(values=[a, b], axis=1, interleave=True), mb.stack(values=[a, b], axis=1), first, second,
            *mb.split(x=mb.concat(values=[a, b], axis=2), num_splits=2, axis=2),
            mb.slice_by_index(
                x=a, begin=[1, -1, 0], end=[9, 0, 1], stride=[1, -1, 1], begin_mask=[False] * 3,
                end_mask=[False, True, False], squeeze_mask=[False, False, True],
            ),
            mb.slice_by_size(x=a, begin=[1, 0, -1], size=[1, -1, 1]), mb.gather(x=a, indices=[[1, 0], [-1, 1]], axis=1),
            mb.tile(x=a, reps=[1, 2, 3]),
            mb.pad(x=a, pad=[1, 0, 0, 2], mode="constant", constant_val=3.0), mb.pad(x=a, pad=[1, 1], mode="reflect"),
            mb.pad(x=a, pad=[1, 2], mode="replicate"), mb.identity(x=b),
        )  # fmt: skip

    both = np.concatenate([x, y], 2)
    expected = (
        x.reshape(shape[0], -1, 1), x.transpose(order), x[None], np.concatenate([x, y], 1),
        np.stack([x, y], 2).reshape(shape[0], -1, shape[2]), np.stack([x, y], 1), x[:, :1], x[:, 1:],
        both[..., : shape[2]], both[..., shape[2] :], x[1:, ::-1, 0], x[1:2, :, -1:], x[:, [[1, 0], [-1, 1]]],
        np.tile(x, (1, 2, 3)), np.pad(x, [(0, 0), (1, 0), (0, 2)], constant_values=3),
        np.pad(x, [(0, 0), (0, 0), (1, 1)], mode="reflect"), np.pad(x, [(0, 0), (0, 0), (1, 2)], mode="edge"), y,
    )  # fmt: skip
    uses = [
        "reshape",
        "transpose",
        "concat",
        "stack",
        "split",
        "slice_by_index",
        "slice_by_size",
        "gather",
        "tile",
        "pad",
    ]
    found = execute(body, x, y, uses=uses)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_logic_and_integers():
    x = numbers(3, 2, 3, scale=4)

    def body(a):
        above, whole = mb.greater(x=a, y=1.0), mb.cast(x=a, dtype="int32")
        logic = mb.logical_and(x=above, y=mb.less(x=a, y=3.0)), mb.logical_or(x=above, y=mb.less(x=a, y=-3.0))
        sums = mb.reduce_sum(x=mb.sub(x=mb.mul(x=whole, y=3), y=1), axes=[0]), mb.gather(x=a, indices=[1, 0, 1], axis=0)
        kept = *logic, mb.logical_not(x=above), sums[0]
        return *(mb.cast(x=value, dtype="fp32") for value in kept), sums[1]

    found = execute(body, x, uses=["logical_and", "logical_or", "logical_not", "cast", "reduce_sum", "gather"])
    expected = ((x > 1) & (x < 3), (x > 1) | (x < -3), x <= 1, (np.trunc(x) * 3 - 1).sum(0), x[[1, 0, 1]])
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_forms_that_are_not_defined_are_errors():
    one, how = np.ones((2, 2, 4, 4), np.float32), Arithmetic(False, 7)
    rejected = [
        ("real_div", {"x": np.arange(3), "y": np.arange(3)}, "floating point only"),
        ("reduce_mean", {"x": np.arange(3)}, "floating point only"),
        ("cast", {"x": one, "dtype": np.array("fp64")}, "cast to fp64"),
        ("softmax", {"x": one, "axis": 4}, "axis 4 of 4"),
        ("prelu", {"x": one, "alpha": np.ones(3, np.float32)}, "values for the channels"),
        ("conv", {"x": one, "weight": np.ones((2, 2, 1, 1), np.float32), "groups": 2}, "2 groups of weights"),
        ("conv", {"x": one, "weight": one, "pad_type": "other"}, "pad_type other"),
        ("split", {"x": one, "axis": 1}, "neither"),
        ("split", {"x": one, "axis": 1, "split_sizes": np.array([1, 2])}, "out of 2"),
        ("tile", {"x": one, "reps": np.array([2])}, "repetitions"),
        ("slice_by_index", {"x": one, "begin": np.array([0]), "end": np.array([1])}, "argument|slices"),
        ("slice_by_size", {"x": one[0, 0, 0], "begin": np.array([2]), "size": np.array([3])}, "3 values from 2 of 4"),
        ("gather", {"x": one, "indices": np.array([2])}, "outside"),
        ("gather", {"x": one, "indices": np.array([0]), "batch_dims": 1}, "batch_dims"),
        ("pad", {"x": one, "pad": np.array([4, 0]), "mode": "reflect"}, "reflect padding"),
        ("upsample_nearest_neighbor", {"x": one, "scale_factor_height": np.float32(1.5)}, "whole factors only"),
        ("upsample_nearest_neighbor", {"x": one[0, 0], "scale_factor_height": np.int32(2)}, "defined here for maps"),
        ("instance_norm", {"x": np.ones((1, 2, 3, 3), int)}, "floating point only"),
        ("instance_norm", {"x": one, "gamma": np.ones(3, np.float32)}, "values for the channels"),
    ]
    for name, parameters, message in rejected:
        with pytest.raises(ValueError, match=message):
            OPERATORS[name](how, **parameters)


def test_a_reshape_with_zeros_counts_from_the_right_since_macos_14():
    x = numbers(0, 2, 50)

    def body(a):
        return mb.reshape(x=a, shape=[1, 0, -1, 0])

    (found,) = execute(body, x, target="macOS14", uses=["reshape"])
    np.testing.assert_array_equal(found, x.reshape(1, 1, 2, 50))
    with pytest.raises(ValueError, match="with 0"):
        OPERATORS["reshape"](Arithmetic(False, 7), x, np.array([1, 0, -1, 0]))


def test_indices_may_not_be_negative_since_macos_14():
    x, indices = numbers(0, 4), np.array([-1])
    assert OPERATORS["gather"](Arithmetic(False, 7), x, indices) == x[-1:]
    with pytest.raises(ValueError, match="outside"):
        OPERATORS["gather"](Arithmetic(False, 8), x, indices)


# Flexible shapes ------------------------------------------------------------------------------------------------------


def flexible(folder, upper):
    """Adds up rows; any number of them up to `upper` (no bound: -1); goes through the shape, computed in integers."""
    rows = get_new_symbol()

    def body(a):
        count = mb.slice_by_index(x=mb.shape(x=a), begin=[0], end=[1])
        zeros = mb.fill(shape=mb.concat(values=[count, np.array([4], np.int32)], axis=0), value=1.5)
        both = mb.mul(x=mb.reshape(x=a, shape=[-1, 4]), y=zeros)
        return mb.reduce_sum(x=both, axes=[1], name="sums"), mb.cast(x=count, dtype="fp32", name="count")

    path = save(folder, body, (rows, 2, 2))

    def widen(model):
        model.description.input[0].type.multiArrayType.shapeRange.sizeRanges[0].upperBound = upper

    edit(path, widen)
    return Program.load(path)


@pytest.mark.parametrize("upper", [5, -1])
def test_flexible_shapes_bind_to_what_comes(tmp_path, upper):
    program = flexible(tmp_path, upper)
    assert program.inputs["a"].shape == (Range(1, None if upper < 0 else upper), 2, 2)
    assert {"fill", "shape", "slice_by_index", "concat"} <= set(program.operators)
    for rows in (1, 5):
        x = numbers(rows, rows, 2, 2)
        found = program.run({"a": x})
        np.testing.assert_allclose(found["sums"], 1.5 * x.sum((1, 2)), rtol=1e-5, atol=1e-6)
        assert found["count"] == rows
    wrong = [(0, 2, 2), (2, 2, 3), (2, 4), *([(6, 2, 2)] if upper > 0 else [])]
    for shape in wrong:
        with pytest.raises(ContractError, match=r"float32 \(1\.\.5?, 2, 2\)"):
            program.run({"a": np.zeros(shape, np.float32)})


def test_enumerated_shapes_are_the_only_ones(package):
    def enumerate_shapes(model):
        array = model.description.input[0].type.multiArrayType
        for rows in (2, 4):
            array.enumeratedShapes.shapes.add(shape=[rows, 3])
        (function,) = model.mlProgram.functions.values()
        types_ = [function.inputs[0].type]
        types_ += [k.type for op in function.block_specializations[function.opset].operations for k in op.outputs]
        for kind in types_:
            if kind.tensorType.rank == 2 and kind.tensorType.dimensions[0].constant.size == 2:
                kind.tensorType.dimensions[0].unknown.variadic = False
        del model.description.output[0].type.multiArrayType.shape[:]

    edit(package, enumerate_shapes)
    program = Program.load(package)
    assert program.run({"a": numbers(0, 4, 3)})["out"].shape == (4, 20)
    with pytest.raises(ContractError, match=r"\(2, 3\) or \(4, 3\)"):
        program.run({"a": numbers(0, 3, 3)})


# Float16 --------------------------------------------------------------------------------------------------------------


def test_float16_sums_round_once_or_at_every_step():
    x, y = (numbers(k, 2, 300).astype(np.float16).astype(np.float32) for k in (5, 6))
    weights = numbers(7, 2, 300).astype(np.float16)

    def body(a, b):
        product = mb.matmul(x=a, y=b, transpose_y=True)
        return product, mb.linear(x=a, weight=weights.astype(np.float32)), mb.reduce_sum(x=a, axes=[1])

    def stepwise(terms):
        total = np.float16(0)
        for term in terms:
            total = np.float16(total + term)
        return total

    half_x, half_y = x.astype(np.float16), y.astype(np.float16)
    once = execute(body, x, y, precision="FLOAT16", uses=["matmul", "linear", "reduce_sum"])
    steps = execute(body, x, y, precision="FLOAT16", accumulate="float16")
    for k, other in enumerate((half_y, weights)):
        exact = half_x.astype(float) @ other.T.astype(float)
        np.testing.assert_allclose(once[k], exact, rtol=1.01 * HALF, atol=1e-5)
        np.testing.assert_array_equal(steps[k], [[stepwise(a * b) for b in other] for a in half_x])
    np.testing.assert_allclose(once[2], x.astype(float).sum(1), rtol=1.01 * HALF, atol=1e-5)
    np.testing.assert_array_equal(steps[2], [stepwise(row) for row in half_x])
    assert all((one != other).any() for one, other in zip(once, steps, strict=True))


def test_a_float16_convolution_accumulates_the_same_way():
    x = np.ones((1, 64, 6, 6), np.float32)
    weights = np.ones((1, 64, 6, 6), np.float32)
    for accumulate, expected in (("float32", 2304), ("float16", 2048)):  # 2048 + 1 is 2048 in float16
        (found,) = execute(lambda a: mb.conv(x=a, weight=weights), x, precision="FLOAT16", accumulate=accumulate)
        assert found.item() == expected


def test_products_and_sums_of_float32_values_do_not_depend_on_their_order():
    """Every BLAS kernel adds in an order of its own; a package has the same error under all of them."""
    how, order = Arithmetic(False, 7), np.random.default_rng(1).permutation(4702)
    x, y = numbers(2, 8, 4702), numbers(3, 4702, 35)
    assert not np.array_equal(x[:, order] @ y[order], x @ y)
    np.testing.assert_array_equal(how.product(x[:, order], y[order]), how.product(x, y))
    np.testing.assert_array_equal(how.total(x[:, order], [1]), how.total(x, [1]))
    assert how.product(x, y).dtype == how.total(x, [1]).dtype == np.float32


def test_a_float32_program_does_not_depend_on_the_accumulation(package):
    program, x = Program.load(package), numbers(0, 2, 3)
    assert (program.run({"a": x})["out"] == program.run({"a": x}, accumulate="float16")["out"]).all()
    with pytest.raises(AuparityError, match="accumulate='float64'"):
        program.run({"a": x}, accumulate="float64")


@pytest.mark.parametrize(("precision", "tolerance"), [("FLOAT32", 1e-6), ("FLOAT16", 2e-3)])
def test_a_network_exported_from_torch(tmp_path, precision, tolerance):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    nn = torch.nn
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.PReLU(8), nn.MaxPool2d(2, 2, ceil_mode=True), nn.Conv2d(8, 6, 2), nn.ReLU(),
        nn.Flatten(1), nn.Linear(6 * 4 * 5, 7), nn.Sigmoid(), nn.Linear(7, 4), nn.Softmax(1),
    ).eval()  # fmt: skip
    nn.init.uniform_(net[1].weight)  # equal slopes would become one operator's scalar
    x = numbers(0, 2, 3, 11, 13)
    batch = ct.RangeDim(1, 8)
    model = ct.convert(
        torch.jit.trace(net, torch.from_numpy(x)), convert_to="mlprogram", skip_model_load=True,
        inputs=[ct.TensorType("maps", (batch, 3, 11, 13), np.float32)], outputs=[ct.TensorType("p", dtype=np.float32)],
        compute_precision=getattr(ct.precision, precision), minimum_deployment_target=ct.target.macOS13,
    )  # fmt: skip
    model.save(str(tmp_path / "net.mlpackage"))
    program = Program.load(tmp_path / "net.mlpackage")
    assert program.inputs["maps"].shape == (Range(1, 8), 3, 11, 13)
    assert program.parameters.count == sum(k.numel() for k in net.parameters())
    with torch.no_grad():
        expected = net(torch.from_numpy(x)).numpy()
    errors = [np.abs(program.run({"maps": x}, how)["p"] - expected).max() for how in ("float32", "float16")]
    assert max(errors) < tolerance
    assert (errors[0] > 1e-5) == (precision == "FLOAT16")  # half precision was really computed in


# Errors ---------------------------------------------------------------------------------------------------------------


def test_inputs_are_held_to_their_contract(package):
    program, good = Program.load(package), numbers(0, 2, 3)
    wrong = {
        "'a'": [{}, {"b": good}, {"a": good, "b": good}],
        r"float32 \(2, 3\), got float64 \(2, 3\)": [{"a": good.astype(float)}],
        r"got float32 \(3, 2\)": [{"a": good.T}],
        "1 NaN": [{"a": np.where(np.arange(6).reshape(2, 3) == 4, np.nan, good)}],
    }
    for message, cases in wrong.items():
        for case in cases:
            with pytest.raises(ContractError, match=message):
                program.run(case)


def test_an_unknown_operator_is_named(tmp_path):
    path = save(tmp_path, lambda a: mb.erf(x=mb.relu(x=a)), (2, 3))
    program = Program.load(path)
    assert program.unknown_operators == ["erf"]
    with pytest.raises(ModelFormatError, match=r"program\.mlpackage.*erf"):
        program.run({"a": numbers(0, 2, 3)})


def test_unknown_and_missing_parameters_are_errors(package):
    def extra(model):
        operation(model, "relu").inputs["limit"].CopyFrom(operation(model, "relu").inputs["x"])

    def fewer(model):
        operation(model, "linear").inputs.pop("weight")

    def double(model):
        bound = operation(model, "relu").inputs["x"].arguments
        bound.add().CopyFrom(bound[0])

    good = (package / MODEL).read_bytes()
    for change, message in ((extra, "relu.*limit"), (fewer, "linear.*weight"), (double, "relu.*other than one")):
        (package / MODEL).write_bytes(good)
        edit(package, change)
        with pytest.raises(ModelFormatError, match=message):
            Program.load(package).run({"a": numbers(0, 2, 3)})


def test_values_that_are_not_as_declared_are_seen(package):
    def longer(model):
        operation(model, "relu").outputs[0].type.tensorType.dimensions[1].constant.size = 5

    def half(model):
        operation(model, "relu").outputs[0].type.tensorType.dataType = MIL_pb2.FLOAT16

    good = (package / MODEL).read_bytes()
    for change, message in (
        (longer, r"relu_0.*float32 \(2, 5\).*float32 \(2, 4\)"),
        (half, "relu_0.*float16.*float32"),
    ):
        (package / MODEL).write_bytes(good)
        edit(package, change)
        with pytest.raises(ModelFormatError, match=message):
            Program.load(package).run({"a": numbers(0, 2, 3)})


def _interface_length(model):
    model.description.input[0].type.multiArrayType.shape[0] = 3


def _constant_shape(model):
    (function,) = model.mlProgram.functions.values()
    for op in function.block_specializations[function.opset].operations:
        if op.type == "const" and op.attributes["val"].immediateValue.tensor.HasField("floats"):
            op.attributes["val"].immediateValue.tensor.floats.values.pop()


def _interface_dtype(model):
    model.description.output[0].type.multiArrayType.dataType = 65552


def _interface_name(model):
    model.description.input[0].name = "z"


def _two_functions(model):
    model.mlProgram.functions["other"].CopyFrom(model.mlProgram.functions["main"])


def _no_program(model):
    model.identity.SetInParent()


def _newer(model):
    model.specificationVersion = 10


def _used_before(model):
    operation(model, "relu").inputs["x"].arguments[0].name = "nowhere"


def _twice(model):
    operation(model, "relu").outputs[0].name = "a"


def _output(model):
    (function,) = model.mlProgram.functions.values()
    function.block_specializations[function.opset].outputs[0] = "nothing"


def _opset(model):
    model.mlProgram.functions["main"].opset = "CoreML5"


def _outside(model):
    (function,) = model.mlProgram.functions.values()
    for op in function.block_specializations[function.opset].operations:
        if op.type == "const" and op.attributes["val"].WhichOneof("value") == "blobFileValue":
            op.attributes["val"].blobFileValue.fileName = "@model_path/../weight.bin"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_interface_length, r"input 'a' to be float32 \(2, 3\).*\(3, 3\)"), (_interface_dtype, "output 'out'.*float16"),
        (_interface_name, "inputs.*'z'"), (_two_functions, "one function.*main, other"),
        (_no_program, "ML Program.*identity"),
        (_newer, "version up to 9, found 10"), (_used_before, "nowhere used before"), (_twice, "a twice"),
        (_output, "nothing"), (_opset, "opset CoreML5"), (_outside, "weights under.*\\.\\."),
        (_constant_shape, r"float32 \(4\) for constant"),
    ],
)  # fmt: skip
def test_a_specification_that_does_not_fit_is_an_error(package, change, message):
    edit(package, change)
    with pytest.raises(ModelFormatError, match=message):
        Program.load(package)


def test_a_cut_specification_is_an_error(package):
    whole = (package / MODEL).read_bytes()
    for length in (0, 1, len(whole) // 3, len(whole) // 2, len(whole) - 1):
        (package / MODEL).write_bytes(whole[:length])
        with pytest.raises(ModelFormatError, match=r"model\.mlmodel"):
            Program.load(package)


def test_a_flipped_bit_in_the_weights_shows_in_the_outputs(package):
    x = {"a": np.abs(numbers(0, 2, 3)) + 3}  # no hidden value is 0
    before = Program.load(package).run(x)["out"]
    damaged = bytearray((package / WEIGHTS).read_bytes())
    at = damaged.index(numbers(3, 20, 4).tobytes())
    for k in range(80):
        changed = bytearray(damaged)
        changed[at + 4 * k + 2] ^= 0x40  # a high bit of the mantissa, or the lowest one of the exponent
        (package / WEIGHTS).write_bytes(changed)
        after = Program.load(package).run(x)["out"]
        assert list(np.flatnonzero((before != after).any(0))) == [k // 4]  # the output that the weight belongs to


def test_a_flipped_byte_around_the_weights_is_an_error(package):
    whole = (package / WEIGHTS).read_bytes()
    records = [at for at in range(64, len(whole), 64) if whole[at : at + 4] == struct.pack("<I", 0xDEADBEEF)]
    assert records
    for at in (k for start in (0, *records) for k in range(start, start + 64)):
        (package / WEIGHTS).write_bytes(whole[:at] + bytes([whole[at] ^ 0x11]) + whole[at + 1 :])
        with pytest.raises(ModelFormatError, match=r"weight\.bin, byte"):
            Program.load(package)


def test_a_cut_or_missing_blob_is_an_error(package):
    whole = (package / WEIGHTS).read_bytes()
    for length in (0, 63, 64, 100, 128, len(whole) - 1):
        (package / WEIGHTS).write_bytes(whole[:length])
        with pytest.raises(ModelFormatError, match=r"weight\.bin"):
            Program.load(package)
    (package / WEIGHTS).unlink()
    with pytest.raises(ModelFormatError, match=r"weight\.bin.*no such file"):
        Program.load(package)


def test_a_damaged_manifest_is_an_error(package):
    manifest = package / "Manifest.json"
    said = json.loads(manifest.read_text())
    root = said["rootModelIdentifier"]
    whole = manifest.read_bytes()
    fields = [
        b"1.0.0",
        f'"rootModelIdentifier": "{root}'.encode(),
        b"com.apple.CoreML/model.mlmodel",
        b"com.apple.CoreML/weights",
    ]
    for field in fields:
        start = whole.index(field)
        for at in range(start, start + len(field)):
            manifest.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            with pytest.raises(ModelFormatError, match=r"Manifest\.json"):
                Program.load(package)
    for wrong in (b"", b"[]", b"{", b"\xff", whole[:-20], whole.replace(b"com.apple.CoreML/", b"../com.apple.CoreML/")):
        manifest.write_bytes(wrong)
        with pytest.raises(ModelFormatError, match=r"Manifest\.json"):
            Program.load(package)
    manifest.unlink()
    with pytest.raises(ModelFormatError, match=r"Manifest\.json"):
        Program.load(package)


def test_without_coremltools_the_error_says_how_to_install_it(package, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "coremltools.proto", None)
    with pytest.raises(VariantUnavailable, match=r"pip install 'auparity\[coreml\]'"):
        Program.load(package)


def test_numbers_that_name_no_type_are_refused():
    pytest.importorskip("coremltools")
    from coremltools.proto import MIL_pb2

    from auparity.conversion.mil.program import _dtype

    assert _dtype(MIL_pb2.DataType, MIL_pb2.FLOAT32) == np.float32
    assert _dtype(MIL_pb2.DataType, 17) is None
    assert _dtype(MIL_pb2.DataType, -1) is None
