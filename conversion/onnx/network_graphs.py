"""Network detectors and landmarkers as ONNX graphs: their layers (reference/networks) written down node by node.

Norms that cannot be folded are a multiplication and an addition: ONNX Runtime's Core ML provider has no
BatchNormalization, and a norm that it leaves to the processor cuts the graph into pieces. Coordinates are constants
for one image, which a batch of N repeats by broadcasting; where they are joined to maps, the join is written as the sum
of two convolutions, so that nothing of unknown size is left (spec 95.9).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from auparity.conversion.networks.folding import FoldedWeights, affine, fold
from auparity.conversion.onnx.graphs import Graph
from auparity.reference.networks.layers import NORM_EPSILON
from auparity.reference.networks.parts import Network, parts_of

Array = npt.NDArray[Any]


@dataclass(eq=False)
class OnnxMaps:
    """An output of a node; or channels side by side that are still apart, for the convolution that reads them."""

    layers: OnnxLayers
    name: str
    channels: int
    parts: tuple[OnnxMaps, ...] = ()
    constant: Array | None = None  #: (1, C, H, W), of maps that are the same for every image

    @property
    def shape(self) -> tuple[int, int]:
        return 0, self.channels

    def __add__(self, other: OnnxMaps) -> OnnxMaps:
        return self.layers.node("Add", self, other)

    def __mul__(self, other: OnnxMaps) -> OnnxMaps:
        return self.layers.node("Mul", self, other)


@dataclass
class OnnxLayers:
    """The layers of one network as nodes of a graph."""

    weights: FoldedWeights
    graph: Graph = field(default_factory=Graph)

    def __contains__(self, name: str) -> bool:
        return name in self.weights.arrays

    def node(self, operator: str, *inputs: OnnxMaps | str, channels: int | None = None, **attributes: Any) -> OnnxMaps:
        """A node of maps and of names of constants."""
        names = [self.named(given) if isinstance(given, OnnxMaps) else given for given in inputs]
        first = next(given for given in inputs if isinstance(given, OnnxMaps))
        name = self.graph.add(operator, *names, **attributes)
        return OnnxMaps(self, name, first.channels if channels is None else channels)

    def named(self, maps: OnnxMaps) -> str:
        """The name of the output; parts that are still apart are joined, constants stored."""
        if not maps.name:
            if maps.constant is not None:
                maps.name = self.graph.constant(maps.constant)
            else:
                maps.name = self.graph.add("Concat", *(self.named(part) for part in maps.parts), axis=1)
        return maps.name

    def _stored(self, values: Array) -> str:
        return self.graph.constant(values)

    def conv(self, maps: OnnxMaps, name: str, stride: int = 1, padding: int = 0) -> OnnxMaps:
        weight, bias = self.weights.arrays[f"{name}.weight"], self.weights.arrays.get(f"{name}.bias")
        if any(part.constant is not None for part in maps.parts):
            return self._sum_of_convs(maps, weight, bias, stride, padding)
        return self._conv(maps, weight, bias, stride, padding)

    def _conv(self, maps: OnnxMaps, weight: Array, bias: Array | None, stride: int, padding: int) -> OnnxMaps:
        groups = maps.channels if weight.shape[1] == 1 and maps.channels > 1 else 1
        inputs = [self._stored(weight), *([] if bias is None else [self._stored(bias)])]
        side = weight.shape[2]
        return self.node(
            "Conv", maps, *inputs, channels=len(weight), kernel_shape=[side, side], strides=[stride, stride],
            pads=[padding] * 4, group=groups,
        )  # fmt: skip

    def _sum_of_convs(self, maps: OnnxMaps, weight: Array, bias: Array | None, stride: int, padding: int) -> OnnxMaps:
        """A convolution of maps side by side is the sum of the convolutions of each."""
        total, at = None, 0
        for k, part in enumerate(maps.parts):
            own = weight[:, at : at + part.channels]
            at += part.channels
            found = self._conv(part, own, bias if k == 0 else None, stride, padding)
            total = found if total is None else total + found
        assert total is not None
        return total

    def norm(self, maps: OnnxMaps, name: str) -> OnnxMaps:
        if name in self.weights.norms:
            return maps
        factor, summand = (values.astype(np.float32)[:, None, None] for values in affine(self.weights.arrays, name))
        return self.node("Add", self.node("Mul", maps, self._stored(factor)), self._stored(summand))

    def linear(self, values: OnnxMaps, name: str) -> OnnxMaps:
        weight, bias = self.weights.arrays[f"{name}.weight"], self.weights.arrays.get(f"{name}.bias")
        inputs = [self._stored(weight), *([] if bias is None else [self._stored(bias)])]
        return self.node("Gemm", values, *inputs, channels=len(weight), transB=1)

    def prelu(self, maps: OnnxMaps, name: str) -> OnnxMaps:
        return self.node("PRelu", maps, self._stored(self.weights.arrays[f"{name}.weight"][:, None, None]))

    def relu(self, maps: OnnxMaps) -> OnnxMaps:
        return self.node("Relu", maps)

    def leaky_relu(self, maps: OnnxMaps, slope: float) -> OnnxMaps:
        return self.node("LeakyRelu", maps, alpha=slope)

    def sigmoid(self, maps: OnnxMaps) -> OnnxMaps:
        return self.node("Sigmoid", maps)

    def max_pool(self, maps: OnnxMaps, kernel: int, stride: int, padding: int = 0) -> OnnxMaps:
        return self.node(
            "MaxPool", maps, kernel_shape=[kernel, kernel], strides=[stride, stride], pads=[padding] * 4
        )  # fmt: skip

    def mean_pool(self, maps: OnnxMaps) -> OnnxMaps:
        return self.node("Flatten", self.node("GlobalAveragePool", maps), axis=1)

    def nearest(self, maps: OnnxMaps, like: OnnxMaps) -> OnnxMaps:
        """To the size of other maps, which is known when the graph runs."""
        whole = self.graph.add("Shape", self.named(like))
        sizes = self.graph.add("Concat", self.graph.add("Shape", self.named(maps), end=2),
                               self.graph.add("Slice", whole, *(self.graph.constant([k], np.int64) for k in (2, 4))),
                               axis=0)  # fmt: skip
        return self.node(
            "Resize", maps, "", "", sizes, mode="nearest", nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        )  # fmt: skip

    def instance_norm(self, maps: OnnxMaps) -> OnnxMaps:
        one, zero = (self._stored(np.full(maps.channels, value)) for value in (1.0, 0.0))
        return self.node("InstanceNormalization", maps, one, zero, epsilon=NORM_EPSILON)

    def join(self, parts: Sequence[OnnxMaps]) -> OnnxMaps:
        """Maps side by side; parts that are themselves of parts are taken apart."""
        flat = tuple(own for part in parts for own in (part.parts if not part.name and part.parts else (part,)))
        return OnnxMaps(self, "", sum(part.channels for part in flat), parts=flat)

    def constant(self, values: Array, like: OnnxMaps) -> OnnxMaps:
        return OnnxMaps(self, "", values.shape[1], constant=np.asarray(values, np.float32))

    def above(self, maps: OnnxMaps, threshold: float) -> OnnxMaps:
        return self.node("Cast", self.node("Greater", maps, self._stored(np.array(threshold))), to=TensorProto.FLOAT)

    def channels(self, maps: OnnxMaps, first: int | None, last: int | None) -> OnnxMaps:
        kept = range(maps.channels)[first:last]
        if maps.constant is not None:
            return OnnxMaps(self, "", len(kept), constant=maps.constant[:, kept.start : kept.stop])
        if not maps.name and maps.parts[0].channels >= kept.stop:  # all of the first part, as of coordinates
            return self.channels(maps.parts[0], kept.start, kept.stop)
        ends = (self.graph.constant([value], np.int64) for value in (kept.start, kept.stop, 1))
        return self.node("Slice", maps, *ends, channels=len(kept))

    def flat(self, maps: OnnxMaps) -> OnnxMaps:
        return self.node("Flatten", maps, axis=1)


def network_graph(weights: Network, name: str, metadata: dict[str, str]) -> onnx.ModelProto:
    """The layers of a network: maps (N, 3, H, W) to the outputs that its `NetworkParts` name.

    N is dynamic, and H and W are where the network takes images of any size.
    """
    parts = parts_of(weights)
    layers = OnnxLayers(fold(weights.tensors, parts.graph))
    outputs = parts.graph(layers, OnnxMaps(layers, "maps", 3))
    for output, label in zip(outputs, parts.outputs, strict=True):
        layers.graph.add("Identity", layers.named(output), output=label)
    sizes: list[str | int] = ["N", 3, parts.side or "H", parts.side or "W"]
    declared = [
        helper.make_tensor_value_info(label, TensorProto.FLOAT, _declared(label, output, parts.side))
        for label, output in zip(parts.outputs, outputs, strict=True)
    ]
    inputs = [helper.make_tensor_value_info("maps", TensorProto.FLOAT, sizes)]
    return layers.graph.model(name, inputs, declared, metadata)


def _declared(label: str, output: OnnxMaps, side: int | None) -> list[str | int]:
    """Axes of an output: values of a network of points, else maps, whose size is named where it is not fixed."""
    if label == "points":
        return ["N", output.channels]
    if side is not None:
        return ["N", output.channels, side // 4, side // 4]
    return ["N", output.channels, f"h_{label.split('_')[-1]}", f"w_{label.split('_')[-1]}"]
