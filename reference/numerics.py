"""Number formats and order of summation: the one thing in which two correct programs may differ (spec 90).

The C++ program stores and multiplies in float32, and the reference runs come from a build with fused multiply-adds. A
`Numerics` says in which dtype the reference computes, so that the same code runs as the reference (`FLOAT32`), in
double precision to tell rounding from error (`FLOAT64`), and as a second, equally correct float32 program whose
roundings fall elsewhere (`PERTURBED` and its like: no fused multiply-adds, sums in another order, as another compiler
and BLAS would). All of them give the same bits on every machine: their sums have an order of their own (sums.py), and
so have their elementary functions (elementary.py). What they differ by on a clip is the *platform floor* of that clip
(spec 90.10): no implementation can be asked to come closer than that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from auparity.reference import sums

Array = npt.NDArray[Any]

#: Smallest pivot of a float32 Cholesky factorisation: FLT_EPSILON (spec 90.4).
SMALLEST_PIVOT = float(np.finfo(np.float32).eps)

#: Partial sums that the C++ build's matrix-vector product keeps: one AVX-512 register of float32.
LANES = 16
#: And those that its product of a covariance keeps.
HALF_LANES = 8


@dataclass(frozen=True)
class Numerics:
    """How to compute: the dtype of everything the C++ program keeps in float32, and the order of its sums."""

    name: str
    dtype: type[np.floating[Any]]
    perturbed: Literal["", "reversed", "halved", "alternating"] = ""

    def cast(self, values: npt.ArrayLike) -> Array:
        """`values` in the working dtype."""
        return np.asarray(values, dtype=self.dtype)

    def matmul(self, a: Array, b: Array) -> Array:
        """Matrix product of (..., m, k) and (..., k, n) or (k,), summed as the C++ build's sgemm does (spec 90.5).

        Every entry is one sum over k, term after term by fused multiply-adds. The perturbed programs round products as
        well and have orders of their own.
        """
        if b.ndim == 1:
            return self.matmul(a, b[:, None])[..., 0]
        if self.perturbed == "reversed":
            return _term_after_term(a[..., ::-1], b[..., ::-1, :])
        if self.perturbed == "halved" and (half := a.shape[-1] // 2):
            first = _term_after_term(a[..., :half], b[..., :half, :])
            return first + _term_after_term(a[..., half:], b[..., half:, :])
        if self.perturbed == "alternating" and a.shape[-1] > 1:
            even = _term_after_term(a[..., ::2], b[..., ::2, :])
            return even + _term_after_term(a[..., 1::2], b[..., 1::2, :])
        return _term_after_term(a, b, fused=not self.perturbed and self.dtype is np.float32)

    def layer(self, a: Array, b: Array) -> Array:
        """Matrix product of (m, k) and (k, n) in the working dtype, for the large ones of networks.

        Stands for sgemm, too, but each entry is rounded only once: `matmul` would take a hundred times as long.
        """
        return self.matmul(a, b) if self.perturbed else self.cast(sums.product(a, b))

    def fma(self, a: Array, b: Array, c: Array) -> Array:
        """``a * b + c`` rounded once, as the hardware's fused multiply-add.

        A float32 product is exact in float64; rounding the float64 sum again to float32 differs from a true fused
        operation in about one case in 2**29.
        """
        if self.perturbed or self.dtype is np.float64:
            return np.asarray(a * b + c)
        return (a.astype(np.float64) * b.astype(np.float64) + c.astype(np.float64)).astype(self.dtype)

    def matmul_f64(self, a: Array, b: Array) -> Array:
        """Matrix product accumulated in float64 and stored in the working dtype (OpenCV's small gemm, spec 90.5)."""
        if self.perturbed:
            return self.matmul(a, b)
        return self.cast(sums.dot(a, b) if b.ndim == 1 else sums.small_product(a, b))

    def matvec(self, matrix: Array, vector: Array) -> Array:
        """Product (r,) of a matrix (r, k) and a vector (k,), summed as the C++ build's BLAS does.

        Sixteen partial sums over k by fused multiply-adds, then neighbours added in pairs; fewer terms than that (eye
        models have ten modes) one after the other: with it every recorded landmark of the face and of the eyes follows
        from its parameters to the last bit.
        """
        if self.perturbed or self.dtype is np.float64:
            return self.matmul(matrix, vector)
        if matrix.shape[1] < LANES:
            total = np.zeros(matrix.shape[0], self.dtype)
            for column, factor in zip(matrix.T, vector, strict=True):
                total = self.fma(column, factor, total)
            return total
        lanes = np.zeros((matrix.shape[0], LANES), self.dtype)
        for start in range(0, matrix.shape[1], LANES):
            columns, part = matrix[:, start : start + LANES], vector[start : start + LANES]
            lanes[:, : len(part)] = self.fma(columns, part, lanes[:, : len(part)])
        while lanes.shape[1] > 1:
            lanes = lanes[:, 0::2] + lanes[:, 1::2]
        return lanes[:, 0]

    def smooth(self, matrices: Array, vectors: Array) -> Array:
        """Products (..., r) of matrices (..., r, k) and vectors (..., k), summed as the C++ build sums covariances.

        Eight partial sums over whole groups of eight terms by fused multiply-adds, then both halves and neighbours
        added; after that the terms that are left (docs/fidelity.md says what that is worth).
        """
        if self.perturbed:
            return self.matmul(matrices, vectors[..., None])[..., 0]
        if self.dtype is np.float64:
            return np.asarray(sums.dot(matrices, vectors[..., None, :]))
        whole = matrices.shape[-1] // HALF_LANES * HALF_LANES
        factors = vectors[..., None, :]
        lanes = np.zeros((*matrices.shape[:-1], HALF_LANES), self.dtype)
        for start in range(0, whole, HALF_LANES):
            part = slice(start, start + HALF_LANES)
            lanes = self.fma(matrices[..., part], factors[..., part], lanes)
        lanes = lanes[..., :4] + lanes[..., 4:]
        result: Array = (lanes[..., 0] + lanes[..., 1]) + (lanes[..., 2] + lanes[..., 3])
        for k in range(whole, matrices.shape[-1]):
            result = result + matrices[..., k] * factors[..., k]
        return result

    def solve_spd(self, matrix: Array, right: Array) -> Array:
        """Solve ``matrix @ x = right`` for a symmetric positive definite matrix by Cholesky (spec 90.4).

        Parameters
        ----------
        matrix : (k, k); right : (k,), both in the working dtype.

        Returns
        -------
        (k,) solution, or zeros when a pivot falls below `SMALLEST_PIVOT` ("no update").
        """
        size = right.shape[0]
        # As OpenCV's Cholesky: sums kept in float64, term after term; products rounded to the working dtype, but for
        # the squares on the diagonal.
        rest, solution = matrix.astype(np.float64), right.astype(np.float64)
        pivots = np.diag(rest).copy()
        lower = np.zeros((size, size), self.dtype)
        inverse_pivots = np.zeros(size, self.dtype)
        for j in range(size):
            pivot = float(pivots[j])
            if not pivot >= SMALLEST_PIVOT:
                return np.zeros(size, self.dtype)
            inverse_pivots[j] = 1.0 / math.sqrt(pivot)
            column = (rest[j + 1 :, j] * np.float64(inverse_pivots[j])).astype(self.dtype)
            lower[j + 1 :, j] = column
            rest[j + 1 :, j + 1 :] -= column[:, None] * column
            pivots[j + 1 :] -= np.square(column.astype(np.float64))
        for i in range(size):
            found = self.dtype(solution[i] * np.float64(inverse_pivots[i]))
            solution[i] = found
            solution[i + 1 :] -= lower[i + 1 :, i] * found
        for i in range(size - 1, -1, -1):
            found = self.dtype(solution[i] * np.float64(inverse_pivots[i]))
            solution[i] = found
            solution[:i] -= lower[i, :i] * found
        return solution.astype(self.dtype)


def _term_after_term(a: Array, b: Array, *, fused: bool = False) -> Array:
    """Matrix product (..., m, n) of (..., m, k) and (..., k, n) in their dtype, every partial sum rounded.

    `fused` is for float32: products are exact, as float64 holds them.
    """
    wide = np.float64 if fused else a.dtype
    columns, rows = np.moveaxis(a, -1, 0)[..., None].astype(wide), np.moveaxis(b, -2, 0)[..., None, :].astype(wide)
    result = np.zeros(np.broadcast_shapes(columns.shape[1:], rows.shape[1:]), a.dtype)
    product = np.empty(result.shape, wide)
    for column, row in zip(columns, rows, strict=True):
        np.multiply(column, row, out=product)
        np.add(product, result, out=result, dtype=wide, casting="same_kind")
    return result


FLOAT32 = Numerics("float32", np.float32)
FLOAT64 = Numerics("float64", np.float64)
PERTURBED = Numerics("float32, no fused operations, sums reversed", np.float32, "reversed")
PERTURBED_2 = Numerics("float32, no fused operations, sums in halves", np.float32, "halved")
PERTURBED_3 = Numerics("float32, no fused operations, even and odd terms apart", np.float32, "alternating")

PRECISIONS: dict[str, Numerics] = {
    "float32": FLOAT32,
    "float64": FLOAT64,
    "perturbed": PERTURBED,
    "perturbed-2": PERTURBED_2,
    "perturbed-3": PERTURBED_3,
}
Precision = Literal["float32", "float64", "perturbed", "perturbed-2", "perturbed-3"]
