"""Face alignment on a GPU (spec 60.2): images, landmarks and parameters to aligned faces, one launch, a block a face,
equal to the reference's in every value.

The block estimates the similarity, fills the mask in shared memory triangle by triangle, a warp each, and samples the
pixels inside with OpenCV's integer weights. Bounded by the latency of the similarity (sums of 24 terms in double, each
one thread's) and of the 2 * 12544 side tests a face, some 10 us for up to 600 faces, which an H200 has room for at
once; bytes (70 KB a face) and FLOPs are nothing beside that. Nothing here has run on a GPU yet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.checks import check_small
from auparity.accelerated.cupy.device import Device, shared_device
from auparity.accelerated.cupy.launch import check_device_array
from auparity.errors import ContractError
from auparity.models.types import AUPredictors
from auparity.reference import alignment as reference
from auparity.reference.contracts import check_array

Array = npt.NDArray[Any]

STAGE, SIZE = reference.STAGE, reference.SIZE
THREADS = 256
MOST_TRIANGLES = 2**15 - 1  # the kernel keeps their numbers in 16 bits


class AlignmentBatch:
    """Aligned faces of one set of AU predictors, from images that are on a device.

    Raises
    ------
    ContractError : a triangulation of landmarks that the shape model does not have.
    """

    def __init__(self, device: Device, predictors: AUPredictors) -> None:
        pdm, triangles = predictors.pdm, predictors.triangulation
        if triangles.min() < 0 or triangles.max() >= pdm.n_points or len(triangles) > MOST_TRIANGLES:
            expected = f"at most {MOST_TRIANGLES} triangles of landmarks 0 to {pdm.n_points - 1}"
            raise ContractError(STAGE, "triangulation", expected, f"{len(triangles)} of up to {triangles.max()}")
        self._device, self.n_points, self._n_triangles = device, pdm.n_points, len(triangles)
        mean = np.asarray(pdm.mean, np.float32).reshape(3, -1)[:2] * np.float32(reference.SCALE)
        rigid, forehead = (np.array(points, np.int32) for points in (reference.RIGID_POINTS, reference.FOREHEAD_POINTS))
        self._model = [device.upload(array) for array in (np.ascontiguousarray(mean[:, rigid]), rigid, forehead)]
        self._triangles = device.upload(np.ascontiguousarray(triangles, np.int32))
        self._defines = {"SIZE": SIZE, "RIGID": len(rigid), "FOREHEAD": len(forehead)}

    def __call__(self, images: Any, frame: Any, landmarks: Any, g: Any, active: Any = None) -> Any:
        """Masked aligned faces, on the device.

        Parameters
        ----------
        images : (S, H, W, 3) uint8 BGR. frame : (B,) int32, the image of each face.
        landmarks : (B, n, 2) float32 px. g : (B, 6) float32, the fit to these landmarks (spec 30.7).
        active : (B,) uint8; the faces where it is 0 are black. None: all are wanted.

        Returns
        -------
        (B, 112, 112, 3) uint8 BGR, 0 outside the mask; black where the rigid landmarks all coincide.

        Raises
        ------
        ContractError : other shapes or dtypes.
        """
        return self.with_flags(images, frame, landmarks, g, active)[0]

    def with_flags(self, images: Any, frame: Any, landmarks: Any, g: Any, active: Any = None) -> tuple[Any, Any]:
        """The same, and (B,) uint8: 0 where the rigid landmarks of a face all coincide."""
        _, height, width, _ = check_device_array(STAGE, "images", images, ("S", "H", "W", 3), np.uint8)
        count = check_device_array(STAGE, "landmarks", landmarks, ("B", self.n_points, 2), np.float32)[0]
        check_device_array(STAGE, "g", g, (count, 6), np.float32)
        check_device_array(STAGE, "frame", frame, (count,), np.int32)
        if active is None:
            active = self._device.upload(np.ones(count, np.uint8))
        check_device_array(STAGE, "active", active, (count,), np.uint8)
        aligned, good = self._device.empty((count, SIZE, SIZE, 3), np.uint8), self._device.empty(count, np.uint8)
        kernel = self._device.kernel("alignment", "align_faces", **self._defines)
        kernel((count,), (THREADS,), (
            images, np.int32(height), np.int32(width), frame, landmarks, np.int32(self.n_points), g, active,
            *self._model, np.float32(reference.FOREHEAD_SHIFT), self._triangles, np.int32(self._n_triangles),
            aligned, good,
        ), 2 * 4 * self.n_points)  # fmt: skip
        return aligned, good


class Aligner:
    """Stage `alignment` with arrays on the host."""

    def __init__(self, predictors: AUPredictors, device: Device) -> None:
        self._device, self._batch = device, AlignmentBatch(device, predictors)

    def __call__(self, images: Array, landmarks: Array, params_global: Array) -> Array:
        """Masked aligned faces (N, 112, 112, 3) uint8 BGR, 0 outside the mask; arguments, errors as the reference."""
        check_array(STAGE, "images", images, ("N", "H", "W", 3), np.uint8)
        count = len(images)
        check_small(STAGE, "landmarks", landmarks, (count, self._batch.n_points, 2), None)
        check_small(STAGE, "params_global", params_global, (count, 6), None)
        frame, up = np.arange(count, dtype=np.int32), self._device.upload
        given = (up(np.asarray(a, np.float32)) for a in (landmarks, params_global))
        aligned, good = self._batch.with_flags(up(images), up(frame), *given)
        if not self._device.download(good).all():
            raise ContractError(STAGE, "landmarks", "at least two different points", "points that all coincide")
        return self._device.download(aligned)


def build(predictors: AUPredictors, device: Device | None = None) -> Callable[[Array, Array, Array], Array]:
    """Stage `alignment`, on the shared GPU where no device is given."""
    return Aligner(predictors, device or shared_device())
