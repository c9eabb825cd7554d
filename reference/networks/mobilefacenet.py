"""MobileFaceNet (Chen, Liu, Gao, Han, CCBR 2018; spec 95.3) with 68 points for outputs, as cunjian trained it:
bottlenecks with slopes learned for each channel, down to 7 x 7 places, which a depthwise convolution of that size
weighs before one layer makes the points.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.types import MobileFaceNet
from auparity.reference.networks.layers import Layers, Maps, NetworkLayers
from auparity.reference.networks.pfld import SIDE, colours

Array = npt.NDArray[Any]

#: The bottlenecks in their order: stride, and whether the input is added to the result.
BLOCKS = {
    "conv_23": (2, False),
    **{f"conv_3.model.{k}": (1, True) for k in range(4)},
    "conv_34": (2, False),
    **{f"conv_4.model.{k}": (1, True) for k in range(6)},
    "conv_45": (2, False),
    **{f"conv_5.model.{k}": (1, True) for k in range(2)},
}


class MobileFaceNetwork:
    """The network of one set of weights."""

    side = SIDE

    def __init__(self, weights: MobileFaceNet, dtype: npt.DTypeLike = np.float32) -> None:
        self._net = Layers(weights.tensors, dtype)

    def __call__(self, crops: Array) -> Array:
        """Points (N, 68, 2) in parts of the crop, of crops (N, 112, 112, 3) uint8 BGR.

        Raises
        ------
        ContractError : another shape or dtype.
        """
        return graph(self._net, colours(crops, self._net.dtype)).reshape(len(crops), -1, 2)


def graph(net: NetworkLayers, maps: Maps) -> Maps:
    """x0 y0 x1 y1 ... (N, 136) of maps (N, 3, 112, 112) red, green, blue from 0 to 1."""
    maps = _block(net, maps, "conv1", 2, 1)
    maps = _block(net, maps, "conv2_dw", 1, 1)
    for name, (stride, added) in BLOCKS.items():
        result = _block(net, maps, f"{name}.conv")
        result = _block(net, result, f"{name}.conv_dw", stride, 1)
        result = _block(net, result, f"{name}.project")
        maps = maps + result if added else result
    maps = _block(net, maps, "conv_6_sep")
    maps = _block(net, maps, "output_layer.conv_6_dw")
    return net.norm(net.linear(net.flat(maps), "output_layer.linear"), "output_layer.bn")


def _block(net: NetworkLayers, maps: Maps, name: str, stride: int = 1, padding: int = 0) -> Maps:
    """Convolution, norm, and slopes where there are any."""
    maps = net.norm(net.conv(maps, f"{name}.conv", stride, padding), f"{name}.bn")
    return net.prelu(maps, f"{name}.prelu") if f"{name}.prelu.weight" in net else maps
