"""Operators of ML Programs that move values and compute none; see ops.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.conversion.mil.arithmetic import Arithmetic, axes_of, axis_of, ints

Array = npt.NDArray[Any]

#: Specification version (macOS 14) from which `reshape` and `gather` differ in corner cases.
CHANGED = 8


def shape(x: Array) -> Array:
    return np.array(x.shape, np.int32)


def reshape(how: Arithmetic, x: Array, shape: Array) -> Array:
    lengths = ints(shape, ())
    shift = x.ndim - len(lengths)
    if 0 in lengths and shift and how.version < CHANGED:
        raise ValueError(f"shape {lengths} with 0 for {x.shape}")  # 0: as it was; before macOS 14 for the same rank
    kept = [1] * -shift + list(x.shape[max(shift, 0) :])
    return x.reshape([kept[k] if length == 0 else length for k, length in enumerate(lengths)])


def squeeze(how: Arithmetic, x: Array, axes: Array | None = None) -> Array:
    return np.squeeze(x, axis=tuple(axis for axis in axes_of(axes, x.ndim) if x.shape[axis] == 1))


def concat(how: Arithmetic, values: tuple[Array, ...], axis: Array, interleave: Array | bool = False) -> Array:
    if values[0].ndim == 0:
        return np.stack(values)
    at = axis_of(axis, values[0].ndim)
    if not interleave:
        return np.concatenate(values, axis=at)
    stacked = np.stack(values, axis=at + 1)
    return stacked.reshape(*stacked.shape[:at], -1, *stacked.shape[at + 2 :])


def split(
    how: Arithmetic, x: Array, axis: Array, num_splits: Array | None = None, split_sizes: Array | None = None
) -> tuple[Array, ...]:
    at = axis_of(axis, x.ndim)
    if split_sizes is None:
        if num_splits is None:
            raise ValueError("neither a number of parts nor their sizes")
        return tuple(np.split(x, int(num_splits), axis=at))
    if sum(ints(split_sizes, ())) != x.shape[at]:
        raise ValueError(f"parts of {ints(split_sizes, ())} out of {x.shape[at]}")
    return tuple(np.split(x, np.cumsum(split_sizes)[:-1], axis=at))


def slice_by_index(
    how: Arithmetic, x: Array, begin: Array, end: Array, stride: Array | None = None, begin_mask: Array | None = None,
    end_mask: Array | None = None, squeeze_mask: Array | None = None,
) -> Array:  # fmt: skip
    none = [0] * x.ndim
    columns = (ints(begin, ()), ints(end, ()), ints(stride, [1] * x.ndim),
               *(ints(mask, none) for mask in (begin_mask, end_mask, squeeze_mask)))  # fmt: skip
    at: list[int | slice] = []
    for first, last, step, from_start, to_end, single in zip(*columns, strict=True):
        at.append(first if single else slice(None if from_start else first, None if to_end else last, step))
    if len(at) != x.ndim:
        raise ValueError(f"{len(at)} slices of {x.shape}")
    return np.asarray(x[tuple(at)])


def slice_by_size(how: Arithmetic, x: Array, begin: Array, size: Array) -> Array:
    at = []
    for first, count, length in zip(ints(begin, ()), ints(size, ()), x.shape, strict=True):
        start = first % length if -length <= first < 0 else first
        stop = length if count == -1 else start + count
        if not 0 <= start <= stop <= length:
            raise ValueError(f"{count} values from {first} of {length}")
        at.append(slice(start, stop))
    return x[tuple(at)]


def gather(
    how: Arithmetic, x: Array, indices: Array, axis: Array | int = 0, batch_dims: Array | int = 0,
    validate_indices: Array | bool = False,
) -> Array:  # fmt: skip
    at = axis_of(axis, x.ndim)
    if int(batch_dims):
        raise ValueError("batch_dims other than 0")
    lowest = -x.shape[at] if how.version < CHANGED else 0  # negative indices count from the end before macOS 14 only
    if np.any((indices < lowest) | (indices >= x.shape[at])):
        raise ValueError(f"indices outside of {lowest}..{x.shape[at] - 1}")
    return np.take(x, indices.astype(np.int64), axis=at)


def gather_nd(
    how: Arithmetic, x: Array, indices: Array, batch_dims: Array | int = 0, validate_indices: Array | bool = False
) -> Array:
    """Each row of `indices` (its last axis) names a place on the first axes of `x`."""
    depth = indices.shape[-1]
    if int(batch_dims):
        raise ValueError("batch_dims other than 0")
    if not 1 <= depth <= x.ndim:
        raise ValueError(f"places of {depth} indices in {x.shape}")
    # Indices outside of an axis, including negative ones, are not defined for all versions.
    lengths = np.array(x.shape[:depth])
    if np.any((indices < 0) | (indices >= lengths)):
        raise ValueError(f"indices outside of {x.shape[:depth]}")
    return x[tuple(np.moveaxis(indices.astype(np.int64), -1, 0))]


def pad(
    how: Arithmetic, x: Array, pad: Array, mode: Array | str = "constant", constant_val: Array | float = 0
) -> Array:
    amounts = ints(pad, ())
    pairs = list(zip(amounts[::2], amounts[1::2], strict=True))
    whole = [(0, 0)] * (x.ndim - len(pairs)) + pairs
    match str(mode):
        case "constant":
            return np.pad(x, whole, constant_values=constant_val)
        case "reflect" if all(max(pair) < length for pair, length in zip(whole, x.shape, strict=True)):
            return np.pad(x, whole, mode="reflect")
        case "replicate":
            return np.pad(x, whole, mode="edge")
    raise ValueError(f"{mode} padding of {amounts} for {x.shape}")


def tile(how: Arithmetic, x: Array, reps: Array) -> Array:
    if reps.shape != (x.ndim,):
        raise ValueError(f"{reps.shape} repetitions of {x.shape}")
    return np.tile(x, ints(reps, ()))


def fill(how: Arithmetic, shape: Array, value: Array | None = None) -> Array:
    filling = np.zeros((), np.float32) if value is None else value
    return np.full(ints(shape, ()), filling, filling.dtype)
