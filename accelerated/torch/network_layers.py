"""The layers of the networks (reference/networks/layers.py) in PyTorch, for running them and for training them.

Weights keep the names of the published state dicts. In training a batch norm uses the batch's own statistics and
updates the running ones; otherwise it is a factor and a summand, which PyTorch computes with the convolution's result
still in the cache.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from auparity.reference.networks.layers import NORM_EPSILON, Padding, sides

Array = npt.NDArray[Any]

#: Share of a batch's statistics in the running ones.
MOMENTUM = 0.1


class TorchLayers:
    """The layers of one network.

    Parameters
    ----------
    weights : by name; float32 tensors on one device. Running statistics are among them, and are written to in training.
    training : whether batch norms learn.
    folded : norms that are in the weights already.
    """

    def __init__(
        self, weights: Mapping[str, torch.Tensor], *, training: bool = False, folded: Collection[str] = ()
    ) -> None:
        self.weights, self.training, self._folded = dict(weights), training, folded

    @classmethod
    def of_arrays(
        cls, arrays: Mapping[str, Array], device: torch.device, folded: Collection[str] = ()
    ) -> TorchLayers:  # fmt: skip
        """Of arrays that are not to be changed."""
        tensors = {name: torch.tensor(values, dtype=torch.float32, device=device) for name, values in arrays.items()}
        return cls(tensors, folded=folded)

    def __contains__(self, name: str) -> bool:
        return name in self.weights

    def conv(self, maps: torch.Tensor, name: str, stride: int = 1, padding: Padding = 0) -> torch.Tensor:
        weight, bias = self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias")
        if isinstance(padding, tuple):  # PyTorch's own padding is the same on opposite sides
            maps, padding = F.pad(maps, sides(padding) * 2), 0
        groups = maps.shape[1] if weight.shape[1] == 1 else 1
        return F.conv2d(maps, weight, bias, stride, padding, groups=groups)

    def norm(self, maps: torch.Tensor, name: str) -> torch.Tensor:
        if name in self._folded:
            return maps
        mean, variance = self.weights[f"{name}.running_mean"], self.weights[f"{name}.running_var"]
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return F.batch_norm(maps, mean, variance, weight, bias, self.training, MOMENTUM, NORM_EPSILON)

    def linear(self, values: torch.Tensor, name: str) -> torch.Tensor:
        return F.linear(values, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"))

    def prelu(self, maps: torch.Tensor, name: str) -> torch.Tensor:
        return F.prelu(maps, self.weights[f"{name}.weight"])

    def relu(self, maps: torch.Tensor) -> torch.Tensor:
        return F.relu(maps)

    def leaky_relu(self, maps: torch.Tensor, slope: float) -> torch.Tensor:
        return F.leaky_relu(maps, slope)

    def sigmoid(self, maps: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(maps)

    def max_pool(self, maps: torch.Tensor, kernel: int, stride: int, padding: int = 0) -> torch.Tensor:
        return F.max_pool2d(maps, kernel, stride, padding)

    def mean_pool(self, maps: torch.Tensor) -> torch.Tensor:
        return maps.mean(dim=(2, 3))

    def nearest(self, maps: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        return F.interpolate(maps, size=like.shape[2:], mode="nearest")

    def instance_norm(self, maps: torch.Tensor) -> torch.Tensor:
        return F.instance_norm(maps, eps=NORM_EPSILON)

    def join(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.cat(list(parts), dim=1)

    def constant(self, values: Array, like: torch.Tensor) -> torch.Tensor:
        made = torch.as_tensor(np.asarray(values, np.float32), device=like.device)
        made = made.expand(len(like), -1, -1, -1)
        # In memory as the maps beside which it stands: joined with others it would bring slower layers with it.
        return made.contiguous(memory_format=torch.channels_last) if self.training else made

    def above(self, maps: torch.Tensor, threshold: float) -> torch.Tensor:
        return (maps > threshold).to(maps.dtype)

    def channels(self, maps: torch.Tensor, first: int | None, last: int | None) -> torch.Tensor:
        return maps[:, first:last]

    def flat(self, maps: torch.Tensor) -> torch.Tensor:
        return maps[:, :, 0, 0]
