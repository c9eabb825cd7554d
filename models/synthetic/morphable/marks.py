"""Landmarks as fixed places of the model's surface: OpenFace's 68, the lids of its eye models, WFLW's 98.

The model's own 68 landmarks follow another convention than OpenFace's. `SHIFTS` moves them on the mean head, by amounts
that `auparity dev fit-landmarks` and OpenFace's own landmarks in rendered clips suggest (docs/embedded.md), and each is
then the nearest place of a triangle.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.morphable.anatomy import Anatomy
from auparity.models.synthetic.morphable.model_file import MorphableModel
from auparity.models.synthetic.morphable.strands import LASHES
from auparity.models.synthetic.morphable.surface import Attachment, attach

Array = npt.NDArray[Any]

#: mm by which a landmark of the model is moved on the mean head; those on the right of the picture mirror them.
SHIFTS: dict[int, tuple[float, float, float]] = {
    0: (-3.0, 6.5, 0.0), 1: (-3.0, 6.0, 0.0), 2: (-4.0, 6.5, 0.0), 3: (-3.5, 7.0, 1.0), 4: (-3.5, 3.5, 6.0),
    5: (-5.0, 0.0, 10.0), 6: (-3.0, 3.0, 12.0), 7: (-2.0, 6.5, 12.0), 8: (0.0, 4.5, 8.0),
    17: (-3.0, 3.5, 0.0), 18: (-1.5, 2.0, 0.0), 19: (0.5, 2.0, 0.0), 20: (0.5, 3.0, 0.0), 21: (-0.5, 4.5, 0.0),
    31: (-2.0, -2.5, -5.0), 32: (-2.5, -1.5, -3.0), 33: (0.0, 0.5, -3.0), 36: (1.0, 0.0, 0.0),
    37: (2.0, -0.5, 0.0), 41: (1.5, -0.5, 0.0), 48: (-0.5, -0.5, 1.0), 51: (0.0, 1.0, 0.0), 58: (2.0, 0.5, -2.0),
    59: (1.5, 0.0, 0.0), 61: (3.0, -0.5, -3.0), 67: (3.0, 0.5, -3.0),
}  # fmt: skip
BROW_BELOW = 3.5  #: mm by which the middle of a brow's hair is below its landmarks
#: Half width of a brow (mm) from its inner to its outer end, between WFLW's two edges.
BROW_HALF = np.array([3.2, 4.0, 3.8, 2.8, 0.0])
#: Lid points (of twelve, from the left corner clockwise) that are WFLW's eight of an eye.
WFLW_LIDS = (0, 2, 3, 4, 6, 8, 9, 10)
MIRROR = np.array(
    [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31, 45, 44, 43, 42, 47, 46, 39, 38, 37, 36]
    + [41, 40, *range(54, 47, -1), 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
)


def smooth_line(points: Array, count: int, closed: bool = False) -> Array:
    """(m, 3) `count` places for each piece of a Catmull-Rom curve through points (n, 3); its end too if it is open."""
    if closed:
        padded = np.concatenate([points[-1:], points, points[:2]])
    else:
        padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    t = np.arange(count)[:, None] / count
    out = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        out.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    if not closed:
        out.append(points[-1:])
    return np.concatenate(out)


class Marks:
    """Where landmarks are on a model."""

    def __init__(self, model: MorphableModel, anatomy: Anatomy) -> None:
        rest, triangles = anatomy.rest, model.triangles[model.part == 0]
        own = rest[model.landmarks]
        wanted = own.copy()
        for k, shift in SHIFTS.items():
            wanted[k] += shift
            if MIRROR[k] != k:
                wanted[MIRROR[k]] += np.array(shift) * [-1, 1, 1]
        every = model.triangles[model.part <= 1]
        self.points_68 = _exact(attach(rest, every, wanted, front_only=False), model.landmarks, set(SHIFTS))
        places = self.points_68.points(rest)
        self.rest_68 = places
        loops = [smooth_line(places[36:42], 2, closed=True), smooth_line(places[42:48], 2, closed=True)]
        self.lids = tuple(attach(rest, triangles, loop) for loop in loops)
        # OpenFace's points lie on the upper half of a brow's hair.
        self.ridges = np.stack([places[[21, 20, 19, 18, 17]], places[22:27]]) + [0, BROW_BELOW, 0]
        margins = []
        for start in (36, 42):
            upper, lower = (
                smooth_line(places[start : start + 4], 30),
                smooth_line(places[[start, start + 5, start + 4, start + 3]], 30),
            )
            chosen = np.linspace(6, 84, LASHES).astype(int)
            margins += [attach(rest, triangles, line[chosen]) for line in (upper, lower)]
        self.margins = tuple(margins)
        self.margin_places = np.stack([m.points(rest) for m in margins])
        contour = smooth_line(places[:17], 2)
        self._between = attach(rest, every, contour[1::2], front_only=False)
        edges = []
        for ridge in self.ridges:
            upper, lower = ridge - BROW_HALF[:, None] * [0, 1, 0], ridge + BROW_HALF[:, None] * [0, 1, 0]
            edges.append((ridge, upper, lower))
        (ridge, upper, lower), (right_ridge, right_upper, right_lower) = edges
        left = np.concatenate([ridge[4:], upper[3::-1], lower[:4]])
        right = np.concatenate([right_upper[:4], right_ridge[4:], right_lower[3::-1]])
        self._brows = attach(rest, triangles, np.concatenate([left, right]))

    def lip_gap(self, vertices: Array) -> float:
        """mm between the inner edges of the lips (the mean of three pairs of landmarks) of a head's vertices (V, 3)."""
        places = self.points_68.points(vertices)
        return float((places[[67, 66, 65], 1] - places[[61, 62, 63], 1]).mean())

    def eye_gap(self, vertices: Array) -> float:
        """mm between the lids (negative: they overlap), the mean over both eyes, of vertices (V, 3) of a head."""
        lids = np.stack([attached.points(vertices) for attached in self.lids])
        return float((lids[:, 11:6:-1, 1] - lids[:, 1:6, 1]).mean())

    def points_98(self, vertices: Array, landmarks: Array, lids: Array, pupils: Array) -> Array:
        """(98, 3) of vertices (V, 3), the 68 landmarks, lids (2, 12, 3) and the pupils' centres (2, 3)."""
        out = np.empty((98, 3))
        out[0:33:2], out[1:33:2] = landmarks[:17], self._between.points(vertices)
        out[33:51] = self._brows.points(vertices)
        out[51:60], out[76:96] = landmarks[27:36], landmarks[48:68]
        out[60:76] = lids[:, WFLW_LIDS].reshape(16, 3)
        out[96:98] = pupils
        return out


def _exact(found: Attachment, vertices: Array, moved: set[int]) -> Attachment:
    """Landmarks that are not moved are the model's own vertices."""
    moved = moved | {int(MIRROR[k]) for k in moved}
    for k, vertex in enumerate(vertices):
        if k not in moved:
            found.vertices[k], found.weights[k] = vertex, [1, 0, 0]
    return found
