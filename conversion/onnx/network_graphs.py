"""Network detectors and landmarkers as ONNX graphs: their layers (reference/networks) written down node by node.

What the formats share, norms and joins, is in conversion/networks/graph_layers.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from auparity.conversion.networks.folding import FoldedWeights, fold
from auparity.conversion.networks.graph_layers import GraphLayers, GraphMaps
from auparity.conversion.onnx.graphs import Graph
from auparity.reference.networks.layers import NORM_EPSILON, Padding, sides
from auparity.reference.networks.parts import Network, parts_of

Array = npt.NDArray[Any]


class OnnxLayers(GraphLayers):
    """The layers of one network as nodes of a graph; values are the names of their outputs."""

    def __init__(self, weights: FoldedWeights) -> None:
        super().__init__(weights)
        self.graph = Graph()

    def node(
        self, operator: str, *inputs: GraphMaps | str, channels: int | None = None, **attributes: Any
    ) -> GraphMaps:  # fmt: skip
        """A node of maps and of names of constants."""
        names = [self.written(given) if isinstance(given, GraphMaps) else given for given in inputs]
        first = next(given for given in inputs if isinstance(given, GraphMaps))
        name = self.graph.add(operator, *names, **attributes)
        return GraphMaps(self, name, first.channels if channels is None else channels)

    def _stored(self, values: Array) -> str:
        return self.graph.constant(values)

    def _concatenated(self, values: Sequence[str]) -> str:
        return self.graph.add("Concat", *values, axis=1)

    def add(self, first: GraphMaps, second: GraphMaps) -> GraphMaps:
        return self.node("Add", first, second)

    def multiply(self, first: GraphMaps, second: GraphMaps) -> GraphMaps:
        return self.node("Mul", first, second)

    def _convolved(
        self, maps: GraphMaps, weight: Array, bias: Array | None, stride: int, padding: Padding, groups: int
    ) -> GraphMaps:  # fmt: skip
        inputs = [self._stored(weight), *([] if bias is None else [self._stored(bias)])]
        side, (before, after) = weight.shape[2], sides(padding)
        return self.node(
            "Conv", maps, *inputs, channels=len(weight), kernel_shape=[side, side], strides=[stride, stride],
            pads=[before, before, after, after], group=groups,
        )  # fmt: skip

    def _scaled(self, maps: GraphMaps, factor: Array, summand: Array) -> GraphMaps:
        by_channel = (self._stored(values[:, None, None]) for values in (factor, summand))
        return self.node("Add", self.node("Mul", maps, next(by_channel)), next(by_channel))

    def _sliced(self, maps: GraphMaps, first: int, last: int) -> GraphMaps:
        ends = (self.graph.constant([value], np.int64) for value in (first, last, 1))
        return self.node("Slice", maps, *ends, channels=last - first)

    def linear(self, values: GraphMaps, name: str) -> GraphMaps:
        weight, bias = self.weight_and_bias(name)
        inputs = [self._stored(weight), *([] if bias is None else [self._stored(bias)])]
        return self.node("Gemm", values, *inputs, channels=len(weight), transB=1)

    def prelu(self, maps: GraphMaps, name: str) -> GraphMaps:
        return self.node("PRelu", maps, self._stored(self.weights.arrays[f"{name}.weight"][:, None, None]))

    def relu(self, maps: GraphMaps) -> GraphMaps:
        return self.node("Relu", maps)

    def leaky_relu(self, maps: GraphMaps, slope: float) -> GraphMaps:
        return self.node("LeakyRelu", maps, alpha=slope)

    def sigmoid(self, maps: GraphMaps) -> GraphMaps:
        return self.node("Sigmoid", maps)

    def max_pool(self, maps: GraphMaps, kernel: int, stride: int, padding: int = 0) -> GraphMaps:
        return self.node(
            "MaxPool", maps, kernel_shape=[kernel, kernel], strides=[stride, stride], pads=[padding] * 4
        )  # fmt: skip

    def mean_pool(self, maps: GraphMaps) -> GraphMaps:
        return self.node("Flatten", self.node("GlobalAveragePool", maps), axis=1)

    def nearest(self, maps: GraphMaps, like: GraphMaps) -> GraphMaps:
        """To the size of other maps, which is known when the graph runs."""
        whole = self.graph.add("Shape", self.written(like))
        sizes = self.graph.add("Concat", self.graph.add("Shape", self.written(maps), end=2),
                               self.graph.add("Slice", whole, *(self.graph.constant([k], np.int64) for k in (2, 4))),
                               axis=0)  # fmt: skip
        return self.node(
            "Resize", maps, "", "", sizes, mode="nearest", nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        )  # fmt: skip

    def instance_norm(self, maps: GraphMaps) -> GraphMaps:
        one, zero = (self._stored(np.full(maps.channels, value)) for value in (1.0, 0.0))
        return self.node("InstanceNormalization", maps, one, zero, epsilon=NORM_EPSILON)

    def above(self, maps: GraphMaps, threshold: float) -> GraphMaps:
        return self.node("Cast", self.node("Greater", maps, self._stored(np.array(threshold))), to=TensorProto.FLOAT)

    def flat(self, maps: GraphMaps) -> GraphMaps:
        return self.node("Flatten", maps, axis=1)


def network_graph(weights: Network, name: str, metadata: dict[str, str]) -> onnx.ModelProto:
    """The layers of a network: maps (N, 3, H, W) to the outputs that its `NetworkParts` name.

    N is dynamic, and H and W are where the network takes images of any size.
    """
    parts = parts_of(weights)
    layers = OnnxLayers(fold(weights.tensors, parts.graph))
    outputs = parts.graph(layers, GraphMaps(layers, "maps", 3))
    for output, label in zip(outputs, parts.outputs, strict=True):
        layers.graph.add("Identity", layers.written(output), output=label)
    sizes: list[str | int] = ["N", 3, parts.side or "H", parts.side or "W"]
    declared = [
        helper.make_tensor_value_info(label, TensorProto.FLOAT, _declared(label, output, parts.side))
        for label, output in zip(parts.outputs, outputs, strict=True)
    ]
    inputs = [helper.make_tensor_value_info("maps", TensorProto.FLOAT, sizes)]
    return layers.graph.model(name, inputs, declared, metadata)


def _declared(label: str, output: GraphMaps, side: int | None) -> list[str | int]:
    """Axes of an output: values of a network of points, else maps, whose size is named where it is not fixed."""
    if label == "points":
        return ["N", output.channels]
    if side is not None:
        return ["N", output.channels, side // 4, side // 4]
    return ["N", output.channels, f"h_{label.split('_')[-1]}", f"w_{label.split('_')[-1]}"]
