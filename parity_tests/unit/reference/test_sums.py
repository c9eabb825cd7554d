"""Sums, products and inverses of the reference: their values, their order, and that nothing is rounded on the way."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auparity.errors import ContractError
from auparity.reference import inverses, sums

SEEDS = st.integers(0, 2**32 - 1)


def exact_product(a, b):
    """As fractions, rounded once."""
    rows, columns = [[list(map(Fraction, map(float, line))) for line in matrix] for matrix in (a, b.T)]
    return np.array([[float(sum(x * y for x, y in zip(r, c, strict=True))) for c in columns] for r in rows])


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(1, 40), st.sampled_from([np.float32, np.float64]))
def test_a_product_is_the_exact_one_rounded_once(seed, inner, dtype):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(3, inner)).astype(dtype), rng.normal(size=(inner, 2)).astype(dtype)
    exact = exact_product(a, b)
    largest = np.abs(a).max(axis=1)[:, None] * np.abs(b).max(axis=0)
    error = np.abs(sums.product(a, b) - exact) / largest
    assert (error <= inner * 2.0**-46 + 2.0**-52).all()
    if dtype is np.float64:
        assert (error <= inner * 2.0**-67 + inner * 2.0**-52).all()


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_a_product_does_not_depend_on_the_order_of_its_terms(seed):
    rng = np.random.default_rng(seed)
    order = rng.permutation(200)
    for dtype in (np.float32, np.float64):
        a = (rng.normal(size=(7, 200)) * 10.0 ** rng.integers(-4, 5, (7, 200))).astype(dtype)
        b = rng.normal(size=(200, 5)).astype(dtype)
        assert np.array_equal(sums.product(a, b), sums.product(a[:, order], b[order]))


def test_a_row_of_a_product_does_not_depend_on_the_other_rows():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(700, 300)).astype(np.float32), rng.normal(size=(300, 4)).astype(np.float32)
    a[5] *= 1e6
    assert np.array_equal(sums.product(a, b)[5:6], sums.product(a[5:6], b))
    assert np.array_equal(sums.product(a.reshape(7, 100, 300), b).reshape(700, 4), sums.product(a, b))


@pytest.mark.filterwarnings("error")
def test_products_of_what_is_not_finite_are_not_numbers():
    a = np.array([[1, np.inf], [np.nan, 1], [1, 1]], np.float32)
    product = sums.product(a, np.ones((2, 1), np.float32))
    assert np.isnan(product[:2]).all()
    assert product[2] == 2


def test_empty_sums_are_zero():
    assert sums.total(np.zeros((3, 0))).tolist() == [0, 0, 0]
    assert sums.product(np.zeros((2, 0), np.float32), np.zeros((0, 2), np.float32)).tolist() == [[0, 0], [0, 0]]


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(1, 70))
def test_sums_are_sums(seed, count):
    values = np.random.default_rng(seed).normal(size=(4, count))
    for axis in (0, 1):
        np.testing.assert_allclose(sums.total(values, axis), values.sum(axis=axis), atol=1e-13)
        np.testing.assert_allclose(sums.in_order(values, axis), values.sum(axis=axis), atol=1e-13)
        np.testing.assert_allclose(sums.mean(values, axis), values.mean(axis=axis), atol=1e-14)
    np.testing.assert_allclose(sums.norm(values), np.linalg.norm(values), rtol=1e-14)
    np.testing.assert_allclose(sums.small_product(values, values.T), values @ values.T, atol=1e-12)


def test_the_layout_in_memory_does_not_change_a_sum():
    values = np.random.default_rng(1).normal(size=(30, 50)).astype(np.float32)
    assert np.array_equal(sums.total(values, 0), sums.total(np.asfortranarray(values), 0))
    assert np.array_equal(sums.in_order(values, 1), sums.in_order(np.asfortranarray(values), 1))


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(1, 12), st.integers(1, 5))
def test_inverses_are_inverses(seed, size, count):
    root = np.random.default_rng(seed).normal(size=(count, size, 2 * size + 1))
    matrices = root @ root.transpose(0, 2, 1) + np.eye(size)
    found = inverses.inverse_spd(matrices)
    np.testing.assert_allclose(found @ matrices, np.broadcast_to(np.eye(size), matrices.shape), atol=1e-11)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.sampled_from([1, 3, 5, 7]))
def test_fields_that_keep_mirror_images_are_inverted_by_halves_to_the_same(seed, width):
    rng = np.random.default_rng(seed)
    grid = rng.normal(size=4 * (width,))
    grid = grid + grid[::-1, :, ::-1]
    grid = grid + grid[:, ::-1, :, ::-1]
    matrix = grid.reshape(width**2, width**2)
    matrix = matrix @ matrix.T + np.eye(width**2)
    # Mirrored again, because the product rounds.
    grid = matrix.reshape(4 * (width,))
    grid = grid + grid[::-1, :, ::-1]
    grid = grid + grid[:, ::-1, :, ::-1]
    matrix = (grid + grid.transpose(2, 3, 0, 1)).reshape(width**2, width**2)
    assert inverses.keeps_mirror_images(matrix, width)
    found = inverses.inverse_of_mirrored(matrix[None], width)[0]
    np.testing.assert_allclose(found, np.linalg.inv(matrix), atol=1e-10 * np.abs(found).max())


def test_a_field_that_changes_in_the_mirror_is_noticed():
    matrix = np.eye(9)
    matrix[0, 1] = matrix[1, 0] = 0.1
    assert inverses.keeps_mirror_images(np.eye(9), 3)
    assert not inverses.keeps_mirror_images(matrix, 3)


@pytest.mark.parametrize("matrix", [np.diag([1.0, -1.0]), np.zeros((2, 2)), np.full((2, 2), np.nan)])
def test_a_matrix_that_is_not_positive_definite_is_refused(matrix):
    with pytest.raises(ContractError, match="positive definite"):
        inverses.inverse_spd(matrix[None])
