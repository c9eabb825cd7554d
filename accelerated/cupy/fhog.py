"""FHOG descriptors on a GPU (spec 60.3): one kernel for a batch, a block for each face, bit for bit equal to the
reference.

A face goes through shared memory once, in strips of eight rows. Each histogram entry gathers its own votes in raster
order, instead of pixels scattering theirs by atomics, so that sums have the order of the reference and do not vary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.device import Device, shared_device
from auparity.accelerated.cupy.launch import check_device_array
from auparity.errors import ContractError
from auparity.reference import fhog as reference
from auparity.reference.contracts import check_array

Array = npt.NDArray[Any]

STAGE = reference.STAGE
THREADS = 256
LARGEST = 255  # of a difference of two bytes
#: Cells whose histograms and limits fit into the 48 KiB of shared memory that every card has, with a strip of pixels.
MOST_CELLS = 400


def direction_table() -> Array:
    """(511, 511) uint8: the nearest of 18 directions of the gradient (gx, gy) at [gy + 255, gx + 255]."""
    differences = np.arange(-LARGEST, LARGEST + 1)
    gy, gx = np.meshgrid(differences, differences, indexing="ij")
    return reference.orientation(gx, gy).astype(np.uint8)


def _literal(value: float) -> str:
    return f"{np.float32(value)!s}f"


class FhogBatch:
    """Descriptors of faces that are on a device."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._table = device.upload(direction_table())

    def __call__(self, faces: Any) -> Any:
        """Faces (N, H, W, 3) uint8 BGR to descriptors (N, (rows - 2) * (columns - 2) * 31) float32, on the device.

        Raises
        ------
        ContractError : another shape or dtype, fewer than 3x3 cells of 8 px or more than `MOST_CELLS`.
        """
        n, height, width, _ = check_device_array(STAGE, "aligned", faces, ("N", "H", "W", 3), np.uint8)
        rows, columns = reference._cell_count(height), reference._cell_count(width)
        if min(rows, columns) < 3 or rows * columns > MOST_CELLS:
            expected = f"images of at least 3x3 and at most {MOST_CELLS} cells of 8 px"
            raise ContractError(STAGE, "aligned", expected, f"shape {faces.shape}")
        kernel = self._device.kernel(
            "fhog", "fhog", HEIGHT=height, WIDTH=width, ROWS=rows, COLUMNS=columns,
            VECTOR_COLUMNS=reference._vector_columns(width), TRUNCATION=_literal(reference.TRUNCATION),
            HALF_TRUNCATION=_literal(reference.HALF_TRUNCATION), ENERGY_FLOOR=_literal(reference.ENERGY_FLOOR),
            TEXTURE_GAIN=_literal(reference.TEXTURE_GAIN),
        )  # fmt: skip
        descriptors = self._device.empty((n, (rows - 2) * (columns - 2) * reference.FEATURES), np.float32)
        kernel((n,), (THREADS,), (faces, self._table, descriptors))
        return descriptors


class Fhog:
    """Stage `fhog` with arrays on the host."""

    def __init__(self, device: Device) -> None:
        self._device, self._batch = device, FhogBatch(device)

    def __call__(self, aligned: Array) -> Array:
        """Descriptors (N, F) float32 of faces (N, H, W, 3) uint8 BGR; errors as in the reference."""
        check_array(STAGE, "aligned", aligned, ("N", "H", "W", 3), np.uint8)
        return self._device.download(self._batch(self._device.upload(aligned)))


def build(device: Device | None = None) -> Callable[[Array], Array]:
    """Stage `fhog`, on the shared GPU where no device is given."""
    return Fhog(device or shared_device())
