"""Types of a kernel's arguments, without Numba: the forms that specialisations take, and their keys."""

from __future__ import annotations

from typing import Any

import numpy as np

#: Types of scalars by the letter that stands for them in keys; the first is what calls are made with.
SCALARS: dict[str, tuple[type, ...]] = {"b": (bool, np.bool_), "i": (int, np.int64), "f": (float, np.float64)}
_LETTERS = {kind: letter for letter, kinds in SCALARS.items() for kind in kinds}


def canonical(argument: Any) -> Any:
    """The argument in the form in which specialisations take it: arrays as plain ones of NumPy's own dtypes."""
    if isinstance(argument, np.ndarray):
        plain = np.asarray(argument)  # without a subclass such as memmap
        own = np.dtype(plain.dtype.str)
        return plain if plain.dtype is own else plain.view(own)
    return argument


def key_of(arguments: tuple[Any, ...]) -> str:
    """Type, number of axes, order, access and alignment of each argument.

    Raises
    ------
    TypeError : arguments of other types than arrays and numbers.
    """
    return " ".join(_key(argument) for argument in arguments)


def _key(argument: Any) -> str:
    if isinstance(argument, np.ndarray):
        access = "w" if argument.flags.writeable else "r"
        aligned = "" if argument.flags.aligned else "u"
        return f"{argument.dtype.str}:{argument.ndim}{order_of(argument)}{access}{aligned}"
    if (letter := _LETTERS.get(type(argument))) is not None:
        return letter
    if isinstance(argument, np.generic):
        return argument.dtype.str
    raise TypeError(f"a kernel takes arrays and numbers, not {type(argument).__name__}")


def of_key(key: str) -> tuple[Any, ...]:
    """Arguments that have a key: small arrays and ones."""
    return tuple(_of_key(part) for part in key.split())


def _of_key(key: str) -> Any:
    if key in SCALARS:
        return SCALARS[key][0](1)
    dtype, _, form = key.partition(":")
    if not form:
        return np.dtype(dtype).type(1)
    axes, order, access, aligned = int(form[0]), form[1], form[2], "u" not in form[3:]
    room = np.zeros(4**axes * np.dtype(dtype).itemsize + 1, np.uint8)
    flat = (room[:-1] if aligned else room[1:]).view(dtype)
    array = flat.reshape(axes * (4,), order="F" if order == "F" else "C")
    array = array[axes * (slice(None, None, 2),)] if order == "A" else array
    array.flags.writeable = access == "w"
    return array


def order_of(array: np.ndarray[Any, Any]) -> str:
    """C, F, or A for neither, as Numba tells them apart."""
    return "C" if array.flags.c_contiguous else "F" if array.flags.f_contiguous else "A"
