"""Fits that do not depend on each other, in threads: head orientations of a new face, and the faces of one frame.

Compiled kernels release the interpreter lock, and a fit is mostly kernels, so two fits on two cores take little longer
than one. Each fit is computed as it would be alone: the numbers are the same, bit for bit. The threads are one pool of
the process, as many as cores may be used, and wait for work that any pipeline has. Where cores are taken by other
work, because a process is one of several (`in_one_thread`), tasks are done in the caller's thread.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from auparity.accelerated.hardware import usable_cores
from auparity.reference.side_by_side import ONE_AFTER_THE_OTHER

T = TypeVar("T")

#: More would not help: a new face has eleven head orientations, and most pictures few faces.
MOST = 8

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_alone = False


def in_one_thread() -> None:
    """From now on this process does everything one after the other: others use the remaining cores."""
    global _alone
    _alone = True


class Threads:
    """A `SideBySide` on the threads of this process."""

    @property
    def at_once(self) -> int:
        return 1 if _alone else min(usable_cores(), MOST)

    def __call__(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        if len(tasks) < 2 or self.at_once < 2:
            return ONE_AFTER_THE_OTHER(tasks)
        return list(_threads(self.at_once).map(_result, tasks))


def _result(task: Callable[[], T]) -> T:
    return task()


def _threads(count: int) -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(count, "auparity-fits")
        return _pool


def _forget() -> None:
    """A forked process has none of its parent's threads."""
    global _lock, _pool
    _lock, _pool = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
