"""Memory that the decoding child and its parent share, with nothing to clean up.

On POSIX systems it is a file without a name (a memfd on Linux, else an unlinked temporary file), whose descriptor the
child inherits: the system frees it when both processes have ended, in whatever way. On Windows it is a named mapping,
which the system frees with its last handle.
"""

from __future__ import annotations

import mmap
import os
import secrets
import sys
import tempfile
from typing import Any, Self

_WINDOWS = sys.platform == "win32"


class SharedBlock:
    """A block of shared memory that can grow; both sides hold one.

    Attributes
    ----------
    handle : text by which the child attaches to the block.
    inherited : file descriptors that the child must inherit.
    """

    def __init__(self, handle: str | None = None) -> None:
        """A new block of no size, or with `handle` the one that the parent has made."""
        self._map: mmap.mmap | None = None
        self._file: int | None = None
        if _WINDOWS:
            self.handle = handle or f"auparity-{os.getpid()}-{secrets.token_hex(8)}"
        else:
            self._file = _unnamed_file() if handle is None else int(handle)
            self.handle = str(self._file)
        self.inherited = () if self._file is None else (self._file,)

    @property
    def size(self) -> int:
        return 0 if self._map is None else len(self._map)

    def resize(self, size: int) -> None:
        """Make the block larger; what it held is lost. The other side then calls `follow`."""
        if self._file is not None:
            os.ftruncate(self._file, size)
        self.follow(size)

    def follow(self, size: int) -> None:
        """Map the block in the size that the other side has given it."""
        if self._map is not None:
            self._map.close()
            self._map = None
        self._map = mmap.mmap(self._file, size) if self._file is not None else _named_mapping(self.handle, size)

    @property
    def buffer(self) -> mmap.mmap:
        assert self._map is not None, "the block has a size"
        return self._map

    def close(self) -> None:
        if self._map is not None:
            self._map.close()
            self._map = None
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _unnamed_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("auparity")
    file, name = tempfile.mkstemp(prefix="auparity")
    os.unlink(name)
    return file


def _named_mapping(name: str, size: int) -> mmap.mmap:
    """Windows: a named mapping keeps its size, so a new size is a new name."""
    arguments: dict[str, Any] = {"tagname": f"{name}-{size}"}
    return mmap.mmap(-1, size, **arguments)
