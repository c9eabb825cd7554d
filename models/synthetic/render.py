"""The face renderer: a person, an expression, a gaze, a pose and light in; a picture and its truth out.

Meshes of the head and of what belongs to it are moved, projected by a pinhole camera, rasterised at up to four times
the picture's resolution, shaded in linear light (two directional lights, a sky and a ground, soft highlights), reduced
by area, laid over a background and taken through a camera's blur, noise and JPEG. Everything follows from the seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from auparity.models.synthetic import props
from auparity.models.synthetic.backdrop import Film, background
from auparity.models.synthetic.deformation import FULL, head_shape
from auparity.models.synthetic.person import Person, sample_aus
from auparity.models.synthetic.props import Material, Mesh
from auparity.models.synthetic.raster import Fragments, rasterise, vertex_normals
from auparity.models.synthetic.skin import GAMMA, WRINKLES, linear, regions, to_texture
from auparity.models.synthetic.surface import EYE_RADIUS
from auparity.models.synthetic.types import AU_NAMES, Camera, Picture, Truth

Array = npt.NDArray[Any]

IRIS_RADIUS = 5.9  #: mm
NOMINAL_FACE = 150.0  #: mm from landmark 0 to landmark 16
WORKING_FACE = 190.0  #: px of face width that the rasteriser aims at
NEAREST = 420.0  #: mm, the closest that a camera comes
PICTURES_OF_A_PERSON = 4  #: photographs that share a person: painting one costs as much as three pictures


@dataclass(frozen=True, eq=False)
class Light:
    """Directional lights (from where they come, camera space), sky and ground; linear RGB."""

    directions: Array  #: (2, 3)
    colours: Array  #: (2, 3)
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
    camera: Camera
    light: Light
    trunk: Array  #: (3,) rotation of the trunk


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


def project(points: Array, camera: Camera) -> Array:
    """(..., 2) px of (..., 3) points in camera space."""
    scale = camera.focal / points[..., 2:]
    return points[..., :2] * scale + [camera.centre_x, camera.centre_y]


def render_shot(person: Person, shot: Shot, behind: Array) -> tuple[Array, Truth]:
    """The picture (H, W, 3) float32 BGR, 0 to 1, before the camera's faults, and its truth; `behind`: background."""
    height, width = behind.shape[:2]
    scene, face, eye_turns = assemble(person, shot)
    face_px = shot.camera.focal * NOMINAL_FACE / shot.translation[2]
    fine = int(np.clip(round(WORKING_FACE / face_px), 1, 4))
    points = project(scene.vertices, shot.camera) * fine + (fine - 1) / 2
    fragments = rasterise(points, scene.vertices[:, 2], scene.triangles, height * fine, width * fine)
    normals, position, uv = _interpolate(scene, fragments)
    material, owner = scene.material[fragments.triangle], scene.owner[fragments.triangle]
    # Sheets seen from behind turn their normals to the camera.
    away = np.einsum("ij,ij->i", normals, position) > 0
    loose = np.isin(material, (Material.HAIR, Material.FRAME, Material.MOUTH))
    normals[away & loose] *= -1
    albedo, gloss, dim = _albedo(person, shot, material, uv, normals, owner, position)
    colour = _light(albedo, gloss, normals, position, shot.light) * dim[:, None]
    canvas = np.zeros((height * fine * width * fine, 4), np.float32)
    canvas[fragments.pixels, :3] = np.clip(colour[:, ::-1], 0, 1) ** np.float32(1 / GAMMA)
    canvas[fragments.pixels, 3] = 1
    layer = canvas.reshape(height * fine, width * fine, 4)
    if fine > 1:
        layer = cv2.resize(layer, (width, height), interpolation=cv2.INTER_AREA)
    image = layer[..., :3] + (1 - layer[..., 3:]) * behind
    depth = np.full(height * fine * width * fine, np.inf, np.float32)
    own = np.isin(material, (Material.SKIN, Material.PLAIN_SKIN))
    depth[fragments.pixels[own]] = position[own, 2]
    truth = _truth(person, shot, face, eye_turns, depth.reshape(height * fine, width * fine), fine)
    return image, truth


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
    maps = regions().wrinkles
    weights = np.clip(np.array(strength, np.float32), 0, 0.9)
    first = _sample(maps[..., :4], places) @ weights[:4] if weights[:4].any() else 0
    return np.clip(first + _sample(maps[..., 4:], places) @ weights[4:], 0, 0.8)


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


def eye_points(centre: Array, turn: Array, pupil: float) -> Array:
    """(16, 3) iris ring and pupil ring of an eyeball, in the order of OpenFace's eye models."""
    iris = np.radians(180 + 45 * np.arange(8))
    ring = np.radians(135 - 45 * np.arange(8))
    points = []
    for angles, radius in ((iris, IRIS_RADIUS), (ring, pupil)):
        depth = -np.sqrt(EYE_RADIUS**2 - radius**2)
        points.append(np.stack([radius * np.cos(angles), radius * np.sin(angles), np.full(8, depth)], 1))
    return np.concatenate(points) @ turn.T + centre


def _truth(person: Person, shot: Shot, face: Array, eye_turns: Array, depth: Array, fine: int) -> Truth:
    surface = head_shape().surface
    turn = rotation_matrix(shot.rotation)
    landmarks_3d = face[surface.landmarks]
    landmarks = project(landmarks_3d, shot.camera)
    eyes_3d = np.zeros((2, 28, 3))
    for k in range(2):
        centre = (person.eyes[k] - head_origin()) @ turn.T + shot.translation
        rings = eye_points(centre, eye_turns[k], person.pupil)
        eyes_3d[k] = np.concatenate([rings[:8], face[surface.lids[k]], rings[8:]])
    normals = vertex_normals(face, surface.triangles)[surface.landmarks]
    view = landmarks_3d / np.linalg.norm(landmarks_3d, axis=1, keepdims=True)
    towards = -(normals * view).sum(axis=1) > -0.12
    cells = np.round(landmarks * fine + (fine - 1) / 2).astype(int)
    inside = (cells >= 0).all(axis=1) & (cells < [depth.shape[1], depth.shape[0]]).all(axis=1)
    nearest = np.full(68, np.inf)
    nearest[inside] = depth[cells[inside, 1], cells[inside, 0]]
    in_front = landmarks_3d[:, 2] < nearest + 7
    return Truth(
        landmarks=landmarks,
        landmarks_3d=landmarks_3d,
        visible=towards & in_front,
        eye_landmarks=project(eyes_3d, shot.camera),
        eye_landmarks_3d=eyes_3d,
        pose=np.concatenate([shot.translation, shot.rotation]),
        gaze=np.stack([turn_k @ [0, 0, -1.0] for turn_k in eye_turns]),
        aus=shot.aus.copy(),
        camera=shot.camera,
    )


def camera_for(face_px: float, width: int, height: int, rng: np.random.Generator) -> tuple[Camera, float]:
    """A camera and the distance (mm) at which a face is `face_px` wide."""
    focal = max(float(rng.uniform(0.9, 2.5)) * max(width, height), NEAREST * face_px / NOMINAL_FACE)
    return Camera(focal, width / 2, height / 2), focal * NOMINAL_FACE / face_px


def render_photograph(
    seed: int,
    *,
    canvas: tuple[int, int] = (320, 320),
    face_width: tuple[float, float] = (50.0, 260.0),
    yaw: float = 70.0,
) -> Picture:
    """A random person, expression, gaze, pose, light and background.

    Parameters
    ----------
    seed : the same seed gives the same picture; four consecutive seeds (from a multiple of four) show one person.
    canvas : width and height, px.
    face_width : range of the width of a frontal face between landmarks 0 and 16, px; log-uniform.
    yaw : the head turns up to so many degrees; pitch up to 25 and roll up to 30.
    """
    person = _person(seed // PICTURES_OF_A_PERSON)
    rng = np.random.default_rng([11, seed])
    width, height = canvas
    face_px = float(np.exp(rng.uniform(*np.log(face_width))))
    camera, distance = camera_for(face_px, width, height, rng)
    side = np.radians(yaw) * (rng.uniform(-1, 1) if rng.random() < 0.6 else np.clip(rng.normal(0, 0.25), -1, 1))
    rotation = np.array(
        [np.radians(np.clip(rng.normal(0, 11), -25, 25)), side, np.radians(np.clip(rng.normal(0, 9), -30, 30))]
    )
    room = np.maximum(np.array([width, height]) / 2 - 0.52 * face_px, 4)
    offset = rng.uniform(-1, 1, 2) * room * np.where(rng.random() < 0.9, 1, 1.25)
    translation = np.array([offset[0] / camera.focal * distance, offset[1] / camera.focal * distance, distance])
    shot = Shot(
        aus=sample_aus(rng),
        gaze=np.clip(rng.normal(0, 1, 2) * [0.25, 0.14], -0.55, 0.55),
        rotation=rotation,
        translation=translation,
        camera=camera,
        light=Light.sample(rng),
        trunk=rotation * rng.uniform(0, 0.6) * [0.5, 1, 0.4],
    )
    image, truth = render_shot(person, shot, background(rng, height, width))
    return Picture(Film.sample(rng, face_px).expose(image, rng), truth)


@lru_cache(maxsize=8)
def _person(seed: int) -> Person:
    return Person.sample(seed)


def render_background(seed: int, canvas: tuple[int, int] = (320, 320)) -> Picture:
    """A picture without a face."""
    rng = np.random.default_rng([13, seed])
    image = background(rng, canvas[1], canvas[0])
    return Picture(Film.sample(rng, 120.0).expose(image, rng), None)
