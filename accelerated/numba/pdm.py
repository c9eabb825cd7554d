"""Point distribution model (spec 30): parameters (6,) and (m,) to shapes and Jacobians, in kernels that others call.

The reference's sums are kept to the last bit (sixteen partial sums over the modes, fused where the C++ build fuses),
but turned on their side: coordinates are the SIMD lanes, so that a partial sum is a register of sixteen coordinates
(fit_tiles.py), and modes are stored as rows (m, 3n). Thirty times faster than the reference, call included.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.checks import check_small
from auparity.accelerated.numba.compile import kernel
from auparity.accelerated.numba.fit_tiles import SUMS, shape_tile
from auparity.accelerated.numba.fused import fma
from auparity.accelerated.numba.linear import (
    axis_angle_from_rotation,
    euler_from_rotation,
    orthonormalise,
    product_3x3,
    rotation_from_axis_angle,
    rotation_from_euler,
)
from auparity.errors import ContractError
from auparity.models.types import PDM
from auparity.reference.numerics import LANES as LANES_OF_BUILD
from auparity.reference.pdm import CLAMP_DEVIATIONS

Array = npt.NDArray[Any]

STAGE = "pdm"
LANES = LANES_OF_BUILD
assert LANES == SUMS


@kernel
def shape_flat(mean: Array, modes: Array, p: Array) -> Array:
    """Shape (3n,) float32 mm: all x, all y, all z. `mean` (3n,), `modes` (m, 3n), `p` (m,)."""
    m, size = modes.shape
    out = np.empty(size, np.float32)
    if m < LANES:
        total = np.zeros(size, np.float32)
        for k in range(m):
            factor = p[k]
            for i in range(size):
                total[i] = fma(modes[k, i], factor, total[i])
        for i in range(size):
            out[i] = mean[i] + total[i]
        return out
    for first in range(0, size - LANES + 1, LANES):
        shape_tile(mean, modes, m, size, p, first, out)
    if size % LANES:  # the last vector overlaps the one before it
        shape_tile(mean, modes, m, size, p, size - LANES, out)
    return out


@kernel
def project(g: Array, r: Array, shape: Array) -> Array:
    """Landmarks (2, n) float32 px of a flat shape (3n,), parameters (6,) and their rotation (3, 3) (spec 30.2)."""
    n = shape.shape[0] // 3
    out = np.empty((2, n), np.float32)
    for k in range(2):
        r0, r1, r2, s, t = r[k, 0], r[k, 1], r[k, 2], g[0], g[4 + k]
        for i in range(n):
            turned = fma(r2, shape[2 * n + i], fma(r0, shape[i], r1 * shape[n + i]))
            out[k, i] = fma(s, turned, t)
    return out


@kernel
def landmarks_of(mean: Array, modes: Array, g: Array, p: Array) -> Array:
    """Landmarks (2, n) float32 px of parameters (6,), (m,)."""
    return project(g, rotation_from_euler(g[1], g[2], g[3]), shape_flat(mean, modes, p))


@kernel
def rigid_jacobian(g: Array, r: Array, shape: Array, out: Array) -> None:
    """Rows 0 to 5 of the transposed Jacobian (>= 6, 2n): by s, wx, wy, wz, tx, ty (spec 30.4)."""
    n = shape.shape[0] // 3
    s = g[0]
    for k in range(2):
        r0, r1, r2, at = r[k, 0], r[k, 1], r[k, 2], k * n
        for i in range(n):
            x, y, z = shape[i], shape[n + i], shape[2 * n + i]
            out[0, at + i] = fma(r2, z, fma(r0, x, r1 * y))
            out[1, at + i] = s * fma(y, r2, -(z * r1))
            out[2, at + i] = -s * fma(x, r2, -(z * r0))
            out[3, at + i] = s * fma(x, r1, -(y * r0))
            out[4, at + i] = np.float32(1 - k)
            out[5, at + i] = np.float32(k)


@kernel
def mode_jacobian(g: Array, r: Array, modes: Array, out: Array) -> None:
    """Rows 6 to 6 + m of the transposed Jacobian (6 + m, 2n) (spec 30.4)."""
    m, size = modes.shape
    n = size // 3
    s = g[0]
    for k in range(2):
        r0, r1, r2, at = r[k, 0], r[k, 1], r[k, 2], k * n
        for j in range(m):
            for i in range(n):
                out[6 + j, at + i] = s * fma(r2, modes[j, 2 * n + i], fma(r0, modes[j, i], r1 * modes[j, n + i]))


@kernel
def update(g: Array, delta: Array, r: Array) -> Array:
    """Global parameters (6,) after a Gauss-Newton step whose first six entries are theirs; `r` is their rotation."""
    out = g.copy()
    out[0] += delta[0]
    out[4] += delta[4]
    out[5] += delta[5]
    wx, wy, wz = delta[1], delta[2], delta[3]
    small = np.eye(3).astype(np.float32)
    small[0, 1], small[0, 2], small[1, 0] = -wz, wy, wz
    small[1, 2], small[2, 0], small[2, 1] = -wx, -wy, wx
    turned = product_3x3(r, orthonormalise(small))
    axis = axis_angle_from_rotation(turned)
    # Through a float32 axis-angle vector, as the C++ program stores it.
    x, y, z = np.float64(np.float32(axis[0])), np.float64(np.float32(axis[1])), np.float64(np.float32(axis[2]))
    euler = euler_from_rotation(rotation_from_axis_angle(x, y, z).astype(np.float32))
    if np.isnan(euler[0]) or np.isnan(euler[1]) or np.isnan(euler[2]):
        euler[:] = np.float32(0)
    out[1:4] = euler
    return out


@kernel
def _shapes_3d(mean: Array, modes: Array, p: Array) -> Array:
    n = modes.shape[1] // 3
    out = np.empty((p.shape[0], n, 3), np.float32)
    for k in range(p.shape[0]):
        out[k] = shape_flat(mean, modes, p[k]).reshape(3, n).T
    return out


@kernel
def _shapes_2d(mean: Array, modes: Array, g: Array, p: Array) -> Array:
    n = modes.shape[1] // 3
    out = np.empty((p.shape[0], n, 2), np.float32)
    for k in range(p.shape[0]):
        out[k] = landmarks_of(mean, modes, g[k], p[k]).T
    return out


def as_kernels_take(values: Array, dtype: npt.DTypeLike = np.float32) -> Array:
    """`values` themselves where they are contiguous, writable and of the dtype, else a copy that is.

    A kernel is compiled again, for seconds, for an array that is strided or read-only.
    """
    ready = np.ascontiguousarray(values, dtype)
    return ready if ready.flags.writeable else ready.copy()


class ModelArrays:
    """A PDM as the kernels take it: float32, modes as rows."""

    def __init__(self, pdm: PDM) -> None:
        self.n_points, self.n_modes = pdm.n_points, pdm.n_modes
        self.mean = np.ascontiguousarray(pdm.mean, np.float32).reshape(-1)  # (3n,)
        self.modes = np.ascontiguousarray(np.asarray(pdm.components, np.float32).T)  # (m, 3n)
        self.eigenvalues = np.ascontiguousarray(pdm.eigenvalues, np.float32).reshape(-1)  # (m,)
        self.largest = np.float32(CLAMP_DEVIATIONS) * np.sqrt(self.eigenvalues)


class ShapeModel:
    """Stage `pdm` of one PDM, see `auparity.reference.stages.ShapeStage`."""

    def __init__(self, pdm: PDM) -> None:
        self.arrays = ModelArrays(pdm)
        self.n_points, self.n_modes = pdm.n_points, pdm.n_modes

    def shape_3d(self, params_local: Array) -> Array:
        """3D shapes (..., n, 3) in mm of local parameters (..., m)."""
        p = self._checked("params_local", params_local, self.n_modes)
        shapes = _shapes_3d(self.arrays.mean, self.arrays.modes, p)
        return shapes.reshape(*params_local.shape[:-1], self.n_points, 3)

    def shape_2d(self, params_global: Array, params_local: Array) -> Array:
        """Landmarks (..., n, 2) in px of parameters (..., 6), (..., m)."""
        g = self._checked("params_global", params_global, 6)
        p = self._checked("params_local", params_local, self.n_modes)
        leading = params_local.shape[:-1]
        if params_global.shape[:-1] != leading:
            leading, g, p = self._broadcast(params_global, params_local)
        shapes = _shapes_2d(self.arrays.mean, self.arrays.modes, g, p)
        return shapes.reshape(*leading, self.n_points, 2)

    def _broadcast(self, params_global: Array, params_local: Array) -> tuple[tuple[int, ...], Array, Array]:
        """The common leading axes of both, and each once for every face of them: (K, 6), (K, m)."""
        try:
            leading = np.broadcast_shapes(params_global.shape[:-1], params_local.shape[:-1])
        except ValueError as error:
            expected = f"leading axes that go with {params_local.shape[:-1]} of params_local"
            raise ContractError(STAGE, "params_global", expected, f"shape {params_global.shape}") from error
        g = np.broadcast_to(params_global, (*leading, 6)).reshape(-1, 6)
        p = np.broadcast_to(params_local, (*leading, self.n_modes)).reshape(-1, self.n_modes)
        return leading, as_kernels_take(g), as_kernels_take(p)

    def params_from_box(self, box: Array, params_local: Array, rotation: Array) -> Array:
        """Global parameters (6,) that make the rotated shape fill a face box (x, y, w, h) px (spec 30.3)."""
        check_small(STAGE, "box", box, (4,), None)
        check_small(STAGE, "params_local", params_local, (self.n_modes,), None)
        check_small(STAGE, "rotation", rotation, (3,), None)
        box, p, turn = as_kernels_take(box), as_kernels_take(params_local), as_kernels_take(rotation)
        return _params_from_box(self.arrays.mean, self.arrays.modes, box, p, turn)

    def _checked(self, name: str, values: Array, length: int) -> Array:
        """(K, length) as the kernels take it, of finite values (..., length)."""
        if not (type(values) is np.ndarray and values.ndim and values.size and values.shape[-1] == length):
            got = f"shape {values.shape}" if isinstance(values, np.ndarray) else f"a {type(values).__name__}"
            raise ContractError(STAGE, name, f"shape (..., {length}), not empty", got)
        check_small(STAGE, name, values, values.shape, None)
        return as_kernels_take(values).reshape(-1, length)


@kernel
def _params_from_box(mean: Array, modes: Array, box: Array, p: Array, rotation: Array) -> Array:
    turn, shape = rotation_from_euler(rotation[0], rotation[1], rotation[2]), shape_flat(mean, modes, p)
    n = shape.shape[0] // 3
    low, high = np.empty(2, np.float32), np.empty(2, np.float32)
    for k in range(2):
        for i in range(n):
            # Rounded one by one here: that is how the C++ build has it.
            value = shape[i] * turn[k, 0] + shape[n + i] * turn[k, 1] + shape[2 * n + i] * turn[k, 2]
            low[k] = value if i == 0 else min(low[k], value)
            high[k] = value if i == 0 else max(high[k], value)
    two = np.float32(2)
    scale = (box[2] / (high[0] - low[0]) + box[3] / (high[1] - low[1])) / two
    out = np.empty(6, np.float32)
    out[0] = scale
    out[1:4] = rotation
    out[4] = fma(-scale, (low[0] + high[0]) / two, box[0] + box[2] / two)
    out[5] = fma(-scale, (low[1] + high[1]) / two, box[1] + box[3] / two)
    return out


def build(pdm: PDM) -> ShapeModel:
    """Stage `pdm`."""
    return ShapeModel(pdm)
