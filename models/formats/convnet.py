"""The layers of small convolutional networks (spec 10.5), shared by the face detector and the landmark validator, which
number and store them differently: a `Dialect` gives the tag of each layer, and how it is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from auparity.errors import ContractError
from auparity.models.formats.binary import MATRIX_HEAD, WRITER, BinaryReader, BinaryWriter
from auparity.models.types import ConvNet, Convolution, FullyConnected, Layer, MaxPool, PReLU, ReLU, Sigmoid


def _read_convolution(reader: BinaryReader) -> Convolution:
    """i32 inputs, i32 kernels, f32 biases, then the kernels, those of one input after the other."""
    start = reader.offset
    inputs = reader.count("number of input maps", MATRIX_HEAD)
    kernels = reader.count("number of kernels", 4 + MATRIX_HEAD)
    if inputs * kernels * MATRIX_HEAD > reader.left:
        reader.fail(f"kernels that fit into the {reader.left} bytes left", f"{inputs} x {kernels} of them", start)
    bias = np.array([reader.f32("bias") for _ in range(kernels)], np.float32)
    matrix = reader.matrices("kernel", inputs * kernels, np.float32)["matrix"]
    weights = np.ascontiguousarray(matrix.reshape(inputs, kernels, *matrix.shape[1:]).swapaxes(0, 1))
    bias.flags.writeable = weights.flags.writeable = False
    return Convolution(weights, bias)


def _write_convolution(writer: BinaryWriter, layer: Convolution) -> None:
    kernels, inputs = layer.weights.shape[:2]
    writer.i32(inputs, kernels)
    writer.f32(*layer.bias)
    for a in range(inputs):
        for b in range(kernels):
            writer.matrix("kernel", layer.weights[b, a], np.float32)


def _read_pool(reader: BinaryReader) -> MaxPool:
    start = reader.offset
    sizes = [reader.i32(f"pooling {what}") for what in ("kernel x", "kernel y", "stride x", "stride y")]
    if min(sizes) < 1:
        reader.fail("pooling sizes of at least 1", f"{sizes}", start)
    return MaxPool((sizes[0], sizes[1]), (sizes[2], sizes[3]))


def _write_pool(writer: BinaryWriter, layer: MaxPool) -> None:
    writer.i32(*layer.kernel, *layer.stride)


def _read_fully_connected(reader: BinaryReader) -> FullyConnected:
    """Bias (N_out x 1), then weights stored N_in x N_out."""
    bias = reader.matrix("bias", np.float32, (None, 1)).reshape(-1)
    start = reader.offset
    weights = reader.matrix("weights", np.float32, (None, bias.size))
    if weights.size == 0:
        reader.fail("weights with at least one element", " x ".join(map(str, weights.shape)), start)
    return FullyConnected(weights, bias)


def _write_fully_connected(writer: BinaryWriter, layer: FullyConnected) -> None:
    writer.column("bias", layer.bias, np.float32)
    writer.matrix("weights", layer.weights, np.float32)


def _read_prelu(reader: BinaryReader) -> PReLU:
    return PReLU(reader.matrix("slopes", np.float32, (None, 1)).reshape(-1))


def _write_prelu(writer: BinaryWriter, layer: PReLU) -> None:
    writer.column("slopes", layer.slopes, np.float32)


@dataclass(frozen=True)
class _Body:
    """How a kind of layer is stored after its tag."""

    layer: type[Layer]
    read: Callable[[BinaryReader], Layer]
    write: Callable[[BinaryWriter, Any], None]


def bodiless(layer: Layer) -> _Body:
    """A layer of which only the tag is stored."""
    return _Body(type(layer), lambda reader: layer, lambda writer, written: None)


CONVOLUTION = _Body(Convolution, _read_convolution, _write_convolution)
POOL = _Body(MaxPool, _read_pool, _write_pool)
FULLY_CONNECTED = _Body(FullyConnected, _read_fully_connected, _write_fully_connected)
PRELU = _Body(PReLU, _read_prelu, _write_prelu)
SIGMOID = bodiless(Sigmoid())
RELU = bodiless(ReLU())

Dialect = Mapping[int, _Body]


def read_layers(reader: BinaryReader, dialect: Dialect, inputs: int) -> ConvNet:
    """i32 number of layers, then tag and body of each; the first layer takes `inputs` maps."""
    layers: list[Layer] = []
    maps, flat = inputs, False
    for _ in range(reader.count("number of layers", 4)):
        start = reader.offset
        tag = reader.i32("layer type")
        if tag not in dialect:
            reader.fail(f"a layer type of {sorted(dialect)}", f"{tag}", start)
        layer = dialect[tag].read(reader)
        maps, flat = _check_link(reader, start, layer, maps, flat)
        layers.append(layer)
    return ConvNet(tuple(layers))


def _check_link(reader: BinaryReader, start: int, layer: Layer, maps: int, flat: bool) -> tuple[int, bool]:
    """Check that the layer fits after one with `maps` output maps (or numbers, if flat); returns its own outputs."""
    if isinstance(layer, Convolution):
        kernels, inputs = layer.weights.shape[:2]
        if flat or inputs != maps:
            before = f"{maps} numbers" if flat else f"{maps} maps"
            reader.fail(f"a convolution that fits behind {before}", f"one of {inputs} maps", start)
        return kernels, False
    if isinstance(layer, FullyConnected):
        n_in, n_out = layer.weights.shape
        if n_in != maps if flat else n_in % maps:
            reader.fail(f"a fully connected layer that fits behind {maps} outputs", f"one of {n_in} inputs", start)
        return n_out, True
    if isinstance(layer, PReLU) and layer.slopes.size != maps:
        reader.fail(f"{maps} slopes", f"{layer.slopes.size}", start)
    return maps, flat


def write_layers(writer: BinaryWriter, dialect: Dialect, net: ConvNet) -> None:
    """Inverse of `read_layers`. ContractError for a layer that the dialect cannot store."""
    tags = {body.layer: tag for tag, body in dialect.items()}
    writer.i32(len(net.layers))
    for layer in net.layers:
        if type(layer) not in tags:
            able = f"layers {', '.join(kind.__name__ for kind in tags)}"
            raise ContractError(WRITER, "layers", able, type(layer).__name__)
        writer.i32(tags[type(layer)])
        dialect[tags[type(layer)]].write(writer, layer)
