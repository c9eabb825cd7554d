"""Values of decoded JSON or TOML, checked against a Python type and built as it.

The type hints of the dataclass that a file is read into are its schema, so that nothing is described twice. Supported
types are ``Any``, ``None``, ``bool``, ``int`` (64 bits), ``float`` (finite unless asked otherwise), ``str``,
``Literal``, unions, ``list[T]``, ``tuple[T, ...]``, ``tuple[A, B]``, ``dict[str, T]``, dataclasses (an unknown field is
an error) and ``TypedDict`` (further fields are allowed).

Libraries were considered: msgspec and pydantic build typed values and name the place of a fault, but neither refuses
duplicate keys, bounds the nesting or refuses numbers beyond float in untyped parts, and both are compiled packages
that every installation would need. They would save only this one file.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
import types
import typing
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin

INT_LIMIT = 2**63
SHOWN = 60  #: characters of a value that an error quotes
_WORD = re.compile(r"[A-Za-z_][\w-]*\Z")


class MismatchError(Exception):
    """A value is not what the schema says: `place` (a path such as ``entries[3].error``), `expected` and `found`."""

    def __init__(self, place: str, expected: str, found: str) -> None:
        super().__init__(place, expected, found)
        self.place, self.expected, self.found = place, expected, found


def member(place: str, name: str) -> str:
    """The place of a field of the object at `place`."""
    if _WORD.match(name):
        return f"{place}.{name}" if place else name
    return f"{place}[{quoted(name)}]"


def quoted(value: Any) -> str:
    """A value as an error message shows it: in ASCII, one line, shortened."""
    if isinstance(value, dict):
        return f"an object of {len(value)} fields"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, str):
        return json.dumps(value[:SHOWN]) + ("..." if len(value) > SHOWN else "")
    if value is None or isinstance(value, bool | int | float):
        shown = json.dumps(value)
        return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}..."
    return f"a {type(value).__name__}"  # TOML has dates and times


def describe(kind: Any) -> str:
    """A type as an error message names it."""
    origin = get_origin(kind)
    if origin is Literal:
        return " or ".join(json.dumps(value) for value in get_args(kind))
    if origin in (types.UnionType, Union):
        return " or ".join(describe(each) for each in get_args(kind))
    if origin in (Required, NotRequired):
        return describe(get_args(kind)[0])
    if (origin or kind) in (list, tuple):
        return "a list"
    if origin is dict or kind is dict or dataclasses.is_dataclass(kind) or typing.is_typeddict(kind):
        return "an object"
    names = {type(None): "null", bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    return names.get(kind, "any value")


def build(kind: Any, value: Any, place: str = "", *, finite: bool = True) -> Any:
    """`value` as an instance of `kind`.

    Parameters
    ----------
    kind : a type hint; see the module's first paragraph.
    place : where the value is in its file.
    finite : refuse NaN and infinity.

    Raises
    ------
    MismatchError : the value is of another kind, a field is missing or unknown, a number is out of range.
    """
    origin = get_origin(kind)
    if origin in (Required, NotRequired):
        return build(get_args(kind)[0], value, place, finite=finite)
    if kind is Any:
        return value
    if origin in (types.UnionType, Union):
        # `int` before `float`, so that whole numbers of `int | float` stay whole.
        members = sorted(get_args(kind), key=lambda each: each is float)
        chosen = next((each for each in members if _same_kind(each, value)), None)
        if chosen is None:
            raise MismatchError(place, describe(kind), quoted(value))
        return build(chosen, value, place, finite=finite)
    if not _same_kind(kind, value):
        raise MismatchError(place, describe(kind), quoted(value))
    if isinstance(value, list):
        return _build_list(kind, value, place, finite)
    if isinstance(value, dict):
        return _build_object(kind, value, place, finite)
    if kind is int and not -INT_LIMIT <= value < INT_LIMIT:
        raise MismatchError(place, "a whole number of 64 bits", quoted(value))
    if kind is float:
        value = _as_float(value, place)
        if finite and not math.isfinite(value):
            raise MismatchError(place, "a finite number", quoted(value))
    return value


def _same_kind(kind: Any, value: Any) -> bool:
    """Whether a value has the JSON kind of a type; its content is not checked."""
    origin = get_origin(kind) or kind
    if kind is Any:
        return True
    if origin is Literal:
        return any(type(value) is type(each) and value == each for each in get_args(kind))
    if origin in (list, tuple):
        return isinstance(value, list)
    if origin is dict or dataclasses.is_dataclass(kind) or typing.is_typeddict(kind):
        return isinstance(value, dict)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(kind, type) and isinstance(value, kind)


def _as_float(value: int | float, place: str) -> float:
    try:
        return float(value)
    except OverflowError:
        raise MismatchError(place, "a number within the range of a double", "a larger one") from None


def _build_list(kind: Any, value: list[Any], place: str, finite: bool) -> Any:
    origin, members = get_origin(kind) or kind, get_args(kind)
    if origin is list:
        each = members[0] if members else Any
        return [build(each, entry, f"{place}[{k}]", finite=finite) for k, entry in enumerate(value)]
    if len(members) == 2 and members[1] is Ellipsis:
        return tuple(build(members[0], entry, f"{place}[{k}]", finite=finite) for k, entry in enumerate(value))
    if len(members) != len(value):
        raise MismatchError(place, f"a list of {len(members)}", quoted(value))
    return tuple(
        build(each, entry, f"{place}[{k}]", finite=finite)
        for k, (each, entry) in enumerate(zip(members, value, strict=True))
    )


def _build_object(kind: Any, value: dict[str, Any], place: str, finite: bool) -> Any:
    if kind is dict:
        return value
    if get_origin(kind) is dict:
        each = get_args(kind)[1]
        return {name: build(each, entry, member(place, name), finite=finite) for name, entry in value.items()}
    hints, required, closed = _fields(kind)
    missing = sorted(required - value.keys())
    if missing:
        raise MismatchError(place, f"an object with the field {quoted(missing[0])}", "no such field")
    unknown = sorted(value.keys() - hints.keys())
    if closed and unknown:
        raise MismatchError(place, "no other fields than the known ones", f"the field {quoted(unknown[0])}")
    content = {
        name: build(hints[name], entry, member(place, name), finite=finite) if name in hints else entry
        for name, entry in value.items()
    }
    if not closed:
        return content
    try:
        return kind(**content)
    except ValueError as error:  # of its `__post_init__`
        raise MismatchError(place, f"a valid {kind.__name__}", str(error)) from error


@functools.cache
def _fields(kind: Any) -> tuple[dict[str, Any], frozenset[str], bool]:
    """Type hints by field, the required fields, and whether others are refused."""
    if typing.is_typeddict(kind):
        hints = typing.get_type_hints(kind, include_extras=True)
        # `__required_keys__` does not see a `NotRequired` whose annotation is kept as text.
        required = (name for name in kind.__required_keys__ if get_origin(hints[name]) is not NotRequired)
        return hints, frozenset(required), False
    fields = [each for each in dataclasses.fields(kind) if each.init]
    without_default = (
        each.name
        for each in fields
        if each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
    )
    hints = typing.get_type_hints(kind)
    return {each.name: hints[each.name] for each in fields}, frozenset(without_default), True
