"""Number formats and sums: every precision computes the same thing, and differs from the others only in rounding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auparity.reference.numerics import FLOAT32, FLOAT64, PERTURBED, PERTURBED_2, PERTURBED_3, PRECISIONS

ALL = tuple(PRECISIONS.values())
#: A float32 sum of k products of unit normals is off by at most about k ulps of its largest partial sum (below 40).
SUM_ERROR = 40 * 64 * float(np.finfo(np.float32).eps)


def normal(rng, numerics, *shape):
    return rng.standard_normal(shape).astype(numerics.dtype)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(ALL), st.integers(1, 5), st.integers(1, 50), st.integers(0, 99))
def test_every_product_is_the_product(numerics, rows, inner, seed):
    rng = np.random.default_rng(seed)
    a, b, x = normal(rng, numerics, rows, inner), normal(rng, numerics, inner, 3), normal(rng, numerics, inner)
    exact = a.astype(np.float64)
    for found, expected in (
        (numerics.matmul(a, b), exact @ b),
        (numerics.matmul(a, x), exact @ x),
        (numerics.matmul_f64(a, b), exact @ b),
        (numerics.matvec(a, x), exact @ x),
    ):
        assert found.dtype == numerics.dtype
        np.testing.assert_allclose(found, expected, atol=SUM_ERROR)


def test_a_stack_of_products_is_its_products():
    rng = np.random.default_rng(0)
    for numerics in ALL:
        a, b = normal(rng, numerics, 4, 3, 9), normal(rng, numerics, 4, 9, 2)
        stacked = numerics.matmul(a, b)
        for k in range(4):
            np.testing.assert_allclose(stacked[k], numerics.matmul(a[k], b[k]), atol=SUM_ERROR)


def test_the_matrix_vector_product_keeps_sixteen_partial_sums_and_adds_neighbours():
    # 2^24 + 1 is no float32: a unit next to 2^24 is lost, units that first meet each other are not.
    row = np.ones((1, 16), np.float32)
    row[0, 0] = 2.0**24
    assert FLOAT32.matvec(row, np.ones(16, np.float32))[0] == 2.0**24 + 14  # only the big one's neighbour is lost
    # Lanes 8 and 9 meet each other before they meet lane 0; were halves added, each would be lost alone.
    sparse = np.zeros((1, 16), np.float32)
    sparse[0, [0, 8, 9]] = 2.0**24, 1, 1
    assert FLOAT32.matvec(sparse, np.ones(16, np.float32))[0] == 2.0**24 + 2
    # Products 16 apart meet in one lane, there rounded once each.
    again = np.concatenate([row, row * 0 + 1], axis=1)
    assert FLOAT32.matvec(again, np.ones(32, np.float32))[0] == 2.0**24 + 30


def test_float64_sums_are_rounded_once():
    a = np.array([[2.0**24, 1, 1]], np.float32)
    ones = np.ones((3, 1), np.float32)
    assert FLOAT32.matmul_f64(a, ones)[0, 0] == 2.0**24 + 2
    assert FLOAT32.matmul_f64(a, ones).dtype == np.float32


@pytest.mark.parametrize("other", [PERTURBED, PERTURBED_2, PERTURBED_3])
def test_a_perturbed_program_rounds_elsewhere(other):
    rng = np.random.default_rng(1)
    a, b = normal(rng, FLOAT32, 40, 121), normal(rng, FLOAT32, 121, 40)
    reference, perturbed = FLOAT32.matmul(a, b), other.matmul(a, b)
    assert (reference != perturbed).any()
    np.testing.assert_allclose(reference, perturbed, atol=SUM_ERROR)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(0, 999))
def test_the_solution_solves_the_system(size, seed):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((2 * size + 2, size))
    matrix, right = a.T @ a + np.eye(size), rng.standard_normal(size)
    expected = np.linalg.solve(matrix, right)
    np.testing.assert_allclose(FLOAT64.solve_spd(matrix, right), expected, atol=1e-12)
    single = FLOAT32.solve_spd(matrix.astype(np.float32), right.astype(np.float32))
    assert single.dtype == np.float32
    # Error bound of a Cholesky solve: the condition number (below 1e3 here) times a few ulps of the solution.
    np.testing.assert_allclose(single, expected, atol=1e3 * 4e-7 * max(1.0, np.abs(expected).max()))


def test_a_system_that_is_not_positive_definite_moves_nothing():
    indefinite = np.diag([1.0, -1.0, 1.0]).astype(np.float32)
    nearly_singular = np.diag([1.0, 1e-8, 1.0]).astype(np.float32)  # below FLT_EPSILON
    undefined = np.full((3, 3), np.nan, np.float32)
    for matrix in (indefinite, nearly_singular, undefined):
        assert (FLOAT32.solve_spd(matrix, np.ones(3, np.float32)) == 0).all()


def test_the_right_hand_side_is_left_alone():
    right = np.ones(3, np.float32)
    FLOAT32.solve_spd(np.eye(3, dtype=np.float32) * 2, right)
    assert (right == 1).all()


def test_precisions_are_known_by_name():
    assert PRECISIONS["float32"] is FLOAT32
    assert PRECISIONS["float64"].dtype is np.float64
    assert len({numerics.name for numerics in ALL}) == len(ALL)


def test_a_fused_multiply_add_rounds_once():
    a = np.array([1 + 2**-12], np.float32)
    c = np.array([-(1 + 2**-11)], np.float32)
    assert FLOAT32.fma(a, a, c)[0] == np.float32(2**-24)  # rounding the product first would lose it
    assert PERTURBED.fma(a, a, c)[0] == 0
