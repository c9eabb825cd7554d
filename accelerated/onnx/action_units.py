"""All AU models as one ONNX graph in float64 (spec 60.6): values to 1e-12 of the reference's, presences equal."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.batched.action_units import BatchedActionUnits
from auparity.accelerated.onnx.session import Session
from auparity.conversion.onnx import graphs as onnx_graphs
from auparity.models.types import AUPredictors

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]


class ActionUnits(BatchedActionUnits):
    """Stage `action_units` of one set of predictors."""

    def __init__(self, predictors: AUPredictors, provider: str) -> None:
        super().__init__(predictors)
        contract = "features and running medians (N, D) float64 to 17 intensities, not clamped, and 18 decision values"
        metadata = onnx_graphs.metadata_of("", "", "action_units", contract)
        self._session = Session(onnx_graphs.action_units(predictors, "action_units", metadata), provider)

    def values(self, features: F64, medians: F64 | None) -> F64:
        """Values (N, 35); frames one by one, so that a value does not depend on the batch."""
        others = np.zeros_like(features) if medians is None else medians
        pairs = zip(features, others, strict=True)
        return np.concatenate([self._session(one[None], other[None]) for one, other in pairs])


def build(predictors: AUPredictors, provider: str = "onnx") -> ActionUnits:
    """Stage `action_units`."""
    return ActionUnits(predictors, provider)
