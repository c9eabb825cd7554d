"""Hair as strands: of the head, brows, lashes, beard and moustache. A strand is a line of seven points with a width.

Roots are drawn on the triangles of the mean head with a density that a region states, so they move with the skin. What
is drawn is fewer and thicker than hair: a strand stands for the lock of hairs that a pixel shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.morphable.anatomy import Anatomy
from auparity.models.synthetic.morphable.skin import Looks
from auparity.models.synthetic.morphable.surface import Attachment
from auparity.models.synthetic.surface import step

Array = npt.NDArray[Any]

POINTS = 7
TAPER = np.array([0.9, 1.0, 1.0, 0.95, 0.85, 0.65, 0.3])  #: width along a strand
WIDEST = 1  #: the point where it is whole
LASHES = 36  #: of one lid
#: Fractions of multiples of this lie evenly, whatever their number.
EVENLY = 0.6180339887498949


@dataclass(frozen=True, eq=False)
class Strands:
    """S strands in head coordinates."""

    roots: Attachment
    offsets: Array  #: (S, POINTS, 3) mm from the root
    half_width: Array  #: (S, POINTS) mm
    table: Array  #: (S, 4) float32 linear RGB and shine
    follows: Array  #: (S,) bool: turns with the skin at the root, as lashes do
    rank: Array  #: (S,) 0 to 1, evenly: which strands are left out first where not all are drawn

    @classmethod
    def joined(cls, groups: list[Strands]) -> Strands:
        """All strands of several groups."""
        return cls(
            Attachment(
                np.concatenate([g.roots.vertices for g in groups]), np.concatenate([g.roots.weights for g in groups])
            ),
            np.concatenate([g.offsets for g in groups]),
            np.concatenate([g.half_width for g in groups]),
            np.concatenate([g.table for g in groups]).astype(np.float32),
            np.concatenate([g.follows for g in groups]),
            np.concatenate([g.rank for g in groups]),
        )


def _strands(roots: Attachment, offsets: Array, width: float, table: Array, *, follows: bool = False) -> Strands:
    """Strands whose `width` is half their width, mm; they taper towards the tip."""
    count = len(offsets)
    half = np.broadcast_to(width * TAPER, (count, POINTS))
    rank = (np.arange(count) * EVENLY) % 1.0
    return Strands(roots, offsets, half, table, np.full(count, follows), rank)


def roots_on(vertices: Array, triangles: Array, density: Array, count: int, rng: np.random.Generator) -> Attachment:
    """`count` random places on triangles (T, 3), as dense as `density` (V,) says."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    weight = area * density[triangles].mean(axis=1)
    chosen = rng.choice(len(triangles), count, p=weight / weight.sum())
    u, v = rng.random((2, count))
    flip = u + v > 1
    u, v = np.where(flip, 1 - u, u), np.where(flip, 1 - v, v)
    return Attachment(triangles[chosen].astype(np.int64), np.stack([1 - u - v, u, v], axis=1))


def _unit(vectors: Array) -> Array:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9))


def _colours(rng: np.random.Generator, colour: Array, count: int, spread: float = 0.22) -> Array:
    shade = np.exp(rng.normal(0, spread, (count, 1)))
    return np.concatenate([np.clip(colour * shade, 0.002, 0.9), np.ones((count, 1))], axis=1).astype(np.float32)


def curved(root_direction: Array, tip_direction: Array, length: Array) -> Array:
    """(S, POINTS, 3) offsets of arcs that leave in one direction (S, 3) and end in another."""
    t = np.linspace(0, 1, POINTS)[None, :, None]
    return np.asarray(
        (root_direction[:, None] * (t - t * t / 2) + tip_direction[:, None] * t * t / 2) * length[:, None, None]
    )


def brows(
    anatomy: Anatomy, triangles: Array, looks: Looks, ridges: Array, rng: np.random.Generator
) -> tuple[Strands, Array]:
    """Both brows, and (V,) how much of the skin between their hairs is dark.

    ridges: (2, 5, 3) the middle line of each on the mean head, from the inner end outwards.
    """
    rest = anatomy.rest
    dark = np.zeros(len(rest))
    thick, fullness = rng.uniform(2.6, 5.2) + 0.8 * looks.male, rng.uniform(0.45, 1.0)
    groups = []
    for ridge in ridges:
        sign = np.sign(ridge[-1, 0])
        t, away = _along(rest, ridge)
        half = thick * np.interp(t, [0, 0.15, 0.6, 1], [0.75, 1.0, 0.85, 0.35])
        density = step((half - np.abs(away)) / 2.2 + 0.35) * ((t > -0.03) & (t < 1.02)) * ~anatomy.inside
        if not (density[triangles].mean(axis=1) > 0).any():
            continue
        dark = np.maximum(dark, density * (0.25 + 0.5 * fullness))
        count = int(650 * fullness)
        roots = roots_on(rest, triangles, density, count, rng)
        at = (rest[roots.vertices] * roots.weights[..., None]).sum(axis=1)
        t, away = _along(at, ridge)
        normal = _unit(at - np.array([0, at[:, 1].mean(), ridge[:, 2].mean() + 60]))
        tangent = _unit(ridge[-1] - ridge[0])
        upward = np.interp(t, [0, 0.2, 0.6, 1], [1.5, 0.7, 0.15, -0.3]) - 0.12 * away
        way = _unit(tangent + upward[:, None] * np.array([0, -1.0, 0]) + rng.normal(0, 0.12, (count, 3)))
        length = rng.uniform(4.0, 8.0, count) * np.interp(t, [0, 0.3, 1], [0.8, 1.0, 0.8])
        offsets = curved(_unit(way + 0.35 * normal), _unit(way - 0.10 * normal + [sign * 0.1, 0.1, 0]), length)
        offsets = offsets + 0.3 * normal[:, None]
        groups.append(_strands(roots, offsets, 0.15, _colours(rng, looks.brows, count)))
    return Strands.joined(groups), dark


def _along(points: Array, ridge: Array) -> tuple[Array, Array]:
    """(n,) share of a line's length at which points (n, 3) are, and (n,) mm below it as seen from in front."""
    flat = ridge[:, :2]
    lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(flat, axis=0), axis=1))])
    best, share, away = np.full(len(points), np.inf), np.zeros(len(points)), np.full(len(points), 99.0)
    for k in range(len(flat) - 1):
        along = flat[k + 1] - flat[k]
        t = ((points[:, :2] - flat[k]) @ along) / float(along @ along)
        inner = np.clip(t, -0.3 if k == 0 else 0, 1.3 if k == len(flat) - 2 else 1)
        off = points[:, :2] - flat[k] - inner[:, None] * along
        distance = np.hypot(off[:, 0], off[:, 1])
        nearer = distance < best
        best[nearer] = distance[nearer]
        share[nearer] = (lengths[k] + inner[nearer] * (lengths[k + 1] - lengths[k])) / lengths[-1]
        away[nearer] = np.sign(off[nearer, 1]) * distance[nearer]
    return share, away


def lashes(margins: tuple[Attachment, ...], at: Array, eyes: Array, looks: Looks, rng: np.random.Generator) -> Strands:
    """Lashes of four lids; margins: roots (LASHES each) of upper and lower lid, left and right; at: their places."""
    groups = []
    length_up, length_down = rng.uniform(4.5, 8.0) - 1.0 * looks.male, rng.uniform(1.8, 3.4)
    dark = np.minimum(looks.brows * 0.5, 0.05)
    width = rng.uniform(0.07, 0.12) + 0.05 * (looks.lipstick_strength > 0)
    for k, (roots, places) in enumerate(zip(margins, at, strict=True)):
        upper, eye = k % 2 == 0, eyes[k // 2]
        out = _unit(places - eye)
        sideways = np.linspace(-1, 1, len(places))[:, None] * np.array([0.55, 0, 0])
        vertical = np.array([0, -1.0, 0]) if upper else np.array([0, 1.0, 0])
        start = _unit(out + 0.25 * sideways + (0.0 if upper else 0.3) * vertical + rng.normal(0, 0.08, out.shape))
        end = _unit(0.55 * out + sideways + (1.15 if upper else 0.8) * vertical + rng.normal(0, 0.1, out.shape))
        length = (length_up if upper else length_down) * rng.uniform(0.7, 1.1, len(places))
        keep = np.flatnonzero(rng.random(len(places)) < (0.95 if upper else 0.6))
        roots_kept = Attachment(roots.vertices[keep], roots.weights[keep])
        colours = _colours(rng, dark, len(keep)) * np.array([1, 1, 1, 0.3], np.float32)
        groups.append(_strands(roots_kept, curved(start, end, length)[keep], width, colours, follows=True))
    return Strands.joined(groups)


def beard(anatomy: Anatomy, triangles: Array, looks: Looks, rng: np.random.Generator) -> Strands | None:
    """A beard, a moustache or both, or none."""
    kind = rng.random()
    region = anatomy.regions["beard"].copy()
    rest, lip = anatomy.rest, anatomy.regions["lips"]
    above = step((anatomy.regions["beard"] * 0 + _mouth_height(anatomy) - rest[:, 1]) / 4 + 0.5)
    if kind < 0.25:  # moustache only
        region *= above * (np.abs(rest[:, 0]) < 34)
    elif kind < 0.45:  # round the mouth
        region *= np.abs(rest[:, 0]) < 36
    elif kind < 0.52:
        region *= 1 - above
    density = step((region - 0.25) / 0.4) * (lip < 0.15)
    if not (density[triangles].mean(axis=1) > 0.01).any():
        return None
    share = float(density.sum() / max(step((anatomy.regions["beard"] - 0.25) / 0.4).sum(), 1e-6))
    count = max(int(3000 * share), 200)
    roots = roots_on(rest, triangles, density, count, rng)
    at = (rest[roots.vertices] * roots.weights[..., None]).sum(axis=1)
    full = (density[roots.vertices] * roots.weights).sum(axis=1)
    normal = _unit(at - [0, at[:, 1].mean() - 10, anatomy.lip_front + 75])
    down = np.array([0, 1.0, 0]) + np.sign(at[:, :1]) * [0.35, 0, 0] + rng.normal(0, 0.2, (count, 3))
    length = rng.uniform(3, 20) * rng.uniform(0.6, 1.2, count) * (0.25 + 0.75 * full**2)
    near_mouth = np.exp(-np.abs(at[:, 1] - _mouth_height(anatomy)) / 12)
    length = 1.5 + length * (1 - 0.55 * near_mouth)
    offsets = curved(_unit(normal + 0.7 * down), _unit(down + 0.1 * normal), length)
    return _strands(roots, offsets, 0.33, _colours(rng, looks.hair * rng.uniform(0.7, 1.1), count, 0.2))


def _mouth_height(anatomy: Anatomy) -> float:
    lips = anatomy.regions["lips"] > 0.5
    return float(anatomy.rest[lips, 1].mean()) if lips.any() else 30.0
