"""Core ML packages of the embedded bundle: what they declare, what they hold, and what they compute."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from auparity.conversion.coreml import builder as coreml_builder
from auparity.conversion.coreml import programs
from auparity.errors import AuparityError, ContractError, VariantUnavailable
from auparity.models.bundle import Bundle
from auparity.models.types import ConvNet, Convolution, FullyConnected, MaxPool, PReLU, ReLU, Sigmoid
from auparity.reference.action_units import ActionUnitModels
from auparity.reference.convnet import forward
from auparity.reference.geometry import geometry_descriptor
from auparity.reference.numerics import FLOAT32
from auparity.reference.patch_experts import CCNFScale, CENScale, field_covariances, normalised_patches

pytest.importorskip("coremltools")

METADATA = programs.metadata_of("a" * 64, "CC-BY-4.0", "a stage", "maps to outputs", "9.8.7")
PRECISIONS = ("FLOAT32", "FLOAT16")
#: Largest error against the reference, relative to the largest value.
TOLERANCE = {"FLOAT32": 1e-6, "FLOAT16": 2e-3}
#: Of the protocol buffers: FeatureTypes.ArrayFeatureType and MIL.DataType.
ARRAY_FLOAT32, MIL_FLOAT16, MIL_FLOAT32 = 65568, 10, 11
NAMES = ("pnet", "rnet", "onet", "validator", "grouped", "expert", "ccnf", "video", "image")


@pytest.fixture(scope="module")
def bundle():
    return Bundle.embedded(networks=False)


def cen(bundle):
    """The frontal experts of the first scale that have their own network."""
    return [patch for patch in bundle.face.main.experts[0].patches[0] if patch.layers]


def ccnf(bundle):
    return list(bundle.face.parts[0].model.experts[0].patches[0])


def model_of(bundle, name, precision):
    detector = bundle.detector
    return {
        "pnet": lambda **k: programs.network(detector.pnet, 3, name, METADATA, per_pixel=True, **k),
        "rnet": lambda **k: programs.network(detector.rnet, 3, name, METADATA, size=(24, 24), **k),
        "onet": lambda **k: programs.network(detector.onet, 3, name, METADATA, size=(48, 48), **k),
        "validator": lambda **k: programs.network(
            bundle.face.validator.views[0].net, 1, name, METADATA, size=(60, 60), **k
        ),
        "grouped": lambda **k: programs.grouped_experts(cen(bundle), name, METADATA, **k),
        "expert": lambda **k: programs.expert(cen(bundle)[3], name, METADATA, **k),
        "ccnf": lambda **k: programs.grouped_ccnf(ccnf(bundle), name, METADATA, **k),
        "video": lambda **k: programs.action_units(bundle.video_aus, name, METADATA, **k),
        "image": lambda **k: programs.action_units(bundle.image_aus, name, METADATA, **k),
    }[name](precision=precision)


@pytest.fixture(scope="module")
def packages(bundle, tmp_path_factory):
    """Paths of all packages by name and precision, each written when it is first asked for."""
    folder, written = tmp_path_factory.mktemp("packages"), {}

    def path_of(name, precision):
        if (name, precision) not in written:
            path = folder / f"{name}_{precision}.mlpackage"
            programs.save(model_of(bundle, name, precision), path)
            written[name, precision] = path
        return written[name, precision]

    return path_of


def spec_of(path):
    return coreml_builder.coremltools().utils.load_spec(str(path))


def block_of(spec):
    (block,) = spec.mlProgram.functions["main"].block_specializations.values()
    return block


def size_of(path):
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def constants(block):
    """Data types and shapes of the floating constants of more than one element."""
    found = []
    for operation in block.operations:
        if operation.type == "const":
            kind = operation.outputs[0].type.tensorType
            shape = tuple(dim.constant.size for dim in kind.dimensions)
            if kind.dataType in (MIL_FLOAT16, MIL_FLOAT32) and np.prod(shape) > 1:
                found.append((kind.dataType, shape))
    return found


#: Inputs with the range of every dimension, and the output with its dimensions; None where it depends on the input.
CROPS, POSITIONS, FRAMES = (1, 1024), (1, 4096), (1, 1024)
D = 4464 + 238
DECLARED = {
    # 11 px, not 12: the pool rounds the number of its windows up.
    "pnet": ({"maps": (CROPS, (3, 3), (11, 4096), (11, 4096))}, "outputs", (None, 6, None, None)),
    "rnet": ({"maps": (CROPS, (3, 3), (24, 24), (24, 24))}, "outputs", (None, 6)),
    "onet": ({"maps": (CROPS, (3, 3), (48, 48), (48, 48))}, "outputs", (None, 16)),
    "validator": ({"maps": (CROPS, (1, 1), (60, 60), (60, 60))}, "outputs", (None, 20)),
    "grouped": ({"patches": ((39, 39), POSITIONS, (122, 122))}, "responses", (39, None)),
    "expert": ({"patches": (POSITIONS, (122, 122))}, "responses", (None,)),
    "ccnf": ({"patches": ((28, 28), POSITIONS, (122, 122))}, "responses", (28, None)),
    "video": ({"features": (FRAMES, (D, D)), "medians": (FRAMES, (D, D))}, "values", (None, 35)),
    "image": ({"features": (FRAMES, (D, D)), "medians": (FRAMES, (D, D))}, "values", (None, 35)),
}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", NAMES)
def test_packages_declare_their_inputs_and_outputs(packages, name, precision):
    spec = spec_of(packages(name, precision))
    inputs, output, shape = DECLARED[name]
    assert spec.specificationVersion == 7, "macOS 13"
    assert {entry.name for entry in spec.description.input} == set(inputs)
    for entry in spec.description.input:
        array, ranges = entry.type.multiArrayType, inputs[entry.name]
        assert array.dataType == ARRAY_FLOAT32
        assert tuple(array.shape) == tuple(lower for lower, _ in ranges)
        if any(lower != upper for lower, upper in ranges):
            declared = [(size.lowerBound, size.upperBound) for size in array.shapeRange.sizeRanges]
            assert declared == list(ranges)
        else:
            assert array.WhichOneof("ShapeFlexibility") is None
    (entry,) = spec.description.output
    assert (entry.name, entry.type.multiArrayType.dataType) == (output, ARRAY_FLOAT32)
    block = block_of(spec)
    assert list(block.outputs) == [output]
    (made,) = [out.type.tensorType for op in block.operations for out in op.outputs if out.name == output]
    assert made.dataType == MIL_FLOAT32
    sizes = tuple(dim.constant.size if dim.HasField("constant") else None for dim in made.dimensions)
    assert sizes == shape


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", NAMES)
def test_packages_say_what_they_are(packages, name, precision):
    metadata = spec_of(packages(name, precision)).description.metadata
    expected = {
        "bundle": "a" * 64, "licence": "CC-BY-4.0", "stage": "a stage", "contract": "maps to outputs",
        "precision": precision, "compute_units": "ALL", "auparity": "9.8.7",
    }  # fmt: skip
    assert {key: metadata.userDefined[key] for key in expected} == expected
    assert (metadata.author, metadata.license, metadata.versionString) == ("auparity", "CC-BY-4.0", "9.8.7")
    assert metadata.shortDescription == f"{name}: maps to outputs"


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_stored_in_the_precision_of_the_model(packages, name):
    whole, half = (constants(block_of(spec_of(packages(name, precision)))) for precision in PRECISIONS)
    assert whole
    assert {kind for kind, _ in whole} == {MIL_FLOAT32}
    # Only the centres of the action units' features stay whole: differences are taken before anything is rounded.
    kept = [shape for kind, shape in half if kind == MIL_FLOAT32]
    # No photograph's model is dynamic: their centre is zero, and left out.
    assert kept == {"video": [(D,), (D,)], "image": [(D,)]}.get(name, [])
    assert sorted(shape for _, shape in half) == sorted(shape for _, shape in whole)
    sizes = [size_of(packages(name, precision) / "Data" / "com.apple.CoreML" / "weights") for precision in PRECISIONS]
    assert 0.45 < sizes[1] / sizes[0] < 0.6


@pytest.mark.parametrize(("name", "layers"), [("rnet", "rnet"), ("onet", "onet")])
def test_all_weights_of_a_network_are_there(bundle, packages, name, layers):
    held = [
        array
        for layer in getattr(bundle.detector, layers).layers
        for array in vars(layer).values()
        if isinstance(array, np.ndarray)
    ]
    blob = size_of(packages(name, "FLOAT32") / "Data" / "com.apple.CoreML" / "weights")
    large = sum(array.nbytes for array in held if array.size >= 10)
    assert large <= blob <= large + 128 * (len(held) + 1), "values, 64 bytes of header each and padding"


def test_a_package_opens_as_a_model_and_can_be_saved_again(packages, tmp_path):
    path = packages("expert", "FLOAT16")
    model = coreml_builder.coremltools().models.MLModel(str(path), skip_model_load=True)
    programs.save(model, tmp_path / "again.mlpackage")
    assert spec_of(tmp_path / "again.mlpackage") == spec_of(path)
    (weights,) = (tmp_path / "again.mlpackage").rglob("weight.bin")
    (before,) = path.rglob("weight.bin")
    assert weights.read_bytes() == before.read_bytes()


# What the programs compute, by the interpreter.


def run(path, **inputs):
    mil = pytest.importorskip("auparity.conversion.mil.interpreter")
    (found,) = mil.Program.load(path).run(inputs).values()
    assert found.dtype == np.float32
    return found


def relative(found, expected):
    assert found.shape == expected.shape
    assert np.isfinite(found).all()
    return np.abs(found - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("pnet", [(1, 3, 11, 11), (1, 3, 13, 30), (2, 3, 41, 28)]),
        ("rnet", [(1, 3, 24, 24), (5, 3, 24, 24)]),
        ("onet", [(3, 3, 48, 48)]),
        ("validator", [(2, 1, 60, 60)]),
    ],
)
def test_networks_compute_what_the_reference_does(bundle, packages, name, shapes, precision):
    net = bundle.face.validator.views[0].net if name == "validator" else getattr(bundle.detector, name)
    rng = np.random.default_rng(0)
    for shape in shapes:
        maps = rng.normal(size=shape).astype(np.float32)
        found, expected = run(packages(name, precision), maps=maps), forward(net, maps)
        if name == "pnet":
            # The reference cannot tell a map of one pixel from a vector.
            expected = expected.reshape(found.shape) if shape[2:] == (11, 11) else expected
        assert relative(found, expected) < TOLERANCE[precision]


def patches_like(rng, count, window):
    """Normalised patches of every position of windows in row-major order: (count, w * w, 122)."""
    areas = rng.uniform(0, 255, (count, window + 10, window + 10)).astype(np.float32)
    return areas, normalised_patches(areas, (11, 11)).reshape(count, window * window, -1)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_cen_experts_compute_what_the_reference_does(bundle, packages, precision):
    experts, window, rng = bundle.face.main.experts[0], 9, np.random.default_rng(1)
    own = [k for k, patch in enumerate(experts.patches[0]) if patch.layers]
    areas, rows = patches_like(rng, len(own), window)
    grouped = run(packages("grouped", precision), patches=rows)
    # The reference evaluates every second position of the column-major order and interpolates between them.
    maps = CENScale(experts, bundle.face.main.experts[-1], FLOAT32).area_responses(areas, np.array(own), 0)
    seen = (np.arange(window)[:, None] + np.arange(window)[None]) % 2 == 1
    assert relative(grouped.reshape(maps.shape)[:, seen], maps[:, seen]) < TOLERANCE[precision]
    single = run(packages("expert", precision), patches=rows[3, :17])
    assert relative(single, grouped[3, :17]) < TOLERANCE[precision]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_ccnf_experts_compute_what_the_reference_does(bundle, packages, precision):
    experts, window = bundle.face.parts[0].model.experts[0], 9
    areas, rows = patches_like(np.random.default_rng(2), 28, window)
    maps = CCNFScale(experts, bundle.face.parts[0].model.experts[-1], FLOAT32).area_responses(areas, np.arange(28), 0)
    raw = run(packages("ccnf", precision), patches=rows)
    sigmas = field_covariances(experts.patches[0], window, ())
    found = (sigmas @ raw[..., None])[..., 0]
    lowest = np.minimum(found.min(axis=1, keepdims=True), 0)
    assert relative((found - lowest).reshape(maps.shape), maps) < TOLERANCE[precision]


def test_experts_need_not_have_as_many_neurons(bundle, tmp_path):
    """One neuron less than the other, and one that is left out of the sum."""
    patches = list(ccnf(bundle)[:2])
    first = patches[0]
    patches[0] = replace(
        first, neuron_types=first.neuron_types[1:], norm_weights=first.norm_weights[1:], biases=first.biases[1:],
        alphas=np.array([5e-5, *first.alphas[2:]]), weights=first.weights[1:],
    )  # fmt: skip
    programs.save(programs.grouped_ccnf(patches, "x", METADATA), tmp_path / "x.mlpackage")
    _, rows = patches_like(np.random.default_rng(3), 2, 3)
    expected = []
    for patch, values in zip(patches, rows, strict=True):
        taps = patch.weights.transpose(0, 2, 1).reshape(patch.n_neurons, -1) * patch.norm_weights[:, None]
        z = values.astype(np.float64) @ np.concatenate([patch.biases[:, None], taps], axis=1).T
        expected.append((np.where(patch.alphas > 1e-4, 2 * patch.alphas, 0) / (1 + np.exp(-z))).sum(axis=1))
    assert relative(run(tmp_path / "x.mlpackage", patches=rows), np.stack(expected)) < 2e-6


def descriptors(predictors, rng, count):
    """Features as faces have them: near the training means, geometry from plausible shapes."""
    models, pdm = ActionUnitModels(predictors), predictors.pdm
    hog = models.intensity.means[0, :4464] + rng.normal(0, 0.05, (count, 4464))
    shapes = rng.normal(size=(count, pdm.n_modes)) * np.sqrt(pdm.eigenvalues)
    return np.concatenate([hog, geometry_descriptor(shapes, pdm)], axis=1)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["video", "image"])
def test_action_units_compute_what_the_reference_does(bundle, packages, name, precision):
    predictors, rng = getattr(bundle, f"{name}_aus"), np.random.default_rng(4)
    models = ActionUnitModels(predictors)
    features = descriptors(predictors, rng, 6)
    medians = np.repeat(np.median(descriptors(predictors, rng, 9), axis=0)[None], 6, axis=0)
    expected = np.concatenate([part.values(features, medians) for part in (models.intensity, models.presence)], axis=1)
    inputs = {"features": features.astype(np.float32), "medians": medians.astype(np.float32)}
    found = run(packages(name, precision), **inputs)
    assert relative(found, expected) < TOLERANCE[precision]
    assert np.abs(found - expected).max() < (1e-5 if precision == "FLOAT32" else 2e-2)
    without = run(packages(name, precision), **{**inputs, "medians": np.zeros_like(inputs["medians"])})
    moved = np.abs(without - found).max(axis=0) > 1e-3
    assert (moved == np.concatenate([models.intensity.dynamic, models.presence.dynamic])).all()


def test_models_of_one_kind_with_other_means_are_centred_by_their_own(bundle, tmp_path):
    """Intensities and presences have training means of their own; a bundle of OpenFace does."""
    rng = np.random.default_rng(5)
    models = tuple(
        replace(model, means=model.means + (0.5 if model.task == "presence" else -0.25), dynamic=k % 3 > 0)
        for k, model in enumerate(bundle.video_aus.models)
    )
    predictors = replace(bundle.video_aus, models=models)
    parts = ActionUnitModels(predictors)
    features, medians = descriptors(predictors, rng, 3), descriptors(predictors, rng, 3)
    expected = np.concatenate([p.values(features, medians) for p in (parts.intensity, parts.presence)], axis=1)
    programs.save(programs.action_units(predictors, "x", METADATA), tmp_path / "x.mlpackage")
    inputs = {"features": features.astype(np.float32), "medians": medians.astype(np.float32)}
    assert relative(run(tmp_path / "x.mlpackage", **inputs), expected) < 1e-6


def test_every_layer_and_odd_shapes_are_exported(tmp_path):
    """Kernels that are not square, pools that overlap, PReLU after a fully connected layer, sigmoid at the end."""
    rng = np.random.default_rng(6)

    def values(*shape):
        return rng.normal(size=shape).astype(np.float32)

    # 9 x 13: 8 x 11 after the convolution, 4 x 6 after the pool.
    net = ConvNet((
        Convolution(values(3, 2, 2, 3), values(3)), PReLU(values(3)), MaxPool((2, 3), (2, 2)), ReLU(),
        FullyConnected(values(3 * 4 * 6, 11), values(11)), PReLU(values(11)), FullyConnected(values(11, 2), values(2)),
        Sigmoid(),
    ))  # fmt: skip
    maps = values(3, 2, 9, 13)
    programs.save(programs.network(net, 2, "x", METADATA, size=(9, 13)), tmp_path / "x.mlpackage")
    assert relative(run(tmp_path / "x.mlpackage", maps=maps), forward(net, maps)) < 1e-6


# What is refused.


def test_wrong_models_are_refused(bundle):
    experts, fields = cen(bundle), ccnf(bundle)
    empty = replace(experts[0], layers=())
    short = replace(experts[0], layers=experts[0].layers[:-1])
    with pytest.raises(ContractError, match="2 forms"):
        programs.grouped_experts([experts[0], short], "x", METADATA)
    for none in ([], [empty]):
        with pytest.raises(ContractError, match="one form"):
            programs.grouped_experts(none, "x", METADATA)
    with pytest.raises(ContractError, match="partner"):
        programs.expert(empty, "x", METADATA)
    with pytest.raises(ContractError, match="one response"):
        programs.expert(short, "x", METADATA)
    nothing = replace(
        fields[0], alphas=np.zeros(0), biases=np.zeros(0), norm_weights=np.zeros(0), weights=np.zeros((0, 11, 11))
    )
    for some in ([], [fields[0], replace(fields[1], width=9)], [fields[0], nothing]):
        with pytest.raises(ContractError, match="of one size"):
            programs.grouped_ccnf(some, "x", METADATA)
    with pytest.raises(AuparityError, match="expected FLOAT32 or FLOAT16"):
        programs.expert(experts[0], "x", METADATA, precision="INT8")


def test_networks_that_core_ml_would_run_differently_are_refused(bundle):
    with pytest.raises(ContractError, match="height and width"):
        programs.network(bundle.detector.rnet, 3, "x", METADATA)
    with pytest.raises(ContractError, match="432 values"):
        programs.network(bundle.detector.rnet, 3, "x", METADATA, size=(30, 24))
    for pool in (MaxPool((3, 3), (3, 3)), MaxPool((1, 2), (2, 2))):
        with pytest.raises(ContractError, match="strides of 1 or 2"):
            programs.network(ConvNet((pool,)), 1, "x", METADATA, size=(20, 20))
    with pytest.raises(ContractError, match="layers of spec"):
        programs.network(ConvNet((SimpleNamespace(),)), 1, "x", METADATA, size=(20, 20))


@pytest.mark.parametrize("missing", ["coremltools", "coremltools.libmilstoragepython"])
def test_without_coremltools_the_message_says_what_to_install(bundle, monkeypatch, missing):
    if missing == "coremltools":
        monkeypatch.setitem(sys.modules, "coremltools", None)
    else:
        found = coreml_builder.importlib.util.find_spec
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == missing else found(name))
    with pytest.raises(VariantUnavailable, match=r"pip install 'auparity\[coreml\]'") as caught:
        programs.expert(cen(bundle)[0], "x", METADATA)
    assert missing in str(caught.value)


# Saving.


class Unfinished:
    """A model whose package is half written when the disk is full."""

    def save(self, path):
        os.makedirs(path)
        with open(os.path.join(path, "half"), "w", encoding="utf-8") as file:
            file.write("a part")
        raise OSError("full")


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_package_is_replaced_as_a_whole_or_not_at_all(bundle, tmp_path, monkeypatch):
    path = tmp_path / "new folder" / "expert.mlpackage"
    with pytest.raises(OSError, match="full"):
        programs.save(Unfinished(), path)
    assert list(path.parent.iterdir()) == []
    programs.save(programs.expert(cen(bundle)[0], "first", METADATA), path)
    (path / "a leftover").write_text("of another model", encoding="utf-8")
    first = content(path)
    with pytest.raises(OSError, match="full"):
        programs.save(Unfinished(), path)
    model = programs.expert(cen(bundle)[1], "second", METADATA)
    move, moves = os.replace, []

    def failing(source, target):
        moves.append(target)
        if len(moves) == 2:  # the old package is aside, the new one not there yet
            raise OSError("busy")
        move(source, target)

    monkeypatch.setattr("os.replace", failing)
    with pytest.raises(OSError, match="busy"):
        programs.save(model, path)
    assert len(moves) == 3
    monkeypatch.undo()
    assert content(path) == first
    programs.save(model, path)
    assert spec_of(path).description.metadata.shortDescription == "second: maps to outputs"
    assert "a leftover" not in content(path)
    assert list(path.parent.iterdir()) == [path]


def test_a_package_goes_where_packages_can_be(tmp_path):
    with pytest.raises(AuparityError, match=r"ends in \.mlpackage"):
        programs.save(Unfinished(), tmp_path / "expert.onnx")
    (tmp_path / "file.mlpackage").write_text("mine", encoding="utf-8")
    with pytest.raises(AuparityError, match="is a file"):
        programs.save(Unfinished(), tmp_path / "file.mlpackage")
    assert (tmp_path / "file.mlpackage").read_text(encoding="utf-8") == "mine"


@pytest.mark.skipif(os.name == "nt", reason="access rights of POSIX")
def test_all_parts_of_a_package_have_the_same_rights(packages):
    path = packages("expert", "FLOAT32")
    parts = list(path.rglob("*"))
    assert len({part.stat().st_mode for part in parts if part.is_file()}) == 1
    assert len({part.stat().st_mode for part in parts if part.is_dir()} | {path.stat().st_mode}) == 1


def test_conversion_is_quiet_and_leaves_settings_alone(bundle, capfd, recwarn):
    logger = logging.getLogger("coremltools")
    level, before = logger.level, sys.stderr
    programs.expert(cen(bundle)[0], "x", METADATA, precision="FLOAT16")
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list
    assert (logger.level, sys.stderr) == (level, before)
