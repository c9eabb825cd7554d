"""Face analysis from frame to action units (spec 60.1, 60.7, 60.9): alignment, FHOG, geometry, running medians,
prediction and history, one frame after the other for videos; the static path for single images. An image (H, W, 3)
uint8 BGR, its landmarks (68, 2) px and their fit (spec 30.7) in; intensities (17,) and presences (18,) float64 out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError
from auparity.models.types import AUPredictors
from auparity.reference.action_units import OnlineCorrection
from auparity.reference.alignment import SIZE
from auparity.reference.contracts import check_image
from auparity.reference.numerics import FLOAT32, Numerics
from auparity.reference.postprocessing import postprocess
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS, OfflineAUs
from auparity.reference.stages import Stages, reference_stages
from auparity.short_repr import short_repr

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]

STAGE = "analysis"

#: Successful frames whose descriptors are kept for re-prediction at the end of the clip (spec 60.1 step 11).
KEPT_FRAMES = 3000


@short_repr
@dataclass(frozen=True, eq=False)
class Descriptors:
    """What the AU models look at of one frame."""

    hog: Array  #: (4464,)
    geometry: F64  #: (238,)
    success: bool  #: False for a frame without a face, whose descriptors are those of a black one


@dataclass
class ClipHistory:
    """What a clip leaves for its end: raw predictions of all frames, descriptors of the first successful ones."""

    success: list[bool] = field(default_factory=list)
    timestamps: list[float] = field(default_factory=list)  # seconds
    intensity: list[F64] = field(default_factory=list)  # (17,) a frame, 0 where it failed
    presence: list[F64] = field(default_factory=list)  # (18,) a frame, 0 where it failed
    hog: list[Array] = field(default_factory=list)  # (4464,) a kept frame
    geometry: list[F64] = field(default_factory=list)  # (238,) a kept frame


class VideoAnalyser:
    """The AUs of one clip, frame by frame (spec 60.1), and of the whole clip at its end (spec 60.7).

    Parameters
    ----------
    predictors : the AU models for videos.
    numerics : working precision of alignment and FHOG.
    stages : implementations of the stages; None for the reference's own in this precision.
    online : a live camera; intensities shown are corrected by spec 60.8 (the history is not).
    dynamic : False for OpenFace's static option: no re-prediction and no calibration at the end.
    """

    def __init__(
        self,
        predictors: AUPredictors,
        numerics: Numerics = FLOAT32,
        stages: Stages | None = None,
        *,
        online: bool = False,
        dynamic: bool = True,
    ) -> None:
        self._stages = stages or reference_stages(numerics)
        self.models = self._stages.action_units(predictors)
        self.describer = FaceDescriber(predictors, self._stages)
        self.dynamic = dynamic
        self.online = online
        self.reset()

    def reset(self) -> None:
        """Begin another clip (spec 60.9)."""
        self.history = ClipHistory()
        self.hog_median = self._stages.running_median("hog")
        self.geometry_median = self._stages.running_median("geometry")
        self.correction = OnlineCorrection() if self.online else None

    def step(
        self,
        image: Array,
        landmarks: Array,
        params_global: Array | None,
        params_local: Array | None,
        timestamp: float = 0.0,
    ) -> tuple[F64, F64]:
        """Analyse the next frame (spec 60.1).

        Parameters
        ----------
        image : (H, W, 3) uint8 BGR.
        landmarks : (68, 2) px.
        params_global, params_local : (6,) and (34,), the fit of the predictors' PDM to the landmarks (spec 30.7), or
            None for both when the tracker's own flag says that there is no face (`detection_success`, not `success`).
        timestamp : seconds.

        Returns
        -------
        Intensities (17,), not clamped (clamped when online), and presences (18,) of this frame; 0 if it failed.
        """
        return self.take(self.describe(image, landmarks, params_global, params_local), timestamp)

    def describe(
        self, image: Array, landmarks: Array, params_global: Array | None, params_local: Array | None
    ) -> Descriptors:
        """The part of `step` that needs the image and nothing of the frames before."""
        check_image(STAGE, image)
        if (params_global is None) != (params_local is None):
            raise ContractError(STAGE, "params_global, params_local", "both, or None for both", "one of them")
        if params_global is None or params_local is None:
            return Descriptors(*self.describer.describe_no_face(), False)
        return Descriptors(*self.describer.describe(image, landmarks, params_global, params_local), True)

    def take(self, described: Descriptors, timestamp: float = 0.0) -> tuple[F64, F64]:
        """The part of `step` that must see the frames in order: medians, prediction, history."""
        hog, geometry, success = described.hog, described.geometry, described.success
        hog_median = self.hog_median.step(hog, success)
        geometry_median = self.geometry_median.step(geometry, success)
        if success:
            intensity, presence = (
                rows[0]
                for rows in self.models.predict(hog[None], geometry[None], hog_median[None], geometry_median[None])
            )
        else:
            intensity, presence = np.zeros(len(INTENSITY_AUS)), np.zeros(len(PRESENCE_AUS))
        self._remember(success, timestamp, intensity, presence, hog, geometry)
        shown = intensity.copy() if self.correction is None else self.correction.correct(intensity, success)
        return shown, presence.copy()

    def _remember(
        self, success: bool, timestamp: float, intensity: F64, presence: F64, hog: Array, geometry: F64
    ) -> None:
        history = self.history
        history.success.append(success)
        history.timestamps.append(timestamp)
        history.intensity.append(intensity)
        history.presence.append(presence)
        if success and len(history.hog) < KEPT_FRAMES:
            history.hog.append(hog)
            history.geometry.append(geometry)

    def finish(self) -> OfflineAUs:
        """The AUs of all frames so far, post-processed (spec 60.7). Changes nothing: it may be called at any time."""
        history = self.history
        frames = len(history.success)
        success = np.array(history.success, np.bool_)
        intensity = np.array(history.intensity, np.float64).reshape(frames, len(INTENSITY_AUS))
        presence = np.array(history.presence, np.float64).reshape(frames, len(PRESENCE_AUS))
        if not self.dynamic:
            return postprocess(intensity, presence, success)
        for k, frame in enumerate(np.flatnonzero(success)[: len(history.hog)]):
            final = self.hog_median.median[None], self.geometry_median.median[None]
            again = self.models.predict(history.hog[k][None], history.geometry[k][None], *final)
            intensity[frame], presence[frame] = again[0][0], again[1][0]
        return postprocess(intensity, presence, success, self.models.cutoffs)


class ImageAnalyser:
    """The AUs of a face in a single image: static models, no medians, no history (spec 60.1, "image path").

    Raises
    ------
    ContractError : a model of `predictors` is dynamic.
    """

    def __init__(self, predictors: AUPredictors, numerics: Numerics = FLOAT32, stages: Stages | None = None) -> None:
        stages = stages or reference_stages(numerics)
        self.models = stages.action_units(predictors)
        self.describer = FaceDescriber(predictors, stages)
        if self.models.needs_medians:
            raise ContractError(STAGE, "predictors", "static models only (AU_all_static.txt)", "dynamic ones too")

    def analyse(self, image: Array, landmarks: Array, params_global: Array, params_local: Array) -> tuple[F64, F64]:
        """Intensities (K, 17) from 0 to 5 and presences (K, 18) of the faces of one image.

        Parameters
        ----------
        image : (H, W, 3) uint8 BGR.
        landmarks : (K, 68, 2) px, K at least 1.
        params_global, params_local : (K, 6) and (K, 34), the fit of the predictors' PDM to the landmarks (spec 30.7).
        """
        check_image(STAGE, image)
        return self.models.predict_static(*self.describer.describe_faces(image, landmarks, params_global, params_local))


class FaceDescriber:
    """FHOG (4464,) and geometry (238,) descriptors of faces (spec 60.2 to 60.4).

    Parameters
    ----------
    predictors : the AU models whose triangulation and PDM are used.
    stages : implementations of the stages; None for the reference's own.
    """

    def __init__(self, predictors: AUPredictors, stages: Stages | None = None) -> None:
        stages = stages or reference_stages()
        self._align = stages.alignment(predictors)
        self._fhog = stages.fhog()
        self._geometry = stages.geometry(predictors.pdm)
        self._n_modes = predictors.pdm.n_modes

    def describe(self, image: Array, landmarks: Array, params_global: Array, params_local: Array) -> tuple[Array, F64]:
        """The descriptors of one face; arguments as in `VideoAnalyser.step`."""
        hog, geometry = self.describe_faces(image, landmarks[None], params_global[None], params_local[None])
        return hog[0], geometry[0]

    def describe_faces(
        self, image: Array, landmarks: Array, params_global: Array, params_local: Array
    ) -> tuple[Array, F64]:
        """The descriptors (K, 4464) and (K, 238) of faces of one image; arguments as in `ImageAnalyser.analyse`."""
        images = np.broadcast_to(image, (len(landmarks), *image.shape))  # K times the same memory
        return self._fhog(self._align(images, landmarks, params_global)), self._geometry(params_local)

    def describe_no_face(self) -> tuple[Array, F64]:
        """The descriptors of a failed frame: those of a black face, and zeros (spec 60.1 steps 2, 3 and 7)."""
        black = np.zeros((1, SIZE, SIZE, 3), np.uint8)
        return self._fhog(black)[0], self._geometry(np.zeros((1, self._n_modes)))[0]
