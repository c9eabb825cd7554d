"""Gaze: eyes that look where they were made to look (spec 70.4, 70.5)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auparity.errors import ContractError
from auparity.reference.gaze import (
    CORNERS_TO_CENTRE,
    EYE_CORNERS,
    EYEBALL_RADIUS,
    gaze_angles,
    gaze_directions,
    ray_sphere_intersection,
)
from auparity.reference.numerics import FLOAT32, FLOAT64
from auparity.reference.pdm import rotation_from_euler

sideways = st.floats(-0.6, 0.6)


def eyes_looking(direction, head=(0.0, 0.0, 0.0)):
    """Face (1, 68, 3) and eye points (1, 2, 28, 3) of two eyeballs whose pupils lie towards `direction`."""
    direction = np.asarray(direction, float) / np.linalg.norm(direction)
    face, eyes = np.zeros((1, 68, 3)), np.full((1, 2, 28, 3), 1e3)  # points beyond the iris mean nothing
    offset = rotation_from_euler(np.array(head), FLOAT64) @ CORNERS_TO_CENTRE
    for eye, (a, b) in enumerate(EYE_CORNERS):
        centre = np.array([-32.0 + 64 * eye, 10.0, 650.0])
        middle = centre - offset
        face[0, a], face[0, b] = middle - [13, 1, 2], middle + [13, 1, 2]
        pupil = centre + EYEBALL_RADIUS * direction
        ring = np.array([[np.cos(t), np.sin(t), 0] for t in np.arange(8) * np.pi / 4]) * 5
        eyes[0, eye, :8] = (pupil + ring) * 0.97  # only the ray to the iris's middle counts, not its depth
    return face, eyes


@given(sideways, sideways, sideways, sideways, sideways)
def test_an_eye_looks_from_its_centre_through_its_pupil(x, y, rx, ry, rz):
    head = np.array([[rx, ry, rz]])
    direction = np.array([x, y, -1.0])
    gaze = gaze_directions(*eyes_looking(direction, head[0]), head, FLOAT64)
    np.testing.assert_allclose(gaze[0], np.tile(direction / np.linalg.norm(direction), (2, 1)), atol=1e-6)


def test_left_and_right_up_and_down():
    # Camera axes: x right, y down, z away. The angles follow the sign of x and of y.
    for direction, angles in (((0.3, 0, -1), (1, 0)), ((-0.3, 0, -1), (-1, 0)), ((0, 0.3, -1), (0, 1))):
        found = gaze_angles(gaze_directions(*eyes_looking(direction), np.zeros((1, 3)), FLOAT64))[0]
        np.testing.assert_allclose(found, np.multiply(angles, np.arctan(0.3)), atol=1e-6)


def test_the_angle_is_that_of_the_mean_of_both_eyes():
    gaze = np.array([[[0.6, 0, -0.8], [0, 0.6, -0.8]]])
    np.testing.assert_allclose(gaze_angles(gaze), [[np.arctan2(0.3, 0.8), np.arctan2(0.3, 0.8)]])


@given(sideways, sideways, st.floats(100, 2000), st.floats(-0.9, 0.9))
def test_a_ray_enters_the_eyeball_on_its_near_side(x, y, depth, aside):
    ray = np.array([x, y, 1.0]) / np.linalg.norm([x, y, 1])
    normal = np.cross(ray, [0, 1.0, 0])
    centre = depth * ray + aside * EYEBALL_RADIUS * normal / np.linalg.norm(normal)
    point = ray_sphere_intersection(ray, centre)
    assert np.linalg.norm(point - centre) == pytest.approx(EYEBALL_RADIUS, abs=1e-6)
    assert point @ ray <= depth
    np.testing.assert_allclose(np.cross(point, ray), 0, atol=1e-6)


def test_a_ray_that_misses_ends_before_the_camera():
    ray = np.array([0, 0, 1.0])
    assert (ray_sphere_intersection(ray, np.array([12.1, 0, 600.0])) == [0, 0, -1]).all()
    assert (ray_sphere_intersection(ray, np.array([12.005, 0, 600.0])) == [0, 0, -1]).all()
    assert (ray_sphere_intersection(ray, np.array([12.0, 0, 600.0])) == [0, 0, 600]).all()  # touches
    assert ray_sphere_intersection(ray, np.array([11.9, 0, 600.0]))[2] > 590
    face, eyes = eyes_looking((0, 0, -1))
    eyes[0, :, :8, 0] += 40
    gaze = gaze_directions(face, eyes, np.zeros((1, 3)), FLOAT64)
    centre = (face[0, 36] + face[0, 39]) / 2 + CORNERS_TO_CENTRE
    expected = np.array([0, 0, -1.0]) - centre
    np.testing.assert_allclose(gaze[0, 0], expected / np.linalg.norm(expected))


def test_a_batch_is_its_faces_one_by_one_and_keeps_its_dtype():
    made = [eyes_looking((0.1 * k, -0.1, -1)) for k in range(3)]
    face, eyes = (np.concatenate([m[k] for m in made]).astype(np.float32) for k in range(2))
    head = np.random.default_rng(0).uniform(-0.2, 0.2, (3, 3)).astype(np.float32)
    together = gaze_directions(face, eyes, head, FLOAT32)
    assert together.dtype == np.float32
    for k in range(3):
        np.testing.assert_array_equal(gaze_directions(face[[k]], eyes[[k]], head[[k]])[0], together[k])


def test_contract():
    (face, eyes), head = eyes_looking((0, 0, -1)), np.zeros((1, 3))
    for argument, arrays in (
        ("face_3d", (face[:, :67], eyes, head)),
        ("face_3d", (face * np.nan, eyes, head)),
        ("eyes_3d", (face, eyes[:, :1], head)),
        ("head_euler", (face, eyes, np.zeros((2, 3)))),
    ):
        with pytest.raises(ContractError, match=f"'gaze', argument '{argument}'"):
            gaze_directions(*arrays)
    with pytest.raises(ContractError, match="'gaze'"):
        gaze_angles(np.zeros((1, 3)))
