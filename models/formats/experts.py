"""What the files of CCNF and CEN patch experts have in common: scale, view centres and visibility (spec 10.6, 10.7)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from auparity.models.formats.binary import MATRIX_HEAD, BinaryReader, BinaryWriter
from auparity.models.types import F64, I32

#: Patches and response windows are at most this wide, px (OpenFace: 11 and 25); a limit that only detects damaged
#: files.
MAX_SIDE = 1024


class ExpertsHead(NamedTuple):
    scale: float
    view_centres: F64  # (V, 3) degrees
    visibility: I32  # (V, n)


def read_head(reader: BinaryReader) -> ExpertsHead:
    """f64 scale; i32 V; V x view centre (3 x 1 f64, degrees); V x visibility (n x 1 int32)."""
    start = reader.offset
    scale = reader.f64("scale")
    if scale <= 0:
        reader.fail("a scale above 0", f"{scale}", start)
    views = reader.count("number of views", 2 * MATRIX_HEAD)
    centres = [reader.matrix("view centre", np.float64, (3, 1)) for _ in range(views)]
    start = reader.offset
    visibility = [reader.matrix("visibility", np.int32, (None, 1)) for _ in range(views)]
    sizes = sorted({v.size for v in visibility})
    if len(sizes) != 1 or sizes[0] == 0:
        reader.fail("visibilities of the same landmarks in all views", f"{sizes} landmarks", start)
    head = ExpertsHead(scale, np.hstack(centres).T.copy(), np.hstack(visibility).T.copy())
    head.view_centres.flags.writeable = head.visibility.flags.writeable = False
    return head


def write_head(writer: BinaryWriter, head: ExpertsHead) -> None:
    writer.f64(head.scale)
    writer.i32(len(head.view_centres))
    for centre in head.view_centres:
        writer.column("view centre", centre, np.float64)
    for visible in head.visibility:
        writer.column("visibility", visible, np.int32)
