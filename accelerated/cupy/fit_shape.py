"""CalcParams on a GPU (spec 30.7): pose and shape that explain given landmarks, all Gauss-Newton steps in one launch.

A block fits a face by the same steps as fitting.cu; faces stop by themselves. About ten steps of 34 modes and 68 points
make 3 MFLOP a face and read 0.5 KB of landmarks: as there, what bounds it is the latency of a step's barriers. Nothing
here has run on a GPU yet.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.device import Device, shared_device
from auparity.accelerated.cupy.launch import check_device_array
from auparity.accelerated.cupy.pdm import SOLVER_DEFINES, ModelOnDevice
from auparity.errors import ContractError
from auparity.models.types import PDM
from auparity.reference import fit_shape as reference
from auparity.reference.contracts import check_array

Array = npt.NDArray[Any]

STAGE = "fit_shape"
DEFINES = {
    "MAX_ITERATIONS": reference.MAX_ITERATIONS,
    "STEP": reference.STEP,
    "ENOUGH": reference.ENOUGH,
    "PATIENCE": reference.PATIENCE,
    **SOLVER_DEFINES,
}


class ShapeFitterBatch:
    """Parameters of faces whose landmarks are on a device."""

    def __init__(self, device: Device, pdm: PDM) -> None:
        self._device, self._model = device, ModelOnDevice(device, pdm)
        self._threads = self._model.threads()

    def __call__(self, landmarks: Any) -> tuple[Any, Any]:
        """Landmarks (B, n, 2) float32 px to parameters (B, 6) and (B, m) float32.

        A landmark whose x is exactly 0 counts as not given. All parameters of a face without landmarks, or with one
        that is not finite, are NaN, because a kernel cannot raise an error.

        Raises
        ------
        ContractError : another shape or dtype.
        """
        own = self._model
        n, m, most = own.n_points, own.n_modes, own.unknowns
        count, _, _ = check_device_array(STAGE, "landmarks", landmarks, ("B", n, 2), np.float32)
        g, p = self._device.empty((count, 6), np.float32), self._device.empty((count, m), np.float32)
        # As fit_shape.cu divides it up.
        doubles = 2 * n + own.entries + most
        shared = 8 * doubles + 4 * (most * own.row + 3 * most + 6 + 9 + 2 * m + 6 * n + 4 * n + n + 2)
        kernel = self._device.kernel("fit_shape", "fit_shape", **DEFINES)
        kernel((count,), (self._threads,), (
            landmarks, own.mean, own.modes, own.eigenvalues, *own.sizes, g, p
        ), shared)  # fmt: skip
        return g, p


class ShapeFitter:
    """Stage `fit_shape` of one PDM with arrays on the host."""

    def __init__(self, device: Device, pdm: PDM) -> None:
        self._device, self._batch, self._n_points = device, ShapeFitterBatch(device, pdm), pdm.n_points

    def __call__(self, landmarks: Array) -> tuple[Array, Array]:
        """Global (N, 6) and local (N, m) parameters of landmarks (N, n, 2); those with x = 0 count as not given.

        Raises
        ------
        ContractError : wrong shape, NaN or infinite landmarks, or a face with no landmark given (all x are 0).
        """
        check_array(STAGE, "landmarks", landmarks, ("N", self._n_points, 2))
        if not (landmarks[:, :, 0] != 0).any(axis=1).all():
            raise ContractError(STAGE, "landmarks", "at least one landmark with x != 0", "all x are 0")
        g, p = self._batch(self._device.upload(np.ascontiguousarray(landmarks, np.float32)))
        return self._device.download(g), self._device.download(p)


def build(pdm: PDM, device: Device | None = None) -> ShapeFitter:
    """Stage `fit_shape`, on the shared GPU where no device is given."""
    return ShapeFitter(device or shared_device(), pdm)
