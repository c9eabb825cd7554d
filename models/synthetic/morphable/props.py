"""What is drawn besides the model: eyeballs, clothes, glasses, hats, masks and hands, as meshes in head coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.morphable import shading
from auparity.models.synthetic.morphable.anatomy import Anatomy
from auparity.models.synthetic.morphable.skin import BLUE, COLUMNS, FOLD, OPEN, RED, SHINE
from auparity.models.synthetic.props import Material, sheet
from auparity.models.synthetic.props import glasses as drawn_glasses
from auparity.models.synthetic.surface import EYE_CENTRE, EYE_RADIUS

Array = npt.NDArray[Any]

IRIS_SHARE = 0.44  #: radius of the iris over that of the eyeball
CORNEA = 0.55  #: mm by which the cornea stands out


@dataclass(frozen=True, eq=False)
class Piece:
    """A mesh with a material, and the columns that skin.py describes."""

    vertices: Array  #: (V, 3) mm
    triangles: Array  #: (T, 3)
    material: int
    rest: Array  #: (V, 3) what a pixel is coloured by: the place at rest, or angles of an eye
    table: Array  #: (V, COLUMNS)

    @classmethod
    def grid(
        cls, points: Array, colour: Array, material: int, *, shine: float = 0.3, open_: Array | float = 1.0,
        both_sides: bool = False,
    ) -> Piece:  # fmt: skip
        """From a (rows, columns, 3) grid whose normal, columns x rows, points away from the camera."""
        mesh = sheet(points, Material.CLOTH, both_sides=False)
        table = np.zeros((len(mesh.vertices), COLUMNS), np.float32)
        table[:, RED : BLUE + 1] = colour
        table[:, SHINE], table[:, FOLD] = shine, 99.0
        table[:, OPEN] = np.asarray(open_).reshape(-1) if np.ndim(open_) else open_
        return cls(mesh.vertices, mesh.triangles, material, mesh.vertices.copy(), table)


def eyeball(radius: float) -> Piece:
    """The front of an eyeball round the origin that looks along -z."""
    angle, turn = np.meshgrid(np.linspace(1e-3, 1.5, 17), np.linspace(0, 2 * np.pi, 33), indexing="ij")
    iris = np.arcsin(IRIS_SHARE)
    distance = radius + CORNEA * np.clip(1 - (angle / (1.15 * iris)) ** 2, 0, 1)
    grid = np.stack(
        [distance * np.sin(angle) * np.cos(turn), distance * np.sin(angle) * np.sin(turn), -distance * np.cos(angle)],
        -1,
    )
    piece = Piece.grid(grid[::-1], np.full(3, 0.8), shading.EYE)
    places = np.stack([angle * np.cos(turn), angle * np.sin(turn), angle * 0], -1)[::-1].reshape(-1, 3)
    return Piece(piece.vertices, piece.triangles, piece.material, places, piece.table)


def trunk(colour: Array, rng: np.random.Generator) -> Piece:
    """Clothes over the shoulders, from inside the edge of the model's bust outwards and down."""
    turn, t = np.meshgrid(np.linspace(-np.pi, np.pi, 49), np.linspace(0, 1, 12))
    front = np.cos(turn)
    slope = rng.uniform(0.8, 1.25)
    width = np.interp(t, [0, 0.10, 0.35, 0.5, 0.65, 1], [105, 128, 180, 212, 232, 250])
    depth = np.interp(t, [0, 0.10, 0.4, 1], [62, 80, 108, 125])
    drop = np.interp(t, [0, 0.10, 0.35, 0.5, 0.65, 1], [150, 146, 168, 195, 260, 900])
    drop = np.where(t > 0.1, 146 + (drop - 146) * slope, drop) + 22 * front * np.interp(t, [0, 0.5], [1, 0.3])
    points = np.stack([np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** 0.85 * width, drop, 112 - depth * front], -1)
    return Piece.grid(points, colour, shading.CLOTH, shine=0.15, open_=0.55 + 0.45 * np.clip(t * 4, 0, 1))


def glasses(eyes: Array, radius: float, rng: np.random.Generator) -> list[Piece]:
    """Frames before the eyes (2, 3) of a person, sometimes with dark lenses."""
    colour = rng.uniform(0.01, 0.35) * rng.uniform(0.5, 1, 3)
    ahead = np.array([0, eyes[:, 1].mean() - EYE_CENTRE[1], eyes[:, 2].mean() - radius - (EYE_CENTRE[2] - EYE_RADIUS)])
    out = [_solid(mesh.vertices + ahead, mesh.triangles, colour, 0.9) for mesh in drawn_glasses(rng)]
    if rng.random() < 0.2:
        tint = np.full(3, rng.uniform(0.005, 0.03))
        for piece in out[0:4:2]:  # a rim and a temple of each side come first
            middle = piece.vertices.mean(axis=0)
            rim = piece.vertices[: len(piece.vertices) // 2]
            grid = np.stack([np.broadcast_to(middle, rim.shape), rim])
            lens = Piece.grid(grid, tint, shading.SOLID, shine=2.0)
            out.append(lens)
    return out


def hat(anatomy: Anatomy, face: Array, rng: np.random.Generator) -> list[Piece]:
    """A knitted hat or a cap with a peak, over the skull of a person's head; face: (V, 3) its vertices."""
    centre, half = anatomy.skull
    upper = ~anatomy.inside & (anatomy.rest[:, 1] < centre[1])
    largest = float(np.linalg.norm((face[upper] - centre) / half, axis=1).max())
    grow = half * max(largest, 1.0) + rng.uniform(4, 12)
    low = rng.uniform(0.22, 0.42)
    turn, t = np.meshgrid(np.linspace(-np.pi, np.pi, 45), np.linspace(0, 1, 12))
    lift = np.pi / 2 - t * (np.pi / 2 - low)
    tilt = -0.16 - 0.1 * rng.random()
    colour = rng.uniform(0.02, 0.7, 3) ** 1.4

    def place(x: Array, y: Array, z: Array) -> Array:
        return np.stack([x, y * np.cos(tilt) + z * np.sin(tilt), z * np.cos(tilt) - y * np.sin(tilt)], -1) + centre

    dome = place(grow[0] * np.cos(lift) * np.sin(turn), -grow[1] * np.sin(lift), -grow[2] * np.cos(lift) * np.cos(turn))
    out = [Piece.grid(dome, colour, shading.CLOTH, shine=0.1)]
    if rng.random() < 0.5:
        turn, t = np.meshgrid(np.linspace(-0.95, 0.95, 25), np.linspace(0, 1, 6))
        reach = 1 + t * rng.uniform(0.45, 0.7) * np.cos(turn * 1.5)
        peak = place(
            grow[0] * np.cos(low) * np.sin(turn) * (1 + 0.05 * t), -grow[1] * np.sin(low) + 14 * t * t + 0 * turn,
            -grow[2] * np.cos(low) * np.cos(turn) * reach,
        )  # fmt: skip
        out.append(Piece.grid(peak, colour * 0.8, shading.CLOTH, shine=0.1))
    return out


def mask(face: Array, marks: Array, rng: np.random.Generator) -> list[Piece]:
    """A mask over mouth and nose, held clear of the skin; face (n, 3) vertices and landmarks (68, 3) of a person."""
    top, bottom, half = marks[28, 1] + rng.uniform(-2, 6), marks[8, 1] + 8, np.abs(marks[[3, 13], 0]).mean() - 4
    u, v = np.meshgrid(np.linspace(-1, 1, 23), np.linspace(0, 1, 15))
    x, y = half * u * (1 - 0.12 * v), top + (bottom - top) * v + 16 * u**2 * (1 - v) - 10 * u**2 * v
    z = np.empty_like(x)
    for row in range(x.shape[0]):
        for column in range(x.shape[1]):
            near = np.hypot(face[:, 0] - x[row, column], face[:, 1] - y[row, column]) < 9
            z[row, column] = face[near, 2].min() if near.any() else marks[30, 2] + 40
    for _ in range(2):
        z = np.minimum(z, _smoothed(z))
    grid = np.stack([x, y, _smoothed(z) - 3.5], -1)
    colour = rng.choice([[0.55, 0.72, 0.80], [0.85, 0.85, 0.85], [0.03, 0.03, 0.035], [0.35, 0.45, 0.65]])
    return [Piece.grid(grid, np.asarray(colour), shading.CLOTH, shine=0.1)]


def _smoothed(z: Array) -> Array:
    wide = np.pad(z, 1, mode="edge")
    return np.asarray((wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:] + z) / 5)


def hand(marks: Array, colour: Array, rng: np.random.Generator) -> list[Piece]:
    """A hand at the cheek, chin or mouth: four fingers, a thumb and a palm; landmarks (68, 3) of a person."""
    goal = marks[int(rng.choice([4, 12, 6, 10, 57, 48, 54, 1, 15]))] + rng.normal(0, 6, 3)
    side = np.sign(goal[0]) or 1.0
    up = np.array([-side * rng.uniform(-0.2, 0.9), -1.0, 0.05])
    up /= np.linalg.norm(up)
    across = np.cross(up, [0, 0, 1.0])
    across /= np.linalg.norm(across)
    front = min(goal[2], marks[30, 2] + 12) - rng.uniform(8, 16)
    knuckles = np.array([goal[0], goal[1] + 30, front])
    out = []
    for k, reach in enumerate((62, 74, 70, 55)):
        root = knuckles + across * (k - 1.5) * 17.5
        bend = rng.uniform(0, 18)
        t = np.linspace(0, 1, 9)[:, None]
        line = root + up * reach * t + np.array([0, 0, bend]) * t**2
        out.append(_tube(line, 9.6 - 1.9 * t[:, 0], colour))
    t = np.linspace(0, 1, 9)[:, None]
    thumb = knuckles - up * 35 + across * -38 * (1 if rng.random() < 0.5 else -1) * (0.5 + 0.5 * t) + up * 48 * t
    out.append(_tube(thumb, 10 - 2 * t[:, 0], colour))
    palm = knuckles - up * (78 - 88 * t) + np.array([0, 0, 5.0])
    out.append(_tube(palm, np.full(9, 13.0), colour, across * 2.9))
    return out


def _tube(line: Array, radius: Array, colour: Array, wide: Array | None = None) -> Piece:
    """Skin round a line (n, 3); `wide`: (3,) a direction in which it is so many times as wide."""
    way = np.gradient(line, axis=0)
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    first = np.cross(way, [0, 0, 1.0])
    first /= np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-9)
    second = np.cross(way, first)
    turn = np.linspace(0, 2 * np.pi, 17)
    ends = np.sqrt(np.clip(1 - np.linspace(0, 1, len(line)) ** 9, 0, 1))
    grow = (radius * ends)[:, None, None]
    stretch = 1.0 if wide is None else float(np.linalg.norm(wide))
    ring = np.cos(turn)[None, :, None] * first[:, None] * stretch + np.sin(turn)[None, :, None] * second[:, None]
    piece = Piece.grid(line[:, None] + grow * ring, colour, shading.SKIN, shine=0.5)
    outwards = piece.vertices.reshape(len(line), 17, 3) - line[:, None]
    normal = np.cross(ring[:, 1] * 0 + way, ring[:, 0])  # only its sense matters
    flip = float((normal * outwards[:, 4]).sum()) > 0
    triangles = piece.triangles[:, ::-1] if flip else piece.triangles
    return Piece(piece.vertices, np.ascontiguousarray(triangles), piece.material, piece.rest + 400.0, piece.table)


def _solid(vertices: Array, triangles: Array, colour: Array, shine: float) -> Piece:
    table = np.zeros((len(vertices), COLUMNS), np.float32)
    table[:, RED : BLUE + 1] = colour
    table[:, SHINE], table[:, FOLD], table[:, OPEN] = shine, 99.0, 0.8
    half = triangles[: len(triangles) // 2]  # drawn meshes have both sides; here a material has
    return Piece(vertices, half, shading.SOLID, vertices.copy(), table)
