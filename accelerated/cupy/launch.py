"""Contracts of kernel launches and of arrays on a device, for GPUs and for the emulation alike."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError

#: Of every card that CUDA 13 supports (from compute capability 7.5 on).
MOST_THREADS = 1024
MOST_BLOCKS = (2**31 - 1, 65535, 65535)
MOST_SHARED_BYTES = 64 * 1024


def triple(values: tuple[int, ...]) -> tuple[int, int, int]:
    """A grid or block of three axes."""
    x, y, z = (*values, 1, 1)[:3]
    return x, y, z


def check_launch(
    name: str, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...], shared_bytes: int, array: type
) -> None:
    """Check a launch of kernel `name`; `array` is the type of the device's arrays.

    Raises
    ------
    ContractError : see `Kernel`.
    """
    for what, values, most in (("grid", grid, MOST_BLOCKS), ("block", block, (1024, 1024, 64))):
        ok = 1 <= len(values) <= 3 and all(1 <= v <= m for v, m in zip(values, most, strict=False))
        if not ok:
            raise ContractError(name, what, f"one to three lengths from 1 to {most}", repr(values))
    if math.prod(block) > MOST_THREADS:
        raise ContractError(name, "block", f"at most {MOST_THREADS} threads", f"{block}")
    if not 0 <= shared_bytes <= MOST_SHARED_BYTES:
        raise ContractError(name, "shared_bytes", f"0 to {MOST_SHARED_BYTES}", repr(shared_bytes))
    for number, argument in enumerate(arguments):
        if isinstance(argument, array):
            if not argument.flags.c_contiguous:  # type: ignore[attr-defined]
                layout = f"shape {argument.shape}, strides {argument.strides}"  # type: ignore[attr-defined]
                raise ContractError(name, f"arguments[{number}]", "a C-contiguous array", layout)
        elif not isinstance(argument, np.generic):
            expected = f"a {array.__module__}.{array.__name__} or a NumPy scalar"
            raise ContractError(name, f"arguments[{number}]", expected, f"a {type(argument).__name__}")


def check_device_array(
    stage: str, argument: str, array: Any, shape: tuple[int | str, ...], dtype: npt.DTypeLike
) -> tuple[int, ...]:
    """Check shape and dtype of an array on a device and hand back its shape; values are not looked at.

    Parameters
    ----------
    shape : one entry an axis: an int that must match, or a letter for any length of at least 1.

    Raises
    ------
    ContractError : something else.
    """
    got = tuple(getattr(array, "shape", ()))
    fits = len(got) == len(shape) and all(
        length == want if isinstance(want, int) else length >= 1 for length, want in zip(got, shape, strict=True)
    )
    if not fits or getattr(array, "dtype", None) != np.dtype(dtype):
        expected = f"shape ({', '.join(map(str, shape))}), dtype {np.dtype(dtype).name}"
        raise ContractError(stage, argument, expected, f"shape {got}, dtype {getattr(array, 'dtype', None)}")
    return got
