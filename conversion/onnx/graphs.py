"""Models of a bundle as ONNX graphs, built from their arrays with `onnx.helper`, without another framework.

Every graph states its opset, is checked by `onnx.checker`, and has metadata that describe it: bundle hash, stage,
contract (inputs and outputs) and licence. Weights are float32 as stored, those of the AU models float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from auparity.errors import ContractError
from auparity.models.types import (
    AUPredictors,
    CCNFPatch,
    CENPatch,
    ConvNet,
    Convolution,
    FullyConnected,
    Layer,
    MaxPool,
    PReLU,
    ReLU,
    Sigmoid,
)
from auparity.reference.action_units import ActionUnitModels
from auparity.reference.patch_experts import SMALLEST_ALPHA

Array = npt.NDArray[Any]

STAGE = "conversion"
OPSET, IR_VERSION = 17, 8
PRODUCER = "auparity"


@dataclass
class Graph:
    """A graph under construction; the next node takes the last output."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)

    def constant(self, values: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        """Store an array; its name."""
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(values, dtype), name))
        return name

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Append a node; the name of its output."""
        name = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def model(
        self, name: str, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto],
        metadata: dict[str, str],
    ) -> onnx.ModelProto:  # fmt: skip
        """The finished, checked model."""
        graph = helper.make_graph(self.nodes, name, list(inputs), list(outputs), self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name=PRODUCER)
        model.ir_version = IR_VERSION
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        return model


def metadata_of(bundle_hash: str, licence: str, stage: str, contract: str) -> dict[str, str]:
    """The metadata of an exported graph."""
    return {"bundle": bundle_hash, "licence": licence, "stage": stage, "contract": contract}


def network(
    net: ConvNet, channels: int, name: str, metadata: dict[str, str], *, per_pixel: bool = False
) -> onnx.ModelProto:
    """A detector's or validator's network: maps (N, C, H, W) float32 to (N, n_out), batch and size dynamic.

    Parameters
    ----------
    per_pixel : the fully connected layers work on every pixel (P-Net): (N, n_out, h, w).

    Raises
    ------
    ContractError : there is no operator for a layer.
    """
    graph, at, flat = Graph(), "maps", False
    for layer in net.layers:
        if isinstance(layer, FullyConnected) and not per_pixel and not flat:
            # Column-major inside a map (spec 10.5): height and width are exchanged before flattening.
            at = graph.add("Flatten", graph.add("Transpose", at, perm=[0, 1, 3, 2]), axis=1)
            flat = True
        at = _layer(graph, layer, at, per_pixel=per_pixel, flat=flat)
    graph.add("Identity", at, output="outputs")
    size: list[str | int] = ["N", channels, "H", "W"]
    shape: list[str | int] = ["N", "C_out", "h", "w"] if per_pixel else ["N", "n_out"]
    return graph.model(
        name, [helper.make_tensor_value_info("maps", TensorProto.FLOAT, size)],
        [helper.make_tensor_value_info("outputs", TensorProto.FLOAT, shape)], metadata,
    )  # fmt: skip


def _layer(graph: Graph, layer: Layer, at: str, *, per_pixel: bool, flat: bool) -> str:
    match layer:
        case Convolution():
            return graph.add("Conv", at, graph.constant(layer.weights), graph.constant(np.ravel(layer.bias)))
        case FullyConnected() if per_pixel:
            weights = np.asarray(layer.weights).T[:, :, None, None]
            return graph.add("Conv", at, graph.constant(weights), graph.constant(np.ravel(layer.bias)))
        case FullyConnected():
            return graph.add("Gemm", at, graph.constant(layer.weights), graph.constant(np.ravel(layer.bias)))
        case MaxPool():
            (kernel_x, kernel_y), (stride_x, stride_y) = layer.kernel, layer.stride
            # Windows are clipped at the border and their number is rounded up (spec 20.3, for stride 2).
            return graph.add(
                "MaxPool", at, kernel_shape=[kernel_y, kernel_x], strides=[stride_y, stride_x], ceil_mode=1
            )
        case PReLU():
            slopes = np.ravel(layer.slopes)
            return graph.add("PRelu", at, graph.constant(slopes if flat else slopes[:, None, None]))
        case ReLU():
            return graph.add("Relu", at)
        case Sigmoid():
            return graph.add("Sigmoid", at)
    raise ContractError(STAGE, "net", "layers of spec 10.5", type(layer).__name__)


def grouped_experts(patches: Sequence[CENPatch], name: str, metadata: dict[str, str]) -> onnx.ModelProto:
    """The networks of K CEN experts of one form as one graph: patches (K, P, inputs) to responses (K, P).

    Each layer is one batched product for all experts; an expert has P positions (dynamic), including mirrored areas.

    Raises
    ------
    ContractError : experts of different forms, or none.
    """
    forms = {tuple((*layer.weights.shape, layer.activation) for layer in patch.layers) for patch in patches}
    if len(forms) != 1 or not next(iter(forms)):
        raise ContractError(STAGE, "patches", "experts of one form", f"{len(forms)} forms")
    graph, at = Graph(), "patches"
    for k, layer in enumerate(patches[0].layers):
        weights = np.stack([np.asarray(patch.layers[k].weights).T for patch in patches])
        biases = np.stack([np.ravel(patch.layers[k].bias) for patch in patches])[:, None, :]
        at = graph.add("Add", graph.add("MatMul", at, graph.constant(weights)), graph.constant(biases))
        if layer.activation in (0, 2):
            at = graph.add("Sigmoid" if layer.activation == 0 else "Relu", at)
    graph.add("Squeeze", at, graph.constant([2], np.int64), output="responses")
    count, inputs = len(patches), patches[0].layers[0].weights.shape[1]
    return graph.model(
        name, [helper.make_tensor_value_info("patches", TensorProto.FLOAT, [count, "P", inputs])],
        [helper.make_tensor_value_info("responses", TensorProto.FLOAT, [count, "P"])], metadata,
    )  # fmt: skip


def expert(patch: CENPatch, name: str, metadata: dict[str, str]) -> onnx.ModelProto:
    """One CEN expert: normalised patches (P, inputs) to responses (P,), P dynamic.

    Raises
    ------
    ContractError : an expert without layers, which uses those of its mirror partner.
    """
    if not patch.layers:
        raise ContractError(STAGE, "patch", "an expert with layers", "one that uses its partner's")
    graph, at = Graph(), "patches"
    for layer in patch.layers:
        weights, bias = graph.constant(np.asarray(layer.weights).T), graph.constant(np.ravel(layer.bias))
        at = graph.add("Gemm", at, weights, bias)
        if layer.activation in (0, 2):
            at = graph.add("Sigmoid" if layer.activation == 0 else "Relu", at)
    graph.add("Squeeze", at, graph.constant([1], np.int64), output="responses")
    inputs = patch.layers[0].weights.shape[1]
    return graph.model(
        name, [helper.make_tensor_value_info("patches", TensorProto.FLOAT, ["P", inputs])],
        [helper.make_tensor_value_info("responses", TensorProto.FLOAT, ["P"])], metadata,
    )  # fmt: skip


def grouped_neurons(patches: Sequence[CCNFPatch], name: str, metadata: dict[str, str]) -> onnx.ModelProto:
    """The neurons of K CCNF experts as one graph: patches (K, P, 1 + taps) to raw responses (K, P), before Sigma.

    Sigmoids and their sum are float64, as the reference computes the terms; products are float32.

    Raises
    ------
    ContractError : patches of different sizes, or none.
    """
    sizes = {(patch.height, patch.width) for patch in patches}
    if len(sizes) != 1:
        raise ContractError(STAGE, "patches", "patches of one size", f"{len(sizes)} sizes")
    ((height, width),) = sizes
    most = max(patch.n_neurons for patch in patches)
    weights = np.zeros((len(patches), 1 + height * width, most), np.float32)
    alphas = np.zeros((len(patches), most, 1))
    for row, patch in enumerate(patches):
        count = patch.n_neurons
        taps = np.asarray(patch.weights, np.float32).transpose(0, 2, 1).reshape(count, -1)
        weights[row, 1:, :count] = (taps * np.asarray(patch.norm_weights, np.float32)[:, None]).T
        weights[row, 0, :count] = patch.biases
        alphas[row, :count, 0] = np.where(patch.alphas > SMALLEST_ALPHA, 2 * np.asarray(patch.alphas), 0)
    graph = Graph()
    z = graph.add("MatMul", "patches", graph.constant(weights))
    terms = graph.add("Sigmoid", graph.add("Cast", z, to=TensorProto.DOUBLE))
    summed = graph.add("MatMul", terms, graph.constant(alphas, np.float64))
    single = graph.add("Cast", summed, to=TensorProto.FLOAT)
    graph.add("Squeeze", single, graph.constant([2], np.int64), output="responses")
    count, inputs = len(patches), weights.shape[1]
    return graph.model(
        name, [helper.make_tensor_value_info("patches", TensorProto.FLOAT, [count, "P", inputs])],
        [helper.make_tensor_value_info("responses", TensorProto.FLOAT, [count, "P"])], metadata,
    )  # fmt: skip


def action_units(predictors: AUPredictors, name: str, metadata: dict[str, str]) -> onnx.ModelProto:
    """All AU models in one graph, float64: features and medians (N, D) to values (N, 35), intensities first.

    The training means are folded into the biases; medians count for dynamic models only.
    """
    models, graph = ActionUnitModels(predictors), Graph()
    both = (models.intensity, models.presence)
    means, weights = (np.concatenate([getattr(part, kind) for part in both]) for kind in ("means", "weights"))
    biases = np.concatenate([part.biases for part in both])
    biases = biases - np.array([mean @ weight for mean, weight in zip(means, weights, strict=True)])
    dynamic = np.concatenate([part.dynamic for part in both])
    plain = graph.add("MatMul", "features", graph.constant(weights.T, np.float64))
    moved = graph.add("MatMul", "medians", graph.constant((weights * dynamic[:, None]).T, np.float64))
    graph.add("Add", graph.add("Sub", plain, moved), graph.constant(biases, np.float64), output="values")
    length = weights.shape[1]
    return graph.model(
        name,
        [helper.make_tensor_value_info(kind, TensorProto.DOUBLE, ["N", length]) for kind in ("features", "medians")],
        [helper.make_tensor_value_info("values", TensorProto.DOUBLE, ["N", len(biases)])], metadata,
    )  # fmt: skip
