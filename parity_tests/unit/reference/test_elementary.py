"""Elementary functions of the reference: held against fifty digits, and against C at the ends of the number line."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest

from auparity.reference import elementary, trigonometry
from auparity.reference.numerics import FLOAT32

EXTREMES = [0.0, -0.0, 5e-324, -5e-324, 1e-308, 1.0, -1.0, 1e308, -1e308, np.inf, -np.inf, np.nan]
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803")


def spread(seed, count, low, high):
    """Numbers of both signs and of magnitudes from 2**low to 2**high."""
    rng = np.random.default_rng(seed)
    return rng.choice([-1.0, 1.0], count) * 2.0 ** rng.uniform(low, high, count)


def alternating(x, first, step):
    """The series first - first x^2 / ... + ..., whose k-th term follows from the one before by `step`."""
    total, term, k = Decimal(0), first, 1
    while abs(term) > Decimal(10) ** -60:
        total, term, k = total + term, -term * x * x * step(k), k + 1
    return total


def exact_sin(x):
    x = x % (2 * PI)
    return alternating(x, x, lambda k: 1 / Decimal(2 * k * (2 * k + 1)))


def exact_cos(x):
    x = x % (2 * PI)
    return alternating(x, Decimal(1), lambda k: 1 / Decimal(2 * k * (2 * k - 1)))


def exact_arctan(x):
    if abs(x) > 1:
        return (PI / 2).copy_sign(x) - exact_arctan(1 / x)
    for _ in range(5):
        x = x / (1 + (1 + x * x).sqrt())
    return 32 * alternating(x, x, lambda k: Decimal(2 * k - 1) / Decimal(2 * k + 1))


def exact_arcsin(x):
    return exact_arctan(x / (1 - x * x).sqrt())


def largest_error(found, exact, *arguments):
    """In units in the last place."""
    with localcontext() as context:
        context.prec = 70
        worst = Decimal(0)
        for value, *given in zip(found, *arguments, strict=True):
            true = exact(*map(Decimal, map(float, given)))
            worst = max(worst, abs(Decimal(float(value)) - true) / Decimal(math.ulp(float(true))))
    return float(worst)


@pytest.mark.parametrize(
    ("function", "exact", "x", "bound"),
    [
        (elementary.exp, Decimal.exp, spread(0, 2000, -60, 9.4), 0.52),
        (elementary.log, Decimal.ln, np.abs(spread(1, 1000, -1000, 1000)), 0.52),
        (elementary.log, Decimal.ln, 1 + spread(2, 1000, -50, -1.1), 0.52),
        (elementary.log2, lambda x: x.ln() / Decimal(2).ln(), np.abs(spread(3, 1000, -9, 9)), 1.5),
        (trigonometry.sin, exact_sin, spread(4, 1000, -30, 6), 0.8),
        (trigonometry.cos, exact_cos, spread(5, 1000, -30, 6), 0.8),
        (trigonometry.sin, exact_sin, spread(6, 100, 18, 22), 0.8),  # around where the reduction changes
        (trigonometry.arcsin, exact_arcsin, spread(7, 700, -40, -1e-9), 0.55),
        (trigonometry.arccos, lambda x: PI / 2 - exact_arcsin(x), spread(8, 700, -40, -1e-9), 0.55),
    ],
)
def test_a_function_is_within_its_bound_of_the_truth(function, exact, x, bound):
    assert largest_error(function(x), exact, x) < bound


def test_angles_and_hypotenuses_are_within_their_bound_of_the_truth():
    x, y = spread(9, 1000, -20, 20), spread(10, 1000, -20, 20)
    positive = np.abs(x)
    assert largest_error(trigonometry.arctan2(y, positive), lambda b, a: exact_arctan(b / a), y, positive) < 0.55
    assert largest_error(trigonometry.hypot(y, x), lambda b, a: (a * a + b * b).sqrt(), y, x) < 0.55
    np.testing.assert_allclose(trigonometry.arctan2(y, x), np.arctan2(y, x), rtol=3e-16)


@pytest.mark.parametrize(
    ("function", "of_c"),
    [
        (elementary.exp, np.exp), (elementary.log, np.log), (elementary.log2, np.log2), (trigonometry.sin, np.sin),
        (trigonometry.cos, np.cos), (trigonometry.arcsin, np.arcsin), (trigonometry.arccos, np.arccos),
    ],
)  # fmt: skip
@pytest.mark.parametrize("x", [*EXTREMES, -745.2, 709.79, 2.0])
def test_a_function_ends_as_in_c(function, of_c, x):
    with np.errstate(all="ignore"):
        expected = of_c(np.float64(x))
    np.testing.assert_allclose(function(x), expected, rtol=5e-16, atol=1e-323)
    if expected == 0:
        assert np.signbit(function(x)) == np.signbit(expected)


@pytest.mark.parametrize("y", EXTREMES)
@pytest.mark.parametrize("x", EXTREMES)
def test_functions_of_two_numbers_end_as_in_c(y, x):
    expected = math.atan2(y, x)
    np.testing.assert_allclose(trigonometry.arctan2(y, x), expected, rtol=3e-16)
    assert np.isnan(expected) or np.signbit(trigonometry.arctan2(y, x)) == np.signbit(expected)
    np.testing.assert_allclose(trigonometry.hypot(y, x), math.hypot(y, x), rtol=3e-16)


def test_powers_of_two_have_whole_logarithms():
    exponents = np.arange(-1000, 1000)
    assert (elementary.log2(2.0**exponents) == exponents).all()


def test_shapes_are_kept_and_numbers_give_numbers():
    for function in (elementary.exp, trigonometry.sin):
        assert function(np.zeros((2, 0, 3))).shape == (2, 0, 3)
        assert function(np.zeros((2, 3), np.float32)).dtype == np.float64
        assert isinstance(function(0.5), float)
    assert trigonometry.arctan2(np.zeros((2, 1)), np.ones(3)).shape == (2, 3)


def test_float32_results_are_correctly_rounded():
    x = FLOAT32.cast(spread(11, 3000, -20, 3))
    with localcontext() as context:
        context.prec = 50
        expected = [np.float32(float(Decimal(float(value)).exp())) for value in x]
    assert (FLOAT32.cast(elementary.exp(x)) == expected).all()
