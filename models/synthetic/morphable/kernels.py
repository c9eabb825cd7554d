"""Compiled loops that draw triangles and strands into a depth buffer, and what prepares them.

One buffer holds 1 / z of the nearest surface of every pixel, another the number of what is there: triangles count from
0, pieces of strands from the number of triangles on. Shading (shading.py) works on the numbers afterwards, so that
every pixel is shaded once. `fastmath` is on in this package: a picture follows from its seed on one machine and one
version of Numba, and no figure is compared with another program's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.morphable.compiled import kernel

Array = npt.NDArray[Any]

#: A pixel's centre may be so far outside a triangle (share of its height): float32 must leave no gaps on shared edges.
EDGE = np.float32(1e-4)
NOTHING = -1
#: Added to squares whose root divides.
TINY = np.float32(1e-20)


@kernel(fastmath=True)
def draw_triangles(
    points: Array, nearness: Array, triangles: Array, two_sided: Array, inverse_depth: Array, numbers: Array
) -> None:
    """Draw triangles (T, 3) into `nearness` and `numbers` (H, W), in place.

    points (V, 2) float32 px; inverse_depth (V,) float32, larger is nearer and linear on the screen. Triangles that
    run clockwise on the screen are seen from behind and left out, unless two_sided (T,).
    """
    height, width = nearness.shape
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay, bx, by, cx, cy = points[i, 0], points[i, 1], points[j, 0], points[j, 1], points[k, 0], points[k, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area > np.float32(-1e-7) and not (two_sided[t] and area > np.float32(1e-7)):
            continue
        low_x, high_x = max(math.ceil(min(ax, bx, cx)), 0), min(math.floor(max(ax, bx, cx)), width - 1)
        low_y, high_y = max(math.ceil(min(ay, by, cy)), 0), min(math.floor(max(ay, by, cy)), height - 1)
        if low_x > high_x or low_y > high_y:
            continue
        inverse = np.float32(1) / area
        first_x, first_y = (by - cy) * inverse, (cx - bx) * inverse
        second_x, second_y = (cy - ay) * inverse, (ax - cx) * inverse
        na, nb, nc = inverse_depth[i], inverse_depth[j], inverse_depth[k]
        for y in range(low_y, high_y + 1):
            dy = np.float32(y)
            for x in range(low_x, high_x + 1):
                dx = np.float32(x)
                first = first_x * (dx - cx) + first_y * (dy - cy)
                second = second_x * (dx - cx) + second_y * (dy - cy)
                third = np.float32(1) - first - second
                if first >= -EDGE and second >= -EDGE and third >= -EDGE:
                    near = first * na + second * nb + third * nc
                    if near > nearness[y, x]:
                        nearness[y, x] = near
                        numbers[y, x] = t


@kernel(fastmath=True)
def draw_strands(
    points: Array, half_width: Array, inverse_depth: Array, first_number: int, nearness: Array, numbers: Array
) -> None:
    """Draw strands into `nearness` and `numbers` (H, W), in place, as bands that face the camera.

    points (S, P, 2) float32 px, half_width (S, P) px and inverse_depth (S, P) of the points of S strands; the piece
    between points p and p + 1 of strand s has the number first_number + s (P - 1) + p.
    """
    height, width = nearness.shape
    pieces = points.shape[1] - 1
    for s in range(points.shape[0]):
        for p in range(pieces):
            ax, ay, bx, by = points[s, p, 0], points[s, p, 1], points[s, p + 1, 0], points[s, p + 1, 1]
            ra, rb = half_width[s, p], half_width[s, p + 1]
            wide = max(ra, rb)
            low_x, high_x = max(math.ceil(min(ax, bx) - wide), 0), min(math.floor(max(ax, bx) + wide), width - 1)
            low_y, high_y = max(math.ceil(min(ay, by) - wide), 0), min(math.floor(max(ay, by) + wide), height - 1)
            along_x, along_y = bx - ax, by - ay
            length = along_x * along_x + along_y * along_y
            if length < np.float32(1e-9):
                continue
            inverse = np.float32(1) / length
            reach = wide * math.sqrt(length)
            near_a, near_b = inverse_depth[s, p], inverse_depth[s, p + 1]
            for y in range(low_y, high_y + 1):
                dy = np.float32(y) - ay
                first, last = low_x, high_x
                # Where a row crosses the band: the distance from the line is linear in x.
                if along_y > np.float32(1e-4) or along_y < np.float32(-1e-4):
                    middle, half = ax + dy * along_x / along_y, abs(reach / along_y)
                    first, last = max(low_x, math.ceil(middle - half)), min(high_x, math.floor(middle + half))
                for x in range(first, last + 1):
                    dx = np.float32(x) - ax
                    t = (dx * along_x + dy * along_y) * inverse
                    if t < np.float32(-0.02) or t > np.float32(1.02):
                        continue
                    off_x, off_y = dx - t * along_x, dy - t * along_y
                    r = ra + t * (rb - ra)
                    if off_x * off_x + off_y * off_y > r * r:
                        continue
                    near = near_a + t * (near_b - near_a)
                    if near > nearness[y, x]:
                        nearness[y, x] = near
                        numbers[y, x] = first_number + s * pieces + p


@kernel(fastmath=True)
def normals_of(vertices: Array, triangles: Array) -> Array:
    """(V, 3) float32 unit normals, the area-weighted mean of the triangles around each vertex."""
    out = np.zeros((vertices.shape[0], 3), np.float32)
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ux, uy, uz = (
            vertices[j, 0] - vertices[i, 0], vertices[j, 1] - vertices[i, 1], vertices[j, 2] - vertices[i, 2]
        )  # fmt: skip
        vx, vy, vz = (
            vertices[k, 0] - vertices[i, 0], vertices[k, 1] - vertices[i, 1], vertices[k, 2] - vertices[i, 2]
        )  # fmt: skip
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for corner in range(3):
            at = triangles[t, corner]
            out[at, 0] += nx
            out[at, 1] += ny
            out[at, 2] += nz
    for v in range(out.shape[0]):
        x, y, z = out[v, 0], out[v, 1], out[v, 2]
        scale = np.float32(1) / math.sqrt(x * x + y * y + z * z + TINY)
        out[v, 0], out[v, 1], out[v, 2] = x * scale, y * scale, z * scale
    return out


@kernel(fastmath=True)
def blend(rest: Array, shapes: Array, chosen: Array, strengths: Array) -> Array:
    """(V, 3) float32: rest + the chosen shapes (of (E, V, 3)) times their strengths."""
    out = rest.copy()
    for c in range(chosen.shape[0]):
        shape, strength = shapes[chosen[c]], strengths[c]
        for v in range(out.shape[0]):
            out[v, 0] += strength * shape[v, 0]
            out[v, 1] += strength * shape[v, 1]
            out[v, 2] += strength * shape[v, 2]
    return out


@kernel(fastmath=True)
def keep_outside(vertices: Array, chosen: Array, centre: Array, radius: float) -> None:
    """Move the chosen vertices that are within a ball straight out of it, in place: lids slide on the eyeball."""
    for c in range(chosen.shape[0]):
        v = chosen[c]
        x, y, z = vertices[v, 0] - centre[0], vertices[v, 1] - centre[1], vertices[v, 2] - centre[2]
        distance = math.sqrt(x * x + y * y + z * z)
        if distance < radius:
            scale = radius / distance
            vertices[v, 0], vertices[v, 1], vertices[v, 2] = (
                centre[0] + x * scale, centre[1] + y * scale, centre[2] + z * scale
            )  # fmt: skip
