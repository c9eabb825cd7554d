"""The analysis half as ONNX graphs (spec 60.3, 60.4, 60.6): aligned faces to FHOG descriptors, and on to the AUs of
images.

All decisions are exact, so that a graph decides like the reference on any device, also on one that fuses products and
sums: channels are compared by whole numbers below 2**24, where float32 does not round, and the nearest of eighteen
directions comes from a table of all differences of bytes, which the reference computes. The rest are sums of votes. A
pixel's bilinear weight is that of its row times that of its column, so two matrix products bring the votes for a
direction into all cells at once. Summing votes in another order than dlib changed a feature by 1.8e-7 at most, over
3000 faces of noise and images.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from auparity.conversion import analysis_tables as tables
from auparity.conversion.onnx.graphs import Graph
from auparity.models.types import AUPredictors
from auparity.reference import fhog as reference
from auparity.reference.alignment import SIZE

#: Axes of maps: (N, channels or directions, rows, columns).
ROWS, COLUMNS = 2, 3


def fhog(name: str, metadata: dict[str, str]) -> onnx.ModelProto:
    """FHOG: aligned faces (N, 112, 112, 3) uint8 B,G,R to features (N, 4464) float32, N dynamic."""
    graph = Graph()
    _descriptors(graph, "aligned", output="features")
    return graph.model(
        name, [helper.make_tensor_value_info("aligned", TensorProto.UINT8, ["N", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", tables.LENGTH])], metadata,
    )  # fmt: skip


def analysis(predictors: AUPredictors, name: str, metadata: dict[str, str]) -> onnx.ModelProto:
    """From aligned faces to the AUs of images in one graph.

    Aligned faces (N, 112, 112, 3) uint8 B,G,R and geometry descriptors (N, 238) float64 to features (N, 4464) float32
    and values (N, 35) float64, intensities first: not clamped, presences before their threshold.

    Raises
    ------
    ContractError : a model is dynamic: running medians are a state, which a graph does not have.
    """
    models = tables.static_models(predictors)
    graph = Graph()
    features = _descriptors(graph, "aligned", output="features")
    both = graph.add("Concat", graph.add("Cast", features, to=TensorProto.DOUBLE), "geometry", axis=1)
    centred = graph.add("Sub", both, graph.constant(models.still, np.float64))
    last = graph.constant([2], np.int64)
    # One product for each face, because the rounding must not depend on the size of the batch.
    products = graph.add("MatMul", graph.constant(models.static, np.float64), graph.add("Unsqueeze", centred, last))
    values = graph.add("Squeeze", products, last)
    graph.add("Add", values, graph.constant(models.biases, np.float64), output="values")
    return graph.model(
        name,
        [
            helper.make_tensor_value_info("aligned", TensorProto.UINT8, ["N", SIZE, SIZE, 3]),
            helper.make_tensor_value_info("geometry", TensorProto.DOUBLE, ["N", len(models.still) - tables.LENGTH]),
        ],
        [
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", tables.LENGTH]),
            helper.make_tensor_value_info("values", TensorProto.DOUBLE, ["N", len(models.biases)]),
        ],
        metadata,
    )


def _descriptors(graph: Graph, aligned: str, output: str) -> str:
    return _normalised(graph, _histograms(graph, aligned), output)


def _slice(graph: Graph, at: str, axis: int, start: int, stop: int, step: int = 1) -> str:
    bounds = (graph.constant([value], np.int64) for value in (start, stop, axis, step))
    return graph.add("Slice", at, *bounds)


def _running_sum(graph: Graph, at: str, axis: int, count: int) -> str:
    """Sum over an axis, which stays, one after the other."""
    total = _slice(graph, at, axis, 0, 1)
    for k in range(1, count):
        total = graph.add("Add", total, _slice(graph, at, axis, k, k + 1))
    return total


def _shifted(graph: Graph, at: str, top: int, left: int, side: int) -> str:
    """A square of maps."""
    return _slice(graph, _slice(graph, at, ROWS, top, top + side), COLUMNS, left, left + side)


def _histograms(graph: Graph, aligned: str) -> str:
    """Aligned faces to gradient energy by cell and signed direction, (N, 18, 14, 14)."""
    code, length2 = _gradients(graph, aligned)
    direction = graph.add("Gather", graph.constant(tables.directions().ravel()), code, axis=0)  # (N, 1, 110, 110)
    length = graph.add("Sqrt", length2)
    each = graph.constant(np.arange(tables.SIGNED)[:, None, None])
    votes = graph.add("Where", graph.add("Equal", direction, each), length, graph.constant(0.0))  # (N, 18, 110, 110)
    weights = tables.cell_weights()
    across = graph.add("MatMul", votes, graph.constant(weights))  # (N, 18, 110, 14)
    return graph.add("MatMul", graph.constant(weights.T), across)


def _gradients(graph: Graph, aligned: str) -> tuple[str, str]:
    """The strongest gradient of the three channels: where it is in the table of directions, int32, and the square of
    its length, both (N, 1, 110, 110)."""
    inner = tables.VOTERS
    maps = graph.add("Transpose", graph.add("Cast", aligned, to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
    gx = graph.add("Sub", _shifted(graph, maps, 1, 2, inner), _shifted(graph, maps, 1, 0, inner))
    gy = graph.add("Sub", _shifted(graph, maps, 2, 1, inner), _shifted(graph, maps, 0, 1, inner))
    length2 = graph.add("Add", graph.add("Mul", gx, gx), graph.add("Mul", gy, gy))
    ranked = graph.add("Mul", length2, graph.constant(float(tables.RANKS)))
    key = graph.add("Add", ranked, graph.constant(tables.channel_ranks()[:, None, :]))
    centre = float(tables.LARGEST * tables.SPAN + tables.LARGEST)
    row = graph.add("Add", graph.add("Mul", gy, graph.constant(float(tables.SPAN))), graph.constant(centre))
    code = graph.add("Add", row, gx)
    best, chosen = (_slice(graph, at, 1, 0, 1) for at in (key, code))
    for channel in (1, 2):
        other, its_code = (_slice(graph, at, 1, channel, channel + 1) for at in (key, code))
        chosen = graph.add("Where", graph.add("Greater", other, best), its_code, chosen)
        best = graph.add("Max", best, other)
    strongest = graph.add("ReduceMax", length2, axes=[1], keepdims=1)
    return graph.add("Cast", chosen, to=TensorProto.INT32), strongest


def _normalised(graph: Graph, histograms: str, output: str) -> str:
    """Histograms (N, 18, 14, 14) to features (N, 4464): every inner cell by the energy of four blocks around it."""
    nine, kept = reference.ORIENTATIONS, tables.KEPT
    unsigned = graph.add("Add", _slice(graph, histograms, 1, 0, nine), _slice(graph, histograms, 1, nine, 2 * nine))
    # Explicit sums instead of ReduceSum, for which runtimes use another order when the batch has one face.
    energy = _running_sum(graph, graph.add("Mul", unsigned, unsigned), 1, nine)  # (N, 1, 14, 14)
    side = tables.CELLS - 1
    blocks = _shifted(graph, energy, 0, 0, side)
    for top, left in ((0, 1), (1, 0), (1, 1)):
        blocks = graph.add("Add", blocks, _shifted(graph, energy, top, left, side))
    # lanes: the block below right of the cell, above right, below left, above left
    lanes = [_shifted(graph, blocks, top, left, kept) for left in (1, 0) for top in (1, 0)]
    raised = graph.add("Add", graph.add("Concat", *lanes, axis=1), graph.constant(reference.ENERGY_FLOOR))
    largest = graph.add("Mul", graph.add("Sqrt", raised), graph.constant(reference.TRUNCATION))  # (N, 4, 12, 12)
    gain = graph.add("Div", graph.constant(reference.HALF_TRUNCATION), largest)
    after_lane = graph.constant([2], np.int64)
    largest, gain = (graph.add("Unsqueeze", at, after_lane) for at in (largest, gain))  # (N, 4, 1, 12, 12)
    values = _shifted(graph, graph.add("Concat", histograms, unsigned, axis=1), 1, 1, kept)
    values = graph.add("Unsqueeze", values, graph.constant([1], np.int64))  # (N, 1, 27, 12, 12)
    terms = graph.add("Mul", graph.add("Min", values, largest), gain)  # (N, 4, 27, 12, 12)
    lane = [_slice(graph, terms, 1, k, k + 1) for k in range(4)]
    pairs = (graph.add("Add", *lane[:2]), graph.add("Add", *lane[2:]))  # the blocks on the right, those on the left
    orientations = graph.add("Squeeze", graph.add("Add", *pairs), graph.constant([1], np.int64))
    first, second, third = (_slice(graph, terms, 2, k, tables.SIGNED, 3) for k in range(3))
    threes = graph.add("Add", graph.add("Add", first, second), third)
    texture = graph.add("Squeeze", _running_sum(graph, threes, 2, tables.SIGNED // 3), after_lane)  # (N, 4, 12, 12)
    texture = graph.add("Mul", texture, graph.constant(reference.TEXTURE_GAIN))
    features = graph.add("Concat", orientations, texture, axis=1)
    by_cell = graph.add("Transpose", features, perm=[0, 2, 3, 1])
    return graph.add("Reshape", by_cell, graph.constant([-1, tables.LENGTH], np.int64), output=output)
