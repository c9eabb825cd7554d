"""A lock between processes, held by the operating system: it ends with the process that holds it, in whatever way.

pyfaceau, pyclnf and pymtcnn lock the cache that we share with them in the same way: `flock` of the whole file, on
Windows a lock of its first byte. The file itself is kept, because deleting it would let two processes lock two files of
one name. Recent versions of the package `filelock` delete theirs, so it is not used here.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from auparity.errors import AuparityError

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
    AuparityError : the file cannot be made, or another process holds the lock for longer than `patience`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
    except OSError as error:
        raise AuparityError(f"{path.parent} cannot be written to: {error}. Name another folder.") from error
    with file:
        deadline, reported = time.monotonic() + patience, False
        while not _taken(file):
            if not reported:
                waiting()
                reported = True
            if time.monotonic() >= deadline:
                raise AuparityError(
                    f"Another process is writing to {path.parent} and holds {path.name}. Try again when it has ended."
                )
            time.sleep(POLL)
        try:
            yield
        finally:
            _release(file)


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
