"""Geometry descriptors on a GPU (spec 60.4): parameters (N, m) to (N, 3n + m) float64, a thread a value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.device import Device, shared_device
from auparity.accelerated.cupy.launch import check_device_array
from auparity.models.types import PDM
from auparity.reference.contracts import check_array
from auparity.reference.geometry import STAGE

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]

THREADS = 256


class GeometryBatch:
    """Descriptors of parameters that are on a device; components are rounded to float32 as in the C++ program."""

    def __init__(self, device: Device, pdm: PDM) -> None:
        self._device = device
        modes = np.asarray(pdm.components, np.float32).T.astype(np.float64)  # (m, 3n)
        self.m, self.size = modes.shape
        self._modes = device.upload(modes)

    def __call__(self, params_local: Any) -> Any:
        """Parameters (N, m) float32 or float64 to descriptors (N, 3n + m) float64, on the device.

        Raises
        ------
        ContractError : another shape or dtype.
        """
        single = getattr(params_local, "dtype", None) == np.float32
        dtype = np.float32 if single else np.float64
        n, _ = check_device_array(STAGE, "params_local", params_local, ("N", self.m), dtype)
        kernel = self._device.kernel("geometry", "geometry", PARAMETER="float" if single else "double")
        descriptors = self._device.empty((n, self.size + self.m), np.float64)
        blocks = -(-n * (self.size + self.m) // THREADS)
        sizes = (np.int32(n), np.int32(self.m), np.int32(self.size))
        kernel((blocks,), (THREADS,), (self._modes, params_local, *sizes, descriptors))
        return descriptors


class Geometry:
    """Stage `geometry` of one PDM with arrays on the host."""

    def __init__(self, pdm: PDM, device: Device) -> None:
        self._device, self._batch = device, GeometryBatch(device, pdm)

    def __call__(self, params_local: Array) -> F64:
        """Descriptors (N, 3n + m) float64 of (N, m); errors as in the reference."""
        check_array(STAGE, "params_local", params_local, ("N", self._batch.m))
        given = params_local if params_local.dtype == np.float32 else params_local.astype(np.float64)
        return self._device.download(self._batch(self._device.upload(given)))


def build(pdm: PDM, device: Device | None = None) -> Callable[[Array], F64]:
    """Stage `geometry`, on the shared GPU where no device is given."""
    return Geometry(pdm, device or shared_device())
