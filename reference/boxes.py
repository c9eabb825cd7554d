"""Geometry of the face detector's boxes (spec 20.5 to 20.9): non-maximum suppression, regression, squaring, crops and
OpenFace's final correction. Boxes are (K, 4) x, y, width, height px, float32 or float64; where the program rounds to
whole pixels, ties go to the even one, and where it truncates, it truncates toward zero (spec 90.8).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
I64 = npt.NDArray[np.int64]

#: Final correction of the box, in parts of its size (spec 20.9).
CORRECTION_X, CORRECTION_Y, CORRECTION_WIDTH, CORRECTION_HEIGHT = -0.0075, 0.2459, 1.0323, 0.7751


def regress(boxes: Array, regression: Array, add_one: bool = False) -> Array:
    """Boxes (K, 4), rounded to whole pixels and moved by the network's regression (K, 4) (spec 20.6)."""
    x, y, width, height = np.rint(boxes).T
    if add_one:
        width, height = width + 1, height + 1
    cx, cy, cw, ch = regression.T
    x1, y1 = x + cx * width, y + cy * height
    x2, y2 = x + width + width * cw, y + height + height * ch
    return np.stack([x1, y1, x2 - x1, y2 - y1], axis=-1)


def square(boxes: Array) -> Array:
    """The squares around the centres of boxes (K, 4), truncated toward zero to whole pixels (spec 20.7)."""
    x, y, width, height = boxes.T
    side = np.maximum(width, height)

    def start(corner: Array, length: Array) -> Array:
        # the half in float64, the sum rounded back before it is truncated
        moved = (corner + 0.5 * (length - side).astype(np.float64)).astype(boxes.dtype)
        return np.asarray(np.trunc(moved))

    return np.stack([start(x, width), start(y, height), np.trunc(side), np.trunc(side)], axis=-1)


def correct_boxes(boxes: Array) -> Array:
    """OpenFace's final correction of boxes (K, 4): tight around the 68 landmarks (spec 20.9)."""
    x, y, width, height = boxes.astype(np.float64).T
    corrected = (
        x + CORRECTION_X * width,
        y + CORRECTION_Y * height,
        CORRECTION_WIDTH * width,
        CORRECTION_HEIGHT * height,
    )
    return np.stack(corrected, axis=-1).astype(boxes.dtype)


def suppress(boxes: Array, scores: Array, threshold: float, minimum: bool = False) -> I64:
    """Non-maximum suppression: of boxes that overlap, the one with the highest score (spec 20.5).

    Parameters
    ----------
    boxes : (K, 4) px, rounded to whole pixels here. scores : (K,).
    threshold : a box that overlaps a better one by more than this goes.
    minimum : overlap = intersection / smaller area, instead of intersection / union.

    Returns
    -------
    Indices of the boxes that stay, best first; among equal scores the largest index first.
    """
    left, top, width, height = np.rint(boxes).astype(np.int64).T
    right, bottom, area = left + width, top + height, width * height
    order = np.argsort(scores, kind="stable")[::-1]
    kept = []
    while order.size:
        best, order = order[0], order[1:]
        kept.append(best)
        common_width = np.minimum(right[best], right[order]) - np.maximum(left[best], left[order])
        common_height = np.minimum(bottom[best], bottom[order]) - np.maximum(top[best], top[order])
        common = np.maximum(common_width, 0) * np.maximum(common_height, 0)
        whole = np.minimum(area[best], area[order]) if minimum else area[best] + area[order] - common
        # An overlap with an empty box is 0 / 0: not above the threshold, as in C++.
        with np.errstate(divide="ignore", invalid="ignore"):
            overlap = common.astype(np.float32) / whole.astype(np.float32)
        order = order[~(overlap > np.float32(threshold))]
    return np.array(kept, np.int64)


def crop(image: Array, box: Array) -> Array | None:
    """The part of an image that R-Net and O-Net look at (spec 20.8).

    Parameters
    ----------
    image : (H, W, 3). box : (4,) whole numbers x, y, w, h px.

    Returns
    -------
    (h + 1, w + 1, 3), zero outside the image. It starts one pixel left of and above the box, as in the C++ program.
    None when no pixel of it lies in the image.
    """
    x, y, width, height = (int(v) for v in box)
    if width < 0 or height < 0:
        return None
    x0, x1 = max(x - 1, 0), min(x + width, image.shape[1])
    y0, y1 = max(y - 1, 0), min(y + height, image.shape[0])
    if x1 <= x0 or y1 <= y0:
        return None
    result = np.zeros((height + 1, width + 1, image.shape[2]), image.dtype)
    column, row = max(1 - x, 0), max(1 - y, 0)
    result[row : row + y1 - y0, column : column + x1 - x0] = image[y0:y1, x0:x1]
    return result
