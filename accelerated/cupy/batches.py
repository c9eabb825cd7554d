"""Streams of one frame size on a device, a row each; frames of different sessions meet here and go as one batch.

A frame waits until every row that is taken has one, or for `PATIENCE` at most, and the thread that sees this takes the
batch through the device while the others sleep; so a slow decoder holds nobody up, and one session alone waits for
nothing. A row is handed on when its session ends.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.analysis import AnalysisBatch
from auparity.accelerated.cupy.grayscale import to_gray
from auparity.accelerated.cupy.models import DeviceModels
from auparity.accelerated.cupy.readback import read_back
from auparity.accelerated.cupy.tracking import TrackerBatch
from auparity.accelerated.cupy.upload import FrameUploader, Uploaded
from auparity.reference.face_states import FaceState

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

PATIENCE = 0.004  #: seconds that a frame waits for those of other sessions


@dataclass(eq=False)
class _Waiting:
    """A frame on its way."""

    row: int
    image: Array
    done: bool = False
    measured: Measured | None = None
    error: BaseException | None = None


@dataclass(frozen=True, eq=False)
class Measured:
    """What came down for one frame."""

    state: FaceState
    success: bool  #: what the tracker returned
    values: Array  #: (35,) as predicted
    plain: Array  #: (35,) without medians


class Batch:
    """Streams of one frame size, a row each."""

    def __init__(self, models: DeviceModels, shape: Shape, rows: int) -> None:
        self.shape, self.rows = shape, rows
        self._models, self._device = models, models.device
        self._free = list(range(rows))  # a heap: the lowest first, so that a full set of streams lies in order
        self._waiting: list[_Waiting] = []
        self._running = False
        self._changed = threading.Condition()
        with models.lock, self._device.active():
            self._tracker = TrackerBatch(models.landmarker, models.find_faces, rows, models.options.reinit_every)
            self._analysis = AnalysisBatch(self._device, models.bundle.video_aus, rows)
            self._uploader = FrameUploader(self._device, rows, shape)

    def enter(self) -> int | None:
        """A free row, as of a clip that has not begun; None when there is none."""
        with self._changed:
            row = heapq.heappop(self._free) if self._free else None
        if row is not None:
            with self._models.lock, self._device.active():
                self._tracker.reset(row)
                self._analysis.reset(row)
        return row

    def leave(self, row: int) -> None:
        """Give a row back; frames that waited for its session need not any more."""
        with self._changed:
            heapq.heappush(self._free, row)
            self._changed.notify_all()

    def submit(self, row: int, image: Array) -> Measured:
        """A frame of a row, with those of other rows that come meanwhile."""
        own = _Waiting(row, image)
        deadline = time.monotonic() + PATIENCE
        with self._changed:
            self._waiting.append(own)
            self._changed.notify_all()
            while not own.done:
                left = deadline - time.monotonic()
                if not self._running and (len(self._waiting) >= self.rows - len(self._free) or left <= 0):
                    together, self._waiting, self._running = self._waiting, [], True
                    break
                self._changed.wait(None if self._running else left)
            else:
                together = []
        if together:
            self._lead(together)
        if own.error is not None:
            raise own.error
        assert own.measured is not None
        return own.measured

    def _lead(self, together: list[_Waiting]) -> None:
        error: BaseException | None = None
        measured: list[Measured] = []
        try:
            sent = self.send([each.image for each in together])
            measured = self.run([each.row for each in together], sent)
        except BaseException as caught:  # an interrupt too: whoever waits must learn of it
            error = caught
        with self._changed:
            for k, each in enumerate(together):
                each.measured = None if error else measured[k]
                each.error, each.done = error, True
            self._running = False
            self._changed.notify_all()

    def send(self, images: Sequence[Array]) -> Uploaded:
        """Frames on their way up, for `run`; from any thread."""
        return self._uploader.begin(images)

    def run(self, rows: Sequence[int], uploaded: Uploaded) -> list[Measured]:
        """A frame of each of some rows through the device."""
        try:
            with self._models.lock, self._device.active():
                return self._run(np.asarray(rows, np.int64), self._uploader.take(uploaded))
        finally:
            self._uploader.release(uploaded)

    def _run(self, places: Array, images: Any) -> list[Measured]:
        device, eyes = self._device, self._models.results.eyes
        returned = self._tracker.track(images, to_gray(device, images), places)
        faces = self._tracker.of(places)
        streams = device.upload(places.astype(np.int32))
        values, plain = self._analysis(images, faces.landmarks, faces.detection_success, streams)
        states, numbers = read_back(device, faces, eyes, values, plain)
        split = numbers.shape[1] // 2
        return [
            Measured(state, bool(success), line[:split].copy(), line[split:].copy())
            for state, success, line in zip(states, returned, numbers, strict=True)
        ]

    def final_medians(self, row: int) -> Array:
        """Of the stream in a row."""
        with self._models.lock, self._device.active():
            return self._analysis.final_medians(row)
