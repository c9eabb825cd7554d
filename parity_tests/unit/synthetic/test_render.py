"""The face renderer: what it promises of its truth, and that everything follows from a seed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from auparity.models.synthetic import render as renderer
from auparity.models.synthetic.backdrop import Film
from auparity.models.synthetic.clips import make_clip, render_clip, write_script
from auparity.models.synthetic.deformation import FULL, IDENTITY, head_shape
from auparity.models.synthetic.person import EXCLUSIVE, Person, reconcile, sample_aus
from auparity.models.synthetic.raster import rasterise
from auparity.models.synthetic.render import project, render_background, render_photograph, render_shot
from auparity.models.synthetic.scene import Light, Shot, rotation_matrix
from auparity.models.synthetic.surface import EYE_CENTRE, EYE_RADIUS
from auparity.models.synthetic.types import AU_NAMES, RenderCamera

INTENSITIES = [name for name in AU_NAMES if name != "AU28"]
EYES = np.stack([EYE_CENTRE * [-1, 1, 1], EYE_CENTRE])
FLAT = Light(np.array([[0, 0, -1.0], [0, -1, 0]]), np.full((2, 3), [[0.6], [0.1]]), np.full(3, 0.4), np.full(3, 0.3))


def face(**intensities: float) -> np.ndarray:
    """Landmarks (68, 3) of the mean head with some action units."""
    head = head_shape()
    aus = np.array([intensities.get(name, 0.0) for name in AU_NAMES])
    vertices = head.pose_face(head.neutral(np.zeros(len(IDENTITY))), aus, EYES, EYE_RADIUS)
    return vertices[head.surface.landmarks]


def shot(rotation=(0.0, 0.0, 0.0), gaze=(0.0, 0.0), face_px=160.0, size=240, **intensities: float) -> Shot:
    camera = RenderCamera(600.0, size / 2, size / 2)
    distance = camera.focal * renderer.NOMINAL_FACE / face_px
    aus = np.array([intensities.get(name, 0.0) for name in AU_NAMES])
    return Shot(aus, np.array(gaze), np.array(rotation), np.array([0, 0, distance]), camera, FLAT, np.zeros(3))


def picture(seed=1, size=240, **changes):
    taken = shot(size=size, **changes)
    return render_shot(Person.sample(seed), taken, np.full((size, size, 3), 0.5, np.float32))


def test_the_head_has_the_size_and_the_modes_that_were_asked_for():
    head = head_shape()
    assert head.surface.n_vertices >= 1500
    assert len(head.identity) >= 12
    assert len(INTENSITIES) == 17
    flat = np.concatenate([head.identity, head.action]).reshape(len(head.identity) + len(head.action), -1)
    singular = np.linalg.svd(flat / np.linalg.norm(flat, axis=1, keepdims=True), compute_uv=False)
    assert singular[-1] > 0.05, "two modes move the head in the same way"


def test_every_triangle_of_the_head_uses_real_vertices_and_every_landmark_is_on_the_surface():
    head = head_shape()
    assert head.surface.triangles.min() >= 0
    assert head.surface.triangles.max() < head.surface.n_vertices
    assert np.isin(head.surface.landmarks, head.surface.triangles).all()
    assert np.isin(head.surface.lids, head.surface.triangles).all()
    assert len(set(head.surface.landmarks.tolist())) == 68


def test_the_face_at_rest_is_symmetric():
    mirror = [
        *range(16, -1, -1),
        *range(26, 16, -1),
        27,
        28,
        29,
        30,
        35,
        34,
        33,
        32,
        31,
        45,
        44,
        43,
        42,
        47,
        46,
        39,
        38,
        37,
        36,
        41,
        40,
    ]
    mirror += [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
    rest = face()
    np.testing.assert_allclose(rest[mirror] * [-1, 1, 1], rest, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "landmark", "axis", "sign", "least_mm"),
    [
        ("AU01", 21, 1, -1, 5), ("AU02", 18, 1, -1, 5), ("AU04", 21, 1, 1, 4), ("AU05", 38, 1, -1, 1.5),
        ("AU06", 41, 1, -1, 1), ("AU07", 41, 1, -1, 1.5), ("AU09", 31, 1, -1, 3), ("AU10", 51, 1, -1, 3),
        ("AU12", 48, 1, -1, 5), ("AU12", 48, 0, -1, 5), ("AU14", 48, 2, 1, 3), ("AU15", 48, 1, 1, 5),
        ("AU17", 57, 1, -1, 1.5), ("AU20", 48, 0, -1, 6), ("AU23", 51, 1, 1, 1.5), ("AU25", 66, 1, 1, 3),
        ("AU26", 8, 1, 1, 10), ("AU28", 51, 1, 1, 3), ("AU45", 37, 1, 1, 4),
    ],
)  # fmt: skip
def test_each_action_unit_moves_what_facs_says_it_moves(name, landmark, axis, sign, least_mm):
    moved = face(**{name: FULL}) - face()
    assert sign * moved[landmark, axis] >= least_mm
    half = face(**{name: FULL / 2}) - face()
    assert 0.3 < np.linalg.norm(half) / np.linalg.norm(moved) < 0.75


def test_a_blink_closes_the_eye_and_lips_never_cross():
    closed = face(AU45=FULL)
    gap = closed[[41, 40], 1] - closed[[37, 38], 1]
    assert (gap < 2.2).all()
    rng = np.random.default_rng(0)
    for _ in range(50):
        lips = face(**dict(zip(AU_NAMES, rng.uniform(0, FULL, 18), strict=True)))
        assert (lips[[67, 66, 65], 1] - lips[[61, 62, 63], 1] >= -1e-9).all()


def test_lids_never_sink_into_the_eyeball():
    head, rng = head_shape(), np.random.default_rng(1)
    for _ in range(20):
        vertices = head.pose_face(head.neutral(np.zeros(len(IDENTITY))), rng.uniform(0, FULL, 18), EYES, EYE_RADIUS)
        for eye, lids in zip(EYES, head.surface.lids, strict=True):
            assert (np.linalg.norm(vertices[lids] - eye, axis=1) >= EYE_RADIUS).all()


def test_landmarks_are_the_projection_of_their_3d_points():
    truth = render_photograph(3_100_000).truth
    np.testing.assert_allclose(project(truth.landmarks_3d, truth.camera), truth.landmarks)
    np.testing.assert_allclose(project(truth.eye_landmarks_3d, truth.camera), truth.eye_landmarks)
    x, y, w, h = truth.box
    assert np.isclose(x + w, truth.landmarks[:, 0].max())
    assert np.isclose(y + h, truth.landmarks[:, 1].max())


def test_the_pose_is_the_one_that_was_asked_for():
    asked = (0.1, -0.4, 0.2)
    _, turned = picture(rotation=asked)
    _, straight = picture()
    back = (turned.landmarks_3d - turned.pose[:3]) @ rotation_matrix(np.array(asked))
    np.testing.assert_allclose(back, straight.landmarks_3d - straight.pose[:3], atol=1e-6)
    np.testing.assert_allclose(turned.pose[3:], asked)


def test_the_far_side_of_a_turned_head_is_hidden():
    _, truth = picture(rotation=(0, np.radians(60), 0))
    near, far = truth.visible[[45, 54, 26, 13]], truth.visible[[36, 39, 17, 3]]
    assert near.mean() > 0.7
    assert far.mean() < 0.3
    _, straight = picture()
    assert straight.visible.mean() > 0.9


def test_the_eyes_look_where_the_truth_says():
    image, truth = picture(size=480, face_px=380, gaze=(0.35, 0.0))
    assert abs(truth.gaze[0, 0]) > 0.3
    np.testing.assert_allclose(np.linalg.norm(truth.gaze, axis=1), 1)
    for eye in truth.eye_landmarks:
        pupil, corners = eye[20:28].mean(axis=0), eye[[8, 14]]
        dark = image[round(pupil[1]), round(pupil[0])].mean()
        assert dark < 0.25, "the pupil is drawn where its ring is"
        moved = (pupil - corners.mean(axis=0))[0]
        assert np.sign(moved) == np.sign(truth.gaze[0, 0])


def test_texture_and_surface_agree_about_the_mouth():
    image, truth = picture(size=480, face_px=380)
    grey = image.mean(axis=2)
    lip = truth.landmarks[62:63].mean(axis=0)
    column = grey[int(lip[1]) - 12 : int(lip[1]) + 13, round(lip[0])]
    assert abs(int(np.argmin(column)) - 12) <= 3, "the line between the lips is at the inner lip landmarks"


@pytest.mark.parametrize("face_px", [40.0, 600.0])
def test_faces_of_every_size(face_px):
    size = int(face_px * 1.6)
    image, truth = picture(size=size, face_px=face_px)
    assert image.shape == (size, size, 3)
    assert 0.7 < truth.box[2] / face_px < 1.2


def test_a_seed_gives_the_same_picture_in_another_process():
    code = (
        "import hashlib; from auparity.models.synthetic.render import render_photograph as r;"
        "print(hashlib.sha256(r(3_000_001).image.tobytes()).hexdigest())"
    )
    for hash_seed in ("1", "2"):  # the order of sets differs between the two
        found = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        ).stdout.strip()
        assert found == hashlib.sha256(render_photograph(3_000_001).image.tobytes()).hexdigest()
    assert not np.array_equal(render_photograph(3_000_002).image, render_photograph(3_000_001).image)


def test_backgrounds_have_no_truth_and_photographs_have():
    assert render_background(3_000_000).truth is None
    taken = render_photograph(3_000_003, canvas=(200, 150))
    assert taken.image.shape == (150, 200, 3)
    assert taken.image.dtype == np.uint8
    assert taken.truth.aus.shape == (18,)
    assert 0 <= taken.truth.aus.min() <= taken.truth.aus.max() <= FULL


def test_a_clip_shows_one_person_who_rests_moves_and_does_everything():
    script = np.concatenate([write_script(np.random.default_rng(seed), seed, 120).aus for seed in range(30)])
    assert (script.max(axis=0) > 2).all(), "every action unit gets its turn"
    assert 0.15 < (script.max(axis=1) < 0.3).mean() < 0.6, "stretches of rest"
    assert np.abs(np.diff(script[:120], axis=0)).max() < 4, "nothing jumps"
    clip = make_clip(3_000_000, 30)
    frames = list(render_clip(3_000_000, 3))
    assert len(frames) == 3
    np.testing.assert_array_equal(frames[2].image, make_clip(3_000_000, 3).frame(2).image)
    assert clip.person.identity.shape == (len(IDENTITY),)


def test_faces_do_not_do_what_faces_cannot_do():
    rng = np.random.default_rng(2)
    drawn = reconcile(np.stack([sample_aus(rng) for _ in range(400)]))
    for winner, losers in EXCLUSIVE:
        for loser in losers:
            both = np.minimum(drawn[:, AU_NAMES.index(winner)], drawn[:, AU_NAMES.index(loser)])
            assert both.max() < 1.01


def test_a_perfect_camera_changes_nothing():
    rng = np.random.default_rng(0)
    image = rng.uniform(0.1, 0.9, (20, 30, 3)).astype(np.float32)
    pixels = Film.sample(rng, 100.0, strength=0.0).expose(image, rng)
    np.testing.assert_allclose(pixels / 255, image, atol=1 / 255)


def test_the_rasteriser_keeps_the_nearest_and_leaves_no_gaps():
    grid = np.stack(np.meshgrid(np.linspace(2, 40, 9), np.linspace(3, 30, 7)), -1).reshape(-1, 2)
    index = np.arange(63).reshape(7, 9)
    a, b, c, d = index[:-1, :-1].ravel(), index[:-1, 1:].ravel(), index[1:, 1:].ravel(), index[1:, :-1].ravel()
    sheet = np.concatenate([np.stack([a, c, b], 1), np.stack([a, d, c], 1)])
    points, depth = np.concatenate([grid, grid]), np.repeat([500.0, 400.0], 63)
    found = rasterise(points, depth, np.concatenate([sheet, sheet + 63]), 40, 50)
    assert (found.triangle >= len(sheet)).all(), "the nearer sheet wins everywhere"
    assert len(found.pixels) == len(set(found.pixels.tolist())) == 39 * 28
    places = (points[np.concatenate([sheet, sheet + 63])[found.triangle]] * found.weights[..., None]).sum(axis=1)
    np.testing.assert_allclose(places, np.stack([found.pixels % 50, found.pixels // 50], 1), atol=2e-3)
    assert len(rasterise(points, depth, sheet[:, ::-1], 40, 50).pixels) == 0, "seen from behind"
