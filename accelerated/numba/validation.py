"""Landmark validation (spec 50.8): gray images, landmarks (N, 68, 2) and rotations (N, 3) to confidences (N,).

Warp and normalisation are one kernel each, the network runs on register tiles (convnet.py). Sampling positions are the
reference's to the last bit, statistics float64. The confidence is a bin, and is equal unless two bins tie to rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.checks import check_gray, check_small
from auparity.accelerated.numba.compile import kernel
from auparity.accelerated.numba.convnet import Network
from auparity.accelerated.numba.resampling import BITS, MASK, SUBPIXEL, sample
from auparity.models.types import Validator, ValidatorView
from auparity.reference.resampling import SUBPIXELS
from auparity.reference.validation import BOX_MARGIN

Array = npt.NDArray[Any]

STAGE = "validation"
OUTSIDE = -1.0  # source coordinate of frame pixels outside the face
SUBPIXELS_F64 = float(SUBPIXELS)


@kernel
def _region(landmarks: Array, height: int, width: int) -> tuple[int, int, int, int]:
    """The part of the image around the landmarks (n, 2): x0, y0, x1, y1."""
    low_x, high_x = np.float64(landmarks[:, 0].min()), np.float64(landmarks[:, 0].max())
    low_y, high_y = np.float64(landmarks[:, 1].min()), np.float64(landmarks[:, 1].max())
    x0, y0 = max(int(low_x - BOX_MARGIN), 0), max(int(low_y - BOX_MARGIN), 0)
    return x0, y0, min(int(high_x + BOX_MARGIN), width - 1), min(int(high_y + BOX_MARGIN), height - 1)


@kernel
def _warp(
    gray: Array, landmarks: Array, triangles: Array, alpha: Array, beta: Array, pixels: Array, triangle_of: Array,
    min_x: np.float32, min_y: np.float32, out: Array,
) -> bool:  # fmt: skip
    """Gray values of the frame's face pixels (P,), in the order of `pixels` (P, 2) row, column; False off the image."""
    x0, y0, x1, y1 = _region(landmarks, gray.shape[0], gray.shape[1])
    if x1 - x0 <= 1 or y1 - y0 <= 1:
        return False
    region = gray[y0:y1, x0:x1]
    count = triangles.shape[0]
    q = np.empty((count, 2, 3), np.float32)
    for t in range(count):
        for c in range(2):
            origin = np.float32(x0 if c == 0 else y0)
            first = landmarks[triangles[t, 0], c] - origin
            side_a = (landmarks[triangles[t, 1], c] - origin) - first
            side_b = (landmarks[triangles[t, 2], c] - origin) - first
            q[t, c, 0] = first + side_a * alpha[t, 0] + side_b * beta[t, 0]
            q[t, c, 1] = side_a * alpha[t, 1] + side_b * beta[t, 1]
            q[t, c, 2] = side_a * alpha[t, 2] + side_b * beta[t, 2]
    height, width = y1 - y0, x1 - x0
    flat, line = gray.reshape(-1), gray.shape[1]
    for p in range(pixels.shape[0]):
        own = q[triangle_of[p]]
        xi, yi = np.float32(pixels[p, 1]) + min_x, np.float32(pixels[p, 0]) + min_y
        x = np.int64(np.rint(np.float64(own[0, 0] + own[0, 1] * xi + own[0, 2] * yi) * SUBPIXELS_F64))
        y = np.int64(np.rint(np.float64(own[1, 0] + own[1, 1] * xi + own[1, 2] * yi) * SUBPIXELS_F64))
        column, row = x >> BITS, y >> BITS
        if 0 <= row < height - 1 and 0 <= column < width - 1:  # `sample` without a test for each neighbour
            fx, fy = np.float32(x & MASK) * SUBPIXEL, np.float32(y & MASK) * SUBPIXEL
            gx, gy = np.float32(1) - fx, np.float32(1) - fy
            at = (y0 + row) * line + x0 + column
            value = flat[at] * (gy * gx) + flat[at + 1] * (gy * fx)
            out[p] = (value + flat[at + line] * (fy * gx)) + flat[at + line + 1] * (fy * fx)
        else:
            out[p] = sample(region, x, y)
    return True


@kernel
def _normalise(values: Array, means: Array, deviations: Array, pixels: Array, frame: Array) -> None:
    """Face pixels at zero mean and unit deviation, then relative to the training faces, into frame (H, W)."""
    count = values.shape[0]
    total = 0.0
    for p in range(count):
        total += np.float64(values[p])
    mean = total / count
    squares = 0.0
    for p in range(count):
        difference = np.float64(values[p]) - mean
        squares += difference * difference
    deviation = math.sqrt(squares / count)
    if deviation == 0:
        deviation = 1.0
    for p in range(count):
        value = (np.float64(values[p]) - mean) / deviation
        frame[pixels[p, 0], pixels[p, 1]] = np.float32((value - means[p]) / deviations[p])


@dataclass(frozen=True, eq=False)
class _View:
    """One head orientation as the kernels take it."""

    triangles: Array
    alpha: Array
    beta: Array
    pixels: Array  #: (P, 2) row and column, column after column
    triangle_of: Array  #: (P,)
    min_x: np.float32
    min_y: np.float32
    means: Array
    deviations: Array
    shape: tuple[int, int]
    net: Network

    @classmethod
    def of(cls, view: ValidatorView) -> _View:
        warp = view.warp
        columns, rows = np.nonzero(warp.mask.T)  # columns outer, rows inner
        pixels = np.ascontiguousarray(np.stack([rows, columns], axis=1), np.int64)
        return cls(
            np.ascontiguousarray(warp.triangles, np.int64), np.ascontiguousarray(warp.alpha, np.float32),
            np.ascontiguousarray(warp.beta, np.float32), pixels,
            np.ascontiguousarray(warp.triangle_id[rows, columns], np.int64), np.float32(warp.min_x),
            np.float32(warp.min_y), np.ascontiguousarray(np.broadcast_to(view.mean, len(pixels)), np.float64),
            np.ascontiguousarray(np.broadcast_to(view.std, len(pixels)), np.float64), warp.mask.shape,
            Network(view.net),
        )  # fmt: skip


class LandmarkValidator:
    """Stage `validation` of one `Validator`."""

    def __init__(self, validator: Validator) -> None:
        self._centres = np.deg2rad(validator.view_centres)
        self._validator = validator
        self._views: dict[int, _View] = {}  # packed when first needed

    def certainty(self, gray: Array, landmarks: Array, orientation: Array) -> Array:
        """Confidences (N,) float32; arguments and errors as in the reference."""
        check_gray(STAGE, gray)
        count = len(gray)
        check_small(STAGE, "landmarks", landmarks, (count, landmarks.shape[1], 2), np.float32)
        check_small(STAGE, "orientation", orientation, (count, 3), np.float32)
        return np.array([self._one(gray[k], landmarks[k], orientation[k]) for k in range(count)], np.float32)

    def select_view(self, orientation: Array) -> int:
        """The network whose head orientation is nearest; the first wins ties."""
        difference = orientation.astype(np.float64) - self._centres
        return int(np.argmin(np.sqrt(np.sum(difference**2, axis=1))))

    def _one(self, gray: Array, landmarks: Array, orientation: Array) -> float:
        number = self.select_view(orientation)
        view = self._views.get(number)
        if view is None:
            view = self._views[number] = _View.of(self._validator.views[number])
        values = np.empty(len(view.pixels), np.float32)
        if not _warp(
            gray, landmarks, view.triangles, view.alpha, view.beta, view.pixels, view.triangle_of, view.min_x,
            view.min_y, values,
        ):  # fmt: skip
            return 0.0
        frame = np.zeros((1, 1, *view.shape), np.float32)
        _normalise(values, view.means, view.deviations, view.pixels, frame[0, 0])
        scores = view.net.forward(frame).reshape(-1)
        bins = len(scores)
        unquantised = -1 + 1 / bins + int(np.argmax(scores)) * 2 / bins
        return 0.5 * (1 - unquantised)


def build(validator: Validator) -> LandmarkValidator:
    """Stage `validation`."""
    return LandmarkValidator(validator)
