"""Landmark detection of many faces at once, from starting points (reference/landmarks.py; spec 50.6, 50.7).

Every step of the reference's `LandmarkDetector` is taken by all faces together, and what decides in it (is the face
large enough for a part model, did the fit succeed) is a mask on the device: nothing is asked of the host. A face's
result does not depend on the others. Nothing here has run on a GPU yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.device import Device
from auparity.accelerated.cupy.fit_shape import ShapeFitterBatch
from auparity.accelerated.cupy.fitting import FitsBatch, FittingBatch
from auparity.accelerated.cupy.patch_experts import ExpertsBatch
from auparity.accelerated.cupy.pdm import ShapesBatch
from auparity.accelerated.cupy.validation import ValidationBatch
from auparity.models.types import FaceModel, LandmarkModel, PartModel
from auparity.reference.fitting import INITIAL_LIKELIHOOD, FittingParameters
from auparity.reference.landmarks import PART_PARAMETERS, PART_SCALE_SHARE, DetectorParameters
from auparity.reference.validation import VALIDATION_BOUNDARY

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class PartsBatch:
    """Parameters and landmarks of one part model for B faces."""

    params_global: Any  #: (B, 6) float32
    params_local: Any  #: (B, m) float32
    landmarks: Any  #: (B, n, 2) float32, px


@dataclass(frozen=True, eq=False)
class FacesBatch:
    """What the landmark model knows of B faces: `reference.landmarks.ClmState` as arrays of the device."""

    params_global: Any  #: (B, 6) float32
    params_local: Any  #: (B, m) float32
    landmarks: Any  #: (B, n, 2) float32, px
    likelihood: Any  #: (B,) float32
    has_likelihood: Any  #: (B,) uint8: 0 where the last fit computed none
    detection_success: Any  #: (B,) uint8
    confidence: Any  #: (B,) float32
    view: Any  #: (B,) int32
    finite: Any  #: (B,) uint8: 0 where a fit left the numbers
    parts: tuple[PartsBatch, ...]


def take(faces: FacesBatch, rows: Any) -> FacesBatch:
    """Faces by index; `rows` (K,) integers on the device."""
    return _each(lambda array: array[rows], faces)


def put(faces: FacesBatch, rows: Any, others: FacesBatch) -> FacesBatch:
    """`faces` with those of `rows` (K,) replaced by `others`; the arrays of `faces` are written to."""

    def write(array: Any, other: Any) -> Any:
        array[rows] = other
        return array

    return _each(write, faces, others)


def join(xp: Any, *batches: FacesBatch) -> FacesBatch:
    """The faces of several batches, one after the other; `xp` is their device's."""
    return _each(lambda *arrays: xp.concatenate(arrays), *batches)


def _each(function: Any, *batches: FacesBatch) -> FacesBatch:
    arrays = {f.name: function(*(getattr(b, f.name) for b in batches)) for f in fields(FacesBatch) if f.name != "parts"}
    parts = tuple(
        PartsBatch(**{f.name: function(*(getattr(part, f.name) for part in group)) for f in fields(PartsBatch)})
        for group in zip(*(batch.parts for batch in batches), strict=True)
    )
    return FacesBatch(**arrays, parts=parts)


class ModelBatch:
    """The stages that one landmark model (face, inner face or eye) needs, on a device."""

    def __init__(self, device: Device, model: LandmarkModel) -> None:
        self.shapes = ShapesBatch(device, model.pdm)
        self.fitter = FittingBatch(device, model, ExpertsBatch(device, model))
        self.fit_shape = ShapeFitterBatch(device, model.pdm)
        self.coarsest_scale = float(model.experts[0].scale)


class _Part:
    """A part model with its place among the face's landmarks."""

    def __init__(self, device: Device, part: PartModel) -> None:
        self.model = ModelBatch(device, part.model)
        self.parameters = PART_PARAMETERS.get(part.name, FittingParameters(refine_parameters=False))
        self.of_face = device.upload(np.ascontiguousarray(part.mapping[:, 0], np.int64))
        self.of_part = device.upload(np.ascontiguousarray(part.mapping[:, 1], np.int64))
        self.least_scale = np.float32(PART_SCALE_SHARE * self.model.coarsest_scale)


class DetectorBatch:
    """The models of one `FaceModel` on a device. Holds no state of any face.

    Parameters
    ----------
    model : the face model.
    parameters : settings; None for those of the command-line programs.
    """

    def __init__(self, device: Device, model: FaceModel, parameters: DetectorParameters | None = None) -> None:
        self.device = device
        self.parameters = parameters or DetectorParameters.for_model(model)
        self.early_termination = model.main.early_termination
        self.pdm = model.main.pdm
        self.main = ModelBatch(device, model.main)
        self.validator = ValidationBatch(device, model.validator)
        self._parts = [_Part(device, part) for part in model.parts]

    def initial(self, count: int) -> FacesBatch:
        """Faces of a model that has seen nothing: scale 1, everything else 0 (spec 00)."""
        main = self.main.shapes
        whole = self._blank(main, count)
        likelihood = np.full(count, INITIAL_LIKELIHOOD, np.float32)
        nothing, one = np.zeros(count, np.uint8), np.ones(count, np.uint8)
        up = self.device.upload
        return FacesBatch(
            whole.params_global, whole.params_local, whole.landmarks, up(likelihood), up(one), up(nothing),
            up(np.zeros(count, np.float32)), up(np.zeros(count, np.int32)), up(one),
            tuple(self._blank(part.model.shapes, count) for part in self._parts),
        )  # fmt: skip

    def _blank(self, shapes: ShapesBatch, count: int) -> PartsBatch:
        upright = np.tile(np.array([1, 0, 0, 0, 0, 0], np.float32), (count, 1))
        zeros = self.device.zeros
        local, landmarks = zeros((count, shapes.n_modes), np.float32), zeros((count, shapes.n_points, 2), np.float32)
        return PartsBatch(self.device.upload(upright), local, landmarks)

    def detect(
        self,
        gray: Any,
        frame: Any,
        start: FacesBatch,
        windows: Sequence[int],
        *,
        refine_parts: bool | None = None,
        validate: bool | None = None,
    ) -> FacesBatch:
        """Detect landmarks from the parameters in `start` (spec 50.6 "DetectLandmarks").

        Parameters
        ----------
        gray : (S, H, W) uint8. frame : (B,) int32, the image that each face lies in.
        windows : response-map sizes by scale, 0 to skip one.
        refine_parts, validate : override the detector's parameters.

        Returns
        -------
        Faces; `likelihood` is the start's where the fit computed none.
        """
        parameters, xp = self.parameters, self.device.xp
        refine_parts = parameters.refine_parts if refine_parts is None else refine_parts
        validate = parameters.validate if validate is None else validate
        settings = parameters.with_windows(tuple(windows))
        fits = self.main.fitter.fit(gray, frame, start.params_global, start.params_local, settings, None)
        faces = _with_fits(xp, start, fits)
        if refine_parts and self._parts:
            faces = self._refine_by_parts(gray, frame, faces)
        confidence, success = fits.success.astype(np.float32), fits.success
        if validate:
            rotations = xp.ascontiguousarray(faces.params_global[:, 1:4])
            confidence = self.validator(gray, frame, faces.landmarks, rotations, fits.success)
            confidence = xp.where(fits.success != 0, confidence, np.float32(0))
            success = ((confidence > VALIDATION_BOUNDARY) & (fits.success != 0)).astype(np.uint8)
        return replace(faces, confidence=confidence, detection_success=success)

    def _refine_by_parts(self, gray: Any, frame: Any, faces: FacesBatch) -> FacesBatch:
        """Fit the part models and bring the main model to what they found (spec 50.7)."""
        xp, count = self.device.xp, len(faces.params_global)
        scale = faces.params_global[:, 0]
        landmarks, finite, any_fitted, parts = faces.landmarks.copy(), faces.finite, None, []
        for part in self._parts:
            own = part.model
            given = self.device.zeros((count, own.shapes.n_points, 2), np.float32)
            given[:, part.of_part] = faces.landmarks[:, part.of_face]
            g, p = own.fit_shape(given)
            large = (scale > part.least_scale).astype(np.uint8)
            fits = own.fitter.fit(gray, frame, g, p, part.parameters, large)
            parts.append(PartsBatch(fits.params_global, fits.params_local, fits.landmarks))
            any_fitted = large if any_fitted is None else any_fitted | large
            finite = finite & fits.finite
        for part, found in zip(self._parts, parts, strict=True):
            # In file order: where parts overlap (inner face and eyes) the later one wins.
            landmarks[:, part.of_face] = found.landmarks[:, part.of_part]
        g, p = self.main.fit_shape(landmarks)
        moved = any_fitted[:, None] != 0 if any_fitted is not None else xp.zeros((count, 1), bool)
        g = xp.where(moved, g, faces.params_global)
        p = xp.where(moved, p, faces.params_local)
        shape = xp.where(moved[:, :, None], self.main.shapes.shape_2d(g, p), faces.landmarks)
        return replace(
            faces, params_global=g, params_local=p, landmarks=shape, finite=finite, parts=tuple(parts)
        )  # fmt: skip


def _with_fits(xp: Any, start: FacesBatch, fits: FitsBatch) -> FacesBatch:
    """The faces after a fit; likelihoods that the fit did not compute stay what they were."""
    return replace(
        start,
        params_global=fits.params_global,
        params_local=fits.params_local,
        landmarks=fits.landmarks,
        view=fits.view,
        likelihood=xp.where(fits.has_likelihood != 0, fits.likelihood, start.likelihood),
        has_likelihood=fits.has_likelihood,
        finite=fits.finite,
    )
