"""One BLAS thread while auparity computes: our matrices are small, and several threads cost more than they gain.

On a busy machine the threads of OpenBLAS wait for each other, up to 30 s in a first frame; processes are the
parallelism here (docs/parallel.md). The number of threads belongs to the whole process, so it is changed only while a
call runs: the first call that begins sets it to one, and the last one that ends restores it, however many threads of
the caller are in calls. Measured with the BLAS libraries of NumPy and OpenCV both loaded: 40 microseconds for the
outermost call, 2 for one within it. `auparity extract` sets it once for the whole run.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from auparity.reference.analysis import Descriptors
from auparity.reference.head_pose import Camera
from auparity.reference.many_sessions import ManyFacesSession
from auparity.reference.pipeline import VideoSession
from auparity.reference.results import FrameResult, OfflineAUs
from auparity.reference.stretches import FaceStretch
from auparity.reference.video_pipeline import TrackedFaces, TrackedFrame

Array = npt.NDArray[Any]
P = ParamSpec("P")
R = TypeVar("R")


class _Limit:
    """Counts the running calls, and holds the numbers of threads to restore."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._libraries: list[Any] = []
        self._before: list[tuple[Any, int]] = []

    def find_libraries(self) -> None:
        """Look for the BLAS libraries that are loaded; this takes milliseconds, so once for each pipeline."""
        controllers = ThreadpoolController().select(user_api="blas").lib_controllers
        with self._lock:
            self._libraries = list(controllers)

    def begin(self) -> None:
        with self._lock:
            self._running += 1
            if self._running == 1:
                threads = [(library, library.get_num_threads()) for library in self._libraries]
                self._before = [(library, number) for library, number in threads if number != 1]
                for library, _ in self._before:
                    library.set_num_threads(1)

    def end(self) -> None:
        with self._lock:
            self._running -= 1
            if self._running == 0:
                for library, number in self._before:
                    library.set_num_threads(number)
                self._before = []


_limit = _Limit()


def _after_fork() -> None:
    """Reset in a forked process, which has none of the running calls."""
    global _limit
    _limit = _Limit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def find_libraries() -> None:
    """Look for the BLAS libraries that are loaded by now; `one_blas_thread` limits these."""
    _limit.find_libraries()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Within, BLAS computes in one thread in all of this process; see the module's first paragraph."""
    limit = _limit
    limit.begin()
    try:
        yield
    finally:
        limit.end()


def in_one_thread(function: Callable[P, R]) -> Callable[P, R]:
    """A function that runs within `one_blas_thread`."""

    @functools.wraps(function)
    def limited(*arguments: P.args, **options: P.kwargs) -> R:
        limit = _limit
        limit.begin()
        try:
            return function(*arguments, **options)
        finally:
            limit.end()

    return limited


class OneThreadSession:
    """A clip whose every step computes with one BLAS thread; see `reference.pipeline.VideoSession` for its methods."""

    def __init__(self, session: VideoSession) -> None:
        self.session = session

    @in_one_thread
    def process_frame(self, image: Array, timestamp: float) -> FrameResult:
        return self.session.process_frame(image, timestamp)

    @in_one_thread
    def track(self, image: Array, timestamp: float) -> TrackedFrame:
        return self.session.track(image, timestamp)

    @in_one_thread
    def describe(self, image: Array, tracked: TrackedFrame) -> Descriptors:
        return self.session.describe(image, tracked)

    @in_one_thread
    def measure(self, tracked: TrackedFrame, described: Descriptors) -> FrameResult:
        return self.session.measure(tracked, described)

    @in_one_thread
    def finish(self) -> OfflineAUs:
        return self.session.finish()

    def close(self) -> None:
        self.session.close()


class OneThreadFacesSession:
    """A clip of several people in the same way; see `reference.many_sessions.ManyFacesSession` for its methods."""

    def __init__(self, session: ManyFacesSession) -> None:
        self.session = session

    @in_one_thread
    def process_frame(self, image: Array, timestamp: float) -> list[FrameResult]:
        return self.session.process_frame(image, timestamp)

    @in_one_thread
    def track(self, image: Array, timestamp: float) -> TrackedFaces:
        return self.session.track(image, timestamp)

    @in_one_thread
    def describe(self, image: Array, tracked: TrackedFaces) -> list[Any]:
        return self.session.describe(image, tracked)

    @in_one_thread
    def measure(self, tracked: TrackedFaces, described: list[Any]) -> list[FrameResult]:
        return self.session.measure(tracked, described)

    @in_one_thread
    def without_face(self, *, index: int, timestamp: float, camera: Camera) -> FrameResult:
        return self.session.without_face(index=index, timestamp=timestamp, camera=camera)

    @in_one_thread
    def finish(self) -> list[FaceStretch]:
        return self.session.finish()

    def close(self) -> None:
        self.session.close()
