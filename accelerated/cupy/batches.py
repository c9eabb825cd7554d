"""Clips of one frame size on a device, a row each; frames of different sessions meet here and go as one batch.

A frame waits until every row that is taken has one, or for `PATIENCE` at most, and the thread that sees this takes the
batch through the device while the others sleep; so a slow decoder holds nobody up, and one session alone waits for
nothing. A row is handed on when its session ends. What is done with the frames is the `Work` of the batch: of clips of
one face (one_face.py), or of several (many_faces.py).
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.grayscale import to_gray
from auparity.accelerated.cupy.models import DeviceModels
from auparity.accelerated.cupy.upload import FrameUploader, Uploaded

Array = npt.NDArray[Any]
Indices = npt.NDArray[np.int64]
Shape = tuple[int, ...]

PATIENCE = 0.004  #: seconds that a frame waits for those of other sessions


@dataclass(eq=False)
class _Waiting:
    """A frame on its way."""

    row: int
    image: Array
    done: bool = False
    measured: Any = None
    error: BaseException | None = None


class Work(Protocol):
    """What is done with the frames of the clips of one batch. Clips have numbers, rows."""

    def begin(self, row: int, clip: Any) -> None:
        """Begin a clip in a row, with what it is begun with."""

    def end(self, row: int) -> None:
        """Forget a clip; from any thread, at any moment, also that of a garbage collector."""

    def run(self, rows: Indices, images: Any, gray: Any) -> Sequence[Any]:
        """What came down for the next frame of each of some clips: images (K, H, W, 3) and (K, H, W) uint8."""


W = TypeVar("W", bound=Work)


class Batch(Generic[W]):
    """Clips of one frame size, a row each.

    Parameters
    ----------
    shape : of the frames. rows : how many clips.
    work : what is done with their frames; called within the lock of the models.
    """

    def __init__(self, models: DeviceModels, shape: Shape, rows: int, work: Callable[[DeviceModels, int], W]) -> None:
        self.shape, self.rows = shape, rows
        self._models, self._device = models, models.device
        self._free = list(range(rows))  # a heap: the lowest first, so that a full set of streams lies in order
        self._waiting: list[_Waiting] = []
        self._running = False
        self._changed = threading.Condition()
        with models.lock, self._device.active():
            self.work = work(models, rows)
            self._uploader = FrameUploader(self._device, rows, shape)

    def enter(self, clip: Any) -> int | None:
        """A free row, in which a clip begins; None when there is none."""
        with self._changed:
            row = heapq.heappop(self._free) if self._free else None
        if row is not None:
            with self._models.lock, self._device.active():
                self.work.begin(row, clip)
        return row

    def leave(self, row: int) -> None:
        """Give a row back; frames that waited for its session need not any more."""
        self.work.end(row)
        with self._changed:
            heapq.heappush(self._free, row)
            self._changed.notify_all()

    def submit(self, row: int, image: Array) -> Any:
        """What came down for a frame of a row, which goes up with those of other rows that come meanwhile."""
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
        return own.measured

    def _lead(self, together: list[_Waiting]) -> None:
        error: BaseException | None = None
        measured: Sequence[Any] = []
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

    def run(self, rows: Sequence[int], uploaded: Uploaded) -> Sequence[Any]:
        """A frame of each of some rows through the device."""
        try:
            with self._models.lock, self._device.active():
                images = self._uploader.take(uploaded)
                return self.work.run(np.asarray(rows, np.int64), images, to_gray(self._device, images))
        finally:
            self._uploader.release(uploaded)
