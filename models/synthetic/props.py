"""What belongs to a head besides its skin: eyeballs, teeth, tongue, ears, hair that hangs, glasses, neck and shoulders.

Every prop is a mesh in head coordinates (mm) with a material and two texture coordinates a vertex; `render` moves them
with the head, the jaw, the gaze or the trunk. Triangles run counter-clockwise as seen from outside on a screen with y
down, as those of the head do.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.surface import EYE_RADIUS, RADIUS, base

Array = npt.NDArray[Any]


class Material(IntEnum):
    """How a surface is coloured."""

    SKIN = 0  #: from the person's texture; coordinates are texture pixels
    EYE = 1  #: coordinates are the angle from the axis of gaze (rad), split in two directions
    TEETH = 2
    MOUTH = 3  #: coordinates are brightness and paleness
    HAIR = 4
    PLAIN_SKIN = 5
    CLOTH = 6
    FRAME = 7


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles with one material."""

    vertices: Array  #: (V, 3) mm
    triangles: Array  #: (T, 3)
    material: Material
    uv: Array  #: (V, 2)


def sheet(grid: Array, material: Material, uv: Array | None = None, *, both_sides: bool = False) -> Mesh:
    """A mesh from a (rows, columns, 3) grid of points whose normal, columns x rows, points away from the camera."""
    rows, columns = grid.shape[:2]
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1].ravel(), index[:-1, 1:].ravel(), index[1:, 1:].ravel(), index[1:, :-1].ravel()
    triangles = np.concatenate([np.stack([a, c, b], 1), np.stack([a, d, c], 1)])
    if both_sides:
        triangles = np.concatenate([triangles, triangles[:, ::-1]])
    if uv is None:
        v, u = np.mgrid[0 : 1 : rows * 1j, 0 : 1 : columns * 1j]
        uv = np.stack([u, v], -1)
    return Mesh(grid.reshape(-1, 3), triangles, material, uv.reshape(-1, 2))


def eyeball() -> Mesh:
    """The front of an eyeball around the origin, looking along -z, with a slight bulge of the cornea."""
    angle, turn = np.meshgrid(np.linspace(1e-3, 1.45, 15), np.linspace(0, 2 * np.pi, 29), indexing="ij")
    radius = EYE_RADIUS + 0.55 * np.exp(-0.5 * (angle / 0.33) ** 4)
    grid = np.stack(
        [radius * np.sin(angle) * np.cos(turn), radius * np.sin(angle) * np.sin(turn), -radius * np.cos(angle)], -1
    )
    return sheet(grid[::-1], Material.EYE, np.stack([angle * np.cos(turn), angle * np.sin(turn)], -1)[::-1])


def _arc(half: float, rows: Array, depth: float, front: float) -> Array:
    """A sheet bent around the front of the jaws; rows: y values."""
    x, y = np.meshgrid(np.linspace(-half, half, 21), rows)
    return np.stack([x, y, front + depth * (x / half) ** 2], -1)


def teeth_and_mouth(lip_front: float) -> tuple[Mesh, Mesh, Mesh, Mesh]:
    """Upper teeth, lower teeth, tongue and the dark behind them; lip_front: z of the lips."""
    upper = sheet(_arc(23, np.linspace(19.5, 29.5, 4), 17, lip_front + 6.0), Material.TEETH)
    lower = sheet(_arc(21, np.linspace(29.6, 37.5, 4), 16, lip_front + 7.5), Material.TEETH)
    turn, along = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(0, 1, 6))
    tongue = np.stack(
        [
            15 * turn * (0.75 + 0.25 * along),
            37.5 - 4.5 * (1 - turn**2) * np.sin(np.pi * (0.25 + 0.6 * along)),
            lip_front + 38 - 27 * along,
        ],
        -1,
    )
    x, y = np.meshgrid(np.linspace(-50, 50, 9), np.linspace(-2, 70, 9))
    back = np.stack([x * np.interp(y, [46, 72], [1, 0.35]), y, lip_front + 26 + 26 * (x / 50) ** 2], -1)
    return upper, lower, _flesh(tongue, 0.5), _flesh(back, 0.13)


def _flesh(grid: Array, brightness: float, paleness: float = 0.0) -> Mesh:
    """A sheet of moist skin; the texture coordinates of this material are its brightness and how pale it is."""
    return sheet(grid, Material.MOUTH, np.full((*grid.shape[:2], 2), [brightness, paleness]), both_sides=True)


def socket(side: int) -> Mesh:
    """The flesh behind an eye's corners, around the eyeball's centre; it lies deeper at the outer corner."""
    x, y = np.meshgrid(np.linspace(-17, 17, 9), np.linspace(-9, 12, 7))
    outwards = side * x
    depth = -7.0 + 0.27 * outwards + 0.5 * np.clip(outwards - 9, 0, None) + 0.03 * (y - 1.5) ** 2
    return _flesh(np.stack([x, y, depth], -1), 0.7, 0.75)


def ear(side: int) -> Mesh:
    """An ear around its own middle: a dished oval that leans out of the head; side -1 left, 1 right of the picture."""
    ring, turn = np.meshgrid(np.linspace(0, 1, 7), np.linspace(0, 2 * np.pi, 25), indexing="ij")
    along = 17 * ring * np.cos(turn)
    down = 31 * ring * np.sin(turn) * (1 - 0.12 * np.sin(turn))
    out = (
        9.0 * np.exp(-0.5 * ((ring - 0.78) / 0.2) ** 2) * (0.75 - 0.35 * np.cos(turn))
        - 7 * np.clip(ring - 0.85, 0, None) / 0.15
    )
    grid = np.stack([side * (out + 0.35 * (along + 12)), down, along], -1)
    mesh = sheet(grid if side > 0 else grid[:, ::-1], Material.PLAIN_SKIN, np.stack([ring, turn], -1))
    return mesh


def hanging_hair(length: float, rng: np.random.Generator) -> Mesh:
    """Hair from the temples round the back, down to y = length."""
    theta, t = np.meshgrid(np.linspace(1.32, 2 * np.pi - 1.32, 61), np.linspace(0, 1, 16))
    y = -112 + (length + 112) * t
    on_head = base(
        np.stack([((theta + np.pi) % (2 * np.pi) - np.pi).ravel() * RADIUS, np.minimum(y, 20).ravel()], 1)
    ).reshape(*y.shape, 3)
    centre = np.array([0, 0, 58.0])
    outward = on_head - centre
    outward[..., 1] = 0
    outward /= np.linalg.norm(outward, axis=-1, keepdims=True)
    wave = rng.normal(0, 1.6, theta.shape[1])[None, :] * t + 2 * np.sin(theta * 9 + 3 * t)
    grid = on_head + outward * (9 + 7 * np.sin(np.pi * np.clip(t, 0, 1)) + wave)[..., None]
    grid[..., 1] = y + 5 * np.sin(theta * 7) * t
    return sheet(grid[:, ::-1], Material.HAIR, np.stack([theta, t * 1.5], -1)[:, ::-1], both_sides=True)


def glasses(rng: np.random.Generator) -> list[Mesh]:
    """Frames before the eyes, a bridge and temples."""
    half_w, half_h = rng.uniform(21, 26), rng.uniform(13, 20)
    square, thick = rng.uniform(0.5, 1.0), rng.uniform(1.0, 3.0)
    turn = np.linspace(0, 2 * np.pi, 41)
    corner = np.abs(np.cos(turn)) ** (1 / square - 0), np.abs(np.sin(turn)) ** (1 / square - 0)
    shape = np.stack(
        [np.sign(np.cos(turn)) * corner[0] ** (square**2), np.sign(np.sin(turn)) * corner[1] ** (square**2)], 1
    )
    meshes = []
    for side in (-1, 1):
        rings = [shape * [half_w + grow, half_h + grow] for grow in (0, thick)]
        layers = np.stack(rings)[..., :2]
        xy = layers + [side * 32.5, -35.5]
        z = -17 + 0.012 * (np.abs(xy[..., 0]) - 20) ** 2 * (np.abs(xy[..., 0]) > 20)
        grid = np.concatenate([xy, z[..., None]], -1)
        meshes.append(sheet(grid, Material.FRAME, both_sides=True))
        outer = side * (32.5 + half_w + thick)
        t = np.linspace(0, 1, 8)
        z_hinge = -17 + 0.012 * (abs(outer) - 20) ** 2
        temple = np.stack(
            [
                np.stack(
                    [outer + side * 19 * t**0.7 * (78 - abs(outer)) / 19, np.full(8, y), z_hinge + (66 - z_hinge) * t],
                    1,
                )
                for y in (-42.0, -42.0 + 3 + thick)
            ]
        )
        meshes.append(sheet(temple, Material.FRAME, both_sides=True))
    x = np.linspace(-32.5 + half_w, 32.5 - half_w, 7)
    bridge = np.stack(
        [np.stack([x, -39 - 2.5 * (1 - (x / x[-1]) ** 2) + dy, np.full(7, -17.5 - 3)], 1) for dy in (0, thick + 0.8)]
    )
    meshes.append(sheet(bridge, Material.FRAME, both_sides=True))
    return meshes


def neck_rings() -> Array:
    """(6, 33, 3) the neck in head coordinates: first ring under the jaw, last on the trunk's collar."""
    turn = np.linspace(-np.pi, np.pi, 33)
    rings = []
    for t in np.linspace(0, 1, 6):
        width, depth = 50 + 5 * (2 * t - 1) ** 2 + 4 * t, 50 + 6 * t
        rings.append(
            np.stack(
                [
                    width * np.sin(turn),
                    14 + 24 * np.clip(np.cos(turn), 0, 1) * (1 - t) + 134 * t,
                    62 + 10 * t - depth * np.cos(turn),
                ],
                1,
            )
        )
    return np.stack(rings)


def trunk() -> Mesh:
    """Shoulders and chest in head coordinates."""
    turn, t = np.meshgrid(np.linspace(-np.pi, np.pi, 41), np.linspace(0, 1, 12))
    width = np.interp(t, [0, 0.12, 0.3, 0.5, 1], [62, 92, 165, 205, 215])
    depth = np.interp(t, [0, 0.12, 0.4, 1], [62, 78, 110, 125])
    y = np.interp(t, [0, 0.12, 0.3, 0.5, 1], [122, 138, 158, 190, 420])
    shape = np.stack([np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** 0.8 * width, y, 75 - depth * np.cos(turn)], -1)
    return sheet(shape, Material.CLOTH)
