"""The boxes that RetinaFace learns, and from which landmark networks get their crops.

A box from forehead to chin and tight at the ears, as the published trainings draw it. Its relation to the 68 landmarks
was measured with two of them on 40 frames (spec 95.1.5).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

#: x, y of the corner and width, height, in units of the extent of the landmarks, from its corner.
OFFSET, FACTOR = np.array([0.01, -0.32]), np.array([0.99, 1.31])
#: Landmarks whose means are the five points: eyes, tip of the nose, corners of the mouth; from left to right.
FIVE_POINTS = ((36, 37, 38, 39, 40, 41), (42, 43, 44, 45, 46, 47), (30,), (48,), (54,))


def box_of(landmarks: Array) -> Array:
    """(N, 4) left, top, right, bottom px of faces with landmarks (N, 68, 2)."""
    low = landmarks.min(axis=1)
    extent = landmarks.max(axis=1) - low
    first = low + OFFSET * extent
    return np.concatenate([first, first + FACTOR * extent], axis=1)


def five_points(landmarks: Array) -> Array:
    """(N, 5, 2) px of landmarks (N, 68, 2)."""
    return np.stack([landmarks[:, rows].mean(axis=1) for rows in FIVE_POINTS], axis=1)
