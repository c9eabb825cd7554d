"""ONNX graphs in another precision: doubles lowered to float32 for runtimes without them, layers lowered to float16.

Types are written into the graph itself, tensor by tensor, with a Cast where they change. So the precision is part of
the file and can be checked by running it, instead of being chosen by the runtime. Inputs and outputs of a float16 graph
stay float32. Its matrix products are summed in float32: their float16 operands are cast up before the product and the
result is cast down after it, which TensorRT recognises as float16 operands with a float32 sum. Convolutions, whose sums
are short, are plain float16.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from auparity.errors import ContractError

STAGE = "conversion"
FLOAT, HALF, DOUBLE = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE
#: Operators that sum over all inputs of a layer.
SUMS = frozenset({"MatMul", "Gemm"})


def to_float32(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with float32 where it has float64: inputs, outputs, constants and casts.

    Raises
    ------
    ContractError : the graph has subgraphs, or something in it stays float64.
    """
    if any(kept.type == onnx.AttributeProto.GRAPH for node in model.graph.node for kept in node.attribute):
        raise ContractError(STAGE, "model", "a graph of plain operators", "one with subgraphs")
    lowered = onnx.ModelProto()
    lowered.CopyFrom(model)
    graph = lowered.graph
    for array in graph.initializer:
        _lower(array)
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type == DOUBLE:
            value.type.tensor_type.elem_type = FLOAT
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                _lower(attribute.t)
            elif node.op_type == "Cast" and attribute.name == "to" and attribute.i == DOUBLE:
                attribute.i = FLOAT
    left = sorted(name for name, kind in tensor_types(lowered).items() if kind == DOUBLE)
    if left:
        raise ContractError(STAGE, "model", "operators whose type is that of what goes in", f"float64 in {left}")
    onnx.checker.check_model(lowered, full_check=True)
    return lowered


def _lower(array: onnx.TensorProto) -> None:
    if array.data_type == DOUBLE:
        array.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(array).astype(np.float32), array.name))


def tensor_types(model: onnx.ModelProto) -> dict[str, int]:
    """Element type of every tensor, by name."""
    graph = shape_inference.infer_shapes(model, strict_mode=True).graph
    values = (*graph.input, *graph.output, *graph.value_info)
    return {value.name: value.type.tensor_type.elem_type for value in values} | {
        array.name: array.data_type for array in graph.initializer
    }


def to_float16(model: onnx.ModelProto, *, keep: Collection[str] = ()) -> onnx.ModelProto:
    """The same float32 graph with its layers in float16, inputs and outputs float32.

    Parameters
    ----------
    keep : operators that stay float32, whose large numbers must cancel before they are rounded.

    Raises
    ------
    ContractError : a constant does not fit into a half.
    """
    return _Halved(model, keep).model()


class _Halved:
    """A graph that is rewritten node by node, with every float tensor in the type that its user needs."""

    def __init__(self, model: onnx.ModelProto, keep: Collection[str]) -> None:
        self.source, self.keep = model, keep
        self.kinds = tensor_types(model)
        self.constants = {array.name: array for array in model.graph.initializer}
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}

    def model(self) -> onnx.ModelProto:
        """The finished, checked model."""
        outputs = {value.name for value in self.source.graph.output}
        for node in self.source.graph.node:
            self.add(node, outputs)
        made = onnx.ModelProto()
        made.CopyFrom(self.source)
        del made.graph.node[:], made.graph.initializer[:], made.graph.value_info[:]
        made.graph.node.extend(self.nodes)
        made.graph.initializer.extend(self.initializers.values())
        onnx.checker.check_model(made, full_check=True)
        return made

    def add(self, node: onnx.NodeProto, outputs: Collection[str]) -> None:
        """A node in its precision, with casts of its result if it is an output of the graph or a long sum."""
        wide = node.op_type in self.keep
        product = node.op_type in SUMS and not wide
        written = onnx.NodeProto()
        written.CopyFrom(node)
        halves = [self.operand(name, FLOAT if wide else HALF) for name in node.input]
        written.input[:] = [self.cast(name, FLOAT) for name in halves] if product else halves
        self.nodes.append(written)
        for place, name in enumerate(node.output):
            if self.kinds.get(name) != FLOAT:
                continue
            computed = FLOAT if wide or product or self.made_float(node) else HALF
            if name in outputs and computed == HALF:
                written.output[place] = f"{name}_half"
                self.nodes.append(helper.make_node("Cast", [f"{name}_half"], [name], to=FLOAT))
                self.kinds[name] = FLOAT
            elif name not in outputs and product:
                written.output[place] = f"{name}_sum"
                self.nodes.append(helper.make_node("Cast", [f"{name}_sum"], [name], to=HALF))
                self.kinds[name] = HALF
            else:
                self.kinds[name] = computed

    def made_float(self, node: onnx.NodeProto) -> bool:
        """Whether a node makes float32 of another type, whatever the precision of the others is."""
        return node.op_type == "Cast" and self.kinds.get(node.input[0]) not in (FLOAT, HALF)

    def operand(self, name: str, kind: int) -> str:
        """The name of a tensor or constant in this float type; tensors of other types are used unchanged."""
        if name in self.constants:
            return self.constant(name, kind)
        return self.cast(name, kind) if self.kinds.get(name) in (FLOAT, HALF) else name

    def constant(self, name: str, kind: int) -> str:
        array = self.constants[name]
        if array.data_type != FLOAT or kind == FLOAT:
            self.initializers[name] = array
            return name
        rounded = f"{name}_half"
        if rounded not in self.initializers:
            with np.errstate(over="ignore"):
                values = numpy_helper.to_array(array).astype(np.float16)
            if not np.isfinite(values).all():
                raise ContractError(STAGE, "model", "weights below 65504, which fit into a half", f"larger in {name}")
            self.initializers[rounded] = numpy_helper.from_array(values, rounded)
            self.kinds[rounded] = HALF
        return rounded

    def cast(self, name: str, kind: int) -> str:
        """A tensor in this float type; a Cast is made once."""
        if self.kinds.get(name) not in (FLOAT, HALF) or self.kinds[name] == kind:
            return name
        made = f"{name}_{'float' if kind == FLOAT else 'half'}"
        if made not in self.kinds:
            self.nodes.append(helper.make_node("Cast", [name], [made], to=kind))
            self.kinds[made] = kind
        return made


def with_sizes(model: onnx.ModelProto, sizes: Mapping[str, int]) -> onnx.ModelProto:
    """The same graph with these dynamic dimensions of its inputs fixed, by their names."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in fixed.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in sizes:
                dim.dim_value = sizes[dim.dim_param]
    onnx.checker.check_model(fixed, full_check=True)
    return fixed


def dimensions(value: Any) -> list[str | int]:
    """Dimensions of an input or output: names of dynamic ones, sizes of the others."""
    return [dim.dim_param or int(dim.dim_value) for dim in value.type.tensor_type.shape.dim]
