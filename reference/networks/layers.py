"""The layers of the networks of this folder, on maps (N, C, H, W) of float32, or of float64, which tells rounding from
error.

Every layer gives the same bits on every machine: products and sums have an order of their own, or none (sums.py), each
output of a convolution is rounded once, and exponentials are the reference's own. Maps are kept in memory with the
channels last, which is how a convolution computes them, whatever their axes say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from auparity.errors import ContractError
from auparity.models.types import Tensors
from auparity.reference import sums
from auparity.reference.elementary import exp

Array = npt.NDArray[Any]
#: What the layers of one library or one graph pass on.
Maps = Any
#: Zeros around maps: as many rows and columns on every side, or (at the top and left, at the bottom and right).
Padding = int | tuple[int, int]

STAGE = "networks"

#: Added to a variance before its root is taken, by batch and instance norms.
NORM_EPSILON = 1e-5
#: Numbers of input windows that are multiplied at once: bounds memory, not results.
AT_ONCE = 1 << 23


class NetworkLayers(Protocol):
    """What a network is made of, whatever computes it: NumPy here, other libraries, or a graph that is written down.

    The networks of this folder are functions of these layers, so each of them is written once. Maps (N, C, H, W) and
    values (N, C) are what the layers give, and can be added and multiplied; their channels are `shape[1]`.
    """

    def __contains__(self, name: str) -> bool:
        """Whether there is a weight of this name."""

    def conv(self, maps: Maps, name: str, stride: int = 1, padding: Padding = 0) -> Maps: ...
    def norm(self, maps: Maps, name: str) -> Maps: ...
    def linear(self, values: Maps, name: str) -> Maps: ...
    def prelu(self, maps: Maps, name: str) -> Maps: ...
    def relu(self, maps: Maps) -> Maps: ...
    def leaky_relu(self, maps: Maps, slope: float) -> Maps: ...
    def sigmoid(self, maps: Maps) -> Maps: ...
    def max_pool(self, maps: Maps, kernel: int, stride: int, padding: int = 0) -> Maps: ...
    def mean_pool(self, maps: Maps) -> Maps: ...
    def nearest(self, maps: Maps, like: Maps) -> Maps: ...
    def instance_norm(self, maps: Maps) -> Maps: ...
    def join(self, parts: Sequence[Maps]) -> Maps: ...
    def constant(self, values: Array, like: Maps) -> Maps: ...
    def above(self, maps: Maps, threshold: float) -> Maps: ...
    def channels(self, maps: Maps, first: int | None, last: int | None) -> Maps: ...
    def flat(self, maps: Maps) -> Maps: ...


class Layers:
    """The layers of one network in NumPy, by the names that its weights have.

    Parameters
    ----------
    tensors : the weights.
    dtype : in which is computed.
    """

    def __init__(self, tensors: Tensors, dtype: npt.DTypeLike = np.float32) -> None:
        self._weights = {name: values.astype(dtype) for name, values in tensors.by_name().items()}
        self._norms: dict[str, tuple[Array, Array]] = {}
        self.dtype = np.dtype(dtype).type

    def __contains__(self, name: str) -> bool:
        return name in self._weights

    def __getitem__(self, name: str) -> Array:
        return self._weights[name]

    def conv(self, maps: Array, name: str, stride: int = 1, padding: Padding = 0) -> Array:
        """The convolution `name`; a depthwise one where its weights are of single channels."""
        weights, bias = self._weights[f"{name}.weight"], self._weights.get(f"{name}.bias")
        if weights.shape[1] == 1 and maps.shape[1] > 1:
            return depthwise(maps, weights, bias, stride, padding)
        return convolve(maps, weights, bias, stride, padding)

    def norm(self, maps: Array, name: str) -> Array:
        """The batch norm `name` as it is after training: a factor and a summand for each channel."""
        if name not in self._norms:
            parts = (self._weights[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var"))
            weight, bias, mean, variance = (part.astype(np.float64) for part in parts)
            factor = weight / np.sqrt(variance + NORM_EPSILON)
            self._norms[name] = factor.astype(self.dtype), (bias - mean * factor).astype(self.dtype)
        factor, summand = (_per_channel(values, maps.ndim) for values in self._norms[name])
        return maps * factor + summand

    def linear(self, values: Array, name: str) -> Array:
        """The fully connected layer `name` of values (N, C)."""
        result = sums.product(values, self._weights[f"{name}.weight"].T)
        bias = self._weights.get(f"{name}.bias")
        return np.asarray(result if bias is None else result + bias).astype(self.dtype)

    def prelu(self, maps: Array, name: str) -> Array:
        """Negative values times the slope of their channel."""
        return np.where(maps >= 0, maps, maps * _per_channel(self._weights[f"{name}.weight"], maps.ndim))

    def relu(self, maps: Array) -> Array:
        return relu(maps)

    def leaky_relu(self, maps: Array, slope: float) -> Array:
        return leaky_relu(maps, slope)

    def sigmoid(self, maps: Array) -> Array:
        return sigmoid(maps)

    def max_pool(self, maps: Array, kernel: int, stride: int, padding: int = 0) -> Array:
        return max_pool(maps, kernel, stride, padding)

    def mean_pool(self, maps: Array) -> Array:
        return mean_pool(maps)

    def nearest(self, maps: Array, like: Array) -> Array:
        """Maps as large as others."""
        return nearest(maps, (like.shape[2], like.shape[3]))

    def instance_norm(self, maps: Array) -> Array:
        return instance_norm(maps)

    def join(self, parts: Sequence[Array]) -> Array:
        """Channels side by side."""
        return np.concatenate(parts, axis=1)

    def constant(self, values: Array, like: Array) -> Array:
        """Values (1, C, H, W) that are no weights, for each image of `like`."""
        return np.broadcast_to(values.astype(self.dtype), (len(like), *values.shape[1:]))

    def above(self, maps: Array, threshold: float) -> Array:
        """1 where a value is above a threshold, else 0."""
        return (maps > threshold).astype(self.dtype)

    def flat(self, maps: Array) -> Array:
        """Maps of one place (N, C, 1, 1) as values (N, C)."""
        return maps[:, :, 0, 0]

    def channels(self, maps: Array, first: int | None, last: int | None) -> Array:
        """Some channels of maps."""
        return maps[:, first:last]


def _per_channel(values: Array, axes: int) -> Array:
    return values.reshape(1, -1, *(1,) * (axes - 2))


def sides(padding: Padding) -> tuple[int, int]:
    """Zeros before and after the maps, along both axes."""
    return padding if isinstance(padding, tuple) else (padding, padding)


def convolve(maps: Array, weights: Array, bias: Array | None = None, stride: int = 1, padding: Padding = 0) -> Array:
    """Cross-correlation with zeros around the maps.

    Parameters
    ----------
    maps : (N, A, H, W). weights : (B, A, k, k). bias : (B,), or None.

    Returns
    -------
    (N, B, (H + both paddings - k) // stride + 1, likewise).
    """
    outputs, inputs, kernel = weights.shape[:3]
    if maps.ndim != 4 or maps.shape[1] != inputs or min(maps.shape[2:]) + sum(sides(padding)) < kernel:
        raise ContractError(STAGE, "maps", f"(N, {inputs}, >= {kernel}, >= {kernel})", f"shape {maps.shape}")
    last = _padded(maps, padding)
    windows = sliding_window_view(last, (kernel, kernel), axis=(1, 2))[:, ::stride, ::stride]  # (N, H', W', A, k, k)
    n, rows, columns = windows.shape[:3]
    matrix = weights.transpose(2, 3, 1, 0).reshape(-1, outputs)
    result = np.empty((n, rows, columns, outputs), maps.dtype)
    step = max(AT_ONCE // (columns * len(matrix)), 1)
    for image in range(n):
        for start in range(0, rows, step):
            part = windows[image, start : start + step].transpose(0, 1, 3, 4, 2)
            values = sums.product(part.reshape(-1, len(matrix)), matrix)
            if bias is not None:
                values += bias
            result[image, start : start + step] = values.reshape(-1, columns, outputs)
    return result.transpose(0, 3, 1, 2)


def depthwise(maps: Array, weights: Array, bias: Array | None = None, stride: int = 1, padding: Padding = 0) -> Array:
    """Cross-correlation of each map (N, C, H, W) with a kernel of its own (C, 1, k, k).

    Summed in float64, row after row of the kernel, and rounded once.
    """
    channels, _, kernel, _ = weights.shape
    if maps.ndim != 4 or maps.shape[1] != channels or min(maps.shape[2:]) + sum(sides(padding)) < kernel:
        raise ContractError(STAGE, "maps", f"(N, {channels}, >= {kernel}, >= {kernel})", f"shape {maps.shape}")
    last = _padded(maps, padding).astype(np.float64)
    rows, columns = ((length - kernel) // stride + 1 for length in last.shape[1:3])
    result = np.zeros((len(maps), rows, columns, channels))
    for i in range(kernel):
        for j in range(kernel):
            taken = last[:, i : i + stride * rows : stride, j : j + stride * columns : stride]
            result += taken[:, :rows, :columns] * weights[:, 0, i, j].astype(np.float64)
    if bias is not None:
        result += bias
    return result.astype(maps.dtype).transpose(0, 3, 1, 2)


def _padded(maps: Array, padding: Padding, value: float = 0.0) -> Array:
    """Maps (N, C, H, W) as (N, H, W, C) with a rim."""
    around = ((0, 0), sides(padding), sides(padding), (0, 0))
    last = maps.transpose(0, 2, 3, 1)
    return np.pad(last, around, constant_values=value) if any(sides(padding)) else last


def relu(maps: Array) -> Array:
    return np.maximum(maps, maps.dtype.type(0))


def leaky_relu(maps: Array, slope: float) -> Array:
    """Negative values times a slope."""
    return np.where(maps >= 0, maps, maps * maps.dtype.type(slope))


def sigmoid(maps: Array) -> Array:
    """1 / (1 + exp(-x)), rounded once."""
    return np.asarray(1 / (1 + exp(-maps))).astype(maps.dtype)


def max_pool(maps: Array, kernel: int, stride: int, padding: int = 0) -> Array:
    """The largest value of each window; windows reach over the border by `padding`, and do not count what is there."""
    windows = sliding_window_view(_padded(maps, padding, -np.inf), (kernel, kernel), axis=(1, 2))
    return np.asarray(windows[:, ::stride, ::stride].max(axis=(-2, -1))).transpose(0, 3, 1, 2)


def mean_pool(maps: Array) -> Array:
    """The mean of each map (N, C, H, W) as (N, C)."""
    values = maps.astype(np.float64).reshape(*maps.shape[:2], -1)
    return np.asarray(sums.mean(values)).astype(maps.dtype)


def nearest(maps: Array, size: tuple[int, int]) -> Array:
    """Maps of another size: row i of h' is row floor(i h / h') of h, and so are the columns."""
    rows, columns = ((np.arange(new) * old) // new for new, old in zip(size, maps.shape[2:], strict=True))
    return maps[:, :, rows][:, :, :, columns]


def instance_norm(maps: Array) -> Array:
    """Each map of each image with mean 0 and variance 1, of all its values and no others."""
    values = maps.astype(np.float64).reshape(*maps.shape[:2], -1)
    centred = values - np.asarray(sums.mean(values))[..., None]
    deviation = np.sqrt(np.asarray(sums.mean(centred * centred)) + NORM_EPSILON)
    return (centred / deviation[..., None]).astype(maps.dtype).reshape(maps.shape)
