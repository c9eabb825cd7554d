"""Similarity alignment of two point sets, used by the patch experts (spec 40.3) and by face alignment (spec 60.2):
the scaled rotation that maps the centred source onto the centred destination in the least-squares sense (Kabsch 1976,
with the scale taken from the two spreads). Points (n, 2) in, a 2x2 matrix out. One unit in the last place of that
matrix moves pixels of the aligned face by a grey level, so the roundings of the C++ program are followed one by one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError
from auparity.reference.contracts import check_array
from auparity.reference.sums import in_order, mean, small_product, total
from auparity.reference.trigonometry import hypot

Array = npt.NDArray[Any]

STAGE = "similarity"

#: Two rows count as orthogonal below this many units of rounding of their norms (OpenCV's choice for float32).
ORTHOGONAL_ULPS = 2
MAX_SWEEPS = 30


def jacobi_svd(matrix: Array) -> tuple[Array, Array, Array]:
    """Singular value decomposition of a small matrix by one-sided Jacobi rotations (Hestenes 1958).

    Equal to OpenCV's float32 `SVD` bit for bit on 2x2 matrices, where LAPACK's differs in the last place: matrix and
    rotations are stored in the dtype of the matrix, dot products and norms accumulated in float64.

    Parameters
    ----------
    matrix : (m, n), m >= n.

    Returns
    -------
    u (m, n), singular values (n,) in descending order, vt (n, n). Columns of u whose singular value is 0 are 0.
    """
    dtype = matrix.dtype
    size = matrix.shape[1]
    columns = np.ascontiguousarray(matrix.T).copy()  # row i is column i of the matrix, turned until all are orthogonal
    v = np.eye(size, dtype=dtype)
    threshold = ORTHOGONAL_ULPS * float(np.finfo(dtype).eps)
    for _ in range(MAX_SWEEPS):
        turned = False
        for i in range(size - 1):
            for j in range(i + 1, size):
                turned |= _make_orthogonal(columns, v, i, j, threshold)
        if not turned:
            break
    singular = np.sqrt(in_order(np.square(columns.astype(np.float64))))
    order = np.argsort(-singular, kind="stable")
    columns, v, singular = columns[order], v[order], singular[order]
    reciprocal = np.divide(1.0, singular, out=np.zeros(size), where=singular > np.finfo(dtype).tiny)
    return (columns * reciprocal.astype(dtype)[:, None]).T, singular.astype(dtype), v


def _make_orthogonal(columns: Array, v: Array, i: int, j: int, threshold: float) -> bool:
    """Turn rows i and j of `columns` (and of `v` with them) until they are orthogonal; False if they already are."""
    dtype = columns.dtype
    norm_i, norm_j, product = 0.0, 0.0, 0.0
    for one, other in zip(columns[i].tolist(), columns[j].tolist(), strict=True):
        norm_i += one * one
        norm_j += other * other
        product += one * other
    if abs(product) <= threshold * math.sqrt(norm_i * norm_j):
        return False
    beta = norm_i - norm_j
    gamma = float(hypot(2 * product, beta))
    if beta < 0:
        sine = dtype.type(np.sqrt((gamma - beta) * 0.5 / gamma))
        cosine = dtype.type(2 * product / (gamma * float(sine) * 2))
    else:
        cosine = dtype.type(np.sqrt((gamma + beta) / (gamma * 2)))
        sine = dtype.type(2 * product / (gamma * float(cosine) * 2))
    for rows in (columns, v):
        rows[i], rows[j] = cosine * rows[i] + sine * rows[j], -sine * rows[i] + cosine * rows[j]
    return True


def _determinant_2x2(matrix: Array) -> float:
    (a, b), (c, d) = matrix.astype(np.float64).tolist()
    return float(a * d - b * c)


def _centred_and_scaled(points: Array) -> tuple[Array, Any]:
    """Points about their mean in units of their spread, and the spread: sqrt(sum of squares / n) (steps 1 and 2).

    The mean and the spread are computed in float64 and stored in the dtype of the points; the division is a
    multiplication by the reciprocal, as OpenCV divides a matrix by a number.
    """
    dtype = points.dtype
    centred = points - mean(points.astype(np.float64), axis=0).astype(dtype)
    spread = dtype.type(np.sqrt(total(np.square(centred).astype(np.float64).ravel()) / points.shape[0]))
    return centred * dtype.type(1.0 / float(spread)), spread


def align_with_scale(
    source: Array, destination: Array, dtype: type[np.float32] | type[np.float64] = np.float32
) -> Array:
    """The scaled rotation A with destination = A source for offsets from the means (spec 40.3, steps 1 to 4).

    Parameters
    ----------
    source, destination : (n, 2), corresponding points in px or mm.
    dtype : precision of the computation; the C++ program's is float32.

    Returns
    -------
    (2, 2) in `dtype` : (spread of destination / spread of source) times a rotation; never a reflection.

    Raises
    ------
    ContractError : other shapes, values that are not finite, or a set whose points coincide.
    """
    check_array(STAGE, "source", source, ("n", 2))
    check_array(STAGE, "destination", destination, (source.shape[0], 2))
    for name, points in (("source", source), ("destination", destination)):
        if (points == points[0]).all():
            raise ContractError(STAGE, name, "at least two different points", "points that all coincide")

    unit_source, spread_source = _centred_and_scaled(source.astype(dtype))
    unit_destination, spread_destination = _centred_and_scaled(destination.astype(dtype))
    # products of small matrices are accumulated in float64 and stored in float32 (spec 90.5)
    covariance = small_product(unit_source.T, unit_destination).astype(dtype)
    u, singular, vt = jacobi_svd(covariance)
    if singular[1] <= np.finfo(dtype).tiny:  # all points on a line: the second direction is the first one's normal
        u[:, 1] = -u[1, 0], u[0, 0]
    v = vt.T.astype(np.float64)
    if _determinant_2x2(v) * _determinant_2x2(u) <= 0:
        v[:, 1] *= -1
    rotation = small_product(v, u.T).astype(dtype)
    aligned: Array = (spread_destination / spread_source) * rotation
    return aligned
