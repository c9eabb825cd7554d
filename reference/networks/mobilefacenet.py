"""MobileFaceNet (Chen, Liu, Gao, Han, CCBR 2018; spec 95.3) with 68 points for outputs, as cunjian trained it:
bottlenecks with slopes learned for each channel, down to 7 x 7 places, which a depthwise convolution of that size
weighs before one layer makes the points.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.types import MobileFaceNet
from auparity.reference.networks.layers import Layers
from auparity.reference.networks.pfld import SIDE, colours

Array = npt.NDArray[Any]

STAGE = "mobilefacenet"
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
        return self.outputs(colours(STAGE, crops, self._net.dtype)).reshape(len(crops), -1, 2)

    def outputs(self, maps: Array) -> Array:
        """x0 y0 x1 y1 ... (N, 136) of maps (N, 3, 112, 112) red, green, blue from 0 to 1."""
        maps = self._block(maps, "conv1", 2, 1)
        maps = self._block(maps, "conv2_dw", 1, 1)
        for name, (stride, added) in BLOCKS.items():
            result = self._block(maps, f"{name}.conv")
            result = self._block(result, f"{name}.conv_dw", stride, 1)
            result = self._block(result, f"{name}.project")
            maps = maps + result if added else result
        maps = self._block(maps, "conv_6_sep")
        maps = self._block(maps, "output_layer.conv_6_dw")
        return self._net.norm(self._net.linear(maps[:, :, 0, 0], "output_layer.linear"), "output_layer.bn")

    def _block(self, maps: Array, name: str, stride: int = 1, padding: int = 0) -> Array:
        """Convolution, norm, and slopes where there are any."""
        maps = self._net.norm(self._net.conv(maps, f"{name}.conv", stride, padding), f"{name}.bn")
        return self._net.prelu(maps, f"{name}.prelu") if f"{name}.prelu.weight" in self._net else maps
