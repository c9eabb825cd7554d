"""A whole bundle in one compact file: a zip with ``bundle.json`` (names, structure) and one member of numbers a type.

Every array is stored in the narrowest of float16 with a power of two, float32 and its own type that holds all of its
values exactly, so reading gives the same content hash; an array that occurs more than once is stored once. Bytes of one
rank stand together (all high bytes, then all low ones), which halves what deflating them costs. The same bundle always
gives the same bytes.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from auparity.errors import ModelFormatError
from auparity.models import types
from auparity.models.bundle import Bundle
from auparity.models.formats.files import StrPath, read_bytes
from auparity.models.formats.files import save as save_bytes
from auparity.models.types import BundleMeta

Array = npt.NDArray[Any]
T = TypeVar("T")

VERSION = 1
STRUCTURE = "bundle.json"
EPOCH = (1980, 1, 1, 0, 0, 0)  # zip needs a date; the same one always
STORED_TYPES = ("<f2", "<f4", "<f8", "<i4", "<i8", "|u1", "|b1")
RECORDS: dict[str, type[Any]] = {
    name: kind for name, kind in vars(types).items() if isinstance(kind, type) and dataclasses.is_dataclass(kind)
}
#: float16 holds whole multiples of 2**-24 up to 65504; scaled so, the largest value of an array is below 2**15.
HALF_EXPONENT = 15
ADVICE = "Install auparity anew, or fetch the file again."


def half_exponent(values: Array) -> int:
    """The power of two that brings the largest magnitude just below 2**15 (0 for an array of zeros)."""
    largest = float(np.abs(values).max(initial=0.0))
    return HALF_EXPONENT - math.frexp(largest)[1] if largest and math.isfinite(largest) else 0


def to_half(values: Array) -> Array:
    """The nearest values that `half_exponent` and float16 can hold, in the array's own type."""
    exponent = half_exponent(values)
    return np.ldexp(np.ldexp(values, exponent).astype(np.float16).astype(values.dtype), -exponent)


def round_weights(bundle: Bundle) -> Bundle:
    """The bundle with the weights of networks, experts and AU models rounded to what float16 holds.

    Shape models, warps and everything else that is geometry keep their precision.
    """
    parts = {f.name: rounded(getattr(bundle, f.name)) for f in dataclasses.fields(bundle) if f.name != "meta"}
    return dataclasses.replace(bundle, **parts)


def rounded(part: T) -> T:
    """The same for one part of a bundle."""
    kinds = (types.CENPatch, types.CCNFPatch, types.ConvNet, types.AUModel)
    result: T = _map_records(part, kinds)
    return result


def _map_records(value: Any, kinds: tuple[type, ...], inside: bool = False) -> Any:
    if isinstance(value, np.ndarray):
        return to_half(value) if inside and value.dtype.kind == "f" and value.size > 1 else value
    if isinstance(value, tuple):
        return tuple(_map_records(member, kinds, inside) for member in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        within = inside or isinstance(value, kinds)
        changes = {f.name: _map_records(getattr(value, f.name), kinds, within) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **changes)
    return value


class _Writer:
    """Collects the numbers of arrays, by type."""

    def __init__(self) -> None:
        self.buffers: dict[str, list[Array]] = {name: [] for name in STORED_TYPES}
        self._lengths = dict.fromkeys(STORED_TYPES, 0)
        self._known: dict[tuple[Any, ...], list[Any]] = {}

    def describe(self, value: Any) -> Any:
        """What stands in the structure for a value."""
        if isinstance(value, np.ndarray):
            return {"a": self._array(value)}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = [self.describe(getattr(value, item.name)) for item in dataclasses.fields(value)]
            return {"r": type(value).__name__, "f": fields}
        if isinstance(value, tuple):
            return [self.describe(member) for member in value]
        if isinstance(value, float):
            return {"x": value.hex()}  # NaN and every bit survive
        if value is None or isinstance(value, str | bool | int):
            return value
        raise TypeError(f"a bundle holds a {type(value).__name__}, which this file cannot store")

    def _array(self, value: Array) -> list[Any]:
        """[type of the array, shape, stored type, offset in elements, power of two]."""
        little = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
        key = (little.dtype.str, little.shape, little.tobytes())
        if key not in self._known:
            stored, exponent = _narrowest(little)
            kind = stored.dtype.newbyteorder("<").str
            self._known[key] = [little.dtype.str, list(little.shape), kind, self._lengths[kind], exponent]
            self.buffers[kind].append(stored.ravel())
            self._lengths[kind] += stored.size
        return self._known[key]


def _narrowest(values: Array) -> tuple[Array, int]:
    """The values in the narrowest type that holds them exactly, and the power of two that they were scaled by."""
    if values.dtype.kind == "f" and np.isfinite(values).all():
        exponent = half_exponent(values)
        half = np.ldexp(values, exponent).astype(np.float16)
        if np.array_equal(np.ldexp(half.astype(values.dtype), -exponent), values):
            return half, exponent
        single = values.astype(np.float32)
        if np.array_equal(single.astype(values.dtype), values):
            return single, 0
    return values, 0


def save(bundle: Bundle, path: StrPath) -> None:
    """Write a bundle to one file, whole or not at all.

    Raises
    ------
    ContractError, OSError : the file cannot be written.
    """
    writer = _Writer()
    parts = {f.name: writer.describe(getattr(bundle, f.name)) for f in dataclasses.fields(bundle) if f.name != "meta"}
    meta = {"name": bundle.meta.name, "version": bundle.meta.version, "licence": bundle.meta.licence}
    head = {"auparity bundle": VERSION, "meta": meta, "content_hash": bundle.content_hash, "parts": parts}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        _put(archive, STRUCTURE, json.dumps(head, separators=(",", ":")).encode("ascii"))
        for kind, arrays in writer.buffers.items():
            if arrays:
                _put(archive, f"{kind[1:]}.bin", _shuffled(np.concatenate(arrays)))
    save_bytes(Path(path), stream.getvalue())


def _put(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3
    archive.writestr(info, data, compresslevel=6)


def _shuffled(values: Array) -> bytes:
    return np.ascontiguousarray(values.view(np.uint8).reshape(-1, values.dtype.itemsize).T).tobytes()


def load(path: StrPath) -> Bundle:
    """Read a bundle that `save` wrote.

    Raises
    ------
    ModelFormatError : no such file, or it is damaged, cut short, of a newer version or something else.
    """
    data = read_bytes(Path(path))
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            head = json.loads(archive.read(STRUCTURE))
            if head["auparity bundle"] != VERSION:
                found = f"version {head['auparity bundle']}"
                raise ModelFormatError(path, None, f"a bundle of version {VERSION}", found, "Use a newer auparity.")
            buffers = {kind: _numbers(archive, kind) for kind in STORED_TYPES}
        parts = {name: _value(described, buffers) for name, described in head["parts"].items()}
        meta = BundleMeta(**head["meta"], source={"format": "archive", "file": str(path)})
        bundle = Bundle(meta=meta, **parts)
    except ModelFormatError:
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        KeyError,
        ValueError,
        TypeError,
        IndexError,
        EOFError,
        NotImplementedError,
    ) as error:
        raise ModelFormatError(
            path, None, "a bundle written by auparity", f"{type(error).__name__}: {error}", ADVICE
        ) from error
    # The hash of what was read would take longer than reading it: the zip's checksums guard the bytes, and
    # `auparity models verify embedded` compares the hash.
    return bundle


def stored_hash(path: StrPath) -> str:
    """The content hash that the file says its bundle has."""
    try:
        with zipfile.ZipFile(path) as archive:
            return str(json.loads(archive.read(STRUCTURE))["content_hash"])
    except (zipfile.BadZipFile, zlib.error, KeyError, ValueError, TypeError, OSError) as error:
        raise ModelFormatError(
            path, None, "a bundle written by auparity", f"{type(error).__name__}: {error}", ADVICE
        ) from error


def _numbers(archive: zipfile.ZipFile, kind: str) -> Array:
    dtype = np.dtype(kind)
    name = f"{kind[1:]}.bin"
    if name not in archive.namelist():
        return np.empty(0, dtype)
    raw = np.frombuffer(archive.read(name), np.uint8)
    values = np.ascontiguousarray(raw.reshape(dtype.itemsize, -1).T).reshape(-1).view(dtype)
    # One conversion of everything is much quicker than one of every array.
    return values.astype(np.float32) if kind == "<f2" else values


def _value(described: Any, buffers: dict[str, Array]) -> Any:
    if isinstance(described, list):
        return tuple(_value(member, buffers) for member in described)
    if not isinstance(described, dict):
        return described
    if "a" in described:
        kind, shape, stored, start, exponent = described["a"]
        count = math.prod(shape)
        values = buffers[stored][start : start + count]
        if len(values) != count:
            raise ValueError(f"{count} numbers expected at {start} of {stored}, {len(values)} found")
        if exponent:
            values = np.ldexp(values.astype(kind), -exponent)
        array: Array = values.astype(kind, copy=True).reshape(shape)
        array.flags.writeable = False
        return array
    if "x" in described:
        return float.fromhex(described["x"])
    return RECORDS[described["r"]](*(_value(member, buffers) for member in described["f"]))
