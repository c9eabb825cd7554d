"""What a network computes, as values that say what they are made of: its own description (reference/networks), run over
`Node`s that compute nothing, for maps of one size.

What can follow a value while it is in registers is a part of it: the activation of a convolution or a sum, and the sum
of a convolution with maps that are there already. A value that is put together so is a new one; the one before is
computed only if something else reads it. Eight sums of face-api are read before their activation and after it, and so
are computed twice; which takes as many launches as computing the activation by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.network_steps import NOTHING, PRELU, RELU, SIGMOID
from auparity.conversion.networks.folding import FoldedWeights, affine
from auparity.errors import ContractError
from auparity.reference.networks.layers import NetworkLayers, Padding, sides

Array = npt.NDArray[Any]

STAGE = "networks"
#: The activation that only these networks have, as activation.cuh numbers it: 1 above the slope, else 0.
ABOVE = 4


@dataclass(frozen=True, eq=False)
class Active:
    """What is done with a value before it is written."""

    kind: int = NOTHING
    slopes: Array | None = None  #: (C,) of `PRELU`, thresholds of `ABOVE`

    def part(self, first: int, last: int) -> Active:
        """That of some channels."""
        return self if self.slopes is None else replace(self, slopes=self.slopes[first:last])


@dataclass(frozen=True, eq=False, repr=False)
class Node:
    """Maps (N, channels, height, width); values (N, C) are maps of one place."""

    layers: RecordedLayers
    channels: int
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return 0, self.channels, self.height, self.width

    @property
    def size(self) -> tuple[int, int]:
        return self.height, self.width

    @property
    def inputs(self) -> tuple[Node, ...]:
        return ()

    def __add__(self, other: Node) -> Node:
        return self.layers.sum_of(self, other)

    def __mul__(self, other: Node) -> Node:
        return self.layers.product_of(self, other)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Made(Node):
    """Maps that a kernel makes of others, with an activation where it has one."""

    source: Node
    active: Active = Active()

    @property
    def inputs(self) -> tuple[Node, ...]:
        return (self.source,)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Convolved(Made):
    """A convolution, or a fully connected layer."""

    name: str
    kernel: int
    stride: int
    padding: int  #: zeros at the top and at the left
    of_one_map: bool  #: each map by itself
    added: Node | None = None

    @property
    def inputs(self) -> tuple[Node, ...]:
        return (self.source,) if self.added is None else (self.source, self.added)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Each(Made):
    """Some channels of maps, of another size where it is another, each times a factor plus a summand."""

    first: int = 0
    factors: Array | None = None  #: (C,)
    summands: Array | None = None


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Both(Made):
    """Maps and others, of any size and as many or one, added or multiplied."""

    other: Node
    times: bool

    @property
    def inputs(self) -> tuple[Node, ...]:
        return self.source, self.other


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Largest(Made):
    """The largest value of each window."""

    kernel: int
    stride: int
    padding: int


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Mean(Made):
    """The mean of each map."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Normed(Made):
    """Each map with mean 0 and variance 1."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Nearest(Made):
    """Maps of another size, which sums read as they are."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Constant(Node):
    """Values (1, C, H, W) that are the same for all images."""

    values: Array


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Joined(Node):
    """Channels side by side."""

    parts: tuple[Node, ...]

    @property
    def inputs(self) -> tuple[Node, ...]:
        return self.parts


class RecordedLayers:
    """The layers of all networks (`NetworkLayers`), which compute nothing."""

    def __init__(self, weights: FoldedWeights) -> None:
        self.weights = weights
        self._read: set[Node] = set()

    def __contains__(self, name: str) -> bool:
        return name in self.weights.arrays

    def image(self, height: int, width: int) -> Node:
        """What the network is given."""
        return Node(self, 3, height, width)

    def conv(self, maps: Node, name: str, stride: int = 1, padding: Padding = 0) -> Node:
        units, depth, kernel, _ = self.weights.arrays[f"{name}.weight"].shape
        of_one_map = depth == 1 and maps.channels > 1
        room, size = sum(sides(padding)), min(maps.size)
        if size + room < kernel or maps.channels != (units if of_one_map else depth):
            expected = f"(N, {units if of_one_map else depth}, >= {kernel - room}, >= {kernel - room})"
            raise ContractError(STAGE, "maps", expected, f"(N, {maps.channels}, {maps.height}, {maps.width})")
        height, width = ((n + room - kernel) // stride + 1 for n in maps.size)
        return Convolved(
            self, units, height, width, source=self._reads(maps), name=name, kernel=kernel, stride=stride,
            padding=sides(padding)[0], of_one_map=of_one_map,
        )  # fmt: skip

    def linear(self, values: Node, name: str) -> Node:
        units = len(self.weights.arrays[f"{name}.weight"])
        return Convolved(
            self, units, 1, 1, source=self._reads(values), name=name, kernel=1, stride=1, padding=0, of_one_map=False
        )

    def norm(self, maps: Node, name: str) -> Node:
        if name in self.weights.norms:
            return maps
        factors, summands = (values.astype(np.float32) for values in affine(self.weights.arrays, name))
        return self._each(maps, factors=factors, summands=summands)

    def prelu(self, maps: Node, name: str) -> Node:
        return self._activated(maps, Active(PRELU, self.weights.arrays[f"{name}.weight"]))

    def relu(self, maps: Node) -> Node:
        return self._activated(maps, Active(RELU))

    def leaky_relu(self, maps: Node, slope: float) -> Node:
        return self._activated(maps, Active(PRELU, np.full(maps.channels, slope, np.float32)))

    def sigmoid(self, maps: Node) -> Node:
        return self._activated(maps, Active(SIGMOID))

    def above(self, maps: Node, threshold: float) -> Node:
        return self._activated(maps, Active(ABOVE, np.full(maps.channels, threshold, np.float32)))

    def _activated(self, maps: Node, active: Active) -> Node:
        if isinstance(maps, Joined):
            ends = np.cumsum([part.channels for part in maps.parts]).tolist()
            parts = [self._activated(part, active.part(end - part.channels, end))
                     for part, end in zip(maps.parts, ends, strict=True)]  # fmt: skip
            return replace(maps, parts=tuple(parts))
        if isinstance(maps, Convolved | Each | Both | Normed) and maps.active.kind == NOTHING:
            return replace(maps, active=active)
        return replace(self._each(maps), active=active)

    def max_pool(self, maps: Node, kernel: int, stride: int, padding: int = 0) -> Node:
        height, width = ((n + 2 * padding - kernel) // stride + 1 for n in maps.size)
        source = self._reads(maps)
        return Largest(self, maps.channels, height, width, source=source, kernel=kernel, stride=stride, padding=padding)

    def mean_pool(self, maps: Node) -> Node:
        return Mean(self, maps.channels, 1, 1, source=self._reads(maps))

    def nearest(self, maps: Node, like: Node) -> Node:
        return Nearest(self, maps.channels, like.height, like.width, source=self._reads(maps))

    def instance_norm(self, maps: Node) -> Node:
        return Normed(self, maps.channels, *maps.size, source=self._reads(maps))

    def join(self, parts: Sequence[Node]) -> Node:
        for part in parts:
            self._reads(part)
        return Joined(self, sum(part.channels for part in parts), *parts[0].size, parts=tuple(parts))

    def constant(self, values: Array, like: Node) -> Node:
        return Constant(self, *values.shape[1:], values=np.asarray(values, np.float32))

    def channels(self, maps: Node, first: int | None, last: int | None) -> Node:
        chosen = range(maps.channels)[first:last]
        return replace(self._each(maps, first=chosen[0]), channels=len(chosen))

    def flat(self, maps: Node) -> Node:
        """Maps of one place are values already."""
        return maps

    def _each(self, maps: Node, **about: Any) -> Each:
        return Each(self, maps.channels, *maps.size, source=self._reads(maps), **about)

    def sum_of(self, one: Node, other: Node) -> Node:
        """A sum, within the convolution that makes one of the summands where nothing else has read that one."""
        if isinstance(one, Nearest):
            one, other = other, one
        if isinstance(other, Nearest):
            return self._both(one, other.source, times=False)
        for last, around in ((other, one), (one, other)):
            if isinstance(last, Convolved) and self._takes_a_sum(last):
                return replace(last, added=self._reads(around))
        return self._both(one, other, times=False)

    def _takes_a_sum(self, node: Convolved) -> bool:
        plain = node.active.kind == NOTHING and node.added is None and not node.of_one_map
        return plain and node not in self._read

    def product_of(self, one: Node, other: Node) -> Node:
        return self._both(one, other, times=True)

    def _both(self, one: Node, other: Node, times: bool) -> Both:
        self._reads(other)
        return Both(self, one.channels, *one.size, source=self._reads(one), other=other, times=times)

    def _reads(self, node: Node) -> Node:
        self._read.add(node)
        return node


@dataclass(frozen=True, eq=False)
class Recorded:
    """A network for images of one size."""

    image: Node
    outputs: tuple[Node, ...]
    nodes: tuple[Node, ...]  #: what is needed for the outputs, each after what it is made of; the image is not there


def recorded(
    weights: FoldedWeights, graph: Callable[[NetworkLayers, Any], Iterable[Any]], height: int, width: int
) -> Recorded:
    """A network's description for images of a size.

    Raises
    ------
    ContractError : images that are too small for a convolution.
    """
    layers = RecordedLayers(weights)
    image = layers.image(height, width)
    outputs = tuple(graph(cast(NetworkLayers, layers), image))
    done: dict[Node, None] = {image: None}
    pending = list(reversed(outputs))
    while pending:
        node = pending[-1]
        missing = [read for read in node.inputs if read not in done]
        if missing:
            pending += reversed(missing)
        else:
            done[pending.pop()] = None
    return Recorded(image, outputs, tuple(node for node in done if node is not image))
