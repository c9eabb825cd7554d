"""Pictures with any number of faces, from which RetinaFace learns: rendered faces scaled, rolled and pasted.

A picture is a background, one rendered photograph, a mosaic of four, or a photograph as it was rendered. What is shown
of a photograph in the second and third is rolled and scaled so that the height of the face's box is as likely to be
within one octave as within the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.networks.augment import expose
from auparity.models.synthetic.networks.boxes import box_of, five_points
from auparity.models.synthetic.training.shape import MIRROR_68

Array = npt.NDArray[Any]

#: Heights of the boxes of faces (px), of whole pictures and of quarters of a mosaic.
WHOLE, QUARTER = (40.0, 420.0), (18.0, 130.0)
ROLL = 50.0  #: degrees, of half of the faces; the others are as they were rendered
#: A face is labelled where so much of its box is within the picture; one of which less is there counts as neither.
SHOWN = 0.6
#: What becomes of a seed: shares of backgrounds, of mosaics, and of photographs as they were rendered.
BACKGROUND, MOSAIC, FRAMED = 0.15, 0.2, 0.45
#: What a background shows of its picture, along each side: things in it are of all sizes.
PART = (0.3, 1.0)


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture and its faces."""

    image: Array  #: (side, side, 3) uint8 BGR
    boxes: Array  #: (K, 4) float32 left, top, right, bottom px
    points: Array  #: (K, 5, 2) float32 px
    counted: Array  #: (K,) bool: False for a face of which too little is shown to be called one


class ScenePainter:
    """Paints scenes from sets of pictures.

    Parameters
    ----------
    images, landmarks : (N, h, w, 3) uint8 BGR with one face each, and its (N, 68, 2) px.
    backgrounds : (M, h, w, 3) uint8 without faces.
    side : of the scenes, px; even.
    framed : images (K, side, side, 3) uint8 BGR and landmarks (K, 68, 2) px of photographs that are scenes as they are.
    """

    def __init__(
        self, images: Array, landmarks: Array, backgrounds: Array, side: int, framed: tuple[Array, Array]
    ) -> None:
        self._images, self._landmarks, self._backgrounds, self._side = images, landmarks, backgrounds, side
        self._framed = framed

    def paint(self, rng: np.random.Generator) -> Scene:
        """A random scene."""
        kind = rng.random()
        if kind < BACKGROUND:
            image = self._background(rng, self._side)
            nothing = np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.bool_)
            return Scene(expose(image, rng), *nothing)
        if kind >= 1 - FRAMED:
            image, landmarks = self._as_rendered(rng)
            shown, faces = [image], [landmarks]
        elif kind >= BACKGROUND + MOSAIC:
            image, landmarks = self._face(rng, self._side, WHOLE)
            shown, faces = [image], [landmarks]
        else:
            half = self._side // 2
            parts = [self._face(rng, half, QUARTER) for _ in range(4)]
            corners = [(0, 0), (half, 0), (0, half), (half, half)]
            shown = [part for part, _ in parts]
            faces = [found + corner for (_, found), corner in zip(parts, corners, strict=True)]
            image = np.vstack([np.hstack(shown[:2]), np.hstack(shown[2:])])
        limits = [(0, 0, self._side, self._side)] if len(shown) == 1 else [
            (x, y, x + self._side // 2, y + self._side // 2) for x, y in corners
        ]  # fmt: skip
        landmarks = np.stack(faces)
        boxes = box_of(landmarks)
        share = np.array([_share(box, limit) for box, limit in zip(boxes, limits, strict=True)])
        there = share > 0.05
        return Scene(
            expose(image, rng), boxes[there].astype(np.float32), five_points(landmarks[there]).astype(np.float32),
            share[there] >= SHOWN,
        )  # fmt: skip

    def _background(self, rng: np.random.Generator, side: int) -> Array:
        image = np.asarray(self._backgrounds[int(rng.integers(len(self._backgrounds)))])
        whole = min(image.shape[:2])
        part = int(whole * rng.uniform(*PART))
        top, left = (int(rng.integers(length - part + 1)) for length in image.shape[:2])
        turned = np.rot90(image[top : top + part, left : left + part], int(rng.integers(4)))
        how = cv2.INTER_AREA if part > side else cv2.INTER_LINEAR
        shown: Array = cv2.resize(np.ascontiguousarray(turned), (side, side), interpolation=how)
        return shown

    def _as_rendered(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """A photograph that is a scene, or its mirror image, and its landmarks."""
        images, landmarks = self._framed
        k = int(rng.integers(len(images)))
        return _mirrored_or_not(np.asarray(images[k]), np.asarray(landmarks[k], np.float64), rng)

    def _face(self, rng: np.random.Generator, side: int, heights: tuple[float, float]) -> tuple[Array, Array]:
        """A photograph (side, side, 3), rolled and scaled over a background, and its landmarks."""
        k = int(rng.integers(len(self._images)))
        image, landmarks = np.asarray(self._images[k]), np.asarray(self._landmarks[k], np.float64)
        image, landmarks = _mirrored_or_not(image, landmarks, rng)
        box = box_of(landmarks[None])[0]
        height = float(np.exp(rng.uniform(*np.log(heights))))
        scale = min(height / (box[3] - box[1]), 2.5)
        roll = rng.uniform(-ROLL, ROLL) if rng.random() < 0.5 else 0.0
        while scale <= 0.5:  # halves by area, as a smaller picture would show it
            image = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
            landmarks, box, scale = (landmarks - 0.5) / 2, (box - 0.5) / 2, scale * 2
        centre = (box[:2] + box[2:]) / 2
        matrix = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), roll, scale)
        room = max(side - scale * float(box[3] - box[1]), 0.0) / 2 + 0.12 * side
        matrix[:, 2] += side / 2 + rng.uniform(-room, room, 2) - centre
        drawn = cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR)
        there = cv2.warpAffine(np.ones(image.shape[:2], np.float32), matrix, (side, side), flags=cv2.INTER_LINEAR)
        behind = self._background(rng, side)
        mixed = drawn.astype(np.float32) + (1 - there[..., None]) * behind
        return np.clip(mixed, 0, 255).astype(np.uint8), landmarks @ matrix[:, :2].T + matrix[:, 2]


def _mirrored_or_not(image: Array, landmarks: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    if rng.random() < 0.5:
        return image, landmarks
    return np.ascontiguousarray(image[:, ::-1]), landmarks[MIRROR_68] * [-1, 1] + [image.shape[1] - 1, 0]


def _share(box: Array, limit: tuple[int, int, int, int]) -> float:
    """How much of a box (4,) lies within corners left, top, right, bottom."""
    low, high = np.maximum(box[:2], limit[:2]), np.minimum(box[2:], limit[2:])
    return float(np.maximum(high - low, 0).prod() / max((box[2:] - box[:2]).prod(), 1e-9))
