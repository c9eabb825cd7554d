"""The layers of the networks (reference/networks/layers.py) for graphs that are written down: what all formats share.

Norms that cannot be folded are a multiplication and an addition: runtimes that take graphs in pieces have no batch
norm of their own, and cut the graph there. Coordinates are constants for one image, which a batch repeats by
broadcasting; where they are joined to maps, a convolution of the join is written as the sum of two convolutions, so
that nothing of unknown size is left (spec 95.9).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.conversion.networks.folding import FoldedWeights, affine
from auparity.reference.networks.layers import Padding

Array = npt.NDArray[Any]


@dataclass(eq=False)
class GraphMaps:
    """A result in a graph; or channels side by side that are still apart, for the convolution that reads them."""

    layers: GraphLayers
    value: Any  #: what the format calls it; None as long as it is not written down
    channels: int
    parts: tuple[GraphMaps, ...] = ()
    constant: Array | None = None  #: (1, C, H, W), of maps that are the same for every image

    @property
    def shape(self) -> tuple[int, int]:
        return 0, self.channels

    def __add__(self, other: GraphMaps) -> GraphMaps:
        return self.layers.add(self, other)

    def __mul__(self, other: GraphMaps) -> GraphMaps:
        return self.layers.multiply(self, other)


class GraphLayers(ABC):
    """The layers of one network, written into a graph of one format by a subclass.

    Parameters
    ----------
    weights : of the network, norms folded.
    """

    def __init__(self, weights: FoldedWeights) -> None:
        self.weights = weights

    def __contains__(self, name: str) -> bool:
        return name in self.weights.arrays

    @abstractmethod
    def add(self, first: GraphMaps, second: GraphMaps) -> GraphMaps: ...
    @abstractmethod
    def multiply(self, first: GraphMaps, second: GraphMaps) -> GraphMaps: ...
    @abstractmethod
    def _convolved(
        self, maps: GraphMaps, weight: Array, bias: Array | None, stride: int, padding: Padding, groups: int
    ) -> GraphMaps: ...  # fmt: skip
    @abstractmethod
    def _scaled(self, maps: GraphMaps, factor: Array, summand: Array) -> GraphMaps:
        """Maps times a factor (C,) plus a summand (C,)."""

    @abstractmethod
    def _sliced(self, maps: GraphMaps, first: int, last: int) -> GraphMaps: ...
    @abstractmethod
    def _concatenated(self, values: Sequence[Any]) -> Any: ...
    @abstractmethod
    def _stored(self, values: Array) -> Any: ...

    def written(self, maps: GraphMaps) -> Any:
        """What the format calls the maps; parts that are still apart are joined, constants stored."""
        if maps.value is None:
            if maps.constant is not None:
                maps.value = self._stored(maps.constant)
            else:
                maps.value = self._concatenated([self.written(part) for part in maps.parts])
        return maps.value

    def weight_and_bias(self, name: str) -> tuple[Array, Array | None]:
        """Of a convolution or a fully connected layer."""
        return self.weights.arrays[f"{name}.weight"], self.weights.arrays.get(f"{name}.bias")

    def conv(self, maps: GraphMaps, name: str, stride: int = 1, padding: Padding = 0) -> GraphMaps:
        """The convolution `name`; of maps side by side that include constants, the sum of the convolutions of each."""
        weight, bias = self.weight_and_bias(name)
        if not any(part.constant is not None for part in maps.parts):
            groups = maps.channels if weight.shape[1] == 1 and maps.channels > 1 else 1
            return self._convolved(maps, weight, bias, stride, padding, groups)
        total, at = None, 0
        for k, part in enumerate(maps.parts):
            own = weight[:, at : at + part.channels]
            at += part.channels
            found = self._convolved(part, own, bias if k == 0 else None, stride, padding, 1)
            total = found if total is None else total + found
        assert total is not None
        return total

    def norm(self, maps: GraphMaps, name: str) -> GraphMaps:
        """The batch norm `name`, unless it is in the weights already."""
        if name in self.weights.norms:
            return maps
        factor, summand = affine(self.weights.arrays, name)
        return self._scaled(maps, factor.astype(np.float32), summand.astype(np.float32))

    def join(self, parts: Sequence[GraphMaps]) -> GraphMaps:
        """Maps side by side; parts that are themselves of parts are taken apart."""
        flat = tuple(own for part in parts for own in (part.parts if part.value is None and part.parts else (part,)))
        return GraphMaps(self, None, sum(part.channels for part in flat), parts=flat)

    def constant(self, values: Array, like: GraphMaps) -> GraphMaps:
        """Values (1, C, H, W) that are no weights."""
        return GraphMaps(self, None, values.shape[1], constant=np.asarray(values, np.float32))

    def channels(self, maps: GraphMaps, first: int | None, last: int | None) -> GraphMaps:
        """Some channels of maps."""
        kept = range(maps.channels)[first:last]
        if maps.constant is not None:
            return GraphMaps(self, None, len(kept), constant=maps.constant[:, kept.start : kept.stop])
        if maps.value is None and maps.parts[0].channels >= kept.stop:  # all of the first part, as of coordinates
            return self.channels(maps.parts[0], kept.start, kept.stop)
        return self._sliced(maps, kept.start, kept.stop)
