"""Head pose and landmarks in camera space (spec 70.1 to 70.3): the reference's Levenberg-Marquardt as one kernel.

The same steps and damping in float64; the six normal equations are solved by elimination, where the reference takes a
least-squares solver. A face that is none (all points in one place, as before the first detection) sends the minimiser
to infinity on a path that the last bit decides: there the reference's own answer is taken.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.checks import batch_of, check_small
from auparity.accelerated.numba.compile import kernel
from auparity.accelerated.numba.linear import (
    axis_angle_from_rotation,
    euler_from_rotation,
    rotation_from_axis_angle,
    rotation_from_euler,
)
from auparity.accelerated.numba.pdm import ModelArrays, as_kernels_take, shape_flat
from auparity.models.types import PDM
from auparity.reference import head_pose as reference
from auparity.reference.head_pose import Camera
from auparity.reference.pdm import ShapeModel

Array = npt.NDArray[Any]

STAGE = "head_pose"
MAX_ITERATIONS, CONVERGED = reference.MAX_ITERATIONS, reference.CONVERGED
LARGEST_DAMPING = 1e12
FARTHEST = 1e6  # mm; nobody's head is a kilometre away


@kernel
def _residual(
    shape: Array, landmarks: Array, rotation: Array, translation: Array, camera: Array, turned: Array, points: Array,
    error: Array,
) -> float:  # fmt: skip
    """Reprojection errors (2, n) px into `error`; turned and camera-space points (3, n); the sum of squares."""
    n, total = landmarks.shape[0], 0.0
    for i in range(n):
        x, y, z = np.float64(shape[i]), np.float64(shape[n + i]), np.float64(shape[2 * n + i])
        for k in range(3):
            turned[k, i] = x * rotation[k, 0] + y * rotation[k, 1] + z * rotation[k, 2]
            points[k, i] = turned[k, i] + translation[k]
        if points[2, i] == 0:  # no projection; OpenCV divides by 1 there
            points[2, i] = 1.0
        for k in range(2):
            error[k, i] = points[k, i] / points[2, i] * camera[k] + camera[2 + k] - np.float64(landmarks[i, k])
            total += error[k, i] * error[k, i]
    return total


@kernel
def _normal_equations(turned: Array, points: Array, camera: Array, error: Array, gram: Array, gradient: Array) -> None:
    """J^T J (6, 6) and J^T e (6,) by a rotation on the left (3) and the translation (3)."""
    gram[:] = 0.0
    gradient[:] = 0.0
    row = np.empty(6, np.float64)
    for i in range(turned.shape[1]):
        z = points[2, i]
        qx, qy, qz = turned[0, i], turned[1, i], turned[2, i]
        for k in range(2):
            a, b = (camera[0] / z, 0.0) if k == 0 else (0.0, camera[1] / z)
            c = -camera[k] * points[k, i] / (z * z)
            # d(exp(w) q)/dw = w x q, so the rotation columns are the cross product of q with the row.
            row[0], row[1], row[2] = qy * c - qz * b, qz * a - qx * c, qx * b - qy * a
            row[3], row[4], row[5] = a, b, c
            for p in range(6):
                gradient[p] += row[p] * error[k, i]
                for q in range(p + 1):
                    gram[p, q] += row[p] * row[q]
    for p in range(6):
        for q in range(p):
            gram[q, p] = gram[p, q]


@kernel
def _solve_damped(gram: Array, gradient: Array, damping: float, step: Array) -> bool:
    """step = -(gram + damping * diag(gram))^-1 gradient by Cholesky; False without a pivot."""
    lower = np.empty((6, 6), np.float64)
    for i in range(6):
        for j in range(i + 1):
            total = gram[i, j] * (1.0 + damping) if i == j else gram[i, j]
            for k in range(j):
                total -= lower[i, k] * lower[j, k]
            if i == j:
                if not total > 0:
                    return False
                lower[i, i] = math.sqrt(total)
            else:
                lower[i, j] = total / lower[j, j]
    for i in range(6):
        total = -gradient[i]
        for k in range(i):
            total -= lower[i, k] * step[k]
        step[i] = total / lower[i, i]
    for i in range(5, -1, -1):
        total = step[i]
        for k in range(i + 1, 6):
            total -= lower[k, i] * step[k]
        step[i] = total / lower[i, i]
    return True


@kernel
def _times(a: Array, b: Array) -> Array:
    """a @ b of (3, 3) float64 (Numba's own product asks for SciPy)."""
    out = np.empty((3, 3), np.float64)
    for i in range(3):
        for j in range(3):
            out[i, j] = a[i, 0] * b[0, j] + a[i, 1] * b[1, j] + a[i, 2] * b[2, j]
    return out


@kernel
def _pose(mean: Array, modes: Array, g: Array, p: Array, landmarks: Array, camera: Array, out: Array) -> bool:
    """Pose (6,) of one face into `out` float32; False where the reference must decide. camera: fx, fy, cx, cy."""
    shape, n = shape_flat(mean, modes, p), landmarks.shape[0]
    turned, points, error = np.empty((3, n), np.float64), np.empty((3, n), np.float64), np.empty((2, n), np.float64)
    new_turned, new_points, new_error = turned.copy(), points.copy(), error.copy()
    gram, gradient, step = np.empty((6, 6), np.float64), np.empty(6, np.float64), np.empty(6, np.float64)
    depth = camera[0] / np.float64(g[0])
    translation = np.empty(3, np.float64)
    translation[0] = (np.float64(g[4]) - camera[2]) / camera[0] * depth
    translation[1] = (np.float64(g[5]) - camera[3]) / camera[1] * depth
    translation[2] = depth
    rotation = rotation_from_axis_angle(np.float64(g[1]), np.float64(g[2]), np.float64(g[3]))
    cost = _residual(shape, landmarks, rotation, translation, camera, turned, points, error)
    damping = 1e-3
    for _ in range(MAX_ITERATIONS):
        _normal_equations(turned, points, camera, error, gram, gradient)
        improved = False
        new_rotation, new_translation, new_cost = rotation, translation, cost
        while not improved and damping < LARGEST_DAMPING:
            if not _solve_damped(gram, gradient, damping, step):
                return False
            new_rotation = _times(rotation_from_axis_angle(step[0], step[1], step[2]), rotation)
            new_translation = translation + step[3:]
            new_cost = _residual(
                shape, landmarks, new_rotation, new_translation, camera, new_turned, new_points, new_error
            )
            improved = new_cost < cost
            damping = damping / 10 if improved else damping * 10
        if not improved:
            break
        rotation, translation, cost = new_rotation, new_translation, new_cost
        turned, new_turned = new_turned, turned
        points, new_points = new_points, points
        error, new_error = new_error, error
        moved, size = 0.0, 1.0
        for k in range(6):
            moved += step[k] * step[k]
        for k in range(3):
            size += translation[k] * translation[k]
        if math.sqrt(moved) < CONVERGED * math.sqrt(size):
            break
    if not abs(translation[0]) + abs(translation[1]) + abs(translation[2]) < FARTHEST:
        return False
    axis = axis_angle_from_rotation(rotation)  # through the axis-angle vector, as the C++ program reports it
    out[:3] = translation.astype(np.float32)
    out[3:] = euler_from_rotation(rotation_from_axis_angle(axis[0], axis[1], axis[2]).astype(np.float32))
    return True


@kernel
def _landmarks_in_camera(mean: Array, modes: Array, g: Array, p: Array, landmarks: Array, camera: Array) -> Array:
    """3D landmarks (N, n, 3) float32 mm of faces (N, ...)."""
    count, n = landmarks.shape[0], landmarks.shape[1]
    out = np.empty((count, n, 3), np.float32)
    fx, fy, cx, cy = np.float32(camera[0]), np.float32(camera[1]), np.float32(camera[2]), np.float32(camera[3])
    for k in range(count):
        shape = shape_flat(mean, modes, p[k])
        r = rotation_from_euler(g[k, 1], g[k, 2], g[k, 3])
        away = fx / g[k, 0]
        for i in range(n):
            depth = away + (shape[i] * r[2, 0] + shape[n + i] * r[2, 1] + shape[2 * n + i] * r[2, 2])
            out[k, i, 0] = depth * ((landmarks[k, i, 0] - cx) / fx)
            out[k, i, 1] = depth * ((landmarks[k, i, 1] - cy) / fy)
            out[k, i, 2] = depth
    return out


class HeadPose:
    """Stage `head_pose` of one PDM, see `auparity.reference.stages.HeadPoseStage`."""

    def __init__(self, pdm: PDM) -> None:
        self.arrays, self._pdm = ModelArrays(pdm), pdm
        self._last: tuple[Any, Array] = None, np.zeros(0)

    def pose(self, params_global: Array, params_local: Array, landmarks: Array, camera: Camera) -> Array:
        """Pose (N, 6) float32: Tx, Ty, Tz mm, Rx, Ry, Rz rad; zeros where the scale is 0."""
        g, p, seen = self._checked(params_global, params_local, landmarks)
        own, intrinsics = self.arrays, _as_array(camera)
        poses = np.zeros((len(g), 6), np.float32)
        for k in range(len(g)):
            if g[k, 0] == 0:
                continue
            if not _pose(own.mean, own.modes, g[k], p[k], seen[k], intrinsics, poses[k]):
                poses[k] = self._reference_pose(g[k : k + 1], p[k : k + 1], seen[k : k + 1], camera)
        return poses

    def _reference_pose(self, g: Array, p: Array, landmarks: Array, camera: Camera) -> Array:
        """The reference's pose (6,); the last one is kept, because frames without a face are all alike."""
        key = (g.tobytes(), p.tobytes(), landmarks.tobytes(), camera)
        last = self._last  # read once: another thread may put its own there at any time
        if last[0] != key:
            last = key, reference.head_pose(ShapeModel(self._pdm), g, p, landmarks, camera)[0]
            self._last = last
        return last[1]

    def landmarks_in_camera(self, params_global: Array, params_local: Array, landmarks: Array, camera: Camera) -> Array:
        """3D landmarks (N, n, 3) float32 mm in camera space (spec 70.3)."""
        g, p, seen = self._checked(params_global, params_local, landmarks)
        points: Array = _landmarks_in_camera(self.arrays.mean, self.arrays.modes, g, p, seen, _as_array(camera))
        return points

    def _checked(self, g: Array, p: Array, landmarks: Array) -> tuple[Array, Array, Array]:
        count, own = batch_of(STAGE, "params_global", g, 6), self.arrays
        check_small(STAGE, "params_global", g, (count, 6), None)
        check_small(STAGE, "params_local", p, (count, own.n_modes), None)
        check_small(STAGE, "landmarks", landmarks, (count, own.n_points, 2), None)
        return as_kernels_take(g), as_kernels_take(p), as_kernels_take(landmarks)


def _as_array(camera: Camera) -> Array:
    return np.array([camera.fx, camera.fy, camera.cx, camera.cy])


def build(pdm: PDM) -> HeadPose:
    """Stage `head_pose`."""
    return HeadPose(pdm)
