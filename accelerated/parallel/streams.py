"""One clip over several threads: while a frame is measured, the next one is tracked, and the caller writes the last.

Tracking needs the frame before, and so do medians and AUs, but they do not depend on each other: with kernels that
release the interpreter lock they run at the same time, and the numbers are those of one thread, bit for bit. The caller
is the third stage: results are handed out in the thread that asks for them, as soon as they are there. Where the
process may use one core alone, everything is done in the caller's thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import Any, Generic, Protocol, TypeVar

from auparity.accelerated.hardware import usable_cores
from auparity.media import Frame, Image
from auparity.reference.results import FrameResult
from auparity.reference.video_pipeline import ClipSession

#: Frames that may wait between two threads. More would not help if the same stage is always the slowest.
WAITING = 2
#: The same for sources that do not wait: what is tracked next should be the newest frame.
WAITING_LIVE = 1
#: Seconds that a caller who leaves early waits for a frame that is being read or tracked. Nothing needs it any more.
PATIENCE = 2.0


class ImageAtTime(Protocol):
    """A frame, as of `auparity.media.Frame`."""

    @property
    def image(self) -> Image: ...
    @property
    def timestamp(self) -> float: ...


T = TypeVar("T")
F = TypeVar("F", bound=ImageAtTime)
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Session(Protocol[R_co]):
    """What `ClipSession` and `FacesSession` have in common."""

    def process_frame(self, image: Image, timestamp: float) -> R_co: ...
    def track(self, image: Image, timestamp: float) -> Any: ...
    def describe(self, image: Image, tracked: Any) -> Any: ...
    def measure(self, tracked: Any, described: Any) -> R_co: ...


def process_frames(session: ClipSession, frames: Iterable[Frame]) -> Generator[FrameResult]:
    """Results of the frames of one clip, in order; `session.finish()` may be called after the last.

    `frames` is iterated in another thread, a few frames ahead; images must not be changed before their result is there.
    Who leaves early closes the generator (`contextlib.closing`), which waits for frames that are under way.

    Raises
    ------
    ContractError : as of `ClipSession.process_frame`. An error comes after the results of the frames before it, also
        one of `frames`.
    """
    with closing(results_of(session, frames)) as results:
        for _, result in results:
            yield result


def results_of(
    session: Session[R], frames: Iterable[F], *, overlap: bool = True, waiting: int = WAITING
) -> Generator[tuple[F, R]]:
    """Each frame with its result, see `process_frames`, of a session for one face or several.

    Parameters
    ----------
    overlap : whether threads may be used; False where other work of this process takes the cores.
    waiting : frames that may wait between two threads; a frame is taken from `frames` when there is room for it.
    """
    if not overlap or usable_cores() < 2:
        for frame in frames:
            yield frame, session.process_frame(frame.image, frame.timestamp)
        return
    tracked: _Belt[tuple[F, Any]] = _Belt(waiting)
    measured: _Belt[tuple[F, R]] = _Belt(waiting)
    # Daemons, because a decoder that hangs must not keep the program from ending.
    tracking = threading.Thread(
        target=_track, args=(session, frames, tracked), name="auparity-tracking", daemon=True
    )  # fmt: skip
    measuring = threading.Thread(
        target=_measure, args=(session, tracked, measured), name="auparity-measuring", daemon=True
    )  # fmt: skip
    tracking.start()
    measuring.start()
    try:
        yield from measured
    finally:
        tracked.leave()
        measured.leave()
        measuring.join()  # it changes what `finish` reads
        tracking.join(PATIENCE)


def _track(session: Session[R], frames: Iterable[F], tracked: _Belt[tuple[F, Any]]) -> None:
    error = None
    try:
        rest = iter(frames)
        while tracked.has_room() and (frame := next(rest, None)) is not None:
            tracked.put((frame, session.track(frame.image, frame.timestamp)))
    except BaseException as problem:  # raised again where the results are
        error = problem
    tracked.end(error)


def _measure(session: Session[R], tracked: _Belt[tuple[F, Any]], measured: _Belt[tuple[F, R]]) -> None:
    error = None
    try:
        for frame, found in tracked:
            result = session.measure(found, session.describe(frame.image, found))
            if not measured.has_room():
                break
            measured.put((frame, result))
    except BaseException as problem:  # raised again where the results are
        error = problem
    tracked.leave()
    measured.end(error)


class _Belt(Generic[T]):
    """Carries items from one thread to another, in order, a few at a time.

    Parameters
    ----------
    most : items that may wait.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._items: deque[T] = deque()
        self._error: BaseException | None = None
        self._ended = self._left = False
        self._changed = threading.Condition()

    def has_room(self) -> bool:
        """Wait until an item may be put; False as soon as nobody takes any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._left or len(self._items) < self._most)
            return not self._left

    def put(self, item: T) -> None:
        with self._changed:
            self._items.append(item)
            self._changed.notify_all()

    def end(self, error: BaseException | None) -> None:
        """No more items come; an error is raised behind the last."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def leave(self) -> None:
        """Nothing more is taken."""
        with self._changed:
            self._left = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._ended or self._left)
                if not self._items:
                    break
                item = self._items.popleft()
                self._changed.notify_all()
            yield item
        if self._error is not None and not self._left:
            raise self._error
