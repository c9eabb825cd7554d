"""Rows of numbers as text with fixed decimals, a dozen times as fast as with Python's `%`, and the same bytes.

C prints the correctly rounded decimal of a double, exact halves to the even digit (spec 80.1). A double is an integer m
of 53 bits times a power of two, so m times 10^decimals is computed exactly in two parts of an integer each, and rounded
once. That works below 2^26 = 67 million and with six decimals at most, far beyond any measurement; rows with other
numbers are left to the caller.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.numba.compile import kernel

Array = npt.NDArray[Any]

#: Decimals at most, and bytes at most of a printed number: sign, 8 digits, point, decimals, and what follows it.
MOST_DECIMALS = 6
MOST_BYTES = 1 + 8 + 1 + MOST_DECIMALS + 1

#: Fields of a double, and in which two parts products are computed.
_EXPONENT_BITS, _MANTISSA_BITS = 11, 52
_BIAS = 1023 + _MANTISSA_BITS
_LOW = 26
_COMMA, _LINE_END, _MINUS, _POINT, _ZERO = (ord(sign) for sign in ",\n-.0")


@kernel
def print_row(bits: Array, decimals: Array, out: Array) -> int:
    """Print doubles, given as (n,) int64 of the same bits, with commas between them and a line end.

    Parameters
    ----------
    decimals : (n,) int64, of each number; 0 prints no point.
    out : (n * MOST_BYTES,) uint8.

    Returns
    -------
    Bytes that were written; -1 where a number is not finite, or too large to be printed here.
    """
    low_mask = (1 << _LOW) - 1
    at = 0
    for k in range(bits.shape[0]):
        number = bits[k]
        exponent = (number >> _MANTISSA_BITS) & ((1 << _EXPONENT_BITS) - 1)
        mantissa = number & ((1 << _MANTISSA_BITS) - 1)
        if exponent > 0:
            mantissa |= 1 << _MANTISSA_BITS
        else:
            exponent = 1
        shift = _BIAS - exponent  # the number is mantissa / 2^shift
        if shift < _LOW + 1:
            return -1
        factor = 1
        for _ in range(decimals[k]):
            factor *= 10
        low = (mantissa & low_mask) * factor
        high = (mantissa >> _LOW) * factor + (low >> _LOW)
        low &= low_mask  # the product is high * 2^26 + low
        rounded = 0
        if shift - _LOW < 48:  # else the number is below half a unit of the last digit
            rounded = high >> (shift - _LOW)
            rest = high & ((1 << (shift - _LOW)) - 1)
            half = 1 << (shift - _LOW - 1)
            if rest > half or (rest == half and (low > 0 or rounded & 1 == 1)):
                rounded += 1
        if number < 0:
            out[at] = _MINUS
            at += 1
        whole = rounded // factor
        width, above = 1, 10
        while above <= whole:
            above *= 10
            width += 1
        end = at + width
        for place in range(end - 1, at - 1, -1):
            out[place] = _ZERO + whole % 10
            whole //= 10
        at = end
        if decimals[k] > 0:
            out[at] = _POINT
            end = at + 1 + decimals[k]
            for place in range(end - 1, at, -1):
                out[place] = _ZERO + rounded % 10
                rounded //= 10
            at = end
        out[at] = _COMMA
        at += 1
    out[at - 1] = _LINE_END
    return at


class RowPrinter:
    """Prints rows of a table.

    Parameters
    ----------
    decimals : of each column.
    """

    def __init__(self, decimals: tuple[int, ...]) -> None:
        self._decimals = np.array(decimals, np.int64)

    def __call__(self, values: npt.NDArray[np.float64]) -> bytes | None:
        """The line of a row (n,), with its end; None where it has a number that is not printed here."""
        out = np.empty(len(self._decimals) * MOST_BYTES, np.uint8)
        written = print_row(np.ascontiguousarray(values).view(np.int64), self._decimals, out)
        return None if written < 0 else out[:written].tobytes()
