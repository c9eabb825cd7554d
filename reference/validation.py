"""Landmark validation: how sure can we be that the landmarks lie on a face? (spec 50.8)

The image inside the landmarks is warped, triangle by triangle, to a fixed 60 x 60 face, normalised, and shown to a
small CNN that was trained to tell good fits from bad ones; there is one for each head orientation. Gray images
(N, H, W), landmarks (N, 68, 2) px and orientations (N, 3) rad in; confidences (N,) between 0 and 1 out, quantised to
the bins of the network.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from auparity.models.types import PiecewiseWarp, Validator, ValidatorView
from auparity.reference import sums
from auparity.reference.contracts import check_array
from auparity.reference.convnet import RunNetwork, forward
from auparity.reference.numerics import FLOAT32, Numerics
from auparity.reference.pdm import bounding_box
from auparity.reference.resampling import remap_f32

Array = npt.NDArray[Any]

#: Detection succeeds above this confidence, compared as float32 (spec 50.1): the bin 0.725 itself does not.
VALIDATION_BOUNDARY = np.float32(0.725)
BOX_MARGIN = 3  # px around the landmarks
OUTSIDE = -1.0  # source coordinate of frame pixels outside the face


class LandmarkValidator:
    """A `Validator` at the working precision; `run` is what runs its networks."""

    def __init__(self, validator: Validator, numerics: Numerics = FLOAT32, run: RunNetwork = forward) -> None:
        self.numerics = numerics
        self._run = run
        self._validator = validator
        self._centres = np.deg2rad(validator.view_centres)

    def confidence(self, gray: Array, landmarks: Array, orientation: Array) -> Array:
        """Certainty (N,) of landmarks (N, 68, 2) in gray images (N, H, W) at head orientations (N, 3) in rad."""
        check_array("validation", "gray", gray, ("N", "H", "W"), self.numerics.dtype)
        count = gray.shape[0]
        check_array("validation", "landmarks", landmarks, (count, "n", 2), self.numerics.dtype)
        check_array("validation", "orientation", orientation, (count, 3), self.numerics.dtype)
        values = [self._one(*item) for item in zip(gray, landmarks, orientation, strict=True)]
        return np.array(values, self.numerics.dtype)

    def select_view(self, orientation: Array) -> int:
        """The network whose head orientation is nearest; the first wins ties."""
        difference = orientation.astype(np.float64) - self._centres
        return int(np.argmin(np.sqrt(sums.in_order(difference * difference, axis=1))))

    def _one(self, gray: Array, landmarks: Array, orientation: Array) -> float:
        region, origin = crop_region(gray, landmarks)
        if region is None:
            return 0.0
        view = self._validator.views[self.select_view(orientation)]
        frame = warp_to_frame(region, landmarks - self.numerics.cast(origin), view.warp, self.numerics)
        net_input = normalise_frame(frame, view, self.numerics)
        scores = self._run(view.net, net_input[None, None], self.numerics.dtype)
        scores = np.asarray(scores).reshape(-1)
        bins = scores.shape[0]
        best = int(np.argmax(scores))
        unquantised = -1 + 1 / bins + best * 2 / bins
        return 0.5 * (1 - unquantised)


def crop_region(gray: Array, landmarks: Array) -> tuple[Array | None, tuple[int, int]]:
    """The image around the landmarks and its (x, y) origin; None when hardly anything of it is in the image."""
    height, width = gray.shape
    x_min, y_min, x_max, y_max = (float(v) for v in bounding_box(landmarks))
    x0, y0 = max(int(x_min - BOX_MARGIN), 0), max(int(y_min - BOX_MARGIN), 0)
    x1, y1 = min(int(x_max + BOX_MARGIN), width - 1), min(int(y_max + BOX_MARGIN), height - 1)
    if x1 - x0 <= 1 or y1 - y0 <= 1:
        return None, (x0, y0)
    return gray[y0:y1, x0:x1], (x0, y0)


def warp_to_frame(region: Array, landmarks: Array, warp: PiecewiseWarp, numerics: Numerics = FLOAT32) -> Array:
    """Piecewise affine warp of an image region to the validator's frame (60, 60) (spec 50.8 step 2)."""
    alpha, beta = numerics.cast(warp.alpha), numerics.cast(warp.beta)
    corners = landmarks[warp.triangles]  # (T, 3, 2)
    first = corners[:, 0]
    side_a, side_b = corners[:, 1] - first, corners[:, 2] - first
    # Affine coefficients (T, 3) for x and for y: constant, by column, by row
    coefficients = [side_a[:, c, None] * alpha + side_b[:, c, None] * beta for c in range(2)]
    for c in range(2):
        coefficients[c][:, 0] = first[:, c] + side_a[:, c] * alpha[:, 0] + side_b[:, c] * beta[:, 0]
    rows, cols = np.nonzero(warp.mask)
    triangle = warp.triangle_id[rows, cols]
    xi = numerics.cast(cols) + numerics.dtype(warp.min_x)
    yi = numerics.cast(rows) + numerics.dtype(warp.min_y)
    source = [np.full(warp.mask.shape, OUTSIDE, numerics.dtype) for _ in range(2)]
    for c in range(2):
        q = coefficients[c][triangle]
        source[c][rows, cols] = q[:, 0] + q[:, 1] * xi + q[:, 2] * yi
    return remap_f32(region, source[0], source[1], numerics.dtype)


def normalise_frame(frame: Array, view: ValidatorView, numerics: Numerics = FLOAT32) -> Array:
    """Face pixels at zero mean and unit deviation, then relative to the training faces; 0 outside (spec 50.8, 3-4)."""
    inside = np.nonzero(view.warp.mask.T)  # transposed: columns outer, rows inner
    values = frame.T[inside].astype(np.float64)
    values -= sums.mean(values)
    deviation = np.sqrt(sums.mean(values * values))
    values = values / (deviation if deviation != 0 else 1.0)
    values = (values - view.mean) / view.std
    net_input = np.zeros(frame.T.shape, numerics.dtype)
    net_input[inside] = values
    return np.ascontiguousarray(net_input.T)


class ValidationStage(Protocol):
    """Stage `validation`, built from a `Validator` (spec 50.8)."""

    def confidence(self, gray: Array, landmarks: Array, orientation: Array) -> Array:
        """Gray (N, H, W), landmarks (N, 68, 2) px, rotations (N, 3) rad to confidences (N,)."""


def build(validator: Validator, *, numerics: Numerics = FLOAT32) -> ValidationStage:
    """Stage `validation`."""
    return LandmarkValidator(validator, numerics)
