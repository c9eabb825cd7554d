"""Networks in Numba's kernels: images of every size, calls one after the other and at the same time, and the plan that
is made of a network's description.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("numba")

from auparity.accelerated.choices import choose_best
from auparity.accelerated.numba import network_steps, networks
from auparity.accelerated.numba.channel_tiles import UNROLLED
from auparity.accelerated.numba.network_plan import Convolutions, plan_of
from auparity.accelerated.numba.winograd_tiles import A, B, transformed_weights
from auparity.accelerated.onnx import networks as onnx_networks
from auparity.accelerated.registry import registry
from auparity.conversion.networks.folding import fold
from auparity.errors import ContractError
from auparity.models.types import LandmarkNetwork
from auparity.parity_tests.unit.helpers import factories, random_networks
from auparity.reference.networks import point_networks, retinaface
from auparity.reference.networks.parts import parts_of

#: As in test_networks.py: sums of float32 products in another order, relative to the largest output.
TOLERANCE = 2e-5
#: Widths and heights around a register tile, a tile of Winograd's convolution and a stride; a map of one place.
SIZES = ((1, 1), (2, 9), (33, 31), (40, 129), (64, 96), (97, 65), (130, 250))


def pixels(*shape, seed=5):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.fixture(scope="module")
def faces():
    weights = random_networks.retinaface()
    return networks.build(weights), retinaface.build(weights)


def equal_to_reference(found, expected):
    for name in ("boxes", "points"):
        wanted = getattr(expected, name)
        np.testing.assert_allclose(getattr(found, name), wanted, rtol=0, atol=TOLERANCE * np.abs(wanted).max())
    # Probabilities of logits of up to 50, which are off by 4e-6 of it (test_networks.py).
    np.testing.assert_allclose(found.faces, expected.faces, atol=5e-5)


@pytest.mark.parametrize("size", SIZES)
def test_retinaface_equals_the_reference_on_images_of_any_size(faces, size):
    run, reference = faces
    images = pixels(1, *size, 3)
    found, expected = run(images), reference(images)
    equal_to_reference(found, expected)
    assert found.boxes.shape == expected.boxes.shape
    assert found.boxes.dtype == found.faces.dtype == found.points.dtype == np.float32


def test_retinaface_with_the_large_backbone_equals_the_reference():
    weights = random_networks.retinaface("resnet50")
    images = pixels(1, 61, 70, 3)
    equal_to_reference(networks.build(weights)(images), retinaface.build(weights)(images))


def test_images_seen_before_change_nothing(faces):
    """Of the same and of other sizes, more of them than are kept."""
    run, _ = faces
    images = {size: pixels(1, *size, 3) for size in SIZES}
    first = {size: run(image) for size, image in images.items()}
    assert len(SIZES) > networks.KEPT_SIZES
    for size in (*SIZES, *reversed(SIZES)):
        run(np.full_like(images[size], 255))
        again = run(images[size])
        for name in ("boxes", "faces", "points"):
            np.testing.assert_array_equal(getattr(again, name), getattr(first[size], name))


@pytest.mark.parametrize("kind", ["retinaface", "pfld", "mobilefacenet", "star"])
def test_a_result_has_the_same_bits_whatever_is_beside_it_in_a_batch(kind):
    weights = getattr(random_networks, kind)()
    run = networks.build(weights)
    side = parts_of(weights).side
    images = pixels(3, *((50, 70) if side is None else (side, side)), 3)

    def values(batch):
        result = run(batch)
        return result.points if kind == "retinaface" else result

    together = values(images)
    for n in range(3):
        np.testing.assert_array_equal(values(images[n : n + 1])[0], together[n])
    np.testing.assert_array_equal(values(images[::-1]), together[::-1])  # not contiguous


def test_threads_may_share_a_network(faces):
    run, _ = faces
    images = [pixels(1, 80, 64 + 16 * (seed % 2), 3, seed=seed) for seed in range(8)]
    alone = [run(image).points for image in images]
    with ThreadPoolExecutor(4) as pool:
        for points, wanted in zip(pool.map(lambda image: run(image).points, images), alone, strict=True):
            np.testing.assert_array_equal(points, wanted)


@pytest.mark.parametrize("kind", ["pfld", "mobilefacenet"])
def test_points_equal_the_reference_as_closely_as_tolerances_ask(kind):
    weights = getattr(random_networks, kind)()
    crops = pixels(2, 112, 112, 3)
    found, expected = networks.build(weights)(crops), point_networks.build(weights)(crops)
    assert np.abs(found - expected).max() < {"pfld": 1e-5, "mobilefacenet": 1e-4}[kind]
    assert found.shape == (2, 68, 2)


@pytest.mark.parametrize(("points", "edges", "stacks", "width"), [(98, 9, 2, 64), (68, 9, 1, 24), (29, 7, 3, 8)])
def test_star_of_any_size_equals_the_reference(points, edges, stacks, width):
    weights = random_networks.star(points, edges, stacks, width)
    crops = pixels(1, 256, 256, 3)
    found = networks.build(weights)(crops)
    # Of 1, half a crop. Random weights leave no value at the border of a mask here, which would move single places.
    assert np.abs(found - point_networks.build(weights)(crops)).max() < TOLERANCE
    assert found.shape == (1, points, 2)
    assert found.dtype == np.float32


def test_star_of_published_size_equals_another_variant():
    """The reference takes minutes."""
    pytest.importorskip("onnxruntime")
    weights, crops = random_networks.star(98, 9, 4, 256), pixels(1, 256, 256, 3)
    found, expected = networks.build(weights)(crops), onnx_networks.build(weights)(crops)
    assert np.abs(found - expected).max() < 2e-4  # the stage's tolerance
    assert np.ptp(found) > 0.1


def test_other_images_are_refused(faces):
    run, _ = faces
    with pytest.raises(ContractError, match="images"):
        run(np.zeros((1, 20, 20), np.uint8))
    with pytest.raises(ContractError, match="images"):
        run(np.zeros((1, 20, 20, 3), np.float32))


def test_one_network_is_left_to_others():
    variant = registry().get("point_network", "numba")
    assert "FaceApi" in (variant.unavailable_reason((random_networks.face_api(),)) or "")
    for kind in ("pfld", "mobilefacenet", "star"):
        assert variant.unavailable_reason((getattr(random_networks, kind)(),)) is None


@pytest.mark.parametrize(("kind", "chosen"), [("pfld", "numba"), ("star", "numba"), ("face_api", "onnx")])
def test_the_best_variant_of_a_network_is_numba_where_it_serves(kind, chosen):
    pytest.importorskip("onnxruntime")
    bundle = factories.make_bundle(0, m=6)
    points = LandmarkNetwork(getattr(random_networks, kind)(), bundle.face.main.pdm)
    bundle = bundle.with_serving("landmarker", kind, points)
    bundle = bundle.with_serving("locator", "retinaface", random_networks.retinaface())
    choices = choose_best(bundle, "cpu")
    assert choices["point_network"].variant.name == chosen
    assert choices["face_network"].variant.name == "numba"


def planned(kind):
    weights = getattr(random_networks, kind)()
    folded = fold(weights.tensors, parts_of(weights).graph)
    return plan_of(folded, parts_of(weights).graph)


def test_pfld_is_one_convolution_after_another():
    plan = planned("pfld")
    assert [step.kind for step in plan.steps if not isinstance(step, Convolutions)] == ["mean", "mean"]
    convolutions = [step for step in plan.steps if isinstance(step, Convolutions)]
    # Each of the 13 inverted residuals is two steps; the depthwise one is in the second, and so is the sum around.
    assert sum(step.depthwise is not None for step in convolutions) == 14
    assert sum(product.around is not None for step in convolutions for product in step.products) == 9


def test_convolutions_of_the_same_maps_are_computed_together():
    plan = planned("retinaface")
    together = [tuple(p.result.channels for p in s.products) for s in plan.steps if isinstance(s, Convolutions)]
    assert together.count((32, 16)) == 3  # conv3X3 and conv5X5_1 of each level
    assert together.count((16, 16)) == 3  # conv5X5_2 and conv7X7_2
    heads = [step for step in plan.steps if isinstance(step, Convolutions) and len(step.products[0].convs) == 3]
    assert [step.products[0].result.channels for step in heads] == [32] * 3
    assert [first for _, first, _ in plan.outputs] == [0, 8, 12] * 3


def test_norms_sums_and_coordinates_of_star_are_parts_of_convolutions():
    plan = planned("star")  # of two stacks, each with thirteen blocks and one behind them; three are before
    blocks = 2 * 14 + 3
    convolutions = [step for step in plan.steps if isinstance(step, Convolutions)]
    # Two sums of each block are in its convolutions but where a skip layer is the second, and the sums of stacks.
    assert sum(step.depthwise is not None for step in convolutions) == blocks
    assert sum(product.around is not None for step in convolutions for product in step.products) == blocks + 2
    others = [step.kind for step in plan.steps if not isinstance(step, Convolutions)]
    assert {kind: others.count(kind) for kind in others} == {
        "constant": 3, "max": 9, "add": 8, "instance": 2, "sigmoid": 4, "times": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "size"),
    [("retinaface", (45, 83)), ("pfld", (112, 112)), ("mobilefacenet", (112, 112)), ("star", (256, 256))],
)
def test_nothing_is_read_that_was_not_written_for_this_image(kind, size):
    """All memory but that of the pixels and their rim, which stays zero, may hold anything."""
    run = networks.build(getattr(random_networks, kind)())
    images = pixels(1, *size, 3)

    def values():
        result = run(images)
        return result.points if kind == "retinaface" else result

    first, sized = values().copy(), run._programs[size]
    (arena,) = sized._free
    rows = sized._program.steps
    of_pixels = rows[np.flatnonzero(rows[:, 0] == network_steps.READ)[0] + 1]  # start and plane: fields 1 and 5
    begin, end = of_pixels[1], of_pixels[1] + of_pixels[5] + UNROLLED
    arena[:begin] = np.nan
    arena[end:] = np.nan
    np.testing.assert_array_equal(values(), first)


def test_transformed_weights_make_a_convolution():
    """One tile in float64: inputs at the points, products, and interpolation, against the sums themselves."""
    rng = np.random.default_rng(1)
    weights, values = rng.standard_normal((1, 1, 3, 3)), rng.standard_normal((6, 6))
    both, product = A**2 + B**2, A**2 * B**2
    rows = [[product, 0, -both, 0, 1, 0]]
    for a, b in ((A, B), (-A, B), (B, A), (-B, A)):
        rows.append([0, -a * b**2, -(b**2), a, 1, 0])
    rows.append([0, product, 0, -both, 0, 1])
    at_points = np.array(rows) @ values @ np.array(rows).T
    products = at_points * transformed_weights(weights).reshape(6, 6)
    powers = np.array([[p**k for p in (0, A, -A, B, -B)] + [float(k == 3)] for k in range(4)])
    wanted = [[(values[i : i + 3, j : j + 3] * weights[0, 0]).sum() for j in range(4)] for i in range(4)]
    np.testing.assert_allclose(powers @ products @ powers.T, wanted, atol=1e-5)  # weights are rounded to float32
