"""Trains early termination (spec 50.9): cut-offs on the likelihood of the coarsest scale, above which a hypothesis
wins.

The eleven starting orientations are fitted at the coarsest scale on validation faces, by the reference. Views have
different numbers of landmarks and likelihoods of different size: the bias of a view shifts the median of its right
hypotheses to 0, and its cut-off is above all but a few of its wrong ones. Views and their mirror images share both.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.child_processes import end_with_parent
from auparity.models.synthetic.training.experts import MIRROR_VIEWS
from auparity.models.synthetic.training.samples import PhotoSet
from auparity.models.synthetic.training.workspace import Workspace
from auparity.models.types import EarlyTermination, FaceModel
from auparity.reference.grayscale import to_gray
from auparity.reference.hypotheses import MULTI_VIEW, start_state
from auparity.reference.landmarks import LandmarkDetector

Array = npt.NDArray[Any]

FACES = 160
#: Mean landmark error / inter-ocular distance up to which a coarse fit is right, and from which it is wrong.
RIGHT, WRONG = 0.09, 0.18
ALLOWED = 0.03  #: share of wrong hypotheses that may pass a cut-off
LEAST = 12  #: hypotheses that a view needs for its own figures
NAME = "early_termination"


def _hypotheses(
    face: FaceModel, image: Array, landmarks: Array, landmarks_3d: Array, seed: int
) -> list[tuple[int, float, float]]:
    """(view, likelihood, error) of every starting orientation on one face."""
    detector = LandmarkDetector(face)
    gray = to_gray(image[None])[0].astype(np.float32)
    low, size = landmarks.min(axis=0), np.ptp(landmarks, axis=0)
    box = np.concatenate([low, size])
    rng = np.random.default_rng([43, seed])
    box += rng.normal(0, 0.05, 4) * np.tile(size, 2)  # a detector's error
    windows = (detector.parameters.init_windows[0], 0, 0, 0)
    # Inter-ocular distance of the same head from the front, because that in the picture vanishes in profile.
    across = np.linalg.norm(landmarks_3d[36] - landmarks_3d[45])
    eyes = across * np.sqrt(np.prod(size) / np.prod(np.ptp(landmarks_3d[:, :2], axis=0)))
    hypotheses, state = [], detector.initial_state()
    for rotation in MULTI_VIEW:
        state = detector.detect(
            gray, start_state(detector, box, rotation, state), windows, refine_parts=False, validate=False
        )
        error = np.linalg.norm(state.landmarks - landmarks, axis=1).mean() / eyes
        hypotheses.append((state.view, float(state.likelihood), float(error)))
    return hypotheses


def train(workspace: Workspace, face: FaceModel, validation: PhotoSet) -> None:
    """Measure hypotheses and set biases and cut-offs."""
    if workspace.has(NAME):
        return
    chosen = range(min(FACES, len(validation)))
    faces = [(np.asarray(validation.images[k]), validation.landmarks[k], validation.landmarks_3d[k]) for k in chosen]
    columns = [list(column) for column in zip(*faces, strict=True)]
    context = multiprocessing.get_context("spawn")  # a forked process may inherit locks of PyTorch's threads
    with ProcessPoolExecutor(2, context, end_with_parent) as pool:
        rows = list(pool.map(partial(_hypotheses, face), *columns, chosen, chunksize=16))
    view, likelihood, error = np.array([h for hypotheses in rows for h in hypotheses]).T
    weights, biases, cutoffs = np.ones(7), np.zeros(7), np.zeros(7)
    right, wrong = error <= RIGHT, error >= WRONG
    for v in range(7):
        mine = (view == v) | (view == MIRROR_VIEWS[v])
        good = mine & right if (mine & right).sum() >= LEAST else right
        bad = mine & wrong if (mine & wrong).sum() >= LEAST else wrong
        biases[v] = -np.median(likelihood[good])
        cutoffs[v] = np.quantile(likelihood[bad], 1 - ALLOWED) + biases[v]
    passed = likelihood + biases[view.astype(int)] > cutoffs[view.astype(int)]
    workspace.save(NAME, weights=weights, biases=biases, cutoffs=cutoffs)
    figures = {
        "hypotheses": len(view), "right": float(right.mean()), "right_that_pass": float(passed[right].mean()),
        "wrong_that_pass": float(passed[wrong].mean()),
    }  # fmt: skip
    workspace.report(NAME, **figures)
    workspace.log(
        f"early termination: {figures['right_that_pass']:.2f} of the right hypotheses pass, "
        f"{figures['wrong_that_pass']:.3f} of the wrong ones"
    )


def load_early_termination(workspace: Workspace) -> EarlyTermination:
    """The trained table."""
    return EarlyTermination(**workspace.load(NAME))
