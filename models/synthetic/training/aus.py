"""Trains the action unit models: 17 intensities and 18 presences, static and dynamic (spec 10.11, 60.6), linear on
FHOG.

One regression for each AU and kind gives the intensity; the presence is the same regression from a threshold on.
Dynamic models are for features minus a person's running medians and learn from differences within rendered people, of
sessions and of images. Static models use the descriptor alone. How strongly each is regularised is chosen on held-out
people, in favour of smaller weights: what only large weights can use is peculiar to the renderer more often than not
(docs/real-faces.md). Thresholds are chosen on held-out people as well; then the models learn from all people. Steps:
features (`aus.features`, `aus.photos`), then "aus". The report has figures of clips that were tracked frame by frame
and post-processed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.aus.cutoffs import choose_cutoffs
from auparity.models.synthetic.aus.features import ClipFeatures, Collection, collect
from auparity.models.synthetic.aus.figures import COLUMNS, clip_figures, correlations, f1_scores, photo_figures
from auparity.models.synthetic.aus.photos import describe_photos
from auparity.models.synthetic.aus.ridge import Subspace, ridge
from auparity.models.synthetic.aus.samples import (
    Samples,
    blur,
    feature_scale,
    raw_samples,
    rest_samples,
    within_samples,
)
from auparity.models.synthetic.training.samples import PhotoSet
from auparity.models.synthetic.training.workspace import Workspace
from auparity.models.synthetic.types import AU_NAMES, PRESENCE_FROM
from auparity.models.types import MTCNN, PDM, AUModel, AUPredictors, FaceModel
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS

Array = npt.NDArray[Any]

RESULT = "aus"
TRAINING_SEED, HELD_OUT_SEED = 1_000_000, 2_000_000
#: Numbers of people and of frames of each: sessions for training, clips for judging.
PEOPLE, FRAMES = 100, 45
CLIPS, CLIP_FRAMES = 17, 120
PHOTOS, HELD_OUT_PHOTOS = 7_000, 300
#: Presence models of the video list that use no medians. OpenFace has more, also of intensities (spec 10.11). Rendered
#: people at rest differ so much that on held-out people every intensity follows the truth better with a person's
#: neutral face than without. The presence of a smile is equally clear either way.
STATIC_IN_VIDEOS = ("AU12",)
#: Weights of the loss that are tried, with features scaled by `feature_scale`. The smallest is chosen of those whose
#: correlation on held-out people is at most EASE below the best.
STRENGTHS = (0.001, 0.005, 0.02, 0.1, 0.5)
EASE = 0.03
#: Intensities from which an AU may be called present.
THRESHOLDS = np.arange(1, 31) / 10
#: Every n-th person is held out while strengths and thresholds are chosen.
FOLD = 4


@dataclass(frozen=True, eq=False)
class Linear:
    """Linear models of the 18 AUs."""

    weights: Array  #: (18, D)
    biases: Array  #: (18,)
    strengths: Array  #: (18,) chosen weight of the loss

    def values(self, features: Array) -> Array:
        """(N, 18)"""
        return np.asarray(features @ self.weights.T + self.biases)


def train(
    workspace: Workspace,
    pdm: PDM,
    triangulation: npt.NDArray[np.int32],
    face: FaceModel | None,
    photos: PhotoSet,
    validation: PhotoSet,
    detector: MTCNN | None = None,
) -> None:
    """Train the AU models and store them as "aus".

    Parameters
    ----------
    pdm, triangulation : of the AU module: the tracker's PDM, and the triangles (T, 3) of its mask.
    face : the landmark model, so that the AU models learn with its errors; None: true landmarks with noise.
    photos, validation : rendered images for training, and others for judging.
    detector : finds the face at the start of clips; None: the true box with a small error.
    """
    if workspace.has(RESULT):
        return

    def people(name: str, seed: int, count: int, frames: int, sessions: bool) -> list[ClipFeatures]:
        wanted = Collection(name, seed, count, frames, sessions, pdm, triangulation, face, detector)
        return collect(workspace, wanted)

    sessions = people("aus/sessions", TRAINING_SEED, PEOPLE, FRAMES, True)
    clips = people("aus/held_out", HELD_OUT_SEED, CLIPS, CLIP_FRAMES, False)
    described = describe_photos(workspace, "aus/photos", pdm, triangulation, face, photos, PHOTOS)
    judged = describe_photos(workspace, "aus/held_out_photos", pdm, triangulation, face, validation, HELD_OUT_PHOTOS)
    results: dict[str, Array] = {"triangulation": triangulation}
    results |= {"mean_shape": pdm.mean, "components": pdm.components, "eigenvalues": pdm.eigenvalues}
    static, rest, within = raw_samples(sessions, described), rest_samples(sessions), within_samples(sessions, described)
    scale = feature_scale(within.features)
    means = {"static": static.features.mean(axis=0), "dynamic": rest.features.mean(axis=0)}
    static, rest = static.without(means["static"]), rest.without(means["dynamic"])
    for kind, samples, seen in (("static", static, static), ("dynamic", within, rest)):
        workspace.log(f"{kind} models: {len(samples)} samples of {len(np.unique(samples.people))} people")
        models, others = fit_models(samples, scale)
        if kind == "dynamic":
            unseen = held_out(samples)
            results["cutoffs"] = choose_cutoffs(others.values(unseen.features)[:, COLUMNS], unseen.aus[:, COLUMNS])
            models, others = with_zero(models, rest), with_zero(others, rest)
        unseen = held_out(seen)
        results[f"{kind}_thresholds"] = choose_thresholds(others.values(unseen.features), unseen.aus)
        results[f"{kind}_means"] = means[kind]
        results |= {f"{kind}_{field}": getattr(models, field) for field in ("weights", "biases", "strengths")}
    video, image = predictors_from(results)
    own = ~judged.mirrored
    workspace.report(
        "aus",
        clips=clip_figures(video, clips, CLIPS * CLIP_FRAMES),
        photographs=photo_figures(image, judged.features[own], judged.aus[own]),
        strengths={k: dict(zip(AU_NAMES, results[f"{k}_strengths"].tolist(), strict=True)) for k in means},
        thresholds={k: dict(zip(AU_NAMES, results[f"{k}_thresholds"].tolist(), strict=True)) for k in means},
        cutoffs=dict(zip(INTENSITY_AUS, results["cutoffs"].tolist(), strict=True)),
        tracked=face is not None,
    )
    workspace.save(RESULT, **results)


def held_out(samples: Samples) -> Samples:
    """The people on whom choices are made, without mirror images."""
    return samples.take((samples.people % FOLD == FOLD - 1) & ~samples.mirrored)


def fit_models(samples: Samples, scale: Array) -> tuple[Linear, Linear]:
    """Models that learned from everybody, and models of the same strengths that did not see the held-out people.

    Strong regularisation makes values small. Both are scaled so that the squared error on held-out people is least.
    """
    prepared = blur((samples.features * scale).astype(np.float32))
    directions = Subspace.of(prepared).directions
    points = prepared @ directions
    away = samples.people % FOLD == FOLD - 1
    judged = away & ~samples.mirrored
    weights = ridge(points[~away], samples.aus[~away], STRENGTHS)
    truth = samples.aus[judged]
    values = points[judged] @ weights
    scores = np.array([correlations(each, truth) for each in values])
    best = np.argmax(scores >= scores.max(axis=0) - EASE, axis=0)
    column = np.arange(len(best))
    gain = _gain(values[best, :, column].T, truth)

    def of(weights: Array, rows: Array) -> Linear:
        chosen = weights[best, :, column] * gain[:, None]
        biases = samples.aus[rows].mean(axis=0) - chosen @ points[rows].mean(axis=0)
        spread = blur(chosen @ directions.T) * scale
        return Linear(spread.astype(np.float32), biases.astype(np.float32), np.array(STRENGTHS)[best])

    # The loss is a sum, so more samples would be regularised less.
    fewer = float(np.mean(~away))
    weights_of_all = ridge(points, samples.aus, tuple(fewer * strength for strength in STRENGTHS))
    return of(weights_of_all, np.full(len(away), True)), of(weights, ~away)


def _gain(values: Array, truth: Array) -> Array:
    """(K,) by what to multiply values (N, K), without means, to come closest to the truth; 1 where nothing follows."""
    a, b = values - values.mean(axis=0), truth - truth.mean(axis=0)
    power, common = (a**2).sum(axis=0), (a * b).sum(axis=0)
    gain: Array = np.divide(common, power, out=np.ones(len(power)), where=(power > 0) & (common > 0))
    return gain


def choose_thresholds(values: Array, aus: Array) -> Array:
    """(K,) values (N, K) of intensity from which presence agrees best (F1) with the truth."""
    scores = [f1_scores(values >= threshold, aus >= PRESENCE_FROM) for threshold in THRESHOLDS]
    best: Array = THRESHOLDS[np.argmax(scores, axis=0)]
    return best


def with_zero(models: Linear, rest: Samples) -> Linear:
    """Models that learned from differences, with the bias for features minus medians."""
    offset = (rest.aus - rest.features @ models.weights.T).mean(axis=0)
    return Linear(models.weights, offset.astype(np.float32), models.strengths)


def predictors_from(results: dict[str, Array]) -> tuple[AUPredictors, AUPredictors]:
    """The model lists for videos and for images from stored arrays."""
    pdm = PDM(results["mean_shape"], results["components"], results["eigenvalues"])
    lists = []
    for dynamic in (True, False):
        static = STATIC_IN_VIDEOS if dynamic else PRESENCE_AUS
        models = [_model(results, "presence", name, name not in static) for name in PRESENCE_AUS]
        models += [_model(results, "intensity", name, dynamic) for name in INTENSITY_AUS]
        lists.append(AUPredictors(tuple(models), pdm, results["triangulation"]))
    return lists[0], lists[1]


def _model(results: dict[str, Array], task: Literal["intensity", "presence"], name: str, dynamic: bool) -> AUModel:
    kind, presence = "dynamic" if dynamic else "static", task == "presence"
    row = AU_NAMES.index(name)
    threshold = float(results[f"{kind}_thresholds"][row]) if presence else 0.0
    return AUModel(
        task=task,
        dynamic=dynamic,
        au_names=(name,),
        means=results[f"{kind}_means"].astype(np.float64),
        weights=results[f"{kind}_weights"][row].astype(np.float64),
        bias=float(results[f"{kind}_biases"][row]) - threshold,
        cutoff=float(results["cutoffs"][INTENSITY_AUS.index(name)]) if dynamic and not presence else None,
        pos_class=1.0 if presence else None,
        neg_class=0.0 if presence else None,
    )


def load_aus(workspace: Workspace) -> tuple[AUPredictors, AUPredictors]:
    """The trained models for videos and for images; AuparityError if there are none."""
    return predictors_from(workspace.load(RESULT))
