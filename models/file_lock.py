"""A lock between processes, held by the operating system: it ends with the process that holds it, in whatever way.

pyfaceau, pyclnf and pymtcnn lock the cache that we share with them in the same way: `flock` of the whole file, on
Windows a lock of its first byte. The file itself is kept, because deleting it would let two processes lock two files of
one name, unless both look whether it is still there, as `take` does and those packages do not. Recent versions of the
package `filelock` delete theirs, so it is not used here.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from auparity.errors import AuparityError, LockHeld

POLL = 0.2  # s between attempts
PATIENCE = 15 * 60.0  # s to wait for another process, as in the packages above


@contextmanager
def locked(path: Path, *, patience: float = PATIENCE, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock of the file `path`, which is created if it does not exist.

    Parameters
    ----------
    patience : seconds to wait for a process that holds it.
    waiting : called once if another process holds the lock.

    Raises
    ------
    LockHeld : another process holds the lock for longer than `patience`.
    AuparityError : the file cannot be made, or its file system has no locks.
    """
    deadline, reported = time.monotonic() + patience, False
    while True:
        try:
            file = take(path)
            break
        except LockHeld:
            if not reported:
                waiting()
                reported = True
            if time.monotonic() >= deadline:
                raise
            time.sleep(POLL)
    with file:
        try:
            yield
        finally:
            _release(file)


def take(path: Path) -> IO[bytes]:
    """The file `path`, created if it does not exist, and locked until the last process that has it from here closes it.

    Raises
    ------
    LockHeld : another process holds the lock.
    AuparityError : the file cannot be made, or its file system has no locks.
    """
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a+b")
        except OSError as error:
            raise AuparityError(f"{path.parent} cannot be written to: {error}. Name another folder.") from error
        try:
            if not _taken(file):
                raise LockHeld(
                    f"Another process is writing to {path.parent} and holds {path.name}. Try again when it has ended."
                )
            if _is_still(path, file):
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # whoever held it has deleted it


def _is_still(path: Path, file: IO[bytes]) -> bool:
    """Whether a file has its name still: two processes must not lock two files of one name."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _taken(file: IO[bytes]) -> bool:
        file.seek(0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _release(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _taken(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise AuparityError(
                f"{file.name}: this file system has no locks ({error}). Name another folder."
            ) from error
        return True

    def _release(file: IO[bytes]) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_UN)
