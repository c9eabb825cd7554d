"""Forward pass of the detector's and the validator's networks (spec 20.3, 50.8, 10.5) on register tiles.

A convolution runs over the flat positions of a map, row ends included: a tap is then one offset into the input, lanes
are neighbouring positions, and nothing is copied out as patches (gemm.py). Bias and activation follow in place, and
pooling writes the next layer's compact maps. Fully connected layers take the batch as lanes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.numba.ccnf import exp_f64
from auparity.accelerated.numba.compile import kernel
from auparity.accelerated.numba.gemm import SLACK, pack_weights, padded_units, product
from auparity.accelerated.numba.pooling_tiles import largest_of_neighbours, largest_of_rows
from auparity.accelerated.numba.vectors import LANES, copy_vector
from auparity.errors import ContractError
from auparity.models.types import ConvNet, Convolution, FullyConnected, Layer, MaxPool, PReLU, ReLU, Sigmoid
from auparity.reference.convnet import pooled_length

Array = npt.NDArray[Any]

STAGE = "convnet"
KEPT_SIZES = 64  # of maps whose taps are kept: the levels of a few pyramids
NOTHING, PRELU, RELU, SIGMOID = 0, 1, 2, 3


@dataclass(frozen=True, eq=False)
class _Step:
    """A product, its activation, and the pooling after it."""

    weights: Array  #: packed
    units: int
    inputs: int  #: maps, or values of a fully connected layer
    height: int  #: of the kernel; 0 for a fully connected layer
    width: int
    biases: Array
    activation: int = NOTHING
    slopes: Array = field(default_factory=lambda: np.zeros(0, np.float32))
    pool: tuple[int, int, int, int] | None = None  #: kernel y, x, stride y, x

    @cached_property
    def all(self) -> Array:
        """Every unit."""
        return np.arange(self.units)

    @cached_property
    def turning(self) -> Array:
        """Units whose activation is not monotone."""
        return np.flatnonzero(self.slopes < 0)

    @cached_property
    def keeping(self) -> Array:
        """The others."""
        return np.setdiff1d(self.all, self.turning)


@kernel
def _convolve(
    maps: Array, plane: int, row: int, positions: int, weights: Array, units: int, offsets: Array, out: Array,
    out_plane: int,
) -> None:  # fmt: skip
    """Products of all flat positions of each item: maps (N, inputs * plane), out (N, units * out_plane)."""
    for n in range(maps.shape[0]):
        product(weights, 0, units, maps[n], 0, offsets, offsets.shape[0], positions, out[n], 0, out_plane)


@kernel
def _activate(
    out: Array, plane: int, length: int, chosen: Array, biases: Array, activation: int, slopes: Array
) -> None:
    """Bias and activation of the chosen units in place; out (N, units * plane), of which `length` a plane count."""
    for n in range(out.shape[0]):
        for unit in chosen:
            bias, at = biases[unit], unit * plane
            if activation == PRELU:
                slope = slopes[unit]
                for i in range(length):
                    value = out[n, at + i] + bias
                    out[n, at + i] = value if value >= 0 else value * slope
            elif activation == RELU:
                for i in range(length):
                    out[n, at + i] = max(out[n, at + i] + bias, np.float32(0))
            elif activation == SIGMOID:
                for i in range(length):
                    power = np.float32(exp_f64(-np.float64(out[n, at + i] + bias)))
                    out[n, at + i] = np.float32(1) / (np.float32(1) + power)
            else:
                for i in range(length):
                    out[n, at + i] += bias


@kernel
def _pool(
    maps: Array, units: int, plane: int, row: int, height: int, width: int, kernel_y: int, kernel_x: int, stride_y: int,
    stride_x: int, rows: int, columns: int, out: Array, out_plane: int,
) -> None:  # fmt: skip
    """Maximum over windows clipped at the border: (N, units * plane), rows of `row` floats, to compact planes.

    First down the columns, then along the row that is left, both in vectors: rows are written in order, so that each
    overwrites what the one before wrote too much.
    """
    line = np.empty(width + 3 * LANES, np.float32)
    in_vectors = stride_x == 2 and (kernel_x == 2 or kernel_x == 3)
    whole = min((width - kernel_x) // stride_x + 1, columns) if in_vectors and width >= kernel_x else 0
    for n in range(maps.shape[0]):
        target = out[n]
        for unit in range(units):
            for y in range(rows):
                down = min(kernel_y, height - y * stride_y)
                largest_of_rows(maps[n], unit * plane + y * stride_y * row, row, down, width, line)
                to = unit * out_plane + y * columns
                if whole:
                    largest_of_neighbours(line, kernel_x == 3, whole, target, to)
                for x in range(whole, columns):  # windows that the border cuts, and other strides
                    best = line[x * stride_x]
                    for dx in range(x * stride_x + 1, min(x * stride_x + kernel_x, width)):
                        best = max(best, line[dx])
                    target[to + x] = best


@kernel
def _compact(
    maps: Array, units: int, plane: int, row: int, height: int, width: int, out: Array, out_plane: int
) -> None:
    """Planes with rows of `row` floats, of which `width` count, to compact ones; in order, as in `_pool`."""
    for n in range(maps.shape[0]):
        source, target = maps[n], out[n]
        for unit in range(units):
            for y in range(height):
                for x in range(0, width, LANES):
                    at, to = unit * plane + y * row + x, unit * out_plane + y * width + x
                    copy_vector(source, at, np.float32(0), target, to)


@kernel
def _columns(maps: Array, channels: int, plane: int, height: int, width: int, lanes: int, out: Array) -> None:
    """Maps of a batch as inputs of a fully connected layer: map-major, column-major inside a map, batch as lanes."""
    for c in range(channels):
        for x in range(width):
            for y in range(height):
                at = ((c * width + x) * height + y) * lanes
                for n in range(maps.shape[0]):
                    out[at + n] = maps[n, c * plane + y * width + x]


@dataclass(frozen=True, eq=False)
class _Maps:
    """Activations of a batch: compact planes with room behind the last, or (after full connection) values by lanes."""

    data: Array  #: (N, channels * plane + slack)
    channels: int
    height: int
    width: int

    @property
    def plane(self) -> int:
        return self.height * self.width


class Network:
    """A `ConvNet` packed for the tiles.

    Raises
    ------
    ContractError : a layer order that these networks do not have (pooling or activation without a product before).
    """

    def __init__(self, net: ConvNet) -> None:
        self._steps: list[_Step] = []
        self._offsets: dict[tuple[int, ...], Array] = {}
        for layer in net.layers:
            self._add(layer)

    def _add(self, layer: Layer) -> None:
        if isinstance(layer, Convolution):
            units, inputs, height, width = layer.weights.shape
            packed = pack_weights(np.asarray(layer.weights, np.float32).reshape(units, -1))
            step = _Step(packed, units, inputs, height, width, np.ascontiguousarray(layer.bias, np.float32).ravel())
            self._steps.append(step)
        elif isinstance(layer, FullyConnected):
            inputs, units = layer.weights.shape
            packed = pack_weights(np.ascontiguousarray(np.asarray(layer.weights, np.float32).T))
            self._steps.append(_Step(packed, units, inputs, 0, 0, np.ascontiguousarray(layer.bias, np.float32).ravel()))
        elif not self._steps or self._steps[-1].pool is not None:
            raise ContractError(STAGE, "net", "a convolution or a fully connected layer first", type(layer).__name__)
        elif isinstance(layer, MaxPool):
            (kernel_x, kernel_y), (stride_x, stride_y) = layer.kernel, layer.stride
            self._steps[-1] = replace(self._steps[-1], pool=(kernel_y, kernel_x, stride_y, stride_x))
        elif self._steps[-1].activation != NOTHING:
            raise ContractError(STAGE, "net", "one activation a layer", type(layer).__name__)
        elif isinstance(layer, PReLU):
            slopes = np.ascontiguousarray(layer.slopes, np.float32).ravel()
            self._steps[-1] = replace(self._steps[-1], activation=PRELU, slopes=slopes)
        else:
            kind = RELU if isinstance(layer, ReLU) else SIGMOID
            assert isinstance(layer, ReLU | Sigmoid)
            self._steps[-1] = replace(self._steps[-1], activation=kind)

    def forward(self, images: Array) -> Array:
        """Outputs (N, n_out), or (N, n_out, h, w) of a network that ends per pixel, of maps (N, C, H, W) float32.

        Raises
        ------
        ContractError : maps that are too small for the network or have another number of channels.
        """
        count, channels, height, width = images.shape
        data = np.empty((count, channels * height * width + SLACK), np.float32)
        data[:, : channels * height * width] = images.reshape(count, -1)
        data[:, channels * height * width :] = 0
        maps, lanes = _Maps(data, channels, height, width), 0
        for step in self._steps:
            per_pixel = step.height == 0 and lanes == 0 and step.inputs == maps.channels and maps.plane > 1
            if step.height or per_pixel:
                maps = self._convolution(step, maps)
            else:
                maps, lanes = self._connection(step, maps, count, lanes)
        if lanes:
            outputs = maps.data[: maps.channels * lanes].reshape(maps.channels, lanes)[:, :count]
            return np.ascontiguousarray(outputs.T)
        values = maps.data[:, : maps.channels * maps.plane]
        return values.reshape(count, maps.channels, maps.height, maps.width)

    def _convolution(self, step: _Step, maps: _Maps) -> _Maps:
        kernel_y, kernel_x = max(step.height, 1), max(step.width, 1)
        rows, columns = maps.height - kernel_y + 1, maps.width - kernel_x + 1
        if maps.channels != step.inputs or rows < 1 or columns < 1:
            expected = f"(N, {step.inputs}, >= {kernel_y}, >= {kernel_x})"
            raise ContractError(STAGE, "maps", expected, f"(N, {maps.channels}, {maps.height}, {maps.width})")
        offsets = self._taps(step.inputs, kernel_y, kernel_x, maps.height, maps.width)
        positions = (rows - 1) * maps.width + columns
        plane, count = rows * maps.width + SLACK, len(maps.data)
        out = np.empty((count, padded_units(step.units) * plane + SLACK), np.float32)
        _convolve(maps.data, maps.plane, maps.width, positions, step.weights, step.units, offsets, out, plane)
        if step.pool is None:
            made = np.empty((count, step.units * rows * columns + SLACK), np.float32)
            _compact(out, step.units, plane, maps.width, rows, columns, made, rows * columns)
            _activate(made, rows * columns, rows * columns, step.all, step.biases, step.activation, step.slopes)
            return _Maps(made, step.units, rows, columns)
        pooled_rows, pooled_columns = (
            pooled_length(n, step.pool[k], step.pool[2 + k]) for k, n in enumerate((rows, columns))
        )
        if min(pooled_rows, pooled_columns) < 1:
            raise ContractError(STAGE, "maps", "maps as large as the pooling window", f"{rows} x {columns}")
        # Bias and activation keep the order of values, unless a slope is negative: what is largest stays largest, and
        # there is four times less of it after pooling.
        _activate(out, plane, positions, step.turning, step.biases, step.activation, step.slopes)
        length = pooled_rows * pooled_columns
        made = np.empty((count, step.units * length + SLACK), np.float32)
        _pool(
            out, step.units, plane, maps.width, rows, columns, *step.pool, pooled_rows, pooled_columns, made, length
        )  # fmt: skip
        _activate(made, length, length, step.keeping, step.biases, step.activation, step.slopes)
        return _Maps(made, step.units, pooled_rows, pooled_columns)

    def _taps(self, inputs: int, kernel_y: int, kernel_x: int, height: int, width: int) -> Array:
        """Where each tap of a convolution looks, relative to a position: (inputs * kernel_y * kernel_x,)."""
        key = (inputs, kernel_y, kernel_x, height, width)
        taps = self._offsets.get(key)  # held here: another thread may empty the cache at any time
        if taps is None:
            if len(self._offsets) >= KEPT_SIZES:
                self._offsets.clear()
            c, y, x = np.meshgrid(np.arange(inputs), np.arange(kernel_y), np.arange(kernel_x), indexing="ij")
            taps = (c * height * width + y * width + x).reshape(-1)
            self._offsets[key] = taps
        return taps

    def _connection(self, step: _Step, maps: _Maps, count: int, lanes: int) -> tuple[_Maps, int]:
        if not lanes:
            lanes = -(-count // LANES) * LANES
            flat = np.zeros(maps.channels * maps.plane * lanes + SLACK, np.float32)
            _columns(maps.data, maps.channels, maps.plane, maps.height, maps.width, lanes, flat)
            maps = _Maps(flat, maps.channels * maps.plane, 1, 1)
        if maps.channels != step.inputs:
            raise ContractError(STAGE, "maps", f"{step.inputs} values an item", f"{maps.channels}")
        out = np.empty(padded_units(step.units) * lanes + SLACK, np.float32)
        offsets = np.arange(step.inputs) * lanes
        product(step.weights, 0, step.units, maps.data, 0, offsets, step.inputs, lanes, out, 0, lanes)
        _activate(out[None], lanes, lanes, step.all, step.biases, step.activation, step.slopes)
        return _Maps(out, step.units, 1, 1), lanes
