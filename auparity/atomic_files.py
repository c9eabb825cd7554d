"""Files that are written whole or not at all, each by one owner.

A writer works in a temporary file beside the target whose name nobody can guess and which is created exclusively: two
programs that write the same target at the same time never share it, and a link that somebody left under a guessable
name is never followed. The finished file takes the target's name in one step. This module imports nothing else of
auparity but its errors, so that every folder may use it.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from auparity.errors import WriteError

fcntl: Any = None
with suppress(ImportError):  # Windows, where an open file cannot be deleted: that is lock enough for `is_abandoned`
    fcntl = import_module("fcntl")

TEMPORARY = ".tmp"  #: ends the names of files that are not finished
#: Bytes of randomness in a temporary name.
RANDOM_BYTES = 6
#: Errors of file systems that have no locks.
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


def create_beside(target: Path, suffix: str) -> tuple[IO[bytes], Path]:
    """Create ``<target>.<random><suffix>`` exclusively and open it for writing; the caller closes and removes it.

    The file is locked as long as it is open, where the file system can, so that `is_abandoned` can tell it from one
    that a killed program left behind. Its permissions are those of an ordinary new file.

    Raises
    ------
    OSError : the folder does not exist or cannot be written to.
    """
    while True:
        path = target.with_name(f"{target.name}.{secrets.token_hex(RANDOM_BYTES)}{suffix}")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        try:
            file = os.fdopen(os.open(path, flags, 0o666), "w+b")
        except FileExistsError:
            continue
        _lock(file.fileno())
        return file, path


def is_abandoned(path: Path) -> bool:
    """Whether the program that created this temporary file with `create_beside` has ended; False where unknown."""
    if fcntl is None:
        return True  # deleting it fails where it is still open
    try:
        handle = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except OSError:  # gone, a link, or somebody else's
        return False
    try:
        return _lock(handle)
    finally:
        os.close(handle)


def abandoned_beside(target: Path, suffix: str) -> list[Path]:
    """Temporary files of `target` that were left behind by programs which no longer run."""
    length = 2 * RANDOM_BYTES
    abandoned = []
    with suppress(FileNotFoundError):
        for path in target.parent.iterdir():
            inside = path.name.removeprefix(target.name + ".").removesuffix(suffix)
            if path.name != f"{target.name}.{inside}{suffix}" or len(inside) != length:
                continue
            if set(inside) <= set("0123456789abcdef") and is_abandoned(path):
                abandoned.append(path)
    return sorted(abandoned)


@contextmanager
def atomic_file(target: Path, suffix: str = TEMPORARY) -> Iterator[Path]:
    """A temporary file beside `target` to write to: it takes the target's name when the block ends without an error,
    otherwise it is removed. Makes the target's folder. `suffix` ends the temporary name, for libraries that tell a
    file's format from it.

    Raises
    ------
    OSError : it cannot be written, or `target` is a directory.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    file, temporary = create_beside(target, suffix)
    try:
        if os.name == "nt":  # an open file can be neither written by another handle nor renamed
            file.close()
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, target)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
    finally:
        file.close()  # and with it the lock


def write_bytes_atomically(target: Path, data: bytes) -> None:
    """Write a file whole or not at all; see `atomic_file`."""
    with atomic_file(target) as temporary, temporary.open("wb") as out:
        out.write(data)


def write_text_atomically(target: Path, text: str) -> None:
    """Write a UTF-8 text file whole or not at all, line ends as they are; see `atomic_file`."""
    # Names of files that are not UTF-8 come as lone surrogates, which UTF-8 cannot hold.
    write_bytes_atomically(target, text.encode("utf-8", "backslashreplace"))


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Errors of writing inside the block say which file it was for, which those of an open file do not.

    Raises
    ------
    WriteError : in place of any other `OSError`.
    """
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        raise WriteError(target, error.strerror or str(error)) from error


def close_quietly(file: IO[Any]) -> None:
    """Close a file whose content is given up, or whose error has been told: closing one that could not be written to
    tries to write what is left once more, and fails again."""
    with suppress(OSError):
        file.close()


def flush_to_disk(file: IO[Any]) -> None:
    """Flush a file: what was written is on the disk when this returns."""
    file.flush()
    os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Flush a folder: renames in it are on the disk when this returns, where the platform supports that."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF):  # file systems that keep no folders to flush
            raise
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    """Take the lock of an open file; False where another program holds it or there are no locks."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES, *_NO_LOCKS):
            return False
        raise
    return True
