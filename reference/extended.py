"""Arithmetic beyond float64 precision: what the reference's own elementary functions are made of.

A number that needs more than 53 bits is a pair of float64 whose sum it is (Dekker, Numerische Mathematik 18, 1971).
Everything here is additions, subtractions and multiplications, which IEEE 754 rounds the same way on every machine, or
exact. The functions take numbers and arrays alike.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

#: Splits a float64 into two numbers of 26 bits, whose products are exact (Veltkamp).
SPLITTER = float(2**27 + 1)
#: Digits of decimal constants: three times those of a float64.
DIGITS = 50


def two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """a + b exactly: the rounded sum and what the rounding lost (Knuth)."""
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)


def two_product(a: Any, b: Any) -> tuple[Any, Any]:
    """a * b exactly, for factors below 1e300: the rounded product and what the rounding lost (Dekker)."""
    product = a * b
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def _halves(a: Any) -> tuple[Any, Any]:
    """Leading and trailing 26 bits."""
    scaled = SPLITTER * a
    high = scaled - (scaled - a)
    return high, a - high


def series(x: Any, coefficients: tuple[float, ...]) -> Any:
    """c0 + x (c1 + x (c2 + ...)), the innermost term first."""
    total: Any = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        total = total * x + coefficient
    return total


def constant_in_parts(value: Decimal, *bits: int) -> tuple[float, ...]:
    """A constant as a sum of floats: leading ones of so many bits, so that their products are exact, and the rest."""
    parts = []
    for count in bits:
        exponent = count - math.frexp(float(value))[1]
        parts.append(math.ldexp(float(round(value * Decimal(2) ** exponent)), -exponent))
        value -= Decimal(parts[-1])
    return (*parts, float(value))


def table_in_parts(values: list[Decimal]) -> tuple[list[float], list[float]]:
    """Leading and trailing parts of a table's entries."""
    high = [float(value) for value in values]
    return high, [float(value - Decimal(leading)) for value, leading in zip(values, high, strict=True)]
