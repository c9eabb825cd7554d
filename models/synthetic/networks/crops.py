"""Crops of faces and the points in them, from which landmark networks learn.

A crop is cut as the pipeline cuts one, from a box that is a little wrong, as a detector's is: shifted, too small or too
large, and of a head that is rolled. Half of them are mirrored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.networks.augment import expose, occlude
from auparity.models.synthetic.networks.boxes import box_of
from auparity.reference.networks.crops import SQUARE_MARGIN, SQUARE_SIDE, STAR_SIDE

Array = npt.NDArray[Any]

#: How wrong boxes are: shift in parts of the side, scale, roll in degrees.
SHIFT, SCALE, ROLL = 0.08, (0.85, 1.2), 30.0
#: Side of our STAR's crop in parts of the box's longer side: all points are in it, of turned heads too. (In 1.05 times
#: the shorter side, which published programs show to STAR, one point in eight of rendered faces is not.)
OWN_STAR_MARGIN = 1.2
UPRIGHT = np.eye(2, 3)


@dataclass(frozen=True, eq=False)
class Crop:
    """A crop and where its points are."""

    image: Array  #: (side, side, 3) uint8 BGR
    points: Array  #: (n, 2) float32 as the network says them: in parts of the crop, or from -1 to 1 (STAR)


def square_crop(image: Array, points: Array, box: Array, turn: Array = UPRIGHT) -> Crop:
    """What PFLD sees of the face in a box (4,) left, top, right, bottom px, and its points from 0 to 1.

    The box's middle is between two pixels, as that of a square of whole pixels is.

    Parameters
    ----------
    turn : (2, 3) what is done to the picture before; the box is of what it gives.
    """
    size = float((box[2:] - box[:2]).max() * SQUARE_MARGIN)
    shown, moved = _cut(image, points, (box[:2] + box[2:]) / 2 - 0.5, SQUARE_SIDE / size, SQUARE_SIDE, turn)
    # A network's point p is at left + p size, and the left column of the crop shows what is half a pixel to its right.
    return Crop(shown, ((moved + 0.5) / SQUARE_SIDE - 0.5 / size).astype(np.float32))


def star_crop(image: Array, points: Array, box: Array, turn: Array = UPRIGHT) -> Crop:
    """What our STAR sees of the face in a box (4,), and its points from -1 to 1; otherwise as `square_crop`."""
    size = float((box[2:] - box[:2]).max() * OWN_STAR_MARGIN)
    shown, moved = _cut(image, points, (box[:2] + box[2:]) / 2, STAR_SIDE / size, STAR_SIDE, turn)
    return Crop(shown, ((2 * moved + 1) / STAR_SIDE - 1).astype(np.float32))


def _cut(image: Array, points: Array, centre: Array, scale: float, side: int, turn: Array) -> tuple[Array, Array]:
    """The square around a place of a turned picture, black outside; and points px within it."""
    matrix = scale * turn
    matrix[:, 2] += side / 2 - 0.5 - scale * centre
    if scale < 0.5:  # what a smaller picture would show: bilinear sampling of this one would leave out pixels
        image = cv2.GaussianBlur(image, (0, 0), 0.35 / scale)
    shown = cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR)
    return shown, moved_by(points, matrix)


def moved_by(points: Array, matrix: Array) -> Array:
    """Points (n, 2) after an affine map (2, 3)."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2])


def turn_about(centre: Array, degrees: float) -> Array:
    """(2, 3) the turn of a picture about a place (2,) px."""
    return np.asarray(cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), degrees, 1.0))


def random_crop(
    cut: Callable[[Array, Array, Array, Array], Crop], image: Array, landmarks: Array, points: Array, mirror: Array,
    rng: np.random.Generator,
) -> Crop:  # fmt: skip
    """A crop for training.

    Parameters
    ----------
    cut : `square_crop` or `star_crop`.
    image : (H, W, 3) uint8 BGR of a face with `landmarks` (68, 2) px, which give the box once the head is rolled.
    points : (n, 2) px of the points to learn; may be the landmarks.
    mirror : (n,) which point each of them is in the mirror.
    """
    turn = turn_about(landmarks.mean(axis=0), rng.uniform(-ROLL, ROLL))
    box = box_of(moved_by(landmarks, turn)[None])[0]
    size = box[2:] - box[:2]
    shift = rng.uniform(-SHIFT, SHIFT, 2) * size.max()
    grow = np.exp(rng.uniform(*np.log(SCALE)))
    centre = (box[:2] + box[2:]) / 2 + shift
    box = np.concatenate([centre - size * grow / 2, centre + size * grow / 2])
    crop = cut(image, points, box, turn)
    picture, where = crop.image, crop.points
    if rng.random() < 0.5:
        picture = np.ascontiguousarray(picture[:, ::-1])
        width = 0 if cut is star_crop else 1  # the mirror's place, to half a pixel of the picture
        where = (where[mirror] * [-1, 1] + [width, 0]).astype(np.float32)
    picture = expose(picture, rng)
    if rng.random() < 0.3:
        occlude(picture, rng)
    return Crop(picture, where)
