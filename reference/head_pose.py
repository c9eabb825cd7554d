"""Head pose and 3D landmarks in camera space (spec 70.1 to 70.3).

The fitted shape is a rigid object of known size, so where the head stands follows from where its 68 points are seen:
an iterative perspective-n-point problem. Shapes in: parameters (N, 6), (N, m), landmarks (N, n, 2) px; out: pose (N, 6)
as Tx, Ty, Tz in mm and Rx, Ry, Rz in rad, 3D landmarks (N, n, 3) in mm. Camera axes: x right, y down, z away.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError
from auparity.models.types import PDM
from auparity.reference.contracts import check_array, check_number
from auparity.reference.numerics import FLOAT32, FLOAT64, Numerics
from auparity.reference.pdm import (
    ShapeModel,
    axis_angle_from_rotation,
    euler_from_rotation,
    rotation_from_axis_angle,
    rotation_from_euler,
)
from auparity.reference.similarity import jacobi_svd
from auparity.reference.sums import dot, in_order, norm, small_product, total

Array = npt.NDArray[Any]

MAX_ITERATIONS = 20  # of Levenberg-Marquardt, as OpenCV's solvePnP
CONVERGED = float(np.finfo(np.float32).eps)  # relative step that ends the iterations


@dataclass(frozen=True)
class Camera:
    """Pinhole camera without distortion: focal lengths and centre in px."""

    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        for name in ("fx", "fy", "cx", "cy"):
            check_number("head_pose", f"camera.{name}", getattr(self, name))
        if self.fx <= 0 or self.fy <= 0:
            raise ContractError("head_pose", "camera", "fx and fy above 0", str(self))

    @classmethod
    def for_image(cls, width: int, height: int) -> Camera:
        """OpenFace's guess for an image of this size (spec 70.1), in float32."""
        fx = np.float32(500 * np.float32(width / 640))
        fy = np.float32(500 * np.float32(height / 480))
        focal = float((fx + fy) / np.float32(2))
        return cls(focal, focal, width / 2, height / 2)


def check_camera(stage: str, camera: Any) -> Camera | None:
    """A `Camera`, or None for OpenFace's guess; raises `ContractError` for anything else."""
    if camera is not None and not isinstance(camera, Camera):
        raise ContractError(stage, "camera", "a Camera or None", f"{camera!r} ({type(camera).__name__})")
    return camera


def head_pose(model: ShapeModel, params_global: Array, params_local: Array, landmarks: Array, camera: Camera) -> Array:
    """Pose (N, 6): translation in mm, Euler angles in rad (spec 70.2). Zeros where the scale is 0."""
    check_array("head_pose", "params_global", params_global, ("N", 6))
    count = params_global.shape[0]
    check_array("head_pose", "params_local", params_local, (count, model.n_modes))
    check_array("head_pose", "landmarks", landmarks, (count, model.n_points, 2))
    poses = np.zeros((count, 6), model.numerics.dtype)
    for k, (g, p, seen) in enumerate(zip(params_global, params_local, landmarks, strict=True)):
        if g[0] == 0:
            continue
        shape = model.shape_3d(p).astype(np.float64)
        rotation, translation = solve_pnp(shape, seen.astype(np.float64), camera, g)
        euler = euler_from_rotation(rotation, model.numerics)
        poses[k] = np.concatenate([translation, euler])
    return poses


def solve_pnp(shape: Array, landmarks: Array, camera: Camera, params_global: Array) -> tuple[Array, Array]:
    """Rotation (3, 3) and translation (3,) mm that minimise the squared reprojection error, in float64.

    Levenberg-Marquardt from the weak-perspective parameters (6,); its rotation takes the Euler angles for an
    axis-angle vector as the C++ program does, which only moves the start.
    """
    focal = np.array([camera.fx, camera.fy])
    centre = np.array([camera.cx, camera.cy])
    s, tx, ty = (float(params_global[k]) for k in (0, 4, 5))
    depth = camera.fx / s
    translation = np.array([(tx - camera.cx) / camera.fx * depth, (ty - camera.cy) / camera.fy * depth, depth])
    rotation = rotation_from_axis_angle(params_global[1:4])

    def residual(rotation: Array, translation: Array) -> tuple[Array, Array, Array]:
        turned = small_product(shape, rotation.T)
        points = turned + translation
        # A point at depth 0 has no projection; OpenCV divides by 1 there.
        z = np.where(points[:, 2] != 0, points[:, 2], 1.0)
        return points[:, :2] / z[:, None] * focal + centre - landmarks, turned, np.column_stack([points[:, :2], z])

    error, turned, points = residual(rotation, translation)
    cost, damping = float(total((error * error).ravel())), 1e-3
    for _ in range(MAX_ITERATIONS):
        jacobian = _pnp_jacobian(turned, points, focal)
        gram, gradient = small_product(jacobian.T, jacobian), dot(jacobian.T, error.T.reshape(-1))
        improved = False
        while not improved and damping < 1e12:
            step = -_damped_step(gram, gradient, damping)
            new_rotation = small_product(rotation_from_axis_angle(step[:3]), rotation)
            new_error, new_turned, new_points = residual(new_rotation, translation + step[3:])
            new_cost = float(total((new_error * new_error).ravel()))
            improved = new_cost < cost
            damping = damping / 10 if improved else damping * 10
        if not improved:
            break
        rotation, translation = new_rotation, translation + step[3:]
        error, turned, points, cost = new_error, new_turned, new_points, new_cost
        if norm(step) < CONVERGED * norm(np.concatenate([translation, [1.0]])):
            break
    # Through the axis-angle vector, as the C++ program reports it.
    return rotation_from_axis_angle(axis_angle_from_rotation(rotation)), translation


def _damped_step(gram: Array, gradient: Array, damping: float) -> Array:
    """The solution x (6,) of (gram + damping diag(gram)) x = gradient; the shortest one where there are many.

    Solved in units in which the diagonal of gram is 1. Before a face was ever found all landmarks lie on one point,
    and the system is singular to rounding; there the singular value decomposition gives the step, as in the C++
    program, whose tables have the pose of these frames, too.
    """
    units = np.sqrt(np.diag(gram))
    with np.errstate(divide="ignore", invalid="ignore"):  # a parameter that moves nothing
        scaled = gram / (units[:, None] * units) + damping * np.eye(len(gram))
        step = np.nan_to_num(FLOAT64.solve_spd(scaled, gradient / units) / units)
    if step.any() or not gradient.any():
        return step
    u, singular, vt = jacobi_svd(gram + damping * np.diag(np.diag(gram)))
    kept = singular > len(gram) * np.finfo(np.float64).eps * singular[0]
    along = np.divide(dot(u.T, gradient), singular, out=np.zeros_like(singular), where=kept)
    return dot(vt.T, along)


def _pnp_jacobian(turned: Array, points: Array, focal: Array) -> Array:
    """Jacobian (2n, 6) of projections by a rotation on the left (3) and the translation (3); x rows, then y."""
    x, y, z = points.T
    zero = np.zeros_like(z)
    by_point = [
        np.column_stack([focal[0] / z, zero, -focal[0] * x / (z * z)]),
        np.column_stack([zero, focal[1] / z, -focal[1] * y / (z * z)]),
    ]
    # d(exp(w) q)/dw = w x q, so the rotation columns are the cross product of q with each row.
    return np.concatenate([np.column_stack([np.cross(turned, rows), rows]) for rows in by_point])


def landmarks_in_camera(
    model: ShapeModel, params_global: Array, params_local: Array, landmarks: Array, camera: Camera
) -> Array:
    """3D landmarks (N, n, 3) in mm in camera space: depth from the model, the rest from where they are seen (70.3)."""
    check_array("head_pose", "params_global", params_global, ("N", 6))
    check_array("head_pose", "params_local", params_local, (params_global.shape[0], model.n_modes))
    check_array("head_pose", "landmarks", landmarks, (params_global.shape[0], model.n_points, 2))
    cast = model.numerics.cast
    rotation = rotation_from_euler(params_global[:, 1:4], model.numerics)
    shape = model.shape_3d(params_local)
    depth_in_face = in_order(shape * rotation[:, None, 2])
    depth = cast(camera.fx) / params_global[:, :1] + depth_in_face
    x = depth * ((landmarks[..., 0] - cast(camera.cx)) / cast(camera.fx))
    y = depth * ((landmarks[..., 1] - cast(camera.cy)) / cast(camera.fy))
    return np.stack([x, y, depth], axis=-1)


class HeadPoseStage(Protocol):
    """Stage `head_pose`, built from a `PDM` (spec 70.1 to 70.3)."""

    def pose(self, params_global: Array, params_local: Array, landmarks: Array, camera: Camera) -> Array:
        """(N, 6), (N, m), (N, n, 2) px to (N, 6): Tx, Ty, Tz mm, Rx, Ry, Rz rad."""

    def landmarks_in_camera(self, params_global: Array, params_local: Array, landmarks: Array, camera: Camera) -> Array:
        """The same to 3D landmarks (N, n, 3) mm."""


class HeadPose:
    """Head pose and 3D landmarks of one PDM."""

    def __init__(self, pdm: PDM, numerics: Numerics = FLOAT32) -> None:
        model = ShapeModel(pdm, numerics)
        self.pose = partial(head_pose, model)
        self.landmarks_in_camera = partial(landmarks_in_camera, model)


def build(pdm: PDM, *, numerics: Numerics = FLOAT32) -> HeadPoseStage:
    """Stage `head_pose`."""
    return HeadPose(pdm, numerics)
