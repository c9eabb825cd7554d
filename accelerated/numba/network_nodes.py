"""What a network computes, as nodes that only remember where they came from: its own description (reference/networks)
is run over them.

Norms that could not be folded are depthwise convolutions of one place, so that they go with the convolution that reads
them. Coordinates are written beside the maps to which they are joined, a block of channels of their own; where they are
joined to the image, their convolution is the same for every image, and is added to that of the pixels as maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from auparity.accelerated.numba.vectors import LANES
from auparity.conversion.networks.folding import FoldedWeights, affine
from auparity.errors import ContractError
from auparity.reference.networks.layers import convolve

Array = npt.NDArray[Any]

STAGE = "networks"
Kind = Literal[
    "image", "conv", "depthwise", "active", "add", "times", "join", "packed", "nearest", "mean", "max", "sigmoid",
    "instance", "constant", "channels", "above",
]  # fmt: skip


def whole(channels: int) -> int:
    """Channels of whole vectors."""
    return -(-channels // LANES) * LANES


@dataclass(eq=False)
class Node:
    """Maps that a network makes on its way."""

    layers: RecordedLayers
    kind: Kind
    channels: int
    inputs: tuple[Node, ...] = ()
    name: str = ""  #: of a convolution's weights
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    slopes: Array | None = None  #: (C,) of an activation: what negative values are multiplied by
    values: Array | None = None  #: (C, H, W) of a constant
    #: Of a constant: its channels from this one on are 0 where the last channel of its input is not above `threshold`.
    masked: int = 0
    threshold: float = 0.0

    @property
    def shape(self) -> tuple[int, int]:
        return 0, self.channels

    @property
    def room(self) -> int:
        """Channels with those that fill vectors up; maps side by side begin with a vector each."""
        return sum(part.room for part in self.inputs) if self.kind == "join" else whole(self.channels)

    def __add__(self, other: Node) -> Node:
        return self.layers.sum(self, other)

    def __mul__(self, other: Node) -> Node:
        return self.layers.times(self, other)

    def window(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of what a kernel of this node makes of maps."""
        rows, columns = ((n + 2 * self.padding - self.kernel) // self.stride + 1 for n in (height, width))
        return rows, columns


class RecordedLayers:
    """The layers of RetinaFace, PFLD, MobileFaceNet and STAR, which compute nothing; see reference/networks/layers.py.

    Parameters
    ----------
    weights : of the network, norms folded where they can be.
    """

    def __init__(self, weights: FoldedWeights) -> None:
        self._norms = weights.norms
        self.arrays = dict(weights.arrays)  #: by name; those of norms that are convolutions here among them
        self.nodes: list[Node] = []

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def made(self, kind: Kind, channels: int, *inputs: Node, **about: Any) -> Node:
        """A new node."""
        self.nodes.append(Node(self, kind, channels, inputs, **about))
        return self.nodes[-1]

    def conv(self, maps: Node, name: str, stride: int = 1, padding: int = 0) -> Node:
        weight = self.arrays[f"{name}.weight"]
        units, depth, kernel, _ = weight.shape
        window = {"kernel": kernel, "stride": stride, "padding": padding}
        if maps.kind == "join" and maps.inputs[0].kind == "image":
            return self._of_pixels(maps, name, window)
        kind: Kind = "depthwise" if depth == 1 and maps.channels > 1 else "conv"
        return self.made(kind, units, maps, name=name, **window)

    def _of_pixels(self, maps: Node, name: str, window: dict[str, int]) -> Node:
        """The convolution of an image and of constants beside it, as that of the image plus maps."""
        image, *others = maps.inputs
        if any(part.kind != "constant" or part.inputs for part in others):
            raise ContractError(STAGE, "layers", "constants beside the image", f"what {name} reads")
        weight = self.arrays[f"{name}.weight"].astype(np.float64)
        beside = np.concatenate([_values(part) for part in others]).astype(np.float64)
        rest = weight[:, image.channels :]
        values = convolve(beside[None], rest, stride=window["stride"], padding=window["padding"])[0]
        own = f"{name} of pixels"
        self.arrays[f"{own}.weight"] = weight[:, : image.channels]
        if f"{name}.bias" in self.arrays:
            self.arrays[f"{own}.bias"] = self.arrays[f"{name}.bias"]
        constant = self.made("constant", len(weight), values=values)
        return self.made("conv", len(weight), image, name=own, **window) + constant

    def linear(self, values: Node, name: str) -> Node:
        return self.made("conv", len(self.arrays[f"{name}.weight"]), values, name=name)

    def norm(self, maps: Node, name: str) -> Node:
        if name in self._norms:
            return maps
        factor, summand = affine(self.arrays, name)
        own = f"{name} as a convolution"
        self.arrays[f"{own}.weight"], self.arrays[f"{own}.bias"] = factor.reshape(-1, 1, 1, 1), summand
        return self.made("depthwise", maps.channels, maps, name=own)

    def _active(self, maps: Node, slopes: Array) -> Node:
        slopes = slopes.astype(np.float32)
        if maps.kind == "instance" and maps.slopes is None:
            self.nodes.append(replace(maps, slopes=slopes))
            return self.nodes[-1]
        if maps.kind != "join":
            return self.made("active", maps.channels, maps, slopes=slopes)
        ends = np.cumsum([part.channels for part in maps.inputs])[:-1]
        each = zip(maps.inputs, np.split(slopes, ends), strict=True)
        return self.join([self._active(part, own) for part, own in each])

    def prelu(self, maps: Node, name: str) -> Node:
        return self._active(maps, self.arrays[f"{name}.weight"])

    def relu(self, maps: Node) -> Node:
        return self._active(maps, np.zeros(maps.channels))

    def leaky_relu(self, maps: Node, slope: float) -> Node:
        return self._active(maps, np.full(maps.channels, slope))

    def sigmoid(self, maps: Node) -> Node:
        return self.made("sigmoid", maps.channels, maps)

    def max_pool(self, maps: Node, kernel: int, stride: int, padding: int = 0) -> Node:
        return self.made("max", maps.channels, maps, kernel=kernel, stride=stride, padding=padding)

    def mean_pool(self, maps: Node) -> Node:
        return self.made("mean", maps.channels, maps)

    def nearest(self, maps: Node, like: Node) -> Node:
        return self.made("nearest", maps.channels, maps)

    def instance_norm(self, maps: Node) -> Node:
        return self.made("instance", maps.channels, maps)

    def join(self, parts: Sequence[Node]) -> Node:
        """Maps side by side; constants that follow each other are one."""
        flat: list[Node] = []
        for part in (own for each in parts for own in (each.inputs if each.kind == "join" else (each,))):
            if flat and flat[-1].kind == part.kind == "constant" and not flat[-1].inputs:
                flat[-1] = self._beside(flat[-1], part)
            else:
                flat.append(part)
        return flat[0] if len(flat) == 1 else self.made("join", sum(part.channels for part in flat), *flat)

    def _beside(self, one: Node, other: Node) -> Node:
        """Constants of which only the last may be masked."""
        self.nodes.append(
            replace(
                other, channels=one.channels + other.channels, masked=one.channels + other.masked,
                values=np.concatenate([_values(one), _values(other)]),
            )
        )  # fmt: skip
        return self.nodes[-1]

    def constant(self, values: Array, like: Node) -> Node:
        return self.made("constant", values.shape[1], values=values[0])

    def channels(self, maps: Node, first: int | None, last: int | None) -> Node:
        kept = range(maps.channels)[first:last]
        if maps.kind == "constant" and not maps.inputs:
            return self.made("constant", len(kept), values=_values(maps)[kept.start : kept.stop])
        return self.made("channels", len(kept), maps, masked=kept.start)

    def above(self, maps: Node, threshold: float) -> Node:
        return self.made("above", maps.channels, maps, threshold=threshold)

    def sum(self, one: Node, other: Node) -> Node:
        """A sum; convolutions of one place that are added one after the other are one, of maps side by side."""
        last = one.inputs[1] if one.kind == "add" else one
        if (
            last is one
            or not (_of_places(last) and _of_places(other))
            or any(one in each.inputs for each in self.nodes)
        ):
            return self.made("add", one.channels, one, other)
        name = f"{last.name} and {other.name}"
        weights, biases = zip(*(self._weight_and_bias(conv.name) for conv in (last, other)), strict=True)
        self.arrays |= {f"{name}.weight": np.concatenate(weights, axis=1), f"{name}.bias": sum(biases)}
        joined = self.join([last.inputs[0], other.inputs[0]])
        return self.made("add", one.channels, one.inputs[0], self.made("conv", one.channels, joined, name=name))

    def _weight_and_bias(self, name: str) -> tuple[Array, Array]:
        weight = self.arrays[f"{name}.weight"].astype(np.float64)
        return weight, self.arrays.get(f"{name}.bias", np.zeros(len(weight))).astype(np.float64)

    def times(self, one: Node, other: Node) -> Node:
        """The product of maps, or constants where the last channel of some maps is above a threshold, else 0."""
        if one.kind == "constant" and other.kind == "above":
            (chosen,) = other.inputs
            source = chosen.inputs[0] if chosen.kind == "channels" else chosen
            if other.channels != 1 or chosen.masked != source.channels - 1 or one.inputs:
                raise ContractError(STAGE, "layers", "constants times a mask of the last channel", "another mask")
            return self.made("constant", one.channels, source, values=one.values, threshold=other.threshold)
        if one.channels != other.channels:
            raise ContractError(STAGE, "layers", f"{one.channels} channels to multiply", str(other.channels))
        return self.made("times", one.channels, one, other)

    def flat(self, maps: Node) -> Node:
        """Maps of one place are values already."""
        return maps


def _of_places(node: Node) -> bool:
    """Whether a node is a convolution of each place by itself."""
    return node.kind == "conv" and (node.kernel, node.stride, node.padding) == (1, 1, 0)


def _values(node: Node) -> Array:
    assert node.values is not None
    return node.values
