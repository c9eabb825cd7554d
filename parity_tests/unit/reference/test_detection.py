"""The steps of the face detector, and the whole cascade with networks that take bright squares for faces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auparity.errors import ContractError
from auparity.models.types import MTCNN, ConvNet, Convolution, FullyConnected, MaxPool
from auparity.reference import boxes, detection
from auparity.reference.detection import Detections


def brightness_head(n_in: int, n_out: int, gain: float = 4.0) -> FullyConnected:
    """Face logit = gain * mean of the inputs: a face where it is brighter than middle gray. Regression 0."""
    weights = np.zeros((n_in, n_out), np.float32)
    weights[:, 1] = gain / n_in
    return FullyConnected(weights, np.zeros(n_out, np.float32))


def mean_filter(inputs: int, side: int) -> Convolution:
    kernel = np.full((1, inputs, side, side), 1 / (inputs * side * side), np.float32)
    return Convolution(kernel, np.zeros(1, np.float32))


@pytest.fixture(scope="module")
def bright_square_detector() -> MTCNN:
    pnet = ConvNet((mean_filter(3, 3), MaxPool((2, 2), (2, 2)), mean_filter(1, 3), mean_filter(1, 3)))
    return MTCNN(
        pnet=ConvNet((*pnet.layers, brightness_head(1, 6))),
        rnet=ConvNet((brightness_head(3 * 24 * 24, 6),)),
        onet=ConvNet((brightness_head(3 * 48 * 48, 16),)),
    )


def picture(left: int, top: int, side: int, height: int = 200, width: int = 260) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    image[top : top + side, left : left + side] = 255
    return image


def test_a_bright_square_is_found_where_it_stands(bright_square_detector):
    faces = detection.detect_faces(picture(90, 50, 80), bright_square_detector)
    assert len(faces) >= 1
    assert faces.boxes.dtype == faces.scores.dtype == np.float32
    assert (np.diff(faces.scores) <= 0).all()
    x, y, width, height = detection.trace_detection(picture(90, 50, 80), bright_square_detector).after_onet.boxes[0]
    assert abs(x + width / 2 - 130) < 20
    assert abs(y + height / 2 - 90) < 20


def test_no_face_in_a_dark_picture(bright_square_detector):
    faces = detection.detect_faces(np.zeros((120, 160, 3), np.uint8), bright_square_detector)
    assert faces.boxes.shape == (0, 4)
    assert faces.scores.shape == (0,)
    assert faces.points.shape == (0, 5, 2)
    assert detection.select_face(faces) is None


@pytest.mark.parametrize("size", [(1, 1), (12, 12), (42, 300), (59, 59), (300, 59)])
def test_no_face_in_a_picture_smaller_than_the_smallest_face(bright_square_detector, size):
    assert len(detection.detect_faces(np.full((*size, 3), 255, np.uint8), bright_square_detector)) == 0


def test_a_picture_of_exactly_the_smallest_face_is_searched(bright_square_detector):
    assert detection.pyramid_scales(60, 60) == [0.2]
    assert len(detection.detect_faces(np.full((60, 60, 3), 255, np.uint8), bright_square_detector)) == 1


def test_a_gray_picture_is_replicated_to_three_channels(bright_square_detector):
    image = picture(60, 40, 70)
    colour, gray = (detection.detect_faces(i, bright_square_detector) for i in (image, image[:, :, 0].copy()))
    np.testing.assert_array_equal(colour.boxes, gray.boxes)


def test_double_precision_finds_the_same_faces(bright_square_detector):
    y, x = np.mgrid[:200, :260]  # a blot without plateaus, in which scores would tie
    blot = 255 * np.exp(-((x - 131.3) ** 2 + (y - 92.7) ** 2) / (2 * 45**2))
    image = np.repeat(blot.astype(np.uint8)[:, :, None], 3, axis=2)
    single = detection.detect_faces(image, bright_square_detector)
    double = detection.detect_faces(image, bright_square_detector, np.float64)
    assert double.boxes.dtype == np.float64
    assert len(single) > 0
    np.testing.assert_allclose(single.boxes, double.boxes, atol=1e-3)  # spec 90.10


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((100, 100, 3), np.float32),
        np.zeros((100, 100, 4), np.uint8),
        np.zeros((0, 100, 3), np.uint8),
        [[1, 2], [3, 4]],
    ],
)
def test_anything_but_an_8_bit_picture_is_rejected(bright_square_detector, image):
    with pytest.raises(ContractError, match="detection"):
        detection.detect_faces(image, bright_square_detector)


@given(st.integers(60, 4000), st.integers(60, 4000))
def test_the_smallest_pyramid_level_still_holds_one_proposal(height, width):
    scales = detection.pyramid_scales(height, width)
    assert scales[0] == 0.2
    assert np.ceil(min(height, width) * scales[-1]) >= detection.PNET_SUPPORT
    assert min(height, width) * scales[-1] * detection.PYRAMID_FACTOR < detection.PNET_SUPPORT


def test_proposals_run_down_the_columns():
    probability = np.zeros((4, 5), np.float32)
    probability[3, 1], probability[0, 2], probability[1, 1] = 0.9, 0.8, np.float32(0.6)
    level = detection.PyramidLevelTrace(0.2, np.zeros((16, 18, 3)), probability, np.zeros((4, 5, 4), np.float32))
    found = detection.proposals(level)
    np.testing.assert_array_equal(found.scores, np.float32([0.6, 0.9, 0.8]))
    # x1 = trunc((2x + 1) / 0.2), x2 = trunc((2x + 12) / 0.2)
    np.testing.assert_array_equal(found.boxes, [[15, 15, 55, 55], [15, 35, 55, 55], [25, 5, 55, 55]])


def test_rounding_in_regression_is_half_to_even():
    box = np.float32([[1.5, 2.5, 3.5, -0.5]])
    zero = np.zeros((1, 4), np.float32)
    np.testing.assert_array_equal(boxes.regress(box, zero), [[2, 2, 4, 0]])
    np.testing.assert_array_equal(boxes.regress(box, zero, add_one=True), [[2, 2, 5, 1]])


def test_regression_moves_corners_in_parts_of_the_box():
    got = boxes.regress(np.float32([[10, 20, 40, 80]]), np.float32([[0.25, -0.25, 0.5, 0.125]]))
    np.testing.assert_array_equal(got, [[20, 0, 50, 110]])


def test_squares_are_truncated_toward_zero():
    got = boxes.square(np.float32([[-3, 7, 10.9, 21.8], [5, -2, 9, 4]]))
    np.testing.assert_array_equal(got, [[-8, 7, 21, 21], [5, -4, 9, 9]])


def test_the_final_correction_uses_the_size_before_it():
    got = boxes.correct_boxes(np.float32([[100, 200, 50, 80]]))
    np.testing.assert_allclose(got, [[99.625, 219.672, 51.615, 62.008]], rtol=1e-6)


def brute_force_suppression(table: np.ndarray, scores: np.ndarray, threshold: float, minimum: bool) -> list[int]:
    """As the C++ program does it: an ordered multimap, taken from its end."""
    rounded = np.rint(table).astype(int)
    queue = sorted(range(len(scores)), key=lambda i: scores[i])  # stable: equal keys in insertion order
    kept = []
    while queue:
        best = queue.pop()
        kept.append(best)
        x, y, w, h = rounded[best]
        for i in list(queue):
            u, v, p, q = rounded[i]
            common = max(min(x + w, u + p) - max(x, u), 0) * max(min(y + h, v + q) - max(y, v), 0)
            whole = min(w * h, p * q) if minimum else w * h + p * q - common
            if whole and np.float32(common) / np.float32(whole) > np.float32(threshold):
                queue.remove(i)
    return kept


coordinate = st.floats(-20, 60, width=32)
length = st.floats(0, 50, width=32)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(coordinate, coordinate, length, length, st.sampled_from([0.6, 0.7, 0.8, 0.9])), max_size=15),
    st.sampled_from([0.5, 0.7]),
    st.booleans(),
)
def test_suppression_agrees_with_a_sorted_multimap(rows, threshold, minimum):
    table = np.array(rows, np.float32).reshape(-1, 5)
    got = boxes.suppress(table[:, :4], table[:, 4], threshold, minimum)
    assert got.tolist() == brute_force_suppression(table[:, :4], table[:, 4], threshold, minimum)


def test_of_two_equal_boxes_with_equal_scores_the_later_one_stays():
    two = np.float32([[0, 0, 10, 10], [0, 0, 10, 10], [100, 0, 10, 10]])
    assert boxes.suppress(two, np.float32([0.9, 0.9, 0.8]), 0.5).tolist() == [1, 2]


def test_an_overlap_equal_to_the_threshold_stays():
    halved = np.float32([[0, 0, 10, 10], [0, 0, 10, 5]])
    assert boxes.suppress(halved, np.float32([0.9, 0.8]), 0.5).tolist() == [0, 1]
    assert boxes.suppress(halved, np.float32([0.9, 0.8]), 0.5, minimum=True).tolist() == [0]


def test_crops_start_one_pixel_left_of_and_above_the_box():
    image = np.arange(6 * 8 * 3, dtype=np.float32).reshape(6, 8, 3)
    np.testing.assert_array_equal(boxes.crop(image, np.array([3, 2, 2, 2])), image[1:4, 2:5])


@pytest.mark.parametrize("box", [(-2, -1, 5, 4), (5, 3, 6, 6), (-3, -3, 20, 20), (0, 0, 8, 6)])
def test_crops_are_zero_outside_the_image(box):
    image = np.random.default_rng(0).random((6, 8, 3)).astype(np.float32) + 1
    x, y, width, height = box
    canvas = np.zeros((80, 80, 3), np.float32)
    canvas[30:36, 30:38] = image
    expected = canvas[30 + y - 1 : 30 + y + height, 30 + x - 1 : 30 + x + width]
    np.testing.assert_array_equal(boxes.crop(image, np.array(box)), expected)


@pytest.mark.parametrize("box", [(-10, 0, 5, 5), (9, 0, 5, 5), (0, -6, 4, 6), (0, 7, 4, 4), (2, 2, -1, 3)])
def test_boxes_outside_the_image_have_no_crop(box):
    assert boxes.crop(np.ones((6, 8, 3), np.float32), np.array(box)) is None


def faces(*rows: tuple[float, float, float, float]) -> Detections:
    count = len(rows)
    return Detections(np.array(rows, np.float32), np.ones(count, np.float32), np.zeros((count, 5, 2), np.float32))


def test_the_widest_face_is_tracked_and_the_first_wins_ties():
    assert detection.select_face(faces((0, 0, 30, 90), (50, 0, 40, 40), (99, 0, 40, 80))).box[0] == 50


def test_a_preference_point_selects_the_nearest_centre():
    assert detection.select_face(faces((0, 0, 90, 90), (100, 0, 20, 20)), preference=(105.0, 12.0)).box[0] == 100
