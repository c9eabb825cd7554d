"""What a network computes, as few steps: of the nodes of its description (network_nodes.py), what can be computed
together is put together.

Activations and sums with earlier maps go into the convolution before them, a depthwise convolution goes with the 1x1
convolution that reads it, convolutions of the same maps are computed together, and maps side by side are written there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from auparity.accelerated.numba.network_nodes import STAGE, Kind, Node, RecordedLayers
from auparity.accelerated.numba.vectors import LANES
from auparity.conversion.networks.folding import FoldedWeights
from auparity.errors import ContractError
from auparity.reference.networks.layers import NetworkLayers

Array = npt.NDArray[Any]


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
    arrays: dict[str, Array]  #: weights by name


def plan_of(weights: FoldedWeights, graph: Callable[[NetworkLayers, Any], Iterable[Any]]) -> Plan:
    """The steps of a network's description.

    Raises
    ------
    ContractError : layers in a combination that has no step.
    """
    layers = RecordedLayers(weights)
    image = layers.made("image", 3)
    outputs = tuple(graph(cast(NetworkLayers, layers), image))
    nodes = _needed(layers.nodes, outputs)
    steps = _together(_fused(nodes, outputs), {read for node in nodes for read in node.inputs})
    places = {conv: (node, begin) for step in steps for conv, node, begin in _of_outputs(step)}
    given = tuple((*places.get(node, (node, 0)), node.channels) for node in outputs)
    return Plan(image, tuple(steps), given, _joined(nodes, outputs), layers.arrays)


def _joined(nodes: Sequence[Node], outputs: Sequence[Node]) -> dict[Node, tuple[Node, int]]:
    """Where maps are written side by side; only dense convolutions find those behind maps of broken vectors."""
    joined: dict[Node, tuple[Node, int]] = {}
    for node in (node for node in nodes if node.kind == "join"):
        begins = np.cumsum([0, *(part.room for part in node.inputs)])
        kinds = {reader.kind for reader in nodes if node in reader.inputs} | ({"output"} if node in outputs else set())
        if any(part.channels % LANES for part in node.inputs[:-1]) and kinds != {"conv"}:
            channels = str([part.channels for part in node.inputs])
            raise ContractError(STAGE, "weights", f"joined channels in multiples of {LANES}", channels)
        twice = len(set(node.inputs)) < len(node.inputs) or not joined.keys().isdisjoint(node.inputs)
        if twice or any(part.kind in ("image", "join") for part in node.inputs):
            raise ContractError(STAGE, "layers", "maps that are joined once", "maps in two places")
        joined |= {part: (node, int(begin)) for part, begin in zip(node.inputs, begins, strict=False)}
    return joined


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
        if node.kind in ("active", "channels", "above"):  # what others do on their way
            raise ContractError(STAGE, "layers", "layers that have a step", f"{node.kind} by itself")
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


def _together(steps: Sequence[Convolutions | Node], read: set[Node]) -> list[Convolutions | Node]:
    """Convolutions of the same maps with the same windows as one step; those of broken vectors side by side, unless
    other steps read them.
    """
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
            alone = any(node in read for product in products for node in product.convs)
            result.append(Convolutions(step.source, products if alone else _side_by_side(products)))
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
    return (Product(convs, Node(layers, "packed", sum(conv.channels for conv in convs), convs), None, None),)
