"""Reads and writes .safetensors: the length of a header (8 bytes, little-endian), the header as JSON, and the numbers.

The format of huggingface/safetensors, for row-major arrays of the types below. A file holds arrays and remarks and
nothing else, and every byte after the header belongs to exactly one array: what is read takes no more memory than the
file.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from auparity.atomic_files import write_bytes_atomically, writing
from auparity.errors import FileFormatError, ModelFormatError
from auparity.json_files import parse_json
from auparity.models.formats.files import StrPath, read_bytes
from auparity.models.formats.named_arrays import ADVICE, NamedArrays

Array = npt.NDArray[Any]

#: Largest file, and largest header (the format's own limit is 100 MB).
MAX_FILE, MAX_HEADER = 2 * 2**30, 16 * 2**20
MAX_AXES = 8
REMARKS = "__metadata__"
BFLOAT16 = "BF16"
TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", BFLOAT16: "<u2",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1", "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip


def read_safetensors(path: StrPath) -> NamedArrays:
    """The arrays and remarks of a file.

    Raises
    ------
    ModelFormatError : the file is missing, too large or damaged.
    """
    size = Path(path).stat().st_size if Path(path).is_file() else 0
    if size > MAX_FILE:
        raise ModelFormatError(path, None, f"a file of at most {MAX_FILE} bytes", f"{size} bytes", ADVICE)
    return parse_safetensors(read_bytes(path), path)


def parse_safetensors(data: bytes, label: StrPath) -> NamedArrays:
    """`read_safetensors` of a file's content."""
    label = str(label)
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(MAX_HEADER, len(data) - 8):
        _fail(label, "a header of the length that its first 8 bytes say", f"{len(data)} bytes")
    header = _header(data[8 : 8 + length], label)
    remarks = header.pop(REMARKS, {})
    if not isinstance(remarks, dict) or not all(isinstance(text, str) for text in remarks.values()):
        _fail(label, f"texts in {REMARKS}", ascii(remarks)[:100])
    numbers = memoryview(data)[8 + length :]
    arrays, end = {}, 0
    for name, described in sorted(header.items(), key=lambda item: _begin(item[1])):
        place = f"{label}, {ascii(name)[1:-1][:100]}"
        arrays[name], end = _array(described, numbers, end, place)
    if end != len(numbers):
        _fail(label, f"{end} bytes of numbers", f"{len(numbers)}")
    return NamedArrays(label, hashlib.sha256(data).hexdigest(), arrays, remarks)


def _header(data: bytes, label: str) -> dict[str, Any]:
    try:
        return parse_json(data, label, "a header", dict, max_bytes=MAX_HEADER)
    except FileFormatError as error:
        raise ModelFormatError(label, None, error.expected, error.found, ADVICE) from error


def _begin(described: Any) -> int:
    """Where an array says that it begins; 0 for one that does not, which fails when it is read."""
    try:
        begin = described["data_offsets"][0]
    except (TypeError, KeyError, IndexError):
        return 0
    return begin if type(begin) is int else 0


def _array(described: Any, numbers: memoryview, begin: int, place: str) -> tuple[Array, int]:
    """The array that begins where the last one ended, and its end."""
    try:
        dtype, shape, offsets = TYPES[described["dtype"]], described["shape"], described["data_offsets"]
        whole = len(described) == 3 and len(offsets) == 2 and all(type(n) is int and n >= 0 for n in (*shape, *offsets))
        count = math.prod(shape) if whole and len(shape) <= MAX_AXES else -1
    except (TypeError, KeyError):
        whole, count, offsets = False, -1, None
    if count < 0:
        _fail(place, f"dtype ({', '.join(TYPES)}), shape and data_offsets", ascii(described)[:100])
    end = begin + count * np.dtype(dtype).itemsize
    if offsets != [begin, end] or end > len(numbers):
        _fail(place, f"bytes {begin} to {end} of {len(numbers)}", ascii(offsets)[:100])
    values = np.frombuffer(numbers[begin:end], dtype)
    if described["dtype"] == BFLOAT16:  # the upper half of a float32
        values = (values.astype(np.uint32) << 16).view(np.float32)
    elif dtype == "|b1" and (values.view(np.uint8) > 1).any():
        _fail(place, "0 or 1", "another byte")
    values = values.reshape(shape)
    values.flags.writeable = False
    return values, end


def write_safetensors(path: StrPath, arrays: Mapping[str, Array], remarks: Mapping[str, str]) -> None:
    """Write arrays of the types above and remarks, completely or not at all; WriteError."""
    names = {dtype: name for name, dtype in TYPES.items() if name != BFLOAT16}
    header: dict[str, Any] = {REMARKS: dict(remarks)} if remarks else {}
    parts, end = [], 0
    for name, values in arrays.items():
        little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        begin, end = end, end + little.nbytes
        header[name] = {
            "dtype": names[little.dtype.str], "shape": list(values.shape), "data_offsets": [begin, end],
        }  # fmt: skip
        parts.append(little.tobytes())
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that numbers begin at a multiple of their size
    target = Path(path)
    with writing(target):
        write_bytes_atomically(target, b"".join([len(text).to_bytes(8, "little"), text, *parts]))


def _fail(label: str, expected: str, found: str) -> NoReturn:
    raise ModelFormatError(label, None, expected, found, ADVICE)
