"""The colour of every visible point: skin, eyes, teeth, hair and cloth, lit in linear light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.deformation import FULL
from auparity.models.synthetic.person import Person
from auparity.models.synthetic.props import Material
from auparity.models.synthetic.raster import Fragments
from auparity.models.synthetic.scene import Light, Scene, Shot
from auparity.models.synthetic.skin import WRINKLES, linear, regions
from auparity.models.synthetic.surface import EYE_RADIUS, IRIS_RADIUS
from auparity.models.synthetic.types import AU_NAMES

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Shaded:
    """Fragments with their colour."""

    colour: Array  #: (P, 3) linear RGB
    depth: Array  #: (P,) mm along the camera's axis
    own: Array  #: (P,) bool: skin, which hides landmarks


def shade(person: Person, shot: Shot, scene: Scene, fragments: Fragments) -> Shaded:
    """Colour and depth of every fragment."""
    normals, position, uv = _interpolate(scene, fragments)
    material, owner = scene.material[fragments.triangle], scene.owner[fragments.triangle]
    # Sheets seen from behind turn their normals to the camera.
    away = np.einsum("ij,ij->i", normals, position) > 0
    loose = np.isin(material, (Material.HAIR, Material.FRAME, Material.MOUTH))
    normals[away & loose] *= -1
    albedo, gloss, dim = _albedo(person, shot, material, uv, normals, owner, position)
    colour = _light(albedo, gloss, normals, position, shot.light) * dim[:, None]
    own = np.isin(material, (Material.SKIN, Material.PLAIN_SKIN))
    return Shaded(colour, position[:, 2], own)


def _unit(vectors: Array) -> Array:
    return vectors / np.maximum(np.sqrt(np.einsum("ij,ij->i", vectors, vectors)), 1e-6)[:, None]


def _interpolate(scene: Scene, fragments: Fragments) -> tuple[Array, Array, Array]:
    """Unit normal, position and texture coordinates (all float32) of every fragment."""
    values = np.concatenate([scene.normals, scene.vertices, scene.uv], axis=1).astype(np.float32)
    corners = scene.triangles[fragments.triangle]
    mixed = values[corners[:, 0]] * fragments.weights[:, :1]
    for k in (1, 2):
        mixed += values[corners[:, k]] * fragments.weights[:, k : k + 1]
    return _unit(mixed[:, :3]), mixed[:, 3:6], mixed[:, 6:8]


def _albedo(
    person: Person, shot: Shot, material: Array, uv: Array, normals: Array, owner: Array, position: Array
) -> tuple[Array, Array, Array]:
    """Colour (P, 3), strength of the highlight (P,) and a factor of darkness (P,) of every fragment."""
    albedo = np.zeros((len(material), 3), np.float32)
    gloss = np.full(len(material), 0.02, np.float32)
    dim = np.ones(len(material), np.float32)
    skin = material == Material.SKIN
    places = uv[skin]
    albedo[skin] = _sample(person.texture, places) * (1 - _folds(person, shot, places))[:, None]
    gloss[skin] = person.gloss
    for k, name in ((1, "left"), (2, "right")):
        eye = owner == k
        if eye.any():
            albedo[eye], dim[eye] = _eye_colour(person, uv[eye], name)
            gloss[eye] = 1.0
    teeth = material == Material.TEETH
    u, v = uv[teeth].T
    between = np.clip(np.abs(np.sin(u * np.pi * 9)) * 6, 0.55, 1)
    albedo[teeth] = (
        linear((0.95, 0.92, 0.84)) * np.float32(person.teeth) * (between * (0.35 + 0.65 * np.sin(np.pi * u)))[:, None]
    )
    gloss[teeth] = 0.3
    dim[teeth] = 0.85
    mouth = material == Material.MOUTH
    bright, pale = uv[mouth, :1], uv[mouth, 1:]
    albedo[mouth] = bright * (linear((0.62, 0.25, 0.24)) * (1 - pale) + linear((0.80, 0.58, 0.53)) * pale)
    hair = material == Material.HAIR
    u, v = uv[hair].T
    streak = 0.75 + 0.2 * np.sin(u * 57 + 3 * np.sin(v * 5)) + 0.15 * np.sin(u * 131 + 7 * v)
    albedo[hair] = linear(person.looks.hair) * streak[:, None]
    gloss[hair] = 0.1
    plain = material == Material.PLAIN_SKIN
    albedo[plain] = person.looks.skin_colour() * np.float32(0.82)
    dim[plain] = 0.9
    cloth = material == Material.CLOTH
    u, v = uv[cloth].T
    albedo[cloth] = person.cloth * (0.85 + 0.15 * np.sin(v * 60 + np.sin(u * 20)))[:, None]
    frame = material == Material.FRAME
    albedo[frame], gloss[frame] = person.frame, 0.5
    return albedo, gloss, dim


def _sample(texture: Array, places: Array) -> Array:
    """(P, C) bilinear samples of a texture."""
    columns = 512  # remap wants an image, and its sides must stay below 32768
    count = len(places)
    padded = np.zeros((-(-max(count, 1) // columns) * columns, 2), np.float32)
    padded[:count] = places
    grid = padded.reshape(-1, columns, 2)
    nowhere = np.empty(0, np.float32)
    parts = [
        cv2.remap(texture, grid[start : start + 16384], nowhere, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for start in range(0, len(grid), 16384)
    ]
    return np.concatenate(parts).reshape(-1, texture.shape[2])[:count]


def _folds(person: Person, shot: Shot, places: Array) -> Array:
    """(P,) darkening by wrinkles, a little at rest and more as action units fold the skin."""
    strength = [
        0.10 * person.wrinkling
        + person.wrinkling * sum(w * shot.aus[AU_NAMES.index(au)] / FULL for au, w in units.items())
        for units in WRINKLES.values()
    ]
    maps, weights = regions().wrinkles, np.clip(np.array(strength, np.float32), 0, 0.9)
    total = np.zeros(len(places), np.float32)
    for start in range(0, len(weights), 4):  # remap takes four channels at most
        part = weights[start : start + 4]
        total += _sample(maps[..., start : start + 4], places) @ part
    return np.clip(total, 0, 0.8)


def _eye_colour(person: Person, uv: Array, name: str) -> tuple[Array, Array]:
    """White, iris and pupil by the angle from the axis of gaze."""
    angle = np.hypot(uv[:, 0], uv[:, 1])
    turn = np.arctan2(uv[:, 1], uv[:, 0])
    iris_edge, pupil_edge = np.arcsin(IRIS_RADIUS / EYE_RADIUS), np.arcsin(person.pupil / EYE_RADIUS)
    fine = np.random.default_rng(person.looks.seed).standard_normal(64)
    spokes = np.interp(turn, np.linspace(-np.pi, np.pi, 65), np.append(fine, fine[0]))
    t = np.clip((angle - pupil_edge) / (iris_edge - pupil_edge), 0, 1)
    iris = person.iris * (1 + 0.22 * spokes + 0.5 * (1 - t) - 0.6 * np.clip(t - 0.8, 0, 1) * 4)[:, None].clip(0.1)
    white = linear((0.93, 0.90, 0.88)) * (1 - 0.22 * np.clip(angle - 0.6, 0, 1))[:, None]
    white = white * np.where(uv[:, :1] * 0 + angle[:, None] > 0.85, np.array([[1.0, 0.85, 0.83]]), 1.0)
    edge = np.clip((angle - iris_edge) / 0.05 + 0.5, 0, 1)[:, None]
    colour = iris * (1 - edge) + white * edge
    black = np.clip((pupil_edge - angle) / 0.04 + 0.5, 0, 1)[:, None]
    return (colour * (1 - black) + 0.004 * black).astype(np.float32), np.full(len(uv), 0.82, np.float32)


def _light(albedo: Array, gloss: Array, normals: Array, position: Array, light: Light) -> Array:
    """Linear radiance: wrapped Lambert (skin scatters) and Blinn-Phong highlights."""
    up = -normals[:, 1:2]
    sky, ground = light.sky.astype(np.float32), light.ground.astype(np.float32)
    received = 0.5 * (sky + ground) + 0.5 * (sky - ground) * up
    view = -_unit(position)
    shine = np.zeros_like(received)
    power = np.where(gloss > 0.9, 90.0, 14.0).astype(np.float32)
    for direction, colour in zip(light.directions.astype(np.float32), light.colours.astype(np.float32), strict=True):
        facing = normals @ direction
        received = received + np.clip((facing + 0.18) / 1.18, 0, None)[:, None] * colour
        peak = np.clip(np.einsum("ij,ij->i", normals, _unit(view + direction)), 0, 1) ** power * (facing > 0)
        shine = shine + (gloss * peak)[:, None] * colour
    return albedo * received + np.float32(0.6) * shine
