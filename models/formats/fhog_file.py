"""FHOG output files (spec 10.12): one record for each frame of a video, 12 x 12 cells of 31 channels in order row,
column, channel, with a flag that says whether tracking succeeded. OpenFace writes them as ``<name>.hog``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError
from auparity.models.formats.binary import BinaryReader
from auparity.models.formats.files import StrPath, read_bytes
from auparity.models.types import F32
from auparity.short_repr import short_repr

GOOD, FAILED = 1.0, -1.0
_HEAD = struct.Struct("<3if")  # columns, rows, channels, good flag


@short_repr
@dataclass(frozen=True, eq=False)
class FHOGRecords:
    """All records of a file (F frames)."""

    good: npt.NDArray[np.bool_]  # (F,) success of each frame
    descriptors: F32  # (F, rows, columns, channels)


def fhog_record(descriptor: F32, good: bool) -> bytes:
    """One frame's record, to be appended to a file.

    Parameters
    ----------
    descriptor : (rows, columns, channels) float32, (12, 12, 31) in OpenFace.
    good : whether tracking succeeded. A failed frame has a record, too.

    Raises
    ------
    ContractError : the descriptor has another shape or type.
    """
    if descriptor.ndim != 3 or descriptor.dtype != np.float32:
        expected = "shape (rows, columns, channels), dtype float32"
        raise ContractError("fhog_file", "descriptor", expected, f"shape {descriptor.shape}, dtype {descriptor.dtype}")
    rows, columns, channels = descriptor.shape
    elements = descriptor.astype("<f4", copy=False).tobytes()
    return _HEAD.pack(columns, rows, channels, GOOD if good else FAILED) + elements


def write_fhog(records: FHOGRecords) -> bytes:
    """The bytes of a whole file."""
    pairs = zip(records.descriptors, records.good, strict=True)
    return b"".join(fhog_record(descriptor, bool(good)) for descriptor, good in pairs)


def parse_fhog(data: bytes, label: StrPath = "<bytes>") -> FHOGRecords:
    """Parse the bytes of a FHOG file: records of one size, F >= 1. ModelFormatError if they are not one."""
    reader = BinaryReader(data, label)
    columns, rows, channels = (reader.count(f"number of {what}", 1) for what in ("columns", "rows", "channels"))
    record = 4 * columns * rows * channels + _HEAD.size
    frames, rest = divmod(len(data), record)
    if frames == 0 or rest:
        reader.fail(f"whole records of {record} bytes", f"a file of {len(data)} bytes", 0)
    layout = np.dtype([("head", "<i4", (3,)), ("good", "<f4"), ("cells", "<f4", (rows, columns, channels))])
    table = np.frombuffer(data, layout)
    odd = np.flatnonzero((table["head"] != (columns, rows, channels)).any(axis=1))
    if odd.size:
        k = int(odd[0])
        reader.fail(f"sizes {(columns, rows, channels)} like the first", f"{table['head'][k].tolist()}", k * record)
    odd = np.flatnonzero((table["good"] != GOOD) & (table["good"] != FAILED))
    if odd.size:
        k = int(odd[0])
        reader.fail(f"a flag of {GOOD} or {FAILED}", f"{table['good'][k]}", k * record + 12)
    odd = np.flatnonzero(~np.isfinite(table["cells"]).all(axis=(1, 2, 3)))
    if odd.size:
        reader.fail("finite numbers", "NaN or infinite", int(odd[0]) * record + _HEAD.size)
    descriptors = table["cells"].copy()
    good = table["good"] == GOOD
    descriptors.flags.writeable = good.flags.writeable = False
    return FHOGRecords(good, descriptors)


def read_fhog(path: StrPath) -> FHOGRecords:
    return parse_fhog(read_bytes(path), path)
