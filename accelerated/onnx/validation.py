"""Landmark validation with its networks in ONNX Runtime; warp and normalisation are the reference's (spec 50.8)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.onnx.session import Session
from auparity.conversion.onnx.graphs import metadata_of, network
from auparity.models.types import ConvNet, Validator
from auparity.reference.numerics import FLOAT32
from auparity.reference.validation import LandmarkValidator

Array = npt.NDArray[Any]


def build(validator: Validator, provider: str = "onnx") -> LandmarkValidator:
    """Stage `validation`: gray (N, H, W), landmarks (N, 68, 2), rotations (N, 3) to confidences (N,)."""
    contract = "faces (N, 1, 60, 60) float32, normalised, to scores of the bins of the error"
    sessions: dict[int, Session] = {}

    def run(net: ConvNet, maps: Array, dtype: npt.DTypeLike) -> Array:
        if id(net) not in sessions:
            graph = network(net, 1, "validator", metadata_of("", "", "validation", contract))
            sessions[id(net)] = Session(graph, provider)
        return sessions[id(net)](np.asarray(maps, np.float32))

    return LandmarkValidator(validator, FLOAT32, run)
