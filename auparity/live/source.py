"""The newest frame of a running source: one slot, into which a thread reads and out of which another one measures.

A camera does not wait. A frame that arrives while the one before it is still in the slot replaces it, and the replaced
frame counts as dropped; so the frame that is measured next is always the newest one, and memory stays bounded. Every
frame that arrives is therefore measured, dropped, or the one in the slot.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from auparity.errors import VideoError
from auparity.media import ASSUMED_FPS, Frame, FrameSource, Image


@dataclass(frozen=True, eq=False)
class LiveFrame:
    """A frame as it arrived."""

    image: Image  #: (H, W, 3) uint8 BGR
    timestamp: float  #: seconds since the first frame of the source
    arrived: float  #: seconds of the clock of `feed`, when the frame had been read


@dataclass(frozen=True)
class Counts:
    """What became of the frames so far."""

    received: int
    dropped: int  #: replaced by a newer one before they could be measured


class NewestFrame:
    """A slot for one frame, safe between threads: `put` replaces what is in it, `take` empties it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frame: LiveFrame | None = None
        self._ended = False
        self._received = self._dropped = 0
        #: Why the source gives no more frames; None while it runs, and where it simply ended.
        self.error: Exception | None = None
        #: What the frames are read from, for its notes about damage; None before the first frame.
        self.source: FrameSource | None = None

    @property
    def counts(self) -> Counts:
        with self._changed:
            return Counts(self._received, self._dropped)

    @property
    def finished(self) -> bool:
        """Whether no frame is left and none will come."""
        with self._changed:
            return self._ended and self._frame is None

    def put(self, frame: LiveFrame) -> None:
        """Offer a frame; one that still waits is dropped. After the end, every frame counts as dropped."""
        with self._changed:
            self._received += 1
            if self._ended:
                self._dropped += 1
                return
            self._dropped += self._frame is not None
            self._frame = frame
            self._changed.notify_all()

    def take(self, until: Callable[[], bool] = lambda: False) -> LiveFrame | None:
        """Wait for a frame; None when the source has ended, or as soon as `until` is true (see `wake`)."""
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self._ended or until())
            if until():
                return None
            frame, self._frame = self._frame, None
            return frame

    def wake(self) -> None:
        """Have a waiting `take` ask its `until` again."""
        with self._changed:
            self._changed.notify_all()

    def end(self, error: Exception | None = None) -> None:
        """No more frames will come; the one in the slot can still be taken."""
        with self._changed:
            if not self._ended:
                self._ended, self.error = True, error
            self._changed.notify_all()

    def stop(self) -> None:
        """End at once: the frame in the slot is dropped."""
        self.end()
        with self._changed:
            self._dropped += self._frame is not None
            self._frame = None


def feed(
    slot: NewestFrame,
    source: FrameSource,
    stop: threading.Event,
    *,
    again: Callable[[], FrameSource] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Put the frames of a source into the slot until it ends or fails or `stop` is set; then end the slot.

    Parameters
    ----------
    source : closed here. A camera sets its own pace; the frames of a file are put in when their time stamp has come.
    again : opens the source once more when it has ended, so that a file runs in a loop; time stamps go on increasing.
    clock : gives seconds, for pacing and for `LiveFrame.arrived`.
    """
    error: Exception | None = None
    offset, start = 0.0, clock()
    try:
        while True:
            last, slot.source = offset, source
            try:
                for timestamp, image in ((offset + frame.timestamp, frame.image) for frame in source):
                    if stop.is_set() or (not source.live and stop.wait(max(0.0, start + timestamp - clock()))):
                        return
                    slot.put(LiveFrame(image, timestamp, clock()))
                    last = timestamp
                rate = source.fps or ASSUMED_FPS
            finally:
                source.close()
            if again is None or stop.is_set():
                return
            offset, source = last + 1 / rate, again()
    except Exception as problem:  # told to whoever measures: a thread has nobody else to tell
        error = problem
    finally:
        slot.end(error)


class RecordedFrames:
    """The frames that are measured while a recording runs, as the `FrameSource` that `extract_clip` reads.

    Ends when `until` is true or the source has ended; raises the `VideoError` of a source that failed, so that its
    table is called incomplete. Time stamps are seconds since the first frame of the recording.
    """

    n_frames: int | None = None
    size_bytes: int | None = None
    fps: float | None = None
    timestamps = "clock"
    live = True

    def __init__(self, slot: NewestFrame, until: Callable[[], bool], *, name: str, path: str, kind: str) -> None:
        self.name, self.path, self.kind = name, path, kind
        self.damaged_frames: list[int] = []
        self._under_way: deque[LiveFrame] = deque()  # taken, and not measured yet
        self._slot, self._until = slot, until
        self._before = slot.counts

    @property
    def problems(self) -> list[str]:
        """Those of the source, also if it was damaged before the recording: its frames are read ahead."""
        return [] if self._slot.source is None else list(self._slot.source.problems)

    @property
    def warnings(self) -> list[str]:
        notes = [] if self._slot.source is None else list(self._slot.source.warnings)
        now = self._slot.counts
        dropped, received = now.dropped - self._before.dropped, now.received - self._before.received
        if not dropped:
            return notes
        return [*notes, f"{dropped} of {received} frames were dropped: they came faster than they could be measured"]

    def measured(self) -> LiveFrame:
        """The frame that was measured, called once for each, in order."""
        return self._under_way.popleft()

    def __iter__(self) -> Iterator[Frame]:
        start: float | None = None
        while (frame := self._slot.take(self._until)) is not None:
            start = frame.timestamp if start is None else start
            self._under_way.append(frame)
            yield Frame(frame.image, frame.timestamp - start)
        if isinstance(self._slot.error, VideoError):
            raise self._slot.error

    def close(self) -> None:
        """Nothing is held open: the source belongs to the thread that reads it."""
