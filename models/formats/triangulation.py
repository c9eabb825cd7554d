"""Triangulations as text (spec 10.4): a list of (T, 3) int32 vertex indices, one for each view (drawing), or a single
one (the mask of the action unit analyser). Indices count landmarks from 0.
"""

from __future__ import annotations

import numpy as np

from auparity.models.formats.files import StrPath, read_bytes
from auparity.models.formats.text import TextReader, format_matrix
from auparity.models.types import I32


def _matrix(reader: TextReader, what: str) -> I32:
    start = reader.offset
    triangles: I32 = reader.matrix(what, np.int32)
    if triangles.shape[1] != 3 or (triangles < 0).any():
        reader.fail(f"{what} of T x 3 indices from 0", " x ".join(map(str, triangles.shape)), start)
    return triangles


def parse_triangulations(data: bytes, label: StrPath = "<bytes>") -> tuple[I32, ...]:
    """The triangulations (T, 3) of all views."""
    reader = TextReader(data, label)
    reader.skip_comments()
    views = []
    for view in range(reader.integer("number of views", 1)):
        reader.skip_comments()
        views.append(_matrix(reader, f"triangles of view {view}"))
    reader.end()
    return tuple(views)


def read_triangulations(path: StrPath, named_by: StrPath | None = None) -> tuple[I32, ...]:
    return parse_triangulations(read_bytes(path, named_by), path)


def write_triangulations(views: tuple[I32, ...]) -> bytes:
    parts = [b"# Number of views\n", f"{len(views)}\n".encode("ascii")]
    for number, triangles in enumerate(views):
        parts += [f"# Triangles of view {number}\n".encode("ascii"), format_matrix(triangles)]
    return b"".join(parts)


def parse_triangulation(data: bytes, label: StrPath = "<bytes>") -> I32:
    """A file of one triangulation (T, 3)."""
    reader = TextReader(data, label)
    triangles = _matrix(reader, "triangles")
    reader.end()
    return triangles


def read_triangulation(path: StrPath, named_by: StrPath | None = None) -> I32:
    return parse_triangulation(read_bytes(path, named_by), path)


def write_triangulation(triangles: I32) -> bytes:
    return format_matrix(triangles)
