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

from auparity.accelerated.cupy.hypotheses import detect_in_boxes, refuse_unfinite
from auparity.accelerated.cupy.landmarks import DetectorBatch, FacesBatch, put, take
from auparity.reference.tracking import MAX_FAILURES, REINIT_EVERY, REINIT_FACTOR

Array = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]

#: Images (S, H, W, 3) uint8 of the device and which of them to look at, to a box (4,) x, y, w, h px or None for each.
FacesFinder = Callable[[Any, Sequence[int]], list[Array | None]]


class TrackerBatch:
    """The video state machines of `streams` streams; each may begin and end when it likes (`reset`)."""

    def __init__(
        self, detector: DetectorBatch, find_faces: FacesFinder, streams: int, reinit_every: int = REINIT_EVERY
    ) -> None:
        self._detector, self._find_faces, self._reinit_every = detector, find_faces, reinit_every
        self.faces: FacesBatch = detector.initial(streams)
        self.tracking_initialised = np.zeros(streams, np.bool_)
        self.failures_in_a_row = np.full(streams, -1)
        self.detection_success = np.zeros(streams, np.bool_)  #: the model's own flag, as it is on the device

    def of(self, streams: Indices) -> FacesBatch:
        """The faces of some streams."""
        return self.faces if self._is_all(streams) else take(self.faces, self._upload(streams))

    def _store(self, streams: Indices, found: FacesBatch) -> None:
        self.faces = found if self._is_all(streams) else put(self.faces, self._upload(streams), found)

    def _is_all(self, streams: Indices) -> bool:
        """Whether these are all streams in order, which needs no gathering."""
        return len(streams) == len(self.detection_success) and bool((np.diff(streams) == 1).all())

    def reset(self, stream: int) -> None:
        """Begin another clip."""
        rows = self._upload(np.array([stream]))
        self.faces = put(self.faces, rows, self._detector.initial(1))
        self.tracking_initialised[stream] = self.detection_success[stream] = False
        self.failures_in_a_row[stream] = -1

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
        places = np.asarray(streams, np.int64)
        was_initialised = self.tracking_initialised[places].copy()
        self._follow(gray, np.flatnonzero(was_initialised), places)
        returned = self.detection_success[places].copy()
        due = np.array([self._detection_is_due(stream) for stream in places], np.bool_)
        boxes = self._find_faces(images, list(np.flatnonzero(due))) if due.any() else []
        found = [(int(k), box) for k, box in zip(np.flatnonzero(due), boxes, strict=True) if _is_box(box)]
        if found:
            anew = np.array([k for k, _ in found])
            returned[anew] = self._detect_anew(
                gray, anew, places, np.stack([box for _, box in found if box is not None]), was_initialised
            )
        for k in set(range(len(places))) - {k for k, _ in found}:
            stream = places[k]
            if not self.tracking_initialised[stream]:
                self.failures_in_a_row[stream] += 1
            if self.failures_in_a_row[stream] > MAX_FAILURES:
                self.tracking_initialised[stream] = False
        return returned

    def _follow(self, gray: Any, frames: Indices, places: Indices) -> None:
        """Step A: fit from where faces were, in small windows after a success and in large ones after a failure."""
        parameters = self._detector.parameters
        succeeded = self.detection_success[places[frames]]
        for windows, group in ((parameters.track_windows, succeeded), (parameters.init_windows, ~succeeded)):
            if not group.any():
                continue
            own = frames[group]
            found = self._detector.detect(gray, self._upload(own.astype(np.int32)), self.of(places[own]), windows)
            success = self._flags_of(found)
            self._store(places[own], found)
            self.detection_success[places[own]] = success
            before = self.failures_in_a_row[places[own]]
            self.failures_in_a_row[places[own]] = np.where(success, -1, before + 1)

    def _detection_is_due(self, stream: int) -> bool:
        every, failures = self._reinit_every, self.failures_in_a_row[stream]
        if not self.tracking_initialised[stream]:
            return bool((failures + 1) % (every * REINIT_FACTOR) == 0)
        return bool(not self.detection_success[stream] and failures % every == 0)

    def _detect_anew(
        self, gray: Any, frames: Indices, places: Indices, boxes: Array, was_initialised: Flags
    ) -> Flags:  # fmt: skip
        """Step B: fit all hypotheses in the boxes; a lost face that is not found again keeps its old parameters."""
        xp, device = self._detector.device.xp, self._detector.device
        streams = places[frames]
        self.tracking_initialised[streams] = True
        before = self.of(streams)
        likelihood = [float(value) for value in device.download(before.likelihood)]
        returned, found = detect_in_boxes(self._detector, gray, list(frames), boxes, likelihood, multi_view=True)
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
        xp, device = self._detector.device.xp, self._detector.device
        success, finite = device.download(xp.stack([faces.detection_success, faces.finite])) != 0
        refuse_unfinite(finite)
        return np.asarray(success)

    def _upload(self, array: Array) -> Any:
        return self._detector.device.upload(array)


def _is_box(box: Array | None) -> bool:
    return box is not None and box[2] > 0
