"""What the depth buffer shows, place by place: which places are shaded, their surface, colour and relief; compiled.

`choose` takes one place for a pixel that is all smooth skin or cloth, and more of the others. `gather` finds place,
normal, material and colour of each; skin gets its fine colour (freckles, stubble, mottling) and its relief there, by
which `relief_normals` bends the normals. Light falls on them in light.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.morphable.compiled import kernel
from auparity.models.synthetic.morphable.eye_colour import eye_colour
from auparity.models.synthetic.morphable.kernels import TINY
from auparity.models.synthetic.morphable.wrinkles import height, noise

Array = npt.NDArray[Any]

SKIN, WET, EYE, CLOTH, SOLID, STRAND = range(6)
#: Columns of a gathered place: normal (0 to 2), place (3 to 5, mm), colour (6 to 8), shine (9), relief (10, mm), how
#: open it is to the sky (11), material (12).
GATHERED = 13


@kernel(fastmath=True)
def choose(numbers: Array, nearness: Array, material: Array, fine: int) -> tuple[Array, Array]:
    """Which places are shaded: (H, W) int32 row of every place, -1 for none, and (n, 3) int32 column, row and step.

    A block of `fine` x `fine` places makes a pixel. Where all of a block is smooth skin or cloth, one of its places
    stands for all, and the next is `fine` away; where all is hair, some places take their left neighbour's colour.
    """
    height, width = numbers.shape
    rows = np.full((height, width), -1, np.int32)
    places = np.empty((height * width, 3), np.int32)
    n = 0
    total = material.shape[0]
    for top in range(0, height, fine):
        for left in range(0, width, fine):
            first = numbers[top, left]
            hair, smooth = first >= total, 0 <= first < total
            kind = material[first] if smooth else STRAND
            smooth = smooth and (kind in (SKIN, CLOTH))
            near, far = np.float32(0), np.float32(1e9)
            for y in range(top, top + fine):
                for x in range(left, left + fine):
                    t = numbers[y, x]
                    hair = hair and t >= total
                    smooth = smooth and 0 <= t < total and material[t] == kind
                    near, far = max(near, nearness[y, x]), min(far, nearness[y, x])
            if smooth and near - far < np.float32(0.006) * near:
                middle = fine // 2
                places[n, 0], places[n, 1], places[n, 2] = left + middle, top + middle, fine
                for y in range(top, top + fine):
                    for x in range(left, left + fine):
                        rows[y, x] = n
                n += 1
                continue
            for y in range(top, top + fine):
                for x in range(left, left + fine):
                    if hair and (x + y) & 1 and x > left:
                        rows[y, x] = n - 1
                    elif numbers[y, x] >= 0:
                        places[n, 0], places[n, 1], places[n, 2] = x, y, 1
                        rows[y, x] = n
                        n += 1
    return rows, places[:n].copy()


@kernel(fastmath=True)
def gather(
    shaded: Array,
    numbers: Array,
    nearness: Array,
    points: Array,
    triangles: Array,
    material: Array,
    table: Array,
    strands: Array,
    strand_table: Array,
    look: Array,
    folds: Array,
    places: Array,
    cube: Array,
    eyes: Array,
    camera: Array,
) -> Array:
    """(n, GATHERED) float32 of the places that `choose` chose.

    table (V, 18): normal, place, rest place and skin columns of vertices. strands (S, P, 3) their points in mm,
    strand_table (S, 4): colour and shine. look (4,): mm a pixel at the face, freckle darkness, stubble colour, pores.
    eyes: what `eye_colour` needs. camera (3,): focal length, centre.
    """
    out = np.zeros((shaded.shape[0], GATHERED), np.float32)
    total = triangles.shape[0]
    pieces = strands.shape[1] - 1
    values = np.zeros(table.shape[1], np.float32)
    for n in range(shaded.shape[0]):
        x, y = shaded[n, 0], shaded[n, 1]
        t = numbers[y, x]
        depth = 1 / nearness[y, x]
        out[n, 3] = (np.float32(x) - camera[1]) / camera[0] * depth
        out[n, 4] = (np.float32(y) - camera[2]) / camera[0] * depth
        out[n, 5] = depth
        if t >= total:
            piece = t - total
            strand = piece // pieces
            piece -= strand * pieces
            for c in range(3):
                out[n, c] = strands[strand, piece + 1, c] - strands[strand, piece, c]
                out[n, 6 + c] = strand_table[strand, c]
            out[n, 9] = strand_table[strand, 3]
            out[n, 11] = np.float32(0.35) + np.float32(0.45) * np.float32(piece) / pieces
            out[n, 12] = STRAND
            long = 1 / math.sqrt(out[n, 0] ** 2 + out[n, 1] ** 2 + out[n, 2] ** 2 + TINY)
            for c in range(3):
                out[n, c] *= long
            continue
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay, bx, by, cx, cy = points[i, 0], points[i, 1], points[j, 0], points[j, 1], points[k, 0], points[k, 1]
        inverse = 1 / ((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))
        dx, dy = np.float32(x) - cx, np.float32(y) - cy
        first = ((by - cy) * dx + (cx - bx) * dy) * inverse
        second = ((cy - ay) * dx + (ax - cx) * dy) * inverse
        third = (1 - first - second) / table[k, 5]
        first, second = first / table[i, 5], second / table[j, 5]
        scale = 1 / (first + second + third)
        first, second, third = first * scale, second * scale, third * scale
        for c in range(table.shape[1]):
            values[c] = first * table[i, c] + second * table[j, c] + third * table[k, c]
        size = math.sqrt(values[0] ** 2 + values[1] ** 2 + values[2] ** 2 + TINY)
        side = np.float32(1)
        if values[0] * out[n, 3] + values[1] * out[n, 4] + values[2] * out[n, 5] > 0 and material[t] >= CLOTH:
            side = np.float32(-1)
        for c in range(3):
            out[n, c] = side * values[c] / size
            out[n, 6 + c] = values[9 + c]
        out[n, 9] = values[12]
        out[n, 11] = values[16]
        out[n, 12] = material[t]
        if material[t] == SKIN:
            rx, ry, rz = values[6], values[7], values[8]
            fade = min(max(np.float32(1.6) - look[0] * np.float32(shaded[n, 2]), np.float32(0)), np.float32(1))
            grain = noise(cube, rx * np.float32(0.9), ry * np.float32(0.9), rz * np.float32(0.9))
            pores = noise(cube, rx * np.float32(2.1), ry * np.float32(2.1), rz * np.float32(2.1) + 5)
            relief = look[3] * fade * (np.float32(0.022) * grain + np.float32(0.016) * pores * fade)
            out[n, 10] = relief + height(rx, ry, rz, values[17], values[15], folds, places, cube)
            shade = 1 + np.float32(0.03) * grain * fade + np.float32(0.02) * pores * fade
            if values[13] > np.float32(0.01):
                spot = noise(cube, rx * np.float32(0.75), ry * np.float32(0.75), rz * np.float32(0.75) + 31)
                dark = min(max((spot - np.float32(0.45)) * np.float32(1.3), np.float32(0)), np.float32(1)) * values[13]
                shade *= 1 - look[1] * dark
            for c in range(3):
                out[n, 6 + c] *= shade
            if values[14] > np.float32(0.02):
                hairs = noise(cube, rx * np.float32(1.5), ry * np.float32(1.1) + 13, rz * np.float32(1.5))
                cover = min(
                    max(values[14] * (np.float32(0.42) + np.float32(0.4) * hairs * fade), np.float32(0)),
                    np.float32(0.85),
                )
                for c in range(3):
                    out[n, 6 + c] = (
                        out[n, 6 + c] * (1 - cover)
                        + (np.float32(0.25) * out[n, 6 + c] + look[2] * np.float32(0.5)) * cover
                    )
                out[n, 9] *= 1 - np.float32(0.6) * cover
        elif material[t] == EYE:
            eye_colour(out[n], values, eyes, cube)
        elif material[t] == CLOTH:
            weave = noise(cube, values[6] * np.float32(0.6), values[7] * np.float32(0.6), values[8] * np.float32(0.6))
            for c in range(3):
                out[n, 6 + c] *= 1 + np.float32(0.10) * weave
    return out


@kernel(fastmath=True)
def relief_normals(pixels: Array, shaded: Array, rows: Array) -> None:
    """Bend the normals of skin by differences of the relief to the place on the right and below, in place."""
    height, width = rows.shape
    bent = np.empty((pixels.shape[0], 3), np.float32)
    for n in range(pixels.shape[0]):
        bent[n, 0], bent[n, 1], bent[n, 2] = pixels[n, 0], pixels[n, 1], pixels[n, 2]
        x, y, step = shaded[n, 0], shaded[n, 1], shaded[n, 2]
        if pixels[n, 12] != SKIN or x + step >= width or y + step >= height:
            continue
        right, down = rows[y, x + step], rows[y + step, x]
        if right < 0 or down < 0 or pixels[right, 12] != SKIN or pixels[down, 12] != SKIN:
            continue
        ax, ay, az = pixels[right, 3] - pixels[n, 3], pixels[right, 4] - pixels[n, 4], pixels[right, 5] - pixels[n, 5]
        bx, by, bz = pixels[down, 3] - pixels[n, 3], pixels[down, 4] - pixels[n, 4], pixels[down, 5] - pixels[n, 5]
        if az * az + bz * bz > np.float32(12) * (ax * ax + by * by):
            continue
        u, v = pixels[right, 10] - pixels[n, 10], pixels[down, 10] - pixels[n, 10]
        nx, ny, nz = pixels[n, 0], pixels[n, 1], pixels[n, 2]
        # Gradient of the relief on the surface: (b x n) u + (n x a) v over the area.
        px, py, pz = by * nz - bz * ny, bz * nx - bx * nz, bx * ny - by * nx
        qx, qy, qz = ny * az - nz * ay, nz * ax - nx * az, nx * ay - ny * ax
        area = ax * px + ay * py + az * pz
        if area < np.float32(1e-6) and area > np.float32(-1e-6):
            continue
        gx, gy, gz = (px * u + qx * v) / area, (py * u + qy * v) / area, (pz * u + qz * v) / area
        limit = min(np.float32(1), np.float32(0.9) / math.sqrt(gx * gx + gy * gy + gz * gz + TINY))
        nx, ny, nz = nx - limit * gx, ny - limit * gy, nz - limit * gz
        long = 1 / math.sqrt(nx * nx + ny * ny + nz * nz)
        bent[n, 0], bent[n, 1], bent[n, 2] = nx * long, ny * long, nz * long
    for n in range(pixels.shape[0]):
        pixels[n, 0], pixels[n, 1], pixels[n, 2] = bent[n, 0], bent[n, 1], bent[n, 2]
