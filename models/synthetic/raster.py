"""Triangles to pixels: a z-buffer without a loop over triangles.

Every triangle that faces the camera is spread over the pixels of its bounding box in one flat list; the inside test and
the depth are evaluated for the whole list at once; a stable sort by depth and an ordinary indexed assignment then leave
the nearest triangle in every pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

EDGE = (
    1e-4  #: a pixel's centre may be so far outside (share of the triangle): float32 must leave no gaps on shared edges
)


@dataclass(frozen=True, eq=False)
class Fragments:
    """The covered pixels of a picture and what covers them."""

    pixels: Array  #: (P,) flat pixel numbers
    triangle: Array  #: (P,) row of the triangle
    weights: Array  #: (P, 3) perspective-correct weights of the triangle's corners


def rasterise(points: Array, depth: Array, triangles: Array, height: int, width: int) -> Fragments:
    """Visible surface of triangles.

    Parameters
    ----------
    points : (V, 2) px, centre of the top left pixel at (0, 0).
    depth : (V,) distance along the camera's axis, > 0.
    triangles : (T, 3) vertices; those whose corners run clockwise on the screen are seen from behind
        and left out.
    """
    corners = points[triangles]
    low = np.maximum(np.ceil(corners.min(axis=1)), 0).astype(np.int32)
    high = np.minimum(np.floor(corners.max(axis=1)), [width - 1, height - 1]).astype(np.int32)
    size = np.clip(high - low + 1, 0, None)
    (ax, ay), (bx, by), (cx, cy) = (corners[:, k].T for k in range(3))
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    rows = np.flatnonzero((size.prod(axis=1) > 0) & (area < -1e-9))
    # Weights of the first two corners are planes over the triangle's own box: value at its corner, slope in x and y.
    ax, ay, bx, by, cx, cy, area = (values[rows] for values in (ax, ay, bx, by, cx, cy, area))
    x0, y0 = low[rows].T
    planes = np.stack(
        [
            ((bx - x0) * (cy - y0) - (by - y0) * (cx - x0)) / area, (by - cy) / area, (cx - bx) / area,
            ((cx - x0) * (ay - y0) - (cy - y0) * (ax - x0)) / area, (cy - ay) / area, (ax - cx) / area,
        ],
        axis=1,
    ).astype(np.float32)  # fmt: skip
    inverse_depth = (1 / depth)[triangles[rows]].astype(np.float32)
    across = size[rows, 0]
    counts = across * size[rows, 1]
    owner = np.repeat(np.arange(len(rows), dtype=np.int32), counts)
    place = np.arange(len(owner), dtype=np.int32) - np.repeat((np.cumsum(counts) - counts).astype(np.int32), counts)
    down = place // across[owner]
    right = place - down * across[owner]
    plane = planes[owner]
    first = plane[:, 0] + plane[:, 1] * right + plane[:, 2] * down
    second = plane[:, 3] + plane[:, 4] * right + plane[:, 5] * down
    third = 1 - first - second
    inside = np.flatnonzero((first >= -EDGE) & (second >= -EDGE) & (third >= -EDGE))
    owner = owner[inside]
    pixel = (y0[owner] + down[inside]) * np.int32(width) + x0[owner] + right[inside]
    # 1/z is linear on the screen.
    reciprocal = np.stack([first[inside], second[inside], third[inside]], axis=1) * inverse_depth[owner]
    nearness = reciprocal[:, 0] + reciprocal[:, 1] + reciprocal[:, 2]
    order = np.argsort(nearness, kind="stable")
    winner = np.full(height * width, -1, np.int32)
    winner[pixel[order]] = order
    chosen = winner[winner >= 0]
    return Fragments(pixel[chosen], rows[owner[chosen]], reciprocal[chosen] / nearness[chosen, None])


def vertex_normals(vertices: Array, triangles: Array) -> Array:
    """(V, 3) unit normals, the area-weighted mean of the triangles around each vertex."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    faces = np.cross(b - a, c - a)
    normals = np.stack(
        [np.bincount(triangles.ravel(), np.repeat(faces[:, k], 3), len(vertices)) for k in range(3)], axis=1
    )
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
