"""Network detectors and landmarkers in ONNX Runtime; pixels, decoding and points are the reference's (spec 95).

The graph is the reference's own description of the layers (conversion/onnx/network_graphs.py), norms folded into
convolutions. Images of any size and batches of any number run on one session.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy.typing as npt

from auparity.accelerated.onnx.session import Session
from auparity.conversion.onnx.graphs import metadata_of
from auparity.conversion.onnx.network_graphs import network_graph
from auparity.models.types import PointNetwork, RetinaFace
from auparity.reference.networks.parts import parts_of

Array = npt.NDArray[Any]


def build(weights: RetinaFace | PointNetwork, provider: str = "onnx") -> Callable[[Array], Any]:
    """Stages `face_network` and `point_network`."""
    parts = parts_of(weights)
    contract = f"maps (N, 3, H, W) float32 to {', '.join(parts.outputs)}"
    session = Session(network_graph(weights, "network", metadata_of("", "", "networks", contract)), provider)
    return lambda pixels: parts(session.outputs, pixels)
