"""Places on the model's surface: regions of the skin, fixed points that move with it, and how open to the sky it is.

Everything here is worked out once for a model, on its mean head at rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.morphable.kernels import draw_triangles
from auparity.models.synthetic.morphable.model_file import MorphableModel, Part

Array = npt.NDArray[Any]

SKY_DIRECTIONS = 48
SKY_SIDE = 160  #: px of the depth maps that tell what is hidden from a direction
SKY_BIAS = 4.0  #: mm


@dataclass(frozen=True, eq=False)
class Attachment:
    """Points as weighted means of three vertices each."""

    vertices: Array  #: (n, 3) int
    weights: Array  #: (n, 3)

    def points(self, vertices: Array) -> Array:
        """(n, 3) of vertices (V, 3)."""
        return np.asarray((vertices[self.vertices] * self.weights[..., None]).sum(axis=1))


def attach(vertices: Array, triangles: Array, points: Array, front_only: bool = True) -> Attachment:
    """The nearest places on a surface to points (n, 3): of triangles (T, 3) that look towards the camera, or of all."""
    corners = vertices[triangles].astype(np.float64)
    if front_only:
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        triangles, corners = triangles[normals[:, 2] < 0], corners[normals[:, 2] < 0]
    middles = corners.mean(axis=1)
    chosen, weights = np.empty(len(points), np.int64), np.empty((len(points), 3))
    for n, point in enumerate(np.asarray(points, np.float64)):
        near = np.argsort(((middles - point) ** 2).sum(axis=1))[:40]
        shares = _nearest_in_triangles(corners[near], point)
        distance = (((corners[near] * shares[..., None]).sum(axis=1) - point) ** 2).sum(axis=1)
        best = int(np.argmin(distance))
        chosen[n], weights[n] = near[best], shares[best]
    return Attachment(triangles[chosen].astype(np.int64), weights)


def _nearest_in_triangles(corners: Array, point: Array) -> Array:
    """(n, 3) weights of the corners at the nearest place of each triangle (n, 3, 3) to a point."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    u, w, d = b - a, c - a, point - a
    uu, uw, ww = (u * u).sum(1), (u * w).sum(1), (w * w).sum(1)
    du, dw = (d * u).sum(1), (d * w).sum(1)
    determinant = np.maximum(uu * ww - uw * uw, 1e-12)
    second, third = (ww * du - uw * dw) / determinant, (uu * dw - uw * du) / determinant
    inside = (second >= 0) & (third >= 0) & (second + third <= 1)
    candidates = [np.stack([1 - second - third, second, third], 1)]
    for start, end in ((0, 1), (0, 2), (1, 2)):
        edge = corners[:, end] - corners[:, start]
        t = np.clip(((point - corners[:, start]) * edge).sum(1) / np.maximum((edge * edge).sum(1), 1e-12), 0, 1)
        share = np.zeros((len(corners), 3))
        share[:, start], share[:, end] = 1 - t, t
        candidates.append(share)
    places = np.stack([(corners * share[..., None]).sum(axis=1) for share in candidates])
    distance = ((places - point) ** 2).sum(axis=2)
    distance[0, ~inside] = np.inf
    return np.asarray(np.stack(candidates)[np.argmin(distance, axis=0), np.arange(len(corners))])


def openness(model: MorphableModel) -> Array:
    """(V,) float32, 0 to 1: the share of directions above a vertex's surface in which nothing of the head is.

    Weighted by the cosine to the normal, from depth maps seen from directions spread evenly over the ball.
    """
    vertices, normals = model.neutral, vertex_normals(model.neutral, model.triangles)
    open_, whole = np.zeros(len(vertices)), np.zeros(len(vertices))
    turn = np.pi * (3 - np.sqrt(5))
    sides = np.ones(len(model.triangles), np.bool_)
    for k in range(SKY_DIRECTIONS):
        y = 1 - 2 * (k + 0.5) / SKY_DIRECTIONS
        direction = np.array([np.sqrt(1 - y * y) * np.cos(k * turn), y, np.sqrt(1 - y * y) * np.sin(k * turn)])
        facing = np.clip(normals @ direction, 0, None)
        flat, height = flatten(vertices, direction, SKY_SIDE)
        nearness, numbers = np.full((SKY_SIDE, SKY_SIDE), -np.inf, np.float32), np.zeros((SKY_SIDE, SKY_SIDE), np.int32)
        draw_triangles(flat, nearness, model.triangles, sides, height, numbers)
        cell = np.clip(np.round(flat).astype(int), 0, SKY_SIDE - 1)
        seen = nearness[cell[:, 1], cell[:, 0]] < height + SKY_BIAS
        open_ += facing * seen
        whole += facing
    return np.asarray(open_ / np.maximum(whole, 1e-6), np.float32)


def flatten(vertices: Array, direction: Array, side: int) -> tuple[Array, Array]:
    """(V, 2) px on a square map seen from a direction, and (V,) mm of height towards it; both float32."""
    helper = np.array([0, 0, 1.0]) if abs(direction[2]) < 0.9 else np.array([1.0, 0, 0])
    across = np.cross(helper, direction)
    across /= np.linalg.norm(across)
    basis = np.stack([across, np.cross(direction, across)])
    flat = vertices @ basis.T
    low, high = flat.min(axis=0), flat.max(axis=0)
    return (
        np.asarray((flat - low) * (side - 1) / max((high - low).max(), 1e-6), np.float32),
        np.asarray(vertices @ direction, np.float32),
    )


def vertex_normals(vertices: Array, triangles: Array) -> Array:
    """(V, 3) unit normals out of the surface."""
    from auparity.models.synthetic.morphable.kernels import normals_of

    return np.asarray(normals_of(np.ascontiguousarray(vertices, np.float32), triangles))


def skin_triangles(model: MorphableModel) -> Array:
    """(T, 3) triangles of the face, on which landmarks are."""
    return np.asarray(model.triangles[model.part == Part.FACE])
