"""Normal equations of a Gauss-Newton step, without the big product (used by CalcParams and by the fit).

The shape part of J^T W J is s^2 times a sum of Gram matrices of the modes, V_a^T W V_b for the three axes, weighted by
products of two entries of the rotation: they depend on nothing but the model and on which landmarks count, and are
computed once. What remains of a step is six multiply-adds an entry (6936 for 34 modes, where the product has 314,432).
They are kept in float64, so that the entries are nearer to the exact ones than a float32 product.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.numba.compile import kernel
from auparity.accelerated.numba.fit_tiles import DOUBLES, RIGID, rigid_tile

Array = npt.NDArray[Any]

#: Pairs of axes (a, b), a <= b, of the six Gram matrices.
PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))


def gram_matrices(modes: Array, weights: Array) -> Array:
    """(6, m, m) float64 of modes (m, 3n) float32 and weights (n,) of the landmarks, 0 for those that do not count.

    For a < b both V_a^T W V_b and its transpose, added.
    """
    m = modes.shape[0]
    axes = modes.astype(np.float64).reshape(m, 3, -1)
    out = np.empty((len(PAIRS), m, m))
    for k, (a, b) in enumerate(PAIRS):
        product = (axes[:, a] * weights) @ axes[:, b].T
        out[k] = product if a == b else product + product.T
    return out


@kernel
def padded(count: int) -> int:
    """`count` rounded up to whole vectors of doubles: the length of a row of J transposed."""
    return -(-count // DOUBLES) * DOUBLES


@kernel
def shape_hessian(g: Array, r: Array, gram: Array, out: Array) -> None:
    """The lower right (m, m) block of J^T W J into `out` (6 + m, 6 + m) float32."""
    m = gram.shape[1]
    s2 = np.float64(g[0]) * np.float64(g[0])
    c00, c11, c22, c01, c02, c12 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(2):
        x, y, z = np.float64(r[k, 0]), np.float64(r[k, 1]), np.float64(r[k, 2])
        c00 += s2 * x * x
        c11 += s2 * y * y
        c22 += s2 * z * z
        c01 += s2 * x * y
        c02 += s2 * x * z
        c12 += s2 * y * z
    for i in range(m):
        for j in range(m):
            value = c00 * gram[0, i, j] + c11 * gram[1, i, j] + c22 * gram[2, i, j]
            value += c01 * gram[3, i, j] + c02 * gram[4, i, j] + c12 * gram[5, i, j]
            out[6 + i, 6 + j] = np.float32(value)


@kernel
def rigid_products(rows: Array, weighted: Array, residual: Array, out: Array, right: Array) -> None:
    """The first six rows and columns of J^T W J into `out` and J^T W e into `right`, float32 accumulated in float64.

    `rows` is J transposed, `weighted` the same by W, both (>= size, K) with zeros behind 2n where K, a multiple of
    eight, is larger; `residual` (K,); the size is that of `right`.
    """
    size, length = right.shape[0], rows.shape[1]
    columns, sums = np.empty((RIGID, length), np.float64), np.empty(2 * RIGID, np.float64)
    for k in range(length):
        for a in range(6):
            columns[a, k] = np.float64(rows[a, k])
        columns[6, k] = np.float64(residual[k])
    for j in range(0, size, 2):
        last = min(j + 1, size - 1)
        rigid_tile(weighted, j, last, length, columns, sums)
        for i in range(last - j + 1):
            for a in range(6):
                out[j + i, a] = np.float32(sums[i * RIGID + a])
                out[a, j + i] = out[j + i, a]
            right[j + i] = np.float32(sums[i * RIGID + 6])
