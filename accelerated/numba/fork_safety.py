"""What a forked process must not inherit: locks that threads of its parent held, which nobody would ever release.

LLVM, Numba and the import of modules have such locks, and are held for seconds while a kernel is compiled. All our work
with them is done under one lock, for which a fork waits. It waits for a limited time only, because a thread that works
with LLVM may itself wait for the one that forks.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

#: Seconds that a fork waits for a kernel that is being compiled, which takes up to 10 s of a core.
FORK_PATIENCE = 60.0


class _Locked(Protocol):
    def forget_locks(self) -> None:
        """Replace locks of threads that are not in this process."""


_llvm = threading.RLock()
_held = threading.local()
_locked: weakref.WeakSet[_Locked] = weakref.WeakSet()


@contextmanager
def using_llvm() -> Iterator[None]:
    """Within, this thread alone works with LLVM and Numba, and no process is forked."""
    with _llvm:
        yield


def forget_after_fork(holder: _Locked) -> None:
    """Call `forget_locks` of an object, as long as it lives, in every process that is forked from this one."""
    _locked.add(holder)


def _before() -> None:
    _held.taken = _llvm.acquire(timeout=FORK_PATIENCE)


def _in_parent() -> None:
    if _held.taken:
        _llvm.release()


def _in_child() -> None:
    global _llvm
    _llvm = threading.RLock()
    for each in _locked:
        each.forget_locks()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
