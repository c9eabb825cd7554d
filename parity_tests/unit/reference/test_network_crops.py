"""What a landmark network sees of an image, and where its points come to lie: also over the border."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from auparity.errors import ContractError
from auparity.parity_tests.unit.helpers import random_networks
from auparity.reference.networks.crops import (
    Square,
    box_of_landmarks,
    box_of_mtcnn,
    crop_rule_of,
    mtcnn_box,
    square_of,
    star_crop_of,
)
from auparity.reference.networks.wflw import BROWS, to_68
from auparity.reference.resampling import scale_and_shift_u8
from auparity.reference.resize_u8 import resize_bilinear_u8

RNG = np.random.default_rng(7)
IMAGE = RNG.integers(0, 256, (90, 120, 3)).astype(np.uint8)


@pytest.mark.parametrize("size", [(112, 112), (50, 113), (1, 1), (300, 7)])
def test_images_are_resized_with_the_bits_of_opencv(size):
    for height, width in [(112, 112), (224, 224), (100, 226), (1, 1), (2, 300), (300, 2), (37, 154), (499, 111)]:
        image = RNG.integers(0, 256, (height, width, 3)).astype(np.uint8)
        assert np.array_equal(resize_bilinear_u8(image, size), cv2.resize(image, size[::-1])), (height, width)


def test_images_are_enlarged_and_moved_with_the_bits_of_opencv():
    for _ in range(20):
        scale, shift = RNG.uniform(0.2, 5), RNG.uniform(-300, 100, 2)
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]], [0, 0, 1]], np.float32)
        back = np.linalg.inv(matrix.astype(np.float64))
        found = scale_and_shift_u8(IMAGE, [[back[0, 0], back[0, 2]], [back[1, 1], back[1, 2]]], (256, 256))
        assert np.array_equal(found, cv2.warpPerspective(IMAGE, matrix, (256, 256)))


@pytest.mark.parametrize("image", [np.zeros((3, 3), np.uint8), np.zeros((3, 3, 3)), np.zeros((0, 3, 3), np.uint8)])
def test_what_is_no_image_is_refused(image):
    with pytest.raises(ContractError):
        resize_bilinear_u8(image, (2, 2))
    with pytest.raises(ContractError):
        scale_and_shift_u8(image, np.ones((2, 2)), (2, 2))
    with pytest.raises(ContractError, match="size"):
        resize_bilinear_u8(IMAGE, (0, 2))


def test_boxes_of_landmarks_and_of_mtcnn_follow_the_measured_rules():
    assert np.allclose(box_of_landmarks(np.array([[100.0, 200, 10, 20]])), [[100.1, 193.6, 110.0, 219.8]])
    assert np.allclose(mtcnn_box(np.array([[100.0, 200, 110, 220]])), [[100.2, 205.2, 10.3, 15.0]])


def test_boxes_of_mtcnn_come_back():
    boxes = np.array([[102.5, 42.6, 285.6, 268.3], [-3, 5, 1, 9]], np.float32)
    assert np.abs(box_of_mtcnn(mtcnn_box(boxes)) - boxes).max() < 1e-4


def test_a_square_is_a_tenth_longer_than_the_longer_side():
    square = square_of(np.array([10.5, 20.5, 50.25, 100.5], np.float32))
    assert square == Square(left=30 - 44, top=60 - 44, size=88)


def test_the_square_of_face_api_is_smaller_and_lower():
    box = np.array([10.5, 20.5, 50.25, 100.5], np.float32)
    square = crop_rule_of(random_networks.face_api())(box)
    assert square == Square(left=30 - 41, top=70 - 41, size=83)  # 1.04 times 80, around 60.5 and 0.13 times 80
    assert crop_rule_of(random_networks.pfld())(box) == square_of(box)
    assert crop_rule_of(random_networks.mobilefacenet())(box) == square_of(box)
    assert crop_rule_of(random_networks.star())(box) == star_crop_of(box)


@pytest.mark.parametrize("box", [(5, 5, 5, 9), (5, 5, 4, 9), (0, 0, 0.5, 0.5), (np.nan, 0, 1, 1)])
def test_a_box_without_area_has_no_crop(box):
    assert square_of(np.array(box, np.float32)) is None
    assert star_crop_of(np.array(box, np.float32)) is None


@pytest.mark.parametrize("size", [1e4, 1e6, np.inf])
def test_a_square_that_no_image_holds_is_none(size):
    assert square_of(np.array([0, 0, size, size], np.float32)) is None
    assert square_of(np.array([0, 0, 7000, 7000], np.float32)).size == 7700


@pytest.mark.parametrize("square", [Square(10, 10, 60), Square(-20, 30, 80), Square(80, 50, 70), Square(200, 0, 30)])
def test_what_lies_outside_the_image_is_black(square):
    around = cv2.copyMakeBorder(IMAGE, 300, 300, 300, 300, cv2.BORDER_CONSTANT)
    whole = around[300 + square.top :, 300 + square.left :][: square.size, : square.size]
    assert np.array_equal(square.cut(IMAGE, 112), cv2.resize(whole, (112, 112)))


def test_points_of_a_face_over_the_border_are_right_and_with_the_switch_as_wrong_as_those_of_other_programs():
    square = Square(-40, 10, 100)
    points = np.array([[0.4, 0.0], [1.0, 0.5]], np.float32)
    assert square.to_image(points, IMAGE).tolist() == [[0, 10], [60, 60]]
    # They scale by the part inside, 60 x 80 px from (0, 10).
    assert np.allclose(square.to_image(points, IMAGE, compatible=True), [[24, 10], [60, 50]])
    inside = Square(5, 6, 50)
    assert np.array_equal(inside.to_image(points, IMAGE), inside.to_image(points, IMAGE, compatible=True))


def test_star_sees_the_shorter_side_and_its_points_come_back():
    crop = star_crop_of(np.array([20.9, 10.9, 80.9, 90.9], np.float32))
    assert crop.scale == np.float32(256 / (60 * 1.05))
    middle = crop.matrix @ [50, 50, 1]
    assert np.allclose(middle[:2], 127.5)
    normalised = (2 * np.array([[127.5, 127.5]]) + 1) / 256 - 1
    assert np.allclose(crop.to_image(normalised), [[50, 50]])
    assert np.array_equal(crop.cut(IMAGE), cv2.warpPerspective(IMAGE, crop.matrix, (256, 256)))


def test_corners_are_cut_toward_zero():
    assert star_crop_of(np.array([-0.9, -0.9, 60.9, 80.9])) == star_crop_of(np.array([0, 0, 60, 80]))


def test_the_68_points_of_98():
    points = np.stack([np.arange(98.0), -np.arange(98.0)], axis=-1)[None]
    edge, middle = (to_68(points, rule)[0, :, 0] for rule in ("edge", "middle"))
    assert edge.shape == (68,)
    assert edge[:17].tolist() == list(range(0, 33, 2))
    assert edge[17:27].tolist() == [33, 34, 35, 36, 37, 42, 43, 44, 45, 46]
    assert middle[17:27].tolist() == [33, 37.5, 37.5, 37.5, 37.5, 46, 46, 46, 46, 46]
    assert edge[27:36].tolist() == list(range(51, 60))
    assert edge[36:48].tolist() == [60, 61, 63, 64, 65, 67, 68, 69, 71, 72, 73, 75]
    assert edge[48:].tolist() == list(range(76, 96))
    assert np.array_equal(np.delete(edge, range(17, 27)), np.delete(middle, range(17, 27)))
    assert np.array_equal(to_68(points)[0, :, 0], middle)
    assert set(BROWS) == {"edge", "middle"}
