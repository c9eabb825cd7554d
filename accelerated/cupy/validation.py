"""Landmark validation on a GPU (spec 50.8): gray images, landmarks (B, 68, 2) and rotations (B, 3) to confidences (B,).

One launch picks each face's view, warps the face to that view's frame and normalises it; the networks follow, a launch
a layer, each face in its own view's (convnet.py); one more reads the bins. Nothing is asked of the host. Sampling
positions are the reference's to the last bit; the confidence is a bin, equal unless two bins tie to rounding.

Bounded by the networks: 0.5 GFLOP for 64 faces with OpenFace's validator, some 0.05 ms on an H200; a single face waits
for six to eight launches one after the other. Nothing here has run on a GPU yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.checks import check_small
from auparity.accelerated.cupy.convnet import NetworkBatch
from auparity.accelerated.cupy.device import Device, shared_device
from auparity.accelerated.cupy.grayscale import gray_bytes
from auparity.accelerated.cupy.launch import check_device_array
from auparity.errors import ContractError
from auparity.models.types import Validator, ValidatorView

Array = npt.NDArray[Any]

STAGE = "validation"
THREADS = 256


class _Views:
    """The warps and statistics of all views on the device, padded to the largest."""

    def __init__(self, device: Device, validator: Validator) -> None:
        views = validator.views
        self.shape: tuple[int, int] = views[0].warp.mask.shape
        if any(view.warp.mask.shape != self.shape for view in views):
            shapes = ", ".join(str(view.warp.mask.shape) for view in views)
            raise ContractError(STAGE, "validator", "frames of one size in all views", shapes)
        pixels = [_pixels(view) for view in views]
        self.most_pixels, self.most_triangles = max(map(len, pixels)), max(len(view.warp.triangles) for view in views)
        origins = np.array([(view.warp.min_x, view.warp.min_y) for view in views], np.float32)

        def of_pixels(values: Sequence[Array], dtype: npt.DTypeLike) -> Array:
            return _padded([np.broadcast_to(v, len(p)) for v, p in zip(values, pixels, strict=True)], dtype)

        def of_warps(name: str, dtype: npt.DTypeLike) -> Array:
            return _padded([getattr(view.warp, name) for view in views], dtype)

        triangle_of = [view.warp.triangle_id.ravel()[p] for view, p in zip(views, pixels, strict=True)]
        #: As face_frames of validation.cu takes them, from `centres` to `deviations`.
        self.arguments = (
            device.upload(np.deg2rad(validator.view_centres)), np.int32(len(views)),
            device.upload(of_warps("triangles", np.int32)),
            device.upload(np.array([len(view.warp.triangles) for view in views], np.int32)),
            device.upload(of_warps("alpha", np.float32)), device.upload(of_warps("beta", np.float32)),
            device.upload(of_pixels(pixels, np.int32)), device.upload(of_pixels(triangle_of, np.int32)),
            device.upload(np.array([len(p) for p in pixels], np.int32)), device.upload(origins),
            device.upload(of_pixels([view.mean for view in views], np.float64)),
            device.upload(of_pixels([view.std for view in views], np.float64)),
        )  # fmt: skip


def _pixels(view: ValidatorView) -> Array:
    """The pixels of the face in the frame, row * columns + column, column after column as the statistics have them."""
    columns, rows = np.nonzero(view.warp.mask.T)
    return rows * view.warp.mask.shape[1] + columns


def _padded(arrays: Sequence[Array], dtype: npt.DTypeLike) -> Array:
    longest = max(map(len, arrays))
    out = np.zeros((len(arrays), longest, *arrays[0].shape[1:]), dtype)
    for row, array in zip(out, arrays, strict=True):
        row[: len(array)] = array
    return out


class ValidationBatch:
    """One `Validator` on a device.

    Raises
    ------
    ContractError : views whose frames or networks differ in form.
    """

    def __init__(self, device: Device, validator: Validator) -> None:
        self._device, self._views = device, _Views(device, validator)
        self._networks = NetworkBatch(device, [view.net for view in validator.views])

    def __call__(self, gray: Any, frame: Any, landmarks: Any, rotations: Any, active: Any = None) -> Any:
        """Certainties of landmarks, on the device.

        Parameters
        ----------
        gray : (S, H, W) uint8. frame : (B,) int32, the image of each face.
        landmarks : (B, n, 2) float32 px. rotations : (B, 3) float32 rad, of the head.
        active : (B,) uint8; the confidence of faces where it is 0 is 0. None: all are wanted.

        Returns
        -------
        (B,) float32, from 0 to 1; 0 for a face that is hardly in its image.

        Raises
        ------
        ContractError : other shapes or dtypes.
        """
        device = self._device
        _, height, width = check_device_array(STAGE, "gray", gray, ("S", "H", "W"), np.uint8)
        count, n_points, _ = check_device_array(STAGE, "landmarks", landmarks, ("B", "n", 2), np.float32)
        check_device_array(STAGE, "frame", frame, (count,), np.int32)
        check_device_array(STAGE, "rotations", rotations, (count, 3), np.float32)
        if active is None:
            active = device.upload(np.ones(count, np.uint8))
        check_device_array(STAGE, "active", active, (count,), np.uint8)
        sizes = {"MOST_PIXELS": self._views.most_pixels, "MOST_TRIANGLES": self._views.most_triangles}
        rows, columns = self._views.shape
        frames, views = device.empty((count, 1, rows, columns), np.float32), device.empty(count, np.int32)
        device.kernel("validation", "face_frames", THREADS=THREADS, **sizes)((count,), (THREADS,), (
            gray, np.int32(height), np.int32(width), frame, landmarks, np.int32(n_points), rotations, active,
            *self._views.arguments, np.int32(rows), np.int32(columns), frames, views,
        ))  # fmt: skip
        scores = self._networks.forward(frames, views).reshape(count, -1)
        confidence = device.empty(count, np.float32)
        kernel = device.kernel("validation", "confidences", THREADS=THREADS, **sizes)
        kernel((-(-count // THREADS),), (THREADS,), (
            scores, views, np.int32(count), np.int32(scores.shape[1]), confidence
        ))  # fmt: skip
        return confidence


class LandmarkValidator:
    """Stage `validation` of one `Validator` with arrays on the host."""

    def __init__(self, validator: Validator, device: Device) -> None:
        self._device, self._batch = device, ValidationBatch(device, validator)

    def confidence(self, gray: Array, landmarks: Array, orientation: Array) -> Array:
        """Certainties (N,) float32; arguments and errors as in the reference."""
        levels = gray_bytes(STAGE, gray)
        count = len(gray)
        check_small(STAGE, "landmarks", landmarks, (count, landmarks.shape[1], 2), np.float32)
        check_small(STAGE, "orientation", orientation, (count, 3), np.float32)
        given = (levels, np.arange(count, dtype=np.int32), landmarks, orientation)
        return self._device.download(self._batch(*(self._device.upload(array) for array in given)))


def build(validator: Validator, device: Device | None = None) -> LandmarkValidator:
    """Stage `validation`, on the shared GPU where no device is given."""
    return LandmarkValidator(validator, device or shared_device())
