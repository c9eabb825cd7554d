"""Figures from the arrays of `truth.runs`: for each set of pictures, for each AU, and the verdicts on the targets.

Arrays with a first axis over frames, boxes or fits in; plain dictionaries for JSON out, None for what has no value.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.types import AU_NAMES, PRESENCE_FROM
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS
from auparity.reference.validation import VALIDATION_BOUNDARY
from auparity.reports.truth import metrics
from auparity.reports.truth.targets import AU_CORRELATION, judge, targets

Array = npt.NDArray[Any]
Arrays = dict[str, Array]
Figures = dict[str, Any]

#: False boxes for 100 images at which the recall is judged.
FALSE_RATE = 1.0
#: Widths of the landmarks' box (px) of the groups for which recall is stated.
WIDTHS = (0.0, 80.0, 160.0, 1e9)
#: A fit is good up to this error, and a miss above `metrics.LANDMARK_FAILURE`; errors between are neither.
GOOD_FIT = 0.05


def concatenated(parts: Sequence[Arrays]) -> Arrays:
    """The arrays of several tasks one after the other; image numbers are continued."""
    joined: Arrays = {}
    for name in parts[0]:
        if name == "seconds":
            joined[name] = np.array([part[name] for part in parts])
        elif name == "image":
            starts = np.cumsum([0, *(len(part["true"]) for part in parts[:-1])])
            joined[name] = np.concatenate([part[name] + start for part, start in zip(parts, starts, strict=True)])
        else:
            joined[name] = np.concatenate([part[name] for part in parts])
    return joined


def detection_summary(photographs: Arrays, backgrounds: Arrays) -> Figures:
    """Detection over images (one face each) and pictures without a face.

    Faces cut by the picture's edge are told apart: boxes on them are neither found faces nor false ones.
    """
    hits, scores = _hits(photographs), _per_image(photographs, "scores")
    cut = photographs["inside"] < metrics.WHOLE_FACE
    found_cut = int(sum(hits[k].any() for k in np.flatnonzero(cut)))
    for k in np.flatnonzero(cut):
        hits[k], scores[k] = hits[k][~hits[k]], scores[k][~hits[k]]
    nothing = [np.zeros(len(boxes), bool) for boxes in _per_image(backgrounds, "boxes")]
    all_hits, all_scores = hits + nothing, scores + _per_image(backgrounds, "scores")
    faces = int((~cut).sum())
    recall, score = metrics.recall_at_false_rate(all_hits, all_scores, faces, FALSE_RATE)
    any_hit, widths = np.array([hit.any() for hit in hits]), photographs["true"][:, 2]
    by_width = []
    for low, high in itertools.pairwise(WIDTHS):
        inside = (widths >= low) & (widths < high) & ~cut
        by_width.append({
            "from": low, "to": None if high == WIDTHS[-1] else high, "faces": int(inside.sum()),
            "recall": float(any_hit[inside].mean()) if inside.any() else None,
        })  # fmt: skip
    return {
        "all": asdict(metrics.detection_figures(all_hits, faces)),
        "photographs": asdict(metrics.detection_figures(hits, faces)),
        "backgrounds": asdict(metrics.detection_figures(nothing, 0)),
        "at_false_rate": {"false_per_100": FALSE_RATE, "recall": recall, "score_above": score},
        "by_width": by_width,
        "cut": {"faces": int(cut.sum()), "found": found_cut},
    }


def face_summary(arrays: Arrays) -> Figures:
    """Landmarks, pose, gaze and AUs of a set of F pictures with one face each; all but failures where it was found."""
    good = arrays["success"]
    landmarks, true = arrays["landmarks"], arrays["true_landmarks"]
    pose, true_pose = arrays["pose"][good], arrays["true_pose"][good]
    gaze = metrics.gaze_errors(arrays["gaze"][good], arrays["true_gaze"][good])
    visible = metrics.landmark_errors(landmarks[good], true[good], arrays["true_visible"][good])
    distance = np.linalg.norm(pose[:, :3] - true_pose[:, :3], axis=1)
    return {
        "landmarks": asdict(metrics.landmark_figures(metrics.landmark_errors(landmarks, true), good)),
        "visible_landmarks_mean": _mean(visible),
        "rotation": _mean(metrics.rotation_errors(pose[:, 3:], true_pose[:, 3:])),
        "axes": [_mean(axis) for axis in metrics.axis_errors(pose[:, 3:], true_pose[:, 3:]).T],
        "translation": _mean(distance),
        "translation_share": _mean(distance / np.linalg.norm(true_pose[:, :3], axis=1)),
        "gaze": _mean(gaze),
        "confidence": _mean(arrays["confidence"][good]),
        "intensities": [asdict(figures) for figures in intensities(arrays)],
        "presences": [asdict(figures) for figures in presences(arrays)],
    }


def intensities(arrays: Arrays) -> list[metrics.IntensityFigures]:
    """The 17 AUs with an intensity, over the frames with a face."""
    good = arrays["success"]
    return [
        metrics.intensity_figures(
            name, arrays["au_intensity"][good, k], arrays["true_aus"][good, AU_NAMES.index(name)], PRESENCE_FROM
        )
        for k, name in enumerate(INTENSITY_AUS)
    ]


def presences(arrays: Arrays) -> list[metrics.PresenceFigures]:
    """The 18 AUs with a presence."""
    good = arrays["success"]
    return [
        metrics.presence_figures(
            name, arrays["au_presence"][good, k] >= 0.5, arrays["true_aus"][good, AU_NAMES.index(name)] >= PRESENCE_FROM
        )
        for k, name in enumerate(PRESENCE_AUS)
    ]


def validator_summary(fits: Arrays) -> Figures:
    """How well the validator's confidence separates fits from misses."""
    confidence, error = fits["confidence"], fits["error"]
    good, missed = error <= GOOD_FIT, error > metrics.LANDMARK_FAILURE
    accepted = confidence > float(VALIDATION_BOUNDARY)
    return {
        "fits": int(good.sum()),
        "misses": int(missed.sum()),
        "between": int((~good & ~missed).sum()),
        "auc": metrics.auc(confidence[good], confidence[missed]),
        "auc_without_gap": metrics.auc(confidence[~missed], confidence[missed]),
        "fits_accepted": _mean(accepted[good]),
        "misses_accepted": _mean(accepted[missed]),
    }


def summarise(clips: dict[int, Arrays], detection: Sequence[Arrays], photographs: Arrays, fits: Arrays) -> Figures:
    """Everything about one bundle: `clips` by seed; `detection` in images with and without a face."""
    together = concatenated(list(clips.values()))
    on_clips = face_summary(together)
    detection_figures = detection_summary(*detection)
    validator = validator_summary(fits)
    follow = targets()[AU_CORRELATION]
    verdicts = judge({
        "detection_recall": detection_figures["at_false_rate"]["recall"],
        "landmark_error": on_clips["landmarks"]["mean"],
        "landmark_failures": on_clips["landmarks"]["failures"],
        "pose_error": on_clips["rotation"],
        "aus_correlated": float(sum(follow.reached(entry["r"]) for entry in on_clips["intensities"])),
        "validator_auc": validator["auc"],
    })  # fmt: skip
    return {
        "verdicts": [verdict.as_dict() for verdict in verdicts],
        "detection": detection_figures,
        "clips": on_clips | {
            "seconds_a_frame": float(np.median(together["seconds"])),
            "each": [{"seed": seed} | _one_clip(arrays) for seed, arrays in clips.items()],
        },
        "photographs": face_summary(photographs),
        "validator": validator,
    }  # fmt: skip


def _one_clip(arrays: Arrays) -> Figures:
    """The figures of single clips, which show a clip that went wrong."""
    good = arrays["success"]
    errors = metrics.landmark_errors(arrays["landmarks"], arrays["true_landmarks"])
    figures = metrics.landmark_figures(errors, good)
    rotation = metrics.rotation_errors(arrays["pose"][good, 3:], arrays["true_pose"][good, 3:])
    return {"frames": figures.frames, "landmark_mean": figures.mean, "failures": figures.failures,
            "rotation": _mean(rotation)}  # fmt: skip


def _per_image(arrays: Arrays, name: str) -> list[Array]:
    return [arrays[name][arrays["image"] == index] for index in range(len(arrays["true"]))]


def _hits(photographs: Arrays) -> list[Array]:
    groups = zip(_per_image(photographs, "boxes"), _per_image(photographs, "scores"), photographs["true"], strict=True)
    return [metrics.matched(boxes, scores, true[None]) for boxes, scores, true in groups]


def _mean(values: Array) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else None
