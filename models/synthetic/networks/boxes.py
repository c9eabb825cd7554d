"""Boxes and five points of rendered faces: what RetinaFace learns, and from what landmark networks get their crops."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.reference.networks.crops import box_of_landmarks

Array = npt.NDArray[Any]

#: Landmarks whose means are the five points: eyes, tip of the nose, corners of the mouth; from left to right.
FIVE_POINTS = ((36, 37, 38, 39, 40, 41), (42, 43, 44, 45, 46, 47), (30,), (48,), (54,))


def box_of(landmarks: Array) -> Array:
    """(N, 4) left, top, right, bottom px of faces with landmarks (N, 68, 2), by the measured rule (spec 95.1)."""
    low = landmarks.min(axis=1)
    boxes: Array = box_of_landmarks(np.concatenate([low, landmarks.max(axis=1) - low], axis=1))
    return boxes


def five_points(landmarks: Array) -> Array:
    """(N, 5, 2) px of landmarks (N, 68, 2)."""
    return np.stack([landmarks[:, rows].mean(axis=1) for rows in FIVE_POINTS], axis=1)
