"""Similarity alignment of point sets (spec 40.3)."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auparity.errors import ContractError
from auparity.reference.similarity import align_with_scale, jacobi_svd

SEEDS = st.integers(0, 2**32 - 1)


def rotation(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS, n=st.integers(2, 68), angle=st.floats(-3.1, 3.1), scale=st.floats(0.05, 20), x=st.floats(-500, 500))
def test_a_turned_and_scaled_shape_is_brought_back(seed: int, n: int, angle: float, scale: float, x: float) -> None:
    source = np.random.default_rng(seed).normal(scale=30, size=(n, 2))
    destination = scale * source @ rotation(angle).T + [x, -x]
    aligned = align_with_scale(source, destination, dtype=np.float64)
    assert np.allclose(aligned, scale * rotation(angle), rtol=0, atol=1e-9 * scale)


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS)
def test_float32_differs_from_float64_by_rounding_only(seed: int) -> None:
    rng = np.random.default_rng(seed)
    source = (rng.normal(scale=40, size=(68, 2)) + 300).astype(np.float32)
    destination = (source @ rotation(0.3) * 0.7 + rng.normal(size=(68, 2))).astype(np.float32)
    single, double = align_with_scale(source, destination), align_with_scale(source, destination, dtype=np.float64)
    assert single.dtype == np.float32
    assert np.abs(single - double).max() < 2e-6  # coordinates of 300 carry 3e-5, the spread is 40


def test_a_mirrored_shape_is_turned_but_never_mirrored() -> None:
    source = np.array([[0, 0], [4, 0], [0, 2], [-3, 1]], np.float32)
    aligned = align_with_scale(source, source * [-1, 1])
    assert np.linalg.det(aligned) > 0


@settings(max_examples=200, deadline=None)
@given(seed=SEEDS, scale=st.sampled_from([1e-3, 1.0, 50.0]), near_identity=st.booleans())
def test_the_decomposition_of_2x2_matrices_is_opencvs_bit_for_bit(seed: int, scale: float, near_identity: bool) -> None:
    matrix = (np.random.default_rng(seed).normal(size=(2, 2)) * scale).astype(np.float32)
    if near_identity:
        matrix += np.eye(2, dtype=np.float32) * 68
    singular, u, vt = cv2.SVDecomp(matrix)
    got_u, got_singular, got_vt = jacobi_svd(matrix)
    assert np.array_equal(got_u, u)
    assert np.array_equal(got_singular, singular.ravel())
    assert np.array_equal(got_vt, vt)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, size=st.integers(1, 6), more_rows=st.integers(0, 5))
def test_the_decomposition_multiplies_back(seed: int, size: int, more_rows: int) -> None:
    matrix = np.random.default_rng(seed).normal(size=(size + more_rows, size))
    u, singular, vt = jacobi_svd(matrix)
    assert np.allclose((u * singular) @ vt, matrix, rtol=0, atol=1e-12)
    assert np.allclose(singular, np.linalg.svd(matrix, compute_uv=False), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        (np.zeros((5, 2)), np.eye(2)),
        (np.arange(10.0).reshape(5, 2), np.full((5, 2), 3.0)),
        (np.full((5, 2), np.nan), np.arange(10.0).reshape(5, 2)),
        (np.zeros((5, 3)), np.zeros((5, 3))),
    ],
)
def test_points_without_a_spread_or_a_partner_are_refused(source: np.ndarray, destination: np.ndarray) -> None:
    with pytest.raises(ContractError):
        align_with_scale(source, destination)
