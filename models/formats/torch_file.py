"""Reads state dicts from PyTorch's files (.pth, .pt, .pkl, .pth.tar), without PyTorch and without running their code.

Both formats are read: since 1.6 a zip whose members are a pickle and the bytes of each storage, uncompressed; before
that three small pickles, the pickle of the state dict, the names of the storages, and their bytes one after the other.
The pickle is interpreted by `torch_pickle`. Arrays are read-only views of the file's bytes, so that what is made of a
file takes no more memory than the file.
"""

from __future__ import annotations

import hashlib
import io
import math
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from auparity.errors import ModelFormatError
from auparity.models.formats.files import StrPath, read_bytes
from auparity.models.formats.named_arrays import NamedArrays
from auparity.models.formats.torch_pickle import (
    ADVICE,
    PickleReader,
    StorageRecord,
    TensorRecord,
)

Array = npt.NDArray[Any]

#: Largest file: eight times that of STAR with two copies of its weights and the optimiser's state.
MAX_FILE = 2 * 2**30
#: The first value of a file in the format before 1.6, and the number of that format.
LEGACY_MAGIC, LEGACY_VERSION = 0x1950A86A20F9469CFC6C, 1001
#: Under which names a file may keep the state dict, beside an optimiser's state and other things.
WRAPPERS = ("state_dict", "net")
#: What PyTorch's DataParallel puts before every name.
PREFIX = "module."


def read_torch(path: StrPath) -> NamedArrays:
    """The tensors of a state dict in a file.

    A dictionary that holds the state dict as `state_dict` or `net` is accepted, and so is the prefix ``module.``.

    Raises
    ------
    ModelFormatError : the file is missing, too large, damaged, or holds anything but tensors and plain values.
    """
    size = Path(path).stat().st_size if Path(path).is_file() else 0
    if size > MAX_FILE:
        raise ModelFormatError(path, None, f"a file of at most {MAX_FILE} bytes", f"{size} bytes", ADVICE)
    return parse_torch(read_bytes(path), path)


def parse_torch(data: bytes, label: StrPath) -> NamedArrays:
    """`read_torch` of a file's content."""
    label = str(label)
    parse = _parse_zip if data.startswith(b"PK\x03\x04") else _parse_legacy
    saved, bytes_of = parse(data, label)
    arrays = {
        name: _as_array(record, bytes_of(record.storage), f"{label}, {name[:100]}")
        for name, record in _state_dict(saved, label).items()
    }
    return NamedArrays(label, hashlib.sha256(data).hexdigest(), arrays)


#: From a storage to its numbers.
BytesOf = Callable[[StorageRecord], Array]


def _fail(label: str, expected: str, found: str) -> NoReturn:
    raise ModelFormatError(label, None, expected, found, ADVICE)


def _state_dict(saved: Any, label: str) -> dict[str, TensorRecord]:
    """The tensors by name, of whatever dictionary holds them."""
    if isinstance(saved, dict):
        saved = next((saved[key] for key in WRAPPERS if isinstance(saved.get(key), dict)), saved)
    if not isinstance(saved, dict) or not saved:
        _fail(label, "a dictionary of tensors", f"a {type(saved).__name__}")
    for name, value in saved.items():
        if not isinstance(name, str) or not isinstance(value, TensorRecord):
            _fail(label, "a dictionary of tensors", f"a {type(value).__name__} as {ascii(name)[:100]}")
    if all(name.startswith(PREFIX) for name in saved):
        return {name[len(PREFIX) :]: value for name, value in saved.items()}
    return saved


def _parse_zip(data: bytes, label: str) -> tuple[Any, BytesOf]:
    members = _members(data, label)
    pickles = [name for name in members if name.rpartition("/")[2] == "data.pkl"]
    if len(pickles) != 1:
        _fail(label, "a zip with one data.pkl, as PyTorch writes it", f"{len(pickles)} of them")
    folder = pickles[0][: -len("data.pkl")]
    order = members.get(f"{folder}byteorder", b"little").strip()
    if order not in (b"little", b"big"):
        _fail(label, "the byte order little or big", ascii(order)[:40])
    saved = PickleReader(members[pickles[0]], label).read()

    def bytes_of(storage: StorageRecord) -> Array:
        content = members.get(f"{folder}data/{storage.key}")
        if content is None:
            _fail(label, f"the numbers of storage {ascii(storage.key)[:40]}", "none")
        return _numbers(content, storage, "<" if order == b"little" else ">", label)

    return saved, bytes_of


def _members(data: bytes, label: str) -> Mapping[str, bytes]:
    """The content of each member. Only uncompressed ones are read, so that none is larger than the file."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > len(data):
                _fail(label, "members that together are no larger than the file", "larger ones")
            for entry in entries:
                if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
                    _fail(label, "members that are stored as they are", f"{ascii(entry.filename)[:60]} compressed")
            if len({entry.filename for entry in entries}) != len(entries):
                _fail(label, "every member once", "two of one name")
            return {entry.filename: archive.read(entry) for entry in entries}
    except ModelFormatError:
        raise
    except Exception as error:  # bytes from outside: `zipfile` promises no type of error
        raise ModelFormatError(label, None, "a zip file", f"{type(error).__name__}: {error}", ADVICE) from error


def _parse_legacy(data: bytes, label: str) -> tuple[Any, BytesOf]:
    reader = PickleReader(data, label)
    if not data.startswith(b"\x80") or reader.read() != LEGACY_MAGIC:
        _fail(label, "a file that PyTorch wrote", "another one")
    version, system, saved, keys = (reader.read() for _ in range(4))
    if version != LEGACY_VERSION:
        _fail(label, f"the format {LEGACY_VERSION}", "another one")
    little = system.get("little_endian", True) if isinstance(system, dict) else True
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        _fail(label, "the names of the storages", f"a {type(keys).__name__}")
    sizes = {record.storage.key: record.storage for record in _every_tensor(saved)}
    blocks, offset = {}, reader.offset
    for key in keys:
        if key not in sizes:
            _fail(label, "a tensor of each storage", f"none of {ascii(key)[:40]}")
        if offset + 8 > len(data):
            _fail(label, f"the numbers of storage {ascii(key)[:40]}", "the end of the file")
        (count,) = struct.unpack_from("<q", data, offset)
        if count != sizes[key].count:
            _fail(label, f"{sizes[key].count} numbers in storage {ascii(key)[:40]}", f"{count}")
        end = offset + 8 + count * _item_size(sizes[key].kind)
        blocks[key] = memoryview(data)[offset + 8 : end]
        offset = end

    def bytes_of(storage: StorageRecord) -> Array:
        if storage.key not in blocks:
            _fail(label, f"the numbers of storage {ascii(storage.key)[:40]}", "none")
        return _numbers(blocks[storage.key], storage, "<" if little else ">", label)

    return saved, bytes_of


def _every_tensor(saved: Any) -> list[TensorRecord]:
    """All tensors of a value, wherever they are; each container is looked into once."""
    found, seen, rest = [], set(), [saved]
    while rest:
        value = rest.pop()
        if isinstance(value, TensorRecord):
            found.append(value)
        elif isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            rest.extend(value.values() if isinstance(value, dict) else value)
    return found


def _item_size(kind: str) -> int:
    return 2 if kind == "bf16" else np.dtype(kind).itemsize


def _numbers(content: bytes | memoryview, storage: StorageRecord, order: Literal["<", ">"], label: str) -> Array:
    """The numbers of a storage, a view of the file's bytes (of bfloat16 a new array)."""
    if len(content) != storage.count * _item_size(storage.kind):
        expected = f"{storage.count} numbers of {_item_size(storage.kind)} bytes in storage {ascii(storage.key)[:40]}"
        _fail(label, expected, f"{len(content)} bytes")
    if storage.kind == "bf16":
        return (np.frombuffer(content, f"{order}u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(content, np.dtype(storage.kind).newbyteorder(order))


def _as_array(record: TensorRecord, numbers: Array, label: str) -> Array:
    """The numbers of a tensor, a read-only view; every one of them lies in the storage."""
    count = math.prod(record.shape)
    last = record.offset + sum((n - 1) * step for n, step in zip(record.shape, record.strides, strict=True))
    if count and (count > numbers.size or last >= numbers.size):
        _fail(label, f"a tensor inside its storage of {numbers.size} numbers", f"{count} from {record.offset} on")
    if not count:
        # NumPy has no array of such sizes, even empty, where they overflow: only an empty axis is kept.
        return np.zeros(0, numbers.dtype)
    size = numbers.itemsize
    steps = [step * size if n > 1 else 0 for n, step in zip(record.shape, record.strides, strict=True)]
    return as_strided(numbers[record.offset :], record.shape, steps, writeable=False)
