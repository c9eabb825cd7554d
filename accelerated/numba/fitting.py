"""Fitting by regularised, non-uniform landmark mean-shift (spec 50.1 to 50.5): gray images and starting parameters
(N, 6), (N, m) to one `Fit` each.

Both passes of a scale are one kernel. Its parts: shapes and Jacobians to the reference's last bit (pdm.py), mean shifts
from tabulated kernels in the reference order of sums (mean_shift.py), Hessians from Gram matrices
(normal_equations.py). The response maps come from any variant of `patch_experts`. About 100 times faster than the
reference.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.checks import check_gray, check_small
from auparity.accelerated.numba.compile import kernel
from auparity.accelerated.numba.linear import rotation_from_euler, solve_spd
from auparity.accelerated.numba.mean_shift import densities, kernel_table, mean_shifts
from auparity.accelerated.numba.normal_equations import gram_matrices, padded, rigid_products, shape_hessian
from auparity.accelerated.numba.pdm import (
    ModelArrays,
    as_kernels_take,
    landmarks_of,
    mode_jacobian,
    project,
    rigid_jacobian,
    shape_flat,
    update,
)
from auparity.errors import ContractError
from auparity.models.types import LandmarkModel
from auparity.reference import fitting as reference
from auparity.reference.fitting import Fit, FittingParameters
from auparity.reference.patch_experts import PatchExpertStage

Array = npt.NDArray[Any]

STAGE = "fitting"
CONVERGED2 = reference.CONVERGED**2
INVISIBLE = reference.INVISIBLE_LIKELIHOOD
NO_WEIGHTS = np.zeros(0, np.float32)
#: Mean-shift kernels (1 to 6 MB each) and Gram matrices that are kept; the part models of a bundle need a handful.
KEPT_TABLES, KEPT_GRAMS = 8, 64


@kernel
def _positions(current: Array, base: Array, img_to_ref: Array, centre: np.float32, out: Array) -> None:
    """Where landmarks (2, n) px stand inside their maps: (2, n) of (column, row) (spec 50.3)."""
    for i in range(base.shape[1]):
        dx, dy = np.float64(current[0, i] - base[0, i]), np.float64(current[1, i] - base[1, i])
        for k in range(2):
            offset = dx * np.float64(img_to_ref[k, 0]) + dy * np.float64(img_to_ref[k, 1])
            out[k, i] = np.float32(offset) + centre


@kernel
def _passes(
    mean: Array, modes: Array, eigenvalues: Array, largest: Array, gram: Array, maps: Array, visible: Array,
    img_to_ref: Array, ref_to_img: Array, table: Array, weights: Array, weighted_shape: bool, reg: float,
    iterations: int, window: int, g: Array, p: Array,
) -> tuple[Array, Array, np.float32, Array]:  # fmt: skip
    """The rigid and then the full pass of one scale; also the scale after the first and the last positions (2, n)."""
    n, m = maps.shape[1], modes.shape[0]
    base = landmarks_of(mean, modes, g, p)
    centre = np.float32((window - 1) // 2)
    length = padded(2 * n)
    rows, weighted = np.zeros((6 + m, length), np.float32), np.zeros((6 + m, length), np.float32)
    hessian, right = np.empty((6 + m, 6 + m), np.float32), np.empty(6 + m, np.float32)
    position, shift, residual = np.zeros((2, n), np.float32), np.empty((2, n), np.float32), np.zeros(length, np.float32)
    previous = np.empty((2, n), np.float32)
    rigid_scale = g[0]
    for rigid in (True, False):
        size = 6 if rigid else 6 + m
        use_weights = weights.size > 0 and (rigid or weighted_shape)
        position[:] = np.float32(0)
        for iteration in range(iterations):
            shape = shape_flat(mean, modes, p)
            r = rotation_from_euler(g[1], g[2], g[3])
            current = project(g, r, shape)
            if iteration > 0:
                moved = 0.0
                for k in range(2):
                    for i in range(n):
                        step = np.float64(current[k, i] - previous[k, i])
                        moved += step * step
                if moved < CONVERGED2:
                    break
            previous[:] = current
            _positions(current, base, img_to_ref, centre, position)
            mean_shifts(maps, visible, table, position, window, shift)
            for i in range(n):
                x, y = np.float64(shift[0, i]), np.float64(shift[1, i])
                residual[i] = np.float32(x * np.float64(ref_to_img[0, 0]) + y * np.float64(ref_to_img[0, 1]))
                residual[n + i] = np.float32(x * np.float64(ref_to_img[1, 0]) + y * np.float64(ref_to_img[1, 1]))
            rigid_jacobian(g, r, shape, rows)
            if not rigid:
                mode_jacobian(g, r, modes, rows)
            for i in range(n):
                if not visible[i]:
                    rows[:size, i] = np.float32(0)
                    rows[:size, n + i] = np.float32(0)
            left = rows
            if use_weights:
                for j in range(size):
                    for i in range(2 * n):
                        weighted[j, i] = rows[j, i] * weights[i]
                left = weighted
            rigid_products(rows, left, residual, hessian, right[:size])
            if not rigid:
                shape_hessian(g, r, gram, hessian)
                for j in range(m):
                    prior = np.float32(reg) / eigenvalues[j]
                    right[6 + j] -= prior * p[j]
                    hessian[6 + j, 6 + j] += prior
            delta = solve_spd(hessian[:size, :size], right[:size])
            g = update(g, delta, r)
            moved_p = p.copy()
            for j in range(m):
                value = p[j] if rigid else p[j] + delta[6 + j]
                moved_p[j] = min(max(value, -largest[j]), largest[j])
            p = moved_p
        if rigid:
            rigid_scale = g[0]
    return g, p, rigid_scale, position


class LandmarkFitter:
    """Stage `fitting` of one landmark model, see `auparity.reference.stages.FittingStage`."""

    def __init__(self, model: LandmarkModel, experts: PatchExpertStage) -> None:
        self.arrays = ModelArrays(model.pdm)
        self.experts = experts
        # Empty records have no confidence (NaN); nobody reads it, their landmarks are invisible in that view.
        self._confidences = [
            np.nan_to_num(np.array([[patch.confidence for patch in view] for view in scale.patches], np.float32))
            for scale in model.experts
        ]
        # Filled when first needed, keyed by everything they depend on; two threads may compute the same one twice.
        self._tables: dict[tuple[int, float], Array] = {}
        self._grams: dict[tuple[bytes, bytes], Array] = {}

    def fit(self, gray: Array, params_global: Array, params_local: Array, parameters: FittingParameters) -> list[Fit]:
        """Fit each image by itself, coarse to fine (spec 50.2); arguments and errors as in the reference."""
        check_gray(STAGE, gray)
        count = len(gray)
        check_small(STAGE, "params_global", params_global, (count, 6), np.float32)
        check_small(STAGE, "params_local", params_local, (count, self.arrays.n_modes), np.float32)
        params_global, params_local = as_kernels_take(params_global), as_kernels_take(params_local)
        if len(parameters.windows) < len(self.experts.scales):
            expected = f"a window size for each of {len(self.experts.scales)} scales"
            raise ContractError(STAGE, "windows", expected, str(parameters.windows))
        return [
            self._fit_one(gray[k : k + 1], params_global[k : k + 1], params_local[k : k + 1], parameters)
            for k in range(count)
        ]

    def _fit_one(self, gray: Array, g: Array, p: Array, parameters: FittingParameters) -> Fit:
        own, scales = self.arrays, self.experts.scales
        windows = parameters.windows[: len(scales)]
        likelihood: float | None = None
        per_landmark: Array | None = None
        view, success = 0, True
        kernel_sigmas: dict[int, float] = {}
        for k, window in enumerate(windows):
            if window == 0:
                continue
            reg, sigma, weight_factor = parameters.at_scale(scales[min(k, 2)])
            # OpenFace tabulates the mean-shift kernel once for each window size: the first sigma stays (spec 50.5).
            table = self._table(window, kernel_sigmas.setdefault(window, sigma))
            maps = self.experts.response_maps(gray, g, p, window, k)
            view = int(maps.view[0])
            by_pixel = np.ascontiguousarray(maps.maps[0].reshape(-1, window * window).T, np.float32)
            visible = as_kernels_take(maps.visible[0], np.bool_)
            weights, weighted_shape = self._weights(k, view, weight_factor)
            gram = self._gram(visible, weights if weighted_shape else NO_WEIGHTS)
            g1, p1, rigid_scale, position = _passes(
                own.mean, own.modes, own.eigenvalues, own.largest, gram, by_pixel, visible,
                as_kernels_take(maps.img_to_ref[0]), as_kernels_take(maps.ref_to_img[0]), table, weights,
                weighted_shape, reg, parameters.iterations, window, g[0], p[0],
            )  # fmt: skip
            if not np.isfinite(g1).all():  # the reference singular value decomposition does not converge there
                raise ContractError(STAGE, "response_maps", "finite values", f"maps that lead to parameters {g1}")
            g, p = g1[None], p1[None]
            is_last = k == len(windows) - 1 or windows[k + 1] == 0
            if is_last or rigid_scale < reference.LIKELIHOOD_SCALE:
                likelihoods = densities(by_pixel, visible, position, window, sigma, INVISIBLE)
                likelihood, per_landmark = float(likelihoods[-1]), likelihoods[:-1]
            if g1[0] < reference.SMALLEST_SCALE:
                success = False
                break
        landmarks = np.ascontiguousarray(landmarks_of(own.mean, own.modes, g[0], p[0]).T)
        return Fit(g[0].copy(), p[0].copy(), landmarks, likelihood, per_landmark, view, success)

    def _table(self, window: int, sigma: float) -> Array:
        key = (window, sigma)
        table = self._tables.get(key)  # held here: another thread may empty the cache at any time
        if table is None:
            if len(self._tables) >= KEPT_TABLES:
                self._tables.clear()
            table = kernel_table(window, sigma)
            self._tables[key] = table
        return table

    def _weights(self, scale_index: int, view: int, weight_factor: float) -> tuple[Array, bool]:
        """Diagonal weights (2n,), empty for the identity, and whether the full pass uses them (spec 50.4)."""
        if weight_factor <= 0:
            return NO_WEIGHTS, False
        weights = np.tile(self._confidences[scale_index][view] * np.float32(weight_factor), 2)
        # The full pass skips weights whose trace happens to be that of the identity.
        return weights, float(np.sum(weights, dtype=np.float64)) != len(weights)

    def _gram(self, visible: Array, weights: Array) -> Array:
        key = (visible.tobytes(), weights.tobytes())
        gram = self._grams.get(key)
        if gram is None:
            if len(self._grams) >= KEPT_GRAMS:
                self._grams.clear()
            counted = visible.astype(np.float64)
            if weights.size:
                counted *= weights[: len(visible)]
            gram = gram_matrices(self.arrays.modes, counted)
            self._grams[key] = gram
        return gram


def build(model: LandmarkModel, experts: PatchExpertStage) -> LandmarkFitter:
    """Stage `fitting`."""
    return LandmarkFitter(model, experts)
