"""A network's weights as the kernels read them (network_steps.py): panels of one or two vectors of output channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.numba.channel_tiles import PANEL_VECTORS, UNROLLED
from auparity.accelerated.numba.network_nodes import Node, whole
from auparity.accelerated.numba.network_plan import Convolutions, Plan, Product
from auparity.accelerated.numba.vectors import LANES
from auparity.accelerated.numba.winograd_tiles import PRODUCTS, transformed_weights

Array = npt.NDArray[Any]


def in_line(length: int) -> Array:
    """Zeros (length,) float32 from the begin of a line of the cache on: vectors that lie in two take twice as long."""
    values = np.zeros(length + LANES, np.float32)
    first = -(values.ctypes.data // values.itemsize) % LANES
    return values[first : first + length]


@dataclass(frozen=True)
class _Panel:
    """One or two vectors of a product's output channels."""

    first: int  #: of its weights
    vectors: int
    channel: int


class PackedWeights:
    """The weights of all steps of a plan in one array.

    Parameters
    ----------
    of_pixels : what the weights (K, 3, k, k) become that read pixels less their means instead of what the network is
        described for.
    """

    def __init__(self, plan: Plan, of_pixels: Callable[[Array], Array]) -> None:
        self._arrays, self._of_pixels, self._image = plan.arrays, of_pixels, plan.image
        self._parts: list[Array] = []
        self._length = 0
        self.panels: dict[Product, list[_Panel]] = {}
        self.depthwise: dict[Node, int] = {}
        self.others: dict[Node, int] = {}  #: slopes of norms, values of constants
        for step in plan.steps:
            if isinstance(step, Convolutions):
                self._pack(step)
            elif step.kind == "instance":
                self.others[step] = self._keep(_filled(_slopes(step.slopes, step.channels)))
            elif step.values is not None:
                values = _in_blocks(_filled(step.values.transpose(1, 2, 0)))
                self.others[step] = self._keep(np.full(LANES, step.threshold), values)
        self.values = in_line(self._length)
        np.concatenate(self._parts, out=self.values)
        self._parts.clear()

    def _keep(self, *parts: Array) -> int:
        first = self._length
        for part in parts:
            self._parts.append(np.ascontiguousarray(part, np.float32).reshape(-1))
            self._length += self._parts[-1].size
        return first

    def _pack(self, step: Convolutions) -> None:
        if step.depthwise is not None:
            weight, bias = self._weight_and_bias(step.depthwise)
            slopes = _slopes(step.depthwise_slopes, len(bias))
            rows = np.stack([bias, slopes, *weight.reshape(len(weight), -1).T])  # of a block: bias, slopes, taps
            self.depthwise[step.depthwise] = self._keep(_in_blocks(_filled(rows)))
        for product in step.products:
            if product.convs:
                weights, biases = zip(*(self._weight_and_bias(conv) for conv in product.convs), strict=True)
                weight, bias = np.concatenate(weights), np.concatenate(biases)
                slopes = _slopes(product.slopes, len(bias))
                transformed = in_winograd(product.convs[0])
                taps = transformed_weights(_filled(weight, 1)) if transformed else self._runs(weight, step)
                self.panels[product] = list(self._panels(_filled(taps), _filled(bias), _filled(slopes), transformed))

    def _weight_and_bias(self, conv: Node) -> tuple[Array, Array]:
        weight = self._arrays[f"{conv.name}.weight"].astype(np.float64)
        weight = weight.reshape(*weight.shape[:2], conv.kernel, conv.kernel)
        source = conv.inputs[0]
        if source is self._image:
            weight = self._of_pixels(weight)
        elif source.kind == "join" and conv.kind == "conv":
            ends = np.cumsum([part.channels for part in source.inputs])[:-1]
            weight = np.concatenate([_filled(part, 1) for part in np.split(weight, ends, axis=1)], axis=1)
        return weight, self._arrays.get(f"{conv.name}.bias", np.zeros(len(weight)))

    def _runs(self, weight: Array, step: Convolutions) -> Array:
        """Weights (K, C, k, k) in the order of the floats in maps: (blocks, k, k * C, K), runs of pixels made whole."""
        units, _, kernel, _ = weight.shape
        if step.source is self._image:
            rows = weight.transpose(2, 3, 1, 0).reshape(1, kernel, -1, units)
            return np.pad(rows, ((0, 0), (0, 0), (0, -rows.shape[2] % UNROLLED), (0, 0)))
        blocks = _filled(weight, 1).reshape(units, -1, LANES, kernel, kernel)
        return blocks.transpose(1, 3, 4, 2, 0).reshape(len(blocks[0]), kernel, -1, units)

    def _panels(self, taps: Array, bias: Array, slopes: Array, transformed: bool) -> Sequence[_Panel]:
        panels, channel = [], 0
        while channel < len(bias):
            vectors = min((len(bias) - channel) // LANES, PANEL_VECTORS)
            some = slice(channel, channel + vectors * LANES)
            parts = [bias[some], slopes[some]]
            if transformed:  # each of the 36 products is a panel of its own, without bias and activation
                for k in range(PRODUCTS):
                    parts += [np.zeros(vectors * LANES), np.ones(vectors * LANES), taps[k, :, some]]
            else:
                parts.append(taps[..., some])
            panels.append(_Panel(self._keep(*parts), vectors, channel))
            channel += vectors * LANES
        return panels


def _filled(values: Array, axis: int = -1) -> Array:
    """Values with zeros behind the last channel, up to a whole vector."""
    room = [(0, 0)] * values.ndim
    room[axis] = (0, whole(values.shape[axis]) - values.shape[axis])
    return np.pad(values, room)


def _in_blocks(values: Array) -> Array:
    """(..., C) as (C / 16, ..., 16)."""
    return np.moveaxis(values.reshape(*values.shape[:-1], -1, LANES), -2, 0)


def _slopes(slopes: Array | None, channels: int) -> Array:
    return np.ones(channels) if slopes is None else slopes


def in_winograd(conv: Node) -> bool:
    """Whether a convolution is computed by Winograd's algorithm."""
    return (conv.kernel, conv.stride, conv.padding) == (3, 1, 1) and conv.inputs[0].kind != "image"
