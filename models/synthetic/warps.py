"""Triangulations of the 68 landmarks and the validator's warps, built from a shape model (spec 10.10, 50.8, 60.2).

The face's surface is triangulated once, on the frontal mean shape. For each head orientation the triangles that face
the camera make a piecewise affine warp from the landmarks of an image to a fixed frame of 60 x 60 px, which the mean
shape fills when it is turned that way. Orientations to the right of the picture are exact mirror images of those to the
left, so that both share a trained network. PDM in; `PiecewiseWarp` and index tables (T, 3) int32 out.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.training.shape import MIRROR_68
from auparity.models.types import PDM, PiecewiseWarp
from auparity.reference.alignment import FOREHEAD_POINTS, FOREHEAD_SHIFT, SCALE
from auparity.reference.pdm import rotation_from_euler

Array = npt.NDArray[Any]
I32 = npt.NDArray[np.int32]

SIDE = 60  #: px, the validator's frame
MARGIN = 1.0  #: px that stay free at each border of it
#: Head orientations in the order of validator_cnn_68 (spec 10.10), degrees about y.
VIEWS = (0.0, -20.0, -45.0, -70.0, 20.0, 45.0, 70.0)
#: The view that shows the mirror image of each view.
MIRROR_VIEW = (0, 4, 5, 6, 1, 2, 3)
#: Beyond this turn (degrees) the half of the face that is turned away plays no part: nose and cheek hide it.
HALF_FACE_FROM = 40.0
#: A turned triangle smaller than this share of its frontal area is seen too much from the side to be useful.
LEAST_AREA = 0.12
#: Displacement that makes cocircular points unique (a symmetric face is full of them), in units of the points.
JITTER = 1e-5
#: Landmarks on the left of the picture and in the middle, which a head turned by a negative angle shows.
NEAR_HALF = (*range(9), *range(17, 22), *range(27, 34), *range(36, 42), *range(48, 52), 57, 58, 59, 60, 61, 62, 66, 67)


def _signed_area(triangles: Array) -> Array:
    """Twice the signed areas (...) of triangles (..., 3, 2)."""
    a, b = triangles[..., 1, :] - triangles[..., 0, :], triangles[..., 2, :] - triangles[..., 0, :]
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def delaunay(points: Array) -> I32:
    """Delaunay triangulation (T, 3) of points (n, 2): every triple whose circumcircle holds no other point.

    Tries all triples, which is affordable for some hundred points. Corners are ordered so that the signed area is
    positive (clockwise in a picture, where y points down).
    """
    points = points + np.random.default_rng(0).uniform(-JITTER, JITTER, points.shape)
    triples = np.array(list(combinations(range(len(points)), 3)))
    area = _signed_area(points[triples])
    # Triangles without area, on three points of a line, have no circle.
    flat = np.abs(area) < 1e-3 * np.ptp(points)
    triples, area = triples[~flat], area[~flat]
    triples[area < 0] = triples[area < 0][:, ::-1]
    a, b, c = (points[triples[:, k]] for k in range(3))
    a2, b2, c2 = ((p**2).sum(axis=1) for p in (a, b, c))
    double = 2 * np.abs(area)
    centre = np.stack(
        [
            a2 * (b - c)[:, 1] + b2 * (c - a)[:, 1] + c2 * (a - b)[:, 1],
            a2 * (c - b)[:, 0] + b2 * (a - c)[:, 0] + c2 * (b - a)[:, 0],
        ],
        axis=1,
    )
    centre /= double[:, None]
    radius2 = ((a - centre) ** 2).sum(axis=1)
    distance2 = ((points[None] - centre[:, None]) ** 2).sum(axis=2)
    inside = distance2 < radius2[:, None] * (1 - 1e-9)
    inside[np.arange(len(triples))[:, None], triples] = False
    return triples[~inside.any(axis=1)].astype(np.int32)


def mean_shape(pdm: PDM) -> Array:
    """(n, 3) mean shape, mm."""
    return pdm.mean.reshape(3, -1).T


def mask_triangulation(pdm: PDM) -> I32:
    """(T, 3) triangles of the AU module's mask: the frontal mean face with brows and jaw ends lifted (spec 60.2)."""
    points = mean_shape(pdm)[:, :2].copy()
    points[list(FOREHEAD_POINTS), 1] -= FOREHEAD_SHIFT / SCALE
    return delaunay(points)


def face_triangles(pdm: PDM) -> I32:
    """(T, 3) triangles of the face's surface: Delaunay on the frontal mean shape."""
    return delaunay(mean_shape(pdm)[:, :2])


def turned_mean(pdm: PDM, degrees: float) -> Array:
    """(n, 2) the mean shape, turned about y, as the camera sees it, mm."""
    rotation = rotation_from_euler(np.array([0.0, np.radians(degrees), 0.0])).astype(np.float64)
    return mean_shape(pdm) @ rotation[:2].T


def visible_triangles(pdm: PDM, degrees: float) -> I32:
    """(T, 3) triangles that face the camera when the head is turned by a negative angle, or not at all."""
    triangles = face_triangles(pdm)
    if abs(degrees) > HALF_FACE_FROM:
        triangles = triangles[np.isin(triangles, NEAR_HALF).all(axis=1)]
    frontal, turned = _signed_area(mean_shape(pdm)[triangles, :2]), _signed_area(turned_mean(pdm, degrees)[triangles])
    return triangles[turned > LEAST_AREA * frontal]


def _coefficients(destination: Array, triangles: I32) -> tuple[Array, Array]:
    """alpha, beta (T, 3): barycentric coordinates along the sides from corner i to j and to k, as a0 + a1 x + a2 y."""
    corners = destination[triangles]
    sides = np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], axis=2)
    inverse = np.linalg.inv(sides)  # rows: alpha and beta from the offset to corner i
    constant = -np.einsum("tij,tj->ti", inverse, corners[:, 0])
    alpha, beta = (np.concatenate([constant[:, r, None], inverse[:, r]], axis=1) for r in range(2))
    return alpha, beta


def _warp(destination: Array, triangles: I32, triangle_id: I32) -> PiecewiseWarp:
    alpha, beta = _coefficients(destination, triangles)
    mask = (triangle_id >= 0).astype(np.int32)
    return PiecewiseWarp(
        n_pixels=int(mask.sum()), min_x=0.0, min_y=0.0, destination=destination.T.reshape(-1).astype(np.float64),
        triangles=triangles, triangle_id=triangle_id, mask=mask, alpha=alpha, beta=beta,
    )  # fmt: skip


def piecewise_warp(pdm: PDM, degrees: float) -> PiecewiseWarp:
    """The warp of a head turned about y by so many degrees, at most 0; `mirrored_warp` makes those to the other side.

    The visible part of the turned mean shape is stretched to fill the frame in both directions.
    """
    if degrees > 0:
        raise ValueError("orientations to the right are mirror images: mirrored_warp(piecewise_warp(pdm, -degrees))")
    triangles = visible_triangles(pdm, degrees)
    turned = turned_mean(pdm, degrees)
    used = turned[np.unique(triangles)]
    low, high = used.min(axis=0), used.max(axis=0)
    destination = MARGIN + (turned - low) / (high - low) * (SIDE - 1 - 2 * MARGIN)
    alpha, beta = _coefficients(destination, triangles)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    a, b = (c[:, 0, None, None] + c[:, 1, None, None] * columns + c[:, 2, None, None] * rows for c in (alpha, beta))
    inside = (a >= 0) & (b >= 0) & (a + b <= 1)
    triangle_id = np.where(inside.any(axis=0), inside.argmax(axis=0), -1).astype(np.int32)
    return _warp(destination, triangles, triangle_id)


def mirrored_warp(warp: PiecewiseWarp) -> PiecewiseWarp:
    """The warp of the mirrored head: landmarks change sides, and columns run the other way."""
    destination = warp.destination.reshape(2, -1).T[MIRROR_68] * [-1, 1] + [SIDE - 1, 0]
    return _warp(
        destination, MIRROR_68[warp.triangles].astype(np.int32), np.ascontiguousarray(warp.triangle_id[:, ::-1])
    )


def all_warps(pdm: PDM) -> tuple[PiecewiseWarp, ...]:
    """The seven warps in the order of `VIEWS`."""
    left = [piecewise_warp(pdm, degrees) for degrees in VIEWS if degrees <= 0]
    return (*left, *(mirrored_warp(warp) for warp in left[1:]))
