"""A clip of several people going through a pipeline (spec 85): slots that follow faces, and the AUs of each face.

Every face of a frame has a `FrameResult`. How their AUs are computed is said in face_aus.py, what a stretch is in
stretches.py, and who the faces of different stretches are in persons.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.types import PDM
from auparity.reference.clip_frames import ClipFrames
from auparity.reference.face_aus import FaceAUs
from auparity.reference.face_results import FaceResults
from auparity.reference.face_states import FaceState
from auparity.reference.head_pose import Camera
from auparity.reference.many_faces import FollowedFace, SlotTracker
from auparity.reference.persons import person_ids
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS, FrameResult
from auparity.reference.stretches import FaceStretch, Stretch, StretchAUs
from auparity.reference.video_pipeline import TrackedFaces

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]


class FacesRecord:
    """What has been measured of the faces of one clip: results frame by frame, and the stretches that they make up.

    Parameters
    ----------
    begin : begins the AUs of a stretch.
    initial : gives the state of a face that was never seen.
    results : makes results of what was found.
    shape : the shape model of the landmarker.
    """

    def __init__(
        self, begin: Callable[[], StretchAUs], initial: Callable[[], FaceState], results: FaceResults, shape: PDM
    ) -> None:
        self._begin, self._initial, self._results = begin, initial, results
        self._variances = np.ravel(shape.eigenvalues).astype(np.float64)
        self._stretches: dict[int, Stretch] = {}  # all of them, by number
        self._open: set[int] = set()

    def measure(self, tracked: TrackedFaces, described: list[Any]) -> list[FrameResult]:
        """Step 3, which needs the frames before but no image: AUs, pose and gaze."""
        self._keep_open({face.stretch for face in tracked.faces})
        return [
            self._measure(tracked, face, found) for face, found in zip(tracked.faces, described, strict=True)
        ]  # fmt: skip

    def end_stretches(self) -> None:
        """End those that go on: their AUs give back what they hold, and no frame may follow."""
        self._keep_open(set())

    def _keep_open(self, followed: set[int]) -> None:
        for number in self._open - followed:
            self._stretches[number].end()
        self._open = followed

    def _measure(self, tracked: TrackedFaces, face: FollowedFace, described: Any) -> FrameResult:
        if face.stretch not in self._stretches:
            self._stretches[face.stretch] = Stretch(face.face_id, self._begin())
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
            self._initial(), camera, False, index=index, timestamp=timestamp,
            au_intensity=np.zeros(len(INTENSITY_AUS)), au_presence=np.zeros(len(PRESENCE_AUS)),
        )  # fmt: skip

    def finish(self) -> list[FaceStretch]:
        """All stretches so far in the order in which they began, with their persons; may be called again.

        A stretch in which the landmarker believed its landmarks only in the middle is in parts (`FaceStretch`).
        """
        stretches = [self._stretches[number] for number in sorted(self._stretches)]
        persons = person_ids([stretch.appearance for stretch in stretches], self._variances)
        return [part for stretch, person in zip(stretches, persons, strict=True) for part in stretch.parts(person)]


class ManyFacesSession(FacesRecord):
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
        super().__init__(aus.begin, tracker.initial, results, shape)
        self.tracker, self._aus = tracker, aus
        self._clip = ClipFrames(camera)
        self._frames = 0

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
        return self._aus.describe(image, [face.state for face in tracked.faces])

    def close(self) -> None:
        """Nothing is held but memory."""
