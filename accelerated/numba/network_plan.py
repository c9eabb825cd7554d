"""What a network computes, as few steps: its own description (reference/networks) is run over nodes that only remember
where they came from, and what can be computed together is put together.

Activations and sums with earlier maps go into the convolution before them, a depthwise convolution goes with the 1x1
convolution that reads it, convolutions of the same maps are computed together, and maps side by side are written there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from auparity.accelerated.numba.vectors import LANES
from auparity.conversion.networks.folding import FoldedWeights
from auparity.errors import ContractError
from auparity.reference.networks.layers import NetworkLayers

Array = npt.NDArray[Any]

STAGE = "networks"
Kind = Literal["image", "conv", "depthwise", "active", "add", "join", "nearest", "mean", "max"]


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

    @property
    def shape(self) -> tuple[int, int]:
        return 0, self.channels

    def __add__(self, other: Node) -> Node:
        return self.layers.made("add", self.channels, self, other)

    def window(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of what a kernel of this node makes of maps."""
        rows, columns = ((n + 2 * self.padding - self.kernel) // self.stride + 1 for n in (height, width))
        return rows, columns


@dataclass
class RecordedLayers:
    """The layers of RetinaFace, PFLD and MobileFaceNet, which compute nothing; see reference/networks/layers.py."""

    weights: FoldedWeights
    nodes: list[Node] = field(default_factory=list)

    def __contains__(self, name: str) -> bool:
        return name in self.weights.arrays

    def made(self, kind: Kind, channels: int, *inputs: Node, **about: Any) -> Node:
        """A new node."""
        self.nodes.append(Node(self, kind, channels, inputs, **about))
        return self.nodes[-1]

    def conv(self, maps: Node, name: str, stride: int = 1, padding: int = 0) -> Node:
        units, depth, kernel, _ = self.weights.arrays[f"{name}.weight"].shape
        kind: Kind = "depthwise" if depth == 1 and maps.channels > 1 else "conv"
        return self.made(kind, units, maps, name=name, kernel=kernel, stride=stride, padding=padding)

    def linear(self, values: Node, name: str) -> Node:
        return self.made("conv", len(self.weights.arrays[f"{name}.weight"]), values, name=name)

    def norm(self, maps: Node, name: str) -> Node:
        if name not in self.weights.norms:
            raise ContractError(STAGE, "weights", "norms behind convolutions", f"{name} elsewhere")
        return maps

    def _active(self, maps: Node, slopes: Array) -> Node:
        if maps.kind != "join":
            return self.made("active", maps.channels, maps, slopes=slopes.astype(np.float32))
        ends = np.cumsum([part.channels for part in maps.inputs])[:-1]
        each = zip(maps.inputs, np.split(slopes, ends), strict=True)
        return self.join([self._active(part, own) for part, own in each])

    def prelu(self, maps: Node, name: str) -> Node:
        return self._active(maps, self.weights.arrays[f"{name}.weight"])

    def relu(self, maps: Node) -> Node:
        return self._active(maps, np.zeros(maps.channels))

    def leaky_relu(self, maps: Node, slope: float) -> Node:
        return self._active(maps, np.full(maps.channels, slope))

    def max_pool(self, maps: Node, kernel: int, stride: int, padding: int = 0) -> Node:
        return self.made("max", maps.channels, maps, kernel=kernel, stride=stride, padding=padding)

    def mean_pool(self, maps: Node) -> Node:
        return self.made("mean", maps.channels, maps)

    def nearest(self, maps: Node, like: Node) -> Node:
        return self.made("nearest", maps.channels, maps)

    def join(self, parts: Sequence[Node]) -> Node:
        return self.made("join", sum(part.channels for part in parts), *parts)

    def flat(self, maps: Node) -> Node:
        """Maps of one place are values already."""
        return maps


@dataclass(frozen=True, eq=False)
class Product:
    """Convolutions whose outputs lie side by side, with what follows while they are in registers."""

    convs: tuple[Node, ...]
    result: Node
    slopes: Array | None  #: (C,), of an activation
    around: Node | None  #: maps that are added before it


@dataclass(frozen=True, eq=False)
class Convolutions:
    """Products of the same maps."""

    source: Node
    products: tuple[Product, ...]
    depthwise: Node | None = None  #: of the source, before the products
    depthwise_slopes: Array | None = None

    @property
    def results(self) -> tuple[Node, ...]:
        return tuple(product.result for product in self.products)

    @property
    def read(self) -> tuple[Node, ...]:
        return self.source, *(product.around for product in self.products if product.around is not None)


@dataclass(frozen=True, eq=False)
class Plan:
    """The steps of a network in their order: convolutions, and nodes that are no convolution."""

    image: Node
    steps: tuple[Convolutions | Node, ...]
    outputs: tuple[tuple[Node, int, int], ...]  #: what the network gives: maps, the first channel, and how many
    joined: dict[Node, tuple[Node, int]]  #: maps that are written side by side: where, and from which channel on


def plan_of(weights: FoldedWeights, graph: Callable[[NetworkLayers, Any], Iterable[Any]]) -> Plan:
    """The steps of a network's description.

    Raises
    ------
    ContractError : channels that are written side by side are no multiples of a vector.
    """
    layers = RecordedLayers(weights)
    image = layers.made("image", 3)
    outputs = tuple(graph(cast(NetworkLayers, layers), image))
    nodes = _needed(layers.nodes, outputs)
    steps = _together(_fused(nodes, outputs))
    joined: dict[Node, tuple[Node, int]] = {}
    for node in nodes:
        if node.kind == "join":
            begins = np.cumsum([0, *(part.channels for part in node.inputs)])
            if any(begin % LANES for begin in begins[:-1]):
                raise ContractError(STAGE, "weights", f"joined channels in multiples of {LANES}", str(begins))
            joined |= {part: (node, int(begin)) for part, begin in zip(node.inputs, begins, strict=False)}
    places = {conv: (node, begin) for step in steps for conv, node, begin in _of_outputs(step)}
    given = tuple((*places.get(node, (node, 0)), node.channels) for node in outputs)
    return Plan(image, tuple(steps), given, joined)


def _needed(nodes: Sequence[Node], outputs: Sequence[Node]) -> list[Node]:
    """The nodes that the outputs are made of, in their order."""
    needed = set(outputs)
    for node in reversed(nodes):
        if node in needed:
            needed.update(node.inputs)
    return [node for node in nodes if node in needed]


def _of_outputs(step: Convolutions | Node) -> Iterable[tuple[Node, Node, int]]:
    """Each convolution of a product of several, the product's maps, and where its channels begin."""
    for product in step.products if isinstance(step, Convolutions) else ():
        begin = 0
        for conv in product.convs if len(product.convs) > 1 else ():
            yield conv, product.result, begin
            begin += conv.channels


class _Readers:
    """Who reads which node."""

    def __init__(self, nodes: Sequence[Node], outputs: Sequence[Node]) -> None:
        self._readers: dict[Node, list[Node]] = defaultdict(list)
        self._outputs = set(outputs)
        for node in nodes:
            for read in node.inputs:
                self._readers[read].append(node)

    def only(self, node: Node, kind: Kind) -> Node | None:
        """The reader of a node, if it is the only one and of this kind."""
        readers = self._readers[node]
        return readers[0] if len(readers) == 1 and readers[0].kind == kind and node not in self._outputs else None

    def activated(self, node: Node) -> tuple[Node, Array | None]:
        """A node, or the activation that alone reads it, and its slopes."""
        active = self.only(node, "active")
        return (node, None) if active is None else (active, active.slopes)


def _fused(nodes: Sequence[Node], outputs: Sequence[Node]) -> list[Convolutions | Node]:
    """Each convolution with what can follow it in registers."""
    readers, done = _Readers(nodes, outputs), set[Node]()
    steps: list[Convolutions | Node] = []
    for node in nodes:
        if node in done or node.kind in ("image", "join", "nearest"):
            done.add(node)
            continue
        if node.kind not in ("conv", "depthwise"):
            steps.append(node)
            done.add(node)
            continue
        conv, depthwise, slopes = node, None, None
        if node.kind == "depthwise":
            last, slopes = readers.activated(node)
            following = readers.only(last, "conv")
            if following is None or (following.kernel, following.stride, following.padding) != (1, 1, 0):
                product = Product((), last, None, None)
                steps.append(Convolutions(node.inputs[0], (product,), node, slopes))
                done |= {node, last}
                continue
            conv, depthwise = following, node
            done |= {node, last}
        product = _product(conv, readers, done)
        done |= {conv, product.result}
        if product.around is not None:
            done.add(cast(Node, readers.only(conv, "add")))
        steps.append(Convolutions(node.inputs[0], (product,), depthwise, slopes))
    return steps


def _product(conv: Node, readers: _Readers, done: set[Node]) -> Product:
    """A convolution, the sum with maps that are there already, and the activation."""
    total = readers.only(conv, "add")
    others = [node for node in total.inputs if node is not conv] if total is not None else []
    around = others[0] if others and others[0] in done and others[0].kind != "nearest" else None
    result, slopes = readers.activated(conv if around is None or total is None else total)
    return Product((conv,), result, slopes, around)


def _together(steps: Sequence[Convolutions | Node]) -> list[Convolutions | Node]:
    """Convolutions of the same maps with the same windows as one step; those of broken vectors side by side."""
    groups: dict[Any, list[Convolutions]] = defaultdict(list)
    for step in steps:
        if isinstance(step, Convolutions) and step.depthwise is None:
            conv, alone = step.products[0].convs[0], step.products[0].around is not None
            key = (step.source, conv.kernel, conv.stride, conv.padding, conv if alone else None)
            groups[key].append(step)
    first = {group[0]: group for group in groups.values()}
    others = {step for group in groups.values() for step in group[1:]}
    result: list[Convolutions | Node] = []
    for step in steps:
        if isinstance(step, Convolutions) and len(first.get(step, ())) > 1:
            products = tuple(product for each in first[step] for product in each.products)
            result.append(Convolutions(step.source, _side_by_side(products)))
        elif step not in others:
            result.append(step)
    return result


def _side_by_side(products: tuple[Product, ...]) -> tuple[Product, ...]:
    """One product where channels fill no whole vectors and nothing follows the convolutions."""
    plain = all(product.slopes is None and product.result is product.convs[0] for product in products)
    if not plain or all(product.result.channels % LANES == 0 for product in products):
        return products
    convs = tuple(product.convs[0] for product in products)
    layers = convs[0].layers
    return (Product(convs, Node(layers, "join", sum(conv.channels for conv in convs), convs), None, None),)
