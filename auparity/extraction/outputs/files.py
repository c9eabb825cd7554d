"""Files and folders that are written while a clip is measured and get their names when it is done.

Until then they have a name that nobody else can have, beside the final one. Those of a program that ended by an error
stay under it (``NAME.hog.<random>.part``), as the rows of the table do, until the next run that finishes the clip.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from auparity.atomic_files import (
    TEMPORARY,
    abandoned_beside,
    close_quietly,
    create_beside,
    flush_folder,
    flush_to_disk,
)
from auparity.errors import AuparityError
from auparity.extraction.option_names import OptionNames
from auparity.extraction.table_writers import PART

#: Ends the names of unfinished videos: OpenCV chooses the format by the name.
VIDEO_PART = f"{PART}.webm"
#: The file whose lock says that somebody still writes to the folder of the same name that ends in ``.part``.
LOCK = ".lock"
#: Ends the name of a folder that is being replaced.
REPLACED = ".replaced"


class PartFile:
    """A file that becomes `target`.

    Parameters
    ----------
    suffix : of the temporary name, for libraries that choose the format by it.

    Raises
    ------
    OSError : the folder cannot be written to.
    """

    def __init__(self, target: Path, suffix: str = PART) -> None:
        self.file, self.path = create_beside(target, suffix)

    def put(self, target: Path) -> None:
        """Flush it and give it its name; raises `OSError`."""
        if not self.file.closed:
            flush_to_disk(self.file)
        if os.name == "nt":  # which cannot rename open files
            self.file.close()
        os.replace(self.path, target)
        self.file.close()

    def keep(self) -> None:
        """Close it and leave it under its temporary name; does nothing the second time."""
        close_quietly(self.file)

    def discard(self) -> None:
        """Close and remove it; does nothing where it has its name already."""
        close_quietly(self.file)
        self.path.unlink(missing_ok=True)


class PartFolder:
    """A folder of files that becomes `target`; errors as of `PartFile`."""

    def __init__(self, target: Path) -> None:
        self._lock, self._lock_path = create_beside(target, LOCK)
        self.path = self._lock_path.with_suffix(PART)
        try:
            self.path.mkdir()
        except BaseException:
            self._unlock()
            raise

    def write(self, name: str, data: bytes) -> None:
        """Write one file; raises `OSError`, e.g. where the disk is full."""
        (self.path / name).write_bytes(data)

    def put(self, target: Path) -> None:
        """Give it its name, in place of a folder that is there already; raises `OSError`."""
        flush_folder(self.path)
        replaced = self.path.with_suffix(REPLACED)
        if target.is_dir():
            os.replace(target, replaced)
        os.replace(self.path, target)
        if replaced.is_dir():
            shutil.rmtree(replaced)
        self._unlock()

    def keep(self) -> None:
        """Leave it under its temporary name; does nothing the second time."""
        self._lock.close()  # its file stays, so that `remove_abandoned` finds the folder

    def discard(self) -> None:
        """Remove it; does nothing where it has its name already."""
        if self.path.is_dir():
            shutil.rmtree(self.path)
        self._unlock()

    def _unlock(self) -> None:
        self._lock.close()
        self._lock_path.unlink(missing_ok=True)


def remove_abandoned(target: Path) -> None:
    """Remove what programs that were killed left behind beside `target`."""
    for path in [path for suffix in (PART, VIDEO_PART, TEMPORARY) for path in abandoned_beside(target, suffix)]:
        with suppress(OSError):  # on Windows another program still writes to it
            path.unlink()
    for lock in abandoned_beside(target, LOCK):
        with suppress(OSError):  # likewise; then its folder stays, too
            lock.unlink()
            for folder in (lock.with_suffix(PART), lock.with_suffix(REPLACED)):
                if folder.is_dir():
                    shutil.rmtree(folder)


def check_replaceable(target: Path, options: OptionNames, *, is_ours: bool, overwrite: bool) -> None:
    """Refuse to replace a file or folder that this table's sidecar does not describe.

    Parameters
    ----------
    options : of the program that the user called.
    is_ours : whether it does.
    overwrite : files are replaced all the same, folders never.

    Raises
    ------
    AuparityError : it may be somebody else's.
    """
    if is_ours or not os.path.lexists(target):
        return
    if target.is_dir():
        raise AuparityError(
            f"{target}: exists, and nothing beside it says that auparity wrote it for this table, so it is left alone. "
            f"Move it, or choose {options.another_folder}."
        )
    if not overwrite:
        raise AuparityError(
            f"{target}: exists, and nothing beside it says that auparity wrote it for this table. "
            f"{options.replace_or(options.another_folder)}"
        )
