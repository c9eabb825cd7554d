"""AU models around a centre, for targets without float64 (spec 60.6).

Descriptors and training means are large compared with their difference. A centre near the means is subtracted first, so
that they cancel before a device rounds sums. The difference between the centre and a model's own means is part of its
bias, computed in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.types import AUPredictors
from auparity.reference.action_units import ActionUnitModels

F64 = npt.NDArray[np.float64]
Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Centred:
    """values = (features - still) @ static.T + (features - medians - moved) @ dynamic.T + biases, intensities first."""

    still: F64  #: (D,) centre of the static models, whole float32 numbers
    moved: F64  #: (D,) of the dynamic ones
    static: F64  #: (35, D), zero rows for dynamic models
    dynamic: F64  #: (35, D), zero rows for static models
    biases: F64  #: (35,)
    needs_medians: bool


def centred(predictors: AUPredictors) -> Centred:
    """The models around the mean of their training means."""
    models = ActionUnitModels(predictors)
    both = (models.intensity, models.presence)
    means, weights = (np.concatenate([getattr(part, kind) for part in both]) for kind in ("means", "weights"))
    dynamic = np.concatenate([part.dynamic for part in both])
    still, moved = (_centre(means[chosen], means.shape[1]) for chosen in (~dynamic, dynamic))
    rest = means - np.where(dynamic[:, None], moved, still)
    shifts = np.array([row @ weight for row, weight in zip(rest, weights, strict=True)])
    biases = np.concatenate([part.biases for part in both]) - shifts
    of_static, of_dynamic = (weights * chosen[:, None] for chosen in (~dynamic, dynamic))
    return Centred(still, moved, of_static, of_dynamic, biases, models.needs_medians)


def _centre(means: Array, length: int) -> F64:
    """(D,), rounded to float32: a device subtracts exactly this."""
    centre = means.mean(axis=0) if len(means) else np.zeros(length)
    return centre.astype(np.float32).astype(np.float64)
