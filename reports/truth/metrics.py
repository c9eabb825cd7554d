"""Metrics of measured faces against the truth: detection, landmarks, pose, gaze, AUs, validator.

Pure functions of arrays, with the definitions of the field's benchmarks (each names its source), so that figures can be
compared with published ones. Frames are the first axis, F. A figure that has no value (the correlation with a constant,
the F1 of an AU that never occurs and is never predicted) is None, never 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError

Array = npt.NDArray[Any]

#: A detection counts when its box overlaps the true one by this intersection over union (Everingham et al., "The Pascal
#: Visual Object Classes (VOC) challenge", IJCV 2010; FDDB's discrete score).
DETECTION_IOU = 0.5
#: A fit whose mean normalised error is above this has failed (Sagonas et al., "300 Faces in-the-Wild challenge", 2016,
#: with the inter-ocular normalisation and the 10 % threshold that became usual).
LANDMARK_FAILURE = 0.10
#: Outer corners of the eyes among the 68 landmarks.
OUTER_EYE_CORNERS = (36, 45)
#: Least share of a face inside the picture. A face with less is counted separately, neither as found nor as missed,
#: because its visible part is too small for the required recall (like the "difficult" objects of the VOC challenge).
WHOLE_FACE = 0.85


# -- detection ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DetectionFigures:
    """Detection over a set of images."""

    images: int
    faces: int
    recall: float | None  #: share of the true faces that were found
    precision: float | None  #: share of the boxes that are faces
    false_per_100: float | None  #: boxes without a face, for 100 images


def iou(a: Array, b: Array) -> Array:
    """Intersection over union (N, M) of boxes (N, 4) and (M, 4) given as x, y, width, height (Jaccard index)."""
    a, b = _shaped("iou", "a", a, ("N", 4)), _shaped("iou", "b", b, ("M", 4))
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, :2] + a[:, None, 2:], b[None, :, :2] + b[None, :, 2:])
    overlap = np.prod(np.clip(high - low, 0, None), axis=-1)
    union = np.prod(a[:, 2:], axis=1)[:, None] + np.prod(b[:, 2:], axis=1)[None] - overlap
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)


def matched(boxes: Array, scores: Array, true: Array, threshold: float = DETECTION_IOU) -> Array:
    """Which boxes (N, 4) of one image are faces: (N,) bool.

    As in the VOC challenge: in the order of falling scores (N,), a box takes the true box (M, 4) that it overlaps most;
    if that overlap is below `threshold`, or the face already has a box, the box is false.
    """
    overlap, taken = iou(boxes, true), set[int]()
    hit = np.zeros(len(overlap), bool)
    if overlap.shape[1]:
        for k in np.argsort(-np.asarray(scores), kind="stable"):
            best = int(np.argmax(overlap[k]))
            hit[k] = overlap[k, best] >= threshold and best not in taken
            if hit[k]:
                taken.add(best)
    return hit


def detection_figures(hits: Sequence[Array], faces: int) -> DetectionFigures:
    """Figures of a set of images from the `matched` arrays of all of them and the total number of true faces."""
    boxes, hit_count = sum(len(hit) for hit in hits), int(sum(hit.sum() for hit in hits))
    return DetectionFigures(
        images=len(hits),
        faces=faces,
        recall=_ratio(hit_count, faces),
        precision=_ratio(hit_count, boxes),
        false_per_100=_ratio(100 * (boxes - hit_count), len(hits)),
    )


def recall_at_false_rate(
    hits: Sequence[Array], scores: Sequence[Array], faces: int, false_per_100: float = 1.0
) -> tuple[float | None, float]:
    """Recall at the lowest score at which at most `per_100` false boxes remain for 100 images, and that score.

    One point of the receiver operating characteristic that FDDB draws (Jain and Learned-Miller, 2010). If few enough
    boxes are false anyway, it is the detector's own operating point: all boxes, a score above 0.
    """
    allowed = int(np.floor(false_per_100 * len(hits) / 100 + 1e-9))
    hit = np.concatenate(hits) if len(hits) else np.zeros(0, bool)
    score = np.concatenate(scores) if len(scores) else np.zeros(0)
    false = np.sort(score[~hit])[::-1]
    limit = 0.0 if len(false) <= allowed else float(false[allowed])
    kept = int(np.count_nonzero(hit & (score > limit)))
    return _ratio(kept, faces), limit


def share_inside(box: Array, size: tuple[int, int]) -> float:
    """How much of a box (4,) x, y, width, height px lies inside an image of (width, height) px, 0 to 1."""
    low = np.clip(box[:2], 0, size)
    high = np.clip(box[:2] + box[2:], 0, size)
    return float(np.prod(high - low) / np.prod(box[2:]))


# -- landmarks ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LandmarkFigures:
    """Normalised landmark errors over frames; all but `failures` over the frames with a result."""

    frames: int
    found: int
    mean: float | None  #: share of the inter-ocular distance
    median: float | None
    p95: float | None
    failures: float | None  #: share of all frames that have no result or one above LANDMARK_FAILURE


def landmark_errors(found: Array, true: Array, visible: Array | None = None) -> Array:
    """Mean distance of the 68 landmarks in each frame (F,), divided by the distance of the true outer eye corners.

    The measure of 300-W (Sagonas et al. 2013, 2016). With `visible` (F, 68) bool, only those landmarks count (NaN in a
    frame that shows none).
    """
    found = _shaped("landmark_errors", "found", found, ("F", 68, 2))
    true = _shaped("landmark_errors", "true", true, (len(found), 68, 2))
    weights = np.ones(found.shape[:2]) if visible is None else np.asarray(visible, np.float64)
    _shaped("landmark_errors", "visible", weights, found.shape[:2])
    left, right = OUTER_EYE_CORNERS
    ocular = np.linalg.norm(true[:, left] - true[:, right], axis=-1)
    distances = np.linalg.norm(found - true, axis=-1)
    count = weights.sum(axis=1)
    mean = np.divide((distances * weights).sum(axis=1), count, out=np.full(len(count), np.nan), where=count > 0)
    return np.divide(mean, ocular, out=np.full(len(mean), np.inf), where=ocular > 0)


def landmark_figures(errors: Array, success: Array | None = None) -> LandmarkFigures:
    """Figures of errors (F,); frames without `success` (F,) bool count as failures and in nothing else."""
    errors = _shaped("landmark_figures", "errors", errors, ("F",))
    good = np.ones(len(errors), bool) if success is None else np.asarray(success, bool)
    kept = errors[good]
    failed = np.count_nonzero(~good) + np.count_nonzero(kept > LANDMARK_FAILURE)
    return LandmarkFigures(
        frames=len(errors),
        found=len(kept),
        mean=_of(np.mean, kept),
        median=_of(np.median, kept),
        p95=_of(lambda e: np.percentile(e, 95), kept),
        failures=_ratio(int(failed), len(errors)),
    )


# -- pose and gaze -----------------------------------------------------------------------------------------------------


def rotation_matrices(euler: Array) -> Array:
    """Rotations (F, 3, 3) = Rx Ry Rz of Euler angles (F, 3) rad (spec 30.1)."""
    euler = _shaped("rotation_matrices", "euler", euler, ("F", 3))
    (c1, c2, c3), (s1, s2, s3) = np.cos(euler).T, np.sin(euler).T
    rows = [
        [c2 * c3, -c2 * s3, s2],
        [c1 * s3 + c3 * s1 * s2, c1 * c3 - s1 * s2 * s3, -c2 * s1],
        [s1 * s3 - c1 * c3 * s2, c3 * s1 + c1 * s2 * s3, c1 * c2],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def rotation_errors(found: Array, true: Array) -> Array:
    """Angle (F,) in degrees of the rotation from one head orientation to the other, both Euler angles (F, 3) in rad.

    The geodesic distance on SO(3) (Huynh, "Metrics for 3D rotations", 2009, metric 6), through the chord
    |A - B| = 2 sqrt(2) sin(angle / 2), which keeps small angles that the arc cosine of the trace would lose.
    """
    difference = rotation_matrices(found) - rotation_matrices(true)
    chord = np.linalg.norm(difference, axis=(1, 2)) / (2 * np.sqrt(2))
    return np.degrees(2 * np.arcsin(np.clip(chord, 0, 1)))


def axis_errors(found: Array, true: Array) -> Array:
    """Absolute differences (F, 3) in degrees of Euler angles in rad: pitch, yaw, roll (as BIWI's benchmark counts)."""
    found, true = _shaped("axis_errors", "found", found, ("F", 3)), _shaped("axis_errors", "true", true, ("F", 3))
    return np.degrees(np.abs((found - true + np.pi) % (2 * np.pi) - np.pi))


def gaze_errors(found: Array, true: Array) -> Array:
    """Angle in degrees between gaze vectors (..., 3): the measure of MPIIGaze (Zhang et al., CVPR 2015).

    NaN where a vector is zero, as it is in frames without a face.
    """
    found, true = np.asarray(found, np.float64), np.asarray(true, np.float64)
    cross = np.linalg.norm(np.cross(found, true), axis=-1)
    dot = np.sum(found * true, axis=-1)
    both_known = (np.linalg.norm(found, axis=-1) > 0) & (np.linalg.norm(true, axis=-1) > 0)
    return np.where(both_known, np.degrees(np.arctan2(cross, dot)), np.nan)


# -- action units ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class IntensityFigures:
    """One AU's intensity against the truth (the measures of FERA 2015 and 2017, Valstar et al.)."""

    name: str
    mae: float | None
    r: float | None  #: Pearson's correlation; None when either is constant
    true_share: float | None  #: share of the frames in which the AU is truly there


@dataclass(frozen=True)
class PresenceFigures:
    """One AU's presence against the truth."""

    name: str
    f1: float | None  #: harmonic mean of precision and recall; None when it neither occurs nor is predicted
    balanced_accuracy: float | None  #: mean of the recalls of both classes; None when one does not occur
    true_share: float | None


def correlation(a: Array, b: Array) -> float | None:
    """Pearson's correlation of two series; None when either is constant or there are fewer than two values."""
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def intensity_figures(name: str, found: Array, true: Array, presence_from: float) -> IntensityFigures:
    """Figures of one AU from intensities (F,); present in truth from `presence_from` on."""
    found = _shaped("intensity_figures", "found", found, ("F",))
    true = _shaped("intensity_figures", "true", true, (len(found),))
    return IntensityFigures(
        name=name,
        mae=_of(np.mean, np.abs(found - true)),
        r=correlation(found, true),
        true_share=_of(np.mean, true >= presence_from),
    )


def presence_figures(name: str, found: Array, true: Array) -> PresenceFigures:
    """Figures of one AU from presences (F,), true or false."""
    found, true = np.asarray(found, bool), np.asarray(true, bool)
    both = int(np.count_nonzero(found & true))
    sensitivity = _ratio(both, int(np.count_nonzero(true)))
    specificity = _ratio(int(np.count_nonzero(~found & ~true)), int(np.count_nonzero(~true)))
    balanced = None if sensitivity is None or specificity is None else (sensitivity + specificity) / 2
    f1 = _ratio(2 * both, int(np.count_nonzero(found) + np.count_nonzero(true)))
    return PresenceFigures(name, f1, balanced, _of(np.mean, true))


# -- validator ---------------------------------------------------------------------------------------------------------


def auc(positives: Array, negatives: Array) -> float | None:
    """Area under the ROC curve: the chance that a positive scores higher than a negative, ties counting half.

    The rank statistic of Mann and Whitney (1947; Hanley and McNeil, 1982). None without either class.
    """
    a, b = np.asarray(positives, np.float64).ravel(), np.asarray(negatives, np.float64).ravel()
    if not (len(a) and len(b)):
        return None
    ordered = np.sort(b)
    below, up_to = np.searchsorted(ordered, a, "left"), np.searchsorted(ordered, a, "right")
    return float(np.mean(below + up_to) / (2 * len(b)))


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


def _of(statistic: Any, values: Array) -> float | None:
    return float(statistic(values)) if len(values) else None


def _shaped(function: str, argument: str, array: Array, shape: tuple[int | str, ...]) -> Array:
    """The array in float64, checked: a name in `shape` stands for any length."""
    array = np.asarray(array, np.float64)
    fits = array.ndim == len(shape) and all(
        isinstance(want, str) or have == want for have, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        raise ContractError(f"truth_metrics.{function}", argument, f"shape {shape}", f"{array.shape}")
    return array
