"""PFLD (Guo, Li, Yu, Ling, 2019, "A Practical Facial Landmark Detector"; spec 95.2) as cunjian trained it: inverted
residuals (MobileNetV2) down to 14 x 14 places, then three views of the face of different width, side by side, from
which one layer makes 68 points.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.types import PFLD
from auparity.reference.contracts import check_array
from auparity.reference.networks.layers import Layers, Maps, NetworkLayers

Array = npt.NDArray[Any]

STAGE = "point_network"
#: Pixels of a crop along each side.
SIDE = 112
#: The inverted residuals in their order: stride, and whether the input is added to the result.
BLOCKS = {
    "conv3_1": (2, False),
    **{f"block3_{k}": (1, True) for k in range(2, 6)},
    "conv4_1": (2, False),
    "conv5_1": (1, False),
    **{f"block5_{k}": (1, True) for k in range(2, 7)},
    "conv6_1": (1, False),
}


class PfldNetwork:
    """The network of one set of weights."""

    side = SIDE

    def __init__(self, weights: PFLD, dtype: npt.DTypeLike = np.float32) -> None:
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
    maps = net.relu(net.norm(net.conv(maps, "conv1", 2, 1), "bn1"))
    maps = net.norm(net.conv(maps, "dw_pool", 1, 1), "dw_bn")
    maps = net.relu(net.conv(maps, "conv1_extra"))
    for name, (stride, added) in BLOCKS.items():
        result = _inverted_residual(net, maps, f"{name}.conv", stride)
        maps = maps + result if added else result
    wide = maps
    middle = net.relu(net.norm(net.conv(wide, "conv7.0", 2, 1), "conv7.1"))
    narrow = net.relu(net.conv(middle, "conv8"))
    return net.linear(net.join([net.mean_pool(wide), net.mean_pool(middle), net.flat(narrow)]), "fc")


def _inverted_residual(net: NetworkLayers, maps: Maps, name: str, stride: int) -> Maps:
    """More channels, each looked at by itself, then fewer again."""
    maps = net.relu(net.norm(net.conv(maps, f"{name}.0"), f"{name}.1"))
    maps = net.relu(net.norm(net.conv(maps, f"{name}.3", stride, 1), f"{name}.4"))
    return net.norm(net.conv(maps, f"{name}.6"), f"{name}.7")


def colours(crops: Array, dtype: Any = np.float32) -> Array:
    """Maps (N, 3, 112, 112) red, green, blue from 0 to 1 of crops (N, 112, 112, 3) uint8 BGR."""
    check_array(STAGE, "crops", crops, ("N", SIDE, SIDE, 3), np.uint8)
    return (crops[..., ::-1].astype(dtype) / dtype(255)).transpose(0, 3, 1, 2)
