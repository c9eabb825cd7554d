"""Writes small files as PyTorch does, without it: state dicts in both formats, and pickles put together by hand."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

STORAGE_OF = {"f4": "FloatStorage", "f8": "DoubleStorage", "f2": "HalfStorage", "i8": "LongStorage"}
MAGIC, LEGACY_VERSION = 0x1950A86A20F9469CFC6C, 1001


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def whole(value: int) -> bytes:
    return pickle.dumps(value, 2)[2:-1]


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def tuple_of(*values: bytes) -> bytes:
    return b"(" + b"".join(values) + b"t"


def tensor(
    key: str, kind: str, count: int, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0,
    legacy: bool = False,
) -> bytes:  # fmt: skip
    """A tensor of a storage, as `_rebuild_tensor_v2` makes it."""
    view = (b"N",) if legacy else ()
    storage = tuple_of(text("storage"), name("torch", STORAGE_OF[kind]), text(key), text("cpu"), whole(count), *view)
    sizes = (tuple_of(*map(whole, values)) for values in (shape, strides))
    hooks = name("collections", "OrderedDict") + b")R"
    arguments = tuple_of(storage + b"Q", whole(offset), *sizes, b"\x89", hooks)
    return name("torch._utils", "_rebuild_tensor_v2") + arguments + b"R"


def dictionary(items: Mapping[str, bytes]) -> bytes:
    """An `OrderedDict` of values that are pickled already."""
    return name("collections", "OrderedDict") + b")R(" + b"".join(text(k) + v for k, v in items.items()) + b"u"


def whole_pickle(value: bytes) -> bytes:
    return b"\x80\x02" + value + b"."


def tensors(arrays: Mapping[str, np.ndarray], legacy: bool = False) -> bytes:
    """The dictionary of arrays, each with a storage of its own."""
    items = {}
    for k, (key, array) in enumerate(arrays.items()):
        kind, strides = array.dtype.str[1:], tuple(step // array.itemsize for step in array.strides)
        items[key] = tensor(str(k), kind, array.size, array.shape, strides, legacy=legacy)
    return dictionary(items)


def zip_file(value: bytes, blocks: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """The format since 1.6 of a value that is pickled already, and its storages."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("archive/data.pkl", whole_pickle(value))
        archive.writestr("archive/byteorder", "little")
        for key, block in blocks.items():
            archive.writestr(f"archive/data/{key}", block)
        archive.writestr("archive/version", "3\n")
    return stream.getvalue()


def blocks_of(arrays: Mapping[str, np.ndarray]) -> dict[str, bytes]:
    return {str(k): array.tobytes() for k, array in enumerate(arrays.values())}


def new_file(arrays: Mapping[str, np.ndarray]) -> bytes:
    return zip_file(tensors(arrays), blocks_of(arrays))


def legacy_file(value: bytes, blocks: Mapping[str, tuple[int, bytes]]) -> bytes:
    """The format before 1.6 of a value that is pickled already, and its storages with their number of entries."""
    system: dict[str, Any] = {"protocol_version": LEGACY_VERSION, "little_endian": True, "type_sizes": {"int": 4}}
    heads = [pickle.dumps(head, 2) for head in (MAGIC, LEGACY_VERSION, system)]
    keys = pickle.dumps(list(blocks), 2)
    numbers = b"".join(struct.pack("<q", count) + raw for count, raw in blocks.values())
    return b"".join([*heads, whole_pickle(value), keys, numbers])


def old_file(arrays: Mapping[str, np.ndarray]) -> bytes:
    blocks = {str(k): (array.size, array.tobytes()) for k, array in enumerate(arrays.values())}
    return legacy_file(tensors(arrays, legacy=True), blocks)
