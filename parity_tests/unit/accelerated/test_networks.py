"""Networks in ONNX Runtime, PyTorch and Numba: the reference's numbers, for batches and images of any size."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest

from auparity.accelerated.pipeline import Pipeline
from auparity.accelerated.registry import registry
from auparity.conversion.networks.folding import affine, fold
from auparity.errors import ContractError
from auparity.models.networks import shapes
from auparity.parity_tests.unit.helpers import factories, random_networks
from auparity.reference.networks import point_networks, retinaface
from auparity.reference.networks.parts import parts_of
from auparity.reference.options import PipelineOptions

#: The largest difference of sums of float32 products in another order, relative to the largest output: a hundred
#: layers, each off by 2**-24 of its sums, many of which cancel.
TOLERANCE = 2e-5


@pytest.fixture(scope="module", params=["onnx", "torch", "numba"])
def build(request):
    pytest.importorskip({"onnx": "onnxruntime"}.get(request.param, request.param))
    return import_module(f"auparity.accelerated.{request.param}.networks").build


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())


def pixels(*shape):
    return np.random.default_rng(5).integers(0, 256, shape, np.uint8)


def test_retinaface_on_images_of_odd_sizes(build):
    weights = random_networks.retinaface()
    run, reference = build(weights), retinaface.build(weights)
    for size in ((67, 101), (96, 64)):
        images = pixels(2, *size, 3)
        found, expected = run(images), reference(images)
        close(found.boxes, expected.boxes)
        close(found.points, expected.points)
        np.testing.assert_allclose(found.faces, expected.faces, atol=5e-5)  # logits of 50, off by 4e-6 of it
        assert found.boxes.dtype == np.float32


@pytest.mark.parametrize("kind", ["pfld", "mobilefacenet", "face_api", "star"])
def test_points_of_crops_whatever_their_number(build, kind):
    weights = getattr(random_networks, kind)()
    if build.__module__ == "auparity.accelerated.numba.networks" and kind == "face_api":
        pytest.skip("the Numba variant does not serve this network")
    side = parts_of(weights).side
    crops = pixels(3, side, side, 3)
    run = build(weights)
    expected = point_networks.build(weights)(crops[:1])
    alone, together = run(crops[:1]), run(crops)
    if kind == "star":  # spec 95.10: a value at the border of a mask may move single places of a map
        assert np.abs(alone - expected).max() < 2e-4
        assert np.abs(together[0] - alone[0]).max() < 2e-4
    else:
        close(alone, expected)
        close(together[:1], alone)
    assert together.shape == (3, *expected.shape[1:])


def test_other_pixels_are_refused(build):
    run = build(random_networks.pfld())
    with pytest.raises(ContractError, match="crops"):
        run(np.zeros((1, 96, 96, 3), np.uint8))
    with pytest.raises(ContractError, match="crops"):
        run(np.zeros((1, 112, 112, 3), np.float32))


@pytest.mark.parametrize("kind", ["retinaface", "pfld", "mobilefacenet", "face_api", "star"])
def test_every_norm_behind_a_layer_is_folded_and_no_other(kind):
    weights = getattr(random_networks, kind)()
    folded = fold(weights.tensors, parts_of(weights).graph)
    norms = {name.removesuffix(".running_mean") for name in weights.tensors.names if name.endswith("running_mean")}
    # STAR's residual blocks have each norm before its convolution.
    before = {name for name in norms if kind == "star" and name.rsplit(".", 1)[1] in ("bn1", "bn2", "bn3")}
    # ... where the convolution before it is the block's own, which nothing else reads.
    inside = {name for name in before if name.endswith(("bn2", "bn3"))}
    assert folded.norms == norms - before | inside
    left = {name.removesuffix(".running_mean") for name in folded.arrays if name.endswith("running_mean")}
    assert left == before - inside


def test_a_folded_norm_is_in_weight_and_bias():
    weights = random_networks.pfld()
    arrays, folded = weights.tensors.by_name(), fold(weights.tensors, parts_of(weights).graph).arrays
    factor, summand = affine(arrays, "bn1")
    np.testing.assert_allclose(folded["conv1.weight"], arrays["conv1.weight"] * factor[:, None, None, None], rtol=1e-6)
    np.testing.assert_allclose(folded["conv1.bias"], summand, rtol=1e-6)
    assert "bn1.weight" not in folded


def test_folded_weights_hold_no_subnormal_numbers():
    weights = random_networks.pfld()
    tiny = np.float32(1e-40)
    assert 0 < tiny < np.finfo(np.float32).tiny
    values = dict(weights.tensors.by_name())["fc.weight"].copy()
    values[:, ::2] = tiny
    arrays = random_networks.with_arrays(weights.tensors, fc__weight=values)
    folded = fold(arrays, parts_of(weights).graph).arrays
    assert not folded["fc.weight"][:, ::2].any()
    assert np.array_equal(folded["fc.weight"][:, 1::2], values[:, 1::2])
    assert folded["fc.weight"].dtype == np.float32


def test_the_graph_has_one_node_for_a_norm_that_stays_and_none_of_unknown_size():
    onnx = pytest.importorskip("onnx")
    from auparity.conversion.onnx.network_graphs import network_graph

    model = network_graph(random_networks.star(), "star", {})
    operators = [node.op_type for node in model.graph.node]
    assert not {"BatchNormalization", "Expand", "Tile", "ConstantOfShape"} & set(operators)
    joins = [node for node in model.graph.node if node.op_type == "Concat"]
    assert all(len(node.input) == 2 and node.attribute[0].i == 0 for node in joins)  # only of sizes
    assert [output.name for output in model.graph.output] == ["fused"]
    onnx.checker.check_model(model)


def test_both_stages_have_the_libraries_variants():
    for stage in ("face_network", "point_network"):
        names = set(registry().of_stage(stage))
        assert {"reference", "numba", "onnx", "onnx-cuda", "onnx-coreml", "torch", "torch-cuda", "torch-mps"} <= names


def test_shapes_of_published_sizes_have_the_published_numbers_of_parameters():
    def count(of):
        return sum(int(np.prod(s)) for name, s in of.items() if not name.endswith(("running_mean", "running_var")))

    assert count(shapes.retinaface("mobile0.25")) == 426_608
    assert count(shapes.pfld()) == 730_216
    assert count(shapes.mobilefacenet()) == 1_007_248
    assert count(shapes.face_api()) == 356_840
    assert count(shapes.face_api(tiny=True)) == 77_224


def test_variants_of_stages_without_a_model_are_not_among_those_used():
    pytest.importorskip("numba")
    pytest.importorskip("onnxruntime")
    pipeline = Pipeline.best(factories.make_bundle(0, m=6), PipelineOptions(device="cpu"))
    assert pipeline.variants["face_network"] == "numba"
    assert not pipeline.choices["face_network"].needed
    assert pipeline.used == ["numba"]
