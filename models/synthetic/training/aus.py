"""Trains the action unit models: 17 support vector regressions and 18 support vector machines, static and dynamic
(spec 10.11, 60.6), linear on FHOG and geometry.

Dynamic models subtract a person's running medians and learn from sessions of rendered people. Static models use the
descriptor alone and learn from images as well. The regularisation of each model, and the weight of images, are chosen
on held-out people; then the model learns from all people. Steps: features (`aus.features`, `aus.photos`), then "aus".
The report has figures of clips that were tracked frame by frame and post-processed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.aus.cutoffs import choose_cutoffs
from auparity.models.synthetic.aus.features import ClipFeatures, Collection, collect
from auparity.models.synthetic.aus.figures import COLUMNS, clip_figures, correlations, f1_scores, photo_figures
from auparity.models.synthetic.aus.linear_svm import TOLERANCE, Targets, solve
from auparity.models.synthetic.aus.photos import describe_photos
from auparity.models.synthetic.aus.samples import (
    Samples,
    blur_orientations,
    feature_scale,
    raw_samples,
    rest_samples,
    within_samples,
)
from auparity.models.synthetic.training.samples import PhotoSet
from auparity.models.synthetic.training.workspace import Workspace
from auparity.models.synthetic.types import PRESENCE_FROM
from auparity.models.types import MTCNN, PDM, AUModel, AUPredictors, FaceModel
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS

Array = npt.NDArray[Any]
Task = Literal["intensity", "presence"]

RESULT = "aus"
TRAINING_SEED, HELD_OUT_SEED = 1_000_000, 2_000_000
#: Numbers of people and of frames of each: sessions for training, clips for judging.
PEOPLE, FRAMES = 400, 45
CLIPS, CLIP_FRAMES = 17, 120
PHOTOS, HELD_OUT_PHOTOS = 2_000, 300
#: Presence models of the video list that use no medians. OpenFace has more, also of intensities (spec 10.11). Rendered
#: people at rest differ so much that on held-out people every intensity follows the truth better with a person's
#: neutral face than without. The presence of a smile is equally clear either way.
STATIC_IN_VIDEOS = ("AU12",)
EPSILON = 0.1  #: error of an intensity without loss
#: Weights of the loss that are tried (LIBLINEAR's C), with features scaled by `feature_scale`, and the weight of
#: an image relative to a frame of a session.
WEIGHTS = (0.05, 0.15, 0.5, 1.5, 5.0, 15.0)
PHOTO_SHARES = (0.2, 0.5, 1.0)
ROUGH = 1e-2  #: tolerance of the solver where models are only compared
#: Every n-th person is held out while weights are chosen.
FOLD = 4


@dataclass(frozen=True, eq=False)
class Linear:
    """T linear models, one for each AU of a task."""

    weights: Array  #: (T, D)
    biases: Array  #: (T,)
    options: Array  #: (T, 2) chosen weight of the loss and weight of images

    def values(self, features: Array) -> Array:
        """(N, T)"""
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
    static, rest, within = raw_samples(sessions, described), rest_samples(sessions), within_samples(sessions)
    scale = feature_scale(within.features)
    results["static_means"] = static.features.mean(axis=0)
    results["dynamic_means"] = rest.features.mean(axis=0)
    jobs: tuple[tuple[str, Task, Samples, Array | None], ...] = (
        ("static", "intensity", static, results["static_means"]),
        ("static", "presence", static, results["static_means"]),
        ("dynamic", "intensity", within, None),
        ("dynamic", "presence", rest, results["dynamic_means"]),
    )
    for kind, task, samples, means in jobs:
        workspace.log(f"{kind} {task} models: {len(samples)} samples of {len(np.unique(samples.people))} people")
        centred = samples if means is None else samples.without(means)
        models, values, held_out = fit_models(centred, task, scale)
        if (kind, task) == ("dynamic", "intensity"):
            results["cutoffs"] = choose_cutoffs(values, held_out.aus[:, COLUMNS])
            models = with_zero(models, rest.without(results["dynamic_means"]))
        results |= {f"{kind}_{task}_{field}": getattr(models, field) for field in ("weights", "biases", "options")}
    video, image = predictors_from(results)
    names = {"intensity": INTENSITY_AUS, "presence": PRESENCE_AUS}
    options = {f"{k} {t}": dict(zip(names[t], results[f"{k}_{t}_options"].tolist(), strict=True)) for k, t, *_ in jobs}
    own = ~judged.mirrored
    workspace.report(
        "aus",
        clips=clip_figures(video, clips, CLIPS * CLIP_FRAMES),
        photographs=photo_figures(image, judged.features[own], judged.aus[own]),
        people_curve=people_curve(within, clips, results["dynamic_intensity_options"], scale),
        options=options,
        cutoffs=dict(zip(INTENSITY_AUS, results["cutoffs"].tolist(), strict=True)),
        tracked=face is not None,
    )
    workspace.save(RESULT, **results)


def fit_models(samples: Samples, task: Task, scale: Array) -> tuple[Linear, Array, Samples]:
    """Models of one kind and task; also values on held-out people, and those people.

    The values are those of models with the same options that learned only from the other people.
    """
    away = samples.people % FOLD == FOLD - 1
    training, held_out = samples.take(~away), samples.take(away & ~samples.mirrored)
    shares = PHOTO_SHARES if samples.photo.any() else (1.0,)
    grid = np.array([(weight, share) for weight in WEIGHTS for share in shares])
    count = len(COLUMNS) if task == "intensity" else len(PRESENCE_AUS)
    tried = train_models(training, task, scale, np.repeat(grid[:, None], count, axis=1), ROUGH)
    values = tried.values(held_out.features).reshape(len(held_out), len(grid), count)
    scores = [_score(values[:, k], held_out.aus, task) for k in range(len(grid))]
    best = np.argmax(scores, axis=0)
    chosen = np.take_along_axis(values, best[None, None], axis=1)[:, 0]
    return train_models(samples, task, scale, grid[best][None]), chosen, held_out


def _score(values: Array, aus: Array, task: Task) -> Array:
    if task == "intensity":
        return correlations(values, aus[:, COLUMNS])
    return f1_scores(values > 0, aus >= PRESENCE_FROM)


def train_models(samples: Samples, task: Task, scale: Array, options: Array, tolerance: float = TOLERANCE) -> Linear:
    """K models of each of T AUs, K major, for options (K, T, 2): weight of the loss and weight of images."""
    flat = options.reshape(-1, 2)
    repeats = len(options)
    importance = np.where(samples.photo[:, None], flat[:, 1], 1.0) * flat[:, 0]
    if task == "intensity":
        wanted = np.tile(samples.aus[:, COLUMNS], (1, repeats))
        targets = Targets.regression(wanted, EPSILON, importance)
    else:
        present = samples.aus >= PRESENCE_FROM
        # Rare present samples get more weight, by the root of the odds, which is half way to equal classes.
        share = np.clip(present.mean(axis=0), 1 / len(samples), 1 - 1 / len(samples))
        rarity = np.where(present, np.sqrt((1 - share) / share), 1.0)
        targets = Targets.classification(np.tile(present, (1, repeats)), importance * np.tile(rarity, (1, repeats)))
    blurred = blur_orientations((samples.features * scale).astype(np.float32))
    weights, biases = solve(blurred, targets, tolerance=tolerance)
    return Linear(blur_orientations(weights) * scale, biases, flat)


def with_zero(models: Linear, rest: Samples) -> Linear:
    """Models that learned from differences, with the bias for features minus medians."""
    offset = (rest.aus[:, COLUMNS] - rest.features @ models.weights.T).mean(axis=0)
    return Linear(models.weights, offset.astype(np.float32), models.options)


def people_curve(samples: Samples, clips: list[ClipFeatures], options: Array, scale: Array) -> dict[str, float]:
    """Mean correlation of dynamic intensities on held-out clips, clips centred, by number of training people."""
    features, truth = (
        np.concatenate([v - v.mean(axis=0) for v in values])
        for values in ([clip.features for clip in clips], [clip.aus[:, COLUMNS] for clip in clips])
    )
    curve = {}
    for part in (8, 4, 2, 1):
        chosen = samples.take(samples.people % part == 0)
        models = train_models(chosen, "intensity", scale, options[None])
        curve[str(len(np.unique(chosen.people)))] = float(correlations(models.values(features), truth).mean())
    return curve


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


def _model(results: dict[str, Array], task: Task, name: str, dynamic: bool) -> AUModel:
    kind, presence = "dynamic" if dynamic else "static", task == "presence"
    row = (PRESENCE_AUS if presence else INTENSITY_AUS).index(name)
    return AUModel(
        task=task,
        dynamic=dynamic,
        au_names=(name,),
        means=results[f"{kind}_means"].astype(np.float64),
        weights=results[f"{kind}_{task}_weights"][row].astype(np.float64),
        bias=float(results[f"{kind}_{task}_biases"][row]),
        cutoff=float(results["cutoffs"][row]) if dynamic and not presence else None,
        pos_class=1.0 if presence else None,
        neg_class=0.0 if presence else None,
    )


def load_aus(workspace: Workspace) -> tuple[AUPredictors, AUPredictors]:
    """The trained models for videos and for images; AuparityError if there are none."""
    return predictors_from(workspace.load(RESULT))
