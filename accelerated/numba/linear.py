"""Small systems and 3x3 matrices inside kernels (spec 30.1, 30.5, 90.4): Cholesky solve, SVD by Jacobi rotations,
Rodrigues' formula both ways. Roundings are those of reference/numerics.py, similarity.py and pdm.py. The solve keeps
the factor transposed, so that a whole row of it is made in registers (fit_tiles.py), where the reference gathers one
dot product for each entry; both subtract the same rounded products.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.numba.compile import kernel
from auparity.accelerated.numba.fit_tiles import (
    DOUBLES,
    WIDEST,
    elimination_tile_1,
    elimination_tile_2,
    elimination_tile_3,
    elimination_tile_4,
    elimination_tile_5,
    elimination_tile_6,
)
from auparity.accelerated.numba.fused import fma
from auparity.reference.numerics import SMALLEST_PIVOT
from auparity.reference.similarity import MAX_SWEEPS, ORTHOGONAL_ULPS

Array = npt.NDArray[Any]

PIVOT = SMALLEST_PIVOT
THRESHOLD = ORTHOGONAL_ULPS * float(np.finfo(np.float32).eps)
TINY = float(np.finfo(np.float32).tiny)
SWEEPS = MAX_SWEEPS
EPSILON = float(np.finfo(np.float64).eps)


@kernel
def solve_spd(matrix: Array, right: Array) -> Array:
    """Solution (k,) float32 of a symmetric positive definite float32 system; zeros where a pivot vanishes (90.4)."""
    size = right.shape[0]
    width = (size + DOUBLES) // DOUBLES * DOUBLES  # the right side is one more column: eliminating it solves L y = b
    upper = np.zeros((size, width), np.float32)  # the matrix, and row by row the factor transposed
    for j in range(size):
        for i in range(size):
            upper[j, i] = matrix[j, i]
        upper[j, size] = right[j]
    inverse = np.empty(size, np.float32)
    squares = np.zeros(width, np.float64)
    for j in range(size):
        pivot = np.float64(upper[j, j]) - squares[j]
        if not pivot >= PIVOT:
            return np.zeros(size, np.float32)
        inverse[j] = np.float32(1.0 / math.sqrt(pivot))
        # What stands left of the diagonal in its vector is eliminated with it, and never read.
        _eliminate(upper, width, j, np.float64(inverse[j]), squares)
    solution = np.empty(size, np.float32)
    for i in range(size - 1, -1, -1):
        total = 0.0
        for k in range(size - 1, i, -1):  # the newest last: all others are added up while it is computed
            total += np.float64(upper[i, k] * solution[k])
        solution[i] = np.float32((np.float64(upper[i, size]) - total) * np.float64(inverse[i]))
    return solution


@kernel
def _eliminate(upper: Array, width: int, row: int, factor: float, squares: Array) -> None:
    at = row // DOUBLES * DOUBLES
    while at < width:
        vectors = min((width - at) // DOUBLES, WIDEST)
        if vectors == 6:
            elimination_tile_6(upper, width, row, at, factor, squares)
        elif vectors == 5:
            elimination_tile_5(upper, width, row, at, factor, squares)
        elif vectors == 4:
            elimination_tile_4(upper, width, row, at, factor, squares)
        elif vectors == 3:
            elimination_tile_3(upper, width, row, at, factor, squares)
        elif vectors == 2:
            elimination_tile_2(upper, width, row, at, factor, squares)
        else:
            elimination_tile_1(upper, width, row, at, factor, squares)
        at += vectors * DOUBLES


@kernel
def jacobi_svd(matrix: Array) -> tuple[Array, Array, Array]:
    """u, singular values and vt of a small square float32 matrix, as reference/similarity.jacobi_svd."""
    size = matrix.shape[0]
    columns = matrix.T.copy()
    v = np.eye(size).astype(np.float32)
    for _ in range(SWEEPS):
        turned = False
        for i in range(size - 1):
            for j in range(i + 1, size):
                turned |= _make_orthogonal(columns, v, i, j)
        if not turned:
            break
    singular = np.empty(size, np.float64)
    for i in range(size):
        total = 0.0
        for k in range(size):
            total += np.float64(columns[i, k]) * np.float64(columns[i, k])
        singular[i] = math.sqrt(total)
    u = np.empty((size, size), np.float32)
    vt = np.empty((size, size), np.float32)
    values = np.empty(size, np.float32)
    taken = np.zeros(size, np.bool_)
    for place in range(size):
        best = -1
        for i in range(size):  # the first of equals
            if not taken[i] and (best < 0 or singular[i] > singular[best]):
                best = i
        taken[best] = True
        reciprocal = np.float32(1.0 / singular[best] if singular[best] > TINY else 0.0)
        values[place] = np.float32(singular[best])
        for k in range(size):
            u[k, place] = columns[best, k] * reciprocal
            vt[place, k] = v[best, k]
    return u, values, vt


@kernel
def _make_orthogonal(columns: Array, v: Array, i: int, j: int) -> bool:
    norm_i, norm_j, product = 0.0, 0.0, 0.0
    for k in range(columns.shape[1]):
        a, b = np.float64(columns[i, k]), np.float64(columns[j, k])
        norm_i += a * a
        norm_j += b * b
        product += a * b
    if abs(product) <= THRESHOLD * math.sqrt(norm_i * norm_j):
        return False
    beta = norm_i - norm_j
    gamma = math.hypot(2 * product, beta)
    if beta < 0:
        sine = np.float32(math.sqrt((gamma - beta) * 0.5 / gamma))
        cosine = np.float32(2 * product / (gamma * np.float64(sine) * 2))
    else:
        cosine = np.float32(math.sqrt((gamma + beta) / (gamma * 2)))
        sine = np.float32(2 * product / (gamma * np.float64(cosine) * 2))
    for k in range(columns.shape[1]):
        a32, b32 = columns[i, k], columns[j, k]
        columns[i, k] = cosine * a32 + sine * b32
        columns[j, k] = -sine * a32 + cosine * b32
        a32, b32 = v[i, k], v[j, k]
        v[i, k] = cosine * a32 + sine * b32
        v[j, k] = -sine * a32 + cosine * b32
    return True


@kernel
def product_f64(a: Array, b: Array) -> Array:
    """a @ b of small float32 matrices, accumulated in float64 and stored in float32 (spec 90.5)."""
    out = np.empty((a.shape[0], b.shape[1]), np.float32)
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            total = 0.0
            for k in range(a.shape[1]):
                total += np.float64(a[i, k]) * np.float64(b[k, j])
            out[i, j] = np.float32(total)
    return out


@kernel
def orthonormalise(matrix: Array) -> Array:
    """The nearest rotation to a (3, 3) float32 matrix (spec 30.5 step 3)."""
    u, _, vt = jacobi_svd(matrix)
    flip = np.eye(3).astype(np.float32)
    m = product_f64(u, vt).astype(np.float64)
    determinant = (
        m[0, 0] * (m[1, 1] * m[2, 2] - m[1, 2] * m[2, 1])
        - m[0, 1] * (m[1, 0] * m[2, 2] - m[1, 2] * m[2, 0])
        + m[0, 2] * (m[1, 0] * m[2, 1] - m[1, 1] * m[2, 0])
    )
    flip[2, 2] = np.float32(determinant)
    return product_f64(product_f64(u, flip), vt)


@kernel
def product_3x3(a: Array, b: Array) -> Array:
    """a @ b by fused multiply-adds in order of the inner index, as the C++ build multiplies (3, 3) matrices."""
    out = np.empty((3, 3), np.float32)
    for i in range(3):
        for j in range(3):
            out[i, j] = fma(a[i, 2], b[2, j], fma(a[i, 1], b[1, j], a[i, 0] * b[0, j]))
    return out


@kernel
def rotation_from_euler(rx: float, ry: float, rz: float) -> Array:
    """R = Rx Ry Rz (3, 3) float32 of float32 Euler angles in rad (spec 30.1)."""
    x, y, z = np.float64(rx), np.float64(ry), np.float64(rz)
    s1, s2, s3 = np.float32(math.sin(x)), np.float32(math.sin(y)), np.float32(math.sin(z))
    c1, c2, c3 = np.float32(math.cos(x)), np.float32(math.cos(y)), np.float32(math.cos(z))
    r = np.empty((3, 3), np.float32)
    r[0, 0] = c2 * c3
    r[0, 1] = -c2 * s3
    r[0, 2] = s2
    r[1, 0] = fma(c1, s3, c3 * s1 * s2)
    r[1, 1] = fma(-(s1 * s2), s3, c1 * c3)
    r[1, 2] = -c2 * s1
    r[2, 0] = fma(s1, s3, -(c1 * c3 * s2))
    r[2, 1] = fma(c1 * s2, s3, c3 * s1)
    r[2, 2] = c1 * c2
    return r


@kernel
def euler_from_rotation(r: Array) -> Array:
    """Euler angles (3,) float32 in rad of a (3, 3) float32 rotation, through a quaternion (spec 30.1)."""
    one, two, four = np.float32(1), np.float32(2), np.float32(4)
    q0 = np.float32(math.sqrt(one + r[0, 0] + r[1, 1] + r[2, 2])) / two
    q1 = (r[2, 1] - r[1, 2]) / (four * q0)
    q2 = (r[0, 2] - r[2, 0]) / (four * q0)
    q3 = (r[1, 0] - r[0, 1]) / (four * q0)
    sine_y = fma(q0, q2, q1 * q3)
    sine_x, cosine_x = fma(q0, q1, -(q2 * q3)), fma(q3, q3, fma(-q2, q2, fma(q0, q0, -(q1 * q1))))
    sine_z, cosine_z = fma(q0, q3, -(q1 * q2)), fma(-q3, q3, fma(-q2, q2, fma(q0, q0, q1 * q1)))
    out = np.empty(3, np.float32)
    out[0] = np.float32(math.atan2(np.float64(two * sine_x), np.float64(cosine_x)))
    out[1] = np.float32(math.asin(min(max(np.float64(two * sine_y), -1.0), 1.0)))
    out[2] = np.float32(math.atan2(np.float64(two * sine_z), np.float64(cosine_z)))
    return out


@kernel
def polar_rotation(matrix: Array) -> Array:
    """The rotation nearest to a (3, 3) matrix that is almost one, float64: Newton-Schulz, which doubles the digits."""
    r = matrix.astype(np.float64)
    for _ in range(3):
        gram = _gram(r)
        step = np.empty((3, 3), np.float64)
        for i in range(3):
            for j in range(3):
                step[i, j] = 1.5 * r[i, j] - 0.5 * (r[i, 0] * gram[0, j] + r[i, 1] * gram[1, j] + r[i, 2] * gram[2, j])
        r = step
    return r


@kernel
def _gram(r: Array) -> Array:
    out = np.empty((3, 3), np.float64)
    for i in range(3):
        for j in range(3):
            out[i, j] = r[0, i] * r[0, j] + r[1, i] * r[1, j] + r[2, i] * r[2, j]
    return out


@kernel
def axis_angle_from_rotation(rotation: Array) -> Array:
    """Axis-angle vector (3,) float64 of a (3, 3) rotation (spec 30.1)."""
    r = polar_rotation(rotation)
    x, y, z = r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]
    out = np.zeros(3, np.float64)
    sine = math.sqrt(x * x + y * y + z * z) / 2
    cosine = min(max((r[0, 0] + r[1, 1] + r[2, 2] - 1) / 2, -1.0), 1.0)
    theta = math.acos(cosine)
    if sine >= 1e-5:
        factor = theta / (2 * sine)
        out[0], out[1], out[2] = x * factor, y * factor, z * factor
        return out
    if cosine > 0:
        return out
    # Half a turn: the axis is read off the diagonal, its signs off the first row.
    x = math.sqrt(max((r[0, 0] + 1) / 2, 0.0))
    y = math.sqrt(max((r[1, 1] + 1) / 2, 0.0)) * (-1 if r[0, 1] < 0 else 1)
    z = math.sqrt(max((r[2, 2] + 1) / 2, 0.0)) * (-1 if r[0, 2] < 0 else 1)
    if abs(x) < min(abs(y), abs(z)) and (r[1, 2] > 0) != (y * z > 0):
        z = -z
    factor = theta / math.sqrt(x * x + y * y + z * z)
    out[0], out[1], out[2] = x * factor, y * factor, z * factor
    return out


@kernel
def rotation_from_axis_angle(vx: float, vy: float, vz: float) -> Array:
    """Rotation (3, 3) float64 of an axis-angle vector (spec 30.1)."""
    out = np.eye(3)
    theta = math.sqrt(vx * vx + vy * vy + vz * vz)
    if theta < EPSILON:
        return out
    x, y, z = vx / theta, vy / theta, vz / theta
    c, s = math.cos(theta), math.sin(theta)
    d = 1 - c
    out[0, 0], out[0, 1], out[0, 2] = c + d * x * x, d * x * y - s * z, d * x * z + s * y
    out[1, 0], out[1, 1], out[1, 2] = d * x * y + s * z, c + d * y * y, d * y * z - s * x
    out[2, 0], out[2, 1], out[2, 2] = d * x * z - s * y, d * y * z + s * x, c + d * z * z
    return out
