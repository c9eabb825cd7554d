"""The graph of an item for TensorRT: its ONNX graph without float64, in the requested precision, and the range of every
dynamic dimension.

TensorRT has no float64. The graphs of detector and experts have it only in the sums of CCNF neurons, which become
float32. The AU models, which are float64 throughout, are rewritten: medians and a centre near the training means are
subtracted first, so that large numbers cancel before they are rounded. Networks are strongly typed, each tensor with
the type of the graph: TensorRT 11 requires this, because it no longer has an FP16 flag, and TensorRT 10 supports it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from auparity.conversion.catalogue import About, Item
from auparity.conversion.centred_models import centred
from auparity.conversion.onnx.export import graph_of
from auparity.conversion.onnx.graphs import Graph, metadata_of
from auparity.conversion.onnx.precision import dimensions, to_float16, to_float32, with_sizes
from auparity.errors import ContractError
from auparity.models.types import AUPredictors

Array = npt.NDArray[Any]

STAGE = "conversion"
#: Kinds whose layers a float16 engine computes in float16; others stay float32 (squared gradients exceed float16).
HALVED = (
    "network", "per_pixel_network", "grouped_experts", "expert", "grouped_neurons", "action_units", "face_network",
    "point_network", "heat_map_network",
)  # fmt: skip
#: Operators that stay float32 in a float16 engine: large numbers must cancel, or squares be summed, before rounding.
KEPT = {"action_units": ("Sub",), "heat_map_network": ("InstanceNormalization",)}


@dataclass(frozen=True)
class Range:
    """Smallest, usual and largest size of a dimension: kernels are chosen for the usual one, memory for the largest."""

    smallest: int
    usual: int
    largest: int


#: Ranges by kind and name of the dimension.
RANGES: dict[str, dict[str, Range]] = {
    # Crops of one image; the reference computes 128 at once, a validator one face for each stream.
    "network": {"N": Range(1, 32, 128)},
    # A level of the pyramid: one output depends on 12 px; usual is the first level of 1280 x 720 (12/60 of the
    # image), largest that of 3840 x 2160 in either orientation. Images of several streams go side by side.
    "per_pixel_network": {"N": Range(1, 1, 8), "H": Range(12, 144, 768), "W": Range(12, 256, 768)},
    # Usual: the 82 positions of a 9 x 9 map's checkerboard in an area and its mirror image. Largest: a dozen faces of a
    # view, whose inner layers then take 140 MB of the GPU's memory with OpenFace's sizes.
    "grouped_experts": {"P": Range(1, 82, 1024)},
    # Usual: a 9 x 9 map of every position (CCNF has no checkerboard).
    "grouped_neurons": {"P": Range(1, 81, 1024)},
    # One landmark only: 4096 positions are 50 faces.
    "expert": {"P": Range(1, 82, 4096)},
    # Faces. The votes of one, 18 directions of every pixel, are 0.9 MB, twice.
    "fhog": {"N": Range(1, 16, 128)},
    "analysis": {"N": Range(1, 16, 128)},
    # Frames: a live stream has one, an archive many; 1024 are 40 MB.
    "action_units": {"N": Range(1, 32, 1024)},
    # Images of one size or of several streams; features at the strides 4 to 32 of a 1080p image take 200 MB.
    "face_network": {"N": Range(1, 1, 8), "H": Range(64, 480, 1088), "W": Range(64, 640, 1920)},
    # Faces of an image, or of a few.
    "point_network": {"N": Range(1, 1, 32)},
    # 17 G multiplications a face: many at once gain nothing, and take 60 MB each.
    "heat_map_network": {"N": Range(1, 1, 8)},
}


def graph(item: Item, about: About) -> onnx.ModelProto:
    """The checked graph of an item in the precision of the export, without float64; sizes that must be fixed are fixed.

    Raises
    ------
    ContractError : a weight does not fit into a half.
    VariantUnavailable : onnx is not installed.
    """
    if item.kind == "action_units":
        metadata = metadata_of(about.bundle_hash, about.licence, item.stage, item.contract)
        model = action_units(item.model, item.name.rsplit("/", 1)[1], metadata)
    else:
        model = to_float32(graph_of(item, about))
    if item.kind == "network":  # its first fully connected layer takes one size only
        (maps,) = item.inputs(np.random.default_rng(0))
        model = with_sizes(model, {"H": int(maps.shape[2]), "W": int(maps.shape[3])})
    if layers_of(item, about) == "float16":
        model = to_float16(model, keep=KEPT.get(item.kind, ()))
    return model


def layers_of(item: Item, about: About) -> str:
    """The precision of the layers of an item's engine."""
    return about.precision if item.kind in HALVED else "float32"


def profile_of(item: Item, model: onnx.ModelProto) -> dict[str, tuple[tuple[int, ...], ...]]:
    """Smallest, usual and largest shape of every input, by its name.

    Raises
    ------
    ContractError : a dynamic dimension has no known range.
    """
    ranges = RANGES.get(item.kind, {})
    return {value.name: _shapes(dimensions(value), ranges, value.name) for value in model.graph.input}


def _shapes(dims: list[str | int], ranges: Mapping[str, Range], name: str) -> tuple[tuple[int, ...], ...]:
    unknown = [dim for dim in dims if isinstance(dim, str) and dim not in ranges]
    if unknown:
        known = f"no dynamic dimension but {', '.join(ranges)}" if ranges else "no dynamic dimension"
        raise ContractError(STAGE, name, known, ", ".join(map(str, unknown)))
    dimensions = [Range(dim, dim, dim) if isinstance(dim, int) else ranges[dim] for dim in dims]
    return tuple(tuple(getattr(each, end) for each in dimensions) for end in ("smallest", "usual", "largest"))


def action_units(predictors: AUPredictors, name: str, metadata: dict[str, str]) -> onnx.ModelProto:
    """All AU models in one float32 graph: features and medians (N, D) to values (N, 35), intensities first."""
    about, out = centred(predictors), Graph()
    plain = out.add("MatMul", out.add("Sub", "features", out.constant(about.still)), out.constant(about.static.T))
    moved = out.add("Sub", out.add("Sub", "features", "medians"), out.constant(about.moved))
    both = out.add("Add", plain, out.add("MatMul", moved, out.constant(about.dynamic.T)))
    out.add("Add", both, out.constant(about.biases), output="values")
    count, length = about.static.shape
    return out.model(
        name,
        [helper.make_tensor_value_info(kind, TensorProto.FLOAT, ["N", length]) for kind in ("features", "medians")],
        [helper.make_tensor_value_info("values", TensorProto.FLOAT, ["N", count])], metadata,
    )  # fmt: skip
