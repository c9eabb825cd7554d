"""Landmark detection from a starting point: fit, refinement by part models, validation (spec 50.6, 50.7).

The 68-point model is fitted first. Then models of the inner face and of the eyes start from what it found, are fitted
by themselves where the face is large enough, and hand their landmarks back; the main model is brought to them by
CalcParams. At last the validator says how sure we can be. One gray image (H, W) and a `ClmState` in, the next
`ClmState` out.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from auparity.models.types import FaceModel, LandmarkModel, PartModel
from auparity.reference.face_states import FaceState, PartState
from auparity.reference.fit_shape import ShapeFitter
from auparity.reference.fitting import INITIAL_LIKELIHOOD, Fit, FittingParameters, FittingStage
from auparity.reference.numerics import FLOAT32, Numerics
from auparity.reference.pdm import ShapeStage
from auparity.reference.side_by_side import ONE_AFTER_THE_OTHER, SideBySide
from auparity.reference.stages import Stages, reference_stages
from auparity.reference.validation import VALIDATION_BOUNDARY
from auparity.short_repr import short_repr

Array = npt.NDArray[Any]

#: A part is fitted when the face's scale exceeds this share of the part's first patch scale (spec 50.7 c).
PART_SCALE_SHARE = 0.9

#: The face model whose sigma and regularisation the command-line programs multiply by these factors (spec 50.1).
CECLM, CECLM_SIGMA, CECLM_REG = "main_ceclm_general", 1.5, 0.9

_EYE = FittingParameters(windows=(3, 5, 9), reg_factor=0.5, sigma=1.0, refine_parameters=False)
_INNER = FittingParameters(windows=(9,), reg_factor=2.5, sigma=1.75, weight_factor=2.5, refine_parameters=False)
_LEGACY_EYE = FittingParameters(windows=(5, 3), reg_factor=0.1, sigma=2.0, refine_parameters=False)
_LEGACY_MOUTH = FittingParameters(windows=(7, 7), reg_factor=1.0, sigma=2.0, refine_parameters=False)
_LEGACY_BROW = FittingParameters(windows=(11, 9), reg_factor=10.0, sigma=3.5, refine_parameters=False)

#: How parts are fitted, by the name that the main file gives them (spec 50.7).
PART_PARAMETERS = {
    "left_eye_28": _EYE,
    "right_eye_28": _EYE,
    "inner": _INNER,
    "left_eye": _LEGACY_EYE,
    "right_eye": _LEGACY_EYE,
    "mouth": _LEGACY_MOUTH,
    "brow": _LEGACY_BROW,
}


@dataclass(frozen=True)
class DetectorParameters:
    """Settings of landmark detection (spec 50.1); `for_model` gives those of the command-line programs."""

    init_windows: tuple[int, ...] = (11, 9, 7, 5)
    track_windows: tuple[int, ...] = (0, 9, 7, 0)
    fitting: FittingParameters = field(default_factory=FittingParameters)
    refine_parts: bool = True
    validate: bool = True

    @classmethod
    def for_model(
        cls,
        model: FaceModel,
        *,
        wild: bool = False,
        validate: bool = True,
        iterations: int | None = None,
        sigma: float | None = None,
        reg_factor: float | None = None,
        weight_factor: float | None = None,
    ) -> DetectorParameters:
        """Settings for a model (spec 80.5); without any option those of the command-line programs.

        Parameters
        ----------
        wild : OpenFace's settings for images in difficult conditions: larger windows, and other fitting parameters.
        validate : whether the validator judges each fit; without it every fit that stays in the image is a success.
        iterations, sigma, reg_factor, weight_factor : of `FittingParameters`; None for those above. CE-CLM multiplies
            sigma by 1.5 and reg_factor by 0.9 after that, as the C++ program does.
        """
        fitting = (
            FittingParameters(sigma=1.25, reg_factor=35.0, weight_factor=2.5, iterations=10)
            if wild
            else FittingParameters()
        )
        given: dict[str, Any] = {
            "iterations": iterations, "sigma": sigma, "reg_factor": reg_factor, "weight_factor": weight_factor
        }  # fmt: skip
        fitting = replace(fitting, **{name: value for name, value in given.items() if value is not None})
        if model.name == CECLM:
            sigma, reg_factor = fitting.sigma * CECLM_SIGMA, fitting.reg_factor * CECLM_REG
            fitting = replace(fitting, sigma=sigma, reg_factor=reg_factor)
        windows = (15, 13, 11, 11) if wild else (11, 9, 7, 5)
        return cls(init_windows=windows, fitting=fitting, validate=validate)

    def with_windows(self, windows: tuple[int, ...]) -> FittingParameters:
        return replace(self.fitting, windows=windows)


@short_repr
@dataclass(frozen=True, eq=False, kw_only=True)
class ClmState(FaceState):
    """A face as a constrained local model knows it: with what it carries from fit to fit."""

    likelihood: float
    landmark_likelihoods: Array  #: (68,)
    view: int  #: of the experts of the last scale that was run

    def with_shape_of(self, before: Self) -> Self:
        """The likelihoods belong to the shape; flag, confidence and parts stay those of the attempt (spec 50.10)."""
        kept = super().with_shape_of(before)
        return replace(kept, likelihood=before.likelihood, landmark_likelihoods=before.landmark_likelihoods)


@dataclass
class FittedModel:
    """The stages that one landmark model (face, inner face or eye) needs."""

    shape: ShapeStage
    fitter: FittingStage
    fit_shape: ShapeFitter
    coarsest_scale: float  #: px/mm of its first experts

    @classmethod
    def build(cls, model: LandmarkModel, stages: Stages) -> FittedModel:
        fitter = stages.fitting(model, stages.patch_experts(model))
        coarsest = float(model.experts[0].scale)
        return cls(stages.pdm(model.pdm), fitter, stages.fit_shape(model.pdm), coarsest)


class LandmarkDetector:
    """The models of one `FaceModel` at the working precision. Holds no state of any face.

    Parameters
    ----------
    model : the face model.
    parameters : settings; None for those of the command-line programs.
    numerics : working precision.
    stages : implementations of the stages; None for the reference's own in this precision.
    """

    def __init__(
        self,
        model: FaceModel,
        parameters: DetectorParameters | None = None,
        numerics: Numerics = FLOAT32,
        stages: Stages | None = None,
    ) -> None:
        stages = stages or reference_stages(numerics)
        self.numerics = numerics
        self.parameters = parameters or DetectorParameters.for_model(model)
        self.early_termination = model.main.early_termination
        self.main = FittedModel.build(model.main, stages)
        self.validator = stages.validation(model.validator)
        self.part_models: tuple[PartModel, ...] = model.parts
        self.parts = tuple(FittedModel.build(part.model, stages) for part in model.parts)
        #: How fits that do not depend on each other are done.
        self.side_by_side: SideBySide = ONE_AFTER_THE_OTHER

    def initial_state(self) -> ClmState:
        """The state of a model that has seen nothing: scale 1, everything else 0 (spec 00)."""
        main = self.main.shape
        return ClmState(
            params_global=self.numerics.cast([1, 0, 0, 0, 0, 0]),
            params_local=self.numerics.cast(np.zeros(main.n_modes)),
            landmarks=self.numerics.cast(np.zeros((main.n_points, 2))),
            likelihood=INITIAL_LIKELIHOOD,
            landmark_likelihoods=self.numerics.cast(np.zeros(main.n_points)),
            detection_success=False,
            confidence=0.0,
            view=0,
            parts=tuple(self._initial_part(part.shape) for part in self.parts),
        )

    def _initial_part(self, model: ShapeStage) -> PartState:
        return PartState(
            self.numerics.cast([1, 0, 0, 0, 0, 0]),
            self.numerics.cast(np.zeros(model.n_modes)),
            self.numerics.cast(np.zeros((model.n_points, 2))),
        )

    def detect(
        self,
        gray: Array,
        state: ClmState,
        windows: tuple[int, ...],
        *,
        refine_parts: bool | None = None,
        validate: bool | None = None,
    ) -> ClmState:
        """Detect landmarks from the parameters in `state` (spec 50.6 "DetectLandmarks").

        Parameters
        ----------
        gray : (H, W) in the working dtype, 0 to 255.
        windows : response-map sizes by scale, 0 to skip one.
        refine_parts, validate : override the detector's parameters.
        """
        parameters = self.parameters
        refine_parts = parameters.refine_parts if refine_parts is None else refine_parts
        validate = parameters.validate if validate is None else validate
        (fit,) = self.main.fitter.fit(
            gray[None], state.params_global[None], state.params_local[None], parameters.with_windows(windows)
        )
        state = _with_fit(state, fit)
        if refine_parts and self.part_models:
            state = self.refine_by_parts(gray, state)
        if validate and fit.success:
            orientation = state.params_global[None, 1:4]
            confidence = float(self.validator.confidence(gray[None], state.landmarks[None], orientation)[0])
            success = bool(np.float32(confidence) > VALIDATION_BOUNDARY)
            return replace(state, confidence=confidence, detection_success=success)
        return replace(state, confidence=float(fit.success), detection_success=fit.success)

    def refine_by_parts(self, gray: Array, state: ClmState) -> ClmState:
        """Fit the part models and bring the main model to what they found (spec 50.7)."""
        main_scale = state.params_global[0]
        parts, any_fitted = [], False
        for part, own in zip(self.part_models, self.parts, strict=True):
            given = np.zeros((own.shape.n_points, 2), self.numerics.dtype)
            given[part.mapping[:, 1]] = state.landmarks[part.mapping[:, 0]]
            g, p = own.fit_shape(given[None])
            if main_scale > PART_SCALE_SHARE * own.coarsest_scale:
                any_fitted = True
                settings = PART_PARAMETERS.get(part.name, FittingParameters(refine_parameters=False))
                (fit,) = own.fitter.fit(gray[None], g, p, settings)
                parts.append(PartState(fit.params_global, fit.params_local, fit.landmarks))
            else:
                parts.append(PartState(g[0], p[0], own.shape.shape_2d(g[0], p[0])))
        state = replace(state, parts=tuple(parts))
        if not any_fitted:
            return state
        landmarks = state.landmarks.copy()
        for part, found in zip(self.part_models, parts, strict=True):
            # In file order: where parts overlap (inner face and eyes) the later one wins.
            landmarks[part.mapping[:, 0]] = found.landmarks[part.mapping[:, 1]]
        g, p = self.main.fit_shape(landmarks[None])
        return replace(state, params_global=g[0], params_local=p[0], landmarks=self.main.shape.shape_2d(g[0], p[0]))


def _with_fit(state: ClmState, fit: Fit) -> ClmState:
    """The state after a fit; likelihoods that the fit did not compute stay what they were."""
    likelihood, per_landmark = fit.likelihood, fit.landmark_likelihoods
    return replace(
        state,
        params_global=fit.params_global,
        params_local=fit.params_local,
        landmarks=fit.landmarks,
        view=fit.view,
        likelihood=state.likelihood if likelihood is None else likelihood,
        landmark_likelihoods=state.landmark_likelihoods if per_landmark is None else per_landmark,
    )
