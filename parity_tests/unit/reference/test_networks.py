"""The networks compute what PyTorch computes of the same weights; and RetinaFace's anchors, decoding and selection."""

from __future__ import annotations

import numpy as np
import pytest

from auparity.errors import ContractError
from auparity.parity_tests.unit.helpers import random_networks, torch_networks
from auparity.reference.networks import retinaface as faces
from auparity.reference.networks.face_api import FaceApiNetwork
from auparity.reference.networks.layers import convolve, depthwise
from auparity.reference.networks.mobilefacenet import MobileFaceNetwork
from auparity.reference.networks.pfld import PfldNetwork
from auparity.reference.networks.retinaface import RetinaFaceNetwork, Selection, decode, find_faces, priors, select
from auparity.reference.networks.star import StarNetwork, centres_of_mass

RNG = np.random.default_rng(5)


def images(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape).astype(np.uint8)


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def near(found, wanted, *, relative):
    wanted = np.asarray(wanted)
    assert found.shape == wanted.shape
    error = np.abs(found - wanted).max() / np.abs(wanted).max()
    assert error < relative, f"largest difference {error:.2g} of the largest value"


#: float64 separates rounding from errors: what is left is the order of sums. float32 rounds after each of some forty
#: layers (2**-24 each), the two outputs of a class cancel, and ResNet-50 has twice as many layers.
PRECISIONS = [(np.float64, 1e-11), (np.float32, 2e-5)]


@pytest.mark.parametrize(("dtype", "relative"), PRECISIONS)
@pytest.mark.parametrize(("backbone", "shape"), [("mobile0.25", (2, 75, 101, 3)), ("resnet50", (1, 41, 70, 3))])
def test_retinaface_is_that_of_pytorch_at_odd_sizes(torch, backbone, shape, dtype, relative):
    weights, pictures = random_networks.retinaface(backbone), images(*shape)
    raw = RetinaFaceNetwork(weights, dtype)(pictures)
    for found, wanted in zip(
        (raw.boxes, raw.faces, raw.points), torch_networks.retinaface(weights, pictures), strict=True
    ):
        near(found, wanted, relative=relative)
        assert found.dtype == dtype
    assert raw.boxes.shape[1] == len(priors(*shape[1:3]))


@pytest.mark.parametrize(("dtype", "relative"), PRECISIONS)
@pytest.mark.parametrize("name", ["pfld", "mobilefacenet", "face_api"])
def test_networks_of_68_points_are_those_of_pytorch(torch, name, dtype, relative):
    weights, crops = getattr(random_networks, name)(), images(2, 112, 112, 3)
    kinds = {"pfld": PfldNetwork, "mobilefacenet": MobileFaceNetwork, "face_api": FaceApiNetwork}
    network = kinds[name](weights, dtype)
    maps = np.ascontiguousarray(crops[..., ::-1].transpose(0, 3, 1, 2) / 255.0)
    near(network(crops).reshape(2, -1), getattr(torch_networks, name)(weights, maps), relative=relative)


def test_the_tiny_network_of_face_api_has_blocks_of_its_own(torch):
    weights, crops = random_networks.face_api(tiny=True), images(1, 112, 112, 3)
    maps = np.ascontiguousarray(crops[..., ::-1].transpose(0, 3, 1, 2) / 255.0)
    found = FaceApiNetwork(weights, np.float64)(crops)
    near(found.reshape(1, -1), torch_networks.face_api(weights, maps), relative=1e-11)


def test_padding_may_be_on_one_side_only():
    """TensorFlow pads a strided convolution of even size at bottom and right: output 0 looks at pixels 0 to 2."""
    maps = np.arange(16.0).reshape(1, 1, 4, 4)
    kernel = np.zeros((1, 1, 3, 3))
    kernel[0, 0, 0, 0] = 1
    for layer in (convolve, depthwise):
        assert layer(maps, kernel, None, 2, (0, 1))[0, 0].tolist() == [[0, 2], [8, 10]]
        assert layer(maps, kernel, None, 2, (1, 0))[0, 0].tolist() == [[0, 0], [0, 5]]
        assert layer(maps, kernel, None, 2, 1)[0, 0].tolist() == [[0, 0], [0, 5]]
        assert layer(maps, kernel, None, 1, (0, 1)).shape == (1, 1, 3, 3)
        with pytest.raises(ContractError, match=">= 3"):
            layer(maps[:, :, :1, :1], kernel, None, 1, (0, 1))


@pytest.mark.parametrize(("points", "edges", "stacks"), [(29, 7, 2), (68, 9, 1), (98, 9, 2)])
def test_star_is_that_of_pytorch_in_every_stack(torch, points, edges, stacks):
    """In float64, where no rounding turns a pixel of the mask from one side of 0.05 to the other."""
    weights, crops = random_networks.star(points, edges, stacks), images(1, 256, 256, 3)
    found = np.stack([stack.points for stack in StarNetwork(weights, np.float64).stacks(crops)])
    assert found.shape == (stacks, 1, points, 2)
    near(found, torch_networks.star(weights, crops), relative=1e-9)


def test_images_of_a_batch_do_not_change_each_other():
    network, crops = PfldNetwork(random_networks.pfld()), images(3, 112, 112, 3)
    assert np.array_equal(network(crops)[1], network(crops[1:2])[0])
    detector, pictures = RetinaFaceNetwork(random_networks.retinaface()), images(2, 64, 64, 3)
    assert np.array_equal(detector(pictures).boxes[1], detector(pictures[1:]).boxes[0])


@pytest.mark.parametrize("crops", [images(1, 111, 112, 3), images(1, 112, 112, 4), np.zeros((1, 112, 112, 3))])
def test_crops_of_another_size_or_type_are_refused(crops):
    for network in (
        PfldNetwork(random_networks.pfld()), MobileFaceNetwork(random_networks.mobilefacenet()),
        FaceApiNetwork(random_networks.face_api()),
    ):  # fmt: skip
        with pytest.raises(ContractError, match="crops"):
            network(crops)
    with pytest.raises(ContractError, match="crops"):
        StarNetwork(random_networks.star())(crops)
    with pytest.raises(ContractError, match="images"):
        RetinaFaceNetwork(random_networks.retinaface())(images(64, 64, 3))


def test_centres_of_mass_are_where_a_map_has_its_values():
    maps = np.zeros((1, 3, 5, 9), np.float32)
    maps[0, 0, 4, 0] = 7
    maps[0, 1, 2, 3:6] = [1, 0, 3]
    assert centres_of_mass(maps)[0].tolist() == [[-1, 1], [0.125, 0], [0, 0]]


def test_anchors_lie_level_after_level_row_after_row():
    anchors = priors(36, 50)
    places = [(5, 7), (3, 4), (2, 2)]  # the next whole number above
    assert len(anchors) == 2 * sum(rows * columns for rows, columns in places)
    assert anchors[:3].tolist() == np.float32([
        [4 / 50, 4 / 36, 16 / 50, 16 / 36], [4 / 50, 4 / 36, 32 / 50, 32 / 36], [12 / 50, 4 / 36, 16 / 50, 16 / 36]
    ]).tolist()  # fmt: skip
    assert anchors[14, 1] == np.float32(12 / 36)
    assert anchors[-1].tolist() == np.float32([48 / 50, 48 / 36, 512 / 50, 512 / 36]).tolist()


def test_an_output_of_zeros_is_the_anchor_itself():
    anchors = priors(64, 96)
    zeros = np.zeros((len(anchors), 4), np.float32)
    boxes, points = decode(zeros, np.zeros((len(anchors), 10), np.float32), anchors, (64, 96))
    assert np.allclose(boxes[0], [4 - 8, 4 - 8, 4 + 8, 4 + 8])
    assert np.allclose(points[0], [4, 4])


def test_boxes_and_points_are_in_parts_of_the_anchor():
    anchors = np.array([[0.5, 0.5, 0.25, 0.5]], np.float32)
    boxes, points = decode(
        np.array([[1, -2, 5 * np.log(2), 0]], np.float32), np.arange(10, dtype=np.float32)[None], anchors, (100, 200)
    )
    # centre (0.5 + 0.1 * 0.25, 0.5 - 0.2 * 0.5), twice as wide
    assert np.allclose(boxes, [[(0.525 - 0.25) * 200, (0.4 - 0.25) * 100, (0.525 + 0.25) * 200, (0.4 + 0.25) * 100]])
    assert np.allclose(points[0, 1], [(0.5 + 0.1 * 2 * 0.25) * 200, (0.5 + 0.1 * 3 * 0.5) * 100])


def selected(boxes, scores, **changes):
    boxes = np.array(boxes, np.float32)
    points = np.repeat(boxes[:, None, :2], 5, axis=1)
    return select(boxes, np.array(scores, np.float32), points, Selection(**changes))


def test_of_overlapping_boxes_the_best_stays_and_pixels_are_counted_inclusively():
    boxes = [[0, 0, 9, 9], [0, 0, 9, 19], [100, 0, 109, 9], [0, 5, 9, 14]]
    # 10 x 10 in 10 x 20 pixels overlap by 0.5; by 10 x 5 of 15 x 10 by a third
    found = selected(boxes, [0.9, 0.8, 0.7, 0.6], overlap=0.4)
    assert found.scores.tolist() == np.float32([0.9, 0.7, 0.6]).tolist()
    assert len(selected(boxes, [0.9, 0.8, 0.7, 0.6], overlap=0.5).scores) == 4  # 0.5 is not more
    assert found.points[1, 0].tolist() == [100, 0]


def test_equal_scores_keep_the_order_of_the_anchors():
    boxes = [[100 * k, 0, 100 * k + 9, 9] for k in range(40)]
    assert selected(boxes, [0.75] * 40).boxes[:, 0].tolist() == [100 * k for k in range(40)]


def test_thresholds_and_limits():
    boxes = [[100 * k, 0, 100 * k + 9, 9] for k in range(6)]
    scores = [0.01, 0.02, 0.3, 0.5, 0.9, np.nextafter(np.float32(0.5), 0)]
    assert selected(boxes, scores).scores.tolist() == np.float32([0.9, 0.5]).tolist()
    assert len(selected(boxes, scores, shown=0.0).scores) == 4  # at 0.02 a box takes no part yet
    assert len(selected(boxes, scores, shown=0.0, most=3).scores) == 3
    assert len(selected(boxes, scores, shown=0.0, kept=2).scores) == 2
    boxes[4][2] = np.inf
    assert selected(boxes, scores).scores.tolist() == [0.5]
    assert len(selected([[0, 0, 1, 1]], [0.0]).scores) == 0


def test_faces_are_found_where_the_network_says(monkeypatch):
    """One anchor that is a face: the second of the place in row 2, column 3 of the finest level."""

    def network(pictures):
        count = len(priors(*pictures.shape[1:3]))
        scores = np.zeros((1, count), np.float32)
        scores[0, 2 * (2 * 12 + 3) + 1] = 0.9
        return faces.RawFaces(np.zeros((1, count, 4), np.float32), scores, np.zeros((1, count, 10), np.float32))

    found = find_faces(network, images(64, 96, 3))
    assert np.allclose(found.boxes, [[28 - 16, 20 - 16, 28 + 16, 20 + 16]])
    assert np.allclose(found.points, np.full((1, 5, 2), [28, 20]))
