"""A network's steps for images of one size, and where its maps lie; network_steps.py runs them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.numba import network_steps as steps
from auparity.accelerated.numba.channel_tiles import PLACES_1, UNROLLED
from auparity.accelerated.numba.network_memory import Maps, Room
from auparity.accelerated.numba.network_nodes import STAGE, Node, whole
from auparity.accelerated.numba.network_plan import Convolutions, Plan
from auparity.accelerated.numba.network_weights import PackedWeights, in_winograd
from auparity.accelerated.numba.vectors import LANES
from auparity.accelerated.numba.winograd_tiles import OUTPUTS, PRODUCTS
from auparity.errors import ContractError

Array = npt.NDArray[Any]

#: Floats that a depthwise convolution makes at once for the convolution that reads them: 256 channels of 14 x 14
#: places. Strips of 48 KiB leave more register tiles incomplete, and took 5 % longer.
STRIP = 49 << 10
#: Tiles of Winograd's convolution at once: whole register tiles of either width; 36 products of 64 channels are 221 KB.
TILES = 24


class Program:
    """The steps of a network for images of one size.

    Parameters
    ----------
    plan, weights : of the network. height, width : of the images.
    """

    def __init__(self, plan: Plan, weights: PackedWeights, height: int, width: int) -> None:
        self._plan, self._weights, self._room = plan, weights, Room()
        self._maps: dict[Node, Maps] = {}
        self._steps: list[tuple[int, ...]] = []
        self._panels: list[tuple[int, ...]] = []
        self._last = self._last_reads()
        for number, step in enumerate(plan.steps):
            if not isinstance(step, Convolutions):
                self._other(step)
            elif step.source is plan.image:
                self._from_pixels(number, height, width)
            else:
                self._convolve(step)
            for node in [node for node, last in self._last.items() if last == number and node in self._maps]:
                self._room.give_back(self._maps[node].start)
        self.steps = np.zeros((len(self._steps), steps.FIELDS), np.int64)
        for row, values in zip(self.steps, self._steps, strict=True):
            row[: len(values)] = values
        self.panels = np.array(self._panels, np.int64).reshape(-1, steps.PANEL_FIELDS)
        self.size = self._room.size
        self.width = width
        self.outputs = [(self._of(node), begin, channels) for node, begin, channels in plan.outputs]

    def _owner(self, node: Node) -> tuple[Node, int]:
        """The maps that a node's channels are in, and from which on."""
        return self._plan.joined.get(node, (node, 0))

    def _last_reads(self) -> dict[Node, int]:
        """The step after which maps are not needed; outputs always are."""
        last: dict[Node, int] = {}
        for number, step in enumerate(self._plan.steps):
            made = step.results if isinstance(step, Convolutions) else (step,)
            for node in (*made, *_read(step)):
                last[self._owner(node)[0]] = number
        for node in [self._plan.image, *(node for node, _, _ in self._plan.outputs)]:
            last.pop(self._owner(node)[0], None)
        return last

    def _make(self, node: Node, height: int, width: int) -> Maps:
        """Room for the maps of a node."""
        owner, _ = self._owner(node)
        if owner not in self._maps:
            start = self._room.take(height * width * owner.room)
            self._maps[owner] = Maps(start, height, width, owner.room // LANES)
        return self._of(node)

    def _of(self, node: Node) -> Maps:
        """The maps of a node that are there already."""
        owner, begin = self._owner(node)
        maps = self._maps[owner]
        return replace(maps, start=maps.start + begin * maps.height * maps.width, blocks=node.room // LANES)

    def _scratch(self, length: int) -> int:
        """Room for a step alone: free again for the next one."""
        start = self._room.take(length)
        self._room.give_back(start)
        return start

    def _products(self, step: Convolutions, height: int, width: int) -> tuple[int, int]:
        """Adds the panels of a step; the first and the one after the last."""
        first = len(self._panels)
        for product in step.products:
            made = self._make(product.result, height, width)
            around = None if product.around is None else self._of(product.around)
            for panel in self._weights.panels.get(product, ()):
                begin = panel.channel * height * width
                other = -1 if around is None else around.start + begin
                self._panels.append((panel.first, panel.vectors, made.start + begin, made.plane, other))
        return first, len(self._panels)

    def _convolve(self, step: Convolutions) -> None:
        maps = self._of(step.source)
        if step.depthwise is not None:
            self._depthwise(step, step.depthwise, maps)
            return
        conv = step.products[0].convs[0]
        height, width = conv.window(maps.height, maps.width)
        panels = self._products(step, height, width)
        if in_winograd(conv):
            tiles = min(TILES, -(-height // OUTPUTS) * -(-width // OUTPUTS))
            window, inputs, outputs = (PRODUCTS * (n * tiles + 1) * LANES for n in (1, maps.blocks, 2))
            start = self._scratch(window + inputs + outputs)
            buffers = (start, start + window, start + window + inputs, tiles)
            self._steps.append((steps.WINOGRAD, *maps.fields, *buffers, *panels))
            return
        start, rows, columns = maps.start, maps.height + 2 * conv.padding, maps.width + 2 * conv.padding
        if conv.padding:
            start = self._scratch(maps.blocks * rows * columns * LANES)
            self._steps.append((steps.PAD, *maps.fields, conv.padding, start))
        lines = (1, height * width) if conv.kernel == conv.stride == 1 and not conv.padding else (height, width)
        self._dense(conv, start, (rows, columns), maps.blocks, LANES, lines, panels)

    def _dense(
        self, conv: Node, start: int, size: tuple[int, int], blocks: int, place: int, lines: tuple[int, int],
        panels: tuple[int, int],
    ) -> None:  # fmt: skip
        """A convolution of maps of a size, rim included, with `place` floats for each place of a block."""
        pitch, length = size[1] * place, -(-conv.kernel * place // UNROLLED) * UNROLLED
        at_once = lines[1] if lines[0] > 1 else max(STRIP // (blocks * place) // PLACES_1, 1) * PLACES_1
        self._steps.append(
            (
                steps.DENSE, start, conv.stride * place, conv.stride * pitch, blocks, size[0] * pitch, conv.kernel,
                pitch, length, *lines, *panels, at_once,
            )
        )  # fmt: skip

    def _from_pixels(self, number: int, height: int, width: int) -> None:
        """The convolution of the image; only some rows at once where a depthwise convolution alone reads them."""
        step, *rest = self._plan.steps[number : number + 2]
        following = rest[0] if rest else None
        assert isinstance(step, Convolutions)
        (product,) = step.products
        (conv,) = product.convs
        rows, columns = conv.window(height, width)
        made, strips = rows, 0
        depthwise = following.depthwise if isinstance(following, Convolutions) else None
        alone = product.around is None and self._last.get(product.result) == number + 1
        if depthwise is not None and alone:
            strip = _strip_rows(*depthwise.window(rows, columns), whole(conv.channels))
            made = strips = min(rows, (strip - 1) * depthwise.stride + depthwise.kernel)
        taken = ((made - 1) * conv.stride + conv.kernel, width + 2 * conv.padding)
        start = self._room.take(taken[0] * taken[1] * 3 + UNROLLED)  # never given back: the rim stays 0
        panels = self._products(step, made, columns)
        self._steps.append((steps.READ, start, conv.padding, strips))
        self._dense(conv, start, taken, 1, 3, (made, columns), panels)
        if strips:
            self._maps[product.result] = replace(self._maps[product.result], height=rows)

    def _depthwise(self, step: Convolutions, conv: Node, maps: Maps) -> None:
        height, width = conv.window(maps.height, maps.width)
        panels = self._products(step, height, width)
        if step.products[0].convs:
            rows = _strip_rows(height, width, maps.blocks * LANES)
            buffer = self._scratch(rows * width * maps.blocks * LANES)
        else:
            rows, buffer = height, self._make(step.products[0].result, height, width).start
        window = (conv.kernel, conv.stride, conv.padding, height, width)
        first = self._weights.depthwise[conv]
        self._steps.append((steps.SEPARABLE, *maps.fields, *window, first, rows, buffer, *panels))

    def _other(self, node: Node) -> None:
        """Steps that are no convolution."""
        if node.kind == "constant":
            self._constant(node)
            return
        maps = self._of(node.inputs[0])
        if node.kind == "mean":
            made = self._make(node, 1, 1)
            self._steps.append((steps.MEAN, maps.start, maps.height * maps.width, maps.blocks, made.start))
        elif node.kind == "max":
            height, width = node.window(maps.height, maps.width)
            made = self._make(node, height, width)
            window = (node.kernel, node.stride, node.padding, height, width)
            self._steps.append((steps.MAX_POOL, *maps.fields, *window, made.start))
        elif node.kind in ("add", "times"):
            other = self._of(_whole_size(node.inputs[1]))
            if node.kind == "times" and (other.height, other.width) != (maps.height, maps.width):
                raise ContractError(
                    STAGE, "layers", "products of maps of one size", f"{other.fields} for {maps.fields}"
                )
            made = self._make(node, maps.height, maps.width)
            kind = steps.ADD if node.kind == "add" else steps.MULTIPLY
            self._steps.append((kind, *maps.fields, other.start, other.height, other.width, made.start))
        elif node.kind == "sigmoid":
            made = self._make(node, maps.height, maps.width)
            self._steps.append((steps.SIGMOID, *maps.fields, made.start))
        else:
            made = self._make(node, maps.height, maps.width)
            first = self._weights.others[node]
            self._steps.append((steps.INSTANCE_NORM, *maps.fields, made.start, first, self._scratch(3 * LANES)))

    def _constant(self, node: Node) -> None:
        """Maps that are the same for every image, but for those that a mask takes away."""
        assert node.values is not None
        made = self._make(node, *node.values.shape[1:])
        mask, masked = -1, 0
        if node.inputs:
            (source,) = node.inputs
            maps, last = self._of(source), source.channels - 1
            if made.blocks > 1 or (maps.height, maps.width) != (made.height, made.width):
                raise ContractError(STAGE, "layers", "a mask of one vector of channels", f"{node.channels} channels")
            mask, masked = maps.start + last // LANES * maps.plane + last % LANES, node.masked
        self._steps.append((steps.CONSTANT, *made.fields, self._weights.others[node], mask, masked))


def _whole_size(node: Node) -> Node:
    """What a node enlarges, which is read in its own size."""
    return node.inputs[0] if node.kind == "nearest" else node


def _read(step: Convolutions | Node) -> tuple[Node, ...]:
    return step.read if isinstance(step, Convolutions) else tuple(_whole_size(node) for node in step.inputs)


def _strip_rows(height: int, width: int, channels: int) -> int:
    """Rows of a depthwise convolution at once."""
    return min(height, max(1, -(-PLACES_1 // width), STRIP // (width * channels)))
