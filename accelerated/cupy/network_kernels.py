"""The kernels of the network detectors and landmarkers (network_conv.cu, network_maps.cu), a launch for each node of a
network (network_nodes.py), and the weights of these launches on the device.

Bounded by the FMA units in large batches: 64 frames of 640x480 are 94 GFLOP for RetinaFace's MobileNet, 64 crops 20
GFLOP for PFLD and 28 for MobileFaceNet; for a single image by the latency of some sixty launches. Nothing here has run
on a GPU yet, so neither the sizes of blocks nor the depth of a step have been tuned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.conv_tiles import padded
from auparity.accelerated.cupy.device import Device
from auparity.accelerated.cupy.network_nodes import (
    Active,
    Both,
    Constant,
    Convolved,
    Each,
    Largest,
    Mean,
    Nearest,
    Node,
    Normed,
)
from auparity.reference.networks.layers import NORM_EPSILON

Array = npt.NDArray[Any]

#: As in network_conv.cu: units and positions of a thread, taps in shared memory.
UNITS, POSITIONS, DEPTH = 8, 4, 16
#: Rows of units of a block at most, threads of a row, and of the blocks of all other kernels.
MOST_ROWS, ROW, FEWEST_ROW, THREADS, LANES = 8, 64, 16, 256, 32
#: Two blocks for each of the 132 processors of an H200: with fewer, smaller blocks are made.
ENOUGH_BLOCKS = 264
MOST_BLOCKS_DOWN = 65535
#: Nodes that can be made as some channels of maps.
IN_PLACE = Convolved | Each | Nearest | Constant


@dataclass(frozen=True)
class Cut:
    """How a convolution is divided into blocks. This changes no result: a sum is one thread's."""

    across: int  #: threads of a row, each of which has `POSITIONS` positions
    rows: int  #: rows of threads, each of which has `UNITS` units

    def grid(self, units: int, positions: int) -> tuple[int, int]:
        return -(-positions // (self.across * POSITIONS)), -(-units // (self.rows * UNITS))

    @property
    def shared_bytes(self) -> int:
        positions, units = self.across * POSITIONS, self.rows * UNITS
        return (16 + 4 * DEPTH) * positions + 4 * DEPTH * (units + 4)


def cut(units: int, positions: int) -> Cut:
    """The largest blocks of which there are enough, or the smallest."""
    groups = -(-units // UNITS)
    rows = min(range(1, MOST_ROWS + 1), key=lambda n: (-(-groups // n) * n, -n))
    across = ROW if rows * ROW <= THREADS else ROW // 2
    while across > FEWEST_ROW or rows > 1:
        found = Cut(across, rows)
        if np.prod(found.grid(units, positions)) >= ENOUGH_BLOCKS:
            return found
        if across > FEWEST_ROW:
            across //= 2
        else:
            rows = -(-rows // 2)
    return Cut(across, rows)


class NetworkKernels:
    """Launches nodes of one network; its weights are on the device from when they are first asked for.

    Parameters
    ----------
    arrays : weights by name, norms folded.
    """

    def __init__(self, device: Device, arrays: dict[str, Array]) -> None:
        self._device, self._arrays = device, arrays
        self._packed: dict[str, tuple[Any, Any]] = {}
        self._numbers: dict[bytes, Any] = {}

    def _weights_of(self, node: Convolved) -> tuple[Any, Any]:
        """Weights as the kernels read them, and biases."""
        if node.name not in self._packed:
            weights = self._arrays[f"{node.name}.weight"]
            flat = np.asarray(weights, np.float32).reshape(len(weights), -1)
            if not node.of_one_map:
                flat = np.pad(flat, ((0, padded(len(flat)) - len(flat)), (0, 0))).T
            bias = self._arrays.get(f"{node.name}.bias", np.zeros(len(weights)))
            self._packed[node.name] = self._device.upload(flat), self.numbers(bias)
        return self._packed[node.name]

    def numbers(self, values: Array) -> Any:
        """A few numbers on the device, float32; equal ones are there once."""
        values = np.ascontiguousarray(values, np.float32)
        key = values.tobytes()
        if key not in self._numbers:
            self._numbers[key] = self._device.upload(values)
        return self._numbers[key]

    def _active(self, active: Active, channels: int) -> tuple[Any, np.int32]:
        """Slopes and kind, as the kernels take them."""
        slopes = np.zeros(channels) if active.slopes is None else active.slopes
        return self.numbers(slopes), np.int32(active.kind)

    def empty(self, count: int, node: Node) -> Any:
        return self._device.empty((count, node.channels, *node.size), np.float32)

    def read_pixels(self, images: Any, table: Any, colours: Any) -> Any:
        """Maps (N, 3, H, W) of images (N, H, W, 3) uint8 by a table (networks.py) of values for bytes."""
        count, height, width, _ = images.shape
        out = self._device.empty((count, 3, height, width), np.float32)
        grid, block = _planes(3 * count, height * width)
        kernel = self._device.kernel("network_maps", "read_pixels")
        kernel(grid, block, (images, np.int32(height * width), table, colours, out))
        return out

    def into(self, node: Node, made: Mapping[Node, Any], out: Any, first_map: int) -> None:
        """Compute a node of `IN_PLACE` into the channels from `first_map` on of `out` (N, C, H, W)."""
        match node:
            case Convolved():
                self._convolve(node, made, out, first_map)
            case Each():
                self._each(made[node.source], node, out, first_map, node.first, node.factors, node.summands)
            case Nearest():
                self._each(made[node.source], node, out, first_map)
            case Constant():
                self._each(self.numbers(node.values), node, out, first_map)

    def copy(self, node: Node, maps: Any, out: Any, first_map: int) -> None:
        """Copy maps (N, channels of the node, H, W) into the channels from `first_map` on of `out` (N, C, H, W)."""
        self._each(maps, Node(node.layers, node.channels, *node.size), out, first_map)

    def new(self, node: Node, made: Mapping[Node, Any], count: int) -> Any:
        """Maps (count, C, H, W) of a node, of those in `made` that it is made of."""
        out = self.empty(count, node)
        match node:
            case Both():
                self._both(node, made, out)
            case Largest():
                self._largest(node, made, out)
            case Mean() | Normed():
                self._of_whole_maps(node, made, out)
            case _:
                self.into(node, made, out, 0)
        return out

    def _convolve(self, node: Convolved, made: Mapping[Node, Any], out: Any, first_map: int) -> None:
        source, count, i = node.source, len(out), np.int32
        weights, biases = self._weights_of(node)
        slopes, active = self._active(node.active, node.channels)
        sizes = (i(node.kernel), i(node.stride), i(node.padding))
        to = (out, i(node.height), i(node.width), i(out.shape[1]), i(first_map))
        if node.of_one_map:
            grid, block = _planes(count * node.channels, node.height * node.width)
            self._device.kernel("network_conv", "windows_of_one_map")(grid, block, (
                made[source], i(source.channels), i(source.height), i(source.width), weights, biases, slopes, active,
                *sizes, *to,
            ), 4 * node.kernel**2)  # fmt: skip
            return
        blocks = cut(node.channels, count * node.height * node.width)
        added = made[source] if node.added is None else made[node.added]
        self._device.kernel("network_conv", "windows")(
            blocks.grid(node.channels, count * node.height * node.width), (blocks.across, blocks.rows),
            (
                made[source], i(count), i(source.channels), i(source.height), i(source.width), weights,
                i(node.channels), i(padded(node.channels)), biases, slopes, active, *sizes, added,
                i(node.added is not None), *to,
            ),
            blocks.shared_bytes,
        )  # fmt: skip

    def _each(
        self, maps: Any, node: Node, out: Any, first_map: int, first_in: int = 0, factors: Array | None = None,
        summands: Array | None = None,
    ) -> None:  # fmt: skip
        count, channels, i = len(out), node.channels, np.int32
        grid, block = _planes(count * channels, node.height * node.width)
        active = node.active if isinstance(node, Each) else Active()
        self._device.kernel("network_maps", "each_value")(grid, block, (
            maps, i(isinstance(node, Constant)), *map(i, (maps.shape[1], first_in, *maps.shape[2:])),
            self.numbers(np.ones(channels) if factors is None else factors),
            self.numbers(np.zeros(channels) if summands is None else summands), *self._active(active, channels),
            i(channels), out, i(node.height), i(node.width), i(out.shape[1]), i(first_map),
        ))  # fmt: skip

    def _both(self, node: Both, made: Mapping[Node, Any], out: Any) -> None:
        other, i = node.other, np.int32
        grid, block = _planes(len(out) * node.channels, node.height * node.width)
        self._device.kernel("network_maps", "two_values")(grid, block, (
            made[node.source], made[other], i(other.channels), i(other.height), i(other.width), i(node.times),
            *self._active(node.active, node.channels), i(node.channels), out, i(node.height), i(node.width),
        ))  # fmt: skip

    def _largest(self, node: Largest, made: Mapping[Node, Any], out: Any) -> None:
        i = np.int32
        grid, block = _planes(len(out) * node.channels, node.height * node.width)
        self._device.kernel("network_maps", "largest")(grid, block, (
            made[node.source], i(node.source.height), i(node.source.width), i(node.kernel), i(node.stride),
            i(node.padding), out, i(node.height), i(node.width),
        ))  # fmt: skip

    def _of_whole_maps(self, node: Mean | Normed, made: Mapping[Node, Any], out: Any) -> None:
        plane, i = node.source.height * node.source.width, np.int32
        grid, block = (len(out) * node.channels,), (_threads(plane),)
        if isinstance(node, Mean):
            self._device.kernel("network_maps", "mean_of_map")(grid, block, (made[node.source], i(plane), out))
            return
        self._device.kernel("network_maps", "normed_map")(grid, block, (
            made[node.source], i(plane), np.float64(NORM_EPSILON), *self._active(node.active, node.channels),
            i(node.channels), out,
        ))  # fmt: skip


def _threads(plane: int) -> int:
    """Of a block that works on a plane: whole warps, no more than there are places."""
    return min(THREADS, -(-plane // LANES) * LANES)


def _planes(maps: int, plane: int) -> tuple[tuple[int, int], tuple[int]]:
    """Blocks for each map and the places of its plane."""
    threads = _threads(plane)
    return (maps, min(-(-plane // threads), MOST_BLOCKS_DOWN)), (threads,)
