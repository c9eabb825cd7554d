"""Similarity between two point sets (spec 40.3, 60.2), operation for operation as reference/similarity.py."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.numba.compile import kernel
from auparity.accelerated.numba.fused import fma
from auparity.accelerated.numba.linear import TINY, jacobi_svd

Array = npt.NDArray[Any]


@kernel
def _centre_and_scale(points: Array) -> np.float32:
    """Points (2, n) float32 about their mean in units of their spread, in place; the spread."""
    n = points.shape[1]
    squares = 0.0
    for k in range(2):
        total = 0.0
        for i in range(n):
            total += np.float64(points[k, i])
        mean = np.float32(total / n)
        for i in range(n):
            points[k, i] -= mean
            squares += np.float64(points[k, i] * points[k, i])
    spread = np.float32(math.sqrt(squares / n))
    factor = np.float32(1.0 / np.float64(spread)) if spread > 0 else np.float32(0)
    for k in range(2):
        for i in range(n):
            points[k, i] *= factor
    return spread


@kernel
def align_with_scale(source: Array, destination: Array) -> tuple[Array, bool]:
    """The scaled rotation (2, 2) float32 from `source` (2, n) to `destination`; False where points coincide.

    Both arrays are changed.
    """
    n = source.shape[1]
    out = np.zeros((2, 2), np.float32)
    spread_source, spread_destination = _centre_and_scale(source), _centre_and_scale(destination)
    if not (spread_source > 0 and spread_destination > 0):
        return out, False
    covariance = np.empty((2, 2), np.float32)
    for i in range(2):
        for j in range(2):
            total = 0.0
            for k in range(n):
                total += np.float64(source[i, k]) * np.float64(destination[j, k])
            covariance[i, j] = np.float32(total)
    u, singular, vt = jacobi_svd(covariance)
    if singular[1] <= TINY:  # all points on a line: the second direction is the first one's normal
        u[0, 1], u[1, 1] = -u[1, 0], u[0, 0]
    v = vt.T.astype(np.float64)
    r00, r01 = v[0, 0] * u[0, 0] + v[0, 1] * u[0, 1], v[0, 0] * u[1, 0] + v[0, 1] * u[1, 1]
    r10, r11 = v[1, 0] * u[0, 0] + v[1, 1] * u[0, 1], v[1, 0] * u[1, 0] + v[1, 1] * u[1, 1]
    if r00 * r11 - r01 * r10 <= 0:
        v[0, 1], v[1, 1] = -v[0, 1], -v[1, 1]
        r00, r01 = v[0, 0] * u[0, 0] + v[0, 1] * u[0, 1], v[0, 0] * u[1, 0] + v[0, 1] * u[1, 1]
        r10, r11 = v[1, 0] * u[0, 0] + v[1, 1] * u[0, 1], v[1, 0] * u[1, 0] + v[1, 1] * u[1, 1]
    scale = spread_destination / spread_source
    out[0, 0], out[0, 1] = scale * np.float32(r00), scale * np.float32(r01)
    out[1, 0], out[1, 1] = scale * np.float32(r10), scale * np.float32(r11)
    return out, True


@kernel
def invert_2x2(matrix: Array) -> Array:
    """Inverse (2, 2) float32, as reference/patch_experts.invert_2x2."""
    a, b, c, d = matrix[0, 0], matrix[0, 1], matrix[1, 0], matrix[1, 1]
    reciprocal = np.float32(1) / fma(a, d, -(b * c))
    out = np.empty((2, 2), np.float32)
    out[0, 0], out[0, 1] = d * reciprocal, -b * reciprocal
    out[1, 0], out[1, 1] = -c * reciprocal, a * reciprocal
    return out
