"""The 98 landmarks of WFLW (Wu et al., CVPR 2018) on the rendered head, as points of its surface.

Sixty-eight of them are, or lie beside, landmarks of the 68-point scheme. The others are halfway between two jaw
landmarks, in the middle of a lid, on the two edges of a brow, and in the pupils. A point that is no vertex is a
weighted mean of the corners of its triangle, so it moves with the skin. The 68-point scheme puts a brow's landmarks in
its middle; WFLW has its outer end and both of its edges, which are as far apart as the brow is painted wide.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.skin import brow_half_width
from auparity.models.synthetic.surface import (
    JAW_THETA,
    JAW_V,
    MOUTH_LINE,
    RADIUS,
    RIGHT_BROW,
    HeadSurface,
    head_surface,
    opened,
    plane_of,
)

Array = npt.NDArray[Any]

N_POINTS = 98
CONTOUR, BROW_LEFT, BROW_RIGHT = slice(0, 33), slice(33, 42), slice(42, 51)
NOSE, EYES, MOUTH, PUPILS = slice(51, 60), slice(60, 76), slice(76, 96), slice(96, 98)
#: Point k of a face seen in a mirror is point MIRROR_98[k] of the face.
MIRROR_98 = np.array(
    [*range(32, -1, -1), *range(46, 41, -1), *range(50, 46, -1), *range(37, 32, -1), *range(41, 37, -1)]
    + [*range(51, 55), *range(59, 54, -1), *range(72, 67, -1), 75, 74, 73, *range(64, 59, -1), 67, 66, 65]
    + [*range(82, 75, -1), *range(87, 82, -1), *range(92, 87, -1), 95, 94, 93, 97, 96]
)
#: Lid landmarks (of twelve, from the left corner clockwise) that are WFLW's eight of an eye, from the left corner too.
_LIDS = (0, 2, 3, 4, 6, 8, 9, 10)


@dataclass(frozen=True, eq=False)
class Attachment:
    """Points as weighted means of vertices."""

    vertices: Array  #: (n, 3) int
    weights: Array  #: (n, 3)

    def points(self, face: Array) -> Array:
        """(n, 3) of a face's vertices (V, 3)."""
        return np.asarray((face[self.vertices] * self.weights[..., None]).sum(axis=1))


def points_98(face: Array, pupils: Array, brow_width: float) -> Array:
    """(98, 3) points in the coordinates of the vertices.

    Parameters
    ----------
    face : (V, 3) vertices of the head as it is posed. pupils : (2, 3) their centres, left and right of the picture.
    brow_width : mm, as painted.
    """
    surface = head_surface()
    points = np.empty((N_POINTS, 3))
    landmarks = face[surface.landmarks]
    points[CONTOUR][::2] = landmarks[:17]
    points[CONTOUR][1::2] = _between_jaw_landmarks().points(face)
    points[BROW_LEFT], points[BROW_RIGHT] = np.split(_brow_edges(brow_width).points(face), 2)
    points[NOSE], points[MOUTH] = landmarks[27:36], landmarks[48:68]
    points[EYES] = face[surface.lids[:, _LIDS]].reshape(16, 3)
    points[PUPILS] = pupils
    return points


@lru_cache(maxsize=1)
def _between_jaw_landmarks() -> Attachment:
    theta = np.concatenate([JAW_THETA, -JAW_THETA[-2::-1]])
    v = np.concatenate([JAW_V, JAW_V[-2::-1]])
    jaw = np.stack([np.radians(theta) * RADIUS, v], axis=1)
    return attach(head_surface(), (jaw[:-1] + jaw[1:]) / 2)


@lru_cache(maxsize=64)
def _brow_edges(width: float) -> Attachment:
    """Both brows (18 points): from the left end along the upper edge to the right, and back along the lower one."""
    ridge = np.array(RIGHT_BROW)
    half = brow_half_width(np.linspace(0, 1, len(ridge)), width)
    upper, lower = ridge - [0, 1] * half[:, None], ridge + [0, 1] * half[:, None]
    # WFLW counts the brow on the right of the picture from its inner end: four points above, the outer end, four below.
    right = np.concatenate([upper[:4], ridge[4:], lower[3::-1]])
    # The other one begins at its outer end, which is on the left.
    mirrored = ridge * [-1, 1], upper * [-1, 1], lower * [-1, 1]
    left = np.concatenate([mirrored[0][4:], mirrored[1][3::-1], mirrored[2][:4]])
    return attach(head_surface(), plane_of(np.concatenate([left, right])))


def attach(surface: HeadSurface, plane: Array) -> Attachment:
    """Where points (n, 2) of the closed plane lie on the surface; those in an opening, on the nearest triangle."""
    points = opened(plane, plane[:, 1] > MOUTH_LINE)
    a, b, c = (surface.plane[surface.triangles[:, k]] for k in range(3))
    u, w = b - a, c - a
    area = u[:, 0] * w[:, 1] - u[:, 1] * w[:, 0]
    chosen, weights = np.empty(len(points), np.int64), np.empty((len(points), 3))
    for k, point in enumerate(points):
        d = point - a
        second = (d[:, 0] * w[:, 1] - d[:, 1] * w[:, 0]) / area
        third = (u[:, 0] * d[:, 1] - u[:, 1] * d[:, 0]) / area
        shares = np.stack([1 - second - third, second, third], axis=1)
        chosen[k] = np.argmax(shares.min(axis=1))  # positive within a triangle
        weights[k] = shares[chosen[k]]
    return Attachment(surface.triangles[chosen], weights)
