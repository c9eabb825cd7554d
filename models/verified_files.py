"""Files that are what a manifest says: their size, their SHA-256, and their place below a folder."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from auparity.errors import AuparityError


def sha256_of(path: Path, *, text: bool = False) -> str:
    """SHA-256 of a file, in hex. Line ends of text files are read as LF, because checkouts on Windows write CRLF."""
    digest = hashlib.sha256()
    if text:
        digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
        return digest.hexdigest()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def is_file(path: Path, size: int, sha256: str, *, text: bool = False) -> bool:
    """Whether `path` is a file of this size and SHA-256; the size of text files is that with LF as line ends.

    Raises
    ------
    OSError : it cannot be read.
    """
    length = path.stat().st_size
    if length > most_bytes(size, text=text) or (length < size if text else length != size):
        return False
    return sha256_of(path, text=text) == sha256


def most_bytes(size: int, *, text: bool) -> int:
    """Largest bytes of a file of this size: twice as many for text files, whose line ends may be written as CRLF."""
    return 2 * size if text else size


def safe_target(root: Path, relative: str) -> Path:
    """`root / relative`, refused when it would leave `root`."""
    path = PurePosixPath(relative)
    outside = path.is_absolute() or PureWindowsPath(relative).drive or "\\" in relative or ".." in path.parts
    if outside or not path.parts:
        raise AuparityError(f"The manifest names {relative!r}, which is outside {root}; nothing is written there.")
    return root.joinpath(*path.parts)
