"""Features of rendered images with known action units, of many more people than in clips (spec 60.1, image path).

Four images show one person in different expressions, poses and light, so that the models learn from differences within
a person and between people. The workspace stores results in parts, each with the mirror images. `PhotoSet` in; features
(N, 4702), true AUs (N, 18), people (N,) out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.aus.features import FitNearTruth, noise_size, with_noise
from auparity.models.synthetic.render import PICTURES_OF_A_PERSON
from auparity.models.synthetic.training.processes import run_tasks
from auparity.models.synthetic.training.samples import PhotoSet
from auparity.models.synthetic.training.shape import MIRROR_68
from auparity.models.synthetic.training.workspace import Workspace
from auparity.models.synthetic.weak_perspective import WeakPerspective
from auparity.models.types import PDM, AUPredictors, FaceModel
from auparity.reference.analysis import FaceDescriber
from auparity.reference.fit_shape import fit_shape
from auparity.reference.pdm import ShapeModel, euler_from_rotation

Array = npt.NDArray[Any]
I32 = npt.NDArray[np.int32]

#: Images that AU models learn from: not too small (px between outer eye corners), not too far from the front (rad).
SMALLEST, FARTHEST_TURN = 40.0, np.radians(40.0)
PHOTOS_A_TASK = 500


@dataclass(frozen=True, eq=False)
class PhotoFeatures:
    """Images that are suitable for the AU models, and their mirror images."""

    features: Array  #: (N, 4702) float32, FHOG then geometry
    aus: Array  #: (N, 18) true intensities
    people: Array  #: (N,) which of them show one person, mirrored or not
    mirrored: Array  #: (N,) bool


@dataclass(frozen=True, eq=False)
class PhotoTask:
    """Images first to first + PHOTOS_A_TASK - 1 of a set."""

    name: str  #: of the result
    source: PhotoSet | Path  #: a set on disk is sent as its folder
    first: int
    last: int
    pdm: PDM
    triangulation: I32
    face: FaceModel | None


def describe_photos(
    workspace: Workspace, name: str, pdm: PDM, triangulation: I32, face: FaceModel | None, photos: PhotoSet, count: int
) -> PhotoFeatures:
    """Features of those of the first `count` images that are large and frontal enough.

    Landmarks are found by a fit from near the truth (None for `face`: true landmarks with noise). If the validator
    rejects them, the image is left out.
    """
    count = min(count, len(photos.landmarks))
    source = Path(str(photos.images.filename)).parent if isinstance(photos.images, np.memmap) else photos
    tasks = [
        PhotoTask(f"{name}/photos_{k}", source, k, min(k + PHOTOS_A_TASK, count), pdm, triangulation, face)
        for k in range(0, count, PHOTOS_A_TASK)
    ]
    missing = [(workspace, task) for task in tasks if not workspace.has(task.name)]
    run_tasks(workspace, f"{name} photographs", describe_part, missing, 4)
    parts = [workspace.load(task.name) for task in tasks]
    features = [np.concatenate([part["hog"], part["geometry"]], axis=1).astype(np.float32) for part in parts]
    aus, index, mirrored = (np.concatenate([part[field] for part in parts]) for field in ("aus", "index", "mirrored"))
    return PhotoFeatures(np.concatenate(features), aus, index // PICTURES_OF_A_PERSON, mirrored)


def describe_part(workspace: Workspace, task: PhotoTask) -> None:
    """Features of a part of the images, stored under the task's name."""
    photos = PhotoSet.open(task.source) if isinstance(task.source, Path) else task.source
    suitable = _landmarks(photos, task)
    describer = FaceDescriber(AUPredictors((), task.pdm, task.triangulation))
    shape_model = ShapeModel(task.pdm)
    rows: list[tuple[Array, Array, Array, int, bool]] = []
    for k, landmarks in suitable:
        image = np.asarray(photos.images[k])
        turned = landmarks[MIRROR_68] * [-1, 1] + [image.shape[1] - 1, 0]
        for mirrored, seen, points in ((False, image, landmarks), (True, image[:, ::-1], turned.astype(np.float32))):
            g, p = fit_shape(shape_model, points[None])
            hog, geometry = describer.describe(np.ascontiguousarray(seen), points, g[0], p[0])
            rows.append((hog, geometry, photos.aus[k], k, mirrored))
    width = 3 * task.pdm.n_points + task.pdm.n_modes
    nothing = [np.zeros((0, n)) for n in (4464, width, 18)] + [np.zeros(0), np.zeros(0)]
    columns = [np.array(column) for column in zip(*rows, strict=True)] if rows else nothing
    hog, geometry, aus, index, mirrored_rows = columns
    workspace.save(
        task.name, hog=hog.astype(np.float16), geometry=geometry.astype(np.float32), aus=aus.astype(np.float32),
        index=index.astype(np.int64), mirrored=mirrored_rows.astype(np.bool_),
    )  # fmt: skip


def _landmarks(photos: PhotoSet, task: PhotoTask) -> list[tuple[int, Array]]:
    """Number and landmarks (68, 2) float32 of the suitable images."""
    rng = np.random.default_rng([41, task.first])
    landmarks, pose = (np.asarray(a[task.first : task.last], np.float64) for a in (photos.landmarks, photos.pose))
    model = WeakPerspective(task.pdm)
    truth = model.fit(landmarks, pose[:, 3:])
    frontal = (np.abs(euler_from_rotation(truth.rotation)) < FARTHEST_TURN).all(axis=1)
    chosen = np.flatnonzero((truth.scale * model.inter_ocular > SMALLEST) & frontal)
    if task.face is None:
        noise = rng.standard_normal((len(chosen), noise_size(model)))
        noisy = model.project(with_noise(model, truth.take(chosen), noise)).astype(np.float32)
        return [(task.first + int(k), noisy[n]) for n, k in enumerate(chosen)]
    fitter = FitNearTruth(task.face, task.pdm, rng)
    fits = [(int(k), fitter.landmarks(photos.images[task.first + k], landmarks[k], pose[k])) for k in chosen]
    return [(task.first + k, fit) for k, fit in fits if fit is not None]
