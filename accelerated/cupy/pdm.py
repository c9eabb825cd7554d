"""Point distribution model on a GPU (spec 30): parameters (B, 6) and (B, m) to shapes, a block a face.

pdm.cuh has the model's operations as functions of one thread, for all kernels that need them; sums and roundings are
the reference's, so shapes are equal to the last bit. A batch reads the model (28 KB for 34 modes of 68 points) once
into the cache and writes 0.5 KB a face: a launch costs more than the work. Nothing here has run on a GPU yet.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.device import Device, shared_device
from auparity.accelerated.cupy.launch import check_device_array
from auparity.errors import ContractError
from auparity.models.types import PDM
from auparity.reference.contracts import check_array
from auparity.reference.pdm import CLAMP_DEVIATIONS

Array = npt.NDArray[Any]

STAGE = "pdm"
THREADS = 128
LANES = 32
#: Entries of the normal equations that a thread owns at most, in registers.
ENTRIES = 4
#: Of a block that solves them: leaves 128 registers to a thread.
MOST_THREADS = 512
#: Of gauss_newton.cuh.
SOLVER_DEFINES = {"ENTRIES": ENTRIES, "MOST_THREADS": MOST_THREADS}


def vector_of(values: npt.ArrayLike) -> Array:
    """A flat float32 copy."""
    return np.ascontiguousarray(values, np.float32).reshape(-1)


class ModelOnDevice:
    """The arrays of a PDM as kernels take them, and the blocks in which they solve for its parameters."""

    def __init__(self, device: Device, pdm: PDM) -> None:
        self.n_points, self.n_modes = pdm.n_points, pdm.n_modes
        eigenvalues = vector_of(pdm.eigenvalues)
        self.mean = device.upload(vector_of(pdm.mean))  #: (3n,)
        self.modes = device.upload(np.ascontiguousarray(np.asarray(pdm.components, np.float32).T))  #: (m, 3n)
        self.eigenvalues = device.upload(eigenvalues)  #: (m,)
        self.largest = device.upload(np.float32(CLAMP_DEVIATIONS) * np.sqrt(eigenvalues))  #: (m,)

    @property
    def unknowns(self) -> int:
        """Of the normal equations: six global parameters and the modes."""
        return 6 + self.n_modes

    @property
    def entries(self) -> int:
        """Of the lower triangle of the normal equations with the right side as one more row."""
        return (self.unknowns + 1) * (self.unknowns + 2) // 2

    @property
    def row(self) -> int:
        """Floats of a row of the Jacobian, transposed: odd, so that rows begin in different banks."""
        return 2 * self.n_points | 1

    @property
    def sizes(self) -> tuple[np.int32, np.int32]:
        """n and m as arguments of kernels."""
        return np.int32(self.n_points), np.int32(self.n_modes)

    def threads(self) -> int:
        """Threads of a block that makes Gauss-Newton steps for one face.

        Raises
        ------
        ContractError : a model too large for it.
        """
        wanted = max(2 * self.n_points, LANES + 3 * self.n_points, -(-self.entries // (ENTRIES - 1)))
        threads = min(-(-wanted // LANES) * LANES, MOST_THREADS)
        if self.entries > ENTRIES * threads or 2 * self.n_points > threads:
            expected = f"at most {MOST_THREADS // 2} points and {ENTRIES * MOST_THREADS} entries of normal equations"
            raise ContractError(STAGE, "pdm", expected, f"{self.n_points} points, {self.entries} entries")
        return threads


class ShapesBatch:
    """Shapes of faces whose parameters are on a device."""

    def __init__(self, device: Device, pdm: PDM) -> None:
        self._device, self._model = device, ModelOnDevice(device, pdm)
        self.n_points, self.n_modes = pdm.n_points, pdm.n_modes

    def shape_3d(self, p: Any) -> Any:
        """Local parameters (B, m) float32 to 3D shapes (B, n, 3) float32, mm."""
        (count, _) = check_device_array(STAGE, "params_local", p, ("B", self.n_modes), np.float32)
        out = self._device.empty((count, self.n_points, 3), np.float32)
        self._launch("shapes_3d", count, THREADS, p, out)
        return out

    def shape_2d(self, g: Any, p: Any) -> Any:
        """Parameters (B, 6), (B, m) float32 to landmarks (B, n, 2) float32, px."""
        (count, _) = check_device_array(STAGE, "params_local", p, ("B", self.n_modes), np.float32)
        check_device_array(STAGE, "params_global", g, (count, 6), np.float32)
        out = self._device.empty((count, self.n_points, 2), np.float32)
        self._launch("shapes_2d", count, THREADS, g, p, out)
        return out

    def params_from_boxes(self, boxes: Any, p: Any, rotations: Any) -> Any:
        """Global parameters (B, 6) that make turned shapes fill boxes (B, 4) x, y, w, h in px (spec 30.3).

        Parameters
        ----------
        p : (B, m). rotations : (B, 3) Euler angles in rad. All float32.
        """
        (count, _) = check_device_array(STAGE, "params_local", p, ("B", self.n_modes), np.float32)
        check_device_array(STAGE, "boxes", boxes, (count, 4), np.float32)
        check_device_array(STAGE, "rotations", rotations, (count, 3), np.float32)
        out = self._device.empty((count, 6), np.float32)
        self._launch("params_from_boxes", count, LANES, boxes, p, rotations, out)
        return out

    def _launch(self, name: str, count: int, threads: int, *arguments: Any) -> None:
        own = self._model
        kernel = self._device.kernel("pdm", name)
        kernel((count,), (threads,), (own.mean, own.modes, *own.sizes, *arguments))


class ShapeModel:
    """Stage `pdm` of one PDM with arrays on the host, see `auparity.reference.stages.ShapeStage`."""

    def __init__(self, device: Device, pdm: PDM) -> None:
        self._device, self._batch = device, ShapesBatch(device, pdm)
        self.n_points, self.n_modes = pdm.n_points, pdm.n_modes

    def shape_3d(self, params_local: Array) -> Array:
        """3D shapes (..., n, 3) in mm of local parameters (..., m)."""
        leading = self._leading("params_local", params_local, self.n_modes)
        shapes = self._batch.shape_3d(self._rows(params_local, leading))
        return self._device.download(shapes).reshape(*leading, self.n_points, 3)

    def shape_2d(self, params_global: Array, params_local: Array) -> Array:
        """Landmarks (..., n, 2) in px of parameters (..., 6), (..., m)."""
        of_global = self._leading("params_global", params_global, 6)
        of_local = self._leading("params_local", params_local, self.n_modes)
        try:
            leading = np.broadcast_shapes(of_global, of_local)
        except ValueError as error:
            expected = f"leading axes that go with {of_local} of params_local"
            raise ContractError(STAGE, "params_global", expected, f"shape {params_global.shape}") from error
        shapes = self._batch.shape_2d(self._rows(params_global, leading), self._rows(params_local, leading))
        return self._device.download(shapes).reshape(*leading, self.n_points, 2)

    def params_from_box(self, box: Array, params_local: Array, rotation: Array) -> Array:
        """Global parameters (6,) that make the rotated shape fill a face box (x, y, w, h) px (spec 30.3)."""
        check_array(STAGE, "box", box, (4,))
        check_array(STAGE, "params_local", params_local, (self.n_modes,))
        check_array(STAGE, "rotation", rotation, (3,))
        arguments = (self._rows(values, ()) for values in (box, params_local, rotation))
        return self._device.download(self._batch.params_from_boxes(*arguments))[0]

    def _leading(self, name: str, values: Array, length: int) -> tuple[int, ...]:
        if not (isinstance(values, np.ndarray) and values.size and values.shape[-1:] == (length,)):
            got = f"shape {values.shape}" if isinstance(values, np.ndarray) else f"a {type(values).__name__}"
            raise ContractError(STAGE, name, f"shape (..., {length}), not empty", got)
        check_array(STAGE, name, values, values.shape)
        return values.shape[:-1]

    def _rows(self, values: Array, leading: tuple[int, ...]) -> Any:
        rows = np.broadcast_to(values, (*leading, values.shape[-1])).reshape(-1, values.shape[-1])
        return self._device.upload(np.ascontiguousarray(rows, np.float32))


def build(pdm: PDM, device: Device | None = None) -> ShapeModel:
    """Stage `pdm`, on the shared GPU where no device is given."""
    return ShapeModel(device or shared_device(), pdm)
