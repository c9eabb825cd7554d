"""Trigonometric functions with the same bits on every machine; why there are such: elementary.py.

The reference needs them of a few angles at a time, so each value is computed by itself, in Python's float64 arithmetic:
for arrays of this size that is also the fastest way. Arguments are reduced by pi in several parts (Cody and Waite,
1980; beyond a million turns in whole numbers) or by a table of arc tangents.

Largest errors in units in the last place (test_elementary.py measures them against 50 digits): sin
and cos 0.8; arctan2, arcsin, arccos and hypot 0.55. Infinities, NaN and signed zeros are treated as IEEE 754 and C do,
and an argument outside the domain gives NaN. Arguments are arrays of any shape, or numbers; results are float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.reference.extended import DIGITS, constant_in_parts, series, table_in_parts, two_product, two_sum

#: Entries of the table arctan(j / 64).
ATAN_STEPS = 64
#: |x| up to which the three parts of pi/2 are precise enough.
LARGEST_FAST_ANGLE = float(2**20)
#: Below this ratio an angle is its tangent: the next term of the series is 2^-120 of it.
NEGLIGIBLE = 2.0**-60
#: Bits of pi for larger ones: as many as the exponent of a float64 can ask for.
PI_BITS = 1320

_SINE_TERMS = (-1 / 6, 1 / 120, -1 / 5040, 1 / 362880, -1 / 39916800, 1 / 6227020800, -1 / 1307674368000)
_COSINE_TERMS = (1 / 24, -1 / 720, 1 / 40320, -1 / 3628800, 1 / 479001600, -1 / 87178291200, 1 / 20922789888000)
_ATAN_TERMS = (-1 / 3, 1 / 5, -1 / 7, 1 / 9)


def _decimal_arctan(x: Decimal) -> Decimal:
    """arctan of a number from 0 to 1: halved four times, then its series."""
    for _ in range(4):
        x = x / (1 + (1 + x * x).sqrt())
    total, power, k = Decimal(0), x, 1
    while power > Decimal(10) ** -DIGITS:
        total += power / k if k % 4 == 1 else -power / k
        power, k = power * x * x, k + 2
    return 16 * total


with localcontext() as _context:
    _context.prec = DIGITS
    _PI = 4 * _decimal_arctan(Decimal(1))
    _ATAN_TABLE = table_in_parts([_decimal_arctan(Decimal(j) / ATAN_STEPS) for j in range(ATAN_STEPS + 1)])
    #: The first two parts are exact times 20 bits.
    _HALF_PI_PARTS = constant_in_parts(_PI / 2, 33, 33)
    _HALF_PI, _HALF_PI_LOW = constant_in_parts(_PI / 2, 53)
    _WHOLE_PI, _WHOLE_PI_LOW = constant_in_parts(_PI, 53)
    _QUARTERS_IN_ONE = float(2 / _PI)


def sin(x: npt.ArrayLike) -> Any:
    """Sine of angles in rad."""
    return _each(lambda value: _sine(value, 0), x)


def cos(x: npt.ArrayLike) -> Any:
    """Cosine of angles in rad."""
    return _each(lambda value: _sine(value, 1), x)


def arctan2(y: npt.ArrayLike, x: npt.ArrayLike) -> Any:
    """Angles of the points (x, y) in rad, from -pi to pi."""
    return _each(lambda one_y, one_x: _angle(one_y, 0.0, one_x, 0.0), y, x)


def arcsin(x: npt.ArrayLike) -> Any:
    """Arc sine in rad: the angle of the point (sqrt(1 - x^2), x)."""
    return _each(lambda value: _angle(value, 0.0, *_other_leg(value)), x)


def arccos(x: npt.ArrayLike) -> Any:
    """Arc cosine in rad: the angle of the point (x, sqrt(1 - x^2))."""
    return _each(lambda value: _angle(*_other_leg(value), value, 0.0), x)


def hypot(x: npt.ArrayLike, y: npt.ArrayLike) -> Any:
    """sqrt(x^2 + y^2), without overflow on the way."""
    return _each(_hypotenuse, x, y)


def _each(function: Callable[..., float], *arguments: npt.ArrayLike) -> Any:
    """A function of numbers applied to arrays that are broadcast together."""
    arrays = [np.asarray(argument, np.float64) for argument in arguments]
    if len({array.shape for array in arrays}) > 1:
        arrays = list(np.broadcast_arrays(*arrays))
    values = list(map(function, *(array.ravel().tolist() for array in arrays)))
    return np.array(values, np.float64).reshape(arrays[0].shape)[()]


def _sine(x: float, quarters: int) -> float:
    """sin(x + quarters * pi / 2): plus or minus sin r or cos r, where x = k pi/2 + r and |r| is at most pi/4."""
    if not math.isfinite(x):
        return math.nan
    if x == 0 and quarters == 0:  # keeps the sign of zero
        return x
    quadrant, r, r_low = _reduced(x) if abs(x) <= LARGEST_FAST_ANGLE else _reduced_exactly(x)
    quadrant = (quadrant + quarters) & 3
    square = r * r
    half = square / 2
    if quadrant & 1:
        rest = square * square * series(square, _COSINE_TERMS) - r * r_low
        almost = 1.0 - half
        value = almost + (((1.0 - almost) - half) + rest)
    else:
        value = r + (r_low * (1.0 - half) + r * square * series(square, _SINE_TERMS))
    return -value if quadrant & 2 else value


def _reduced(x: float) -> tuple[int, float, float]:
    """x = k pi/2 + r: k modulo 4, and r as leading and trailing part."""
    count = round(x * _QUARTERS_IN_ONE)
    first, second, third = _HALF_PI_PARTS
    r, lost = two_sum(x - count * first, -(count * second))
    r, r_low = two_sum(r, lost - count * third)
    return count & 3, r, r_low


def _reduced_exactly(x: float) -> tuple[int, float, float]:
    """`_reduced` of a number of any size, in rational arithmetic."""
    half_pi = _pi_of_many_bits() / 2
    count = round(Fraction(x) / half_pi)
    r = Fraction(x) - count * half_pi
    high = float(r)
    return count & 3, high, float(r - Fraction(high))


@cache
def _pi_of_many_bits() -> Fraction:
    """Pi by Machin's formula in whole numbers."""
    one = 1 << PI_BITS

    def arctan_of_inverse(n: int) -> int:
        total, power, k = 0, one // n, 1
        while power:
            total += power // k if k % 4 == 1 else -(power // k)
            power, k = power // (n * n), k + 2
        return total

    return Fraction(4 * (4 * arctan_of_inverse(5) - arctan_of_inverse(239)), one)


def _other_leg(x: float) -> tuple[float, float]:
    """sqrt(1 - x^2) as leading and trailing part; NaN where there is none."""
    if not abs(x) <= 1:
        return math.nan, 0.0
    square, lost = two_product(x, x)
    high, low = two_sum(1.0, -square)
    return _root(high, low - lost)


def _root(high: float, low: float) -> tuple[float, float]:
    """Square root of high + low as leading and trailing part."""
    root = math.sqrt(high + low)
    if root == 0:
        return 0.0, 0.0
    square, lost = two_product(root, root)
    return root, (((high - square) - lost) + low) / (2 * root)


def _angle(y: float, y_low: float, x: float, x_low: float) -> float:
    """arctan2 of numbers in two parts.

    The shorter leg over the longer is the tangent of an angle up to pi/4; octant and sign follow.
    """
    if math.isnan(x) or math.isnan(y):
        return math.nan
    legs = (abs(x), math.copysign(x_low, x * x_low)), (abs(y), math.copysign(y_low, y * y_low))
    (d, d_low), (n, n_low) = legs if abs(y) <= abs(x) else legs[::-1]
    if math.isinf(d):
        d, n = 1.0, 1.0 if math.isinf(n) else 0.0
    angle, rest = _arctan_of_ratio(n, n_low, d, d_low) if n else (0.0, 0.0)
    if abs(y) > abs(x):
        angle, lost = two_sum(_HALF_PI, -angle)
        rest = lost + (_HALF_PI_LOW - rest)
    if math.copysign(1.0, x) < 0:
        angle, lost = two_sum(_WHOLE_PI, -angle)
        rest = lost + (_WHOLE_PI_LOW - rest)
    return math.copysign(angle + rest, y)


def _arctan_of_ratio(n: float, n_low: float, d: float, d_low: float) -> tuple[float, float]:
    """arctan(n / d) for 0 < n <= d in two parts.

    With c = j / 64 next to n / d it is arctan c + arctan((n - c d) / (d + c n)), of which the second needs few terms.
    """
    if n < NEGLIGIBLE * d:  # the tangent itself, also where it is subnormal
        return n / d, 0.0
    shift = -math.frexp(d)[1]  # by powers of two, exactly, so that products neither overflow nor vanish
    n, n_low, d, d_low = (math.ldexp(value, shift) for value in (n, n_low, d, d_low))
    entry = round(n / d * ATAN_STEPS)
    c = entry / ATAN_STEPS
    product, lost = two_product(c, d)
    top, top_low = two_sum(n, -product)
    top_low += (n_low - c * d_low) - lost
    product, lost = two_product(c, n)
    bottom, bottom_low = two_sum(d, product)
    bottom_low += (d_low + c * n_low) + lost
    z = top / bottom
    product, lost = two_product(z, bottom)
    z_low = (((top - product) - lost) + (top_low - z * bottom_low)) / bottom
    square = z * z
    angle, rest = two_sum(_ATAN_TABLE[0][entry], z)
    return angle, rest + (_ATAN_TABLE[1][entry] + z_low + z * square * series(square, _ATAN_TERMS))


def _hypotenuse(x: float, y: float) -> float:
    if math.isinf(x) or math.isinf(y):
        return math.inf
    if math.isnan(x) or math.isnan(y) or x == y == 0:
        return abs(x + y)
    shift = math.frexp(max(abs(x), abs(y)))[1]
    (square_x, lost_x), (square_y, lost_y) = (two_product(*2 * (math.ldexp(v, -shift),)) for v in (x, y))
    high, low = two_sum(max(square_x, square_y), min(square_x, square_y))
    root, rest = _root(high, low + (lost_x + lost_y))
    total = root + rest
    # ldexp raises where C gives infinity
    return math.ldexp(total, shift) if math.frexp(total)[1] + shift <= 1024 else math.inf
