"""How many multiply-adds an exported ONNX graph takes for inputs of a given size.

``python multiply_adds.py exported/detection/pnet.onnx N=1 H=144 W=192``

Counts convolutions and matrix products, in which nearly all the work is; needs the package onnx.
"""

from __future__ import annotations

import sys
from math import prod

import onnx
from onnx import shape_inference


def multiply_adds(path: str, sizes: dict[str, int]) -> int:
    """Multiply-adds of one call.

    Parameters
    ----------
    path : file of `auparity convert --to onnx`.
    sizes : the free dimensions of its inputs by name, as `auparity convert --inspect` shows them.
    """
    model = onnx.load(path)
    for value in model.graph.input:
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:
                dimension.dim_value = sizes[dimension.dim_param]
    for value in model.graph.output:  # named dimensions of outputs would contradict the sizes
        for dimension in value.type.tensor_type.shape.dim:
            dimension.ClearField("dim_param")
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    shapes = {value.name: [size.dim_value for size in value.type.tensor_type.shape.dim] for value in values}
    shapes |= {weights.name: list(weights.dims) for weights in graph.initializer}
    total = 0
    for node in graph.node:
        if node.op_type == "Conv":  # weights: outputs, inputs of a group, height, width
            total += prod(shapes[node.output[0]]) * prod(shapes[node.input[1]][1:])
        elif node.op_type in ("MatMul", "Gemm"):
            total += prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
    return total


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[2:])
    print(f"{multiply_adds(sys.argv[1], {name: int(size) for name, size in given.items()}):,}")
