"""Networks of detector and validator as Core ML ML Programs (spec 20.3, 10.5); see programs.py.

They have the same layers as the ONNX graphs, with two differences that Core ML requires: flexible sizes need limits,
and PReLU after a fully connected layer consists of other operations.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from auparity.conversion.coreml.builder import STAGE, Flexible, Precision, builder, convert, f32
from auparity.errors import ContractError
from auparity.models.types import ConvNet, Convolution, FullyConnected, Layer, MaxPool, PReLU, ReLU, Sigmoid
from auparity.reference.convnet import pooled_length

#: Limits of flexible dimensions, which Core ML requires: crops or faces at once, pixels of a side of an image.
MAX_BATCH, MAX_SIDE = 1024, 4096


def network(
    net: ConvNet, channels: int, name: str, metadata: dict[str, str], *, size: tuple[int, int] | None = None,
    per_pixel: bool = False, precision: Precision = "FLOAT32",
) -> Any:  # fmt: skip
    """A detector's or validator's network: maps (N, C, H, W) to outputs (N, n_out), batch flexible.

    Parameters
    ----------
    size : (H, W) of the maps; None leaves it flexible, which is not possible with layers that take a whole map.
    per_pixel : the fully connected layers work on every pixel (P-Net): (N, n_out, h, w).

    Raises
    ------
    ContractError : there is no operation for a layer, or the size does not fit a fully connected layer.
    VariantUnavailable : coremltools is not installed.
    """
    if size is None and not per_pixel and any(isinstance(layer, FullyConnected) for layer in net.layers):
        raise ContractError(STAGE, "size", "the height and width that the fully connected layers are for", "None")
    mb = builder()

    def build(maps: Any) -> Any:
        at, flat = maps, False
        for k, layer in enumerate(net.layers):
            if isinstance(layer, FullyConnected) and not per_pixel and not flat:
                at, flat = _flatten(mb, at, layer), True
            called = "outputs" if k == len(net.layers) - 1 else f"layer_{k}"
            at = _layer(mb, layer, at, per_pixel=per_pixel, flat=flat, name=called)
        return at

    sides: tuple[int | Flexible, ...] = size or (
        Flexible("H", _smallest(net, 0), MAX_SIDE),
        Flexible("W", _smallest(net, 1), MAX_SIDE),
    )
    return convert(build, {"maps": (Flexible("N", 1, MAX_BATCH), channels, *sides)}, name, metadata, precision)


def _flatten(mb: Any, at: Any, layer: FullyConnected) -> Any:
    """(N, C, H, W) to (N, n_in), column-major inside a map (spec 10.5), so height and width are exchanged first."""
    n_in = layer.weights.shape[0]
    if int(np.prod(at.shape[1:])) != n_in:
        raise ContractError(STAGE, "size", f"maps that give {n_in} values to a layer", f"{tuple(at.shape[1:])}")
    return mb.reshape(x=mb.transpose(x=at, perm=[0, 1, 3, 2]), shape=[-1, n_in])


def _layer(mb: Any, layer: Layer, at: Any, *, per_pixel: bool, flat: bool, name: str) -> Any:
    match layer:
        case Convolution():
            return mb.conv(x=at, weight=f32(layer.weights), bias=f32(layer.bias).ravel(), pad_type="valid", name=name)
        case FullyConnected() if per_pixel:
            weights = f32(np.asarray(layer.weights).T[:, :, None, None])
            return mb.conv(x=at, weight=weights, bias=f32(layer.bias).ravel(), pad_type="valid", name=name)
        case FullyConnected():
            return mb.linear(x=at, weight=f32(np.asarray(layer.weights).T), bias=f32(layer.bias).ravel(), name=name)
        case MaxPool():
            if not all(
                1 <= stride <= min(2, kernel) for stride, kernel in zip(layer.stride, layer.kernel, strict=True)
            ):
                # The reference rounds the number of windows up for these strides only (spec 20.3).
                expected, got = "strides of 1 or 2, no larger than the kernel", f"{layer.stride} of {layer.kernel}"
                raise ContractError(STAGE, "net", expected, got)
            (kernel_x, kernel_y), (stride_x, stride_y) = layer.kernel, layer.stride
            return mb.max_pool(
                x=at, kernel_sizes=[kernel_y, kernel_x], strides=[stride_y, stride_x], pad_type="valid",
                ceil_mode=True, name=name,
            )  # fmt: skip
        case PReLU() if flat:
            # Core ML's own PReLU takes maps, not vectors.
            negative = mb.relu(x=mb.mul(x=at, y=np.float32(-1)))
            return mb.sub(x=mb.relu(x=at), y=mb.mul(x=negative, y=f32(layer.slopes).ravel()), name=name)
        case PReLU():
            return mb.prelu(x=at, alpha=f32(layer.slopes).ravel(), name=name)
        case ReLU():
            return mb.relu(x=at, name=name)
        case Sigmoid():
            return mb.sigmoid(x=at, name=name)
    raise ContractError(STAGE, "net", "layers of spec 10.5", type(layer).__name__)


def _smallest(net: ConvNet, axis: int) -> int:
    """The smallest height (axis 0) or width (1) that a network takes, without its fully connected layers."""
    for side in range(1, MAX_SIDE):
        length = side
        for layer in net.layers:
            if isinstance(layer, Convolution):
                length = length - layer.weights.shape[2 + axis] + 1
            elif isinstance(layer, MaxPool):
                length = pooled_length(length, layer.kernel[1 - axis], layer.stride[1 - axis])
            if length < 1:
                break
        else:
            return side
    raise ContractError(STAGE, "net", f"a network for maps of less than {MAX_SIDE}", "one that takes none of them")
