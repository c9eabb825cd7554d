"""Exponential and logarithm with the same bits on every machine.

NumPy's own come from the C library or from vector code that is chosen by what the processor has (SVML with AVX-512,
for example): their last bit changes from machine to machine, and the reference's results would with it. These consist
of float64 additions, subtractions, multiplications and divisions, of tables, and of exact steps. The argument is
reduced to a narrow interval around an entry of a table, where a few terms of the Taylor series suffice (Tang, ACM TOMS
15, 1989, and 16, 1990).

Largest errors in units in the last place (test_elementary.py measures them against 50 digits): exp
0.52, log 0.52, log2 1.5, but 0 for powers of two; a subnormal result may be off by one more. Infinities, NaN and zeros
are treated as IEEE 754 and C do. Arguments are arrays of any shape, or numbers; results are float64.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.reference.extended import DIGITS, constant_in_parts, series, table_in_parts, two_product, two_sum

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

#: Entries of the tables 2**(j / 128) and log(j / 128).
EXP_STEPS, LOG_STEPS = 128, 128
#: exp is 0 below and infinite above.
LOWEST_EXPONENT, HIGHEST_EXPONENT = -746.0, 710.0
SQRT_HALF = 0.7071067811865476

_EXP_TERMS = (1 / 2, 1 / 6, 1 / 24, 1 / 120)
_LOG_TERMS = (-1 / 2, 1 / 3, -1 / 4, 1 / 5, -1 / 6, 1 / 7)

with localcontext() as _context:
    _context.prec = DIGITS
    _LN2 = Decimal(2).ln()
    _EXP_TABLE = tuple(map(np.array, table_in_parts([(_LN2 * j / EXP_STEPS).exp() for j in range(EXP_STEPS)])))
    #: From j = 90 on: mantissas are at least sqrt(1/2).
    _LOG_FIRST = 90
    _LOG_TABLE = tuple(
        map(np.array, table_in_parts([(Decimal(j) / LOG_STEPS).ln() for j in range(_LOG_FIRST, 2 * _LOG_FIRST + 3)]))
    )
    #: The leading parts are exact times 18 bits (steps of exp) and 11 bits (exponents of log).
    _EXP_STEP, _EXP_STEP_LOW = constant_in_parts(_LN2 / EXP_STEPS, 34)
    _LN2_HIGH, _LN2_LOW = constant_in_parts(_LN2, 42)
    _STEPS_IN_ONE = float(EXP_STEPS / _LN2)
    _LOG_OF_2 = float(_LN2)


def exp(x: npt.ArrayLike) -> Any:
    """e**x: with x = (128 k + j) ln 2 / 128 + r it is 2**k times 2**(j / 128) times e**r."""
    wide = np.asarray(x, np.float64)
    undefined = np.isnan(wide)
    clipped = np.where(undefined, 0.0, np.clip(wide, LOWEST_EXPONENT, HIGHEST_EXPONENT))
    steps = np.rint(clipped * _STEPS_IN_ONE)
    r = (clipped - steps * _EXP_STEP) - steps * _EXP_STEP_LOW
    less_one = r + r * r * series(r, _EXP_TERMS)
    whole = steps.astype(np.int64)
    entry = whole & (EXP_STEPS - 1)
    high, low = _EXP_TABLE[0][entry], _EXP_TABLE[1][entry]
    with np.errstate(over="ignore", under="ignore"):  # infinity and 0 are the results there
        values = _times_power_of_two(high + (low + high * less_one), whole >> 7)
    return np.where(undefined, wide, values)[()]


def _times_power_of_two(x: F64, exponent: I64) -> F64:
    """x * 2**exponent for exponents within +-2000, in two steps: neither factor overflows."""
    half = exponent >> 1
    factors = [np.asarray((part + 1023) << 52).view(np.float64) for part in (half, exponent - half)]
    return (x * factors[0]) * factors[1]


def log(x: npt.ArrayLike) -> Any:
    """Natural logarithm: with x = 2**k c (1 + r) and c = j / 128 it is k ln 2 + log c + log(1 + r)."""
    wide = np.asarray(x, np.float64)
    ordinary = (wide > 0) & np.isfinite(wide)
    mantissa, exponent = _mantissa(np.where(ordinary, wide, 1.0))
    entry = np.rint(mantissa * LOG_STEPS)
    c = entry / LOG_STEPS
    away = mantissa - c  # exact: the two are neighbours
    r = away / c
    product, lost = two_product(r, c)
    r_low = ((away - product) - lost) / c
    index = entry.astype(np.int64) - _LOG_FIRST
    total, rest = two_sum(exponent * _LN2_HIGH, _LOG_TABLE[0][index])
    total, rest_of_r = two_sum(total, r)
    low = r_low + exponent * _LN2_LOW + _LOG_TABLE[1][index]
    rest = rest + rest_of_r + low + r * r * series(r, _LOG_TERMS)
    special = np.where(wide == 0, -np.inf, np.where(wide < 0, np.nan, wide))  # infinity and NaN stay what they are
    return np.where(ordinary, total + rest, special)[()]


def log2(x: npt.ArrayLike) -> Any:
    """Logarithm to the base 2."""
    mantissa, exponent = _mantissa(np.asarray(x, np.float64))
    return exponent + log(mantissa) / _LOG_OF_2


def _mantissa(x: F64) -> tuple[F64, npt.NDArray[np.int32]]:
    """m and k with x = 2**k m and m from sqrt(1/2) to sqrt(2)."""
    mantissa, exponent = np.frexp(x)
    small = mantissa < SQRT_HALF
    return np.where(small, 2 * mantissa, mantissa), exponent - small
