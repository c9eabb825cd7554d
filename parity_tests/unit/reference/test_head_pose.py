"""Head pose and 3D landmarks: the perspective fit against SciPy's minimiser, cameras, contracts (spec 70.1 to 70.3)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auparity.errors import ContractError
from auparity.parity_tests.unit.helpers import factories
from auparity.reference.head_pose import Camera, head_pose, landmarks_in_camera, solve_pnp
from auparity.reference.numerics import FLOAT32, FLOAT64
from auparity.reference.pdm import ShapeModel, rotation_from_axis_angle, rotation_from_euler

MODEL = ShapeModel(factories.make_pdm(np.random.default_rng(1), 68, 6), FLOAT64)
SHAPE = MODEL.shape_3d(np.zeros(6))
CAMERA = Camera(600.0, 640.0, 320.0, 240.0)
turn = st.floats(-0.9, 0.9)


def picture(rotation, translation, camera=CAMERA):
    """Landmarks (68, 2) px of the head seen through a pinhole."""
    points = SHAPE @ rotation.T + translation
    return points[:, :2] / points[:, 2:] * [camera.fx, camera.fy] + [camera.cx, camera.cy]


@settings(max_examples=25, deadline=None)
@given(turn, turn, turn, st.floats(-150, 150), st.floats(-100, 100), st.floats(400, 1500))
def test_the_pose_that_made_the_picture_is_found(rx, ry, rz, x, y, z):
    rotation, translation = rotation_from_euler(np.array([rx, ry, rz]), FLOAT64), np.array([x, y, z])
    # The weak-perspective view of the same head, as a fit would leave it: a start near, not at, the pose.
    s = CAMERA.fx / z
    g = np.array([s, rx, ry, rz, s * x + CAMERA.cx, s * y + CAMERA.cy])
    pose = head_pose(MODEL, g[None], np.zeros((1, 6)), picture(rotation, translation)[None], CAMERA)[0]
    np.testing.assert_allclose(pose[:3], translation, atol=1e-3)
    np.testing.assert_allclose(rotation_from_euler(pose[3:], FLOAT64), rotation, atol=2e-5)


@pytest.mark.parametrize("seed", range(4))
def test_the_minimum_is_that_of_another_minimiser(seed):
    optimize = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(seed)
    truth = rotation_from_euler(rng.uniform(-0.5, 0.5, 3), FLOAT64)
    seen = picture(truth, np.array([20.0, -30.0, 700.0])) + rng.normal(size=(68, 2)) * 3  # no pose explains it exactly
    g = np.array([0.85, 0.1, 0.0, 0.0, 330.0, 220.0])

    def residuals(v):
        return (picture(rotation_from_axis_angle(v[:3]), v[3:]) - seen).ravel()

    expected = optimize.least_squares(residuals, [0.1, 0, 0, 10, -20, 700], xtol=1e-14, ftol=1e-14, gtol=1e-14).x
    rotation, translation = solve_pnp(SHAPE, seen, CAMERA, g)
    np.testing.assert_allclose(translation, expected[3:], atol=1e-3)
    np.testing.assert_allclose(rotation, rotation_from_axis_angle(expected[:3]), atol=1e-5)


def test_faces_are_posed_one_by_one_and_those_of_no_size_not_at_all():
    g = np.array([[0.9, 0.1, 0.2, 0, 300, 250], [0, 0.1, 0.2, 0, 300, 250], [0.7, 0, -0.3, 0.1, 340, 220]], np.float32)
    p = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    model = ShapeModel(factories.make_pdm(np.random.default_rng(1), 68, 6), FLOAT32)
    landmarks = model.shape_2d(g, p)
    together = head_pose(model, g, p, landmarks, CAMERA)
    assert together.dtype == np.float32
    assert not together[1].any()
    for k in range(3):
        np.testing.assert_array_equal(head_pose(model, g[[k]], p[[k]], landmarks[[k]], CAMERA)[0], together[k])


def test_a_nearer_head_is_a_larger_one():
    g = np.array([[0.5, 0, 0, 0, 320, 240], [1.0, 0, 0, 0, 320, 240.0]])
    p = np.zeros((2, 6))
    near_and_far = head_pose(MODEL, g, p, MODEL.shape_2d(g, p), CAMERA)[:, 2]
    assert near_and_far[0] == pytest.approx(2 * near_and_far[1], rel=0.1)


@pytest.mark.parametrize(
    ("width", "height", "focal"), [(640, 480, 500.0), (1280, 720, 875.0), (320, 480, 375.0), (640, 400, 458.33334)]
)
def test_the_focal_length_is_guessed_from_both_sides_of_the_image(width, height, focal):
    camera = Camera.for_image(width, height)
    assert camera.fx == camera.fy == pytest.approx(focal, rel=1e-7)
    assert (camera.cx, camera.cy) == (width / 2, height / 2)


@pytest.mark.parametrize("odd", [641, 1919])
def test_the_middle_of_an_odd_image_is_half_a_pixel(odd):
    assert Camera.for_image(odd, 481).cx == odd / 2


@pytest.mark.parametrize("bad", [(0, 1, 1, 1), (1, -1, 1, 1), (np.nan, 1, 1, 1), (1, 1, np.inf, 1)])
def test_a_camera_has_finite_numbers_and_a_focal_length(bad):
    with pytest.raises(ContractError, match="camera"):
        Camera(*bad)


def test_depth_is_that_of_the_turned_shape_about_f_over_s():
    g, p = np.array([[1.5, 0.1, 0.3, -0.2, 330, 250.0]]), np.random.default_rng(3).normal(size=(1, 6)) * 5
    landmarks = MODEL.shape_2d(g, p) + 3  # detected landmarks need not be those of the shape
    points = landmarks_in_camera(MODEL, g, p, landmarks, CAMERA)[0]
    rotation = rotation_from_euler(g[0, 1:4], FLOAT64)
    for k in (0, 30, 67):
        depth = CAMERA.fx / 1.5 + rotation[2] @ MODEL.shape_3d(p[0])[k]
        assert points[k, 2] == pytest.approx(depth)
        assert points[k, 0] == pytest.approx(depth * (landmarks[0, k, 0] - CAMERA.cx) / CAMERA.fx)
        assert points[k, 1] == pytest.approx(depth * (landmarks[0, k, 1] - CAMERA.cy) / CAMERA.fy)


@pytest.mark.parametrize("function", [head_pose, landmarks_in_camera])
def test_contract(function):
    g, p = np.array([[1.0, 0, 0, 0, 320, 240]]), np.zeros((1, 6))
    landmarks = MODEL.shape_2d(g, p)
    for argument, arrays in (
        ("params_global", (g[:, :5], p, landmarks)),
        ("params_global", (g * np.nan, p, landmarks)),
        ("params_local", (g, p[:, :5], landmarks)),
        ("params_local", (g, np.repeat(p, 2, 0), landmarks)),
        ("params_local", (g, p * np.nan, landmarks)),
        ("landmarks", (g, p, landmarks[:, :67])),
        ("landmarks", (g, p, landmarks[0])),
    ):
        with pytest.raises(ContractError, match=f"'head_pose', argument '{argument}'"):
            function(MODEL, *arrays, CAMERA)
