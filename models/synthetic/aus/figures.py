"""Figures of AU models on unseen rendered faces: correlation and error of intensities, F1 of presence.

Clips are judged by the output of the pipeline: predicted with the medians of their end, calibrated, clamped and
smoothed (spec 60.7); images are judged by the static models.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.aus.features import ClipFeatures
from auparity.models.synthetic.types import AU_NAMES, PRESENCE_FROM
from auparity.models.types import AUPredictors
from auparity.reference.action_units import ActionUnitModels
from auparity.reference.postprocessing import postprocess
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS

Array = npt.NDArray[Any]

HOG_SIZE = 4464
COLUMNS = [AU_NAMES.index(name) for name in INTENSITY_AUS]
#: The required correlation of an AU.
ENOUGH = 0.85


def correlations(values: Array, truth: Array) -> Array:
    """(K,) Pearson correlations of columns (N, K); 0 where one of them does not vary."""
    a, b = values - values.mean(axis=0), truth - truth.mean(axis=0)
    power = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    result: Array = np.divide((a * b).sum(axis=0), power, out=np.zeros(a.shape[1]), where=power > 0)
    return result


def f1_scores(predicted: Array, truth: Array) -> Array:
    """(K,) harmonic means of precision and recall of columns (N, K) bool; 0 where nothing was present or predicted."""
    right, wrong = (predicted & truth).sum(axis=0), (predicted ^ truth).sum(axis=0)
    scores: Array = np.divide(
        2 * right, 2 * right + wrong, out=np.zeros(predicted.shape[1]), where=2 * right + wrong > 0
    )
    return scores


def clip_figures(predictors: AUPredictors, clips: list[ClipFeatures], frames: int) -> dict[str, Any]:
    """Figures of post-processed intensities and presences over all tracked frames of all clips."""
    models = ActionUnitModels(predictors)
    measured, truths = [], []
    for clip in clips:
        if not len(clip.aus):
            continue
        features = clip.features.astype(np.float64)
        medians = np.broadcast_to(clip.final_medians.astype(np.float64), features.shape)
        parts = [a[:, where] for a in (features, medians) for where in (slice(HOG_SIZE), slice(HOG_SIZE, None))]
        raw = models.predict(parts[0], parts[1], parts[2], parts[3])
        measured.append(postprocess(*raw, np.ones(len(features), np.bool_), models.cutoffs))
        truths.append(clip.aus)
    intensity, presence = (np.concatenate([getattr(f, what) for f in measured]) for what in ("intensity", "presence"))
    truth = np.concatenate(truths)
    return {"frames": frames, "tracked_frames": len(truth), **_figures(intensity, presence, truth)}


def photo_figures(predictors: AUPredictors, features: Array, truth: Array) -> dict[str, Any]:
    """Figures of the static models on images, features (N, D)."""
    models = ActionUnitModels(predictors)
    wide = features.astype(np.float64)
    intensity, presence = models.predict_static(wide[:, :HOG_SIZE], wide[:, HOG_SIZE:])
    return {"photographs": len(truth), **_figures(intensity, presence, truth)}


def _figures(intensity: Array, presence: Array, truth: Array) -> dict[str, Any]:
    wanted, present = truth[:, COLUMNS], truth >= PRESENCE_FROM
    r, f1 = correlations(intensity, wanted), f1_scores(presence > 0.5, present)
    mae = np.abs(intensity - wanted).mean(axis=0)
    return {
        "correlation": dict(zip(INTENSITY_AUS, r.tolist(), strict=True)),
        "mean_absolute_error": dict(zip(INTENSITY_AUS, mae.tolist(), strict=True)),
        "f1": dict(zip(PRESENCE_AUS, f1.tolist(), strict=True)),
        "share_present": dict(zip(PRESENCE_AUS, present.mean(axis=0).tolist(), strict=True)),
        "correlations_above_0.85": int((r >= ENOUGH).sum()),
        "mean_correlation": float(r.mean()),
        "mean_f1": float(f1.mean()),
    }
