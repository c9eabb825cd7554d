"""A clip of several people going through a pipeline (spec 85): slots that follow faces, and the AUs of each face.

Every face of a frame has a `FrameResult`; AUs are those of the static models, from this face in this frame alone, as
OpenFace's FaceLandmarkVidMulti has them, or *calibrated*: every stretch (`stretches.py`) is then a clip of its own with
running medians, re-prediction, calibration and smoothing (spec 60.5 to 60.7, 85.3). The latter is an addition, and
measures a face as the program for one face does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError
from auparity.models.types import PDM
from auparity.reference.analysis import ImageAnalyser, VideoAnalyser
from auparity.reference.clip_frames import ClipFrames
from auparity.reference.face_choice import FaceChoice
from auparity.reference.face_results import FaceResults
from auparity.reference.face_states import FaceState
from auparity.reference.fit_shape import ShapeFitter
from auparity.reference.head_pose import Camera
from auparity.reference.many_faces import Faces, FollowedFace, SlotTracker, check_faces
from auparity.reference.persons import person_ids
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS, FrameResult, OfflineAUs
from auparity.reference.stretches import FaceStretch, Stretch, StretchAUs

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]
#: Which AUs the faces of a clip of several people have.
AUMode = Literal["static", "calibrated"]
AU_MODES: tuple[AUMode, ...] = ("static", "calibrated")


def check_many(faces: Any, aus: Any, face: Any = None) -> tuple[Faces, AUMode] | None:
    """How many faces a clip is measured for and with which AUs, static ones unless told otherwise.

    Returns
    -------
    None for a clip of one face, where `faces` is None.

    Raises
    ------
    ContractError : `faces` as of `check_faces`; `aus` is none of `AU_MODES`, or is given for a clip of one face, whose
        AUs are always calibrated; `face` is not a `FaceChoice`, or is given for a clip of several faces.
    """
    if face is not None and not isinstance(face, FaceChoice):
        raise ContractError("pipeline", "face", "a FaceChoice or None", repr(face))
    if faces is not None and face is not None:
        raise ContractError("pipeline", "face", "None where `faces` is given: all of these are followed", repr(face))
    if faces is None:
        if aus is not None:
            raise ContractError("pipeline", "aus", "None where `faces` is None", repr(aus))
        return None
    if aus is None:
        return check_faces(faces), "static"
    for mode in AU_MODES:
        if isinstance(aus, str) and aus == mode:
            return check_faces(faces), mode
    raise ContractError("pipeline", "aus", f"one of {', '.join(AU_MODES)}", repr(aus))


class FaceAUs(Protocol):
    """How the AUs of faces are computed."""

    def describe(self, image: Array, state: FaceState) -> Any:
        """The part that needs the image (H, W, 3) uint8 BGR and no other frame."""

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

    def describe(self, image: Array, state: FaceState) -> tuple[F64, F64]:
        """Intensities (17,) from 0 to 5 and presences (18,)."""
        params_global, params_local = self._fit_shape(state.landmarks[None])
        return self._analyser.analyse(image, state.landmarks, params_global[0], params_local[0])

    def begin(self) -> StretchAUs:
        return _AsMeasured()


@dataclass
class _AsMeasured:
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
        self._describer = begin()  # describes faces of all stretches, and takes none

    def describe(self, image: Array, state: FaceState) -> Any:
        """The descriptors of the AU models; those of a failed frame where the landmarker does not believe itself."""
        if not state.detection_success:
            return self._describer.describe(image, state.landmarks, None, None)
        params_global, params_local = self._fit_shape(state.landmarks[None])
        return self._describer.describe(image, state.landmarks, params_global[0], params_local[0])

    def begin(self) -> StretchAUs:
        return self._begin()


@dataclass(frozen=True, eq=False)
class TrackedFaces:
    """A frame after tracking: what the rest of its measurements follow from."""

    index: int
    timestamp: float  #: seconds
    faces: list[FollowedFace]
    camera: Camera


class FacesSession(Protocol):
    """One clip of several people going through a pipeline, frame by frame in order."""

    def process_frame(self, image: Array, timestamp: float) -> list[FrameResult]:
        """Track and measure the faces of the next frame (H, W, 3) uint8 BGR, at a time in seconds."""

    def track(self, image: Array, timestamp: float) -> TrackedFaces:
        """Step 1, which needs the frames before; with `describe` and `measure`, what `process_frame` does."""

    def describe(self, image: Array, tracked: TrackedFaces) -> list[Any]:
        """Step 2, which needs the image and no other frame."""

    def measure(self, tracked: TrackedFaces, described: list[Any]) -> list[FrameResult]:
        """Step 3, which needs the frames before but no image."""

    def without_face(self, *, index: int, timestamp: float, camera: Camera) -> FrameResult:
        """The result that a clip of one face gives for a frame while no face was found yet; changes nothing."""

    def finish(self) -> list[FaceStretch]:
        """All stretches so far, with their persons and AUs; may be called again."""

    def close(self) -> None:
        """Give back what the session holds; `finish` still works."""


class ManyFacesSession:
    """One clip of several people going through a pipeline. Frames must come in order and be of one size.

    `process_frame` does everything with a frame. Its three steps may also be called by themselves, by different
    threads, as long as `track` and `measure` each see the frames in order.

    Parameters
    ----------
    tracker : follows the faces.
    aus : computes their action units.
    results : makes results of what was found.
    shape : the shape model of the landmarker.
    camera : None for OpenFace's guess from the first frame.
    """

    def __init__(
        self, tracker: SlotTracker, aus: FaceAUs, results: FaceResults, shape: PDM, camera: Camera | None
    ) -> None:
        self.tracker, self._aus, self._results = tracker, aus, results
        self._variances = np.ravel(shape.eigenvalues).astype(np.float64)
        self._clip = ClipFrames(camera)
        self._frames = 0
        self._stretches: dict[int, Stretch] = {}  # all of them, by number
        self._open: set[int] = set()

    def process_frame(self, image: Array, timestamp: float) -> list[FrameResult]:
        """Track and measure the faces of the next frame (spec 85.2).

        Parameters
        ----------
        image : (H, W, 3) uint8 BGR.
        timestamp : seconds, not less than that of the frame before.

        Returns
        -------
        One result for each slot that follows a face, by slot: `face_id` is the slot, `success` the landmarker's own
        flag, without which there is no gaze. None for a frame without faces.

        Raises
        ------
        ContractError : wrong shape or dtype, or another size than the frames before; a time stamp that is no finite
            number or goes back.
        """
        tracked = self.track(image, timestamp)
        return self.measure(tracked, self.describe(image, tracked))

    def track(self, image: Array, timestamp: float) -> TrackedFaces:
        """Step 1, which needs the frames before: follow the faces; arguments and errors of `process_frame`."""
        seconds, camera = self._clip.accept(image, timestamp)
        faces = self.tracker.track(image)
        self._frames += 1
        return TrackedFaces(self._frames - 1, seconds, faces, camera)

    def describe(self, image: Array, tracked: TrackedFaces) -> list[Any]:
        """Step 2, which needs the image and no other frame: what the AUs of each face follow from."""
        return [self._aus.describe(image, face.state) for face in tracked.faces]

    def measure(self, tracked: TrackedFaces, described: list[Any]) -> list[FrameResult]:
        """Step 3, which needs the frames before but no image: AUs, pose and gaze."""
        followed = {face.stretch for face in tracked.faces}
        for number in self._open - followed:
            self._stretches[number].end()
        self._open = followed
        return [
            self._measure(tracked, face, found) for face, found in zip(tracked.faces, described, strict=True)
        ]  # fmt: skip

    def _measure(self, tracked: TrackedFaces, face: FollowedFace, described: Any) -> FrameResult:
        if face.stretch not in self._stretches:
            self._stretches[face.stretch] = Stretch(face.face_id, self._aus.begin())
        stretch = self._stretches[face.stretch]
        intensity, presence = stretch.take(tracked.index, face.state, described, tracked.timestamp)
        return self._results.of_frame(
            face.state, tracked.camera, face.state.detection_success, index=tracked.index, timestamp=tracked.timestamp,
            au_intensity=intensity, au_presence=presence, face_id=face.face_id,
        )  # fmt: skip

    def without_face(self, *, index: int, timestamp: float, camera: Camera) -> FrameResult:
        """The result that a clip of one face gives for a frame while no face was found yet; changes nothing.

        Parameters
        ----------
        index, timestamp : of the frame, from 0, and in seconds.
        """
        return self._results.of_frame(
            self.tracker.initial(), camera, False, index=index, timestamp=timestamp,
            au_intensity=np.zeros(len(INTENSITY_AUS)), au_presence=np.zeros(len(PRESENCE_AUS)),
        )  # fmt: skip

    def finish(self) -> list[FaceStretch]:
        """All stretches so far in the order in which they began, with their persons; may be called again.

        A stretch in which the landmarker believed its landmarks only in the middle is in parts (`FaceStretch`).
        """
        stretches = [self._stretches[number] for number in sorted(self._stretches)]
        persons = person_ids([stretch.appearance for stretch in stretches], self._variances)
        return [part for stretch, person in zip(stretches, persons, strict=True) for part in stretch.parts(person)]

    def close(self) -> None:
        """Nothing is held but memory."""
