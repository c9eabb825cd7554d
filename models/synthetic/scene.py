"""What stands before the camera: light, a moment's pose and expression, and all meshes of a person in camera space."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic import props
from auparity.models.synthetic.deformation import FULL, head_shape
from auparity.models.synthetic.person import Person
from auparity.models.synthetic.props import Material, Mesh
from auparity.models.synthetic.raster import vertex_normals
from auparity.models.synthetic.skin import to_texture
from auparity.models.synthetic.surface import EYE_RADIUS
from auparity.models.synthetic.types import AU_NAMES, RenderCamera

Array = npt.NDArray[Any]

NOMINAL_FACE = 150.0  #: mm from landmark 0 to landmark 16


@dataclass(frozen=True, eq=False)
class Light:
    """Directional lights (from where they come, camera space), sky and ground; linear RGB."""

    directions: Array  #: (L, 3), two of them where a head is drawn
    colours: Array  #: (L, 3)
    sky: Array  #: (3,)
    ground: Array  #: (3,)

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Light:
        """Random light, from flat to hard."""
        key = np.array([rng.uniform(-1.2, 1.2), rng.uniform(-1.1, 0.25), rng.uniform(-1.3, -0.25)])
        fill = np.array([-np.sign(key[0]) * rng.uniform(0.2, 1.2), rng.uniform(-0.7, 0.5), rng.uniform(-1.0, 0.1)])
        directions = np.stack([key, fill])
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        hard = rng.uniform(0.2, 1.0)
        tint = 1 + rng.normal(0, 0.07, (2, 3))
        sky = (1.25 - hard) * (1 + rng.normal(0, 0.06, 3))
        return cls(
            directions,
            np.array([[hard * 1.1], [rng.uniform(0, 0.35)]]) * tint,
            sky * 0.85,
            sky * rng.uniform(0.35, 0.8),
        )


@dataclass(frozen=True, eq=False)
class Shot:
    """One moment: what the face does, where it is, how it is lit and taken."""

    aus: Array  #: (18,)
    gaze: Array  #: (2,) yaw and pitch of the eyes in the head, rad
    rotation: Array  #: (3,) rx, ry, rz rad
    translation: Array  #: (3,) mm
    camera: RenderCamera
    light: Light
    trunk: Array  #: (3,) rotation of the trunk
    asides: Array | None = None  #: movements that are no AU, of heads that know some (morphable/expressions.py)
    hand: int = 0  #: seed of a hand at the face, of heads that know any; 0: none


def rotation_matrix(angles: Array) -> Array:
    """R = Rx Ry Rz (spec 30.1)."""
    (sx, sy, sz), (cx, cy, cz) = np.sin(angles), np.cos(angles)
    rx = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rz = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return rx @ ry @ rz


@lru_cache(maxsize=1)
def head_origin() -> Array:
    """Origin of the truth's pose in head coordinates: the mean of the 68 landmarks of the head at rest."""
    surface = head_shape().surface
    return surface.rest[surface.landmarks].mean(axis=0)


@lru_cache(maxsize=1)
def _fixed() -> tuple[Mesh, Array, Mesh, Array]:
    """Eyeball, neck rings, trunk, texture coordinates of the head."""
    return props.eyeball(), props.neck_rings(), props.trunk(), to_texture(head_shape().surface.plane)


@dataclass(frozen=True, eq=False)
class Scene:
    """All meshes of a shot in camera space, joined."""

    vertices: Array
    normals: Array
    triangles: Array
    material: Array  #: (T,)
    uv: Array
    owner: Array  #: (T,) number of the mesh: tells the left eye from the right


def assemble(person: Person, shot: Shot) -> tuple[Scene, Array, Array]:
    """The scene, the head's vertices in camera space, and the two eyes' rotations in camera space (2, 3, 3)."""
    head, (eye, neck, trunk, skin_uv) = head_shape(), _fixed()
    turn = rotation_matrix(shot.rotation)

    def place(points: Array) -> Array:
        return (points - head_origin()) @ turn.T + shot.translation

    face = place(head.pose_face(person.neutral, shot.aus, person.eyes, EYE_RADIUS))
    meshes = [Mesh(face, head.surface.triangles, Material.SKIN, skin_uv)]
    yaw, pitch = shot.gaze
    eye_turn = turn @ rotation_matrix(np.array([-pitch, yaw, 0.0]))
    # The eyes are the meshes number 1 and 2: see _albedo.
    meshes += [Mesh(eye.vertices @ eye_turn.T + place(c), eye.triangles, Material.EYE, eye.uv) for c in person.eyes]
    opening = shot.aus[AU_NAMES.index("AU26")] / FULL
    upper, lower, tongue, back = person.mouth
    drop = opening * np.array([0, 16.5, 4.0])
    moving = [(upper, 0 * drop), (lower, drop), (tongue, drop), (back, 0.5 * drop)]
    moving += [(mesh, 0 * drop) for mesh in (*person.sockets, *person.ears, *person.extras)]
    meshes += [Mesh(place(mesh.vertices + by), mesh.triangles, mesh.material, mesh.uv) for mesh, by in moving]
    # The trunk turns less than the head; the neck goes from one to the other.
    pivot = np.array([0, 60.0, 60.0])
    trunk_turn = rotation_matrix(shot.trunk)
    anchor = place(pivot)

    def trunk_place(points: Array) -> Array:
        return (points - pivot) @ trunk_turn.T + anchor

    share = np.linspace(0, 1, len(neck))[:, None, None] ** 0.8
    flat = neck.reshape(-1, 3)
    bent = place(flat).reshape(neck.shape) * (1 - share) + trunk_place(flat).reshape(neck.shape) * share
    meshes.append(props.sheet(bent, Material.PLAIN_SKIN))
    meshes.append(Mesh(trunk_place(trunk.vertices), trunk.triangles, trunk.material, trunk.uv))
    return _join(meshes), face, np.stack([eye_turn, eye_turn])


def _join(meshes: list[Mesh]) -> Scene:
    starts = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes[:-1]])
    vertices = np.concatenate([mesh.vertices for mesh in meshes])
    triangles = np.concatenate([mesh.triangles + start for mesh, start in zip(meshes, starts, strict=True)])
    counts = [len(mesh.triangles) for mesh in meshes]
    normals = np.concatenate([_normals(mesh) for mesh in meshes])
    return Scene(
        vertices,
        normals,
        triangles,
        np.repeat([int(m.material) for m in meshes], counts),
        np.concatenate([mesh.uv for mesh in meshes]),
        np.repeat(np.arange(len(meshes)), counts),
    )


def _normals(mesh: Mesh) -> Array:
    triangles = mesh.triangles
    if mesh.material in (Material.HAIR, Material.FRAME, Material.MOUTH) and len(triangles) % 2 == 0:
        triangles = triangles[: len(triangles) // 2]  # both sides are drawn; their normals would cancel
    return vertex_normals(mesh.vertices, triangles)
