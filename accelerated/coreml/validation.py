"""Landmark validation with its networks as Core ML packages; warp and normalisation are the reference's (spec 50.8)."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.coreml.packages import Package
from auparity.conversion.coreml import programs
from auparity.conversion.coreml.builder import Precision
from auparity.models.types import ConvNet, Validator
from auparity.reference.numerics import FLOAT32
from auparity.reference.validation import LandmarkValidator

Array = npt.NDArray[Any]

CONTRACT = "faces (N, 1, 60, 60) float32, normalised, to scores of the bins of the error"


def build(validator: Validator, mode: str) -> LandmarkValidator:
    """Stage `validation`: gray (N, H, W), landmarks (N, 68, 2), rotations (N, 3) to confidences (N,)."""
    packages: dict[int, Package] = {}

    def run(net: ConvNet, maps: Array, dtype: npt.DTypeLike) -> Array:
        if id(net) not in packages:
            size = (int(maps.shape[2]), int(maps.shape[3]))
            packages[id(net)] = Package("validator", mode, (net,), "validation", CONTRACT, partial(_make, net, size))
        return packages[id(net)](np.asarray(maps, np.float32))

    return LandmarkValidator(validator, FLOAT32, run)


def _make(net: ConvNet, size: tuple[int, int], metadata: dict[str, str], precision: Precision) -> Any:
    return programs.network(net, 1, "validator", metadata, size=size, precision=precision)
