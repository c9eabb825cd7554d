"""Face analysis from frame to action units (spec 60.1, 60.7, 60.9): alignment, FHOG, geometry, running medians,
prediction and history, one frame after the other for videos; the static path for photographs. An image (H, W, 3) uint8
BGR, its landmarks (68, 2) px and their fit (spec 30.7) in; intensities (17,) and presences (18,) float64 out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError
from auparity.models.types import AUPredictors
from auparity.reference.action_units import ActionUnitModels, OnlineCorrection
from auparity.reference.alignment import SIZE, align_faces
from auparity.reference.contracts import check_image
from auparity.reference.fhog import fhog
from auparity.reference.geometry import geometry_descriptor
from auparity.reference.numerics import FLOAT32, Numerics
from auparity.reference.postprocessing import postprocess
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS, OfflineAUs
from auparity.reference.running_median import RunningMedian, geometry_median, hog_median

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]

STAGE = "analysis"

#: Successful frames whose descriptors are kept for re-prediction at the end of the clip (spec 60.1 step 11).
KEPT_FRAMES = 3000


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
    online : a live camera; intensities shown are corrected by spec 60.8 (the history is not).
    dynamic : False for OpenFace's static option: no re-prediction and no calibration at the end.
    """

    def __init__(
        self, predictors: AUPredictors, numerics: Numerics = FLOAT32, *, online: bool = False, dynamic: bool = True
    ) -> None:
        self.predictors = predictors
        self.models = ActionUnitModels(predictors)
        self.numerics = numerics
        self.dynamic = dynamic
        self.online = online
        self.reset()

    def reset(self) -> None:
        """Begin another clip (spec 60.9)."""
        self.history = ClipHistory()
        self.hog_median: RunningMedian = hog_median()
        self.geometry_median: RunningMedian = geometry_median()
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
        check_image(STAGE, image)
        if (params_global is None) != (params_local is None):
            raise ContractError(STAGE, "params_global, params_local", "both, or None for both", "one of them")
        success = params_global is not None and params_local is not None
        if params_global is not None and params_local is not None:
            hog, geometry = describe_face(image, landmarks, params_global, params_local, self.predictors, self.numerics)
        else:
            hog, geometry = describe_no_face(self.predictors, self.numerics)
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
    """The AUs of a face in a photograph: static models, no medians, no history (spec 60.1, "image path").

    Raises
    ------
    ContractError : a model of `predictors` is dynamic.
    """

    def __init__(self, predictors: AUPredictors, numerics: Numerics = FLOAT32) -> None:
        self.predictors = predictors
        self.models = ActionUnitModels(predictors)
        self.numerics = numerics
        if self.models.needs_medians:
            raise ContractError(STAGE, "predictors", "static models only (AU_all_static.txt)", "dynamic ones too")

    def analyse(self, image: Array, landmarks: Array, params_global: Array, params_local: Array) -> tuple[F64, F64]:
        """Intensities (17,) from 0 to 5 and presences (18,) of one face; arguments as in `VideoAnalyser.step`."""
        check_image(STAGE, image)
        hog, geometry = describe_face(image, landmarks, params_global, params_local, self.predictors, self.numerics)
        intensity, presence = self.models.predict_static(hog[None], geometry[None])
        return intensity[0], presence[0]


def describe_face(
    image: Array,
    landmarks: Array,
    params_global: Array,
    params_local: Array,
    predictors: AUPredictors,
    numerics: Numerics = FLOAT32,
) -> tuple[Array, F64]:
    """FHOG (4464,) and geometry (238,) descriptors of one face (spec 60.2 to 60.4)."""
    aligned = align_faces(
        image[None], landmarks[None], params_global[None], predictors.pdm, predictors.triangulation, numerics
    )
    return fhog(aligned, numerics)[0], geometry_descriptor(params_local[None], predictors.pdm)[0]


def describe_no_face(predictors: AUPredictors, numerics: Numerics = FLOAT32) -> tuple[Array, F64]:
    """The descriptors of a failed frame: those of a black face, and zeros (spec 60.1 steps 2, 3 and 7)."""
    black = np.zeros((1, SIZE, SIZE, 3), np.uint8)
    return fhog(black, numerics)[0], np.zeros(3 * predictors.pdm.n_points + predictors.pdm.n_modes)
