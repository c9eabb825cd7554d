"""All AU models in one product (spec 60.6), NumPy only.

Intensities and presences of static and of dynamic models are stacked, 35 rows in all, and each training mean is folded
into the bias: (z - mean - median) . w + b = z . w - median . w + (b - mean . w), the median part for dynamic ones only.
In float64 this changes a value by about 1e-14 for sums of order one (limit 1e-12), and a presence only if its decision
value is that close to zero. Frames are multiplied one by one, so that a value does not depend on the batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError
from auparity.models.types import AUPredictors
from auparity.reference.action_units import STAGE, ActionUnitModels, clamp_intensity
from auparity.reference.contracts import check_array

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]


class BatchedActionUnits:
    """Stage `action_units` of one set of predictors."""

    def __init__(self, predictors: AUPredictors) -> None:
        self.reference = ActionUnitModels(predictors)
        both = (self.reference.intensity, self.reference.presence)
        means, weights = (np.concatenate([getattr(part, name) for part in both]) for name in ("means", "weights"))
        biases = np.concatenate([part.biases for part in both])
        self.dynamic = np.concatenate([part.dynamic for part in both])  # (35,)
        self.weights = np.ascontiguousarray(weights)  # (35, D)
        self.dynamic_weights = np.ascontiguousarray(weights[self.dynamic])
        self.biases = biases - np.array([mean @ weight for mean, weight in zip(means, weights, strict=True)])
        self.n_intensities = len(self.reference.intensity.biases)

    @property
    def needs_medians(self) -> bool:
        """Whether any model is dynamic."""
        return bool(self.dynamic.any())

    @property
    def cutoffs(self) -> F64:
        """(17,) quantiles of the calibration, NaN where there is none (spec 60.7)."""
        return self.reference.cutoffs

    def predict(
        self, hog: Array, geometry: Array, hog_median: Array | None = None, geometry_median: Array | None = None
    ) -> tuple[F64, F64]:
        """Raw intensities (N, 17) and presences (N, 18); arguments and errors as in the reference."""
        features, medians = self.features(hog, geometry, hog_median, geometry_median)
        return self.outcomes(self.values(features, medians))

    def predict_static(self, hog: Array, geometry: Array) -> tuple[F64, F64]:
        """Intensities (N, 17) clamped to 0 to 5 and presences (N, 18) of images."""
        intensity, presence = self.predict(hog, geometry)
        return clamp_intensity(intensity), presence

    def values(self, features: F64, medians: F64 | None) -> F64:
        """Raw values (N, 35) of features (N, D) and medians (N, D)."""
        values = np.stack([self.weights @ row for row in features]) + self.biases
        if medians is not None:
            values[:, self.dynamic] -= np.stack([self.dynamic_weights @ row for row in medians])
        return values

    def outcomes(self, values: F64) -> tuple[F64, F64]:
        """Intensities and presences from values (N, 35)."""
        presence = np.where(values[:, self.n_intensities :] > 0, self.reference.positive, self.reference.negative)
        return np.ascontiguousarray(values[:, : self.n_intensities]), presence

    def features(
        self, hog: Array, geometry: Array, hog_median: Array | None, geometry_median: Array | None
    ) -> tuple[F64, F64 | None]:
        """Features (N, D) and medians (N, D) float64, checked; None if no model needs medians."""
        features = self._joined("hog", hog, "geometry", geometry)
        if not self.needs_medians:
            return features, None
        if hog_median is None or geometry_median is None:
            raise ContractError(STAGE, "hog_median, geometry_median", "running medians (dynamic models)", "None")
        medians = self._joined("hog_median", hog_median, "geometry_median", geometry_median)
        check_array(STAGE, "medians", medians, features.shape)
        return features, medians

    def _joined(self, name_hog: str, hog: Array, name_geometry: str, geometry: Array) -> F64:
        check_array(STAGE, name_hog, hog, ("N", "F"))
        check_array(STAGE, name_geometry, geometry, (len(hog), self.reference.n_features - hog.shape[1]))
        return np.concatenate([hog, geometry], axis=1, dtype=np.float64)


def build(predictors: AUPredictors) -> BatchedActionUnits:
    """Stage `action_units`."""
    return BatchedActionUnits(predictors)
