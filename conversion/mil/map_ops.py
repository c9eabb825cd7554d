"""Operators of ML Programs on maps (N, C, ...): convolution, pooling, norms, larger maps; see ops.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from auparity.conversion.mil.arithmetic import Arithmetic, by_channel, floating, ints

Array = npt.NDArray[Any]


def batch_norm(
    how: Arithmetic, x: Array, mean: Array, variance: Array, gamma: Array | None = None, beta: Array | None = None,
    epsilon: Array | float = 1e-5,
) -> Array:  # fmt: skip
    wide, single = how.wide(floating(x)), np.float32
    scale = 1 / np.sqrt(by_channel(variance, x).astype(single) + single(epsilon))
    scale = scale if gamma is None else scale * by_channel(gamma, x).astype(single)
    normal = (wide.astype(single) - by_channel(mean, x).astype(single)) * scale
    return (normal if beta is None else normal + by_channel(beta, x).astype(single)).astype(x.dtype)


def _padding(
    lengths: Sequence[int], extents: Sequence[int], strides: Sequence[int], pad_type: str, pad: Sequence[int]
) -> list[tuple[int, int]]:
    """Padding before and after each spatial dimension; `extents` are the lengths of the (dilated) kernel."""
    if pad_type == "valid":
        return [(0, 0)] * len(lengths)
    if pad_type == "custom":
        return list(zip(pad[::2], pad[1::2], strict=True))
    if pad_type not in ("same", "same_lower"):
        raise ValueError(f"pad_type {pad_type}")
    pairs = []
    for length, extent, stride in zip(lengths, extents, strides, strict=True):
        needed = max(0, (-(-length // stride) - 1) * stride + extent - length)
        less, more = needed // 2, needed - needed // 2
        pairs.append((less, more) if pad_type == "same" else (more, less))
    return pairs


def conv(
    how: Arithmetic, x: Array, weight: Array, bias: Array | None = None, strides: Array | None = None,
    pad_type: Array | str = "valid", pad: Array | None = None, dilations: Array | None = None,
    groups: Array | int = 1,
) -> Array:  # fmt: skip
    rank, parts = x.ndim - 2, int(groups)
    steps, gaps = ints(strides, [1] * rank), ints(dilations, [1] * rank)
    outputs, depth, *kernel = weight.shape
    if x.ndim != weight.ndim or x.shape[1] != depth * parts or outputs % parts:
        raise ValueError(f"{parts} groups of weights {weight.shape} for {x.shape}")
    extents = [(length - 1) * gap + 1 for length, gap in zip(kernel, gaps, strict=True)]
    pairs = _padding(x.shape[2:], extents, steps, str(pad_type), ints(pad, [0] * 2 * rank))
    padded = np.pad(x, [(0, 0), (0, 0), *pairs])
    windows = sliding_window_view(padded, extents, axis=tuple(range(2, x.ndim)))  # (N, C, *out, *kernel)
    windows = windows[(slice(None), slice(None), *(slice(None, None, k) for k in (*steps, *gaps)))]
    size = windows.shape[2 : 2 + rank]
    grouped = windows.reshape(x.shape[0], parts, depth, *size, *kernel)
    # (groups, N, *out, depth, *kernel), then a matrix product for each group
    patches = np.moveaxis(grouped, [1, 2], [0, 2 + rank]).reshape(parts, -1, depth * int(np.prod(kernel)))
    product = how.product(patches, weight.reshape(parts, outputs // parts, -1).swapaxes(1, 2))
    maps = np.moveaxis(product.reshape(parts, x.shape[0], *size, outputs // parts), [0, -1], [1, 2])
    result = maps.reshape(x.shape[0], outputs, *size)
    return (result if bias is None else result + by_channel(bias, result).astype(result.dtype)).astype(x.dtype)


def max_pool(
    how: Arithmetic, x: Array, kernel_sizes: Array, pad_type: Array | str, strides: Array | None = None,
    pad: Array | None = None, ceil_mode: Array | bool = False,
) -> Array:  # fmt: skip
    rank = x.ndim - 2
    kernel, steps = ints(kernel_sizes, ()), ints(strides, [1] * rank)
    pairs = _padding(x.shape[2:], kernel, steps, str(pad_type), ints(pad, [0] * 2 * rank))
    counts, ends = [], []
    for length, extent, step, (before, after) in zip(x.shape[2:], kernel, steps, pairs, strict=True):
        room = length + before + after - extent
        count = (-(-room // step) if ceil_mode else room // step) + 1
        # A last window that would begin in the padding at the end is left out.
        count -= bool(ceil_mode) and before + after > 0 and (count - 1) * step >= length + before
        if room < 0 or (count - 1) * step >= length + before:
            raise ValueError(f"a window that lies outside of {length} values")
        counts.append(count)
        ends.append(max(after, (count - 1) * step + extent - length - before))
    # minus infinity never wins: the same as clipping the windows
    whole = [(0, 0), (0, 0), *((before, end) for (before, _), end in zip(pairs, ends, strict=True))]
    windows = sliding_window_view(np.pad(floating(x), whole, constant_values=-np.inf), kernel, tuple(range(2, x.ndim)))
    windows = windows[(slice(None), slice(None), *(slice(None, n * k, k) for n, k in zip(counts, steps, strict=True)))]
    return np.asarray(windows.max(axis=tuple(range(-rank, 0))))


def instance_norm(
    how: Arithmetic, x: Array, gamma: Array | None = None, beta: Array | None = None, epsilon: Array | float = 1e-5
) -> Array:
    """Every map of every image less its mean, over the root of its variance and `epsilon`."""
    axes = tuple(range(2, x.ndim))
    wide = how.wide(floating(x))
    count = wide.dtype.type(np.prod([x.shape[axis] for axis in axes], dtype=np.int64))
    centred = wide - how.total(wide, axes) / count
    variance = how.total(centred * centred, axes) / count
    normal = centred / np.sqrt(variance + wide.dtype.type(epsilon))
    scaled = normal if gamma is None else normal * by_channel(gamma, x).astype(wide.dtype)
    return (scaled if beta is None else scaled + by_channel(beta, x).astype(wide.dtype)).astype(x.dtype)


def upsample_nearest_neighbor(
    how: Arithmetic, x: Array, scale_factor_height: Array | float = 1, scale_factor_width: Array | float = 1
) -> Array:
    """Each value of the last two axes repeated; only for whole factors, of which no rule for fractions is needed."""
    factors = float(scale_factor_height), float(scale_factor_width)
    if x.ndim < 3 or any(factor < 1 or factor != int(factor) for factor in factors):
        raise ValueError(f"factors {factors} for {x.shape}, defined here for maps and whole factors only")
    return x.repeat(int(factors[0]), axis=-2).repeat(int(factors[1]), axis=-1)
