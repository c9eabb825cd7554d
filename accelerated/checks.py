"""Checks of small arrays, a microsecond each: a fast path accepts, the reference check describes a fault."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError
from auparity.reference.contracts import check_array

Array = npt.NDArray[Any]


def check_small(stage: str, argument: str, array: Any, shape: tuple[int, ...], dtype: npt.DTypeLike | None) -> None:
    """An array of parameters or landmarks: exact shape and dtype (None: any real one), finite values.

    Raises
    ------
    ContractError : as of `check_array`.
    """
    fits = type(array) is np.ndarray and array.shape == shape
    if fits and (array.dtype.kind in "fiu" if dtype is None else array.dtype == dtype):
        flat = array.reshape(-1)
        if math.isfinite(flat.dot(flat)):  # otherwise not finite, or merely large
            return
    check_array(stage, argument, array, shape, dtype)


def batch_of(stage: str, argument: str, array: Any, *axes: int) -> int:
    """N of an array (N, *axes), which all arguments of a call share.

    Raises
    ------
    ContractError : it is not such an array, or is empty.
    """
    if not (type(array) is np.ndarray and array.shape[1:] == axes and array.size):
        check_array(stage, argument, array, ("N", *axes))
    return len(array)


def check_areas(
    stage: str, areas: Any, landmarks: Any, scale_index: int, view: int, views: Sequence[int], n_points: int
) -> None:
    """Arguments of `PatchExpertStage.area_responses`, of experts for `n_points` landmarks with `views` at each scale.

    Raises
    ------
    ContractError : shapes do not fit, or the model does not have a landmark, scale or view.
    """
    check_array(stage, "areas", areas, ("K", "side", "side"), np.float32)
    check_array(stage, "landmarks", landmarks, (len(areas),))
    if not 0 <= scale_index < len(views):
        raise ContractError(stage, "scale_index", f"0 to {len(views) - 1}", str(scale_index))
    if not 0 <= view < views[scale_index]:
        raise ContractError(stage, "view", f"0 to {views[scale_index] - 1}", str(view))
    if landmarks.min() < 0 or landmarks.max() >= n_points:
        raise ContractError(stage, "landmarks", f"0 to {n_points - 1}", str(landmarks.tolist()))


def check_gray(stage: str, gray: Any, dtype: npt.DTypeLike = np.float32) -> None:
    """Gray images (N, H, W) as stage `grayscale` makes them. Their values are not checked, because a pass over an
    image for each of the many fits of a frame would cost more than the fits.

    Raises
    ------
    ContractError : wrong shape or dtype, or no pixels.
    """
    if not (isinstance(gray, np.ndarray) and gray.ndim == 3 and gray.dtype == dtype and gray.size):
        got = f"shape {gray.shape}, dtype {gray.dtype}" if isinstance(gray, np.ndarray) else f"a {type(gray).__name__}"
        raise ContractError(stage, "gray", f"shape (N, H, W), dtype {np.dtype(dtype).name}, not empty", got)
