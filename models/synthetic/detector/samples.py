"""Crops for the face detector: boxes, overlaps, and pixels cut as the detector cuts them (spec 20.8).

A face's box is the one that OpenFace's last correction (spec 20.9) turns into the box tight around the 68 landmarks, so
the detector's output needs no further fitting.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

#: x, y, w, h: offset by share of the size, then factor of the size (spec 20.9).
CORRECTION_OFFSET = np.array([-0.0075, 0.2459])
CORRECTION_FACTOR = np.array([1.0323, 0.7751])


def detector_boxes(landmarks: Array) -> Array:
    """(N, 4) x, y, w, h that the networks must find for (N, 68, 2) landmarks: the inverse of spec 20.9."""
    low, size = landmarks.min(axis=1), np.ptp(landmarks, axis=1)
    before = size / CORRECTION_FACTOR
    return np.concatenate([low - CORRECTION_OFFSET * before, before], axis=1)


def overlap(boxes: Array, box: Array) -> Array:
    """(K,) intersection over union of boxes (K, 4) with one box (4,); x, y, w, h."""
    low = np.maximum(boxes[:, :2], box[:2])
    high = np.minimum(boxes[:, :2] + boxes[:, 2:], box[:2] + box[2:])
    common = np.clip(high - low, 0, None).prod(axis=1)
    return common / np.maximum(boxes[:, 2:].prod(axis=1) + box[2:].prod() - common, 1e-9)


def squared(boxes: Array) -> Array:
    """(K, 4) squares around boxes, whole pixels (spec 20.7)."""
    side = boxes[:, 2:].max(axis=1, keepdims=True)
    corner = np.trunc(boxes[:, :2] + 0.5 * (boxes[:, 2:] - side))
    return np.concatenate([corner, np.trunc(np.repeat(side, 2, axis=1))], axis=1)


def cut(image: Array, boxes: Array, side: int) -> Array:
    """(K, side, side, 3) uint8 crops of whole-pixel squares, one pixel to the left of and above them (spec 20.8)."""
    out = np.zeros((len(boxes), side, side, 3), np.uint8)
    height, width = image.shape[:2]
    for k, (x, y, w, h) in enumerate(boxes.astype(int)):
        x0, x1, y0, y1 = max(x - 1, 0), min(x + w, width), max(y - 1, 0), min(y + h, height)
        if x1 <= x0 or y1 <= y0:
            continue
        crop = np.zeros((h + 1, w + 1, 3), np.uint8)
        dx, dy = max(1 - x, 0), max(1 - y, 0)
        crop[dy : dy + y1 - y0, dx : dx + x1 - x0] = image[y0:y1, x0:x1]
        out[k] = cv2.resize(crop, (side, side), interpolation=cv2.INTER_LINEAR)
    return out


def regression(boxes: Array, face: Array) -> Array:
    """(K, 4) the regression that the networks must give for squares to reach the face's box (spec 20.6)."""
    size = boxes[:, 2:]
    return np.concatenate(
        [(face[:2] - boxes[:, :2]) / size, (face[:2] + face[2:] - boxes[:, :2] - size) / size], axis=1
    )


def around(rng: np.random.Generator, face: Array, count: int, spread: float) -> Array:
    """(count, 4) squares around a face; `spread` 1 makes about half of them overlap by 0.65 or more."""
    side = face[2:].max() * np.exp(rng.normal(0, 0.16 * spread, count))
    centre = face[:2] + face[2:] / 2 + rng.normal(0, 0.11 * spread, (count, 2)) * face[2:].max()
    return np.trunc(np.concatenate([centre - side[:, None] / 2, side[:, None], side[:, None]], axis=1))


def anywhere(rng: np.random.Generator, shape: tuple[int, ...], count: int, smallest: float = 24.0) -> Array:
    """(count, 4) squares anywhere in a picture."""
    height, width = shape[:2]
    side = np.exp(rng.uniform(np.log(smallest), np.log(0.95 * min(height, width)), count))
    corner = rng.uniform(-0.1, 1.0, (count, 2)) * (np.array([width, height]) - 0.9 * side[:, None])
    return np.trunc(np.concatenate([corner, side[:, None], side[:, None]], axis=1))
