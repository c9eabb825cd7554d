"""All AU models of a frame in one kernel (spec 60.6): values from descriptors as they come, nothing joined or widened.

The stacked models of batched/action_units.py; dot products of 4702 float64 terms in eight lanes, the median subtracted
on the way. Values are the reference's to 1e-12, presences equal, and a frame's do not depend on its batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.batched.action_units import BatchedActionUnits
from auparity.accelerated.numba.compile import kernel
from auparity.errors import ContractError
from auparity.models.types import AUPredictors
from auparity.reference.action_units import STAGE
from auparity.reference.contracts import check_array

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]


# Sums of products in any order: 1e-15 of float64, of which 1e-12 is allowed.
@kernel(fastmath={"reassoc", "nsz", "contract"})
def _values(
    hog: Array, geometry: Array, hog_median: Array, geometry_median: Array, weights: Array, biases: Array,
    dynamic: Array, out: Array,
) -> None:  # fmt: skip
    split, length = hog.shape[1], weights.shape[1]
    plain, moved = np.empty(length, np.float64), np.empty(length, np.float64)
    for n in range(hog.shape[0]):
        for i in range(split):
            plain[i] = np.float64(hog[n, i])
            moved[i] = np.float64(hog[n, i]) - hog_median[n, i]
        for i in range(length - split):
            plain[split + i] = geometry[n, i]
            moved[split + i] = geometry[n, i] - geometry_median[n, i]
        for k in range(weights.shape[0]):
            features = moved if dynamic[k] else plain
            total = 0.0
            for i in range(length):
                total += features[i] * weights[k, i]
            out[n, k] = total + biases[k]


class ActionUnits(BatchedActionUnits):
    """Stage `action_units` of one set of predictors."""

    def predict(
        self, hog: Array, geometry: Array, hog_median: Array | None = None, geometry_median: Array | None = None
    ) -> tuple[F64, F64]:
        """Raw intensities (N, 17) and presences (N, 18); arguments and errors as in the reference."""
        check_array(STAGE, "hog", hog, ("N", "F"))
        check_array(STAGE, "geometry", geometry, (len(hog), self.reference.n_features - hog.shape[1]))
        if hog_median is None or geometry_median is None:
            if self.needs_medians:
                raise ContractError(STAGE, "hog_median, geometry_median", "running medians (dynamic models)", "None")
            hog_median, geometry_median = np.zeros(hog.shape), np.zeros(geometry.shape)
        check_array(STAGE, "hog_median", hog_median, hog.shape)
        check_array(STAGE, "geometry_median", geometry_median, geometry.shape)
        values = np.empty((len(hog), len(self.biases)))
        _values(
            np.ascontiguousarray(hog, np.float32 if hog.dtype == np.float32 else np.float64),
            np.ascontiguousarray(geometry, np.float64), np.ascontiguousarray(hog_median, np.float64),
            np.ascontiguousarray(geometry_median, np.float64), self.weights, self.biases, self.dynamic, values,
        )  # fmt: skip
        return self.outcomes(values)


def build(predictors: AUPredictors) -> ActionUnits:
    """Stage `action_units`."""
    return ActionUnits(predictors)
