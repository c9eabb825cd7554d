"""The last step of the detector's training: biases for the pipeline's fixed thresholds (0.6, 0.7, 0.7; spec 20), and
the detections of the reference in pictures (H, W, 3) uint8 BGR of one face and of none.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.detector import samples
from auparity.models.synthetic.detector.networks import SIDES, THRESHOLDS, judge, propose, refine
from auparity.models.synthetic.training.samples import PhotoSet
from auparity.models.types import MTCNN
from auparity.reference.detection import detect_faces

Array = npt.NDArray[Any]

_, RNET_THRESHOLD, ONET_THRESHOLD = THRESHOLDS
PASSING_RNET = 0.998  #: share of the faces that reach it
MISSED_FACES, FALSE_BOXES = 0.005, 0.0025  #: share of faces; boxes a picture: a quarter of what is allowed
#: Range of O-Net's probabilities that may become the threshold; below 0.5 it says that there is no face.
LOWEST, HIGHEST = 0.5, 0.9
NEAR_FRONTAL, SMALLEST_FACE = 45.0, 60.0  #: degrees of yaw, px: limits of the faces for which recall is promised
FOUND, PART, NEGATIVE = (
    0.5,
    0.4,
    0.3,
)  #: overlaps with the face: found from, close from, false up to


def calibrate(nets: list[Any], photos: PhotoSet, empty: Array, rows: range) -> dict[str, float]:
    """Shift the face logits of R-Net and O-Net so that the fixed thresholds suit unseen pictures.

    R-Net's threshold is lowered until 99.8 % of the faces that reach it pass. O-Net's is in the middle, in logits,
    between the probability that all but a few faces exceed and the one that all but a few other boxes stay below; if
    these cross, recall of faces has priority. Faces that an earlier network lost do not lower it, and it stays between
    0.5 and 0.9, because the few false boxes in rendered pictures say little about those in other pictures.

    Returns
    -------
    The probabilities that became the thresholds 0.7.
    """
    pnet, rnet, onet = nets
    wanted = _promised(photos)
    images = [np.asarray(photos.images[k]) for k in rows]
    faces = samples.detector_boxes(np.asarray(photos.landmarks[list(rows)], np.float64))
    counted = [bool(wanted[k]) for k in rows]
    squares = [propose(pnet, image) for image in images]
    scores = [
        _best(judge(rnet, image, proposed, SIDES["rnet"])[0], proposed, face, PART)
        for image, proposed, face, counts in zip(images, squares, faces, counted, strict=True)
        if counts
    ]
    reached = [score for score in scores if score is not None]
    passing = min(float(np.quantile(reached, 1 - PASSING_RNET)), RNET_THRESHOLD) if reached else RNET_THRESHOLD
    _shift(rnet, passing, RNET_THRESHOLD)
    true, false = [], []
    for image, proposed, face, counts in zip(images, squares, faces, counted, strict=True):
        chance, boxes = judge(onet, image, refine(rnet, image, proposed), SIDES["onet"])
        score = _best(chance, boxes, face, FOUND)
        if counts and score is not None:
            true.append(score)
        false += chance[samples.overlap(boxes, face) < NEGATIVE].tolist()
    for image in empty:
        false += judge(onet, image, refine(rnet, image, propose(pnet, image)), SIDES["onet"])[0].tolist()
    limit = operating_point(true, false, len(images) + len(empty))
    _shift(onet, limit, ONET_THRESHOLD)
    return {"rnet_threshold": passing, "onet_threshold": limit}


def operating_point(true: list[float], false: list[float], pictures: int) -> float:
    """O-Net's probability that becomes the threshold; see `calibrate`."""
    highest = float(np.quantile(true, MISSED_FACES)) if true else HIGHEST
    strict = sorted(false, reverse=True)
    allowed = round(FALSE_BOXES * pictures)
    lowest = min(strict[allowed], highest) if len(strict) > allowed else 0.0
    middle = 1 / (1 + math.exp(-(_logit(lowest) + _logit(highest)) / 2))
    return min(max(middle, LOWEST), HIGHEST)


def _promised(photos: PhotoSet) -> Array:
    """(N,) bool: faces for which recall is promised."""
    turned = np.degrees(np.abs(np.asarray(photos.pose[:, 4])))
    return np.asarray((turned <= NEAR_FRONTAL) & (np.ptp(photos.landmarks, axis=1).max(axis=1) >= SMALLEST_FACE))


def _best(chance: Array, boxes: Array, face: Array, share: float) -> float | None:
    """The best probability of a box that overlaps the face by `share`; None if there is no such box."""
    near = samples.overlap(boxes, face) >= share
    return float(chance[near].max()) if near.any() else None


def _logit(chance: float) -> float:
    chance = min(max(chance, 1e-6), 1 - 1e-6)
    return math.log(chance / (1 - chance))


def _shift(net: Any, chance: float, threshold: float) -> None:
    """Shift the logit so that the probability `chance` becomes the threshold."""
    import torch

    with torch.no_grad():
        net[-1].bias[1] += _logit(threshold) - _logit(chance)


def measure(mtcnn: MTCNN, photos: PhotoSet, empty: Array, rows: range) -> dict[str, float]:
    """Detections of the reference in pictures of one face and of none; a second box on a face counts as false."""
    wanted, overlaps, false = _promised(photos), [], 0
    for k in rows:
        landmarks = np.asarray(photos.landmarks[k], np.float64)
        box = np.concatenate([landmarks.min(axis=0), np.ptp(landmarks, axis=0)])
        share = samples.overlap(detect_faces(np.asarray(photos.images[k]), mtcnn).boxes.astype(np.float64), box)
        overlaps.append(float(share.max(initial=0.0)))
        false += len(share) - int(overlaps[-1] >= FOUND)
    false += sum(len(detect_faces(image, mtcnn)) for image in empty)
    best, promised = np.array(overlaps), wanted[list(rows)]
    turned = np.degrees(np.abs(np.asarray(photos.pose[list(rows), 4]))) > NEAR_FRONTAL
    large = np.ptp(photos.landmarks, axis=1).max(axis=1)[list(rows)] >= SMALLEST_FACE
    return {
        "pictures": len(best) + len(empty),
        "faces": int(promised.sum()),
        "recall": _mean(best[promised] >= FOUND),
        "recall_turned": _mean(best[turned & large] >= FOUND),
        "iou": _mean(best[promised & (best >= FOUND)]),
        "false_boxes_per_100": 100 * false / max(len(best) + len(empty), 1),
    }


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else math.nan
