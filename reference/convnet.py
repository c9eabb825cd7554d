"""Forward pass of the small networks of the face detector (spec 20.3, 10.5) and of the landmark validator (spec 50.8):
valid cross-correlation, max pooling, PReLU, ReLU, sigmoid and fully connected layers. Maps come as (N, C, H, W), batch
first; a network that ends fully connected gives (N, n_out), one that is applied per pixel (P-Net) (N, n_out, h, w).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from auparity.errors import ContractError
from auparity.models.types import ConvNet, Convolution, FullyConnected, Layer, MaxPool, PReLU, ReLU, Sigmoid
from auparity.reference.contracts import check_array
from auparity.reference.elementary import exp
from auparity.reference.sums import product

Array = npt.NDArray[Any]

STAGE = "convnet"

#: Runs a network: (net, maps (N, C, H, W), dtype) to outputs, as `forward` does.
RunNetwork = Callable[[ConvNet, Array, npt.DTypeLike], Array]


def forward(net: ConvNet, maps: Array, dtype: npt.DTypeLike = np.float32) -> Array:
    """Run a network.

    Parameters
    ----------
    net : the layers.
    maps : (N, C, H, W) real; cast to `dtype`.
    dtype : float32 as the C++ program computes, or float64, which tells rounding from error.

    Returns
    -------
    (N, n_out), or (N, n_out, h, w) when the last layer is no fully connected one or works per pixel.

    Raises
    ------
    ContractError : the maps are too small for the network, or have another number of channels.
    """
    activations = check_array(STAGE, "maps", maps, ("N", "C", "H", "W")).astype(dtype, copy=False)
    for layer in net.layers:
        activations = apply_layer(layer, activations)
    return activations


def apply_layer(layer: Layer, maps: Array) -> Array:
    """One layer, in the dtype of `maps`: (N, C, H, W) or, after a fully connected layer, (N, C)."""
    match layer:
        case Convolution():
            return convolve(maps, layer.weights.astype(maps.dtype, copy=False), layer.bias)
        case MaxPool():
            return max_pool(maps, layer.kernel, layer.stride)
        case FullyConnected():
            return fully_connected(maps, layer.weights.astype(maps.dtype, copy=False), layer.bias)
        case PReLU():
            return prelu(maps, layer.slopes.astype(maps.dtype, copy=False))
        case ReLU():
            rectified: Array = np.maximum(maps, maps.dtype.type(0))
            return rectified
        case Sigmoid():
            one = maps.dtype.type(1)
            sigmoid: Array = one / (one + exp(-maps).astype(maps.dtype))
            return sigmoid


def convolve(maps: Array, weights: Array, bias: Array) -> Array:
    """Cross-correlation, stride 1, no padding (spec 10.5), as one matrix product.

    The product has the C++ program's layout: a row for each output position, columns map-major and column-major
    inside the kernel, and a last column of ones for the bias; each output is rounded once (sums.py).

    Parameters
    ----------
    maps : (N, A, H, W). weights : (B, A, h, w). bias : (B,).

    Returns
    -------
    (N, B, H - h + 1, W - w + 1).
    """
    kernels, inputs, height, width = weights.shape
    if maps.ndim != 4 or maps.shape[1] != inputs or maps.shape[2] < height or maps.shape[3] < width:
        raise ContractError(STAGE, "maps", f"(N, {inputs}, >= {height}, >= {width})", f"shape {maps.shape}")
    windows = sliding_window_view(maps, (height, width), axis=(2, 3))  # (N, A, H', W', h, w)
    n, _, rows, columns = windows.shape[:4]
    positions = n * rows * columns
    patches = np.ones((positions, inputs * height * width + 1), maps.dtype)
    patches[:, :-1] = windows.transpose(0, 2, 3, 1, 5, 4).reshape(positions, -1)
    matrix = np.vstack([weights.transpose(1, 3, 2, 0).reshape(-1, kernels), bias.astype(maps.dtype)[None]])
    return product(patches, matrix).astype(maps.dtype).reshape(n, rows, columns, kernels).transpose(0, 3, 1, 2)


def pooled_length(length: int, kernel: int, stride: int) -> int:
    """round((length - kernel) / stride) + 1, halves away from zero (spec 20.3): rounds up for stride 2."""
    return max((2 * (length - kernel) + stride) // (2 * stride) + 1, 0) if length >= kernel else 0


def max_pool(maps: Array, kernel: tuple[int, int], stride: tuple[int, int]) -> Array:
    """Maximum over windows that start at multiples of the stride and are clipped at the border (spec 20.3).

    Parameters
    ----------
    maps : (N, C, H, W). kernel, stride : (x, y).

    Returns
    -------
    (N, C, pooled H, pooled W).
    """
    n, channels, height, width = maps.shape
    (kernel_x, kernel_y), (stride_x, stride_y) = kernel, stride
    rows, columns = pooled_length(height, kernel_y, stride_y), pooled_length(width, kernel_x, stride_x)
    if min(rows, columns) < 1:
        raise ContractError(STAGE, "maps", f"maps of at least {kernel_y} x {kernel_x}", f"shape {maps.shape}")
    if (rows - 1) * stride_y >= height or (columns - 1) * stride_x >= width:
        raise ContractError(STAGE, "stride", "a last window that starts inside the maps", f"stride {stride}")
    needed_height, needed_width = (rows - 1) * stride_y + kernel_y, (columns - 1) * stride_x + kernel_x
    # minus infinity never wins: the same as clipping the window
    padded = np.full((n, channels, max(needed_height, height), max(needed_width, width)), -np.inf, maps.dtype)
    padded[:, :, :height, :width] = maps
    windows = sliding_window_view(padded, (kernel_y, kernel_x), axis=(2, 3))[:, :, ::stride_y, ::stride_x]
    return np.asarray(windows[:, :, :rows, :columns].max(axis=(4, 5)))


def fully_connected(maps: Array, weights: Array, bias: Array) -> Array:
    """weights.T @ x + bias (spec 10.5).

    Parameters
    ----------
    maps : (N, C, H, W), flattened map-major and column-major inside a map, or (N, C).
    weights : (n_in, n_out). bias : (n_out,).

    Returns
    -------
    (N, n_out) when n_in is the size of a flattened input; (N, n_out, H, W) when n_in = C: then the layer is applied to
    every pixel, as a 1 x 1 convolution.
    """
    n_in = weights.shape[0]
    if n_in == np.prod(maps.shape[1:]):
        flat = maps.swapaxes(2, 3) if maps.ndim == 4 else maps
        return product(flat.reshape(maps.shape[0], n_in), weights).astype(maps.dtype) + bias.astype(maps.dtype)
    if maps.ndim == 4 and maps.shape[1] == n_in:
        return convolve(maps, weights.T[:, :, None, None], bias)
    raise ContractError(STAGE, "maps", f"{n_in} values or {n_in} maps for each item", f"shape {maps.shape}")


def prelu(maps: Array, slopes: Array) -> Array:
    """v >= 0 ? v : v * slope, one slope a map, or an element after a fully connected layer (spec 20.3)."""
    if maps.shape[1] != slopes.shape[0]:
        raise ContractError(STAGE, "maps", f"{slopes.shape[0]} maps, one for each slope", f"shape {maps.shape}")
    shape = (1, -1) + (1,) * (maps.ndim - 2)
    return np.where(maps >= 0, maps, maps * slopes.reshape(shape))
