"""Light on gathered pixels (shading.py), shadows, and the reduction to a picture's own pixels.

Diffuse light wraps round skin, which scatters it, and red farthest: the wrap by colour channel stands for subsurface
scattering. Sky and ground add to it where the surface is open to them. Highlights have two lobes and Fresnel's factor
(Schlick 1994); hair reflects as fibres do (Kajiya and Kay 1989).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.morphable.compiled import kernel
from auparity.models.synthetic.morphable.kernels import TINY
from auparity.models.synthetic.morphable.shading import EYE, SKIN, STRAND, WET

Array = npt.NDArray[Any]

GAMMA = np.float32(1 / 2.2)
#: How far diffuse light wraps round skin, by channel.
WRAP = np.array([0.42, 0.20, 0.12], np.float32)


@kernel(fastmath=True)
def shadow(depths: Array, basis: Array, x: float, y: float, z: float, bias: float) -> Any:
    """0 in shadow to 1 in light: the share of nine cells of a depth map (side, side) that are no higher.

    basis (3, 4) float32: rows give the column and row of the map and the height towards the light, mm.
    """
    side = depths.shape[0]
    u = basis[0, 0] * x + basis[0, 1] * y + basis[0, 2] * z + basis[0, 3]
    v = basis[1, 0] * x + basis[1, 1] * y + basis[1, 2] * z + basis[1, 3]
    h = basis[2, 0] * x + basis[2, 1] * y + basis[2, 2] * z + basis[2, 3] + bias
    fu, fv = math.floor(u), math.floor(v)
    i, j = int(fu), int(fv)
    if i < 1 or j < 1 or i >= side - 2 or j >= side - 2:
        return np.float32(1)
    a, b = u - fu, v - fv
    out = np.float32(0)
    for dj in range(-1, 3):
        wy = (1 - b) if dj == -1 else (b if dj == 2 else np.float32(1))
        for di in range(-1, 3):
            wx = (1 - a) if di == -1 else (a if di == 2 else np.float32(1))
            if depths[j + dj, i + di] <= h:
                out += wx * wy
    return out / 9


@kernel(fastmath=True)
def illuminate(pixels: Array, lights: Array, ambient: Array, maps: Array, bases: Array) -> Array:
    """(n, 3) float32 linear radiance of gathered pixels.

    lights (L, 6): direction from which light comes and its colour; ambient (3, 3): sky, ground, and the side that the
    sky is brighter on (x, y unused); maps (M, side, side) and bases (M, 3, 4): depth maps of the first M lights.
    """
    out = np.zeros((pixels.shape[0], 3), np.float32)
    received, shine = np.zeros(3, np.float32), np.zeros(3, np.float32)
    for n in range(pixels.shape[0]):
        nx, ny, nz = pixels[n, 0], pixels[n, 1], pixels[n, 2]
        x, y, z = pixels[n, 3], pixels[n, 4], pixels[n, 5]
        what = int(pixels[n, 12])
        far = 1 / math.sqrt(x * x + y * y + z * z)
        vx, vy, vz = -x * far, -y * far, -z * far
        open_ = pixels[n, 11]
        tx, ty, tz = nx, ny, nz
        if what == STRAND:  # the normal of a hair that faces the viewer
            along = nx * vx + ny * vy + nz * vz
            nx, ny, nz = vx - along * nx, vy - along * ny, vz - along * nz
            long = 1 / math.sqrt(nx * nx + ny * ny + nz * nz + TINY)
            nx, ny, nz = nx * long, ny * long, nz * long
        up = np.float32(0.5) * (1 - ny)
        lean = 1 + np.float32(0.35) * nx * ambient[2, 0]
        for c in range(3):
            received[c] = (ambient[0, c] * up + ambient[1, c] * (1 - up)) * open_ * lean
            shine[c] = 0
        facing_viewer = max(nx * vx + ny * vy + nz * vz, np.float32(0))
        fresnel = np.float32(0.04) + np.float32(0.55) * (1 - facing_viewer) ** 5
        for k in range(lights.shape[0]):
            lx, ly, lz = lights[k, 0], lights[k, 1], lights[k, 2]
            facing = nx * lx + ny * ly + nz * lz
            lit = np.float32(1)
            if k < maps.shape[0]:
                bias = np.float32(2.5) if what != STRAND else np.float32(6)
                lit = shadow(maps[k], bases[k], x + 2 * nx, y + 2 * ny, z + 2 * nz, bias)
            else:
                lit = np.float32(0.25) + np.float32(0.75) * open_
            if what == SKIN:
                for c in range(3):
                    wrapped = (facing + WRAP[c]) / (1 + WRAP[c])
                    if wrapped > 0:
                        # Light that scatters out of a shadow's edge is red.
                        through = lit + (1 - lit) * lit * (np.float32(0.55) if c == 0 else np.float32(0.1))
                        received[c] += wrapped * through * lights[k, 3 + c]
            elif what == STRAND:
                along = tx * lx + ty * ly + tz * lz
                around = math.sqrt(max(1 - along * along, np.float32(0)))
                for c in range(3):
                    received[c] += (
                        np.float32(0.55)
                        * around
                        * lit
                        * lights[k, 3 + c]
                        * (np.float32(0.35) + np.float32(0.65) * max(facing, np.float32(0)))
                    )
            else:
                for c in range(3):
                    received[c] += (
                        max(facing + np.float32(0.05), np.float32(0)) / np.float32(1.05) * lit * lights[k, 3 + c]
                    )
            hx, hy, hz = lx + vx, ly + vy, lz + vz
            long = 1 / math.sqrt(hx * hx + hy * hy + hz * hz + TINY)
            if what == STRAND:
                along = (tx * hx + ty * hy + tz * hz) * long
                peak = max(1 - along * along, np.float32(0)) ** 40 * lit
                for c in range(3):
                    shine[c] += (
                        pixels[n, 9]
                        * peak
                        * lights[k, 3 + c]
                        * (np.float32(0.02) + np.float32(0.25) * pixels[n, 6 + c])
                    )
                continue
            if facing <= 0:
                continue
            cosine = max((nx * hx + ny * hy + nz * hz) * long, np.float32(0))
            if what == EYE:
                peak = cosine**900 * 26 + cosine**60 * np.float32(0.25)
            elif what == WET:
                peak = cosine**90 * 2
            elif what == SKIN:
                peak = cosine**14 * np.float32(0.75) + cosine**55 * np.float32(1.1)
            else:
                peak = cosine**30
            for c in range(3):
                shine[c] += pixels[n, 9] * peak * fresnel * facing * lit * lights[k, 3 + c] * np.float32(2.2)
        for c in range(3):
            sky = (ambient[0, c] * up + ambient[1, c] * (1 - up)) * pixels[n, 9] * fresnel * open_
            if what == STRAND:
                sky = np.float32(0)
            out[n, c] = pixels[n, 6 + c] * received[c] + shine[c] + np.float32(0.45) * sky
    return out


@kernel(fastmath=True)
def resolve(radiance: Array, rows: Array, fine: int) -> Array:
    """(H, W, 4) float32: BGR times coverage, and coverage, of blocks of `fine` x `fine` places (module docstring)."""
    height, width = rows.shape[0] // fine, rows.shape[1] // fine
    out = np.zeros((height, width, 4), np.float32)
    for y in range(height):
        for x in range(width):
            red, green, blue, covered = np.float32(0), np.float32(0), np.float32(0), 0
            for j in range(y * fine, y * fine + fine):
                for i in range(x * fine, x * fine + fine):
                    n = rows[j, i]
                    if n >= 0:
                        covered += 1
                        # Below 0 where a triangle is seen so edge-on that colours are extrapolated beyond its corners.
                        red += max(min(radiance[n, 0], np.float32(1.5)), np.float32(0))
                        green += max(min(radiance[n, 1], np.float32(1.5)), np.float32(0))
                        blue += max(min(radiance[n, 2], np.float32(1.5)), np.float32(0))
            if covered > 0:
                share = np.float32(covered) / (fine * fine)
                inverse = np.float32(1) / covered
                out[y, x, 0] = share * min(blue * inverse, np.float32(1)) ** GAMMA
                out[y, x, 1] = share * min(green * inverse, np.float32(1)) ** GAMMA
                out[y, x, 2] = share * min(red * inverse, np.float32(1)) ** GAMMA
                out[y, x, 3] = share
    return out
