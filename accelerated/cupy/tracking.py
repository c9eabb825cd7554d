"""Landmark tracking of many videos at once (reference/tracking.py; spec 50.10): a frame of each goes in together.

A stream's state lies on the device; the host keeps its counters and gets one flag a frame, by which it decides, stream
by stream as the reference does, whether the face has to be looked for. That is rare; then only those streams take part
in it. Streams of one batch have frames of one size. Nothing here has run on a GPU yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.hypotheses import refuse_unfinite
from auparity.accelerated.cupy.landmarker import Frames, LandmarkerBatch
from auparity.accelerated.cupy.landmarks import FacesBatch, put, take
from auparity.reference.detection import Detections, Face, select_face
from auparity.reference.face_choice import FaceChoice, box_around
from auparity.reference.face_states import FaceState
from auparity.reference.tracking import MAX_FAILURES, REINIT_EVERY, REINIT_FACTOR

Array = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]

#: Images (S, H, W, 3) uint8 of the device and which of them to look at, to the faces of each of these.
Locate = Callable[[Any, Sequence[int]], list[Detections]]


class TrackerBatch:
    """The video state machines of `streams` streams; each may begin and end when it likes (`reset`)."""

    def __init__(
        self, landmarker: LandmarkerBatch, locate: Locate, streams: int, reinit_every: int = REINIT_EVERY
    ) -> None:
        self._landmarker, self._locate, self._reinit_every = landmarker, locate, reinit_every
        self.faces: FacesBatch = landmarker.initial(streams)
        self.tracking_initialised = np.zeros(streams, np.bool_)
        self.failures_in_a_row = np.full(streams, -1)
        self.detection_success = np.zeros(streams, np.bool_)  #: the model's own flag, as it is on the device
        self._choices: list[FaceChoice | None] = [None] * streams
        self._last_seen: list[Array | None] = [None] * streams  # (4,) x, y, w, h px, of a choice alone

    def of(self, streams: Indices) -> FacesBatch:
        """The faces of some streams."""
        return self.faces if self._is_all(streams) else take(self.faces, self._upload(streams))

    def _store(self, streams: Indices, found: FacesBatch) -> None:
        self.faces = found if self._is_all(streams) else put(self.faces, self._upload(streams), found)

    def _is_all(self, streams: Indices) -> bool:
        """Whether these are all streams in order, which needs no gathering."""
        return len(streams) == len(self.detection_success) and bool((np.diff(streams) == 1).all())

    def reset(self, stream: int, choice: FaceChoice | None = None) -> None:
        """Begin another clip; `choice` says which face is followed, None for the widest (as of `VideoTracker`)."""
        rows = self._upload(np.array([stream]))
        self.faces = put(self.faces, rows, self._landmarker.initial(1))
        self.tracking_initialised[stream] = self.detection_success[stream] = False
        self.failures_in_a_row[stream] = -1
        self._choices[stream], self._last_seen[stream] = choice, None

    def track(self, images: Any, gray: Any, streams: Sequence[int] | Indices) -> Flags:
        """Follow the faces into the next frame.

        Parameters
        ----------
        images, gray : (K, H, W, 3) and (K, H, W) uint8 on the device, one for each of `streams`.
        streams : numbers of the streams that have a frame, each once.

        Returns
        -------
        (K,) "returned success" (the CSV's success column); `detection_success` are the models' own flags.

        Raises
        ------
        ContractError : a fit left the numbers (response maps of no value).
        """
        places, seen = np.asarray(streams, np.int64), Frames(images, gray)
        was_initialised = self.tracking_initialised[places].copy()
        self._follow(seen, np.flatnonzero(was_initialised), places)
        returned = self.detection_success[places].copy()
        boxes = self._new_boxes(images, places)
        if boxes:
            anew = np.array(list(boxes))
            returned[anew] = self._detect_anew(seen, anew, places, np.stack(list(boxes.values())), was_initialised)
        for k in set(range(len(places))) - set(boxes):
            stream = places[k]
            if not self.tracking_initialised[stream]:
                self.failures_in_a_row[stream] += 1
            if self.failures_in_a_row[stream] > MAX_FAILURES:
                self.tracking_initialised[stream], self._last_seen[stream] = False, None
        return returned

    def see(self, streams: Indices, returned: Flags, states: Sequence[FaceState]) -> None:
        """Remember where chosen faces are, from the states that came down after `track`, for when they are lost."""
        for stream, success, state in zip(streams, returned, states, strict=True):
            if self._choices[stream] is not None and success and state.detection_success:
                self._last_seen[stream] = box_around(state.landmarks)

    def _new_boxes(self, images: Any, places: Indices) -> dict[int, Array]:
        """By frame, the boxes (4,) px of the faces that streams begin anew from, where they have to look for one."""
        due = [k for k, stream in enumerate(places) if self._detection_is_due(stream)]
        faces = {
            k: self._select(detections, places[k], images.shape[1:])
            for k, detections in zip(due, self._locate(images, due), strict=True)
        }
        return {k: face.box for k, face in faces.items() if face is not None and face.box[2] > 0}

    def _select(self, detections: Detections, stream: int, shape: tuple[int, ...]) -> Face | None:
        choice = self._choices[stream]
        return select_face(detections) if choice is None else choice.select(detections, shape, self._last_seen[stream])

    def _follow(self, seen: Frames, frames: Indices, places: Indices) -> None:
        """Step A: from where faces were."""
        if not len(frames):
            return
        streams = places[frames]
        found = self._landmarker.follow(seen, frames, self.of(streams), self.detection_success[streams])
        success = self._flags_of(found)
        self._store(streams, found)
        self.detection_success[streams] = success
        self.failures_in_a_row[streams] = np.where(success, -1, self.failures_in_a_row[streams] + 1)

    def _detection_is_due(self, stream: int) -> bool:
        every, failures = self._reinit_every, self.failures_in_a_row[stream]
        if not self.tracking_initialised[stream]:
            return bool((failures + 1) % (every * REINIT_FACTOR) == 0)
        return bool(not self.detection_success[stream] and failures % every == 0)

    def _detect_anew(
        self, seen: Frames, frames: Indices, places: Indices, boxes: Array, was_initialised: Flags
    ) -> Flags:  # fmt: skip
        """Step B: from the boxes; a lost face that is not found again keeps its old parameters."""
        xp, device = self._landmarker.device.xp, self._landmarker.device
        streams = places[frames]
        self.tracking_initialised[streams] = True
        before = self.of(streams)
        returned, found = self._landmarker.start(seen, frames, boxes, before, multi_view=True)
        lost = was_initialised[frames] & ~returned
        kept = self._upload(lost)
        # Flag, confidence and parts stay those of the failed attempt (spec 50.10).
        found = replace(
            found,
            params_global=xp.where(kept[:, None], before.params_global, found.params_global),
            params_local=xp.where(kept[:, None], before.params_local, found.params_local),
            landmarks=xp.where(kept[:, None, None], before.landmarks, found.landmarks),
            likelihood=xp.where(kept, before.likelihood, found.likelihood),
        )
        self._store(streams, found)
        self.detection_success[streams] = device.download(found.detection_success) != 0
        # What the attempt returned, not the flag, ends a row of failures.
        self.failures_in_a_row[streams[~lost]] = -1
        return np.where(lost, False, True)

    def _flags_of(self, faces: FacesBatch) -> Flags:
        """Which faces were found: the one question to the device in a frame without surprises."""
        xp, device = self._landmarker.device.xp, self._landmarker.device
        success, finite = device.download(xp.stack([faces.detection_success, faces.finite])) != 0
        refuse_unfinite(finite)
        return np.asarray(success)

    def _upload(self, array: Array) -> Any:
        return self._landmarker.device.upload(array)
