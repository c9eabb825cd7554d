"""The least time of a network: its arithmetic as it is described, at the rate of the register tiles on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.numba.channel_tiles import PANEL_VECTORS
from auparity.accelerated.numba.network_steps import DENSE, run
from auparity.accelerated.numba.network_weights import in_line
from auparity.accelerated.numba.vectors import LANES
from auparity.models.types import PointNetwork, RetinaFace
from auparity.reference.networks.layers import Padding
from auparity.reference.networks.parts import parts_of

Array = npt.NDArray[Any]

#: Convolutions that are timed together, because one takes only microseconds.
AT_ONCE = 20


@dataclass(frozen=True)
class _Sizes:
    """Maps of which only the size is known; a layer of one input and no other size gives them back."""

    shape: tuple[int, int, int, int]

    def __add__(self, other: _Sizes) -> _Sizes:
        return self

    __mul__ = __add__


class _CountingLayers:
    """Layers that compute nothing, and count the operations of convolutions and fully connected layers.

    Parameters
    ----------
    arrays : weights by name.
    """

    def __init__(self, arrays: dict[str, Array]) -> None:
        self._arrays = arrays
        self.flop = 0.0

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def conv(self, maps: _Sizes, name: str, stride: int = 1, padding: Padding = 0) -> _Sizes:
        weights = self._arrays[f"{name}.weight"]
        around = 2 * padding if isinstance(padding, int) else sum(padding)
        height, width = ((n + around - weights.shape[2]) // stride + 1 for n in maps.shape[2:])
        self.flop += 2.0 * weights.size * height * width
        return _Sizes((1, len(weights), height, width))

    def linear(self, values: _Sizes, name: str) -> _Sizes:
        weights = self._arrays[f"{name}.weight"]
        self.flop += 2.0 * weights.size
        return _Sizes((1, len(weights), 1, 1))

    def max_pool(self, maps: _Sizes, kernel: int, stride: int, padding: int = 0) -> _Sizes:
        height, width = ((n + 2 * padding - kernel) // stride + 1 for n in maps.shape[2:])
        return _Sizes((1, maps.shape[1], height, width))

    def mean_pool(self, maps: _Sizes) -> _Sizes:
        return _Sizes((1, maps.shape[1], 1, 1))

    def nearest(self, maps: _Sizes, like: _Sizes) -> _Sizes:
        return _Sizes((1, maps.shape[1], *like.shape[2:]))

    def join(self, parts: Sequence[_Sizes]) -> _Sizes:
        return _Sizes((1, sum(part.shape[1] for part in parts), *parts[0].shape[2:]))

    def constant(self, values: Array, like: _Sizes) -> _Sizes:
        _, channels, height, width = values.shape
        return _Sizes((1, channels, height, width))

    def channels(self, maps: _Sizes, first: int | None, last: int | None) -> _Sizes:
        return _Sizes((1, len(range(maps.shape[1])[first:last]), *maps.shape[2:]))

    def norm(self, maps: _Sizes, name: str) -> _Sizes:
        return maps

    prelu = norm

    def relu(self, maps: _Sizes) -> _Sizes:
        return maps

    sigmoid = instance_norm = flat = relu

    def leaky_relu(self, maps: _Sizes, slope: float) -> _Sizes:
        return maps

    def above(self, maps: _Sizes, threshold: float) -> _Sizes:
        return maps


def network_flop(weights: RetinaFace | PointNetwork, height: int, width: int) -> float:
    """Floating-point operations of the convolutions and fully connected layers of a network on one image."""
    layers = _CountingLayers(weights.tensors.by_name())
    list(parts_of(weights).graph(layers, _Sizes((1, 3, height, width))))
    return layers.flop


def tile_gflops(repeats: int = 60) -> float:
    """Billions of float32 operations a second of a 1x1 convolution in the cache (64 channels, 784 places), the best."""
    places, blocks = 784, 4
    plane, panel = places * LANES, PANEL_VECTORS * LANES
    weights = in_line(blocks * (2 + blocks * LANES) * LANES)
    arena = in_line(2 * blocks * plane)
    firsts = range(0, blocks * LANES, panel)
    panels = np.array(
        [(k * (2 + blocks * LANES), PANEL_VECTORS, blocks * plane + k * places, plane, -1) for k in firsts]
    )
    step = np.array([[DENSE, 0, LANES, 0, blocks, plane, 1, 0, LANES, 1, places, 0, len(panels), places, 0]])
    image, means = np.zeros((1, 1, 3), np.uint8), np.zeros(3, np.float32)
    run(image, means, step, panels, weights, arena)
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        for _ in range(AT_ONCE):
            run(image, means, step, panels, weights, arena)
        best = min(best, time.process_time() - start)
    return AT_ONCE * 2 * places * (blocks * LANES) ** 2 / best / 1e9
