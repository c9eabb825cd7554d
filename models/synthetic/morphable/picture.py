"""A person of the morphable model as pixels: drawn, shaded, reduced; and the truth of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.morphable import light as light_kernels
from auparity.models.synthetic.morphable import shading, wrinkles
from auparity.models.synthetic.morphable.expressions import FULL
from auparity.models.synthetic.morphable.kernels import NOTHING, draw_strands, draw_triangles
from auparity.models.synthetic.morphable.person import HeadModel, Person
from auparity.models.synthetic.morphable.props import IRIS_SHARE
from auparity.models.synthetic.morphable.scene import Moment, moment
from auparity.models.synthetic.morphable.strands import WIDEST
from auparity.models.synthetic.morphable.surface import vertex_normals
from auparity.models.synthetic.scene import NOMINAL_FACE, Light, Shot
from auparity.models.synthetic.types import AU_NAMES, Truth

Array = npt.NDArray[Any]

WORKING_FACE = 220.0  #: px of face width that is drawn at least
COARSEST, FINEST = 2, 4  #: places along a pixel's side
SHADOW_SIDE = 176  #: px of a depth map from a light
SHADOWED = 2  #: lights that throw shadows
#: Cameras expose a dark face longer: by this power of how much darker it is than skin that needs no more.
METERED, METERING = 0.35, 0.38
FAINT = 0.12  #: a second light below this needs none
UNSEEN_GAP = 1.0  #: mm between lips that nobody scores
HIDDEN = 5.0  #: mm behind what is drawn at which a landmark counts as hidden
THINNEST = 0.32  #: px, half the width of a strand


def layer(head: HeadModel, person: Person, shot: Shot, height: int, width: int) -> tuple[Array, Truth]:
    """The person without a background, (H, W, 4) float32, BGR times coverage and coverage, 0 to 1, and the truth."""
    face_px = shot.camera.focal * NOMINAL_FACE / shot.translation[2]
    fine = int(np.clip(round(WORKING_FACE / face_px), COARSEST, FINEST))
    scene = moment(head, person, shot)
    camera = np.array(
        [
            shot.camera.focal * fine,
            shot.camera.centre_x * fine + (fine - 1) / 2,
            shot.camera.centre_y * fine + (fine - 1) / 2,
        ],
        np.float32,
    )
    nearness = np.zeros((height * fine, width * fine), np.float32)
    numbers = np.full((height * fine, width * fine), NOTHING, np.int32)
    inverse = 1 / scene.vertices[:, 2]
    points = scene.vertices[:, :2] * (camera[0] * inverse)[:, None] + camera[1:]
    two_sided = scene.material >= shading.CLOTH
    draw_triangles(points, nearness, scene.triangles, two_sided, inverse, numbers)
    # Strands thinner than what can be drawn are drawn as thin as can be, and so many fewer of them.
    thin = person.strands.half_width[:, WIDEST] * (camera[0] / shot.translation[2] / THINNEST)
    kept = np.flatnonzero(person.strands.rank < thin)
    strands = scene.strands[kept]
    hair_inverse = 1 / strands[..., 2]
    hair = strands[..., :2] * (camera[0] * hair_inverse)[..., None] + camera[1:]
    half = np.maximum(person.strands.half_width[kept] * camera[0] * hair_inverse, THINNEST).astype(np.float32)
    draw_strands(hair, half, hair_inverse, len(scene.triangles), nearness, numbers)
    looks = person.looks
    look = np.array([shot.translation[2] / camera[0], 0.38, float(looks.hair.mean()), 1 + 0.6 * looks.age], np.float32)
    rows, shaded = shading.choose(numbers, nearness, scene.material, fine)
    pixels = shading.gather(
        shaded, numbers, nearness, points, scene.triangles, scene.material, scene.table, strands,
        person.strands.table[kept], look, wrinkles.depths(shot.aus, looks.age, person.folding), head.places, head.cube,
        person.eye_look, camera,
    )  # fmt: skip
    shading.relief_normals(pixels, shaded, rows)
    lights, ambient, maps, bases = _lights(scene, shot.light)
    exposure = np.float32(np.clip((METERED / float(looks.skin().mean())) ** METERING, 0.9, 2.2))
    lights[:, 3:], ambient[:2] = lights[:, 3:] * exposure, ambient[:2] * exposure
    radiance = light_kernels.illuminate(pixels, lights, ambient, maps, bases)
    canvas: Array = light_kernels.resolve(radiance, rows, fine)
    return canvas, _truth(head, person, shot, scene, nearness, fine)


def _lights(scene: Moment, light: Light) -> tuple[Array, Array, Array, Array]:
    """Lights, ambient light and depth maps as `illuminate` takes them."""
    lights = np.concatenate([light.directions, light.colours], axis=1).astype(np.float32)
    ambient = np.stack([light.sky, light.ground, np.sign(light.directions[0, 0]) * np.array([1.0, 0, 0])]).astype(
        np.float32
    )
    count = min(SHADOWED, len(lights))
    if count > 1 and light.colours[1].max() < FAINT:
        count = 1
    maps = np.full((count, SHADOW_SIDE, SHADOW_SIDE), -np.inf, np.float32)
    bases = np.zeros((count, 3, 4), np.float32)
    casters = np.ascontiguousarray(scene.triangles[scene.material != shading.WET])
    sides = np.ones(len(casters), np.bool_)
    for k in range(count):
        direction = light.directions[k]
        helper = np.array([0, 0, 1.0]) if abs(direction[2]) < 0.9 else np.array([1.0, 0, 0])
        across = np.cross(helper, direction)
        across /= np.linalg.norm(across)
        axes = np.stack([across, np.cross(direction, across), direction])
        face = scene.face @ axes.T
        low, high = face[:, :2].min(axis=0) - 25, face[:, :2].max(axis=0) + 25
        scale = (SHADOW_SIDE - 1) / float((high - low).max())
        bases[k, :2, :3], bases[k, 2, :3] = axes[:2] * scale, axes[2]
        bases[k, :2, 3] = -low * scale
        flat = scene.vertices @ bases[k, :, :3].T + bases[k, :, 3]
        numbers = np.zeros(maps[k].shape, np.int32)
        draw_triangles(
            np.ascontiguousarray(flat[:, :2]), maps[k], casters, sides, np.ascontiguousarray(flat[:, 2]), numbers
        )
        hair = scene.strands[::3, ::2] @ bases[k, :, :3].T + bases[k, :, 3]
        wide = np.full(hair.shape[:2], 0.9, np.float32)
        draw_strands(
            np.ascontiguousarray(hair[..., :2]), wide, np.ascontiguousarray(hair[..., 2]), 0, maps[k], numbers
        )  # fmt: skip
    return lights, ambient, maps, bases


def eye_rings(centre: Array, turn: Array, radius: float, pupil: float) -> Array:
    """(16, 3) iris ring and pupil ring of an eyeball, in the order of OpenFace's eye models."""
    rings = []
    for start, way, ring in ((180, 45, radius * IRIS_SHARE), (135, -45, pupil)):
        angles = np.radians(start + way * np.arange(8))
        depth = -np.sqrt(radius**2 - ring**2)
        rings.append(np.stack([ring * np.cos(angles), ring * np.sin(angles), np.full(8, depth)], 1))
    return np.concatenate(rings) @ turn.T + centre


def _truth(head: HeadModel, person: Person, shot: Shot, scene: Moment, nearness: Array, fine: int) -> Truth:
    marks = head.marks
    landmarks_3d = marks.points_68.points(scene.face)
    lids = np.stack([marks.lids[k].points(scene.face) for k in range(2)])
    eyes, pupils = np.zeros((2, 28, 3)), np.zeros((2, 3))
    for k in range(2):
        rings = eye_rings(scene.eyes[k], scene.eye_turns[k], person.eye_radius, person.pupil)
        eyes[k] = np.concatenate([rings[:8], lids[k], rings[8:]])
        pupils[k] = rings[8:].mean(axis=0)

    def project(points: Array) -> Array:
        scale = shot.camera.focal / points[..., 2:]
        return np.asarray(points[..., :2] * scale + [shot.camera.centre_x, shot.camera.centre_y])

    landmarks = project(landmarks_3d)
    return Truth(
        landmarks=landmarks,
        landmarks_3d=landmarks_3d,
        visible=_visible(head, scene, landmarks_3d, landmarks * fine + (fine - 1) / 2, nearness),
        eye_landmarks=project(eyes),
        eye_landmarks_3d=eyes,
        pose=np.concatenate([shot.translation, shot.rotation]),
        gaze=np.stack([turn @ [0, 0, -1.0] for turn in scene.eye_turns]),
        aus=_seen(head, shot, scene),
        camera=shot.camera,
        points_98=project(marks.points_98(scene.face, landmarks_3d, lids, pupils)),
    )


def _seen(head: HeadModel, shot: Shot, scene: Moment) -> Array:
    """(18,) intensities as FACS would score them: parted lips are AU25 whatever parts them, such as AU09 or AU10."""
    aus, parted = shot.aus.copy(), AU_NAMES.index("AU25")
    shown = FULL * (scene.parted - UNSEEN_GAP) / head.parted_by_au25
    aus[parted] = np.clip(max(aus[parted], shown), 0, FULL)
    return aus


def _visible(head: HeadModel, scene: Moment, places: Array, cells: Array, nearness: Array) -> Array:
    """(68,) bool: towards the camera, in the picture or beside it, and not behind something."""
    normals = vertex_normals(scene.face, head.model.triangles)
    attached = head.marks.points_68
    normal = (normals[attached.vertices] * attached.weights[..., None]).sum(axis=1)
    view = places / np.linalg.norm(places, axis=1, keepdims=True)
    towards = -(normal * view).sum(axis=1) > -0.12
    cell = np.round(cells).astype(int)
    inside = ((cell >= 0) & (cell < [nearness.shape[1], nearness.shape[0]])).all(axis=1)
    nearest = np.full(len(places), np.inf)
    drawn = nearness[cell[inside, 1], cell[inside, 0]]
    nearest[inside] = np.where(drawn > 0, 1 / np.maximum(drawn, 1e-9), np.inf)
    shown: Array = towards & (places[:, 2] < nearest + HIDDEN)
    return shown
