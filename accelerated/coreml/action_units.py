"""All AU models as one Core ML package (spec 60.6), in float32: Core ML has no float64.

Medians and a centre near the training means are subtracted before the product, so that large numbers cancel before
they are rounded (conversion/coreml/programs.py); values are within 1e-5 of the reference's.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.batched.action_units import BatchedActionUnits
from auparity.accelerated.coreml.packages import Package
from auparity.conversion.coreml import programs
from auparity.conversion.coreml.builder import Precision
from auparity.models.types import AUPredictors

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]

CONTRACT = "features and running medians (N, D) to 17 intensities, not clamped, and 18 decision values"


class ActionUnits(BatchedActionUnits):
    """Stage `action_units` of one set of predictors."""

    def __init__(self, predictors: AUPredictors, mode: str) -> None:
        super().__init__(predictors)
        make = partial(_make, predictors)
        self._package = Package("action_units", mode, (predictors,), "action_units", CONTRACT, make)

    def values(self, features: F64, medians: F64 | None) -> F64:
        """Values (N, 35); frames one by one, so that a value does not depend on the batch."""
        others = np.zeros_like(features) if medians is None else medians
        pairs = zip(features, others, strict=True)
        return np.concatenate([self._package(one[None], other[None]) for one, other in pairs]).astype(np.float64)


def _make(predictors: AUPredictors, metadata: dict[str, str], precision: Precision) -> Any:
    return programs.action_units(predictors, "action_units", metadata, precision=precision)


def build(predictors: AUPredictors, mode: str) -> ActionUnits:
    """Stage `action_units`."""
    return ActionUnits(predictors, mode)
