"""Short texts of dataclasses that hold arrays, so that printing one does not flood a notebook or a debugger."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

#: Arrays of up to so many numbers are printed with their values, others with their shape.
FEW = 6
#: Characters of a field, at most.
LONGEST = 80


def short_repr(cls: type[T]) -> type[T]:
    """A class decorator, above `dataclass`: its objects print arrays by type and shape, and what they hold by kind."""
    cls.__repr__ = _repr  # type: ignore[method-assign]
    return cls


def _repr(self: Any) -> str:
    fields = [f"{field.name}={shown(getattr(self, field.name))}" for field in dataclasses.fields(self) if field.repr]
    return f"{type(self).__name__}({', '.join(fields)})"


def shown(value: Any) -> str:
    """A value in a few characters."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        if type(value).__module__ == "numpy" and 0 < value.size <= FEW and value.ndim == 1:
            return str([float(f"{number:.4g}") for number in value.tolist()])
        return f"{value.dtype} {tuple(value.shape)}"
    if dataclasses.is_dataclass(value):
        return f"{type(value).__name__}(...)"
    if isinstance(value, Mapping):
        return f"{len(value)} by name"
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        kinds = sorted({type(item).__name__ for item in value})
        return f"{len(value)} of {' or '.join(kinds)}" if kinds else "none"
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
