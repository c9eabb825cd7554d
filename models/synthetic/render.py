"""The face renderer: a person, an expression, a gaze, a pose and light in; a picture and its truth out.

People come from a source (`heads.Heads`): drawn ones, `DRAWN`, whose meshes and light are in this folder, or those of a
morphable model (`morphable/`). Of drawn people, meshes of the head and of what belongs to it are moved, projected by a
pinhole camera, rasterised at up to four times the picture's resolution, shaded in linear light (two directional lights,
a sky and a ground, soft highlights), reduced by area, laid over a background and taken through a camera's blur, noise
and JPEG. Everything follows from the seed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.backdrop import Film, background
from auparity.models.synthetic.deformation import head_shape
from auparity.models.synthetic.heads import Heads
from auparity.models.synthetic.person import Person, sample_aus
from auparity.models.synthetic.points_98 import points_98
from auparity.models.synthetic.raster import rasterise, vertex_normals
from auparity.models.synthetic.scene import NOMINAL_FACE, Light, Shot, assemble, head_origin, rotation_matrix
from auparity.models.synthetic.shading import shade
from auparity.models.synthetic.skin import GAMMA
from auparity.models.synthetic.surface import EYE_RADIUS, IRIS_RADIUS
from auparity.models.synthetic.types import Picture, RenderCamera, Truth

Array = npt.NDArray[Any]

WORKING_FACE = 190.0  #: px of face width that the rasteriser aims at
NEAREST = 420.0  #: mm, the closest that a camera comes
PICTURES_OF_A_PERSON = 4  #: photographs that share a person: painting one costs as much as three pictures


def project(points: Array, camera: RenderCamera) -> Array:
    """(..., 2) px of (..., 3) points in camera space."""
    scale = camera.focal / points[..., 2:]
    return points[..., :2] * scale + [camera.centre_x, camera.centre_y]


def render_layer(person: Person, shot: Shot, height: int, width: int) -> tuple[Array, Truth]:
    """The person without a background, (H, W, 4) float32, BGR times coverage and coverage, 0 to 1, and the truth."""
    scene, face, eye_turns = assemble(person, shot)
    face_px = shot.camera.focal * NOMINAL_FACE / shot.translation[2]
    fine = int(np.clip(round(WORKING_FACE / face_px), 1, 4))
    points = project(scene.vertices, shot.camera) * fine + (fine - 1) / 2
    fragments = rasterise(points, scene.vertices[:, 2], scene.triangles, height * fine, width * fine)
    shaded = shade(person, shot, scene, fragments)
    canvas = np.zeros((height * fine * width * fine, 4), np.float32)
    canvas[fragments.pixels, :3] = np.clip(shaded.colour[:, ::-1], 0, 1) ** np.float32(1 / GAMMA)
    canvas[fragments.pixels, 3] = 1
    layer: Array = canvas.reshape(height * fine, width * fine, 4)
    if fine > 1:
        layer = cv2.resize(layer, (width, height), interpolation=cv2.INTER_AREA)
    depth = np.full(height * fine * width * fine, np.inf, np.float32)
    depth[fragments.pixels[shaded.own]] = shaded.depth[shaded.own]
    return layer, _truth(person, shot, face, eye_turns, depth.reshape(height * fine, width * fine), fine)


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
    eyes_3d, pupils = np.zeros((2, 28, 3)), np.zeros((2, 3))
    for k in range(2):
        centre = (person.eyes[k] - head_origin()) @ turn.T + shot.translation
        rings = eye_points(centre, eye_turns[k], person.pupil)
        eyes_3d[k] = np.concatenate([rings[:8], face[surface.lids[k]], rings[8:]])
        pupils[k] = rings[8:].mean(axis=0)
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
        points_98=project(points_98(face, pupils, person.looks.brow_width), shot.camera),
    )


class DrawnHeads:
    """People whose heads are drawn (`heads.Heads`)."""

    def person(self, seed: int) -> Person:
        """The person of a seed."""
        return Person.sample(seed)

    def light(self, rng: np.random.Generator) -> Light:
        """Random light, from flat to hard."""
        return Light.sample(rng)

    def background(self, rng: np.random.Generator, height: int, width: int) -> Array:
        """(H, W, 3) float32 BGR, 0 to 1; see backdrop.py."""
        return background(rng, height, width)

    def asides(self, rng: np.random.Generator, frames: int) -> None:
        """None: these heads do nothing beside the action units."""

    def hand(self, rng: np.random.Generator) -> int:
        """0: these heads have no hands."""
        return 0

    def layer(self, person: Person, shot: Shot, height: int, width: int) -> tuple[Array, Truth]:
        """The person without a background; see `render_layer`."""
        return render_layer(person, shot, height, width)


DRAWN = DrawnHeads()


def render_shot(person: Any, shot: Shot, behind: Array, heads: Heads = DRAWN) -> tuple[Array, Truth]:
    """The picture (H, W, 3) float32 BGR, 0 to 1, before the camera's faults, and its truth; `behind`: background."""
    layer, truth = heads.layer(person, shot, behind.shape[0], behind.shape[1])
    return layer[..., :3] + (1 - layer[..., 3:]) * behind, truth


def camera_for(face_px: float, width: int, height: int, rng: np.random.Generator) -> tuple[RenderCamera, float]:
    """A camera and the distance (mm) at which a face is `face_px` wide."""
    focal = max(float(rng.uniform(0.9, 2.5)) * max(width, height), NEAREST * face_px / NOMINAL_FACE)
    return RenderCamera(focal, width / 2, height / 2), focal * NOMINAL_FACE / face_px


def render_photograph(
    seed: int,
    *,
    canvas: tuple[int, int] = (320, 320),
    face_width: tuple[float, float] = (50.0, 260.0),
    yaw: float = 70.0,
    roll: float | None = None,
    heads: Heads = DRAWN,
) -> Picture:
    """A random person, expression, gaze, pose, light and background.

    Parameters
    ----------
    seed : the same seed gives the same picture; four consecutive seeds (from a multiple of four) show one person.
    canvas : width and height, px.
    face_width : range of the width of a frontal face between landmarks 0 and 16, px; log-uniform.
    yaw : the head turns up to so many degrees; pitch up to 25.
    roll : every angle up to so many degrees is as likely as any other; None: mostly upright, up to 30.
    heads : where the person comes from.
    """
    person = _person(heads, seed // PICTURES_OF_A_PERSON)
    rng = np.random.default_rng([11, seed])
    width, height = canvas
    face_px = float(np.exp(rng.uniform(*np.log(face_width))))
    camera, distance = camera_for(face_px, width, height, rng)
    side = np.radians(yaw) * (rng.uniform(-1, 1) if rng.random() < 0.6 else np.clip(rng.normal(0, 0.25), -1, 1))
    rotation = np.array(
        [np.radians(np.clip(rng.normal(0, 11), -25, 25)), side, np.radians(np.clip(rng.normal(0, 9), -30, 30))]
    )
    if roll is not None:
        rotation[2] = np.radians(rng.uniform(-roll, roll))
    room = np.maximum(np.array([width, height]) / 2 - 0.52 * face_px, 4)
    offset = rng.uniform(-1, 1, 2) * room * np.where(rng.random() < 0.9, 1, 1.25)
    translation = np.array([offset[0] / camera.focal * distance, offset[1] / camera.focal * distance, distance])
    shot = Shot(
        aus=sample_aus(rng),
        gaze=np.clip(rng.normal(0, 1, 2) * [0.25, 0.14], -0.55, 0.55),
        rotation=rotation,
        translation=translation,
        camera=camera,
        light=heads.light(rng),
        trunk=rotation * rng.uniform(0, 0.6) * [0.5, 1, 0.4],
        asides=None if (asides := heads.asides(rng, 1)) is None else asides[0],
        hand=heads.hand(rng),
    )
    image, truth = render_shot(person, shot, heads.background(rng, height, width), heads)
    return Picture(Film.sample(rng, face_px).expose(image, rng), truth)


@lru_cache(maxsize=8)
def _person(heads: Heads, seed: int) -> Any:
    return heads.person(seed)


def render_background(seed: int, canvas: tuple[int, int] = (320, 320), heads: Heads = DRAWN) -> Picture:
    """A picture without a face."""
    rng = np.random.default_rng([13, seed])
    image = heads.background(rng, canvas[1], canvas[0])
    return Picture(Film.sample(rng, 120.0).expose(image, rng), None)
