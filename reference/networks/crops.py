"""What part of an image a landmark network sees, and where its points lie in it (spec 95.2.2, 95.4.4 and 95.6.2).

All rules begin with RetinaFace's box: from the forehead to the chin, tight at the ears. It is made of the box that a
`FaceLocator` gives, which is MTCNN's (`box_of_mtcnn`, the inverse of `mtcnn_box`), or of the last landmarks
(`box_of_landmarks`), by what was measured of them. Images are (H, W, 3) uint8 BGR, boxes left, top, right, bottom px,
MTCNN's x, y, width, height px, points (n, 2) px.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.types import STAR, FaceApi, PointNetwork
from auparity.reference.contracts import check_image
from auparity.reference.resampling import scale_and_shift_u8
from auparity.reference.resize_u8 import resize_bilinear_u8

Array = npt.NDArray[Any]
U8 = npt.NDArray[np.uint8]

STAGE = "crops"

#: MTCNN's box, after OpenFace's correction, in units of RetinaFace's: left, top, width, height (spec 95.1.5; of seven
#: faces, spread 0.04, 0.03, 0.06, 0.08).
MTCNN_BOX = (0.02, 0.26, 1.03, 0.75)
#: RetinaFace's box in units of the extent of the 68 landmarks, likewise (of 40 frames, spread 0.02, 0.03, 0.02, 0.06,
#: the same for both published trainings).
BOX_OF_LANDMARKS = (0.01, -0.32, 0.99, 1.31)
#: Side of the square crop in parts of the box's longer side.
SQUARE_MARGIN = 1.1
SQUARE_SIDE = 112  #: pixels of the crop that the networks see
#: face-api's square likewise, and by how much of the box's height its middle is below the box's: what the package's own
#: detector for this network (TinyFaceDetector) gives (spec 95.6.2; of 15 faces, spread 0.09 and 0.02).
FACE_API_MARGIN, FACE_API_LOWER = 1.04, 0.13
#: Side of STAR's crop in parts of the box's shorter side, its size in px, and the length that its scales are of.
STAR_MARGIN, STAR_SIDE, STAR_UNIT = 1.05, 256, 200.0
#: A square of more than this many pixels a side is no crop of a face (and would take 200 MB).
LARGEST_SQUARE = 1 << 13


def mtcnn_box(boxes: Array) -> Array:
    """MTCNN's boxes (K, 4) for RetinaFace's boxes (K, 4)."""
    x1, y1, x2, y2 = boxes.astype(np.float64).T
    left, top, wide, high = MTCNN_BOX
    width, height = x2 - x1, y2 - y1
    return np.stack([x1 + left * width, y1 + top * height, wide * width, high * height], axis=-1).astype(boxes.dtype)


def box_of_mtcnn(boxes: Array) -> Array:
    """RetinaFace's boxes (K, 4) for MTCNN's boxes (K, 4)."""
    x, y, width, height = boxes.astype(np.float64).T
    left, top, wide, high = MTCNN_BOX
    own_width, own_height = width / wide, height / high
    x1, y1 = x - left * own_width, y - top * own_height
    return np.stack([x1, y1, x1 + own_width, y1 + own_height], axis=-1).astype(boxes.dtype)


def box_of_landmarks(extents: Array) -> Array:
    """RetinaFace's boxes (K, 4) for the extents (K, 4) x, y, width, height of 68 landmarks."""
    x, y, width, height = extents.astype(np.float64).T
    left, top, wide, high = BOX_OF_LANDMARKS
    x1, y1 = x + left * width, y + top * height
    return np.stack([x1, y1, x1 + wide * width, y1 + high * height], axis=-1).astype(extents.dtype)


@dataclass(frozen=True)
class Square:
    """Whole pixels of an image; they may lie outside."""

    left: int
    top: int
    size: int

    def cut(self, image: U8, side: int = SQUARE_SIDE) -> U8:
        """(side, side, 3); what lies outside the image is black."""
        check_image(STAGE, image)
        height, width = image.shape[:2]
        whole = np.zeros((self.size, self.size, 3), np.uint8)
        x1, y1 = max(self.left, 0), max(self.top, 0)
        x2, y2 = min(self.left + self.size, width), min(self.top + self.size, height)
        if x1 < x2 and y1 < y2:
            whole[y1 - self.top : y2 - self.top, x1 - self.left : x2 - self.left] = image[y1:y2, x1:x2]
        return resize_bilinear_u8(whole, (side, side))

    def to_image(self, points: Array, image: U8, *, compatible: bool = False) -> Array:
        """Points (n, 2) in parts of the square as px of the image.

        Parameters
        ----------
        compatible : scale by the part of the square that lies in the image, as pyfaceau and cunjian's programs do: of
            a face that reaches over the border their points are wrong by the part outside.
        """
        left, top, right, bottom = self.left, self.top, self.left + self.size, self.top + self.size
        if compatible:
            height, width = image.shape[:2]
            left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
        scale = np.array([right - left, bottom - top], points.dtype)
        return points * scale + np.array([left, top], points.dtype)


def square_of(box: Array, margin: float = SQUARE_MARGIN, lower: float = 0.0) -> Square | None:
    """The square that PFLD, MobileFaceNet and face-api see of a face in RetinaFace's box (4,).

    `margin` times the longer side, around the middle or `lower` of the box's height below it, in whole pixels. None for
    a box without area, or with more than any face has: that is what becomes of points that are none.
    """
    width, height = box[2] - box[0], box[3] - box[1]
    fits = width > 0 and height > 0 and max(width, height) * margin <= LARGEST_SQUARE
    size = int(max(width, height) * margin) if fits else 0
    if size < 1:
        return None
    centre_x, centre_y = int(box[0] + width / 2), int(box[1] + height / 2 + height * lower)
    return Square(centre_x - size // 2, centre_y - size // 2, size)


@dataclass(frozen=True)
class StarCrop:
    """STAR's crop: the box's middle comes to (127.5, 127.5) of 256 x 256 pixels."""

    scale: np.float32  #: px of the crop for one of the image
    shift_x: np.float32
    shift_y: np.float32

    @property
    def matrix(self) -> Array:
        """(3, 3) float32, from the image to the crop."""
        return np.array([[self.scale, 0, self.shift_x], [0, self.scale, self.shift_y], [0, 0, 1]], np.float32)

    @property
    def inverse(self) -> Array:
        """(2, 2) float64, from the crop to the image: factor and shift of x, factor and shift of y."""
        scale = np.float64(self.scale)
        return np.array([[1 / scale, -np.float64(shift) / scale] for shift in (self.shift_x, self.shift_y)])

    def cut(self, image: U8) -> U8:
        """(256, 256, 3); what lies outside the image is black."""
        return scale_and_shift_u8(check_image(STAGE, image), self.inverse, (STAR_SIDE, STAR_SIDE))

    def to_image(self, points: Array) -> Array:
        """Points (n, 2) from -1 to 1, as STAR gives them, as px of the image."""
        in_crop = ((points + points.dtype.type(1)) * STAR_SIDE - 1) / 2
        shift = np.array([self.shift_x, self.shift_y], points.dtype)
        return np.asarray((in_crop - shift) / points.dtype.type(self.scale))


def star_crop_of(box: Array, margin: float | None = None) -> StarCrop | None:
    """STAR's crop of a face in RetinaFace's box (4,), whose corners are cut to whole pixels; None without area.

    `margin` times the longer side. Without a margin it is 1.05 times the shorter side, as published programs have it,
    which leaves out the top of the forehead. In the image's middle, scales and shifts mix two conventions of pixel
    centres, as those programs do.
    """
    if not np.isfinite(box).all():
        return None
    x1, y1, x2, y2 = (math.trunc(float(corner)) for corner in box)
    if x2 <= x1 or y2 <= y1 or max(x2 - x1, y2 - y1) > LARGEST_SQUARE:
        return None
    if margin is None:
        factor = STAR_SIDE / (STAR_UNIT * (min(x2 - x1, y2 - y1) / STAR_UNIT * STAR_MARGIN))
    else:
        factor = STAR_SIDE / (max(x2 - x1, y2 - y1) * margin)
    middle = (STAR_SIDE - 1) / 2
    shifts = (middle - factor * (x1 + x2) / 2, middle - factor * (y1 + y2) / 2)
    return StarCrop(np.float32(factor), np.float32(shifts[0]), np.float32(shifts[1]))


#: Which part of an image a network sees of a face in RetinaFace's box (4,); None where there is none.
CropOf = Callable[[Array], Square | StarCrop | None]


def crop_rule_of(network: PointNetwork) -> CropOf:
    """The rule by which a network's crops are cut."""
    match network:
        case STAR():
            return partial(star_crop_of, margin=network.margin)
        case FaceApi():
            return partial(square_of, margin=FACE_API_MARGIN, lower=FACE_API_LOWER)
        case _:
            return square_of
