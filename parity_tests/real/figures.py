"""Figures of a bundle on real footage, from its arrays (`measure.py`) and those that were recorded (`recorded.py`).

What OpenFace recorded stands for the truth here, which it is not: it errs, too. Angles are in degrees, landmark errors
in parts of the distance of the recorded outer eye corners. `spread` is the standard deviation of what was recorded,
without which neither a correlation nor a mean absolute error says much: what does not move has no correlation, and
saying nothing of it has a small error. A figure that has no value is None; where a correlation has none because ours is
constant while the recorded values move, it counts as 0 in means.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.parity_tests.real.recorded import RecordedClip, RecordedFaces
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS
from auparity.reports.truth import metrics

Array = npt.NDArray[Any]
Figures = dict[str, Any]

#: An AU moves in a clip where its recorded intensity has at least this standard deviation.
MOVES = 0.25
#: AUs of which the goals ask by name.
NAMED_AUS = ("AU12", "AU25", "AU26", "AU45", "AU04")
ANGLES = ("pitch", "yaw", "roll")
GAZE = ("sideways", "up and down")
#: The 68 landmarks by region: the first and the one past the last.
REGIONS = {"jaw": (0, 17), "brows": (17, 27), "nose": (27, 36), "eyes": (36, 48), "mouth": (48, 68)}


def clip_figures(recorded: RecordedClip, ours: dict[str, Array]) -> Figures:
    """A clip of one face.

    Errors, correlations and F1 are of the frames that both track. What moves, and how much, is a matter of all frames
    that OpenFace tracks, so that every bundle is asked for the same.
    """
    tracked, both = recorded.tracked, recorded.tracked & ours["success"]
    landmarks, truth = ours["landmarks"][both], recorded.landmarks[both]
    errors = metrics.landmark_errors(landmarks, truth)
    turns = _series(ANGLES, ours["rotation"], recorded.rotation, tracked, both)
    gaze = _series(GAZE, ours["gaze_angles"], recorded.gaze_angles, tracked, both)
    aus = _aus(recorded, ours, both)
    moving = [name for name, entry in aus.items() if (entry["spread"] or 0) >= MOVES]
    f1s = [entry["f1"] for entry in aus.values() if entry["present"] not in (None, 0, 1)]
    return {
        "frames": len(tracked),
        "recorded": int(tracked.sum()),
        "tracked": _share(both.sum(), tracked.sum()),
        "untracked_frames": int((~tracked).sum()),
        "tracked_there": int((ours["success"] & ~tracked).sum()),
        "footage": _footage(recorded),
        "landmarks": asdict(metrics.landmark_figures(errors)) | _where(landmarks, truth),
        "pose": turns,
        "pose_r": _least(turns),
        "gaze": gaze,
        "gaze_r": _least(gaze),
        "aus": aus,
        "moving": moving,
        "mean_r": _mean([aus[name]["r"] or 0.0 for name in moving]),
        "mean_mae": _mean([entry["mae"] for entry in aus.values() if entry["mae"] is not None]),
        "mean_f1": _mean([f1 or 0.0 for f1 in f1s]),
        "f1_aus": len(f1s),
        "named": {name: aus[name]["r"] for name in NAMED_AUS if name in moving},
    }


def faces_figures(recorded: RecordedFaces, ours: dict[str, Array], true_boxes: dict[str, Array] | None) -> Figures:
    """Pictures with any number of faces: who is found, and how they are measured.

    A recorded face is found by an accepted face of ours, or by a box, as of `metrics.matched`. `true_boxes` are those
    of OpenFace's own detector in the pictures that were searched (`measure_boxes`); None where its models are not at
    hand, and then boxes have no figures.
    """
    here, there = _boxes(ours["landmarks"]), _boxes(recorded.landmarks)
    errors, differences, hits = [], [], 0
    for k in range(len(recorded.frames)):
        mine, theirs = np.flatnonzero(ours["picture"] == k), np.flatnonzero(recorded.picture == k)
        hit = metrics.matched(here[mine], np.zeros(len(mine)), there[theirs])
        hits += int(hit.sum())
        for own in mine[hit]:
            best = theirs[int(np.argmax(metrics.iou(here[own][None], there[theirs])[0]))]
            errors.append(float(metrics.landmark_errors(ours["landmarks"][[own]], recorded.landmarks[[best]])[0]))
            differences.append(np.abs(ours["au_intensity"][own] - recorded.au_intensity[best]).mean())
    return {
        "kind": recorded.kind,
        "pictures": len(recorded.frames),
        "faces": len(recorded.picture),
        "found": hits,
        "beside": len(ours["picture"]) - hits,
        "landmarks": asdict(metrics.landmark_figures(np.array(errors, np.float64))),
        "au_mae": _mean(differences),
        "boxes": None if true_boxes is None else _boxes_found(ours, true_boxes),
    }


def _footage(recorded: RecordedClip) -> Figures:
    """What the recording says of the frames that it tracks: px between the outer eye corners, ranges of the angles."""
    left, right = metrics.OUTER_EYE_CORNERS
    marks, turns = recorded.landmarks[recorded.tracked], np.degrees(recorded.rotation[recorded.tracked])
    eyes = np.linalg.norm(marks[:, left] - marks[:, right], axis=-1)
    if not len(marks):
        return {"eyes_px": None, **dict.fromkeys(ANGLES)}
    ranges = {name: [float(v.min()), float(v.max())] for name, v in zip(ANGLES, turns.T, strict=True)}
    return {"eyes_px": float(np.median(eyes)), **ranges}


def _where(found: Array, true: Array) -> Figures:
    """Where landmarks (F, 68, 2) differ: mean distance by region, and what is left of the mean distance when each
    landmark's mean displacement is taken off.

    Displacements are measured in the recorded face: in the direction of its outer eye corners and in parts of their
    distance. What the mean takes off is how two models of a face place a landmark; what is left changes from frame to
    frame.
    """
    if not len(found):
        return {"regions": dict.fromkeys(REGIONS), "varying": None}
    left, right = metrics.OUTER_EYE_CORNERS
    axis = _complex(true[:, right] - true[:, left])
    displacement = _complex(found - true) / axis[:, None]
    varying = np.abs(displacement - displacement.mean(axis=0)).mean()
    regions = {name: float(np.abs(displacement[:, slice(*part)]).mean()) for name, part in REGIONS.items()}
    return {"regions": regions, "varying": float(varying)}


def _complex(vectors: Array) -> Array:
    """Vectors (..., 2) as complex numbers, so that a division turns and scales."""
    return np.asarray(vectors[..., 0] + 1j * vectors[..., 1])


def _boxes_found(ours: dict[str, Array], true: dict[str, Array]) -> Figures:
    found = 0
    for k in np.unique(ours["box_picture"]):
        mine, theirs = ours["box_picture"] == k, true["box_picture"] == k
        found += int(metrics.matched(ours["boxes"][mine], ours["scores"][mine], true["boxes"][theirs]).sum())
    return {"faces": len(true["boxes"]), "found": found, "false": len(ours["boxes"]) - found}


def _boxes(landmarks: Array) -> Array:
    """Boxes (N, 4) around landmarks (N, 68, 2)."""
    low, high = landmarks.min(axis=1), landmarks.max(axis=1)
    return np.concatenate([low, high - low], axis=1)


def _series(names: tuple[str, ...], ours: Array, recorded: Array, tracked: Array, both: Array) -> Figures:
    """r, mean absolute error and spread of angles (F, n) in rad, by name, in degrees."""
    errors = np.degrees(np.abs((ours - recorded + np.pi) % (2 * np.pi) - np.pi))
    return {
        name: {
            "r": metrics.correlation(ours[both, k], recorded[both, k]),
            "mae": _mean(errors[both, k]),
            "spread": _spread(np.degrees(recorded[tracked, k])),
        }
        for k, name in enumerate(names)
    }


def _aus(recorded: RecordedClip, ours: dict[str, Array], both: Array) -> dict[str, Figures]:
    """Figures of every AU by name; those of the intensity are None for one that only has a presence."""
    aus: dict[str, Figures] = {}
    for k, name in enumerate(PRESENCE_AUS):
        there = recorded.au_presence[:, k] > 0
        f1 = metrics.presence_figures(name, ours["au_presence"][both, k] > 0, there[both]).f1
        share = _share(there[recorded.tracked].sum(), recorded.tracked.sum())
        aus[name] = {"r": None, "mae": None, "spread": None, "f1": f1, "present": share}
    for k, name in enumerate(INTENSITY_AUS):
        mine, theirs = ours["au_intensity"][both, k], recorded.au_intensity[both, k]
        aus[name]["r"] = metrics.correlation(mine, theirs)
        aus[name]["mae"] = _mean(np.abs(mine - theirs))
        aus[name]["spread"] = _spread(recorded.au_intensity[recorded.tracked, k])
    return aus


def _least(series: Figures) -> float | None:
    """The lowest correlation; None where one has no value."""
    values = [entry["r"] for entry in series.values()]
    return None if None in values else float(min(values))


def _share(part: Any, whole: Any) -> float | None:
    return float(part / whole) if whole else None


def _spread(values: Array) -> float | None:
    return float(values.std()) if len(values) else None


def _mean(values: Any) -> float | None:
    return float(np.mean(values)) if len(values) else None
