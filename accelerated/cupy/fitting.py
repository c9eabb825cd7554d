"""Fitting on a GPU (spec 50.1 to 50.5): NU-RLMS of many faces, coarse to fine, without waiting for the host.

A block fits a face: both passes of a scale with all their iterations are one launch (fitting.cu), so a fit takes one
launch to start and one a scale beside those of the response maps. The Jacobian, the normal equations and everything
else of an iteration stay in 36 KB of shared memory; shapes, Jacobians and the solve have the reference's roundings, the
Hessian's sums are kept in float64. What bounds it is latency: an iteration of 34 modes and 68 points is about 60
barriers with a square root and a division of doubles between most of them (0.3 MFLOP, 60 KB of maps and kernels from
the cache), so a face on each multiprocessor, 132 on an H200, takes as long as one. Nothing here has run on a GPU yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from auparity.accelerated.checks import check_gray, check_small
from auparity.accelerated.cupy.device import Device, shared_device
from auparity.accelerated.cupy.launch import check_device_array
from auparity.accelerated.cupy.patch_experts import ExpertsBatch, MapsBatch, PatchExperts
from auparity.accelerated.cupy.pdm import LANES, SOLVER_DEFINES, ModelOnDevice
from auparity.errors import ContractError
from auparity.models.types import LandmarkModel
from auparity.reference import fitting as reference
from auparity.reference.fitting import Fit, FittingParameters
from auparity.reference.patch_experts import PatchExpertStage

Array = npt.NDArray[Any]

STAGE = "fitting"
DEFINES = {
    "GRID_STEP": reference.GRID_STEP,
    "CELLS_PER_PX": round(1 / reference.GRID_STEP),
    "CONVERGED": reference.CONVERGED,
    "INVISIBLE": reference.INVISIBLE_LIKELIHOOD,
    "SMALLEST_SCALE": reference.SMALLEST_SCALE,
    "LIKELIHOOD_SCALE": reference.LIKELIHOOD_SCALE,
    **SOLVER_DEFINES,
}
TABLE_THREADS = 256
#: Tables of mean-shift kernels (0.3 to 20 MB each) and of weights that are kept.
KEPT_TABLES, KEPT_WEIGHTS = 8, 16


class Experts(Protocol):
    """Computes response maps on the device: `ExpertsBatch`, or another source of maps."""

    @property
    def scales(self) -> tuple[float, ...]:
        """px/mm of each scale."""

    def response_maps(
        self, gray: Any, frame: Any, g: Any, p: Any, window: int, scale_index: int, active: Any
    ) -> MapsBatch:
        """Maps of the faces whose `active` is not 0; those of the others are ignored."""


@dataclass(frozen=True, eq=False)
class FitsBatch:
    """Fits of B faces, on the device. Of a face that was not active: its starting parameters and their landmarks."""

    params_global: Any  #: (B, 6) float32
    params_local: Any  #: (B, m) float32
    landmarks: Any  #: (B, n, 2) float32, px
    likelihood: Any  #: (B,) float32, of the last scale that computed one
    has_likelihood: Any  #: (B,) uint8, 0 where none did
    landmark_likelihoods: Any  #: (B, n) float32, likewise
    view: Any  #: (B,) int32, experts' view of the last scale run
    success: Any  #: (B,) uint8, 0 where the face became too small or is not finite, and of faces that were not active
    finite: (
        Any  #: (B,) uint8, 0 where the reference fit raises: landmarks that coincide, parameters that are no numbers
    )


class FittingBatch:
    """Fits one landmark model (face, inner face or eye) to faces on a device. Holds no state of any face."""

    def __init__(self, device: Device, model: LandmarkModel, experts: Experts) -> None:
        self._device, self._experts = device, experts
        self._model = ModelOnDevice(device, model.pdm)
        self._threads = self._model.threads()
        # Empty records have no confidence (NaN), which is not read: their landmarks are invisible in that view.
        self._confidences = [
            np.nan_to_num(np.array([[patch.confidence for patch in view] for view in scale.patches], np.float32))
            for scale in model.experts
        ]
        # Filled when first needed, keyed by everything they depend on.
        self._tables: dict[tuple[int, float], Any] = {}
        self._weights: dict[tuple[int, float], tuple[Any, Any]] = {}
        self._all_active = device.upload(np.ones(1, np.uint8))
        self._no_weights = device.zeros(1, np.float32), device.zeros(1, np.uint8)

    def fit(
        self, gray: Any, frame: Any, g: Any, p: Any, parameters: FittingParameters, active: Any = None
    ) -> FitsBatch:
        """Fit each face by itself, coarse to fine (spec 50.2).

        Parameters
        ----------
        gray : (S, H, W) uint8. frame : (B,) int32, the image that each face lies in.
        g, p : (B, 6), (B, m) float32, starting points; not written to.
        active : (B,) uint8, 0 for faces to leave alone; None for none.

        Raises
        ------
        ContractError : arrays that do not fit, fewer windows than scales.
        """
        scales = self._experts.scales
        if len(parameters.windows) < len(scales):
            expected = f"a window size for each of {len(scales)} scales"
            raise ContractError(STAGE, "windows", expected, str(parameters.windows))
        fits, alive = self._start(g, p, active)
        windows = parameters.windows[: len(scales)]
        kernel_sigmas: dict[int, float] = {}
        for k, window in enumerate(windows):
            if window == 0:
                continue
            reg, sigma, weight_factor = parameters.at_scale(scales[min(k, 2)])
            # OpenFace tabulates the mean-shift kernel once for each window size: the first sigma stays (spec 50.5).
            table = self._table(window, kernel_sigmas.setdefault(window, sigma))
            maps = self._experts.response_maps(
                gray, frame, fits.params_global, fits.params_local, window, k, alive
            )  # fmt: skip
            weights = self._weights_of(k, weight_factor)
            last = k == len(windows) - 1 or windows[k + 1] == 0
            self._scale(maps, fits, alive, table, weights, window, parameters.iterations, reg, sigma, last)
        return fits

    def _start(self, g: Any, p: Any, active: Any) -> tuple[FitsBatch, Any]:
        """The fits before their first scale, and which faces take part in the next, (B,) uint8."""
        own, empty = self._model, self._device.empty
        count, _ = check_device_array(STAGE, "params_global", g, ("B", 6), np.float32)
        check_device_array(STAGE, "params_local", p, (count, own.n_modes), np.float32)
        if active is None:
            if len(self._all_active) < count:
                self._all_active = self._device.upload(np.ones(2 * count, np.uint8))
            active = self._all_active[:count]
        check_device_array(STAGE, "active", active, (count,), np.uint8)
        fits = FitsBatch(
            empty((count, 6), np.float32), empty((count, own.n_modes), np.float32),
            empty((count, own.n_points, 2), np.float32), empty(count, np.float32), empty(count, np.uint8),
            empty((count, own.n_points), np.float32), empty(count, np.int32), empty(count, np.uint8),
            empty(count, np.uint8),
        )  # fmt: skip
        alive = empty(count, np.uint8)
        shared = 4 * (6 + 9 + own.n_modes + 3 * own.n_points)
        self._device.kernel("fitting", "start_fits", **DEFINES)((count,), (self._threads,), (
            g, p, active, own.mean, own.modes, *own.sizes, fits.params_global, fits.params_local, alive, fits.success,
            fits.finite, fits.view, fits.has_likelihood, fits.likelihood, fits.landmark_likelihoods, fits.landmarks,
        ), shared)  # fmt: skip
        return fits, alive

    def _scale(
        self, maps: MapsBatch, fits: FitsBatch, alive: Any, table: Any, weights: tuple[Any, Any] | None, window: int,
        iterations: int, reg: float, sigma: float, last: bool,
    ) -> None:  # fmt: skip
        """Both passes of one scale, on the faces still alive."""
        own, count = self._model, len(alive)
        n, m, most = own.n_points, own.n_modes, own.unknowns
        check_device_array(STAGE, "maps", maps.maps, (count, n, window, window), np.float32)
        check_device_array(STAGE, "visible", maps.visible, (count, n), np.uint8)
        check_device_array(STAGE, "view", maps.view, (count,), np.int32)
        # The Jacobian, or at least a row of all maps, or what the likelihoods are made of.
        floats = max(most * own.row, n * (window | 1), 2 * (n + 2 * window * (self._threads // LANES)))
        capacity = floats + floats % 2
        # As `Face` in fitting.cu.
        doubles = 2 * n + own.entries + most
        shared = 8 * doubles + 4 * (capacity + 3 * most + 6 + 9 + 2 * m + 3 * n + 10 * n + 3 * n)
        self._device.kernel("fitting", "fit_scale", **DEFINES)((count,), (self._threads,), (
            maps.maps, maps.visible, maps.img_to_ref, maps.ref_to_img, maps.view, maps.good,
            own.mean, own.modes, own.eigenvalues, own.largest, *(weights or self._no_weights), table, *own.sizes,
            np.int32(window), np.int32(iterations), np.int32(weights is not None), np.int32(last), np.int32(capacity),
            np.float32(reg), np.float64(sigma), fits.params_global, fits.params_local, alive, fits.success, fits.finite,
            fits.view, fits.has_likelihood, fits.likelihood, fits.landmark_likelihoods, fits.landmarks,
        ), shared)  # fmt: skip

    def _table(self, window: int, sigma: float) -> Any:
        """Mean-shift kernels ((10 w)^2, w^2) float32 by centre."""
        key = (window, sigma)
        if key not in self._tables:
            if len(self._tables) >= KEPT_TABLES:
                self._tables.clear()
            size = (DEFINES["CELLS_PER_PX"] * window * window) ** 2
            table = self._device.empty(int(size), np.float32)
            self._device.kernel("fitting", "kernel_table", **DEFINES)(
                (-(-int(size) // TABLE_THREADS),), (TABLE_THREADS,),
                (np.int32(window), np.float32(-0.5 / sigma**2), np.int32(size), table),
            )  # fmt: skip
            self._tables[key] = table
        return self._tables[key]

    def _weights_of(self, scale_index: int, weight_factor: float) -> tuple[Any, Any] | None:
        """Weights (V, n) of the landmarks by view, and (V,) whether the full pass uses them; None for the identity."""
        if weight_factor <= 0:
            return None
        key = (scale_index, weight_factor)
        if key not in self._weights:
            if len(self._weights) >= KEPT_WEIGHTS:
                self._weights.clear()
            weights = self._confidences[scale_index] * np.float32(weight_factor)
            # The full pass skips weights whose trace happens to be that of the identity (spec 50.4).
            traces = [float(np.sum(np.tile(row, 2), dtype=np.float64)) for row in weights]
            full = np.array([trace != 2 * self._model.n_points for trace in traces], np.uint8)
            self._weights[key] = self._device.upload(weights), self._device.upload(full)
        return self._weights[key]


class LandmarkFitter:
    """Stage `fitting` of one landmark model with arrays on the host, see `auparity.reference.stages.FittingStage`.

    `experts` are the model's on the same device: response maps do not leave it.
    """

    def __init__(self, device: Device, model: LandmarkModel, experts: Experts) -> None:
        self._device, self._batch = device, FittingBatch(device, model, experts)
        self._n_modes = model.pdm.n_modes

    def fit(self, gray: Array, params_global: Array, params_local: Array, parameters: FittingParameters) -> list[Fit]:
        """Fit each image by itself, coarse to fine (spec 50.2); arguments and errors as in the reference."""
        check_gray(STAGE, gray)
        count = len(gray)
        check_small(STAGE, "params_global", params_global, (count, 6), np.float32)
        check_small(STAGE, "params_local", params_local, (count, self._n_modes), np.float32)
        with np.errstate(invalid="ignore"):
            levels = gray.astype(np.uint8)
        if not np.array_equal(levels, gray):
            raise ContractError(STAGE, "gray", "whole numbers from 0 to 255", "other values")
        up, down = self._device.upload, self._device.download
        fits = self._batch.fit(
            up(levels), up(np.arange(count, dtype=np.int32)), up(params_global), up(params_local), parameters
        )  # fmt: skip
        if not down(fits.finite).all():
            wrong = np.flatnonzero(down(fits.finite) == 0).tolist()
            raise ContractError(
                STAGE, "response_maps", "finite values", f"parameters that are no numbers, faces {wrong}"
            )
        g, p, landmarks, each = map(down, (
            fits.params_global, fits.params_local, fits.landmarks, fits.landmark_likelihoods,
        ))  # fmt: skip
        has, likelihood, view, success = map(down, (fits.has_likelihood, fits.likelihood, fits.view, fits.success))
        return [
            Fit(
                g[k], p[k], landmarks[k], float(likelihood[k]) if has[k] else None, each[k] if has[k] else None,
                int(view[k]), bool(success[k]),
            )
            for k in range(count)
        ]  # fmt: skip


def build(model: LandmarkModel, experts: PatchExpertStage, device: Device | None = None) -> LandmarkFitter:
    """Stage `fitting`, on the shared GPU where no device is given.

    Experts that are not on that device are not asked: the model's own are put there, since maps would have to cross
    between host and device at every scale.
    """
    if isinstance(experts, PatchExperts) and device in (None, experts.batch.device):
        return LandmarkFitter(experts.batch.device, model, experts.batch)
    device = device or shared_device()
    return LandmarkFitter(device, model, ExpertsBatch(device, model))
