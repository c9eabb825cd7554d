"""How an archive represents the values of a bundle: the structure (JSON) and the numbers (one buffer for each type).

Written values are described by their shape and the place of their numbers. They are read back against the type hints
of `auparity.models.types`, so that a record of another kind, a missing field or an array of another type is an error
that names its place. Every stored number belongs to at most one array; arrays that occur more than once share their
memory, so that a bundle in memory takes at most a small multiple of the file.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types as python_types
import typing
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.json_schema import MismatchError, build, describe, member, quoted
from auparity.models import types

Array = npt.NDArray[Any]

STORED_TYPES = {name: np.dtype(name) for name in ("<f2", "<f4", "<f8", "<i4", "<i8", "|u1", "|b1")}
RECORDS: dict[type[Any], str] = {
    kind: name for name, kind in vars(types).items() if isinstance(kind, type) and dataclasses.is_dataclass(kind)
}
#: float16 holds whole multiples of 2**-24 up to 65504; scaled so, the largest value of an array is below 2**15.
HALF_EXPONENT = 15
#: Up to this power of two a product of float16 numbers is exact and finite in float32, whatever they are.
SAFE_EXPONENT = 100
#: The only number that may be NaN: an empty CCNF record stores no confidence.
MAY_BE_NAN = {(types.CCNFPatch, "confidence")}
MAX_AXES = 4  #: of an array of a bundle
MAX_EXPONENT = 1200  #: more than any float64 has


def half_exponent(values: Array) -> int:
    """The power of two that brings the largest magnitude just below 2**15 (0 for an array of zeros)."""
    largest = float(np.abs(values).max(initial=0.0))
    return HALF_EXPONENT - math.frexp(largest)[1] if largest and math.isfinite(largest) else 0


class ValueWriter:
    """Describes values, and collects the numbers of arrays by type."""

    def __init__(self) -> None:
        self.buffers: dict[str, list[Array]] = {name: [] for name in STORED_TYPES}
        self._lengths = dict.fromkeys(STORED_TYPES, 0)
        self._known: dict[tuple[Any, ...], list[Any]] = {}

    def describe(self, value: Any) -> Any:
        """The description of a value in the structure."""
        if isinstance(value, np.ndarray):
            return {"a": self._array(value)}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = [self.describe(getattr(value, item.name)) for item in dataclasses.fields(value)]
            return {"r": type(value).__name__, "f": fields}
        if isinstance(value, tuple):
            return [self.describe(entry) for entry in value]
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


class Numbers:
    """The buffers of an archive, and the arrays that were taken from them.

    Parameters
    ----------
    buffers : finite numbers by stored type; float16 may be widened to float32 already.
    """

    def __init__(self, buffers: Mapping[str, Array]) -> None:
        self._buffers = buffers
        self._left = {kind: buffer.size for kind, buffer in buffers.items()}
        self._arrays: dict[tuple[Any, ...], Array] = {}

    def array(self, described: Any, dtype: np.dtype[Any]) -> Array:
        """The read-only array that `described` describes, which must be of type `dtype`."""
        try:
            kind, shape, stored, start, exponent = described
            key = (kind, tuple(shape), stored, start, exponent)
            array = self._arrays.get(key)
        except (TypeError, ValueError):
            raise MismatchError("", "type, shape, stored type, offset and exponent", quoted(described)) from None
        if array is None:
            array = self._arrays[key] = self._take(*key)
        if array.dtype != dtype:
            raise MismatchError("", f"an array of {dtype}", f"one of {array.dtype}")
        return array

    def _take(self, kind: Any, shape: tuple[Any, ...], stored: Any, start: Any, exponent: Any) -> Array:
        if kind not in STORED_TYPES or stored not in self._buffers or {*map(type, (*shape, start, exponent))} != {int}:
            found = quoted(f"{kind} {shape} {stored} {start} {exponent}")
            raise MismatchError("", "types, sizes, an offset and an exponent", found)
        if len(shape) > MAX_AXES or min((*shape, start)) < 0:
            raise MismatchError("", f"up to {MAX_AXES} sizes and an offset from 0", quoted(f"{shape} at {start}"))
        buffer, count = self._buffers[stored], math.prod(shape)
        if start + count > buffer.size:
            raise MismatchError("", f"{count} numbers at {start} of {stored}", f"the end after {buffer.size}")
        self._left[stored] -= count
        if self._left[stored] < 0:
            raise MismatchError(
                "", "stored numbers that belong to one array each", f"more uses of {stored} than numbers"
            )
        scaled_wrongly = exponent and (stored != "<f2" or abs(exponent) > MAX_EXPONENT)
        if kind[1] != stored[1] or scaled_wrongly:
            raise MismatchError("", f"numbers that {stored} can hold", f"{kind} with exponent {exponent}")
        array = _scaled(buffer[start : start + count], STORED_TYPES[kind], exponent)
        try:
            array = array.reshape(shape)
        except ValueError as error:  # sizes of an empty array that no array can have
            raise MismatchError("", "sizes of an array", str(error)) from error
        array.flags.writeable = False
        return array


def _scaled(values: Array, dtype: np.dtype[Any], exponent: int) -> Array:
    """A new array of values * 2**-exponent."""
    if exponent == 0:
        return values.astype(dtype, copy=True)
    if abs(exponent) <= SAFE_EXPONENT:
        scaled: Array = np.multiply(values, 2.0**-exponent, dtype=dtype)
        return scaled
    with np.errstate(over="ignore"):  # detected as infinite below
        scaled = np.ldexp(values.astype(dtype), -exponent)
    if not np.isfinite(scaled).all():
        raise MismatchError("", "finite numbers", "infinite ones")
    return scaled


Read = Callable[[Any, Numbers], Any]


def read_value(kind: Any, described: Any, numbers: Numbers) -> Any:
    """The value of type `kind` that `described` describes.

    Raises
    ------
    MismatchError : it describes something else.
    """
    return _reader(kind)(described, numbers)


@functools.cache
def _reader(kind: Any) -> Read:
    """A function that reads values of one type."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is np.ndarray:
        return _array_reader(np.dtype(typing.get_args(arguments[1])[0]))
    if origin is tuple:
        return _tuple_reader(arguments)
    if origin in (python_types.UnionType, typing.Union):
        return _union_reader(arguments)
    if kind in RECORDS:
        return _record_reader(kind)
    if kind is float:
        return _read_float
    if kind is int:
        return _read_int
    return lambda described, numbers: build(kind, described)


def _array_reader(dtype: np.dtype[Any]) -> Read:
    def read(described: Any, numbers: Numbers) -> Any:
        if not isinstance(described, dict) or described.keys() != {"a"}:
            raise MismatchError("", "an array", quoted(described))
        return numbers.array(described["a"], dtype)

    return read


def _tuple_reader(members: tuple[Any, ...]) -> Read:
    each = None if members[1:] != (Ellipsis,) else _reader(members[0])
    readers = [] if each is not None else [_reader(kind) for kind in members]

    def read(described: Any, numbers: Numbers) -> Any:
        if not isinstance(described, list):
            raise MismatchError("", "a list", quoted(described))
        if each is None and len(described) != len(readers):
            raise MismatchError("", f"a list of {len(readers)}", quoted(described))
        values: list[Any] = []
        try:
            for k, entry in enumerate(described):
                values.append((each or readers[k])(entry, numbers))
        except MismatchError as error:
            raise _inside(f"[{len(values)}]", error) from error
        return tuple(values)

    return read


def _union_reader(members: tuple[Any, ...]) -> Read:
    records = {RECORDS[kind]: _reader(kind) for kind in members if kind in RECORDS}
    others = [kind for kind in members if kind not in RECORDS and kind is not type(None)]
    optional = type(None) in members
    expected = " or ".join([*records, *(describe(kind) for kind in others), *(["null"] if optional else [])])

    def read(described: Any, numbers: Numbers) -> Any:
        if described is None and optional:
            return None
        name = described.get("r") if isinstance(described, dict) else None
        if isinstance(name, str) and name in records:
            return records[name](described, numbers)
        if len(others) != 1:
            raise MismatchError("", expected, quoted(name or described))
        return _reader(others[0])(described, numbers)

    return read


def _record_reader(kind: type[Any]) -> Read:
    name, hints = RECORDS[kind], typing.get_type_hints(kind)
    fields = [each.name for each in dataclasses.fields(kind)]
    readers = [_read_nan if (kind, field) in MAY_BE_NAN else _reader(hints[field]) for field in fields]

    def read(described: Any, numbers: Numbers) -> Any:
        if not isinstance(described, dict) or described.keys() != {"r", "f"} or described["r"] != name:
            raise MismatchError("", f"a {name}", quoted(described))
        entries = described["f"]
        if not isinstance(entries, list) or len(entries) != len(readers):
            raise MismatchError("", f"the {len(readers)} fields of a {name}", quoted(entries))
        values: list[Any] = []
        try:
            for reader, entry in zip(readers, entries, strict=True):
                values.append(reader(entry, numbers))
        except MismatchError as error:
            raise _inside(fields[len(values)], error) from error
        return kind(*values)

    return read


def _read_nan(described: Any, numbers: Numbers) -> float:
    if not isinstance(described, dict) or described.keys() != {"x"} or not isinstance(described["x"], str):
        raise MismatchError("", "a number as hexadecimal text", quoted(described))
    try:
        return float.fromhex(described["x"])
    except (ValueError, OverflowError):
        raise MismatchError("", "a number as hexadecimal text", quoted(described["x"])) from None


def _read_float(described: Any, numbers: Numbers) -> float:
    value = _read_nan(described, numbers)
    if not math.isfinite(value):
        raise MismatchError("", "a finite number", str(value))
    return value


def _read_int(described: Any, numbers: Numbers) -> int:
    if type(described) is not int:
        raise MismatchError("", "a whole number", quoted(described))
    return described


def _inside(place: str, error: MismatchError) -> MismatchError:
    """The same error, with its place relative to the enclosing value."""
    inner = error.place
    if inner and not inner.startswith("["):
        inner = f".{inner}"
    start = place if place.startswith("[") else member("", place)
    return MismatchError(f"{start}{inner}", error.expected, error.found)
