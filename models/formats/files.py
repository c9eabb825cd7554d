"""Reads whole files as bytes, with errors that name the list that needs a missing file, and writes files atomically.

Every reader of this package reads its bytes here, so that a user never gets a `FileNotFoundError` without the reason
why the file is needed (spec 10.2: lists name model files and other lists).
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from auparity.errors import ModelFormatError

StrPath = str | os.PathLike[str]


@dataclass(frozen=True)
class SourceFile:
    """A file that was read, and what tells whether it has changed since.

    Parameters
    ----------
    path : absolute.
    size : bytes.
    stamp : of its content and of its entry the date of the last change, nanoseconds; device and number of the file.
    sha256 : of its content; None if it was not read.
    """

    path: str
    size: int
    stamp: list[int]
    sha256: str | None


_recorded: ContextVar[list[SourceFile] | None] = ContextVar("recorded", default=None)


@contextmanager
def recorded_reads() -> Iterator[list[SourceFile]]:
    """Within, every file that this thread reads by `read_bytes` is added to the list."""
    files: list[SourceFile] = []
    token = _recorded.set(files)
    try:
        yield files
    finally:
        _recorded.reset(token)


def source_file(path: StrPath, content: bytes | None) -> SourceFile | None:
    """A file as it is now, and the SHA-256 of its content if that is given; None if there is no such file."""
    try:
        about = os.stat(path)
    except OSError:
        return None
    stamp = [about.st_mtime_ns, about.st_ctime_ns, about.st_dev, about.st_ino]
    sha256 = None if content is None else hashlib.sha256(content).hexdigest()
    return SourceFile(os.path.abspath(path), about.st_size, stamp, sha256)


def read_bytes(path: StrPath, named_by: StrPath | None = None) -> bytes:
    """The content of a file.

    Parameters
    ----------
    path : the file.
    named_by : the list that names it, for the error message.

    Raises
    ------
    ModelFormatError : the file is missing, is not a regular file, or cannot be read.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # before opening, because reading a pipe would wait for ever
            raise OSError(0, "a folder, pipe or device")
        with open(path, "rb") as file:
            content = file.read()
        if (recorded := _recorded.get()) is not None and (read := source_file(path, content)) is not None:
            recorded.append(read)
        return content
    except (OSError, ValueError) as error:  # ValueError: a NUL character in a path that a list names
        what = "a readable file" if named_by is None else f"a readable file, because {os.fspath(named_by)} names it"
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ModelFormatError(path, None, what, reason, "Fetch or copy the complete model folder again.") from error


def save(path: StrPath, data: bytes) -> None:
    """Write a file completely or not at all: a temporary file takes its place. Makes the folder."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes it private, a model file is not
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
