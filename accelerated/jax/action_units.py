"""All AU models as one float64 product in JAX (spec 60.6), compiled once: one frame at a time."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from auparity.accelerated.batched.action_units import BatchedActionUnits
from auparity.accelerated.jax.device import CPU, computing
from auparity.models.types import AUPredictors

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]


@jax.jit
def _values(features: Any, medians: Any, weights: Any, moved: Any, biases: Any) -> Any:
    return weights @ features - moved @ medians + biases


class ActionUnits(BatchedActionUnits):
    """Stage `action_units` of one set of predictors."""

    def __init__(self, predictors: AUPredictors, device: str = CPU) -> None:
        super().__init__(predictors)
        self._device = device
        with computing(device):
            self._weights = jnp.asarray(self.weights)
            self._moved = jnp.asarray(self.weights * self.dynamic[:, None])
            self._biases = jnp.asarray(self.biases)

    def values(self, features: F64, medians: F64 | None) -> F64:
        """Values (N, 35); frames one by one, so that a value does not depend on the batch."""
        others = np.zeros_like(features) if medians is None else medians
        with computing(self._device):
            rows = [
                np.asarray(_values(jnp.asarray(one), jnp.asarray(other), self._weights, self._moved, self._biases))
                for one, other in zip(features, others, strict=True)
            ]
        return np.stack(rows)


def build(predictors: AUPredictors, device: str = CPU) -> ActionUnits:
    """Stage `action_units`."""
    return ActionUnits(predictors, device)
