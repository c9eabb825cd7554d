"""The analysis half as graphs: they decide as the reference does, and differ from it by the rounding of sums."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auparity import __version__
from auparity.conversion import analysis_tables as tables
from auparity.conversion.catalogue import items
from auparity.conversion.export import export
from auparity.conversion.manifest import load
from auparity.errors import AuparityError, ContractError
from auparity.models.bundle import Bundle
from auparity.models.synthetic.render import render_photograph
from auparity.parity_tests.compare.tolerances import tolerance
from auparity.reference.action_units import ActionUnitModels
from auparity.reference.fhog import cell_histograms, fhog, strongest_gradient
from auparity.reference.fit_shape import fit_shape
from auparity.reference.numerics import FLOAT32, FLOAT64
from auparity.reference.pdm import ShapeModel
from auparity.reference.stages import reference_stages

BUNDLE = Bundle.embedded(networks=False)
PHOTO_AUS = BUNDLE.image_aus
FEATURE = tolerance("stage", "fhog").tolerance
#: Both targets, and halves, which FHOG does not use.
GRAPHS = ("onnx", "coreml float32", "coreml float16")


def described(count=4):
    """Aligned faces and geometry of rendered photographs."""
    stages, model = reference_stages(), ShapeModel(PHOTO_AUS.pdm, FLOAT32)
    align, geometry = stages.alignment(PHOTO_AUS), stages.geometry(PHOTO_AUS.pdm)
    faces, parameters = [], []
    for k in range(count):
        picture = render_photograph(3_900_000 + k, yaw=40.0, face_width=(80.0, 260.0))
        landmarks = picture.truth.landmarks.astype(np.float32)[None]
        params_global, params_local = fit_shape(model, landmarks)
        faces.append(align(picture.image[None], landmarks, params_global)[0])
        parameters.append(params_local[0])
    return np.stack(faces), geometry(np.stack(parameters))


@pytest.fixture(scope="module")
def photographs():
    return described()


def onnx_runner(model):
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(*arrays):
        names = [entry.name for entry in session.get_inputs()]
        return session.run(None, dict(zip(names, arrays, strict=True)))

    return run


def saved(model):
    """A Core ML model as it is read back from the disk."""
    from auparity.conversion.coreml.builder import save
    from auparity.conversion.mil.interpreter import Program

    folder = Path(tempfile.mkdtemp())
    try:
        save(model, folder / "program.mlpackage")
        return Program.load(folder / "program.mlpackage")
    finally:
        shutil.rmtree(folder)


def coreml_runner(model):
    program = saved(model)

    def run(*arrays):
        single = [array.astype(np.float32) for array in arrays]
        return list(program.run(dict(zip(program.inputs, single, strict=True))).values())

    return run


def runner(graph, kind):
    """Of kind "fhog" or "analysis"."""
    more = {} if kind == "fhog" else {"predictors": PHOTO_AUS}
    if graph == "onnx":
        pytest.importorskip("onnx")
        from auparity.conversion.onnx import fhog as onnx_fhog

        return onnx_runner(getattr(onnx_fhog, kind)(name=kind, metadata={}, **more))
    pytest.importorskip("coremltools")
    from auparity.conversion.coreml import fhog as coreml_fhog

    precision = graph.split()[1].upper()
    return coreml_runner(getattr(coreml_fhog, kind)(name=kind, metadata={}, precision=precision, **more))


@pytest.fixture(scope="module", params=GRAPHS)
def run_fhog(request):
    return runner(request.param, "fhog")


@pytest.fixture(scope="module")
def run_onnx_fhog():
    return runner("onnx", "fhog")


def ramps():
    """Brightness that rises to the right, down, to the left, up; and blue that falls where red rises."""
    x = np.tile(np.arange(112, dtype=np.uint8), (112, 1))
    gray = np.repeat(x[..., None], 3, axis=-1)
    opposed = np.stack([200 - x, np.zeros_like(x), x], axis=-1)
    return np.stack([*(np.rot90(gray, turn) for turn in range(4)), opposed])


def extremes(kind, photographs):
    rng = np.random.default_rng(2)
    match kind:
        case "photographs":
            return photographs[0]
        case "gray photographs":  # channels tie in every pixel
            return np.repeat(photographs[0][..., 1:2], 3, axis=-1)
        case "noise":
            return rng.integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)
        case "few levels":  # channels and directions tie all the time
            return rng.integers(0, 3, (3, 112, 112, 3), dtype=np.uint8)
        case "black and white":  # the longest gradients that there are
            return 255 * rng.integers(0, 2, (3, 112, 112, 3), dtype=np.uint8)
        case "flat":
            return np.stack([np.full((112, 112, 3), level, np.uint8) for level in (0, 90, 255)])
    return ramps()


@pytest.mark.parametrize(
    "kind", ["photographs", "gray photographs", "noise", "few levels", "black and white", "flat", "ramps"]
)
def test_descriptors_are_the_references(run_fhog, photographs, kind):
    faces = extremes(kind, photographs)
    (found,) = run_fhog(faces)
    reference = fhog(faces)
    assert found.shape == reference.shape
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, reference, rtol=0, atol=FEATURE)


# The same faces in every run: the reference's own rounding comes to 1.5e-7 of the 2e-7 at worst, and nothing bounds it.
@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), levels=st.integers(1, 256), block=st.sampled_from([1, 2, 7, 16]))
def test_descriptors_of_any_face_are_the_references(run_onnx_fhog, seed, levels, block):
    small = np.random.default_rng(seed).integers(0, levels, (1, 112 // block, 112 // block, 3), dtype=np.uint8)
    face = small.repeat(block, axis=1).repeat(block, axis=2)
    np.testing.assert_allclose(run_onnx_fhog(face)[0], fhog(face), rtol=0, atol=FEATURE)


def test_a_face_does_not_know_of_the_others(photographs):
    for kind, arrays in (("fhog", photographs[:1]), ("analysis", photographs)):
        run = runner("onnx", kind)
        together = run(*arrays)
        for k in range(len(arrays[0])):
            for one, all_of_them in zip(run(*(array[k : k + 1] for array in arrays)), together, strict=True):
                np.testing.assert_array_equal(one[0], all_of_them[k])


@pytest.mark.parametrize("graph", GRAPHS)
def test_one_graph_gives_the_action_units_of_photographs(photographs, graph):
    faces, geometry = photographs
    features, values = runner(graph, "analysis")(faces, geometry)
    np.testing.assert_allclose(features, fhog(faces), rtol=0, atol=FEATURE)
    intensity, presence = ActionUnitModels(PHOTO_AUS).predict_static(fhog(faces), geometry)
    # 4464 features, each within its tolerance, and float32 where there is no float64; halves have 11 bits
    apart = {"onnx": 5e-6, "coreml float32": 2e-5, "coreml float16": 0.02}[graph]
    np.testing.assert_allclose(values[:, :17].clip(0, 5), intensity, rtol=0, atol=apart)
    sure = np.abs(values[:, 17:]) > apart
    assert sure.mean() > 0.9
    np.testing.assert_array_equal((values[:, 17:] > 0)[sure], (presence > 0)[sure])


# What the graphs are made of ------------------------------------------------------------------------------------------


def test_weights_between_pixels_and_cells_are_exact_and_share_a_vote_in_full():
    weights = tables.cell_weights()
    np.testing.assert_array_equal(weights * 16, np.rint(weights * 16))
    np.testing.assert_array_equal(weights[3:-3].sum(axis=1), 1)
    assert (weights[:3].sum(axis=1) < 1).all(), "the rest is the border's"
    face = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    gx, gy = strongest_gradient(face)
    energy = weights.T @ np.sqrt(gx.astype(float) ** 2 + gy**2) @ weights
    np.testing.assert_allclose(energy, cell_histograms(face, FLOAT64).sum(axis=-1), rtol=1e-12)


def test_keys_of_channels_are_whole_numbers_that_float32_holds():
    assert tables.channel_ranks().max() < tables.RANKS
    assert (2 * tables.LARGEST**2 + 1) * tables.RANKS < 2**24
    assert tables.SPAN**2 < 2**24


def test_dynamic_models_are_not_one_graph():
    names = [item.name for item in items(BUNDLE)]
    assert {"analysis/fhog", "analysis/image"} <= set(names)
    moving = BUNDLE.with_models(image_aus=BUNDLE.video_aus)
    assert [item.name for item in items(moving) if item.kind in ("fhog", "analysis")] == ["analysis/fhog"]
    with pytest.raises(ContractError, match="medians need a state"):
        tables.static_models(BUNDLE.video_aus)


def test_models_around_a_centre_are_the_models():
    centred = tables.static_models(PHOTO_AUS)
    features = np.random.default_rng(1).uniform(0, 0.4, (3, len(centred.still)))
    models = ActionUnitModels(PHOTO_AUS)
    expected = [part.values(features, np.zeros_like(features)) for part in (models.intensity, models.presence)]
    found = (features - centred.still) @ centred.static.T + centred.biases
    np.testing.assert_allclose(found, np.concatenate(expected, axis=1), rtol=0, atol=1e-12)


def test_halves_are_for_the_products_of_the_models_only():
    pytest.importorskip("coremltools")
    from auparity.conversion.coreml import fhog as coreml_fhog

    program = saved(coreml_fhog.analysis(PHOTO_AUS, "image", {}, precision="FLOAT16"))
    halves = {
        operation.type
        for operation in program._content.operations
        if any(output.dtype == np.float16 for output in operation.outputs)
    }
    assert halves == {"linear", "cast"}


# Exports --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("target", "precision"), [("onnx", "float32"), ("coreml", "float32"), ("coreml", "float16")])
def test_both_are_exported_and_verified(tmp_path, target, precision):
    pytest.importorskip("coremltools" if target == "coreml" else "onnxruntime")
    done = export(
        BUNDLE, target, tmp_path, version=__version__, precision=precision, only=["analysis/*"], verify=True
    )  # fmt: skip
    assert done.passed
    entries = {name.split(".")[0]: entry for name, entry in load(tmp_path).entries.items()}
    assert set(entries) == {"analysis/fhog", "analysis/image"}
    assert entries["analysis/fhog"].tolerance <= 1e-6, "float32 in every precision"
    assert entries["analysis/image"].tolerance <= (5e-3 if precision == "float16" else 1e-6)
    assert "running medians" in entries["analysis/fhog"].note


def test_every_output_is_compared():
    (item,) = [item for item in items(BUNDLE) if item.name == "analysis/image"]
    arrays = item.inputs(np.random.default_rng(0))
    features, values = item.reference(*arrays)
    path = Path("image.onnx")
    assert item.error(path, arrays, [features, values]) == 0
    wrong = values.copy()
    wrong[0, 0] += 0.1 * np.abs(values).max()
    assert item.error(path, arrays, [features, wrong]) == pytest.approx(0.1)
    wrong[0, 0] = np.nan
    assert np.isnan(item.error(path, arrays, [features, wrong]))
    with pytest.raises(AuparityError, match=r"returns \(4, 4464\), the reference \(4, 4464\) and \(4, 35\)"):
        item.error(path, arrays, [features])


# The operator that the interpreter got for them -----------------------------------------------------------------------


@settings(max_examples=5, deadline=None, derandomize=True)
@given(depth=st.integers(1, 3), places=st.lists(st.integers(1, 3), min_size=0, max_size=2), seed=st.integers(0, 99))
def test_gather_nd_takes_what_torch_takes(depth, places, seed):
    ct = pytest.importorskip("coremltools")
    torch = pytest.importorskip("torch")
    from coremltools.converters.mil import Builder as mb

    from auparity.conversion.mil.interpreter import Program

    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3, 4, 5)).astype(np.float32)
    indices = np.stack([rng.integers(0, length, places or [1]) for length in x.shape[:depth]], axis=-1).astype(np.int32)

    @mb.program(input_specs=[mb.TensorSpec(shape=x.shape)], opset_version=ct.target.macOS13)
    def program(a):
        return mb.gather_nd(x=a, indices=indices)

    model = ct.convert(
        program, convert_to="mlprogram", compute_precision=ct.precision.FLOAT32, skip_model_load=True,
        minimum_deployment_target=ct.target.macOS13,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        model.save(str(Path(folder) / "program.mlpackage"))
        read = Program.load(Path(folder) / "program.mlpackage")
    assert read.operators == {"gather_nd": 1}
    (found,) = read.run({"a": x}).values()
    expected = torch.from_numpy(x)[tuple(torch.from_numpy(indices.astype(np.int64)).unbind(-1))]
    np.testing.assert_array_equal(found, expected.numpy())


def test_forms_of_gather_nd_that_are_not_defined_are_errors():
    from auparity.conversion.mil.arithmetic import Arithmetic
    from auparity.conversion.mil.ops import OPERATORS

    x, how = np.ones((3, 4), np.float32), Arithmetic(False, 7)
    for indices, more, message in (
        ([[0, 4]], {}, "outside"), ([[-1, 0]], {}, "outside"), ([[0, 0, 0]], {}, "places of 3"),
        ([[0]], {"batch_dims": 1}, "batch_dims"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            OPERATORS["gather_nd"](how, x, np.array(indices), **more)
