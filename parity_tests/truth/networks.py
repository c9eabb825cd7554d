"""``auparity dev truth-networks``: networks beside MTCNN and constrained local models, on faces whose truth is known.

Rendered faces that no training has seen, small and large, turned and rolled, and pictures without a face: how many are
found at one false box for 100 pictures. Then landmarks from the box of the true ones, by every model: the mean error in
percent of the distance of the outer eye corners. Prints the two tables of docs/networks.md. What is finished is kept
under ``--work``, so that the same command resumes an interrupted run.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.pipeline import Pipeline
from auparity.errors import AuparityError
from auparity.models.networks.chosen import NO_START, choose_bundle
from auparity.models.synthetic.networks.boxes import box_of
from auparity.models.synthetic.render import render_background, render_photograph
from auparity.models.synthetic.training.workspace import Workspace
from auparity.parity_tests.truth.run import Task, code_version, run
from auparity.parity_tests.truth.runs import Arrays, heads_of, truth_of
from auparity.parity_tests.truth.summary import FALSE_RATE
from auparity.reference.images import Images
from auparity.reference.networks.crops import mtcnn_box
from auparity.reference.options import PipelineOptions
from auparity.reference.pipeline import StagedPipeline
from auparity.reports.truth import metrics

Array = npt.NDArray[Any]

#: Seeds of this run alone.
FACE_SEEDS, EMPTY_SEEDS, POINT_SEEDS = 9_000_000, 9_100_000, 9_200_000
FACES = 1000  #: pictures with a face; half as many without, and two in five of so many for landmarks
IN_A_TASK = 50
CANVAS = (640, 480)
#: Longer side of a face's box from forehead to chin (px); degrees of yaw and roll.
SIZES, YAW, ROLL = (20.0, 400.0), 60.0, 45.0
#: A frontal face is so much narrower, from ear to ear, than its box is high.
WIDTH = 0.72
#: Bounds of the groups of the tables: px and degrees.
SIZE_GROUPS, ANGLE_GROUPS, ROLL_GROUPS = (0, 40, 80, 160, 480), (0, 20, 40, 61), (0, 15, 30, 46)
FITS = "fits from "
PER_PICTURE = ("true", "pose", "size")
SCORES_FROM = 0.05  #: RetinaFace's scores that take part, so that the threshold can be chosen


@lru_cache(maxsize=8)
def _locator(source: str, detector: str) -> Any:
    locator = _staged(source, detector=detector).locator
    if hasattr(locator, "selection"):
        locator.selection = dataclasses.replace(locator.selection, shown=SCORES_FROM)
    return locator


def find_faces(
    source: str, first_seed: int, count: int, faces: str | None = None, *, detectors: Sequence[str], empty: bool
) -> Arrays:
    """Boxes, scores and pictures of every detector (names joined to those of the arrays), true boxes and poses."""
    arrays: dict[str, list[Array]] = {}
    for k in range(count):
        if empty:
            picture = render_background(first_seed + k, CANVAS, heads_of(faces))
            size, true, pose = np.nan, np.full(4, np.nan), np.full(3, np.nan)
        else:
            widths = (WIDTH * SIZES[0], WIDTH * SIZES[1])
            picture = render_photograph(
                first_seed + k, canvas=CANVAS, face_width=widths, yaw=YAW, roll=ROLL, heads=heads_of(faces)
            )
            truth = truth_of(picture)
            own = box_of(truth.landmarks[None])
            size, true, pose = (own[0, 2:] - own[0, :2]).max(), mtcnn_box(own)[0], np.degrees(truth.pose[3:])
        arrays.setdefault("true", []).append(true)
        arrays.setdefault("pose", []).append(pose)
        arrays.setdefault("size", []).append(np.array(size))
        for name in detectors:
            (found,) = _locator(source, name).locate([picture.image])
            arrays.setdefault(f"{name} boxes", []).append(found.boxes)
            arrays.setdefault(f"{name} scores", []).append(found.scores)
            arrays.setdefault(f"{name} image", []).append(np.full(len(found), k))
    return {name: np.stack(parts) if name in PER_PICTURE else np.concatenate(parts) for name, parts in arrays.items()}


def find_points(
    source: str, first_seed: int, count: int, faces: str | None = None, *, landmarks: Sequence[str]
) -> Arrays:
    """Errors (N, models) of 68 landmarks, and of STAR's own 98 points, from true boxes; poses."""
    errors, own, poses = [], [], []
    for k in range(count):
        picture = render_photograph(first_seed + k, canvas=(320, 320), yaw=YAW, heads=heads_of(faces))
        truth = truth_of(picture)
        box = mtcnn_box(box_of(truth.landmarks[None])).astype(np.float32)
        states = {name: _landmarker(source, name).start(Images([picture.image]), [0], box)[0] for name in landmarks}
        errors.append([
            float(metrics.landmark_errors(state.landmarks[None], truth.landmarks[None])[0]) for state in states.values()
        ])  # fmt: skip
        points = next((state.points for state in states.values() if state.points is not None), None)
        own.append(np.nan if points is None else _error_98(points, truth.points_98))
        poses.append(np.degrees(truth.pose[3:]))
    return {"errors": np.array(errors), "own": np.array(own), "pose": np.stack(poses)}


@lru_cache(maxsize=8)
def _landmarker(source: str, landmarks: str) -> Any:
    return _staged(source, **_options(landmarks)).landmarker


def _options(landmarks: str) -> dict[str, str]:
    """The options that a name of this command means."""
    if landmarks.startswith(FITS):
        return {"start": landmarks.removeprefix(FITS)}
    return {"landmarks": landmarks, "start": NO_START}


def _staged(source: str, **networks: str) -> StagedPipeline:
    staged = Pipeline.best(choose_bundle(source, **networks), PipelineOptions(device="cpu")).staged
    assert staged is not None  # on the processor there is one
    return staged


def _error_98(found: Array, true: Array) -> float:
    off = np.linalg.norm(found - true, axis=1).mean()
    return float(off / np.linalg.norm(true[60] - true[72]))


def found_table(faces: Sequence[Arrays], empty: Sequence[Arrays], detectors: Sequence[str]) -> str:
    """How many whole faces each detector finds at the threshold that lets one false box through for 100 pictures."""
    all_faces, all_empty = (_joined(parts, detectors) for parts in (faces, empty))
    inside = np.array([metrics.share_inside(box, CANVAS) for box in all_faces["true"]])
    whole, yaw = inside >= metrics.WHOLE_FACE, np.abs(all_faces["pose"][:, 1])
    roll = np.abs(all_faces["pose"][:, 2])
    groups = [(f"{low} to {high} px", all_faces["size"], low, high) for low, high in pairwise(SIZE_GROUPS)]
    for name, angles, bounds in (("yaw", yaw, ANGLE_GROUPS), ("roll", roll, ROLL_GROUPS)):
        groups += [(f"{name} {low} to {high}°", angles, low, high) for low, high in pairwise(bounds)]
    columns, rows = [], [whole, *(whole & (values >= low) & (values < high) for _, values, low, high in groups)]
    for name in detectors:
        hits, scores = _hits(all_faces, name), _per_picture(all_faces, name, "scores")
        for k in np.flatnonzero(~whole):  # boxes on faces that the picture's edge cuts count as neither
            hits[k], scores[k] = hits[k][:0], scores[k][:0]
        nothing = _per_picture(all_empty, name, "scores")
        recall, limit = metrics.recall_at_false_rate(
            [*hits, *(np.zeros(len(each), bool) for each in nothing)], [*scores, *nothing], int(whole.sum()), FALSE_RATE
        )
        seen = np.array([bool((hit & (score > limit)).any()) for hit, score in zip(hits, scores, strict=True)])
        assert recall is not None
        columns.append([f"{limit:.3f}", *(f"{seen[row].mean():.1%} of {row.sum()}" for row in rows if row.any())])
    names = ["score above", "all", *(group[0] for group, row in zip(groups, rows[1:], strict=True) if row.any())]
    return _table("faces found", detectors, names, columns)


def points_table(parts: Sequence[Arrays], landmarks: Sequence[str]) -> str:
    """Mean and median errors of each model, for all faces and by yaw."""
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    yaw = np.abs(arrays["pose"][:, 1])
    rows = [np.ones(len(yaw), bool), *((yaw >= low) & (yaw < high) for low, high in pairwise(ANGLE_GROUPS))]
    titles = ["mean error", *(f"yaw {low} to {high}°" for low, high in pairwise(ANGLE_GROUPS))]
    columns = []
    for values in arrays["errors"].T:
        means = [f"{100 * values[row].mean():.2f} %" for row in rows if row.any()]
        failed = f"{(values > metrics.LANDMARK_FAILURE).mean():.1%}"
        columns.append([*means, f"{100 * np.median(values):.2f} %", failed])
    names = [*(title for title, row in zip(titles, rows, strict=True) if row.any()), "median", "above 10 %"]
    table = _table(f"68 landmarks of {len(yaw)} faces", landmarks, names, columns)
    if np.isfinite(arrays["own"]).any():
        table += f"\n\nSTAR's own 98 points: {100 * np.nanmean(arrays['own']):.2f} % on average."
    return table


def _joined(parts: Sequence[Arrays], detectors: Sequence[str]) -> Arrays:
    """All tasks as one; numbers of pictures are continued."""
    counts = np.cumsum([0, *(len(part["true"]) for part in parts)])
    shifted = [
        part | {f"{name} image": part[f"{name} image"] + start for name in detectors}
        for part, start in zip(parts, counts, strict=False)
    ]
    return {name: np.concatenate([part[name] for part in shifted]) for name in parts[0]}


def _per_picture(arrays: Arrays, name: str, what: str) -> list[Array]:
    return [arrays[f"{name} {what}"][arrays[f"{name} image"] == k] for k in range(len(arrays["true"]))]


def _hits(arrays: Arrays, name: str) -> list[Array]:
    boxes, scores = (_per_picture(arrays, name, what) for what in ("boxes", "scores"))
    return [
        metrics.matched(box, score, true[None]) for box, score, true in zip(boxes, scores, arrays["true"], strict=True)
    ]  # fmt: skip


def _table(title: str, models: Sequence[str], names: Sequence[str], columns: Sequence[Sequence[str]]) -> str:
    head = [f"| {title} | {' | '.join(models)} |", "|---" * (len(models) + 1) + "|"]
    return "\n".join(head + [f"| {' | '.join(row)} |" for row in zip(names, *columns, strict=True)])


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see the module's first paragraph."""
    parser = argparse.ArgumentParser(prog="auparity dev truth-networks", description=__doc__)
    parser.add_argument("--models", default="embedded", metavar="SOURCE", help="default: %(default)s")
    parser.add_argument(
        "--detector", action="append", metavar="WHICH", help="beside mtcnn; again (default: retinaface)"
    )  # fmt: skip
    parser.add_argument(
        "--landmarks", action="append", metavar="WHICH",
        help='beside auto, the local models; "fits from pfld" begins their fits (default: pfld, star, fits from pfld)',
    )  # fmt: skip
    parser.add_argument("--faces", type=int, default=FACES, metavar="N", help="pictures with a face (%(default)s)")
    parser.add_argument("--morphable", type=Path, metavar="MODEL", help="people of this model (docs/embedded.md)")
    parser.add_argument(
        "--work", type=Path, default=Path("results/truth-networks"), metavar="FOLDER",
        help="where results are kept, so that the same command resumes (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes (default: %(default)s)")
    chosen = parser.parse_args(argv)
    try:
        print(_measured(chosen))
    except AuparityError as error:
        print(f"truth-networks: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("truth-networks: interrupted; the same command resumes.", file=sys.stderr)
        return 130
    return 0


def _measured(chosen: argparse.Namespace) -> str:
    detectors = ["mtcnn", *(chosen.detector or ["retinaface"])]
    landmarks = ["auto", *(chosen.landmarks or ["pfld", "star", "fits from pfld"])]
    hashes = [choose_bundle(chosen.models, detector=name).content_hash for name in detectors]
    hashes += [choose_bundle(chosen.models, **_options(name)).content_hash for name in landmarks]
    digest = hashlib.sha256(repr((hashes, detectors, landmarks)).encode()).hexdigest()[:12]
    workspace = Workspace(chosen.work / f"{digest}-{code_version(chosen.morphable)}", chosen.morphable)
    tasks = [
        *_tasks("faces", partial(find_faces, detectors=detectors, empty=False), FACE_SEEDS, chosen.faces),
        *_tasks("empty", partial(find_faces, detectors=detectors, empty=True), EMPTY_SEEDS, chosen.faces // 2),
        *_tasks("points", partial(find_points, landmarks=landmarks), POINT_SEEDS, chosen.faces * 2 // 5),
    ]
    people = None if chosen.morphable is None else str(chosen.morphable)
    arrays = run(chosen.models, tasks, workspace, chosen.jobs, people)
    found = found_table(arrays["faces"], arrays["empty"], detectors)
    return f"{found}\n\n{points_table(arrays['points'], landmarks)}"


def _tasks(kind: str, function: Callable[..., Arrays], first: int, total: int) -> list[Task]:
    return [
        Task(f"{kind}_{first + start}_{min(IN_A_TASK, total - start)}", kind, function, first + start,
             min(IN_A_TASK, total - start))
        for start in range(0, total, IN_A_TASK)
    ]  # fmt: skip
