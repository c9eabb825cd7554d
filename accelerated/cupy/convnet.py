"""Forward pass of the detector's and the validator's networks on a GPU (spec 20.3, 50.8, 10.5): a launch a layer.

One launch does a layer of all samples, with its bias, activation and pooling; the samples may be whole pyramids, and
each may belong to another of several networks of one form, whose weights it looks up by its `view`. Sums have the order
of accelerated/numba/convnet.py, so that the results are equal to the last bit.

Bounded by the FMA units: a validator's 64 faces are 0.6 GFLOP, R-Net's 200 crops 0.6 and O-Net's 30 crops 0.8 GFLOP; at
a third of an H200's 60 TFLOP/s that is 0.03 to 0.04 ms each. For a single sample it is the latency of five or six
launches. Nothing here has run on a GPU yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy import conv_tiles
from auparity.accelerated.cupy.device import Device
from auparity.accelerated.cupy.launch import check_device_array
from auparity.accelerated.cupy.network_steps import Packed, Step, pack, steps_of
from auparity.errors import ContractError
from auparity.models.types import ConvNet
from auparity.reference.convnet import STAGE, pooled_length

Array = npt.NDArray[Any]
Size = tuple[int, int]  # height, width

KEPT_SIZES = 64  # of maps whose tables are kept on the device
#: Of a fully connected layer's blocks (connected.cu).
CONNECTED, TEAMS, TEAM_SAMPLES = 64, 4, 4


@dataclass(frozen=True, eq=False)
class Maps:
    """Activations of a batch: for each item its levels one after the other, of each the maps."""

    data: Any  #: (N, floats of an item) float32
    channels: int
    sizes: tuple[Size, ...]  #: of the levels; ((1, 1),) after a fully connected layer

    @property
    def starts(self) -> list[int]:
        """Where the levels begin in an item."""
        lengths = [self.channels * height * width for height, width in self.sizes]
        return [sum(lengths[:k]) for k in range(len(lengths))]


class NetworkBatch:
    """One or several networks of the same form on a device.

    Raises
    ------
    ContractError : networks of different forms, or a layer order that these networks do not have.
    """

    def __init__(self, device: Device, nets: Sequence[ConvNet]) -> None:
        each = [steps_of(net) for net in nets]
        forms = [[step.form for step in steps] for steps in each]
        for k, form in enumerate(forms):
            if form != forms[0]:
                raise ContractError(STAGE, "nets", "networks of the same form", f"another form in network {k}")
        self._device, self._networks = device, len(nets)
        self._steps = [pack(device, group) for group in zip(*each, strict=True)]
        self._tables: dict[Any, Any] = {}
        self._first_network = device.zeros(1, np.int32)

    def forward(self, maps: Any, view: Any = None) -> Any:
        """Run each sample through its network.

        Parameters
        ----------
        maps : (N, C, H, W) float32 on the device.
        view : (N,) int32, which network; negative: none, the outputs of that sample hold nothing. None where there is
            one network for all.

        Returns
        -------
        (N, n_out), or (N, n_out, h, w) of a network that ends per pixel, float32.

        Raises
        ------
        ContractError : as of the reference; or no `view` where there are several networks.
        """
        count, channels, height, width = check_device_array(STAGE, "maps", maps, ("N", "C", "H", "W"), np.float32)
        outputs = self.run(Maps(maps.reshape(count, -1), channels, ((height, width),)), view)
        flat = self._steps[-1].step.kernel is None and outputs.sizes == ((1, 1),)
        return outputs.data.reshape((count, outputs.channels) if flat else (count, outputs.channels, *outputs.sizes[0]))

    def run(self, maps: Maps, view: Any = None) -> Maps:
        """The same for items of several levels, which `forward` cannot hold in one array."""
        count = len(maps.data)
        if view is None and self._networks > 1:
            raise ContractError(STAGE, "view", f"which of {self._networks} networks each sample is for", "None")
        if view is None and len(self._first_network) < count:
            self._first_network = self._device.zeros(count, np.int32)
        if view is not None:
            check_device_array(STAGE, "view", view, (count,), np.int32)
        # Columns first, rows inside a column: the order in which a fully connected layer reads its maps.
        by_columns = False
        for k, packed in enumerate(self._steps):
            if self._connects(packed, maps):
                if not by_columns and maps.sizes[0] != (1, 1):
                    maps = self._turned(maps)
                maps, by_columns = self._connect(packed, maps, view), False
            else:
                maps, by_columns = self._convolve(k, maps, view)
        return maps

    @staticmethod
    def _connects(packed: Packed, maps: Maps) -> bool:
        """Whether it takes whole samples; a fully connected layer may also work per pixel (P-Net's)."""
        if packed.step.kernel is not None or len(maps.sizes) > 1:
            return False
        height, width = maps.sizes[0]
        return packed.step.inputs == maps.channels * height * width

    def _turned(self, maps: Maps) -> Maps:
        shaped = maps.data.reshape(len(maps.data), maps.channels, *maps.sizes[0]).swapaxes(2, 3)
        with self._device.active():
            return replace(maps, data=self._device.xp.ascontiguousarray(shaped).reshape(maps.data.shape))

    def _connect(self, packed: Packed, maps: Maps, view: Any) -> Maps:
        if packed.step.pool is not None:
            raise ContractError(STAGE, "net", "pooling of maps", "pooling after a layer that connects all of them")
        samples = TEAM_SAMPLES if view is None else 1
        together = TEAMS * samples if view is None else 1
        count, depth = maps.data.shape
        kernel = self._device.kernel("connected", "connect", SAMPLES=samples)
        out = self._device.empty((count, packed.units), np.float32)
        grid = (-(-count // together), -(-packed.units // CONNECTED))
        kernel(grid, (CONNECTED, TEAMS), (
            maps.data, np.int32(count), np.int32(together), np.int32(depth), packed.weights, np.int32(packed.units),
            np.int32(packed.padded), packed.biases, packed.slopes, np.int32(packed.step.activation),
            self._first_network if view is None else view, out,
        ))  # fmt: skip
        return Maps(out, packed.units, ((1, 1),))

    def _convolve(self, number: int, maps: Maps, view: Any) -> tuple[Maps, bool]:
        """A convolution, or a fully connected layer per pixel; whether the outputs are column after column."""
        packed = self._steps[number]
        step, units = packed.step, packed.units
        kernel_size = step.kernel or (1, 1)
        (pool, stride) = step.pool or ((1, 1), (1, 1))
        sizes = tuple(_out_size(step, maps, size, kernel_size, pool, stride) for size in maps.sizes)
        largest = int(np.argmax([height * width for height, width in maps.sizes]))
        alone = view is not None or len(sizes) > 1
        layer = conv_tiles.Layer(
            step.inputs, units, kernel_size, pool, stride, maps.sizes[largest], sizes[largest], not alone
        )
        cut = conv_tiles.cut(layer)
        table, tiles = self._table(number, maps, sizes, cut.tile)
        by_columns = self._is_connected_next(number, units, sizes)
        count, item_floats = maps.data.shape
        made = Maps(self._device.empty((count, sum(units * h * w for h, w in sizes)), np.float32), units, sizes)
        kernel = self._device.kernel(
            "convnet", "convolve", KERNEL_Y=kernel_size[0], KERNEL_X=kernel_size[1], UNITS=cut.thread_units
        )
        grid = (-(-count // cut.together) * tiles, -(-units // cut.block_units))
        kernel(grid, cut.threads, (
            maps.data, np.int64(item_floats), table, np.int32(len(sizes)), np.int32(tiles), np.int32(count),
            np.int32(cut.together), np.int32(step.inputs), np.int32(cut.maps_kept), packed.weights, np.int32(units),
            np.int32(packed.padded), packed.biases, packed.slopes, np.int32(step.activation),
            self._first_network if view is None else view, *(np.int32(n) for n in (*cut.tile, *pool, *stride)),
            np.int32(by_columns), made.data, np.int64(made.data.shape[1]),
        ), cut.shared_bytes)  # fmt: skip
        return made, by_columns

    def _is_connected_next(self, number: int, units: int, sizes: tuple[Size, ...]) -> bool:
        if number + 1 == len(self._steps):
            return False
        return self._connects(self._steps[number + 1], Maps(None, units, sizes))

    def _table(self, number: int, maps: Maps, sizes: tuple[Size, ...], tile: Size) -> tuple[Any, int]:
        """The levels as convnet.cu wants them, on the device, and the number of tiles of an item."""
        key = (number, maps.sizes)
        if key not in self._tables:
            if len(self._tables) >= KEPT_SIZES * len(self._steps):
                self._tables.clear()
            out = Maps(None, self._steps[number].units, sizes)
            rows, tiles = [], 0
            for size, at, out_size, out_at in zip(maps.sizes, maps.starts, sizes, out.starts, strict=True):
                down, across = (-(-n // t) for n, t in zip(out_size, tile, strict=True))
                rows.append((at, *size, out_at, *out_size, tiles, across))
                tiles += down * across
            self._tables[key] = self._device.upload(np.array(rows, np.int32)), tiles
        return self._tables[key]


def _out_size(step: Step, maps: Maps, size: Size, kernel: Size, pool: Size, stride: Size) -> Size:
    """Height and width after a layer; errors as in the reference."""
    convolved = tuple(n - k + 1 for n, k in zip(size, kernel, strict=True))
    if maps.channels != step.inputs or min(convolved) < 1:
        expected = f"(N, {step.inputs}, >= {kernel[0]}, >= {kernel[1]})"
        if step.kernel is None:
            expected = f"{step.inputs} values or {step.inputs} maps for each item"
        raise ContractError(STAGE, "maps", expected, f"(N, {maps.channels}, {size[0]}, {size[1]})")
    height, width = (pooled_length(n, k, s) for n, k, s in zip(convolved, pool, stride, strict=True))
    if min(height, width) < 1:
        expected = f"maps of at least {pool[0]} x {pool[1]}"
        raise ContractError(STAGE, "maps", expected, f"{convolved[0]} x {convolved[1]}")
    if (height - 1) * stride[0] >= convolved[0] or (width - 1) * stride[1] >= convolved[1]:
        raise ContractError(STAGE, "stride", "a last window that starts inside the maps", f"stride {stride}")
    return height, width
