"""The graphs that TensorRT gets have no float64, hold what the reference computes, and know the range of every size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from auparity import __version__
from auparity.conversion.catalogue import About, items
from auparity.conversion.centred_models import centred
from auparity.conversion.onnx.precision import DOUBLE, FLOAT, HALF, dimensions, tensor_types, to_float16, to_float32
from auparity.conversion.tensorrt import export as to_tensorrt
from auparity.conversion.tensorrt import graphs as tensorrt_graphs
from auparity.errors import ContractError
from auparity.models.bundle import Bundle

BUNDLE = Bundle.embedded(networks=False)
ITEMS = {item.name: item for item in items(BUNDLE)}
#: One of every kind.
SOME = (
    "detection/pnet", "detection/rnet", "validation/view_0", "action_units/video", "action_units/image",
    "patch_experts/main/scale_0.25/view_0", "patch_experts/main/scale_0.25/landmark_30",
    "patch_experts/left_eye_28/scale_1/view_0", "analysis/fhog", "analysis/image",
)  # fmt: skip


def about(precision="float32", bundle=BUNDLE.content_hash):
    return About(bundle, "some licence", __version__, precision)


def session(model: bytes):
    """As the graph says: left to itself ONNX Runtime takes casts out that round."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def test_some_names_every_kind():
    assert {ITEMS[name].kind for name in SOME} == {item.kind for item in ITEMS.values()}


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_graphs_without_float64_are_the_reference(precision):
    for name in SOME:
        item = ITEMS[name]
        model = tensorrt_graphs.graph(item, about(precision))
        assert DOUBLE not in tensor_types(model).values()
        arrays = item.inputs(np.random.default_rng(0))
        wide = [array if array.dtype == np.uint8 else np.float32(array) for array in arrays]
        ran = session(model.SerializeToString())
        found = ran.run(None, dict(zip([value.name for value in model.graph.input], wide, strict=True)))
        halves = tensorrt_graphs.layers_of(item, about(precision)) == "float16"
        tolerance = to_tensorrt.TOLERANCE.get(item.kind, to_tensorrt.FLOAT32_TOLERANCE)
        error = item.error(Path(name), arrays, found)
        assert error <= (to_tensorrt.FLOAT16_TOLERANCE if halves else tolerance), name
        assert halves == (precision == "float16" and item.stage not in ("fhog", "analysis"))
        assert (error > 1e-5) == halves, f"{name}: rounded to halves, or not"


def test_inputs_and_outputs_are_float32_in_both_precisions():
    for name in SOME:
        for precision in ("float32", "float16"):
            graph = tensorrt_graphs.graph(ITEMS[name], about(precision)).graph
            kinds = {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
            assert kinds <= {FLOAT, TensorProto.UINT8}
            assert {value.type.tensor_type.elem_type for value in graph.output} == {FLOAT}


def test_halves_are_summed_in_float32():
    model = tensorrt_graphs.graph(ITEMS["patch_experts/main/scale_0.25/view_0"], about("float16"))
    kinds = tensor_types(model)
    sums = [node for node in model.graph.node if node.op_type in ("MatMul", "Gemm")]
    assert sums
    made = {name: node for node in model.graph.node for name in node.output}
    for node in sums:
        assert {kinds[name] for name in node.input} == {FLOAT}
        assert {kinds[made[name].input[0]] for name in node.input} == {HALF}, "casts of halves"
    assert {array.data_type for array in model.graph.initializer} <= {HALF, TensorProto.INT64}


def test_large_numbers_cancel_before_they_are_rounded():
    item, parts = ITEMS["action_units/video"], centred(BUNDLE.video_aus)
    assert not (parts.static.any(axis=1) & parts.dynamic.any(axis=1)).any(), "a model is static or dynamic"
    features, medians = item.inputs(np.random.default_rng(1))
    expected = item.reference(features, medians)
    f, m = np.float32(features), np.float32(medians)
    still, moved, static, dynamic, biases = map(
        np.float32, (parts.still, parts.moved, parts.static, parts.dynamic, parts.biases)
    )
    values = (f - still) @ static.T + (f - m - moved) @ dynamic.T + biases
    assert np.abs(values - expected).max() <= to_tensorrt.TOLERANCE["action_units"] * np.abs(expected).max()
    halved = tensorrt_graphs.graph(item, about("float16"))
    kinds = tensor_types(halved)
    differences = [node for node in halved.graph.node if node.op_type == "Sub"]
    assert len(differences) == 3
    assert {kinds[name] for node in differences for name in (*node.input, *node.output)} == {FLOAT}


def model_of(nodes, inputs, outputs, constants=()):
    graph = helper.make_graph(nodes, "g", inputs, outputs, [numpy_helper.from_array(a, n) for n, a in constants])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def value(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


class TestPrecision:
    def test_doubles_of_every_place_become_float32(self):
        constant = numpy_helper.from_array(np.array([0.1, 0.2]), "")
        nodes = [
            helper.make_node("Constant", [], ["k"], value=constant),
            helper.make_node("Cast", ["x"], ["wide"], to=DOUBLE),
            helper.make_node("Mul", ["wide", "w"], ["a"]),
            helper.make_node("Add", ["a", "k"], ["b"]),
            helper.make_node("Add", ["b", "y"], ["z"]),
        ]
        model = model_of(
            nodes, [value("x", FLOAT, ["N", 2]), value("y", DOUBLE, ["N", 2])], [value("z", DOUBLE, ["N", 2])],
            [("w", np.array([2.0, 3.0]))],
        )  # fmt: skip
        before = model.SerializeToString()
        lowered = to_float32(model)
        assert model.SerializeToString() == before, "the graph that went in is as it was"
        assert set(tensor_types(lowered).values()) == {FLOAT}
        x, y = np.float32([[1, 2]]), np.float32([[3, 4]])
        (z,) = session(lowered.SerializeToString()).run(None, {"x": x, "y": y})
        np.testing.assert_allclose(z, x * [2, 3] + [0.1, 0.2] + y, rtol=1e-6)

    def test_a_subgraph_is_refused(self):
        branch = helper.make_graph([helper.make_node("Identity", ["x"], ["b"])], "b", [], [value("b", DOUBLE, [1])])
        nodes = [helper.make_node("If", ["c"], ["z"], then_branch=branch, else_branch=branch)]
        inputs = [value("c", TensorProto.BOOL, []), value("x", DOUBLE, [1])]
        with pytest.raises(ContractError, match="subgraph"):
            to_float32(model_of(nodes, inputs, [value("z", DOUBLE, [1])]))

    def test_weights_that_do_not_fit_into_a_half_are_refused(self):
        nodes = [helper.make_node("Mul", ["x", "w"], ["z"])]
        ends = [value("x", FLOAT, [1])], [value("z", FLOAT, [1])]
        with pytest.raises(ContractError, match="65504"):
            to_float16(model_of(nodes, *ends, [("w", np.float32([7e4]))]))

    def test_integers_stay_and_kept_operators_see_float32(self):
        nodes = [
            helper.make_node("Sub", ["x", "c"], ["d"]),
            helper.make_node("Reshape", ["d", "s"], ["r"]),
            helper.make_node("Relu", ["r"], ["z"]),
        ]
        model = model_of(
            nodes, [value("x", FLOAT, [2, 2])], [value("z", FLOAT, [4])],
            [("c", np.float32([1e6 + 0.25])), ("s", np.int64([4]))],
        )  # fmt: skip
        halved = to_float16(model, keep=("Sub",))
        kinds = tensor_types(halved)
        assert (kinds["d"], kinds["r"], kinds["s"], kinds["c"]) == (FLOAT, HALF, TensorProto.INT64, FLOAT)
        (z,) = session(halved.SerializeToString()).run(None, {"x": np.full((2, 2), 1e6 + 1, np.float32)})
        np.testing.assert_array_equal(z, 0.75)


def test_ranges_cover_every_dynamic_dimension_and_the_example():
    for item in ITEMS.values():
        model = tensorrt_graphs.graph(item, about())
        profile = tensorrt_graphs.profile_of(item, model)
        assert list(profile) == [entry.name for entry in model.graph.input]
        for entry, array in zip(model.graph.input, item.inputs(np.random.default_rng(0)), strict=True):
            smallest, usual, largest = profile[entry.name]
            for dim, low, mid, high, size in zip(dimensions(entry), smallest, usual, largest, array.shape, strict=True):
                assert 1 <= low <= mid <= high
                assert low <= size <= high, item.name
                assert low < high if isinstance(dim, str) else low == high == dim


def test_only_p_net_takes_images_of_any_size():
    for item in ITEMS.values():
        if item.kind in ("network", "per_pixel_network"):
            (maps,) = tensorrt_graphs.graph(item, about()).graph.input
            dynamic = {dim for dim in dimensions(maps) if isinstance(dim, str)}
            assert dynamic == ({"N", "H", "W"} if item.name == "detection/pnet" else {"N"})


def test_a_dimension_without_a_range_is_an_error():
    item = ITEMS["action_units/image"]
    model = model_of(
        [helper.make_node("Relu", ["x"], ["z"])], [value("x", FLOAT, ["K", 3])], [value("z", FLOAT, ["K", 3])]
    )
    with pytest.raises(ContractError, match="no dynamic dimension but N, got K"):
        tensorrt_graphs.profile_of(item, model)
