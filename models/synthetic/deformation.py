"""How heads differ and how faces move: identity modes and action units as displacement fields on the head at rest.

Every field is a sum of smooth windows over x and y of the rest shape, in mm. Identity is linear in its coefficients
(standard normal). An action unit is linear in its intensity (5 = the most that a face does), following the appearance
changes that FACS describes (Ekman, Friesen and Hager 2002); lids slide on the eyeball and lips cannot pass through each
other, which `HeadShape.pose_face` sees to afterwards. All fields but the two asymmetric identity modes are symmetric.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.surface import (
    EYE_CENTRE,
    EYE_RADIUS,
    MOUTH_LINE,
    HeadSurface,
    bump,
    head_surface,
    step,
)
from auparity.models.synthetic.types import AU_NAMES

Array = npt.NDArray[Any]
FULL = 5.0  #: the greatest intensity of an action unit
LID_CLEARANCE = 0.7  #: mm of lid between eyeball and skin
MOUTH_HALF = 26.0  #: mm from the middle to a mouth corner at rest


@dataclass(frozen=True, eq=False)
class Places:
    """Rest coordinates of vertices, and the windows that several fields share."""

    x: Array  #: mm, signed
    y: Array
    z: Array
    side: Array  #: |x|
    sign: Array  #: -1 left of the picture, 1 right
    upper_lid: Array  #: 1 on the edge of the upper lid, falling to 0 at the brow
    lower_lid: Array
    aperture: Array  #: mm of eye opening at the vertex's x (0 beside the eye)
    upper_lip: Array  #: 1 on the red of the upper lip
    lower_lip: Array
    jaw: Array  #: 1 where the lower jaw carries the skin
    corner: Array  #: 1 at the mouth's corners
    is_lower: Array  #: bool: on the lower side of the mouth

    @classmethod
    def of(cls, rest: Array, lower: Array) -> Places:
        x, y, z = rest.T
        side, front = np.abs(x), step((45 - z) / 20)
        across = (side - EYE_CENTRE[0]) / 14.3
        aperture = 10.4 * np.sqrt(np.clip(1 - across**2, 0, 1))
        middle = -37.0 + 0.8 * across
        above, below = middle - 0.55 * aperture, middle + 0.45 * aperture
        near = np.exp(-0.5 * np.clip(np.abs(across) - 0.9, 0, None) ** 2 / 0.15**2)
        upper = np.where(y < middle, np.exp(-0.5 * (np.clip(above - y, 0, None) / 3.6) ** 2), 0) * near * front
        under = np.where(y >= middle, np.exp(-0.5 * (np.clip(y - below, 0, None) / 4.5) ** 2), 0) * near * front
        lip_fade = np.exp(-0.5 * (side / 19) ** 4) * front
        upper_lip = np.where(lower, 0, np.exp(-0.5 * ((y - 24.5) / 4.0) ** 2)) * lip_fade
        lower_lip = np.where(lower, np.exp(-0.5 * ((y - 32.0) / 4.5) ** 2), 0) * lip_fade
        # Across the mouth's line the jaw's share jumps inside the lips and goes over smoothly beside them.
        width = 0.1 + np.clip(side - MOUTH_HALF + 1, 0, None) * 1.6
        jaw = np.where(side < MOUTH_HALF - 1, lower, step(0.5 + (y - MOUTH_LINE) / (2 * width))) * step((62 - z) / 40)
        corner = bump(side, y, MOUTH_HALF, MOUTH_LINE, 8.5, 7.5) * front
        sign = np.tanh(x / 1.5)
        return cls(x, y, z, side, sign, upper, under, aperture, upper_lip, lower_lip, jaw, corner, lower)


Field = Callable[[Places], tuple[Any, Any, Any]]


def _g(p: Places, cx: float, cy: float, sx: float, sy: float) -> Array:
    return bump(p.side, p.y, cx, cy, sx, sy) * step((50 - p.z) / 30)


def _au01(p: Places) -> tuple[Any, Any, Any]:
    w = _g(p, 18, -54, 13, 12) + 0.5 * _g(p, 10, -72, 18, 14)
    return -0.8 * p.sign * w, -8.5 * w, -0.8 * w


def _au02(p: Places) -> tuple[Any, Any, Any]:
    w = _g(p, 49, -54, 13, 12) + 0.4 * _g(p, 46, -72, 16, 14)
    return 0, -8.5 * w - 1.5 * _g(p, 50, -44, 8, 5), -0.5 * w


def _au04(p: Places) -> tuple[Any, Any, Any]:
    w = _g(p, 22, -54, 17, 11)
    return -4.5 * p.sign * _g(p, 18, -54, 12, 10), 6.5 * w, -2.0 * _g(p, 12, -52, 10, 8)


def _au05(p: Places) -> tuple[Any, Any, Any]:
    fold = _g(p, 32, -48, 13, 3.5)
    return 0, -0.46 * p.aperture * p.upper_lid + 0.10 * p.aperture * p.lower_lid - 2.2 * fold, 2.0 * fold


def _au06(p: Places) -> tuple[Any, Any, Any]:
    w = _g(p, 43, -14, 15, 11)
    return -1.5 * p.sign * _g(p, 52, -32, 9, 10), -5.5 * w - 0.14 * p.aperture * p.lower_lid, -4.0 * w


def _au07(p: Places) -> tuple[Any, Any, Any]:
    return 0, -0.36 * p.aperture * p.lower_lid + 0.22 * p.aperture * p.upper_lid, -0.8 * p.lower_lid


def _au09(p: Places) -> tuple[Any, Any, Any]:
    alae, bridge = _g(p, 12, -2, 8, 9), _g(p, 11, -28, 10, 14)
    w = 5.0 * alae + 3.0 * bridge + 2.5 * p.upper_lip
    return 1.5 * p.sign * alae, -w + 3.5 * _g(p, 16, -52, 10, 8), -1.5 * _g(p, 8, -33, 8, 8)


def _au10(p: Places) -> tuple[Any, Any, Any]:
    w = 6.5 * p.upper_lip + 2.5 * _g(p, 17, 10, 9, 9)
    return 0, -w, -1.5 * _g(p, 20, 6, 9, 10) - 1.0 * p.upper_lip


def _au12(p: Places) -> tuple[Any, Any, Any]:
    pull, cheek = p.corner, _g(p, 38, 2, 13, 12)
    lips = np.clip(p.side / MOUTH_HALF, 0, 1) * (p.upper_lip + p.lower_lip)
    return (
        p.sign * (7.5 * pull + 3.0 * lips + 1.5 * cheek),
        -8.0 * pull - 3.0 * cheek + 1.5 * (p.upper_lip * (1 - p.side / MOUTH_HALF).clip(0)),
        5.0 * pull - 3.5 * cheek + 1.5 * (p.upper_lip + p.lower_lip),
    )


def _au14(p: Places) -> tuple[Any, Any, Any]:
    w = bump(p.side, p.y, 29, 28, 6.5, 6) * step((45 - p.z) / 20)
    bulge = _g(p, 36, 26, 5, 9)
    return p.sign * (4.5 * w), -1.0 * w + 0.9 * p.upper_lip - 0.9 * p.lower_lip, 6.5 * w - 3.8 * bulge


def _au15(p: Places) -> tuple[Any, Any, Any]:
    return 1.0 * p.sign * p.corner, 8.0 * p.corner + 1.5 * _g(p, 30, 40, 8, 8), -1.5 * _g(p, 32, 42, 7, 7)


def _au17(p: Places) -> tuple[Any, Any, Any]:
    chin = _g(p, 0, 59, 15, 10)
    lips = 4.5 * p.lower_lip + 2.5 * p.upper_lip * bump(p.side, p.y, 0, 24, 14, 8)
    return 0, -6.0 * chin - lips, -1.5 * chin - 2.5 * p.lower_lip


def _au20(p: Places) -> tuple[Any, Any, Any]:
    lips = np.clip(p.side / MOUTH_HALF, 0, 1) * (p.upper_lip + p.lower_lip)
    return (
        p.sign * (8.5 * p.corner + 4.0 * lips + 1.5 * _g(p, 38, 34, 10, 12)),
        2.0 * p.corner + 1.4 * p.upper_lip - 2.0 * p.lower_lip + 1.0 * _g(p, 36, 45, 12, 12),
        3.5 * p.corner + 1.5 * (p.upper_lip + p.lower_lip),
    )


def _au23(p: Places) -> tuple[Any, Any, Any]:
    red_up = bump(p.side, p.y, 0, 20, 20, 4) * step((45 - p.z) / 20)
    red_low = bump(p.side, p.y, 0, 38, 18, 4.5) * step((45 - p.z) / 20)
    return -5.5 * p.sign * p.corner, 4.2 * red_up - 4.8 * red_low, 2.4 * (p.upper_lip + p.lower_lip)


def _au25(p: Places) -> tuple[Any, Any, Any]:
    centre = np.sqrt(np.clip(1 - (p.side / (MOUTH_HALF - 2)) ** 2, 0, 1))
    low = 7.5 * p.lower_lip * centre + 2.5 * _g(p, 0, 46, 16, 8) * p.jaw
    return 0, low - 3.4 * p.upper_lip * centre, 0.5 * p.lower_lip


def _au26(p: Places) -> tuple[Any, Any, Any]:
    # The jaw turns about its joints below the ears and glides forward on them. The corners go half the way down, and
    # both lips bend towards them.
    down = np.interp(p.z, [-30, 0, 20, 45, 62], [19, 17, 13, 5, 0])
    opening = np.sqrt(np.clip(1 - (p.side / MOUTH_HALF) ** 2, 0, 1))
    below = 0.45 + 0.55 * np.maximum(opening, step((p.y - 29) / 16))
    above = 0.45 * (1 - opening) * np.exp(-0.5 * ((MOUTH_LINE - p.y) / 6) ** 2) * (p.side < MOUTH_HALF)
    inside = p.side < MOUTH_HALF
    share = np.where(inside, np.where(p.is_lower, below, above), p.jaw * (0.9 + 0.1 * step((p.y - 29) / 16)))
    return -1.2 * p.sign * p.corner, down * share, 5.5 * p.jaw * step((p.y - 20) / 45)


def _au28(p: Places) -> tuple[Any, Any, Any]:
    red_up = bump(p.side, p.y, 0, 21, 20, 4.5) * step((45 - p.z) / 20)
    red_low = bump(p.side, p.y, 0, 37, 18, 5) * step((45 - p.z) / 20)
    return -1.0 * p.sign * p.corner, 6.0 * red_up - 7.5 * red_low, 5.0 * (p.upper_lip + p.lower_lip)


def _au45(p: Places) -> tuple[Any, Any, Any]:
    fold = _g(p, 32, -48, 13, 3.5)
    return 0, 0.84 * p.aperture * p.upper_lid - 0.12 * p.aperture * p.lower_lid + 1.2 * fold, -0.8 * fold


_FIELDS: dict[str, Field] = {
    "AU01": _au01, "AU02": _au02, "AU04": _au04, "AU05": _au05, "AU06": _au06, "AU07": _au07, "AU09": _au09,
    "AU10": _au10, "AU12": _au12, "AU14": _au14, "AU15": _au15, "AU17": _au17, "AU20": _au20, "AU23": _au23,
    "AU25": _au25, "AU26": _au26, "AU28": _au28, "AU45": _au45,
}  # fmt: skip


def _low(p: Places) -> Array:
    return step((p.y - 5) / 60) * step((70 - p.z) / 30)


#: Identity modes, one standard deviation each.
IDENTITY: dict[str, Field] = {
    "width of the head": lambda p: (0.035 * p.x, 0, 0),
    "height of the head": lambda p: (0, 0.035 * p.y, 0),
    "depth of the head": lambda p: (0, 0, 0.05 * (p.z - 45)),
    "width of the jaw": lambda p: (0.055 * p.x * _low(p), 0, 0),
    "length of the chin": lambda p: (0, 3.2 * step((p.y - 36) / 34) * step((60 - p.z) / 40), 0),
    "chin forward": lambda p: (0, 0, -2.8 * step((p.y - 34) / 30) * step((50 - p.z) / 50)),
    "length of the nose": lambda p: (0, 2.4 * bump(p.side, p.y, 0, 0, 16, 13) * step((20 - p.z) / 20), 0),
    "width of the nose": lambda p: (1.6 * p.sign * _g(p, 12, 0, 6, 9), 0, 0),
    "height of the nose": lambda p: (0, 0, -2.6 * bump(p.side, p.y, 0, -9, 10, 16) * step((20 - p.z) / 20)),
    "height of the bridge": lambda p: (0, 0, -2.0 * bump(p.side, p.y, 0, -32, 8, 14) * step((20 - p.z) / 20)),
    "turned up tip": lambda p: (0, -1.8 * bump(p.side, p.y, 0, -6, 10, 7) * step((10 - p.z) / 20), 0),
    "distance of the eyes": lambda p: (1.4 * p.sign * _g(p, 32, -40, 20, 14), 0, 0),
    "opening of the eyes": lambda p: (0, 0.11 * p.aperture * (p.lower_lid * 0.5 - p.upper_lid), 0),
    "slant of the eyes": lambda p: (0, -0.085 * (p.side - EYE_CENTRE[0]) * _g(p, 32, -38, 17, 9), 0),
    "width of the eyes": lambda p: (0.05 * p.sign * (p.side - EYE_CENTRE[0]) * _g(p, 32, -38, 16, 8), 0, 0),
    "height of the brows": lambda p: (0, 1.9 * _g(p, 35, -55, 25, 8), 0),
    "slant of the brows": lambda p: (0, -0.085 * (p.side - 38) * _g(p, 38, -55, 22, 8), 0),
    "brow ridge": lambda p: (0, 0, -1.5 * _g(p, 26, -54, 24, 8)),
    "width of the mouth": lambda p: (2.0 * p.sign * np.clip(p.side / 22, 0, 1) * _g(p, 24, 28, 12, 13), 0, 0),
    "upper lip": lambda p: (0, -1.3 * bump(p.side, p.y, 0, 19.5, 17, 4), -0.8 * p.upper_lip),
    "lower lip": lambda p: (0, 1.5 * bump(p.side, p.y, 0, 39, 15, 4.5) * (p.z < 20), -0.9 * p.lower_lip),
    "height of the mouth": lambda p: (0, 1.6 * bump(p.side, p.y, 0, 28, 30, 15) * step((45 - p.z) / 20), 0),
    "cheek bones": lambda p: (0.9 * p.sign * _g(p, 52, -14, 14, 14), 0, -2.0 * _g(p, 42, -14, 16, 14)),
    "full cheeks": lambda p: (2.2 * p.sign * _g(p, 52, 22, 16, 18), 0, -1.8 * _g(p, 44, 20, 16, 18)),
    "slope of the forehead": lambda p: (0, 0, -2.8 * step((-60 - p.y) / 60) * step((60 - p.z) / 60)),
    "mouth aside": lambda p: (0.9 * bump(p.side, p.y, 0, 34, 34, 26) * step((45 - p.z) / 20), 0, 0),
    "one side higher": lambda p: (0, 0.012 * p.x, 0),
}  # fmt: skip


def _stack(field: tuple[Any, Any, Any], count: int) -> Array:
    return np.stack([np.broadcast_to(np.asarray(part, np.float64), (count,)) for part in field], axis=1)


@dataclass(frozen=True, eq=False)
class HeadShape:
    """The head surface with its modes."""

    surface: HeadSurface
    identity: Array  #: (K, V, 3) mm for one standard deviation
    action: Array  #: (18, V, 3) mm at intensity 5
    lids: Array  #: rows of vertices that may touch an eyeball
    lip_pairs: Array  #: (n, 2) vertices of the upper and the lower lip that touch at rest

    def neutral(self, coefficients: Array) -> Array:
        """(V, 3) head of a person at rest; coefficients (K,)."""
        return self.surface.rest + np.tensordot(coefficients, self.identity, axes=1)

    def pose_face(self, neutral: Array, aus: Array, eyes: Array, radius: float) -> Array:
        """(V, 3) the face of a person with action units (18,), 0 to 5; eyes (2, 3): centres of the eyeballs."""
        vertices = neutral + np.tensordot(aus / FULL, self.action, axes=1)
        lids = vertices[self.lids]
        for centre in eyes:
            offset = lids - centre
            distance = np.linalg.norm(offset, axis=1)
            touching = (distance < radius + LID_CLEARANCE) & (offset[:, 2] < 4)
            lids[touching] = centre + offset[touching] * ((radius + LID_CLEARANCE) / distance[touching])[:, None]
        vertices[self.lids] = lids
        return self._part_lips(vertices)

    def _part_lips(self, vertices: Array) -> Array:
        """Lips that would pass through each other meet half way."""
        upper, lower = self.lip_pairs.T
        overlap = np.clip(vertices[upper, 1] - vertices[lower, 1], 0, None) / 2
        vertices[upper, 1] -= overlap
        vertices[lower, 1] += overlap
        return vertices


def _lip_pairs(surface: HeadSurface) -> Array:
    """(n, 2) vertices of the upper and the lower lip that touch at rest."""
    edge = np.flatnonzero(np.abs(surface.rest[:, 1] - MOUTH_LINE) < 0.02)
    upper, lower = edge[~surface.lower_lip[edge]], edge[surface.lower_lip[edge]]
    pairs = [(u, low) for u in upper for low in lower if abs(surface.rest[u, 0] - surface.rest[low, 0]) < 0.05]
    return np.array(pairs, np.int64)


@lru_cache(maxsize=1)
def head_shape() -> HeadShape:
    """Surface and modes, built once."""
    surface = head_surface()
    places = Places.of(surface.rest, surface.lower_lip)
    count = surface.n_vertices
    identity = np.stack([_stack(field(places), count) for field in IDENTITY.values()])
    action = np.stack([_stack(_FIELDS[name](places), count) for name in AU_NAMES])
    near_eye = [np.linalg.norm(surface.rest - EYE_CENTRE * [sign, 1, 1], axis=1) for sign in (-1, 1)]
    return HeadShape(
        surface, identity, action, np.flatnonzero(np.min(near_eye, axis=0) < EYE_RADIUS + 12), _lip_pairs(surface)
    )
