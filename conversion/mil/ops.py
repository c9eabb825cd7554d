"""Operators of ML Programs in NumPy: the arrays of an operation's parameters go in by name, its output comes out.

Outputs have the dtype of the operator's definition, so that a wrong declaration is detected. Float16 results are
rounded once for each operator; sums over many values accumulate as `Arithmetic` says. A form of an operator that is not
implemented raises ValueError; it is never approximated. Definitions: coremltools' MIL operator reference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

Array = npt.NDArray[Any]
Operator = Callable[..., Array | tuple[Array, ...]]

#: Specification version (macOS 14) from which `reshape` and `gather` differ in corner cases.
CHANGED = 8
CASTS = {
    "fp16": np.float16, "fp32": np.float32, "int8": np.int8, "uint8": np.uint8, "int16": np.int16,
    "uint16": np.uint16, "int32": np.int32, "bool": np.bool_,
}  # fmt: skip


@dataclass(frozen=True)
class Arithmetic:
    """How sums of float16 values accumulate (step by step in float16, or in float32), and the format's version."""

    stepwise: bool
    version: int

    def wide(self, x: Array) -> Array:
        """Float16 values as they are accumulated."""
        return x.astype(np.float32) if x.dtype == np.float16 and not self.stepwise else x

    def total(self, x: Array, axes: Sequence[int]) -> Array:
        """Sum over axes, which stay with length 1; in the dtype of `x`."""
        if x.dtype != np.float16:
            return np.sum(x, axis=tuple(axes), dtype=x.dtype, keepdims=True)
        # NumPy's float16 sum rounds less often than once a step; a running sum does not.
        kept = [axis for axis in range(x.ndim) if axis not in axes]
        rows = x.transpose(*kept, *axes).reshape(*(x.shape[axis] for axis in kept), -1)
        ended = (
            np.add.accumulate(rows, axis=-1)[..., -1:] if rows.shape[-1] else np.zeros((*rows.shape[:-1], 1), x.dtype)
        )
        return ended.reshape([1 if axis in axes else length for axis, length in enumerate(x.shape)])

    def product(self, x: Array, y: Array) -> Array:
        """Matrix product, in the dtype it accumulates in."""
        if x.dtype != np.float16 or not self.stepwise:
            return np.matmul(self.wide(x), self.wide(y))
        y = y.astype(x.dtype, copy=False)
        if x.shape[-1] != y.shape[-2]:
            raise ValueError(f"a product of {x.shape} and {y.shape}")
        batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
        total = np.zeros((*batch, x.shape[-2], y.shape[-1]), x.dtype)
        for k in range(x.shape[-1]):
            total += x[..., :, k, None] * y[..., None, k, :]
        return total


def _ints(values: Array | None, otherwise: Sequence[int]) -> list[int]:
    return list(otherwise) if values is None else [int(value) for value in np.ravel(values)]


def _axes(values: Array | None, rank: int) -> list[int]:
    """Axes counted from the front; all axes if none are named."""
    return [_axis(axis, rank) for axis in _ints(values, range(rank))]


def _axis(value: Array | int, rank: int) -> int:
    axis = int(value)
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} of {rank}")
    return axis % rank


def _floating(x: Array) -> Array:
    if x.dtype.kind != "f":
        raise ValueError(f"{x.dtype}, defined for floating point only")
    return x


# Element by element ---------------------------------------------------------------------------------------------------


def _unary(function: Callable[[Array], Array]) -> Operator:
    def apply(how: Arithmetic, x: Array) -> Array:
        return np.asarray(function(x))

    return apply


def _floating_unary(function: Callable[[Array], Array]) -> Operator:
    """For functions of several steps or of floating point only: computed in float32, rounded once."""

    def apply(how: Arithmetic, x: Array) -> Array:
        wide = x.astype(np.float32) if _floating(x).dtype == np.float16 else x
        return np.asarray(function(wide)).astype(x.dtype)

    return apply


def _binary(function: Callable[[Array, Array], Array]) -> Operator:
    def apply(how: Arithmetic, x: Array, y: Array) -> Array:
        return np.asarray(function(x, y))

    return apply


def _relu(x: Array) -> Array:
    return np.maximum(x, x.dtype.type(0))


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def _real_div(how: Arithmetic, x: Array, y: Array) -> Array:
    return np.asarray(np.divide(_floating(x), _floating(y)))  # the result for integers is not clearly defined


def _log(how: Arithmetic, x: Array, epsilon: Array | float = 1e-45) -> Array:
    return _floating_unary(lambda v: np.log(v + v.dtype.type(epsilon)))(how, x)  # type: ignore[return-value]


def _rsqrt(how: Arithmetic, x: Array, epsilon: Array | float = 1e-12) -> Array:
    return _floating_unary(lambda v: 1 / np.sqrt(v + v.dtype.type(epsilon)))(how, x)  # type: ignore[return-value]


def _clip(how: Arithmetic, x: Array, alpha: Array, beta: Array) -> Array:
    return np.asarray(np.minimum(np.maximum(x, alpha), beta))


def _prelu(how: Arithmetic, x: Array, alpha: Array) -> Array:
    slopes = _channels(alpha, x)
    return np.where(x > 0, x, x * slopes)


def _leaky_relu(how: Arithmetic, x: Array, alpha: Array) -> Array:
    return np.where(x >= 0, x, x * alpha)


def _cast(how: Arithmetic, x: Array, dtype: Array) -> Array:
    if str(dtype) not in CASTS:
        raise ValueError(f"cast to {dtype}")
    return x.astype(CASTS[str(dtype)])


def _select(how: Arithmetic, cond: Array, a: Array, b: Array) -> Array:
    return np.where(cond, a, b)


# Sums and products ----------------------------------------------------------------------------------------------------


def _matmul(
    how: Arithmetic, x: Array, y: Array, transpose_x: Array | bool = False, transpose_y: Array | bool = False
) -> Array:
    first = x[None] if x.ndim == 1 else x.swapaxes(-1, -2) if transpose_x else x
    second = y[:, None] if y.ndim == 1 else y.swapaxes(-1, -2) if transpose_y else y
    product = how.product(first, second).astype(x.dtype)
    product = product[..., 0] if y.ndim == 1 else product
    return product[..., 0, :] if x.ndim == 1 and y.ndim > 1 else product[..., 0] if x.ndim == 1 else product


def _linear(how: Arithmetic, x: Array, weight: Array, bias: Array | None = None) -> Array:
    product = how.product(np.atleast_2d(x), weight.T)
    total = product if bias is None else product + bias.astype(product.dtype)
    return total.astype(x.dtype).reshape(*x.shape[:-1], weight.shape[0])


def _reduction(function: Callable[[Arithmetic, Array, Sequence[int]], Array]) -> Operator:
    """A reduction from a function that keeps the axes that it reduces."""

    def apply(how: Arithmetic, x: Array, axes: Array | None = None, keep_dims: Array | bool = False) -> Array:
        over = _axes(axes, x.ndim)
        reduced = np.asarray(function(how, how.wide(x), over)).astype(x.dtype)
        return reduced if keep_dims else np.squeeze(reduced, axis=tuple(over))

    return apply


def _mean(how: Arithmetic, x: Array, axes: Sequence[int]) -> Array:
    count = np.prod([x.shape[axis] for axis in axes], dtype=np.int64)
    return how.total(_floating(x), axes) / x.dtype.type(count)


def _softmax(how: Arithmetic, x: Array, axis: Array | int = -1) -> Array:
    over = (_axis(axis, _floating(x).ndim),)
    wide = how.wide(x)
    powers = np.exp(wide - wide.max(axis=over, keepdims=True))
    return np.asarray(powers / how.total(powers, over)).astype(x.dtype)


def _channels(values: Array, x: Array) -> Array:
    """One value for each channel (axis 1), ready to broadcast."""
    if x.ndim < 2 or values.shape != (x.shape[1],):
        raise ValueError(f"{values.shape} values for the channels of {x.shape}")
    return values.reshape(-1, *[1] * (x.ndim - 2))


def _batch_norm(
    how: Arithmetic, x: Array, mean: Array, variance: Array, gamma: Array | None = None, beta: Array | None = None,
    epsilon: Array | float = 1e-5,
) -> Array:  # fmt: skip
    wide, single = how.wide(_floating(x)), np.float32
    scale = 1 / np.sqrt(_channels(variance, x).astype(single) + single(epsilon))
    scale = scale if gamma is None else scale * _channels(gamma, x).astype(single)
    normal = (wide.astype(single) - _channels(mean, x).astype(single)) * scale
    return (normal if beta is None else normal + _channels(beta, x).astype(single)).astype(x.dtype)


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


def _conv(
    how: Arithmetic, x: Array, weight: Array, bias: Array | None = None, strides: Array | None = None,
    pad_type: Array | str = "valid", pad: Array | None = None, dilations: Array | None = None,
    groups: Array | int = 1,
) -> Array:  # fmt: skip
    rank, parts = x.ndim - 2, int(groups)
    steps, gaps = _ints(strides, [1] * rank), _ints(dilations, [1] * rank)
    outputs, depth, *kernel = weight.shape
    if x.ndim != weight.ndim or x.shape[1] != depth * parts or outputs % parts:
        raise ValueError(f"{parts} groups of weights {weight.shape} for {x.shape}")
    extents = [(length - 1) * gap + 1 for length, gap in zip(kernel, gaps, strict=True)]
    pairs = _padding(x.shape[2:], extents, steps, str(pad_type), _ints(pad, [0] * 2 * rank))
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
    return (result if bias is None else result + _channels(bias, result).astype(result.dtype)).astype(x.dtype)


def _max_pool(
    how: Arithmetic, x: Array, kernel_sizes: Array, pad_type: Array | str, strides: Array | None = None,
    pad: Array | None = None, ceil_mode: Array | bool = False,
) -> Array:  # fmt: skip
    rank = x.ndim - 2
    kernel, steps = _ints(kernel_sizes, ()), _ints(strides, [1] * rank)
    pairs = _padding(x.shape[2:], kernel, steps, str(pad_type), _ints(pad, [0] * 2 * rank))
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
    windows = sliding_window_view(np.pad(_floating(x), whole, constant_values=-np.inf), kernel, tuple(range(2, x.ndim)))
    windows = windows[(slice(None), slice(None), *(slice(None, n * k, k) for n, k in zip(counts, steps, strict=True)))]
    return np.asarray(windows.max(axis=tuple(range(-rank, 0))))


# Shapes ---------------------------------------------------------------------------------------------------------------


def _shape(x: Array) -> Array:
    return np.array(x.shape, np.int32)


def _reshape(how: Arithmetic, x: Array, shape: Array) -> Array:
    lengths = _ints(shape, ())
    shift = x.ndim - len(lengths)
    if 0 in lengths and shift and how.version < CHANGED:
        raise ValueError(f"shape {lengths} with 0 for {x.shape}")  # 0: as it was; before macOS 14 for the same rank
    kept = [1] * -shift + list(x.shape[max(shift, 0) :])
    return x.reshape([kept[k] if length == 0 else length for k, length in enumerate(lengths)])


def _squeeze(how: Arithmetic, x: Array, axes: Array | None = None) -> Array:
    return np.squeeze(x, axis=tuple(axis for axis in _axes(axes, x.ndim) if x.shape[axis] == 1))


def _concat(how: Arithmetic, values: tuple[Array, ...], axis: Array, interleave: Array | bool = False) -> Array:
    if values[0].ndim == 0:
        return np.stack(values)
    at = _axis(axis, values[0].ndim)
    if not interleave:
        return np.concatenate(values, axis=at)
    stacked = np.stack(values, axis=at + 1)
    return stacked.reshape(*stacked.shape[:at], -1, *stacked.shape[at + 2 :])


def _split(
    how: Arithmetic, x: Array, axis: Array, num_splits: Array | None = None, split_sizes: Array | None = None
) -> tuple[Array, ...]:
    at = _axis(axis, x.ndim)
    if split_sizes is None:
        if num_splits is None:
            raise ValueError("neither a number of parts nor their sizes")
        return tuple(np.split(x, int(num_splits), axis=at))
    if sum(_ints(split_sizes, ())) != x.shape[at]:
        raise ValueError(f"parts of {_ints(split_sizes, ())} out of {x.shape[at]}")
    return tuple(np.split(x, np.cumsum(split_sizes)[:-1], axis=at))


def _slice_by_index(
    how: Arithmetic, x: Array, begin: Array, end: Array, stride: Array | None = None, begin_mask: Array | None = None,
    end_mask: Array | None = None, squeeze_mask: Array | None = None,
) -> Array:  # fmt: skip
    none = [0] * x.ndim
    columns = (_ints(begin, ()), _ints(end, ()), _ints(stride, [1] * x.ndim),
               *(_ints(mask, none) for mask in (begin_mask, end_mask, squeeze_mask)))  # fmt: skip
    at: list[int | slice] = []
    for first, last, step, from_start, to_end, single in zip(*columns, strict=True):
        at.append(first if single else slice(None if from_start else first, None if to_end else last, step))
    if len(at) != x.ndim:
        raise ValueError(f"{len(at)} slices of {x.shape}")
    return np.asarray(x[tuple(at)])


def _slice_by_size(how: Arithmetic, x: Array, begin: Array, size: Array) -> Array:
    at = []
    for first, count, length in zip(_ints(begin, ()), _ints(size, ()), x.shape, strict=True):
        start = first % length if -length <= first < 0 else first
        stop = length if count == -1 else start + count
        if not 0 <= start <= stop <= length:
            raise ValueError(f"{count} values from {first} of {length}")
        at.append(slice(start, stop))
    return x[tuple(at)]


def _gather(
    how: Arithmetic, x: Array, indices: Array, axis: Array | int = 0, batch_dims: Array | int = 0,
    validate_indices: Array | bool = False,
) -> Array:  # fmt: skip
    at = _axis(axis, x.ndim)
    if int(batch_dims):
        raise ValueError("batch_dims other than 0")
    lowest = -x.shape[at] if how.version < CHANGED else 0  # negative indices count from the end before macOS 14 only
    if np.any((indices < lowest) | (indices >= x.shape[at])):
        raise ValueError(f"indices outside of {lowest}..{x.shape[at] - 1}")
    return np.take(x, indices.astype(np.int64), axis=at)


def _gather_nd(
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


def _pad(
    how: Arithmetic, x: Array, pad: Array, mode: Array | str = "constant", constant_val: Array | float = 0
) -> Array:
    amounts = _ints(pad, ())
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


def _tile(how: Arithmetic, x: Array, reps: Array) -> Array:
    if reps.shape != (x.ndim,):
        raise ValueError(f"{reps.shape} repetitions of {x.shape}")
    return np.tile(x, _ints(reps, ()))


def _fill(how: Arithmetic, shape: Array, value: Array | None = None) -> Array:
    filling = np.zeros((), np.float32) if value is None else value
    return np.full(_ints(shape, ()), filling, filling.dtype)


OPERATORS: dict[str, Operator] = {
    **{name: _unary(function) for name, function in dict[str, Callable[[Array], Array]]({
        "identity": np.asarray, "abs": np.abs, "square": np.square, "floor": np.floor, "ceil": np.ceil,
        "round": np.round, "sqrt": np.sqrt, "sign": np.sign, "logical_not": np.logical_not,
        "relu": _relu, "shape": _shape,
    }).items()},
    "exp": _floating_unary(np.exp), "tanh": _floating_unary(np.tanh), "sigmoid": _floating_unary(_sigmoid),
    **{name: _binary(function) for name, function in {
        "add": np.add, "sub": np.subtract, "mul": np.multiply, "maximum": np.maximum, "minimum": np.minimum,
        "pow": np.power, "greater": np.greater, "greater_equal": np.greater_equal, "less": np.less,
        "less_equal": np.less_equal, "equal": np.equal, "not_equal": np.not_equal,
        "logical_and": np.logical_and, "logical_or": np.logical_or,
    }.items()},
    **{name: _reduction(function) for name, function in {
        "reduce_sum": lambda how, x, axes: how.total(x, axes),
        "reduce_mean": _mean,
        "reduce_sum_square": lambda how, x, axes: how.total(x * x, axes),
        "reduce_l2_norm": lambda how, x, axes: np.sqrt(how.total(_floating(x) * x, axes)),
        "reduce_max": lambda how, x, axes: x.max(axis=tuple(axes), keepdims=True),
        "reduce_min": lambda how, x, axes: x.min(axis=tuple(axes), keepdims=True),
    }.items()},
    "real_div": _real_div, "log": _log, "rsqrt": _rsqrt, "clip": _clip, "prelu": _prelu, "leaky_relu": _leaky_relu,
    "cast": _cast, "select": _select, "matmul": _matmul, "linear": _linear, "softmax": _softmax, "conv": _conv,
    "max_pool": _max_pool, "batch_norm": _batch_norm, "reshape": _reshape, "squeeze": _squeeze, "concat": _concat,
    "expand_dims": lambda how, x, axes: np.expand_dims(x, tuple(_ints(axes, ()))),
    "transpose": lambda how, x, perm: np.transpose(x, _ints(perm, ())),
    "stack": lambda how, values, axis: np.stack(values, axis=int(axis)),
    "split": _split, "slice_by_index": _slice_by_index, "slice_by_size": _slice_by_size, "gather": _gather,
    "gather_nd": _gather_nd, "pad": _pad, "tile": _tile, "fill": _fill,
}  # fmt: skip
