"""Reads whole files as bytes, with errors that name the list that needs a missing file, and writes files atomically.

Every reader of this package reads its bytes here, so that a user never gets a `FileNotFoundError` without the reason
why the file is needed (spec 10.2: lists name model files and other lists).
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from auparity.errors import ModelFormatError

StrPath = str | os.PathLike[str]


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
            return file.read()
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
