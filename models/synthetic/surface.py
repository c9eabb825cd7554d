"""The head at rest: a surface over a parameter plane; landmarks, lid edges and lip edges are vertices.

A point of the plane is (w, v) in millimetres: w = 76 theta runs round the head (theta = 0 is the front), v down it.
Rings of constant v are ellipses whose half width, front and back follow curves over v; rings below the cheeks sag
towards the front, so that the lowest of them is the edge of the jaw. On this smooth base `relief` puts nose, brow
ridge, eye sockets, cheek bones, lips and chin. All numbers are ordinary adult anthropometry, chosen by eye on pictures.
Head coordinates: mm, x right, y down, z away from the camera.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

RADIUS = 76.0  #: mm of w for one radian of theta
TOP, JAW_EDGE, BOTTOM = -152.0, 74.0, 100.0  #: v of the crown, of the lower edge of the jaw, of the neck's opening
SAG = 45.0  #: mm by which the jaw's edge is higher at the ear than at the chin
#: Centre of the eyeball on the right of the picture, near where OpenFace's gaze puts it from the corners of the eye.
EYE_CENTRE = np.array([32.0, -39.2, 7.3])
EYE_RADIUS = 12.2
IRIS_RADIUS = 5.9  #: mm

#: v, half width, z of the front, z of the widest place, z of the back.
_PROFILE = np.array(
    [
        [-152, 2, 58, 60, 62],
        [-146, 34, 22, 60, 100],
        [-135, 54, 2, 60, 126],
        [-120, 66, -9, 60, 146],
        [-100, 74, -17, 60, 160],
        [-80, 77, -21, 60, 168],
        [-60, 77.5, -21, 58, 170],
        [-40, 76, -15, 54, 168],
        [-20, 74, -13, 50, 160],
        [0, 71.5, -15, 48, 148],
        [20, 69, -18, 47, 132],
        [40, 66, -18.5, 46, 112],
        [60, 61, -17, 45, 100],
        [74, 57, -14, 44, 96],
        [100, 50, 10, 44, 92],
    ],
    dtype=np.float64,
)

RIGHT_BROW = [(18.0, -52.0), (29.0, -55.6), (40.0, -57.0), (50.5, -54.0), (58.5, -47.0)]
_LID = [  # the eye on the right of the picture, from its inner (left) corner clockwise: eye landmarks 8 to 19
    (18.2, -35.8), (21.8, -39.2), (27.0, -42.2), (32.2, -43.0), (37.6, -42.2), (42.6, -40.0),
    (46.4, -37.0), (42.6, -34.4), (37.4, -32.9), (32.2, -32.3), (27.0, -32.8), (22.0, -34.2),
]  # fmt: skip
_NOSE = [(0, -40.5), (0, -29.8), (0, -19.0), (0, -8.8), (-13, 2.6), (-7, 5.4), (0, 7.0), (7, 5.4), (13, 2.6)]
_OUTER_LIP = [
    (-26, 28), (-16, 22), (-6, 18.6), (0, 20), (6, 18.6), (16, 22), (26, 28), (16, 34.6), (7, 38.6), (0, 39.6),
    (-7, 38.6), (-16, 34.6),
]  # fmt: skip
_INNER_LIP = [(-22.5, 28), (-8, 28), (0, 28), (8, 28), (22.5, 28), (8, 28), (0, 28), (-8, 28)]
_INNER_LOWER = np.array([0, 0, 0, 0, 0, 1, 1, 1], bool)  #: which of them are on the lower lip
JAW_THETA = np.array([-88, -87, -85, -78, -66, -51, -35, -17.5, 0])
JAW_V = np.array([-29, -8, 17, 43, 61, 69.5, 72.5, 73.5, 73.8])
MOUTH_LINE = 28.0  #: y of the closed mouth, where the plane's v is nearly the same
INNER_CORNER = 22.5  #: mm from the middle to the corners of the inner lips


def curve(knots: Array, values: Array, smooth: float = 5.0) -> Array:
    """Values at every millimetre of v from TOP to BOTTOM: linear between knots, then smoothed (Gaussian, mm)."""
    grid = np.arange(TOP, BOTTOM + 1)
    dense = np.interp(grid, knots, values)
    reach = int(3 * smooth)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / smooth) ** 2)
    # Extrapolating linearly before smoothing keeps the ends where the knots put them.
    head = 2 * dense[0] - dense[reach:0:-1]
    tail = 2 * dense[-1] - dense[-2 : -reach - 2 : -1]
    return np.convolve(np.concatenate([head, dense, tail]), weights / weights.sum(), mode="valid")


_CURVES = tuple(curve(_PROFILE[:, 0], _PROFILE[:, k], 4.0) for k in range(1, 5))


def base(plane: Array) -> Array:
    """(n, 3) points of the smooth head, without relief, at (n, 2) points (w, v) of the plane."""
    theta, v = plane[:, 0] / RADIUS, plane[:, 1]
    half_width, front, widest, back = (np.interp(v, np.arange(TOP, BOTTOM + 1), c) for c in _CURVES)
    cosine = np.cos(theta)
    depth = np.where(cosine > 0, widest - front, back - widest)
    low = np.clip(v, 0, JAW_EDGE) / JAW_EDGE
    x = half_width * np.sin(theta)
    y = np.minimum(v, JAW_EDGE) - SAG * low**2 * (1 - np.maximum(cosine, -0.2))
    z = widest - depth * cosine
    # Below the jaw's edge the surface turns inwards, towards the neck.
    under = np.clip((v - JAW_EDGE) / (BOTTOM - JAW_EDGE), 0, 1)
    x = x * (1 - 0.35 * under)
    y = y + 7 * np.sin(under * np.pi / 2)
    z = z + (52 - z) * 0.75 * under
    return np.stack([x, y, z], axis=1)


def plane_of(xy: Array) -> Array:
    """(n, 2) points of the plane whose base has the given x and y, on the front half of the head."""
    v = xy[:, 1].copy()
    theta = np.zeros(len(xy))
    for _ in range(60):  # the sag moves v by less than its own change: the iteration contracts
        half_width = np.interp(v, np.arange(TOP, BOTTOM + 1), _CURVES[0])
        theta = np.arcsin(np.clip(xy[:, 0] / half_width, -0.999, 0.999))
        v = xy[:, 1] + SAG * (np.clip(v, 0, JAW_EDGE) / JAW_EDGE) ** 2 * (1 - np.cos(theta))
    return np.stack([theta * RADIUS, v], axis=1)


def bump(x: Array, y: Array, cx: float, cy: float, sx: float, sy: float) -> Array:
    """A Gaussian hill of height 1."""
    return np.exp(-0.5 * (((x - cx) / sx) ** 2 + ((y - cy) / sy) ** 2))


def step(t: Array) -> Array:
    """0 below 0, 1 above 1, smooth between."""
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def relief(xyz: Array) -> Array:
    """(n,) mm towards the camera that the face stands out of the base at (n, 3) base points."""
    x, y = np.abs(xyz[:, 0]), xyz[:, 1]
    front = step((50 - xyz[:, 2]) / 30)
    ridge_height = np.interp(
        y, [-60, -48, -40, -30, -20, -11, -6, -1, 4, 8, 14], [0, 1.5, 3.0, 9, 15.5, 21, 21.5, 16, 8, 3.5, 0]
    )
    ridge_width = np.interp(y, [-60, -42, -30, -20, -10, 0, 8, 14], [14, 7.5, 7.2, 7.6, 8.4, 8.6, 8, 7])
    nose = ridge_height * np.exp(-0.5 * np.abs(x / ridge_width) ** 2.4)
    nose += 7.5 * bump(x, y, 11.2, -1.5, 4.2, 5.0)
    nose -= 1.5 * bump(x, y, 15.5, -9, 4, 8)
    sockets = -7.5 * bump(x, y, 31, -38.5, 15, 8.5) - 4.0 * bump(x, y, 15, -40, 5, 7)
    brows = 3.2 * bump(x, y, 30, -54, 19, 6.5) + 1.5 * bump(x, y, 0, -55, 12, 8)
    cheeks = 5.5 * bump(x, y, 44, -14, 15, 13) + 2.0 * bump(x, y, 30, 0, 16, 14) - 3.0 * bump(x, y, 50, 22, 12, 16)
    muzzle = 6.0 * bump(x, y, 0, 27, 24, 16)
    lip_fade = np.exp(-0.5 * (x / 17) ** 4)
    lips = lip_fade * (
        4.2 * np.exp(-0.5 * ((y - 22.8) / 3.0) ** 2) + 4.6 * np.exp(-0.5 * ((y - 33.0) / 3.4) ** 2)
        - 1.2 * np.exp(-0.5 * ((y - 28) / 1.6) ** 2)
    )  # fmt: skip
    philtrum = -0.9 * bump(x, y, 0, 13, 2.6, 5) + 0.6 * bump(x, y, 5, 14, 2.0, 5)
    chin = 6.5 * bump(x, y, 0, 63, 15, 9) - 3.0 * bump(x, y, 0, 46, 16, 4.5)
    corners = -2.0 * bump(x, y, 29, 28, 4, 4)
    return front * (nose + sockets + brows + cheeks + muzzle + lips + philtrum + chin + corners)


def _closed(points: list[tuple[float, float]], count: int) -> Array:
    """`count` points for each side of a closed polygon, smoothed by Catmull-Rom."""
    p = np.array(points, dtype=np.float64)
    before, after, beyond = np.roll(p, 1, 0), np.roll(p, -1, 0), np.roll(p, -2, 0)
    t = (np.arange(count) / count)[None, :, None]
    a, b, c, d = (q[:, None] for q in (before, p, after, beyond))
    out = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return out.reshape(-1, 2)


def opened(plane: Array, lower: Array) -> Array:
    """Points of the plane with the lips drawn apart: both lips touch at rest, but are two edges of the surface.

    The triangulation and the texture live on the opened plane; positions and relief on the closed one.
    """
    width = (INNER_CORNER + 0.7) * 1.02
    gap = 4.0 * np.sqrt(np.clip(1 - (plane[:, 0] / width) ** 2, 0, 1))
    distance = np.abs(plane[:, 1] - MOUTH_LINE)
    shift = gap * np.exp(-distance / 7) * np.clip((45 - np.abs(plane[:, 0])) / 10, 0, 1)
    return np.stack([plane[:, 0], plane[:, 1] + np.where(lower, shift, -shift)], axis=1)


def mirrored(points: Array | list[tuple[float, float]]) -> Array:
    return np.array(points, dtype=np.float64) * [-1, 1]


def lid_contours() -> Array:
    """(2, 12, 2) x and y of the lid landmarks 8 to 19, left eye and right eye, both from the left corner clockwise."""
    right = np.array(_LID)
    left = mirrored(np.concatenate([right[6::-1], right[:6:-1]]))
    return np.stack([left, right])


@dataclass(frozen=True, eq=False)
class HeadSurface:
    """The triangulated head at rest."""

    plane: Array  #: (V, 2) w, v of the opened plane
    rest: Array  #: (V, 3) mm
    triangles: Array  #: (T, 3) int32, counter-clockwise as seen from outside
    landmarks: Array  #: (68,) vertex of each landmark
    lids: Array  #: (2, 12) vertex of each lid landmark
    lower_lip: Array  #: (V,) bool: on the lower side of the mouth's opening (edge of the lower lip and below)

    @property
    def n_vertices(self) -> int:
        return int(self.rest.shape[0])


def _rings(contour: Array, centre: Array, factors: tuple[float, ...], power: float) -> list[Array]:
    """Contours around an opening; they grow less across than up and down."""
    return [plane_of(centre + (contour - centre) * [grow**power, grow]) for grow in factors]


def _lattice(x: tuple[float, float, float], y: tuple[float, float, float]) -> Array:
    """Points of a lattice whose every second row is shifted by half a step."""
    xs, ys = np.arange(*x), np.arange(*y)
    grid = np.stack(np.meshgrid(xs, ys), -1)
    grid[1::2, :, 0] += x[2] / 2
    return grid.reshape(-1, 2)


def _domain_points() -> tuple[Array, Array, list[Array], Array, Array]:
    """Points of the closed plane, which of them are on the lower side of the mouth, the polygons of the three openings
    in the opened plane, rows of the 68 landmarks and of the lid landmarks."""
    brow, lids = np.array(RIGHT_BROW), lid_contours()
    jaw = np.concatenate([JAW_THETA, -JAW_THETA[-2::-1]])
    jaw_plane = np.stack([np.radians(jaw) * RADIUS, np.concatenate([JAW_V, JAW_V[-2::-1]])], axis=1)
    face = [mirrored(brow[::-1]), brow, np.array(_NOSE), lids[0, ::2], lids[1, ::2], np.array(_OUTER_LIP)]
    landmarks = np.concatenate([jaw_plane, plane_of(np.concatenate(face)), plane_of(np.array(_INNER_LIP, float))])
    line = np.linspace(-INNER_CORNER, INNER_CORNER, 41)[1:-1]
    lips = plane_of(np.stack([line, np.full_like(line, MOUTH_LINE)], 1))
    first = [landmarks, plane_of(lids.reshape(-1, 2)), lips, lips]
    contours = [_closed([tuple(p) for p in lids[eye]], 4) for eye in range(2)]
    first += [plane_of(contour) for contour in contours]
    count = sum(map(len, first))
    outer = _closed([(float(x), float(y)) for x, y in _OUTER_LIP], 3)
    others = [plane_of(outer)]
    for eye, contour in enumerate(contours):
        centre = np.array([EYE_CENTRE[0] * (-1, 1)[eye], -37.3])
        others += _rings(contour, centre, (1.1, 1.25, 1.45), 0.45) + _rings(
            contour[::2], centre, (1.75, 2.15, 2.6), 0.45
        )
    others.append(plane_of(_lattice((-34, 35, 2.1), (9, 50, 1.9))))
    others.append(plane_of(_lattice((-19, 20, 2.1), (-30, 12, 1.9))))
    others.append(plane_of(_lattice((-64, 65, 4.2), (-98, 72, 3.8))))
    around = np.stack(np.meshgrid(np.linspace(-np.pi, np.pi, 57) * RADIUS, np.linspace(TOP, BOTTOM, 40)), -1).reshape(
        -1, 2
    )
    covered = (np.abs(around[:, 0]) < 62) & (around[:, 1] > -98) & (around[:, 1] < 68)
    edge = np.stack([np.linspace(-95, 95, 60) / 180 * np.pi * RADIUS, np.full(60, JAW_EDGE)], 1)
    others += [edge, around[~covered]]
    points = np.concatenate(first + others)
    lower = points[:, 1] > MOUTH_LINE
    lower[60:68] = _INNER_LOWER
    start = 68 + 24
    lower[start : start + len(lips)], lower[start + len(lips) : start + 2 * len(lips)] = False, True
    upper_edge = opened(lips, np.zeros(len(lips), bool))
    lower_edge = opened(lips, np.ones(len(lips), bool))
    corners = landmarks[[60, 64]]
    mouth = np.concatenate([corners[:1], upper_edge, corners[1:], lower_edge[::-1]])
    openings = [plane_of(contours[0]), plane_of(contours[1]), mouth]
    # Fillers must not fall into an opening, where they would be vertices of nothing.
    keep = np.ones(len(points), bool)
    for polygon in openings:
        keep[count:] &= ~_inside(opened(points, lower), polygon)[count:]
    return points[keep], lower[keep], openings, np.arange(68), np.arange(68, 92).reshape(2, 12)


def _thin(points: Array, keep: int, spacing: float = 1.15) -> tuple[Array, Array]:
    """Rows of points not closer than `spacing` mm to an earlier one, and where each of the first `keep` went.

    The first `keep` stay unless they coincide.
    """
    kept: list[int] = []
    cells: dict[tuple[int, int], list[int]] = {}
    rows = np.zeros(keep, np.int64)
    for index, (w, v) in enumerate(points):
        cell = (int(np.floor(w / spacing)), int(np.floor(v / spacing)))
        least = spacing if index >= keep else 0.02
        near = [
            row
            for dw in (-1, 0, 1)
            for dv in (-1, 0, 1)
            for row in cells.get((cell[0] + dw, cell[1] + dv), [])
            if np.hypot(*(points[kept[row]] - points[index])) < least
        ]
        if index < keep:
            rows[index] = near[0] if near else len(kept)
        if not near:
            cells.setdefault(cell, []).append(len(kept))
            kept.append(index)
    return np.array(kept), rows


def _triangulate(points: Array) -> Array:
    """Delaunay triangles (T, 3) of points of the plane, so that their normals point out of the head."""
    low, high = points.min(0) - 5, points.max(0) + 5
    size = np.ceil(high - low).astype(int) + 1
    division = cv2.Subdiv2D((0, 0, int(size[0]), int(size[1])))
    shifted = (points - low).astype(np.float32)
    division.insert([(float(w), float(v)) for w, v in shifted])
    rows = {(float(w), float(v)): row for row, (w, v) in enumerate(shifted)}
    corners = np.asarray(division.getTriangleList()).reshape(-1, 3, 2)
    found = [[rows.get((float(w), float(v)), -1) for w, v in triangle] for triangle in corners]
    triangles = np.array([t for t in found if min(t) >= 0], np.int32)
    a, b, c = (points[triangles[:, k]] for k in range(3))
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    triangles = np.where((area < 0)[:, None], triangles, triangles[:, ::-1])
    return triangles[np.abs(area) > 1e-3]


def _inside(points: Array, polygon: Array) -> Array:
    """(n,) bool: points within a closed polygon, by the even-odd rule."""
    inside = np.zeros(len(points), bool)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        crosses = (y0 > points[:, 1]) != (y1 > points[:, 1])
        with np.errstate(divide="ignore", invalid="ignore"):
            inside ^= crosses & (points[:, 0] < (x1 - x0) * (points[:, 1] - y0) / (y1 - y0) + x0)
    return inside


@lru_cache(maxsize=1)
def head_surface() -> HeadSurface:
    """The head at rest, built once."""
    points, lower, openings, rows_68, rows_lids = _domain_points()
    plane = opened(points, lower)
    kept, rows = _thin(plane, int(rows_lids.max()) + 1)
    triangles = _triangulate(plane[kept])
    centroids = plane[kept][triangles].mean(axis=1)
    for polygon in openings:
        hole = _inside(centroids, polygon)
        triangles, centroids = triangles[~hole], centroids[~hole]
    rest = base(points[kept])
    rest[:, 2] -= relief(rest)
    return HeadSurface(plane[kept], rest, triangles, rows[rows_68], rows[rows_lids], lower[kept])
