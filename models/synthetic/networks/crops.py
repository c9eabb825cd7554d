"""Crops of faces and the points in them, from which landmark networks learn.

A crop is cut as the pipeline cuts one, from a box that is a little wrong, as a detector's is: shifted, too small or too
large, and of a head that is rolled. Half of them are mirrored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.networks.augment import expose, occlude
from auparity.models.synthetic.networks.boxes import box_of
from auparity.reference.networks.crops import SQUARE_MARGIN

Array = npt.NDArray[Any]

#: How wrong boxes are: shift in parts of the side, scale, roll in degrees.
SHIFT, SCALE, ROLL = 0.08, (0.85, 1.2), 30.0


@dataclass(frozen=True, eq=False)
class Crop:
    """A crop and where its points are."""

    image: Array  #: (side, side, 3) uint8 BGR
    points: Array  #: (n, 2) float32 in parts of the crop, 0 to 1 within it


def crop_at(image: Array, points: Array, box: Array, side: int, *, roll: float = 0.0) -> Crop:
    """A square crop around a box (4,) left, top, right, bottom px, rolled by an angle in degrees; black outside."""
    centre = (box[:2] + box[2:]) / 2 - 0.5  # between pixels, as the middle of a square of whole pixels is
    size = float((box[2:] - box[:2]).max() * SQUARE_MARGIN)
    scale = side / size
    matrix: Array = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), roll, scale)
    matrix[:, 2] += side / 2 - 0.5 - centre
    source = image
    if scale < 0.5:  # what a smaller picture would show: bilinear sampling of this one would leave out pixels
        source = cv2.GaussianBlur(image, (0, 0), 0.35 / scale)
    out = cv2.warpAffine(source, matrix, (side, side), flags=cv2.INTER_LINEAR)
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    # A network's point p is at left + p size, and the left column of the crop shows what is half a pixel to its right.
    return Crop(out, ((moved + 0.5) / side - 0.5 / size).astype(np.float32))


def random_crop(
    image: Array, landmarks: Array, points: Array, side: int, mirror: Array, rng: np.random.Generator
) -> Crop:
    """A crop for training.

    Parameters
    ----------
    image : (H, W, 3) uint8 BGR of a face with `landmarks` (68, 2) px, which give the box.
    points : (n, 2) px of the points to learn; may be the landmarks.
    mirror : (n,) which point each of them is in the mirror.
    """
    box = box_of(landmarks[None])[0]
    size = box[2:] - box[:2]
    shift = rng.uniform(-SHIFT, SHIFT, 2) * size.max()
    grow = np.exp(rng.uniform(*np.log(SCALE)))
    centre = (box[:2] + box[2:]) / 2 + shift
    box = np.concatenate([centre - size * grow / 2, centre + size * grow / 2])
    crop = crop_at(image, points, box, side, roll=rng.uniform(-ROLL, ROLL))
    picture, where = crop.image, crop.points
    if rng.random() < 0.5:
        picture = np.ascontiguousarray(picture[:, ::-1])
        where = (where[mirror] * [-1, 1] + [1, 0]).astype(np.float32)  # to half a pixel of the picture
    picture = expose(picture, rng)
    if rng.random() < 0.3:
        occlude(picture, rng)
    return Crop(picture, where)
