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


# Sums over landmarks in any order: the golden ones are those of a BLAS.
@kernel(fastmath={"reassoc", "nsz"})
def rigid_hessian(rows: Array, weighted: Array, out: Array) -> None:
    """The first six rows and columns of J^T W J into `out`; `rows` is J transposed, `weighted` its first six by W."""
    size = out.shape[0]
    for i in range(6):
        for j in range(i, size):
            total = 0.0
            for k in range(rows.shape[1]):
                total += np.float64(weighted[i, k]) * np.float64(rows[j, k])
            out[i, j] = np.float32(total)
            out[j, i] = np.float32(total)


@kernel(fastmath={"reassoc", "nsz"})
def gradient(rows: Array, residual: Array, out: Array) -> None:
    """J^T times a residual (2n,) float32, accumulated in float64 and stored in float32; `rows` is J transposed."""
    for i in range(out.shape[0]):
        total = 0.0
        for k in range(rows.shape[1]):
            total += np.float64(rows[i, k]) * np.float64(residual[k])
        out[i] = np.float32(total)
