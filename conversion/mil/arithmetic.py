"""What the operators of ML Programs share: how sums accumulate, and how axes and lists of integers are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Arithmetic:
    """How sums of float16 values accumulate (step by step in float16, or in float32), and the format's version."""

    stepwise: bool
    version: int

    def wide(self, x: Array) -> Array:
        """Float16 values as they are accumulated."""
        return x.astype(np.float32) if x.dtype == np.float16 and not self.stepwise else x

    def total(self, x: Array, axes: Sequence[int]) -> Array:
        """Sum over axes, which stay with length 1; in the dtype of `x`. Float32 values are added in float64."""
        if x.dtype != np.float16:
            exact = np.float64 if x.dtype == np.float32 else x.dtype
            return np.sum(x, axis=tuple(axes), dtype=exact, keepdims=True).astype(x.dtype, copy=False)
        # NumPy's float16 sum rounds less often than once a step; a running sum does not.
        kept = [axis for axis in range(x.ndim) if axis not in axes]
        rows = x.transpose(*kept, *axes).reshape(*(x.shape[axis] for axis in kept), -1)
        ended = (
            np.add.accumulate(rows, axis=-1)[..., -1:] if rows.shape[-1] else np.zeros((*rows.shape[:-1], 1), x.dtype)
        )
        return ended.reshape([1 if axis in axes else length for axis, length in enumerate(x.shape)])

    def product(self, x: Array, y: Array) -> Array:
        """Matrix product, in the dtype it accumulates in.

        Float32 products are added in float64 and rounded once: the order of the sums, which is another one in every
        BLAS kernel, then changes no more than single last bits.
        """
        if x.dtype != np.float16 or not self.stepwise:
            x, y = self.wide(x), self.wide(y)
            if x.dtype != np.float32:
                return np.matmul(x, y)
            return np.matmul(x.astype(np.float64), y.astype(np.float64)).astype(np.float32)
        y = y.astype(x.dtype, copy=False)
        if x.shape[-1] != y.shape[-2]:
            raise ValueError(f"a product of {x.shape} and {y.shape}")
        batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
        total = np.zeros((*batch, x.shape[-2], y.shape[-1]), x.dtype)
        for k in range(x.shape[-1]):
            total += x[..., :, k, None] * y[..., None, k, :]
        return total


def ints(values: Array | None, otherwise: Sequence[int]) -> list[int]:
    return list(otherwise) if values is None else [int(value) for value in np.ravel(values)]


def axes_of(values: Array | None, rank: int) -> list[int]:
    """Axes counted from the front; all axes if none are named."""
    return [axis_of(axis, rank) for axis in ints(values, range(rank))]


def axis_of(value: Array | int, rank: int) -> int:
    axis = int(value)
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} of {rank}")
    return axis % rank


def floating(x: Array) -> Array:
    if x.dtype.kind != "f":
        raise ValueError(f"{x.dtype}, defined for floating point only")
    return x


def by_channel(values: Array, x: Array) -> Array:
    """One value for each channel (axis 1), ready to broadcast."""
    if x.ndim < 2 or values.shape != (x.shape[1],):
        raise ValueError(f"{values.shape} values for the channels of {x.shape}")
    return values.reshape(-1, *[1] * (x.ndim - 2))
