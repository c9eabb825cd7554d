"""The landmark validator against its definition: warp, normalisation, view, bins, and when a face counts as found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from auparity.errors import ContractError
from auparity.models.types import ConvNet, FullyConnected, Validator
from auparity.parity_tests.unit.helpers import factories
from auparity.reference.numerics import FLOAT32, FLOAT64, PERTURBED
from auparity.reference.validation import (
    VALIDATION_BOUNDARY,
    LandmarkValidator,
    crop_region,
    normalise_frame,
    warp_to_frame,
)

RNG = np.random.default_rng(11)
VALIDATOR = factories.make_validator(RNG)
WARP = VALIDATOR.views[0].warp
DESTINATION = np.ascontiguousarray(WARP.destination.reshape(2, -1).T).astype(np.float32)
#: Smooth, so that a coordinate rounded to 1/32 px changes little.
GRAY = np.add.outer(np.arange(200.0) * 0.5, np.arange(240.0) * 0.3).astype(np.float32)
LANDMARKS = RNG.uniform(60, 140, (1, 68, 2)).astype(np.float32)
UPRIGHT = np.zeros((1, 3), np.float32)


def always(bins, winner):
    """A network that says `winner` of `bins` whatever it sees; -1: the same of all."""
    bias = np.zeros(bins, np.float32)
    if winner >= 0:
        bias[winner] = 1
    return ConvNet((FullyConnected(np.zeros((3600, bins), np.float32), bias),))


def saying(*answers, bins=20, centres=(0.0,)):
    """A validator of one such network a view."""
    views = tuple(replace(VALIDATOR.views[0], net=always(bins, answer)) for answer in answers)
    return LandmarkValidator(Validator(factories.view_centres(centres), views))


@pytest.mark.parametrize(("bins", "last_success"), [(20, 4), (30, 7)])
def test_bins_are_certainties_and_those_above_the_boundary_are_successes(bins, last_success):
    for winner in range(bins):
        confidence = saying(winner, bins=bins).confidence(GRAY[None], LANDMARKS, UPRIGHT)[0]
        assert confidence.dtype == np.float32
        assert confidence == np.float32(1 - (winner + 0.5) / bins)
        assert (confidence > VALIDATION_BOUNDARY) == (winner <= last_success)


def test_the_bin_at_the_boundary_is_the_boundary_and_fails():
    confidence = saying(5).confidence(GRAY[None], LANDMARKS, UPRIGHT)[0]
    assert confidence == np.float32(0.725)
    assert not confidence > VALIDATION_BOUNDARY
    assert confidence > 0.725 - 1e-6


def test_equal_scores_are_decided_for_the_first_bin():
    assert saying(-1).confidence(GRAY[None], LANDMARKS, UPRIGHT)[0] == np.float32(0.975)


def test_the_nearest_head_orientation_is_asked_and_the_first_wins_ties():
    validator = saying(0, 1, 2, centres=(0.0, -40.0, 40.0))
    for degrees, view in ((0, 0), (-19, 0), (-21, 1), (90, 2), (20, 0)):
        orientation = np.deg2rad(np.array([0, degrees, 0], np.float32))
        assert validator.select_view(orientation) == view
    both = np.array([[0, 1.5, 0], [0, -1.5, 0]], np.float32)
    found = validator.confidence(np.stack([GRAY, GRAY]), np.repeat(LANDMARKS, 2, 0), both)
    np.testing.assert_array_equal(found, np.float32([0.875, 0.925]))


def brute_warp(region, landmarks):
    """Frame pixel for frame pixel, without rounding of coordinates: bilinear, 0 outside (spec 50.8 step 2)."""

    def pixel(row, col):
        return region[row, col] if 0 <= row < region.shape[0] and 0 <= col < region.shape[1] else 0.0

    frame = np.zeros(WARP.mask.shape)
    for r, c in np.argwhere(WARP.mask):
        triangle = WARP.triangle_id[r, c]
        (xi, yi), (xj, yj), (xk, yk) = landmarks[WARP.triangles[triangle]].astype(float)
        alpha, beta = WARP.alpha[triangle], WARP.beta[triangle]
        here = np.array([1, c + WARP.min_x, r + WARP.min_y])
        x = xi + (xj - xi) * (alpha @ here) + (xk - xi) * (beta @ here)
        y = yi + (yj - yi) * (alpha @ here) + (yk - yi) * (beta @ here)
        col, row = int(np.floor(x)), int(np.floor(y))
        fx, fy = x - col, y - row
        frame[r, c] = (
            (1 - fy) * ((1 - fx) * pixel(row, col) + fx * pixel(row, col + 1))
            + fy * ((1 - fx) * pixel(row + 1, col) + fx * pixel(row + 1, col + 1))
        )  # fmt: skip
    return frame


def test_the_warp_brings_every_triangle_to_its_place():
    landmarks = DESTINATION * 1.7 + np.float32([20, 30]) + RNG.uniform(-3, 3, (68, 2)).astype(np.float32)
    found = warp_to_frame(GRAY, landmarks, WARP)
    # 1/64 px of rounding in each coordinate on slopes of 0.3 and 0.5 levels a px
    np.testing.assert_allclose(found, brute_warp(GRAY, landmarks), atol=0.8 / 64 + 1e-4)
    assert (found[WARP.mask == 0] == 0).all()


def test_landmarks_that_stand_where_the_frame_has_them_leave_the_picture_as_it_is():
    frame = warp_to_frame(GRAY, DESTINATION, WARP)
    inside = WARP.mask != 0
    np.testing.assert_allclose(frame[inside], GRAY[:60, :60][inside], atol=0.8 / 64 + 1e-4)


def test_what_lies_outside_the_image_is_black():
    frame = warp_to_frame(GRAY, DESTINATION - np.float32([30, 0]), WARP)
    assert (frame[:, :29] == 0).all()
    assert frame[WARP.mask != 0].any()


def test_pixels_are_normalised_column_by_column():
    mask = WARP.mask.copy()
    mask[:30, 45:] = 0  # a face that is not its own mirror image: rows and columns cannot stand in for one another
    n = np.count_nonzero(mask)
    view = replace(
        VALIDATOR.views[0],
        warp=replace(WARP, mask=mask),
        mean=VALIDATOR.views[0].mean[:n],
        std=VALIDATOR.views[0].std[:n],
    )
    frame = RNG.uniform(0, 255, WARP.mask.shape).astype(np.float32)
    places = [(r, c) for c in range(60) for r in range(60) if view.warp.mask[r, c]]
    values = np.array([float(frame[place]) for place in places])
    values = ((values - values.mean()) / values.std() - view.mean) / view.std
    expected = np.zeros((60, 60))
    for place, value in zip(places, values, strict=True):
        expected[place] = value
    found = normalise_frame(frame, view)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_flat_face_is_its_mean_face_and_no_division_by_zero():
    view = VALIDATOR.views[0]
    found = normalise_frame(np.full((60, 60), 77, np.float32), view)
    np.testing.assert_allclose(np.sort(found.T[view.warp.mask.T != 0]), np.sort(-view.mean / view.std), rtol=1e-5)


@pytest.mark.parametrize(
    ("corner", "size", "origin", "shape"),
    [
        ((50.9, 40.9), (60.0, 50.0), (47, 37), (56, 66)),  # truncated towards zero: 47.9, 37.9, 113.9, 93.9
        ((1.5, 2.5), (60.0, 50.0), (0, 0), (55, 64)),  # -1.5 and -0.5 become 0
        ((-40.0, 10.0), (60.0, 50.0), (0, 7), (56, 23)),
        ((200.0, 170.0), (60.0, 50.0), (197, 167), (32, 42)),  # the last row and column are left out
    ],
)
def test_the_region_is_the_landmarks_box_and_three_pixels_within_the_image(corner, size, origin, shape):
    landmarks = np.array([corner, np.add(corner, size)])
    region, found = crop_region(GRAY, landmarks)
    assert found == origin
    assert region.shape == shape
    assert region[0, 0] == GRAY[origin[1], origin[0]]


@pytest.mark.parametrize("away", [(-200, 0), (300, 0), (0, -200), (0, 300), (-141, 0), (182, 0)])
def test_a_face_outside_the_image_has_no_certainty(away):
    assert saying(0).confidence(GRAY[None], LANDMARKS + np.float32(away), UPRIGHT)[0] == 0


def test_a_batch_is_its_faces_one_by_one():
    validator = LandmarkValidator(VALIDATOR)
    gray = np.stack([GRAY, 255 - GRAY, GRAY[::-1]]).astype(np.float32)
    landmarks = RNG.uniform(20, 180, (3, 68, 2)).astype(np.float32)
    angles = RNG.uniform(-1, 1, (3, 3)).astype(np.float32)
    together = validator.confidence(gray, landmarks, angles)
    for k in range(3):
        assert validator.confidence(gray[k : k + 1], landmarks[k : k + 1], angles[k : k + 1])[0] == together[k]


@pytest.mark.parametrize("numerics", [FLOAT64, PERTURBED])
def test_other_precisions_see_the_same_face(numerics):
    landmarks = DESTINATION * np.float32(1.3) + 40
    reference = warp_to_frame(GRAY, landmarks, WARP)
    other = warp_to_frame(numerics.cast(GRAY), numerics.cast(landmarks), WARP, numerics)
    assert other.dtype == numerics.dtype
    np.testing.assert_allclose(reference, other, atol=0.8 / 32 + 1e-4)  # a coordinate on a border of 1/32 px


def test_contract():
    validator = LandmarkValidator(VALIDATOR, FLOAT32)
    for gray, landmarks, orientation, argument in (
        (GRAY, LANDMARKS, UPRIGHT, "gray"),
        (GRAY[None].astype(np.float64), LANDMARKS, UPRIGHT, "gray"),
        (GRAY[None], LANDMARKS[0], UPRIGHT, "landmarks"),
        (GRAY[None], LANDMARKS * np.float32(np.nan), UPRIGHT, "landmarks"),
        (GRAY[None], np.repeat(LANDMARKS, 2, 0), UPRIGHT, "landmarks"),
        (GRAY[None], LANDMARKS, UPRIGHT[:, :2], "orientation"),
    ):
        with pytest.raises(ContractError, match=f"'validation', argument '{argument}'"):
            validator.confidence(gray, landmarks, orientation)
