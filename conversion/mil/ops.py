"""Operators of ML Programs in NumPy: the arrays of an operation's parameters go in by name, its output comes out.

Outputs have the dtype of the operator's definition, so that a wrong declaration is detected. Float16 results are
rounded once for each operator; sums over many values accumulate as `Arithmetic` says. A form of an operator that is not
implemented raises ValueError; it is never approximated. Definitions: coremltools' MIL operator reference. Operators of
maps are in map_ops.py, those that only move values in shape_ops.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.conversion.mil import map_ops, shape_ops
from auparity.conversion.mil.arithmetic import Arithmetic, axes_of, axis_of, by_channel, floating, ints

Array = npt.NDArray[Any]
Operator = Callable[..., Array | tuple[Array, ...]]

CASTS = {
    "fp16": np.float16, "fp32": np.float32, "int8": np.int8, "uint8": np.uint8, "int16": np.int16,
    "uint16": np.uint16, "int32": np.int32, "bool": np.bool_,
}  # fmt: skip


# Element by element ---------------------------------------------------------------------------------------------------


def _unary(function: Callable[[Array], Array]) -> Operator:
    def apply(how: Arithmetic, x: Array) -> Array:
        return np.asarray(function(x))

    return apply


def _floating_unary(function: Callable[[Array], Array]) -> Operator:
    """For functions of several steps or of floating point only: computed in float32, rounded once."""

    def apply(how: Arithmetic, x: Array) -> Array:
        wide = x.astype(np.float32) if floating(x).dtype == np.float16 else x
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
    return np.asarray(np.divide(floating(x), floating(y)))  # the result for integers is not clearly defined


def _log(how: Arithmetic, x: Array, epsilon: Array | float = 1e-45) -> Array:
    return _floating_unary(lambda v: np.log(v + v.dtype.type(epsilon)))(how, x)  # type: ignore[return-value]


def _rsqrt(how: Arithmetic, x: Array, epsilon: Array | float = 1e-12) -> Array:
    return _floating_unary(lambda v: 1 / np.sqrt(v + v.dtype.type(epsilon)))(how, x)  # type: ignore[return-value]


def _clip(how: Arithmetic, x: Array, alpha: Array, beta: Array) -> Array:
    return np.asarray(np.minimum(np.maximum(x, alpha), beta))


def _prelu(how: Arithmetic, x: Array, alpha: Array) -> Array:
    slopes = by_channel(alpha, x)
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
        over = axes_of(axes, x.ndim)
        reduced = np.asarray(function(how, how.wide(x), over)).astype(x.dtype)
        return reduced if keep_dims else np.squeeze(reduced, axis=tuple(over))

    return apply


def _mean(how: Arithmetic, x: Array, axes: Sequence[int]) -> Array:
    count = np.prod([x.shape[axis] for axis in axes], dtype=np.int64)
    return how.total(floating(x), axes) / x.dtype.type(count)


def _softmax(how: Arithmetic, x: Array, axis: Array | int = -1) -> Array:
    over = (axis_of(axis, floating(x).ndim),)
    wide = how.wide(x)
    powers = np.exp(wide - wide.max(axis=over, keepdims=True))
    return np.asarray(powers / how.total(powers, over)).astype(x.dtype)


OPERATORS: dict[str, Operator] = {
    **{name: _unary(function) for name, function in dict[str, Callable[[Array], Array]]({
        "identity": np.asarray, "abs": np.abs, "square": np.square, "floor": np.floor, "ceil": np.ceil,
        "round": np.round, "sqrt": np.sqrt, "sign": np.sign, "logical_not": np.logical_not,
        "relu": _relu, "shape": shape_ops.shape,
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
        "reduce_l2_norm": lambda how, x, axes: np.sqrt(how.total(floating(x) * x, axes)),
        "reduce_max": lambda how, x, axes: x.max(axis=tuple(axes), keepdims=True),
        "reduce_min": lambda how, x, axes: x.min(axis=tuple(axes), keepdims=True),
    }.items()},
    "real_div": _real_div, "log": _log, "rsqrt": _rsqrt, "clip": _clip, "prelu": _prelu, "leaky_relu": _leaky_relu,
    "cast": _cast, "select": _select, "matmul": _matmul, "linear": _linear, "softmax": _softmax,
    **{name: getattr(map_ops, name) for name in (
        "conv", "max_pool", "batch_norm", "instance_norm", "upsample_nearest_neighbor",
    )},
    **{name: getattr(shape_ops, name) for name in (
        "reshape", "squeeze", "concat", "split", "slice_by_index", "slice_by_size", "gather", "gather_nd", "pad",
        "tile", "fill",
    )},
    "expand_dims": lambda how, x, axes: np.expand_dims(x, tuple(ints(axes, ()))),
    "transpose": lambda how, x, perm: np.transpose(x, ints(perm, ())),
    "stack": lambda how, values, axis: np.stack(values, axis=int(axis)),
}  # fmt: skip
