"""The action units of the faces of a clip of several: static ones, or calibrated to each stretch (spec 85.2, 85.3).

A *stretch* is the time in which one slot followed one face. Static AUs are those of this face in this frame alone, as
OpenFace's FaceLandmarkVidMulti has them. *Calibrated* ones take every stretch for a clip of its own with running
medians, re-prediction, calibration and smoothing (spec 60.5 to 60.7): an addition, which measures a face as the
program for one face does. The faces of a frame are described together, one call of each stage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from auparity.reference.analysis import Descriptors, ImageAnalyser, VideoAnalyser
from auparity.reference.face_states import FaceState
from auparity.reference.fit_shape import ShapeFitter
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS, OfflineAUs
from auparity.reference.stretches import StretchAUs

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]


class FaceAUs(Protocol):
    """How the AUs of faces are computed."""

    def describe(self, image: Array, faces: Sequence[FaceState]) -> list[Any]:
        """The part that needs the image (H, W, 3) uint8 BGR and no other frame, of each of its faces."""

    def begin(self) -> StretchAUs:
        """Begin a stretch."""


class StaticAUs:
    """Static models: a face in one frame at a time, whether or not the landmarker believes its landmarks (spec 85.2).

    Parameters
    ----------
    analyser : of single images.
    fit_shape : the stage, of the shape model of these AU models.
    """

    def __init__(self, analyser: ImageAnalyser, fit_shape: ShapeFitter) -> None:
        self._analyser, self._fit_shape = analyser, fit_shape

    def describe(self, image: Array, faces: Sequence[FaceState]) -> list[tuple[F64, F64]]:
        """Intensities (17,) from 0 to 5 and presences (18,) of each face."""
        if not faces:
            return []
        landmarks = np.stack([face.landmarks for face in faces])
        intensity, presence = self._analyser.analyse(image, landmarks, *self._fit_shape(landmarks))
        return list(zip(intensity, presence, strict=True))

    def begin(self) -> StretchAUs:
        return AsMeasured()


@dataclass
class AsMeasured:
    """AUs that stay as they are: static ones are not processed at the end (spec 85.2 step 4)."""

    intensity: list[F64] = field(default_factory=list)
    presence: list[F64] = field(default_factory=list)

    def take(self, described: tuple[F64, F64], timestamp: float) -> tuple[F64, F64]:
        self.intensity.append(described[0])
        self.presence.append(described[1])
        return described[0].copy(), described[1].copy()

    def finish(self) -> OfflineAUs:
        frames = len(self.intensity)
        return OfflineAUs(
            np.array(self.intensity, np.float64).reshape(frames, len(INTENSITY_AUS)),
            np.array(self.presence, np.float64).reshape(frames, len(PRESENCE_AUS)),
        )


class CalibratedAUs:
    """Dynamic models: every stretch is analysed as a clip of one face is (spec 85.3).

    Parameters
    ----------
    begin : makes the analyser of a clip.
    fit_shape : the stage, of the shape model of these AU models.
    """

    def __init__(self, begin: Callable[[], VideoAnalyser], fit_shape: ShapeFitter) -> None:
        self._begin, self._fit_shape = begin, fit_shape
        self._describer = begin().describer

    def describe(self, image: Array, faces: Sequence[FaceState]) -> list[Descriptors]:
        """What the AU models look at; that of a failed frame where the landmarker does not believe itself."""
        seen = [k for k, face in enumerate(faces) if face.detection_success]
        described: dict[int, Descriptors] = {}
        if seen:
            landmarks = np.stack([faces[k].landmarks for k in seen])
            hog, geometry = self._describer.describe_faces(image, landmarks, *self._fit_shape(landmarks))
            described = {k: Descriptors(hog[row].copy(), geometry[row].copy(), True) for row, k in enumerate(seen)}
        if len(seen) < len(faces):
            nothing = Descriptors(*self._describer.describe_no_face(), False)
            described |= {k: nothing for k in range(len(faces)) if k not in described}
        return [described[k] for k in range(len(faces))]

    def begin(self) -> StretchAUs:
        return self._begin()
