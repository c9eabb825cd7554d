"""Point distribution model: shapes, Jacobians and parameter updates (spec 30; Saragih et al., IJCV 2011, section 2).

A face is ``g = [s, rx, ry, rz, tx, ty]`` (scale in px/mm, Euler angles in rad, translation in px) and ``p`` (m
coefficients of shape, mm): 3D shape S = mean + V p, then a weak-perspective projection. Every function takes arrays
with any leading axes, so ``(6,)`` is one face and ``(N, 6)`` a batch; landmarks are ``(..., n, 2)`` and 3D shapes
``(..., n, 3)``. Jacobian rows are x of all points, then y of all points (2n).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from auparity.models.types import PDM
from auparity.reference.numerics import FLOAT32, Numerics
from auparity.reference.similarity import jacobi_svd
from auparity.reference.sums import norm, small_product
from auparity.reference.trigonometry import arccos, arcsin, arctan2, cos, sin

Array = npt.NDArray[Any]

#: p is limited to this many standard deviations (spec 30.6).
CLAMP_DEVIATIONS = 3.0


def rotation_from_euler(euler: Array, numerics: Numerics = FLOAT32) -> Array:
    """Euler angles (..., 3) in rad to R = Rx Ry Rz (..., 3, 3) (spec 30.1)."""
    fma = numerics.fma
    # Correctly rounded sines and cosines, and products fused where the C++ build fuses them.
    sines, cosines = sin(euler), cos(euler)
    s1, s2, s3 = (numerics.cast(sines[..., k]) for k in range(3))
    c1, c2, c3 = (numerics.cast(cosines[..., k]) for k in range(3))
    rows = [
        [c2 * c3, -c2 * s3, s2],
        [fma(c1, s3, c3 * s1 * s2), fma(-(s1 * s2), s3, c1 * c3), -c2 * s1],
        [fma(s1, s3, -(c1 * c3 * s2)), fma(c1 * s2, s3, c3 * s1), c1 * c2],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def euler_from_rotation(rotation: Array, numerics: Numerics = FLOAT32) -> Array:
    """Rotation matrices (..., 3, 3) to Euler angles (..., 3) in rad, through a quaternion (spec 30.1)."""
    fma = numerics.fma
    r = numerics.cast(rotation)
    q0 = np.sqrt(1 + r[..., 0, 0] + r[..., 1, 1] + r[..., 2, 2]) / 2
    q1 = (r[..., 2, 1] - r[..., 1, 2]) / (4 * q0)
    q2 = (r[..., 0, 2] - r[..., 2, 0]) / (4 * q0)
    q3 = (r[..., 1, 0] - r[..., 0, 1]) / (4 * q0)
    sine_y = fma(q0, q2, q1 * q3)
    sine_x, cosine_x = fma(q0, q1, -(q2 * q3)), fma(q3, q3, fma(-q2, q2, fma(q0, q0, -(q1 * q1))))
    sine_z, cosine_z = fma(q0, q3, -(q1 * q2)), fma(-q3, q3, fma(-q2, q2, fma(q0, q0, q1 * q1)))
    wide = [2 * value.astype(np.float64) for value in (sine_x, sine_y, sine_z)]  # inverse functions in float64
    euler = [arctan2(wide[0], cosine_x), arcsin(np.clip(wide[1], -1, 1)), arctan2(wide[2], cosine_z)]
    return numerics.cast(np.stack(euler, axis=-1))


def axis_angle_from_rotation(rotation: Array) -> Array:
    """One rotation matrix (3, 3) to its axis-angle vector (3,), float64 (OpenCV's Rodrigues, spec 30.1)."""
    u, _, vt = jacobi_svd(rotation.astype(np.float64))
    r = small_product(u, vt)
    axis = np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]])
    sine = norm(axis) / 2
    cosine = float(np.clip((r[0, 0] + r[1, 1] + r[2, 2] - 1) / 2, -1, 1))
    theta = float(arccos(cosine))
    if sine >= 1e-5:
        return axis * (theta / (2 * sine))
    if cosine > 0:
        return np.zeros(3)
    # Half a turn: the axis is read off the diagonal, its signs off the first row.
    axis = np.sqrt(np.maximum((np.diag(r) + 1) / 2, 0))
    axis[1] *= -1 if r[0, 1] < 0 else 1
    axis[2] *= -1 if r[0, 2] < 0 else 1
    if abs(axis[0]) < min(abs(axis[1]), abs(axis[2])) and (r[1, 2] > 0) != (axis[1] * axis[2] > 0):
        axis[2] = -axis[2]
    return axis * (theta / norm(axis))


def rotation_from_axis_angle(vector: Array) -> Array:
    """Axis-angle vector (3,) to a rotation matrix (3, 3), float64 (Rodrigues' formula, spec 30.1)."""
    v = vector.astype(np.float64)
    theta = norm(v)
    if theta < np.finfo(np.float64).eps:
        return np.eye(3)
    x, y, z = v / theta
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    outer = np.outer([x, y, z], [x, y, z])
    cosine, sine = cos(theta), sin(theta)
    return np.asarray(cosine * np.eye(3) + (1 - cosine) * outer + sine * cross)


def orthonormalise(matrix: Array, numerics: Numerics = FLOAT32) -> Array:
    """The nearest rotation to a (3, 3) matrix, by SVD in the matrix's own dtype (spec 30.5 step 3)."""
    u, _, vt = jacobi_svd(matrix)
    flip = np.eye(3, dtype=matrix.dtype)
    flip[2, 2] = determinant_3x3(numerics.matmul_f64(u, vt))
    return numerics.matmul_f64(numerics.matmul_f64(u, flip), vt)


def determinant_3x3(matrix: Array) -> float:
    """Determinant of a (3, 3) matrix in float64, by its first row."""
    (a, b, c), (d, e, f), (g, h, i) = matrix.astype(np.float64).tolist()
    return float(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g))


def bounding_box(landmarks: Array) -> tuple[Array, Array, Array, Array]:
    """Smallest and largest x and y of landmarks (..., n, 2): (x_min, y_min, x_max, y_max)."""
    low, high = landmarks.min(axis=-2), landmarks.max(axis=-2)
    return low[..., 0], low[..., 1], high[..., 0], high[..., 1]


class ShapeModel:
    """A `PDM` at the working precision, with everything that fitting asks of it (spec 30)."""

    def __init__(self, pdm: PDM, numerics: Numerics = FLOAT32) -> None:
        self.numerics = numerics
        self.n_points = pdm.n_points
        self.n_modes = pdm.n_modes
        self.mean = numerics.cast(pdm.mean)  # (3n,)
        self.components = numerics.cast(pdm.components)  # (3n, m)
        self.eigenvalues = numerics.cast(pdm.eigenvalues)  # (m,)
        # (n, 3, m): the three coordinates of a point's modes together, for the Jacobian
        self.modes = np.ascontiguousarray(self.components.reshape(3, self.n_points, -1).transpose(1, 0, 2))
        self.largest = numerics.cast(CLAMP_DEVIATIONS) * np.sqrt(self.eigenvalues)

    def subset(self, points: Array) -> ShapeModel:
        """The same model of only the chosen points (boolean mask or indices over n)."""
        chosen = np.arange(self.n_points)[points]
        rows = np.concatenate([chosen + block * self.n_points for block in range(3)])
        return ShapeModel(PDM(self.mean[rows], self.components[rows], self.eigenvalues), self.numerics)

    def shape_3d(self, params_local: Array) -> Array:
        """3D shapes (..., n, 3) in mm, in the object frame, of local parameters (..., m)."""
        flat = params_local.reshape(-1, self.n_modes)
        # One product a face: its rounding must not depend on how many faces are in the batch.
        blocks = np.stack([self.mean + self.numerics.matvec(self.components, p) for p in flat])
        shapes = blocks.reshape(-1, 3, self.n_points).transpose(0, 2, 1)
        return np.ascontiguousarray(shapes).reshape(*params_local.shape[:-1], self.n_points, 3)

    def project(self, params_global: Array, shape_3d: Array) -> Array:
        """Weak-perspective projection (..., n, 2) in px of 3D shapes (..., n, 3) (spec 30.2)."""
        rotation = rotation_from_euler(params_global[..., 1:4], self.numerics)
        coordinates = tuple(shape_3d[..., k] for k in range(3))
        flat = []
        for row in range(2):
            # Fused as the C++ build fuses s * (r0 x + r1 y + r2 z) + t: every reference landmark follows from its
            # parameters to the last bit. Rounding each operation, 8 % differ, and the patches around them are sampled
            # a 1/32 px cell apart here and there.
            turned = self._dot_3(tuple(rotation[..., row, k, None] for k in range(3)), coordinates)
            flat.append(self.numerics.fma(params_global[..., :1], turned, params_global[..., 4 + row, None]))
        return np.stack(flat, axis=-1)

    def _dot_3(self, a: Sequence[Array] | Array, b: Sequence[Array]) -> Array:
        """a0 b0 + a1 b1 + a2 b2 as the C++ build contracts it: first and last product fused, the middle one rounded."""
        fma = self.numerics.fma
        return fma(a[2], b[2], fma(a[0], b[0], a[1] * b[1]))

    def _difference_of_products(self, a: Array, b: Array, c: Array, d: Array) -> Array:
        """a b - c d as the C++ build contracts it: the first product fused, the second rounded."""
        return self.numerics.fma(a, b, -(c * d))

    def shape_2d(self, params_global: Array, params_local: Array) -> Array:
        """Landmarks (..., n, 2) in px (spec 30.2)."""
        return self.project(params_global, self.shape_3d(params_local))

    def params_from_box(self, box: Array, params_local: Array, rotation: Array) -> Array:
        """Global parameters (6,) that make the rotated shape fill a face box (x, y, w, h) (spec 30.3)."""
        cast = self.numerics.cast
        x, y, width, height = (cast(v) for v in box)
        turn, shape = rotation_from_euler(cast(rotation), self.numerics), self.shape_3d(params_local)
        # Rounded and fused where the C++ build does: equal to every recorded start.
        turned = sum((shape[:, k, None] * turn[:2, k] for k in (1, 2)), shape[:, :1] * turn[:2, 0])
        x_min, y_min, x_max, y_max = bounding_box(turned)
        scale = (width / (x_max - x_min) + height / (y_max - y_min)) / 2
        tx = self.numerics.fma(-scale, (x_min + x_max) / 2, x + width / 2)
        ty = self.numerics.fma(-scale, (y_min + y_max) / 2, y + height / 2)
        return cast([scale, *rotation, tx, ty])

    def rigid_jacobian(self, params_global: Array, shape_3d: Array) -> Array:
        """Jacobian (2n, 6) of one face by s, wx, wy, wz, tx, ty; rotations act on the right of R (spec 30.4)."""
        s = params_global[0]
        r = rotation_from_euler(params_global[1:4], self.numerics)
        x, y, z = shape_3d[:, 0], shape_3d[:, 1], shape_3d[:, 2]
        zero, one = np.zeros_like(x), np.ones_like(x)
        dot, minus = self._dot_3, self._difference_of_products
        halves = [
            np.stack(
                [
                    dot(r[k], (x, y, z)),
                    s * minus(y, r[k, 2], z, r[k, 1]),
                    -s * minus(x, r[k, 2], z, r[k, 0]),
                    s * minus(x, r[k, 1], y, r[k, 0]),
                    one if k == 0 else zero,
                    zero if k == 0 else one,
                ],
                axis=1,
            )
            for k in range(2)
        ]
        return np.concatenate(halves)

    def jacobian(self, params_global: Array, shape_3d: Array) -> Array:
        """Jacobian (2n, 6 + m) of one face: the rigid columns, then the modes of shape (spec 30.4)."""
        s = params_global[0]
        r = rotation_from_euler(params_global[1:4], self.numerics)
        modes = [s * self._dot_3(r[k], tuple(self.modes[:, axis] for axis in range(3))) for k in range(2)]
        return np.concatenate([self.rigid_jacobian(params_global, shape_3d), np.concatenate(modes)], axis=1)

    def update(self, params_global: Array, params_local: Array, delta: Array) -> tuple[Array, Array]:
        """Apply a Gauss-Newton step delta (6,) or (6 + m,) to one face's parameters (spec 30.5)."""
        dtype = self.numerics.dtype
        g = params_global.copy()
        g[0] += delta[0]
        g[4:6] += delta[4:6]
        wx, wy, wz = delta[1:4]
        small = np.array([[1, -wz, wy], [wz, 1, -wx], [-wy, wx, 1]], dtype)
        rotation = rotation_from_euler(params_global[1:4], self.numerics)
        turned = self._product_3x3(rotation, orthonormalise(small, self.numerics))
        through_axis = rotation_from_axis_angle(axis_angle_from_rotation(turned).astype(dtype)).astype(dtype)
        euler = euler_from_rotation(through_axis, self.numerics)
        g[1:4] = 0 if np.isnan(euler).any() else euler
        p = params_local + delta[6:] if delta.shape[0] > 6 else params_local
        return g, p

    def _product_3x3(self, a: Array, b: Array) -> Array:
        """a @ b by fused multiply-adds in order of the inner index, as the C++ build multiplies its small matrices."""
        fma, product = self.numerics.fma, a[:, :1] * b[:1]
        for k in (1, 2):
            product = fma(a[:, k : k + 1], b[k : k + 1], product)
        return product

    def clamp(self, params_local: Array) -> Array:
        """p within three standard deviations of each mode (spec 30.6)."""
        return np.clip(params_local, -self.largest, self.largest)


class ShapeStage(Protocol):
    """Stage `pdm`, built from a `PDM`: shapes of parameters (spec 30.1 to 30.3)."""

    @property
    def n_points(self) -> int: ...
    @property
    def n_modes(self) -> int: ...

    def shape_3d(self, params_local: Array) -> Array:
        """(..., m) mm to (..., n, 3) mm."""

    def shape_2d(self, params_global: Array, params_local: Array) -> Array:
        """(..., 6), (..., m) to (..., n, 2) px."""

    def params_from_box(self, box: Array, params_local: Array, rotation: Array) -> Array:
        """Box (4,) px, (m,), (3,) rad to global parameters (6,)."""


def build(pdm: PDM, *, numerics: Numerics = FLOAT32) -> ShapeStage:
    """Stage `pdm`."""
    return ShapeModel(pdm, numerics)
