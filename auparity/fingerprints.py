"""Fingerprints of inputs: the SHA-256 of their content, independent of name, place and date.

Two clips of one name and one size are ordinary in a lab (uncompressed video, frames of a fixed number); only
the content says whether an existing table belongs to a clip.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CHUNK = 1 << 20  # bytes read at a time


@dataclass(frozen=True)
class Fingerprint:
    """Content of an input."""

    bytes: int
    sha256: str  #: hex


def fingerprint_of_file(path: Path) -> Fingerprint:
    """The content of one file; raises `OSError` where it cannot be read."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return Fingerprint(size, digest.hexdigest())


def fingerprint_of_files(files: Sequence[Path]) -> Fingerprint:
    """The content of the files of one clip, with their names and their order; raises `OSError`."""
    digest, size = hashlib.sha256(), 0
    for path in files:
        one = fingerprint_of_file(path)
        # Names of fixed length keep "ab", "c" apart from "a", "bc".
        name = hashlib.sha256(path.name.encode("utf-8", "surrogateescape")).hexdigest()
        digest.update(f"{name} {one.sha256}\n".encode("ascii"))
        size += one.bytes
    return Fingerprint(size, digest.hexdigest())
