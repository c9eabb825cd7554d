"""The hair of the head: cropped, combed or long, combed from a parting or out of the face, straight to curly.

A strand starts out of the scalp and goes on along the skull, as it is combed and as gravity wants it, in a shell whose
thickness is the hair's volume; below the skull it falls. It is kept out of the face unless it is a fringe.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.morphable.anatomy import Anatomy
from auparity.models.synthetic.morphable.skin import Looks, waves
from auparity.models.synthetic.morphable.strands import POINTS, Strands, _colours, _strands, _unit, roots_on
from auparity.models.synthetic.surface import step

Array = npt.NDArray[Any]

COUNT, LONG_COUNT = 2300, 1700  #: strands of short and of long hair
CHEEK = 70.0  #: mm from the middle: nearer than that long hair does not hang over the face


@dataclass(frozen=True)
class Style:
    """How hair is worn."""

    length: float  #: mm
    width: float  #: mm, half of a strand's
    rise: float  #: how steeply strands leave the scalp
    volume: float  #: mm above the skull
    gravity: float
    parting: float  #: mm from the middle
    sideways: float
    backward: float  #: negative: to the front
    fringe: float  #: mm of length of the hair over the forehead; 0: none
    curl: float  #: mm of its waves
    curl_length: float  #: mm

    @classmethod
    def sample(cls, rng: np.random.Generator, male: bool) -> Style:
        """A random style."""
        kind = rng.random() + (0.0 if male else 0.45)
        curl = float(rng.uniform(1.0, 5.0)) if rng.random() < 0.35 else float(rng.uniform(0, 0.8))
        parting = float(rng.uniform(-35, 35)) if rng.random() < 0.6 else 0.0
        back = float(rng.uniform(-0.8, 0.9))
        if kind < 0.5:
            length, width, gravity, volume = rng.uniform(5, 30), 0.5, 0.05, 2.0
        elif kind < 0.85:
            length, width, gravity, volume = rng.uniform(35, 90), 0.8, 0.35, rng.uniform(4, 14)
        else:
            length, width, gravity, volume = rng.uniform(140, 330), 1.35, 1.6, rng.uniform(3, 12)
            back = float(rng.uniform(-0.1, 0.9))
        fringe = float(rng.uniform(35, 62)) if rng.random() < (0.15 if male else 0.3) and length > 30 else 0.0
        return cls(
            float(length), width, float(rng.uniform(0.15, 1.0)), float(volume), float(gravity), parting,
            float(rng.uniform(0.2, 1.0)), back, fringe, curl, float(rng.uniform(14, 45)),
        )  # fmt: skip


def scalp_hair(
    anatomy: Anatomy, triangles: Array, looks: Looks, cover: Array, rng: np.random.Generator, *, under_hat: bool = False
) -> Strands:
    """Strands on the vertices that `cover` (V,), 0 to 1, says; a hat leaves those below the middle of the skull."""
    style, rest = Style.sample(rng, looks.male), anatomy.rest
    if under_hat:
        style = replace(style, volume=1.0, fringe=0.0, rise=min(style.rise, 0.3))
        cover = cover * (rest[:, 1] > anatomy.skull[0][1] - 0.12 * anatomy.skull[1][1])
    count = COUNT if style.length < 60 else LONG_COUNT
    roots = roots_on(rest, triangles, cover * (1 + 0.8 * (np.abs(anatomy.round) < 1.6)), count, rng)
    at = (rest[roots.vertices] * roots.weights[..., None]).sum(axis=1)
    centre, half = anatomy.skull
    around = (anatomy.round[roots.vertices] * roots.weights).sum(axis=1)
    side = np.where(at[:, 0] > style.parting, 1.0, -1.0)
    front = 1 - step((np.degrees(np.abs(around)) - 25) / 30)
    is_fringe = (front > 0.5) & (style.fringe > 0)
    field = np.stack([waves(rng, at, 28.0) for _ in range(3)], axis=1) * 0.16
    comb = np.stack([side * style.sideways, np.zeros(count), np.full(count, style.backward)], axis=1) + field
    comb[is_fringe] = np.array([0.15 * np.sign(style.parting + 0.01), 0.4, -0.8]) + field[is_fringe]
    long_front = (front > 0.2) & ~is_fringe & (style.length > 45)
    comb[long_front] += np.array([0, 0, 0.55]) + side[long_front, None] * [0.5, 0, 0]
    length = style.length * rng.uniform(0.85, 1.1, count)
    length = np.where(is_fringe, np.minimum(length, style.fringe * rng.uniform(0.8, 1.1, count)), length)
    hairline = (cover[roots.vertices] * roots.weights).sum(axis=1)
    length = np.maximum(length * (0.5 + 0.5 * step((hairline - 0.4) / 0.6)), 3.0)
    volume = style.volume * rng.uniform(0.75, 1.15, count)
    points = _grow(style, at, centre, half, comb, length, volume, is_fringe, side, rng)
    points = points + _curls(style, points, length, rng)
    colours = _colours(rng, looks.hair, count, 0.16)
    colours[:, :3] *= np.exp(0.14 * waves(rng, at, 9.0))[:, None]
    return _strands(roots, points - at[:, None], style.width, colours)


def _grow(
    style: Style, at: Array, centre: Array, half: Array, comb: Array, length: Array, volume: Array, fringe: Array,
    side: Array, rng: np.random.Generator,
) -> Array:  # fmt: skip
    """(S, POINTS, 3) mm: the strands, point by point."""
    down = np.array([0, 1.0, 0])
    hang = centre[1] + 0.45 * half[1]  # below this the skull carries no hair
    place, out = at.copy(), [at.copy()]
    spread = rng.normal(0, 0.06, at.shape)
    for k in range(1, POINTS):
        normal = _unit((place - centre) / half**2)
        along = comb + style.gravity * down * (0.4 + 0.4 * k) + spread
        on_head = place[:, 1] < hang
        along = along - np.where(on_head[:, None], (along * normal).sum(axis=1, keepdims=True) * normal, 0)
        free = ~on_head & (style.length > 45)
        along[free] = down + 0.25 * along[free] * [1, 0, 1]
        rise = style.rise * (1.0 if k == 1 else 0.35 / k) * (1.6 if style.length < 32 else 1.0)
        way = _unit(_unit(along) + rise * np.where(on_head[:, None], normal, 0))
        place = place + way * (length / (POINTS - 1))[:, None]
        shell = half + (volume * min(k / 2, 1.0))[:, None]
        scaled = np.linalg.norm((place - centre) / shell, axis=1)
        inside = (scaled < 1) & (place[:, 1] < hang + 25)
        place[inside] = centre + (place - centre)[inside] / scaled[inside, None]
        over = (place[:, 2] < centre[2] - 15) & (np.abs(place[:, 0]) < CHEEK) & (place[:, 1] > at[:, 1] + 12) & ~fringe
        if style.length > 45:
            place[over, 0] += (side[over] * CHEEK - place[over, 0]) * 0.7
        neck = (place[:, 1] > hang + 25) & (np.abs(place[:, 0]) < 62) & (place[:, 2] < centre[2] + 50)
        place[neck, 0] = np.sign(at[neck, 0] + 1e-6) * 64
        out.append(place.copy())
    return np.stack(out, axis=1)


def _curls(style: Style, points: Array, length: Array, rng: np.random.Generator) -> Array:
    """(S, POINTS, 3) mm of waves across the strands, alike in neighbours."""
    phase = 2.2 * waves(rng, points[:, 0], 18.0)
    t = np.linspace(0, 1, POINTS)[None, :]
    turn = 2 * np.pi * t * np.minimum(length[:, None] / style.curl_length, 2.5) + phase[:, None]
    size = style.curl * np.minimum(t * 2, 1)
    return np.stack([np.sin(turn) * size, 0 * turn, np.cos(turn) * size], axis=-1)
