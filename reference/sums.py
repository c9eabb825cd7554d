"""Sums and matrix products with the same bits on every machine.

What a BLAS adds up, and in which order, depends on the kernel that it picks for the processor, on the size of the
matrices and on the number of threads; NumPy's own sums depend on the layout in memory. Here the order is part of the
definition (`total`), or there is none, because nothing is rounded before the end (`product`): there the operands are
split into slices of so few bits that every product of two slices is a sum of whole multiples of one power of two below
2**53 of it. A BLAS computes such a product exactly, in whatever order and with or without fused multiply-adds. (Ozaki,
Ogita, Oishi, Rump, Numerical Algorithms 59, 2012.)
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]

#: Bits of a float64's significand.
SIGNIFICAND = 53
#: Entries of the left operand that are split at once: what a processor's second-level cache holds.
AT_ONCE = 1 << 15


def total(values: Array, axis: int = -1) -> Any:
    """Sum along an axis, in the dtype of `values`: the second half is added to the first until one entry is left."""
    rest = np.moveaxis(values, axis, -1)
    count = rest.shape[-1]
    if count == 0:
        return np.zeros(rest.shape[:-1], values.dtype)[()]
    half = (count + 1) // 2
    folded = rest[..., :half].copy()
    while count > 1:
        folded[..., : count - half] += rest[..., half:count]
        rest, count = folded, half
        half = (count + 1) // 2
    return folded[..., 0]


def in_order(values: Array, axis: int = -1) -> Any:
    """Sum along an axis one term after the other, where few terms are added as the C++ program adds them."""
    return np.add.accumulate(values, axis=axis).take(-1, axis=axis)


def mean(values: Array, axis: int = -1) -> Any:
    """`total` over the number of entries."""
    return total(values, axis) / values.dtype.type(values.shape[axis])


def norm(values: Array) -> float:
    """L2 norm of all entries in float64."""
    wide = values.astype(np.float64).ravel()
    return math.sqrt(total(wide * wide))


def dot(a: Array, b: Array) -> Any:
    """Sums (...) in float64 of the products of the last axis of `a` (..., k) and `b` (..., k)."""
    return total(a.astype(np.float64) * b.astype(np.float64))


def small_product(a: Array, b: Array) -> F64:
    """Matrix product (..., m, n) in float64 of small matrices (..., m, k) and (..., k, n), every product by itself."""
    return np.asarray(dot(a[..., :, None, :], np.swapaxes(b, -1, -2)[..., None, :, :]))


def product(a: Array, b: Array) -> F64:
    """Matrix product (..., m, n) in float64 of `a` (..., m, k) and `b` (..., k, n).

    Two slices of float32 operands and three of float64 ones leave an error below k 2**-46 and k 2**-67 of the largest
    product of a row's and a column's entries; the slice products are added in float64, the smallest first. Entries of
    the result depend on their row and their column only. Operands that are not finite give NaN.
    """
    count = 2 if a.dtype == b.dtype == np.float32 else 3
    inner = a.shape[-1]
    bits = (SIGNIFICAND + 2 - max(inner - 1, 0).bit_length()) // 2
    right = _slices(b, -2, bits, count)
    if a.ndim > 2:
        return _product_of_slices(_slices(a, -1, bits, count), right)
    rows = max(AT_ONCE // max(inner, 1), 1)
    result = np.empty((a.shape[0], b.shape[-1])) if b.ndim == 2 else np.empty((*b.shape[:-2], a.shape[0], b.shape[-1]))
    for start in range(0, a.shape[0], rows):
        part = slice(start, start + rows)
        result[..., part, :] = _product_of_slices(_slices(a[part], -1, bits, count), right)
    return result


def _product_of_slices(left: list[F64], right: list[F64]) -> F64:
    """Sum of the products of slices i and j with i + j below their number, from the smallest to the largest."""
    result: F64 | None = None
    for order in reversed(range(len(left))):
        for i in range(order + 1):
            with np.errstate(invalid="ignore"):  # NaN where a slice is
                term = left[i] @ right[order - i]
            result = term if result is None else np.add(result, term, out=result)
    assert result is not None
    return result


def _slices(values: Array, axis: int, bits: int, count: int) -> list[F64]:
    """Parts of `values` whose sum they are but for a rest: part i consists of whole multiples, at most 2**(bits - 1),
    of a power of two that is common to all entries along `axis`."""
    rest = values.astype(np.float64)
    largest = np.maximum(rest.max(axis, keepdims=True, initial=0.0), -rest.min(axis, keepdims=True, initial=0.0))
    exponent = np.frexp(largest)[1]
    parts = []
    with np.errstate(invalid="ignore", over="ignore"):  # infinity and NaN end as NaN
        for index in range(count):
            # Adding this and taking it off again rounds to a multiple of its last place.
            anchor = np.ldexp(1.5, exponent + (SIGNIFICAND - bits * (index + 1)))
            part = np.add(rest, anchor, out=rest if index == count - 1 else None)
            part -= anchor
            if part is not rest:
                rest -= part
            parts.append(part)
    return parts
