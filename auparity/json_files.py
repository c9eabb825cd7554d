"""Reads JSON and TOML files within bounds and checks them against a schema; any fault raises `FileFormatError`.

Nothing in a file is trusted before it was checked: its size (before reading), encoding, depth of nesting (before
Python's recursion limit), length of whole numbers, numbers beyond a double, `NaN` and `Infinity`, duplicate keys,
escapes that are not characters. The rest is built as the type that the caller names (`auparity.json_schema`).

The bounds are checked on the bytes, with patterns that run in C; only a suspicious text is checked value by value, to
say where the fault is.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from auparity.errors import FileFormatError
from auparity.json_schema import MismatchError, build, member, quoted

T = TypeVar("T")
StrPath = str | os.PathLike[str]

#: Bytes of a file unless a caller knows better. Decoded, empty objects take about 25 times the bytes of their text.
MAX_BYTES = 16 * 2**20
MAX_DEPTH = 64

_ESCAPE = re.compile(r"\\.", re.DOTALL)
_LARGE_EXPONENT = re.compile(rb"[eE]\+?0*[1-9]\d\d")
_LONG_INTEGER = re.compile(rb"(?<![\d.eE+])\d{20,}(?![\d.eE])")
_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_STEP = np.zeros(256, np.int32)
_STEP[list(b"[{")] = 1
_STEP[list(b"]}")] = -1


def load_json(
    path: StrPath, what: str, kind: type[T], *, advice: str = "", max_bytes: int = MAX_BYTES, finite: bool = True
) -> T:
    """Read a JSON file as `kind`.

    Parameters
    ----------
    what : what the file should be, for messages: ``"a result file"``.
    kind : the type to build: a dataclass, a TypedDict, ``dict[str, Any]``; see `auparity.json_schema`.
    advice : what to do about a bad file, as whole sentences.
    max_bytes : the size beyond which it is not read.
    finite : refuse `NaN` and `Infinity`.

    Raises
    ------
    FileFormatError : it cannot be read, is too large or too deep, is not JSON, or does not match `kind`.
    """
    data = read_bounded(path, what, max_bytes=max_bytes, advice=advice)
    return parse_json(data, os.fspath(path), what, kind, advice=advice, max_bytes=max_bytes, finite=finite)


def parse_json(
    data: bytes | str,
    source: str,
    what: str,
    kind: type[T],
    *,
    advice: str = "",
    max_bytes: int = MAX_BYTES,
    finite: bool = True,
) -> T:
    """JSON text as `kind`; `source` names where it is from. Otherwise as `load_json`."""
    try:
        text = _text(data, max_bytes)
        suspicious = _check_outside_strings(text)
        value = json.loads(text, object_pairs_hook=_unique)
        if suspicious or _SURROGATE.search(text):
            _check_values(value, "", finite)
        result: T = build(kind, value, finite=finite)
    except json.JSONDecodeError as error:
        found = f"{error.msg} at line {error.lineno}, column {error.colno}"
        raise FileFormatError(source, "", f"{what} (JSON)", found, advice) from error
    except MismatchError as error:
        raise FileFormatError(source, error.place, _within(what, error), error.found, advice) from error
    except ValueError as error:  # of int(), for a number of thousands of digits that is cut off after its point
        raise FileFormatError(source, "", f"{what} (JSON)", str(error), advice) from error
    return result


def checked(value: Any, source: StrPath, what: str, kind: type[T], *, advice: str = "", place: str = "") -> T:
    """A value of `parse_json` as `kind`, for readers that look at a part of it first; `place` says where it is.

    Errors are those of `load_json`.
    """
    try:
        result: T = build(kind, value, place)
    except MismatchError as error:
        raise FileFormatError(source, error.place, _within(what, error), error.found, advice) from error
    return result


def load_toml(path: StrPath, what: str, kind: type[T], *, advice: str = "", max_bytes: int = MAX_BYTES) -> T:
    """Read a TOML file as `kind`; parameters and errors are those of `load_json`."""
    data = read_bounded(path, what, max_bytes=max_bytes, advice=advice)
    return parse_toml(data, os.fspath(path), what, kind, advice=advice, max_bytes=max_bytes)


def parse_toml(
    data: bytes | str, source: str, what: str, kind: type[T], *, advice: str = "", max_bytes: int = MAX_BYTES
) -> T:
    """TOML text as `kind`; `source` names where it is from. Otherwise as `load_json`."""
    try:
        value = tomllib.loads(_text(data, max_bytes))
        _check_values(value, "", finite=True)
        result: T = build(kind, value)
    except MismatchError as error:
        raise FileFormatError(source, error.place, _within(what, error), error.found, advice) from error
    except RecursionError as error:  # of tomllib, which is Python
        raise FileFormatError(source, "", f"{what} of at most {MAX_DEPTH} levels", "more", advice) from error
    except ValueError as error:  # TOMLDecodeError, and what int() and dates refuse
        raise FileFormatError(source, "", f"{what} (TOML)", str(error), advice) from error
    return result


def read_bounded(path: StrPath, what: str, *, max_bytes: int = MAX_BYTES, advice: str = "") -> bytes:
    """All bytes of a regular file of at most `max_bytes`; FileFormatError where that is not possible."""
    source = os.fspath(path)
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "a device, pipe or socket"
            raise FileFormatError(source, "", what, kind, advice)
        with open(path, "rb") as file:
            data = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise FileFormatError(source, "", f"{what} that can be read", f"none ({reason})", advice) from error
    if len(data) > max_bytes:
        raise FileFormatError(source, "", f"{what} of at most {max_bytes} bytes", f"{status.st_size} bytes", advice)
    return data


def _text(data: bytes | str, max_bytes: int) -> str:
    if len(data) > max_bytes:
        raise MismatchError("", f"at most {max_bytes} bytes", f"{len(data)} bytes")
    if isinstance(data, str):
        _check_text(data, "")
        return data
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MismatchError("", "UTF-8 text", f"byte 0x{data[error.start]:02x} at offset {error.start}") from None


def _check_outside_strings(text: str) -> bool:
    """Refuse JSON that is nested too deep or holds endless integers; say whether its numbers need a closer look.

    A number is suspicious when it may not fit into 64 bits, or may not be a finite double.
    """
    # A backslash outside a string is an error that ends the parsing, so what follows it no longer matters.
    bare = '"'.join(_ESCAPE.sub("", text).split('"')[::2]).encode("ascii", "replace")
    depth = int(np.cumsum(_STEP[np.frombuffer(bare, np.uint8)], dtype=np.int32).max(initial=0))
    if depth > MAX_DEPTH:
        raise MismatchError("", f"at most {MAX_DEPTH} levels of nesting", f"{depth}")
    long = b"0" * 19 in bare.translate(_DIGITS_TO_ZERO)
    if long and _LONG_INTEGER.search(bare):
        raise MismatchError("", "whole numbers of 64 bits", "one of 20 digits or more")
    return long or b"NaN" in bare or b"Infinity" in bare or _LARGE_EXPONENT.search(bare) is not None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise MismatchError("", "every name once in an object", f"{quoted(twice)} more than once")
    return content


def _check_values(value: Any, place: str, finite: bool, depth: int = 0) -> None:
    """Refuse numbers beyond a double or 64 bits, lone surrogates, and deep nesting, anywhere in a value."""
    if depth > MAX_DEPTH:
        raise MismatchError(place[:200], f"at most {MAX_DEPTH} levels of nesting", "more")
    if isinstance(value, dict):
        for name, entry in value.items():
            _check_text(name, place)
            _check_values(entry, member(place, name), finite, depth + 1)
    elif isinstance(value, list):
        for k, entry in enumerate(value):
            _check_values(entry, f"{place}[{k}]", finite, depth + 1)
    elif isinstance(value, str):
        _check_text(value, place)
    elif isinstance(value, float):
        if finite and not math.isfinite(value):
            raise MismatchError(place, "a finite number", str(value))
    elif isinstance(value, int):
        build(int if not isinstance(value, bool) else bool, value, place)


def _check_text(text: str, place: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise MismatchError(place, "text", f"{quoted(text)}, which holds half a character") from None


def _within(what: str, error: MismatchError) -> str:
    return error.expected if error.place else f"{what}: {error.expected}"
