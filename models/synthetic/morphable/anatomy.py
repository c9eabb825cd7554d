"""Where things are on the model's mean head at rest: regions of the skin, hairline, beard, folds, the two eyes.

Regions are smooth weights of the vertices, made from distances to landmarks, so they fit any model with 68 landmarks.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.morphable.model_file import MorphableModel, Part
from auparity.models.synthetic.morphable.surface import openness
from auparity.models.synthetic.surface import step

Array = npt.NDArray[Any]

#: Hairline of the mean head: angle round the head from the front (degrees), and mm below the highest point.
HAIRLINE = np.array(
    [
        [0, 43],
        [25, 42],
        [45, 50],
        [58, 66],
        [66, 92],
        [76, 122],
        [88, 128],
        [100, 112],
        [118, 128],
        [140, 175],
        [180, 192],
    ]
)
LID_REACH = 11.0  #: mm beyond the eyeball's radius at which skin still slides on it


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Places on the mean head at rest; arrays over the model's vertices."""

    rest: Array  #: (V, 3) mm
    regions: dict[str, Array]  #: (V,) 0 to 1
    open: Array  #: (V,) share of the sky that a vertex sees
    fold: Array  #: (V,) mm from the line between nose and cheek, where the nasolabial fold is; far away 99
    inside: Array  #: (V,) bool: not skin
    mouth: Array  #: (V,) bool
    sockets: Array
    gums: Array
    teeth: Array
    lip_front: float  #: z of the lips
    round: Array  #: (V,) rad round the head, 0 in front
    skull: tuple[Array, Array]  #: centre and half axes of an ellipsoid about the skull
    lids: tuple[Array, Array]  #: vertices that slide on each eyeball
    eyes: Array  #: (2, 3) centres of the eyeballs
    eye_radius: float

    @classmethod
    def of(cls, model: MorphableModel) -> Anatomy:
        """Work everything out for a model."""
        rest, marks = model.neutral.astype(np.float64), model.neutral[model.landmarks].astype(np.float64)
        member = {part: np.zeros(len(rest), np.bool_) for part in Part}
        for part in Part:
            member[part][np.unique(model.triangles[model.part == part])] = True
        skin = member[Part.FACE] | member[Part.HEAD]
        eyes, radius = zip(*(ball(surface[0]) for surface in model.eyeballs), strict=True)
        eye_radius = float(np.mean(radius))
        top = rest[skin, 1].min()
        skull = rest[skin & (rest[:, 1] < top + 0.45 * (marks[8, 1] - top))]
        middle = (skull.min(axis=0) + skull.max(axis=0)) / 2
        half = (skull.max(axis=0) - skull.min(axis=0)) / 2
        centre = np.array([0.0, top + 1.05 * half[2] * 0.85, middle[2]])
        around = np.arctan2(rest[:, 0], -(rest[:, 2] - middle[2]))
        lids = tuple(
            np.flatnonzero(skin & (np.linalg.norm(rest - eye, axis=1) < eye_radius + LID_REACH)) for eye in eyes
        )
        return cls(
            rest=rest,
            regions=_regions(rest, marks, np.stack(eyes), skin, around),
            open=openness(model),
            fold=_fold(rest, marks),
            inside=~skin,
            mouth=member[Part.MOUTH] & ~skin,
            sockets=member[Part.EYE_SOCKET] & ~skin,
            gums=member[Part.GUMS],
            teeth=member[Part.TEETH],
            lip_front=float(marks[51, 2]),
            round=around,
            skull=(centre, np.array([half[0], 0.85 * half[2], half[2]])),
            lids=(lids[0], lids[1]),
            eyes=np.stack(eyes),
            eye_radius=eye_radius,
        )

    def scalp(self, shift: float, ragged: Array) -> Array:
        """(V,) 0 to 1 under hair: above a hairline moved by `shift` mm (down) and ragged by a field (V,) of mm."""
        top = self.rest[~self.inside, 1].min()
        line = np.interp(np.degrees(np.abs(self.round)), HAIRLINE[:, 0], HAIRLINE[:, 1]) + top
        cover: Array = step((line + shift + ragged - self.rest[:, 1]) / 7.0 + 0.5) * (1 - self.regions["ears"])
        cover[self.inside] = 0
        return cover


def ball(points: Array) -> tuple[Array, float]:
    """Centre and radius of the ball whose surface is nearest to points (n, 3) (linear least squares)."""
    table = np.concatenate([2 * points, np.ones((len(points), 1))], axis=1).astype(np.float64)
    solution = np.linalg.lstsq(table, (points.astype(np.float64) ** 2).sum(axis=1), rcond=None)[0]
    return solution[:3], float(np.sqrt(solution[3] + solution[:3] @ solution[:3]))


def _near(rest: Array, centre: Array, size: Array | tuple[float, float, float]) -> Array:
    """(V,) 1 at a place, falling smoothly to 0 at twice `size` (mm, by axis)."""
    away = np.sqrt((((rest - centre) / np.asarray(size)) ** 2).sum(axis=1))
    return np.asarray(1 - step((away - 0.35) / 1.3))


def _regions(rest: Array, marks: Array, eyes: Array, skin: Array, around: Array) -> dict[str, Array]:
    sides = ((36, 31, 48, 2, 3), (45, 35, 54, 14, 13))
    cheeks = [(marks[eye] * 0.45 + marks[nose] * 0.25 + marks[jaw] * 0.3) for eye, nose, _, _, jaw in sides]
    out = {
        "cheeks": sum(_near(rest, place, (24, 20, 30)) for place in cheeks),
        "nose tip": _near(rest, marks[30] + [0, 2, 5], (17, 13, 22)),
        "nostrils": sum(_near(rest, marks[k], (7, 7, 10)) for k in (31, 35)),
        "chin": _near(rest, marks[8] + [0, -12, -6], (22, 16, 25)),
        "forehead": _near(rest, marks[[19, 24]].mean(axis=0) + [0, -25, 0], (48, 24, 40)),
        "under the eyes": sum(
            _near(rest, marks[list(k)].mean(axis=0) + [0, 8, 0], (14, 7, 14)) for k in ((40, 41), (46, 47))
        ),
        "ears": _ears(rest, marks, skin),
        "lips": _lips(rest, marks),
        "beard": _beard(rest, marks, around),
    }
    rims, uppers = np.zeros(len(rest)), np.zeros(len(rest))
    for lids, eye in ((range(36, 42), eyes[0]), (range(42, 48), eyes[1])):
        loop = marks[[*lids, lids[0]]]
        away = distance_to_line(rest, loop)
        rims += 1 - step((away - 0.5) / 3.5)
        above = step((loop[:, 1].mean() - rest[:, 1]) / 3.0)
        uppers += (1 - step((away - 5.0) / 7.0)) * above * (np.linalg.norm(rest - eye, axis=1) < 45)
    out["eye rims"], out["upper lids"] = rims, uppers
    return {name: np.clip(values, 0, 1) * skin for name, values in out.items()}


def _ears(rest: Array, marks: Array, skin: Array) -> Array:
    """Ears stand out of the sides of the head, between brows and mouth."""
    half = np.abs(marks[[0, 16], 0]).mean()
    between = step((rest[:, 1] - marks[19, 1] - 2) / 8) * (1 - step((rest[:, 1] - marks[48, 1]) / 8))
    return np.asarray(
        step((np.abs(rest[:, 0]) - half - 2.5) / 4.0)
        * between
        * step((marks[0, 2] + 62 - rest[:, 2]) / 10)
        * step((rest[:, 2] - marks[0, 2] + 8) / 6)
        * skin
    )


def _lips(rest: Array, marks: Array) -> Array:
    """The red of the lips: inside the ring of outer lip landmarks, in front of the mouth."""
    ring = marks[[*range(48, 60), 48], :2]
    inside = _within(rest[:, :2], ring)
    away = distance_to_line(rest * [1, 1, 0], np.concatenate([ring, np.zeros((len(ring), 1))], axis=1))
    signed = np.where(inside, away, -away)
    return np.asarray(step(signed / 1.6 + 0.5) * step((marks[48, 2] + 12 - rest[:, 2]) / 8))


def _within(points: Array, ring: Array) -> Array:
    """(n,) bool: inside a closed polygon (m, 2), by crossings."""
    x, y = points[:, 0], points[:, 1]
    crossings = np.zeros(len(points), np.int64)
    for (ax, ay), (bx, by) in pairwise(ring):
        spans = (ay > y) != (by > y)
        crossings += spans & (x < ax + (y - ay) / (by - ay if by != ay else 1e-9) * (bx - ax))
    return np.asarray(crossings % 2 == 1)


def distance_to_line(points: Array, line: Array) -> Array:
    """(n,) mm from points (n, 3) to a line through (m, 3)."""
    best = np.full(len(points), np.inf)
    for a, b in pairwise(line):
        along = b - a
        t = np.clip((points - a) @ along / max(float(along @ along), 1e-9), 0, 1)
        best = np.minimum(best, ((points - a - t[:, None] * along) ** 2).sum(axis=1))
    return np.sqrt(best)


def _beard(rest: Array, marks: Array, around: Array) -> Array:
    """Where men have beards: below a line from the ears over the cheeks to the nose, above the throat."""
    side = np.abs(rest[:, 0])
    nose, corner, ear = marks[33, 1] + 1.0, marks[48, 1], marks[2, 1]
    half = np.abs(marks[48, 0])
    upper = np.interp(
        side, [0, half * 0.9, half * 1.25, half * 2.2, half * 2.6], [nose, nose + 3, corner + 4, ear + 8, ear - 25]
    )
    below = step((rest[:, 1] - upper) / 8)
    throat = 1 - step((rest[:, 1] - marks[8, 1] - 22) / 20)
    front = 1 - step((np.degrees(np.abs(around)) - 82) / 10)
    bare = _near(rest, (marks[57] + marks[8]) / 2 + [half * 0.75, -9, 0], (6, 8, 14)) + _near(
        rest, (marks[57] + marks[8]) / 2 + [-half * 0.75, -9, 0], (6, 8, 14)
    )
    return np.asarray(below * throat * front * (1 - _lips(rest, marks)) * np.clip(1 - 0.7 * bare, 0, 1))


def _fold(rest: Array, marks: Array) -> Array:
    """(V,) mm from the nasolabial lines, which run from the wings of the nose past the corners of the mouth."""
    out = np.full(len(rest), 99.0)
    for nose, corner in ((31, 48), (35, 54)):
        sign = np.sign(marks[corner, 0])
        line = np.stack([
            marks[nose] + [sign * 5.5, -4, 4], marks[nose] + [sign * 11, 5, 7],
            marks[corner] + [sign * 8.5, -9, 2], marks[corner] + [sign * 10, 3, 3], marks[corner] + [sign * 8, 12, 3],
        ])  # fmt: skip
        near = distance_to_line(rest * [1, 1, 0.3], line * [1, 1, 0.3])
        out = np.minimum(out, np.where(np.sign(rest[:, 0]) == sign, near, 99.0))
    return out
