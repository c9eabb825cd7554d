"""The landmark network of face-api (npm package @vladmandic/face-api, from V. Mühler's face-api.js; spec 95.6).

Four blocks (three in the tiny network) halve the maps and double their channels. In a block every convolution sees the
rectified sum of all results before it, as in DenseNet (Huang, Liu, van der Maaten, Weinberger, CVPR 2017), but added
up in place of side by side. All convolutions but the first are separable, without norms: one kernel for each channel,
then a mixture of the channels. One layer makes the points of the means of the last maps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.types import FaceApi
from auparity.reference.contracts import check_array
from auparity.reference.networks.layers import Layers, Maps, NetworkLayers, Padding

Array = npt.NDArray[Any]

STAGE = "point_network"
#: Pixels of a crop along each side.
SIDE = 112
#: Red, green and blue of a mean image, from 0 to 255.
MEANS = (122.782, 117.001, 104.298)
#: TensorFlow's "same" padding of a kernel of 3 and a stride of 2: where the maps' size is even, as it always is here,
#: only the bottom and the right get zeros.
HALVING: Padding = (0, 1)


class FaceApiNetwork:
    """The network of one set of weights."""

    side = SIDE

    def __init__(self, weights: FaceApi, dtype: npt.DTypeLike = np.float32) -> None:
        self._net = Layers(weights.tensors, dtype)

    def __call__(self, crops: Array) -> Array:
        """Points (N, 68, 2) in parts of the crop, of crops (N, 112, 112, 3) uint8 BGR.

        Raises
        ------
        ContractError : another shape or dtype.
        """
        return graph(self._net, colours(crops, self._net.dtype)).reshape(len(crops), -1, 2)


def graph(net: NetworkLayers, maps: Maps) -> Maps:
    """x0 y0 x1 y1 ... (N, 136) of maps (N, 3, 112, 112) red, green, blue, less their means, in units of 255."""
    block = 0
    while f"dense{block}.conv1.pointwise.weight" in net:
        maps = _block(net, maps, f"dense{block}")
        block += 1
    return net.linear(net.mean_pool(maps), "fc")


def _block(net: NetworkLayers, maps: Maps, name: str) -> Maps:
    """Maps of half the size: the sum of a convolution and of all that follow from it."""
    total = given = net.relu(_conv(net, maps, f"{name}.conv0", 2, HALVING))
    layer = 1
    while f"{name}.conv{layer}.pointwise.weight" in net:
        total = total + _conv(net, given, f"{name}.conv{layer}", 1, 1)
        given = net.relu(total)
        layer += 1
    return given


def _conv(net: NetworkLayers, maps: Maps, name: str, stride: int, padding: Padding) -> Maps:
    """A convolution of 3 x 3, separable or, of the first layer of all, not."""
    if f"{name}.weight" in net:
        return net.conv(maps, name, stride, padding)
    return net.conv(net.conv(maps, f"{name}.depthwise", stride, padding), f"{name}.pointwise")


def colours(crops: Array, dtype: Any = np.float32) -> Array:
    """Maps (N, 3, 112, 112) of crops (N, 112, 112, 3) uint8 BGR: red, green, blue less `MEANS`, divided by 255."""
    check_array(STAGE, "crops", crops, ("N", SIDE, SIDE, 3), np.uint8)
    centred = crops[..., ::-1].astype(dtype) - np.array(MEANS, dtype)
    return (centred / dtype(255)).transpose(0, 3, 1, 2)
