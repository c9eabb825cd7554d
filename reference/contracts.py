"""Checks of what comes into a stage: shape, dtype and finite values of arrays, and of single numbers likewise (design:
stage contracts, batch first)."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError

Array = npt.NDArray[Any]


def check_array(
    stage: str, argument: str, array: Any, shape: tuple[int | str, ...], dtype: npt.DTypeLike | None = None
) -> Array:
    """Check one array against its contract and hand it back.

    Parameters
    ----------
    stage, argument : names for the error message.
    array : what came.
    shape : one entry an axis: an int that must match, or a letter for any length of at least 1.
    dtype : a NumPy dtype, or None for any real floating or integer type.

    Raises
    ------
    ContractError : not an array, wrong number of axes, wrong length, wrong dtype, NaN or infinite values.
    """
    expected = f"shape ({', '.join(str(s) for s in shape)}), dtype {np.dtype(dtype).name if dtype else 'real'}"
    if not isinstance(array, np.ndarray):
        raise ContractError(stage, argument, expected, f"a {type(array).__name__}")
    fits = array.ndim == len(shape) and all(
        length == want if isinstance(want, int) else length >= 1
        for length, want in zip(array.shape, shape, strict=True)
    )
    right_type = array.dtype == np.dtype(dtype) if dtype is not None else array.dtype.kind in "fiu"
    if not fits or not right_type:
        raise ContractError(stage, argument, expected, f"shape {array.shape}, dtype {array.dtype}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = int(np.size(array) - np.count_nonzero(np.isfinite(array)))
        raise ContractError(stage, argument, "finite values", f"{bad} NaN or infinite of {array.size}")
    return array


def check_image(stage: str, image: Any) -> Array:
    """A colour image (H, W, 3) uint8 BGR, as OpenCV reads it."""
    return check_array(stage, "image", image, ("H", "W", 3), np.uint8)


def check_number(stage: str, argument: str, value: Any) -> float:
    """A finite real number, as a float; raises `ContractError` for anything else, booleans included."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ContractError(stage, argument, "a finite number", f"{value!r} ({type(value).__name__})")
    if not math.isfinite(value):
        raise ContractError(stage, argument, "a finite number", str(value))
    return float(value)


def check_timestamp(stage: str, timestamp: Any, before: float | None) -> float:
    """A time stamp in seconds, not before that of the previous frame (`before`, None for the first frame).

    Equal ones are allowed: every image of a folder without a rate is at 0.
    """
    seconds = check_number(stage, "timestamp", timestamp)
    if before is not None and seconds < before:
        raise ContractError(
            stage, "timestamp", f"not before that of the previous frame, {before:g} s", f"{seconds:g} s"
        )
    return seconds
