"""The example docs/examples/multiply_adds.py counts what a hand would count."""

from __future__ import annotations

import runpy

import numpy as np
import pytest

from auparity.parity_tests.unit.helpers.documentation import ROOT

onnx = pytest.importorskip("onnx")
EXAMPLE = ROOT / "docs" / "examples" / "multiply_adds.py"
pytestmark = pytest.mark.skipif(not EXAMPLE.is_file(), reason="installed without its documentation")


def test_a_convolution_and_a_product_are_counted_for_the_sizes_asked_for(tmp_path):
    from onnx import TensorProto, helper, numpy_helper

    weights = [
        numpy_helper.from_array(np.zeros((4, 3, 3, 3), np.float32), "kernel"),
        numpy_helper.from_array(np.zeros((8, 5), np.float32), "matrix"),
    ]
    nodes = [
        helper.make_node("Conv", ["maps", "kernel"], ["convolved"]),
        helper.make_node("MatMul", ["rows", "matrix"], ["products"]),
    ]
    graph = helper.make_graph(
        nodes, "two", [helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["N", 3, "H", "W"]),
                       helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["N", 8])],
        [helper.make_tensor_value_info("convolved", TensorProto.FLOAT, ["N", 4, "h", "w"]),
         helper.make_tensor_value_info("products", TensorProto.FLOAT, ["N", 5])], weights,
    )  # fmt: skip
    path = tmp_path / "two.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    count = runpy.run_path(str(EXAMPLE))["multiply_adds"]
    # 6 x 8 places of 4 outputs, each of 3 x 3 x 3 inputs; two rows of 5 values, each of 8.
    assert count(str(path), {"N": 2, "H": 8, "W": 10}) == 2 * (6 * 8 * 4 * 27) + 2 * 5 * 8
