"""FHOG (spec 60.3)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auparity.errors import ContractError
from auparity.reference.fhog import cell_histograms, fhog, orientation, strongest_gradient
from auparity.reference.numerics import FLOAT64, PERTURBED

SEEDS = st.integers(0, 2**32 - 1)


def random_face(seed: int, height: int = 112, width: int = 112) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def by_cell(descriptor: np.ndarray, rows: int = 12) -> np.ndarray:
    """(rows, columns, 31)."""
    return descriptor.reshape(rows, -1, 31)


def test_a_face_of_112_pixels_has_4464_numbers() -> None:
    descriptor = fhog(random_face(0)[None])
    assert descriptor.shape == (1, 12 * 12 * 31)
    assert descriptor.dtype == np.float32


def test_a_flat_image_has_no_gradient() -> None:
    assert not fhog(np.full((1, 112, 112, 3), 90, np.uint8)).any()


@pytest.mark.parametrize(("turn", "expected"), [(0, 0), (1, 13), (2, 9), (3, 4)])
def test_a_ramp_votes_for_its_direction(turn: int, expected: int) -> None:
    """Directions are 20 degrees apart; downwards, 90, lies between 80 (4) and 100 (5), a tie that the earlier wins."""
    ramp = np.rot90(np.tile(np.arange(112, dtype=np.uint8)[None, :, None], (112, 1, 3)), turn)
    cells = by_cell(fhog(np.ascontiguousarray(ramp)[None])[0])
    signed = cells[2:-2, 2:-2, :18]
    assert (signed.argmax(axis=-1) == expected).all()
    # one orientation only: cut off at 0.2, halved, in each of four blocks
    assert np.allclose(signed[..., expected], 0.4, rtol=0, atol=1e-6)


def test_orientations_are_the_nearest_of_eighteen() -> None:
    degrees = np.arange(0, 360, 5)
    gx, gy = np.rint(1000 * np.cos(np.radians(degrees))), np.rint(1000 * np.sin(np.radians(degrees)))
    off_border = degrees % 20 != 10
    assert np.array_equal(orientation(gx, gy)[off_border], (np.rint(degrees / 20) % 18)[off_border])


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS)
def test_values_stay_in_their_range(seed: int) -> None:
    cells = by_cell(fhog(random_face(seed)[None])[0])
    assert cells.min() >= 0
    assert cells[..., :27].max() <= 0.4 + 1e-6
    assert cells[..., 27:].max() <= 18 * 0.1 * 0.4714 + 1e-6


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS, level=st.integers(1, 100))
def test_brightness_does_not_matter(seed: int, level: int) -> None:
    face = random_face(seed) // 2
    assert np.array_equal(fhog(face[None]), fhog((face + np.uint8(level))[None]))


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS)
def test_precision_and_order_of_summation_move_values_by_rounding_only(seed: int) -> None:
    face = random_face(seed)[None]
    reference = fhog(face)
    assert np.abs(reference - fhog(face, FLOAT64)).max() < 2e-6
    assert np.abs(reference - fhog(face, PERTURBED)).max() < 2e-6


def test_no_gradient_is_lost_between_cells() -> None:
    """Bilinear voting shares each pixel's gradient in full, but for what falls on cells outside the image."""
    face = random_face(3)
    face[:16] = face[-16:] = 0
    face[:, :16] = face[:, -16:] = 0
    gx, gy = strongest_gradient(face)
    assert np.isclose(cell_histograms(face, FLOAT64).sum(), np.sqrt(gx**2 + gy**2).sum(), rtol=1e-12)


def test_a_tie_of_channels_goes_to_blue_in_the_vector_loop_and_to_red_in_the_tail() -> None:
    """Equal lengths, opposite signs: B falls where R rises. dlib's vector loop ends at column 104 of a 112 px face."""
    ramp = np.tile(np.arange(112, dtype=np.uint8), (112, 1))
    face = np.stack([200 - ramp, np.zeros_like(ramp), ramp], axis=-1)
    gx, gy = strongest_gradient(face)
    assert gx.shape == gy.shape == (110, 110)
    assert (gx[:, :104] == -2).all()
    assert (gx[:, 104:] == 2).all()


def test_a_strict_winner_wins_in_every_column() -> None:
    for winner in range(3):
        face = np.zeros((112, 112, 3), np.uint8)
        face[..., winner] = np.arange(112)
        gx, _ = strongest_gradient(face)
        assert (gx == 2).all(), f"channel {winner}"


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS, height=st.integers(20, 70), width=st.integers(20, 70))
def test_other_sizes_give_the_inner_cells(seed: int, height: int, width: int) -> None:
    rows, columns = int(height / 8 + 0.5) - 2, int(width / 8 + 0.5) - 2
    descriptor = fhog(random_face(seed, height, width)[None])
    assert descriptor.shape == (1, rows * columns * 31)
    assert np.isfinite(descriptor).all()


def test_faces_of_a_batch_do_not_know_of_each_other() -> None:
    faces = np.stack([random_face(1), random_face(2)])
    assert np.array_equal(fhog(faces), np.concatenate([fhog(faces[:1]), fhog(faces[1:])]))


@pytest.mark.parametrize(
    "bad", [np.zeros((112, 112, 3), np.uint8), np.zeros((1, 112, 112, 3)), np.zeros((1, 19, 112, 3), np.uint8)]
)
def test_what_is_no_batch_of_faces_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ContractError, match="aligned"):
        fhog(bad)
