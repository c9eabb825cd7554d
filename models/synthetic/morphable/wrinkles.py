"""The fine relief of the skin: pores, folds that age leaves and folds that action units make, as a height in mm.

Heights are functions of the place on the mean head at rest, so that folds move with the skin. Shading turns the
differences between neighbouring pixels into normals (Mikkelsen, "Bump Mapping Unparametrized Surfaces on the GPU",
2010).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.morphable.compiled import kernel
from auparity.models.synthetic.types import AU_NAMES

Array = npt.NDArray[Any]

FOREHEAD, FROWN, CROW, NOSE, NASOLABIAL, CHIN, DIMPLE, UNDER_EYE, LIP_LINES, SQUEEZE = range(10)
FOLDS = 10
#: Which action units deepen which folds, in mm at full intensity of an average person.
DEEPEN: dict[int, dict[str, float]] = {
    FOREHEAD: {"AU01": 0.40, "AU02": 0.45},
    FROWN: {"AU04": 0.65, "AU09": 0.2},
    CROW: {"AU06": 0.50, "AU07": 0.08, "AU12": 0.08},
    NOSE: {"AU09": 0.55},
    NASOLABIAL: {"AU12": 0.6, "AU10": 0.7, "AU09": 0.5, "AU06": 0.15, "AU20": 0.2, "AU14": 0.15},
    CHIN: {"AU17": 0.65, "AU15": 0.12},
    DIMPLE: {"AU14": 1.4, "AU12": 0.15},
    UNDER_EYE: {"AU06": 0.3, "AU07": 0.45},
    LIP_LINES: {"AU23": 0.30, "AU28": 0.2},
    SQUEEZE: {"AU45": 0.06, "AU07": 0.1},
}
#: What an old face shows at rest, mm.
REST = np.array([0.26, 0.16, 0.20, 0.03, 0.45, 0.06, 0.05, 0.25, 0.12, 0.05])
TABLE = np.zeros((FOLDS, len(AU_NAMES)))
for _fold, _units in DEEPEN.items():
    for _name, _depth in _units.items():
        TABLE[_fold, AU_NAMES.index(_name)] = _depth
SIDE = 64  #: cells of the cube of noise along each edge


def depths(aus: Array, age: float, folding: float) -> Array:
    """(FOLDS,) float32 mm: how deep every kind of fold is. folding: how readily a person's skin folds, 1 on average."""
    return np.asarray(REST * age**2 + folding * (0.35 + 0.75 * age) * (TABLE @ (aus / 5)), np.float32)


@lru_cache(maxsize=1)
def noise_cube() -> Array:
    """(SIDE, SIDE, SIDE) float32 random numbers of unit variance, the same for everybody."""
    return np.random.default_rng(97).standard_normal((SIDE, SIDE, SIDE), dtype=np.float32)


def anchors(landmarks: Array) -> Array:
    """(12, 3) float32 places that folds are about, from the mean head's landmarks (68, 3)."""
    marks = landmarks
    return np.asarray(
        [
            marks[[19, 24]].mean(axis=0), marks[[21, 22]].mean(axis=0), marks[36], marks[45], marks[27], marks[8],
            marks[48], marks[54], marks[[40, 41]].mean(axis=0), marks[[46, 47]].mean(axis=0), marks[33],
            marks[57],
        ],
        np.float32,
    )  # fmt: skip


@kernel(fastmath=True)
def noise(cube: Array, x: float, y: float, z: float) -> float:
    """Smooth noise at a place in cells of the cube, which repeats."""
    fx, fy, fz = math.floor(x), math.floor(y), math.floor(z)
    i, j, k = int(fx) & (SIDE - 1), int(fy) & (SIDE - 1), int(fz) & (SIDE - 1)
    u, v, w = x - fx, y - fy, z - fz
    u, v, w = u * u * (3 - 2 * u), v * v * (3 - 2 * v), w * w * (3 - 2 * w)
    i1, j1, k1 = (i + 1) & (SIDE - 1), (j + 1) & (SIDE - 1), (k + 1) & (SIDE - 1)
    low = (cube[i, j, k] * (1 - u) + cube[i1, j, k] * u) * (1 - v) + (
        cube[i, j1, k] * (1 - u) + cube[i1, j1, k] * u
    ) * v
    high = (cube[i, j, k1] * (1 - u) + cube[i1, j, k1] * u) * (1 - v) + (
        cube[i, j1, k1] * (1 - u) + cube[i1, j1, k1] * u
    ) * v
    return low * (1 - w) + high * w


@kernel(fastmath=True)
def field(cube: Array, places: Array, shift: Array, frequency: float) -> Array:
    """(n,) noise at places (n, 3), moved by `shift` (3,) cells, brought to about unit variance."""
    out = np.empty(places.shape[0])
    for n in range(places.shape[0]):
        x, y, z = places[n, 0] * frequency, places[n, 1] * frequency, places[n, 2] * frequency
        # Two lattices that are turned against each other hide the cells' edges.
        first = noise(cube, x + shift[0], y + shift[1], z + shift[2])
        second = noise(cube, 0.8 * x - 0.6 * y + shift[1], 0.6 * x + 0.8 * y + shift[2], z + shift[0])
        out[n] = 1.25 * (first + second)
    return out


@kernel(fastmath=True)
def _window(distance: float, size: float) -> Any:
    """1 at 0, falling smoothly to 0 at `size`."""
    t = distance / size
    if t < 0:
        t = -t
    if t >= 1:
        return np.float32(0)
    return (1 - t * t) * (1 - t * t)


@kernel(fastmath=True)
def _line(phase: float) -> Any:
    """A narrow groove for every whole turn of `phase`, 0 to 1."""
    part = phase - math.floor(phase) - np.float32(0.5)
    t = part * np.float32(4.5)
    if t < 0:
        t = -t
    if t >= 1:
        return np.float32(0)
    return (1 - t * t) * (1 - t * t)


@kernel(fastmath=True)
def height(x: float, y: float, z: float, fold: float, lips: float, depth: Array, places: Array, cube: Array) -> float:
    """mm of relief at a place of the mean head at rest, negative in folds, without pores."""
    out = np.float32(0)
    side = x if x > 0 else -x
    bend = noise(cube, x * np.float32(0.05), y * np.float32(0.05), z * np.float32(0.05))
    above = places[0, 1] - y
    if above > -4 and above < 48 and depth[0] > 0:
        weight = _window(above - 22, 28) * _window(side, 62)
        out -= depth[0] * weight * _line((above - np.float32(0.004) * x * x) / 10 + np.float32(0.22) * bend)
    dy = y - places[1, 1]
    if side < 16 and dy > -22 and dy < 16:
        out -= depth[1] * _window(side - 7 - np.float32(0.12) * (0 - dy) - bend, 3) * _window(dy + 3, 18)
        out -= np.float32(0.5) * depth[1] * _window(side - 2 - bend, 2) * _window(dy + 4, 14)
    eye = 2 if x < 0 else 3
    dx, dy = side - (places[eye, 0] if places[eye, 0] > 0 else -places[eye, 0]), y - places[eye, 1]
    if dx > 2 and dx < 32:
        angle = math.atan2(dy, dx)
        out -= (
            depth[2]
            * _window(dx - 14, 15)
            * _window(angle, 1)
            * _line(angle * np.float32(2.6) + np.float32(0.2) * bend)
        )
    dy = y - places[4, 1]
    if side < 18 and dy > -8 and dy < 26:
        out -= (
            depth[3]
            * _window(side - 8, 9)
            * _window(dy - 8, 17)
            * _line((dy + np.float32(0.9) * side) / 6 + np.float32(0.2) * bend)
        )
    if fold < 7:
        out -= depth[4] * _window(fold, np.float32(4.5))
    elif fold < 14:
        out += np.float32(0.25) * depth[4] * _window(fold - 9, 6)
    dy = y - places[5, 1]
    if side < 24 and dy > -34 and dy < 8:
        pits = noise(cube, x * np.float32(0.33), y * np.float32(0.33), z * np.float32(0.33) + 7)
        out += depth[5] * np.float32(0.45) * pits * _window(side, 22) * _window(dy + 13, 20)
        out -= depth[5] * np.float32(0.8) * _window(dy + 27 + np.float32(0.02) * x * x, 6) * _window(side, 22)
    corner = 6 if x < 0 else 7
    dx, dy = side - (places[corner, 0] if places[corner, 0] > 0 else -places[corner, 0]) - 4, y - places[corner, 1]
    out -= depth[6] * _window(math.sqrt(dx * dx + np.float32(0.35) * dy * dy), 5)
    lid = 8 if x < 0 else 9
    dx, dy = x - places[lid, 0], y - places[lid, 1]
    if dy > 1 and dy < 16 and dx > -22 and dx < 22:
        arc = dy + np.float32(0.010) * dx * dx
        out -= depth[7] * _window(dx, 22) * (_window(arc - 4, 3) * np.float32(0.5) + _window(arc - 10 - bend, 4))
    if lips > 0:
        out -= (np.float32(0.06) + depth[8]) * lips * _line(x / np.float32(2.3) + np.float32(0.25) * bend)
    return out
