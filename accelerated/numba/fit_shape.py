"""CalcParams (spec 30.7): pose and shape that explain given landmarks, (N, n, 2) px to (N, 6) and (N, m).

The whole Gauss-Newton fit of a face is one kernel without the interpreter; its Hessian comes from Gram matrices of the
modes (normal_equations.py). Steps, stopping and the shape that a new pose is tried on are the reference's, its float32
values too but for the order of sums in J^T J. 60 to 90 times faster than the reference.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.numba.compile import kernel
from auparity.accelerated.numba.linear import rotation_from_euler, solve_spd
from auparity.accelerated.numba.normal_equations import gram_matrices, padded, rigid_products, shape_hessian
from auparity.accelerated.numba.pdm import ModelArrays, mode_jacobian, project, rigid_jacobian, shape_flat, update
from auparity.errors import ContractError
from auparity.models.types import PDM
from auparity.reference import fit_shape as reference
from auparity.reference.contracts import check_array

Array = npt.NDArray[Any]

STAGE = "fit_shape"
#: Subsets of landmarks whose models are kept; a part model always starts from the same few.
KEPT_SUBSETS = 8
MAX_ITERATIONS, STEP, ENOUGH, PATIENCE = reference.MAX_ITERATIONS, reference.STEP, reference.ENOUGH, reference.PATIENCE


@kernel
def _distance(a: Array, b: Array) -> float:
    """L2 norm of a - b, (2, n) float32 each, accumulated in float64 and rounded to float32."""
    total = 0.0
    for k in range(a.shape[0]):
        for i in range(a.shape[1]):
            difference = np.float64(a[k, i] - b[k, i])
            total += difference * difference
    return np.float64(np.float32(math.sqrt(total)))


@kernel
def _start(mean: Array, target: Array) -> Array:
    """Upright mean shape at the scale and centre of the landmarks' box: (6,)."""
    n = target.shape[1]
    g = np.zeros(6, np.float32)
    two = np.float32(2)
    ratio = np.empty(2, np.float32)
    for k in range(2):
        axis = mean[k * n : (k + 1) * n]
        low, high = target[k].min(), target[k].max()
        ratio[k] = (high - low) / (axis.max() - axis.min())
        g[4 + k] = (low + high) / two
    g[0] = (ratio[0] + ratio[1]) / two
    return g


@kernel
def _fit(mean: Array, modes: Array, eigenvalues: Array, gram: Array, target: Array) -> tuple[Array, Array]:
    """Parameters (6,) and (m,) of landmarks (2, n) float32."""
    m, n = modes.shape[0], target.shape[1]
    g, p = _start(mean, target), np.zeros(m, np.float32)
    size = 6 + m
    rows = np.zeros((size, padded(2 * n)), np.float32)
    hessian = np.empty((size, size), np.float32)
    right = np.empty(size, np.float32)
    residual = np.zeros(padded(2 * n), np.float32)
    prior = np.float32(1) / eigenvalues
    shape = shape_flat(mean, modes, p)
    r = rotation_from_euler(g[1], g[2], g[3])
    current = project(g, r, shape)
    error = _distance(current, target)
    not_improved = 0
    for _ in range(MAX_ITERATIONS):
        for k in range(2):
            for i in range(n):
                residual[k * n + i] = target[k, i] - current[k, i]
        rigid_jacobian(g, r, shape, rows)
        mode_jacobian(g, r, modes, rows)
        rigid_products(rows, rows, residual, hessian, right)
        shape_hessian(g, r, gram, hessian)
        for j in range(m):
            right[6 + j] -= prior[j] * p[j]
            hessian[6 + j, 6 + j] += prior[j]
        delta = np.float32(STEP) * solve_spd(hessian, right)
        g = update(g, delta, r)
        p = p + delta[6:]
        r = rotation_from_euler(g[1], g[2], g[3])
        # Tried on the shape of before the update, as the C++ program does: it decides when to stop.
        new_error = _distance(project(g, r, shape), target)
        if ENOUGH * error < new_error:
            not_improved += 1
            if not_improved == PATIENCE:
                break
        error = new_error
        shape = shape_flat(mean, modes, p)
        current = project(g, r, shape)
    return g, p


class ShapeFitter:
    """Stage `fit_shape` of one PDM."""

    def __init__(self, pdm: PDM) -> None:
        self.arrays = ModelArrays(pdm)
        self._gram = gram_matrices(self.arrays.modes, np.ones(pdm.n_points))
        self._some: dict[bytes, tuple[Array, Array, Array]] = {}  # models of subsets of the landmarks, by mask

    def __call__(self, landmarks: Array) -> tuple[Array, Array]:
        """Global (N, 6) and local (N, m) parameters of landmarks (N, n, 2); those with x = 0 count as not given.

        Raises
        ------
        ContractError : wrong shape, NaN or infinite landmarks, or a face with no landmark given (all x are 0).
        """
        own = self.arrays
        check_array(STAGE, "landmarks", landmarks, ("N", own.n_points, 2))
        count = len(landmarks)
        g, p = np.empty((count, 6), np.float32), np.empty((count, own.n_modes), np.float32)
        for k, face in enumerate(landmarks):
            given = face[:, 0] != 0
            if given.all():
                target = np.ascontiguousarray(face.T, np.float32)
                g[k], p[k] = _fit(own.mean, own.modes, own.eigenvalues, self._gram, target)
            elif given.any():
                g[k], p[k] = self._fit_some(face, given)
            else:
                raise ContractError(STAGE, "landmarks", "at least one landmark with x != 0", "all x are 0")
        return g, p

    def _fit_some(self, face: Array, given: npt.NDArray[np.bool_]) -> tuple[Array, Array]:
        """Parameters of a face of which only some landmarks are given (the part models start so)."""
        own, key = self.arrays, given.tobytes()
        model = self._some.get(key)  # held here: another thread may empty the cache at any time
        if model is None:
            if len(self._some) >= KEPT_SUBSETS:
                self._some.clear()
            modes = np.ascontiguousarray(own.modes.reshape(own.n_modes, 3, -1)[:, :, given]).reshape(own.n_modes, -1)
            mean = np.ascontiguousarray(own.mean.reshape(3, -1)[:, given]).reshape(-1)
            model = mean, modes, gram_matrices(modes, np.ones(int(given.sum())))
            self._some[key] = model
        mean, modes, gram = model
        target = np.ascontiguousarray(face[given].T, np.float32)
        fitted: tuple[Array, Array] = _fit(mean, modes, own.eigenvalues, gram, target)
        return fitted


def build(pdm: PDM) -> ShapeFitter:
    """Stage `fit_shape`."""
    return ShapeFitter(pdm)
