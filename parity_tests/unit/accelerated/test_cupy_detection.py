"""The face detector as CUDA kernels, run on the host: the reference's faces, whatever other pictures there are."""

from __future__ import annotations

import numpy as np
import pytest

from auparity.accelerated.cupy import detection
from auparity.errors import ContractError
from auparity.models.bundle import Bundle
from auparity.models.synthetic.render import render_photograph
from auparity.models.types import ConvNet, FullyConnected
from auparity.parity_tests.compare.tolerances import tolerance
from auparity.parity_tests.cuda_on_host import host_device
from auparity.parity_tests.unit.helpers import factories
from auparity.parity_tests.unit.helpers.counting_device import CountingDevice
from auparity.reference import boxes
from auparity.reference import detection as reference_detection
from auparity.reference.resampling import resize_bilinear_f32
from auparity.reference.stages import reference_stages

BUNDLE = Bundle.embedded(networks=False)
REFERENCE = reference_stages()


@pytest.fixture(scope="module")
def device():
    return host_device(strict=True)


def up(device, *arrays):
    return [device.upload(np.ascontiguousarray(array)) for array in arrays]


# ---- detection ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures():
    """Images (2, 120, 160, 3), each of a face of 70 px."""
    shots = [render_photograph(3_800_000 + 4 * k, canvas=(160, 120), face_width=(68, 72), yaw=10) for k in range(2)]
    return np.stack([shot.image for shot in shots])


def assert_same_faces(found, expected):
    assert len(found) == len(expected)
    limit = tolerance("stage", "detection_boxes").tolerance
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=limit, rtol=0)
    np.testing.assert_allclose(found.points, expected.points, atol=limit, rtol=0)
    scores = tolerance("stage", "detection_scores").tolerance
    np.testing.assert_allclose(found.scores, expected.scores, atol=scores, rtol=0)


def test_faces_are_found_where_the_reference_finds_them(device, pictures):
    detect, reference = detection.build(BUNDLE.detector, device), REFERENCE.detection(BUNDLE.detector)
    expected = [reference(image) for image in pictures]
    assert sum(map(len, expected)) >= 1
    for image, faces in zip(pictures, expected, strict=True):
        assert_same_faces(detect(image), faces)


@pytest.mark.parametrize("size", [(61, 60), (40, 30), (90, 100)])
def test_pictures_of_noise_of_one_colour_and_gray_ones(device, size):
    noise = np.random.default_rng(6).integers(0, 256, (*size, 3), dtype=np.uint8)
    detect, reference = detection.build(BUNDLE.detector, device), REFERENCE.detection(BUNDLE.detector)
    for picture in (noise, noise * 0, noise[:, :, 0]):
        assert_same_faces(detect(picture), reference(picture))


def test_proposals_come_in_the_references_order(device, pictures):
    mtcnn = factories.make_mtcnn(np.random.default_rng(0))  # sees faces in many places
    found = detection.Detector(device, mtcnn)._proposals(*up(device, pictures))
    for image, levels in zip(pictures, found, strict=True):
        together = reference_detection._concatenate(levels)
        expected = reference_detection.trace_detection(image, mtcnn).after_scale_nms
        assert len(expected.boxes) >= 10
        np.testing.assert_array_equal(together.boxes, expected.boxes)
        np.testing.assert_allclose(together.scores, expected.scores, atol=1e-5)
        np.testing.assert_allclose(together.regression, expected.regression, atol=1e-5)


def test_a_detection_does_not_depend_on_the_other_pictures_nor_do_its_launches(device, pictures):
    counting = CountingDevice(device)
    detector = detection.Detector(counting, BUNDLE.detector)
    whole = detector.detect(*up(device, np.concatenate([pictures, pictures[:1] * 0])))
    assert counting.launches == 20
    assert len(whole[2]) == 0
    for image, faces in zip(pictures, whole, strict=False):
        (alone,) = detector.detect(*up(device, image[None]))
        for name in ("boxes", "scores", "points"):
            np.testing.assert_array_equal(getattr(faces, name), getattr(alone, name))


@pytest.mark.parametrize("side", [24, 48])
def test_crops_are_resized_bit_for_bit(device, side):
    """Inside the image, beyond each of its borders, enlarged, and of exactly twice the size (averaged over areas)."""
    image = np.random.default_rng(7).integers(0, 256, (90, 110, 3), dtype=np.uint8)
    given_boxes = np.array(
        [[10, 12, 60, 60], [-20, -9, 70, 70], [80, 60, 90, 90], [30, 40, 9, 9], [5, 6, 2 * side - 1, 2 * side - 1],
         [1, 1, side - 1, side - 1], [-5, 20, 2 * side - 1, 2 * side - 1], [40, 30, 0, 0]]
    )  # fmt: skip
    planes = device.empty((len(given_boxes), 3, side, side), np.float32)
    rows = np.concatenate([np.zeros((len(given_boxes), 1), np.int64), given_boxes], axis=1)
    kernel = device.kernel("detection", "crops", THREADS=detection.THREADS)
    grid = (len(given_boxes), -(-side * side // detection.THREADS))
    kernel(grid, (detection.THREADS,), (*up(device, image), np.int32(90), np.int32(110), *up(device, rows),
                                        np.int32(side), planes))  # fmt: skip
    for box, found in zip(given_boxes, device.download(planes), strict=True):
        cut = boxes.crop(image.astype(np.float32), box)
        expected = reference_detection._normalise(resize_bilinear_f32(cut, (side, side)))
        np.testing.assert_array_equal(found, reference_detection._to_maps(expected[None])[0])


def test_boxes_beside_the_picture_are_left_out():
    somewhere = np.array([[10, 10, 20, 20], [-30, 5, 20, 20], [-20, 5, 22, 20], [101, 5, 9, 9], [5, 5, -1, 9]], float)
    image = np.zeros((80, 100, 3), np.float32)
    expected = [boxes.crop(image, box) is not None for box in somewhere]
    np.testing.assert_array_equal(detection._touches(somewhere, 80, 100), expected)


def test_networks_with_too_few_outputs_are_named(device, pictures):
    short = ConvNet(
        (*BUNDLE.detector.pnet.layers[:-1], FullyConnected(np.ones((32, 2), np.float32), np.ones(2, np.float32)))
    )
    mtcnn = type(BUNDLE.detector)(short, BUNDLE.detector.rnet, BUNDLE.detector.onet)
    with pytest.raises(ContractError, match="pnet"):
        detection.build(mtcnn, device)(pictures[0])
