"""Action unit intensities and presences from linear models (spec 60.6), and the correction for live cameras (60.8).

FHOG (N, 4464) and geometry (N, 238) descriptors with their running medians in; 17 intensities (support vector
regression, 0 to 5 after clamping) and 18 presences (support vector machines, 0 or 1) out, float64, in the order of
`INTENSITY_AUS` and `PRESENCE_AUS`. Static models look at the face alone; dynamic ones subtract the medians, the
person's neutral face (Baltrusaitis et al., FG 2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError
from auparity.models.types import AUModel, AUPredictors
from auparity.reference.contracts import check_array
from auparity.reference.numerics import FLOAT32, Numerics
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS
from auparity.reference.sums import dot
from auparity.short_repr import short_repr

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]

STAGE = "action_units"

#: Intensities are on the scale of the Facial Action Coding System, A = 1 to E = 5.
LOWEST_INTENSITY, HIGHEST_INTENSITY = 0.0, 5.0
#: A cutoff that says "do not calibrate" (spec 60.7).
NO_CUTOFF = -1.0

#: The histogram of the online correction: bins, lowest, highest; the quantile; frames before it acts (spec 60.8).
ONLINE_BINS, ONLINE_LOW, ONLINE_HIGH = 200, -3.0, 5.0
ONLINE_QUANTILE = 0.10
ONLINE_FRAMES = 10

Task = Literal["intensity", "presence"]


@short_repr
@dataclass(frozen=True, eq=False)
class LinearModels:
    """K linear models of one task, stacked: value = (z - means [- medians]) . weights + biases."""

    means: F64  # (K, D)
    weights: F64  # (K, D)
    biases: F64  # (K,)
    dynamic: npt.NDArray[np.bool_]  # (K,)

    def values(self, features: F64, medians: F64) -> F64:
        """Values (N, K) of features (N, D) whose running medians are (N, D)."""
        values = np.empty((len(features), len(self.biases)))
        for k, (mean, weight) in enumerate(zip(self.means, self.weights, strict=True)):
            centred = features - mean
            if self.dynamic[k]:
                centred = centred - medians
            values[:, k] = dot(centred, weight)
        return values + self.biases


def clamp_intensity(values: F64) -> F64:
    """Intensities within 0 to 5."""
    return np.clip(values, LOWEST_INTENSITY, HIGHEST_INTENSITY)


class ActionUnitModels:
    """The AU models of a bundle, in CSV order, ready to predict (spec 60.6).

    Raises
    ------
    ContractError : an AU of the output is missing or there twice, a file names several AUs, feature lengths differ,
        or a cutoff is no quantile.
    """

    def __init__(self, predictors: AUPredictors) -> None:
        lengths = {len(values) for model in predictors.models for values in (model.means, model.weights)}
        if len(lengths) != 1:
            raise ContractError(STAGE, "predictors", "models of one feature length", f"lengths {sorted(lengths)}")
        self.n_features = lengths.pop()
        intensity = _in_order(predictors.models, "intensity", INTENSITY_AUS)
        presence = _in_order(predictors.models, "presence", PRESENCE_AUS)
        self.intensity = _stack(intensity, predictors.models)
        self.presence = _stack(presence, predictors.models)
        self.positive = np.array([_outcome(model, model.pos_class) for model in presence])  # (18,)
        self.negative = np.array([_outcome(model, model.neg_class) for model in presence])  # (18,)
        #: (17,) the quantile that is each AU's zero in post-processing; NaN for models that are not calibrated.
        self.cutoffs = np.array([_cutoff(model) for model in intensity])

    @property
    def needs_medians(self) -> bool:
        """Whether any model is dynamic."""
        return bool(self.intensity.dynamic.any() or self.presence.dynamic.any())

    def predict(
        self, hog: Array, geometry: Array, hog_median: Array | None = None, geometry_median: Array | None = None
    ) -> tuple[F64, F64]:
        """Raw intensities (N, 17), not clamped, and presences (N, 18) (spec 60.6).

        Parameters
        ----------
        hog : (N, 4464). geometry : (N, 238).
        hog_median, geometry_median : running medians in the same shapes; needed unless all models are static.
        """
        features = _features("hog", hog, "geometry", geometry, self.n_features)
        if hog_median is not None and geometry_median is not None:
            medians = _features("hog_median", hog_median, "geometry_median", geometry_median, self.n_features)
        elif self.needs_medians:
            raise ContractError(STAGE, "hog_median, geometry_median", "running medians (dynamic models)", "None")
        else:
            medians = np.zeros_like(features)
        check_array(STAGE, "medians", medians, features.shape)
        intensity = self.intensity.values(features, medians)
        presence = np.where(self.presence.values(features, medians) > 0, self.positive, self.negative)
        return intensity, presence

    def predict_static(self, hog: Array, geometry: Array) -> tuple[F64, F64]:
        """Intensities (N, 17) clamped to 0 to 5 and presences (N, 18) of single images: static models, no medians."""
        intensity, presence = self.predict(hog, geometry)
        return clamp_intensity(intensity), presence


def _features(name_hog: str, hog: Array, name_geometry: str, geometry: Array, n_features: int) -> F64:
    check_array(STAGE, name_hog, hog, ("N", "F"))
    check_array(STAGE, name_geometry, geometry, (len(hog), n_features - hog.shape[1]))
    return np.concatenate([hog, geometry], axis=1).astype(np.float64)


def _in_order(models: Sequence[AUModel], task: Task, names: Sequence[str]) -> list[AUModel]:
    """The one model of a task for each AU name."""
    chosen: dict[str, AUModel] = {}
    for model in models:
        if model.task != task:
            continue
        if len(model.au_names) != 1:
            raise ContractError(STAGE, "predictors", "one AU a model", f"a model of {', '.join(model.au_names)}")
        if model.au_names[0] in chosen:
            raise ContractError(STAGE, "predictors", f"one {task} model an AU", f"two of {model.au_names[0]}")
        chosen[model.au_names[0]] = model
    missing = [name for name in names if name not in chosen]
    if missing:
        raise ContractError(STAGE, "predictors", f"{task} models of {len(names)} AUs", f"none of {', '.join(missing)}")
    return [chosen[name] for name in names]


def _stack(chosen: Sequence[AUModel], all_models: Sequence[AUModel]) -> LinearModels:
    """Stack models; each is centred by the means of the first-loaded model of its kind (spec 10.11, 60.6)."""
    first: dict[tuple[str, bool], F64] = {}
    for model in all_models:
        first.setdefault((model.task, model.dynamic), model.means)
    return LinearModels(
        means=np.stack([first[model.task, model.dynamic] for model in chosen]).astype(np.float64),
        weights=np.stack([model.weights for model in chosen]).astype(np.float64),
        biases=np.array([model.bias for model in chosen], np.float64),
        dynamic=np.array([model.dynamic for model in chosen], np.bool_),
    )


def _outcome(model: AUModel, value: float | None) -> float:
    if value is None:
        raise ContractError(STAGE, "predictors", f"both classes of {model.au_names[0]}'s presence", "None")
    return float(value)


def _cutoff(model: AUModel) -> float:
    """The quantile of a dynamic intensity model; NaN where calibration does not apply (spec 60.7 step 2)."""
    if not model.dynamic or model.cutoff == NO_CUTOFF:
        return float("nan")
    if model.cutoff is None or not 0 <= model.cutoff < 1:
        raise ContractError(
            STAGE, "predictors", f"a cutoff of {model.au_names[0]} from 0 to 1, or -1", f"{model.cutoff}"
        )
    return float(model.cutoff)


@dataclass
class OnlineCorrection:
    """Live cameras only: shifts each intensity so that its lowest tenth so far is zero (spec 60.8)."""

    total: int = 0  #: successful frames
    counts: npt.NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((len(INTENSITY_AUS), ONLINE_BINS), np.int64), repr=False
    )

    def correct(self, raw: F64, success: bool) -> F64:
        """The intensities (17,) to show for a frame, 0 to 5, from the raw ones (17,); counts successful frames."""
        check_array(STAGE, "raw", raw, (len(INTENSITY_AUS),))
        if not success:
            return clamp_intensity(raw)
        width = (ONLINE_HIGH - ONLINE_LOW) / ONLINE_BINS
        position = (raw - ONLINE_LOW) * ONLINE_BINS / (ONLINE_HIGH - ONLINE_LOW)
        bins = np.clip(np.trunc(position), 0, ONLINE_BINS - 1).astype(np.intp)
        self.counts[np.arange(len(raw)), bins] += 1
        self.total += 1
        if self.total < ONLINE_FRAMES:
            return clamp_intensity(raw)
        cut = int(ONLINE_QUANTILE * self.total)
        quantile_bin = (self.counts.cumsum(axis=1) > cut).argmax(axis=1)
        return clamp_intensity(raw - (ONLINE_LOW + quantile_bin * width))


class ActionUnitStage(Protocol):
    """Stage `action_units`, built from `AUPredictors` (spec 60.6)."""

    @property
    def needs_medians(self) -> bool: ...
    @property
    def cutoffs(self) -> F64:
        """(17,) quantiles of the calibration, NaN where there is none (spec 60.7)."""

    def predict(
        self, hog: Array, geometry: Array, hog_median: Array | None = None, geometry_median: Array | None = None
    ) -> tuple[F64, F64]:
        """Descriptors (N, 4464), (N, 238) and medians to intensities (N, 17), not clamped, and presences (N, 18)."""

    def predict_static(self, hog: Array, geometry: Array) -> tuple[F64, F64]:
        """Descriptors to intensities (N, 17) from 0 to 5 and presences (N, 18), by static models."""


def build(predictors: AUPredictors, *, numerics: Numerics = FLOAT32) -> ActionUnitStage:
    """Stage `action_units`, which computes in float64 whatever the working precision."""
    return ActionUnitModels(predictors)
