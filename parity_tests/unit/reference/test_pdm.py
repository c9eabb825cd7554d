"""The shape model against the formulas of the specification written out: rotations, projection, box starts, updates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auparity.parity_tests.unit.helpers import factories
from auparity.reference import pdm
from auparity.reference.numerics import FLOAT32, FLOAT64
from auparity.reference.pdm import (
    ShapeModel,
    axis_angle_from_rotation,
    bounding_box,
    euler_from_rotation,
    orthonormalise,
    rotation_from_axis_angle,
    rotation_from_euler,
)

PDM = factories.make_pdm(np.random.default_rng(4), 30, 5)
MODEL = ShapeModel(PDM, FLOAT64)
any_angle = st.floats(-3.1, 3.1)
shape = st.integers(0, 99).map(lambda s: np.random.default_rng(s).normal(size=5) * np.sqrt(PDM.eigenvalues))
pose = st.tuples(st.floats(0.3, 4), any_angle, any_angle, any_angle, st.floats(0, 600), st.floats(0, 400)).map(np.array)


@given(any_angle, any_angle, any_angle)
def test_the_rotation_is_a_turn_about_x_after_y_after_z(rx, ry, rz):
    def turn(axis, angle):
        return rotation_from_axis_angle(np.eye(3)[axis] * angle)

    expected = turn(0, rx) @ turn(1, ry) @ turn(2, rz)
    np.testing.assert_allclose(rotation_from_euler(np.array([rx, ry, rz]), FLOAT64), expected, atol=1e-12)


@given(any_angle, st.floats(-1.5, 1.5), any_angle)
def test_euler_angles_say_the_same_rotation(rx, ry, rz):
    rotation = rotation_from_euler(np.array([rx, ry, rz]), FLOAT64)
    if 1 + np.trace(rotation) < 1e-6:
        return  # a half turn has no quaternion by this formula: it divides by q0
    again = rotation_from_euler(euler_from_rotation(rotation, FLOAT64), FLOAT64)
    np.testing.assert_allclose(again, rotation, atol=1e-6)


@pytest.mark.parametrize("ry", [-1.57, 1.57, -1.22, 1.22])
def test_a_hypothesis_that_looks_aside_keeps_its_rotation(ry):
    # Near 90 degrees the angles are degenerate, the rotation they say is not: float32 rounding of asin there is 1e-3.
    euler = np.array([0, ry, 0.698 * (abs(ry) < 1.5)], np.float32)
    rotation = rotation_from_euler(euler)
    np.testing.assert_allclose(rotation_from_euler(euler_from_rotation(rotation)), rotation, atol=2e-3)


@pytest.mark.parametrize(
    "axis",
    [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, -1, 0], [1, 0, -1], [0, 1, 1], [0, 1, -1], [1, 2, -3], [-1, 2, 3]],
)
def test_half_a_turn_about_any_axis_is_read_off_the_diagonal(axis):
    vector = np.pi * np.array(axis) / np.linalg.norm(axis)
    rotation = rotation_from_axis_angle(vector)
    found = axis_angle_from_rotation(rotation)
    assert np.linalg.norm(found) == pytest.approx(np.pi)
    np.testing.assert_allclose(rotation_from_axis_angle(found), rotation, atol=1e-7)


def test_no_turn_is_the_zero_vector():
    assert (axis_angle_from_rotation(np.eye(3)) == 0).all()
    assert (rotation_from_axis_angle(np.zeros(3)) == np.eye(3)).all()


@given(pose, shape)
def test_landmarks_are_the_scaled_turned_shape_without_its_depth(g, p):
    solid = (PDM.mean + PDM.components @ p).reshape(3, -1)
    expected = g[0] * (rotation_from_euler(g[1:4], FLOAT64) @ solid)[:2] + g[4:6, None]
    np.testing.assert_allclose(MODEL.shape_2d(g, p), expected.T, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(pose, shape)
def test_both_jacobians_are_the_derivative(g, p):
    if abs(np.sin(g[2])) > 0.99 or 1 + np.trace(rotation_from_euler(g[1:4], FLOAT64)) < 1e-2:
        return  # the update itself goes through Euler angles and a quaternion, degenerate there
    full = MODEL.jacobian(g, MODEL.shape_3d(p))
    np.testing.assert_array_equal(MODEL.rigid_jacobian(g, MODEL.shape_3d(p)), full[:, :6])
    # The rotations' columns: R (1 + [w]x) in place of R, spec 30.4; the others are plain.
    rotation, solid, step = rotation_from_euler(g[1:4], FLOAT64), MODEL.shape_3d(p), 1e-6
    for k in range(11):
        moved = []
        for sign in (step, -step):
            w, g2, p2 = np.zeros(3), g.copy(), p.copy()
            if 1 <= k <= 3:
                w[k - 1] = sign
            elif k < 6:
                g2[k] += sign
            else:
                p2[k - 6] += sign
            turned = MODEL.shape_3d(p2) @ (rotation @ rotation_from_axis_angle(w)).T
            moved.append(g2[0] * turned[:, :2] + g2[4:6])
        numeric = ((moved[0] - moved[1]) / (2 * step)).T.ravel()
        np.testing.assert_allclose(full[:, k], numeric, atol=1e-5 * max(1, np.abs(solid).max()))


@given(
    st.floats(20, 300), st.floats(20, 300), shape, st.tuples(st.floats(-1, 1), st.floats(-1.6, 1.6), st.floats(-1, 1))
)
def test_a_box_start_is_the_mean_of_both_scales_about_the_boxs_middle(width, height, p, rotation):
    turn = np.array(rotation)
    g = MODEL.params_from_box(np.array([10.0, 20.0, width, height]), p, turn)
    turned = MODEL.shape_3d(p) @ rotation_from_euler(turn, FLOAT64).T
    size = np.ptp(turned, axis=0)
    assert g[0] == pytest.approx((width / size[0] + height / size[1]) / 2)
    np.testing.assert_array_equal(g[1:4], turn)
    x0, y0, x1, y1 = bounding_box(MODEL.shape_2d(g, p))
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx((10 + width / 2, 20 + height / 2))


@given(pose, shape, st.integers(0, 99))
def test_an_update_adds_up_and_turns_on_the_right(g, p, seed):
    delta = np.random.default_rng(seed).normal(size=11) * 0.05
    g2, p2 = MODEL.update(g, p, delta)
    np.testing.assert_allclose(g2[[0, 4, 5]], g[[0, 4, 5]] + delta[[0, 4, 5]])
    np.testing.assert_allclose(p2, p + delta[6:])
    wx, wy, wz = delta[1:4]
    small = orthonormalise(np.array([[1, -wz, wy], [wz, 1, -wx], [-wy, wx, 1]]), FLOAT64)
    expected = rotation_from_euler(g[1:4], FLOAT64) @ small
    if 1 + np.trace(expected) > 1e-4 and abs(expected[0, 2]) < 1 - 1e-9:
        np.testing.assert_allclose(rotation_from_euler(g2[1:4], FLOAT64), expected, atol=3e-5)  # < 1e-5 rad: no turn


def test_a_rigid_update_leaves_the_shape_and_the_arguments_alone():
    g, p = np.array([1.0, 0.1, 0.2, 0.3, 5, 6]), np.arange(5.0)
    g2, p2 = MODEL.update(g, p, np.full(6, 0.1))
    assert (p2 == p).all()
    assert g[0] == 1.0
    assert g2[0] == 1.1


def test_an_update_without_a_step_stays_in_place():
    g, p = np.array([1.0, 0.1, 0.2, 0.3, 5, 6], np.float32), np.ones(5, np.float32)
    single = ShapeModel(PDM, FLOAT32)
    for _ in range(50):
        g2, _ = single.update(g, p, np.zeros(11, np.float32))
    np.testing.assert_allclose(g2, g, atol=1e-6)


def test_a_rotation_without_angles_becomes_none(monkeypatch):
    # Rounding can push 1 + trace of a half turn below zero: its root is NaN, and all three angles become 0 (spec 30.5).
    with np.errstate(invalid="ignore"):
        assert np.isnan(euler_from_rotation(np.diag([-1.0, -1.0, 1.0 - 1e-9]), FLOAT64)).any()
    monkeypatch.setattr(pdm, "euler_from_rotation", lambda *_: np.array([np.nan, 0.2, 0.3]))
    g, _ = MODEL.update(np.array([1.0, 0.1, 0.2, 0.3, 5, 6]), np.zeros(5), np.full(6, 0.1))
    assert (g[1:4] == 0).all()
    np.testing.assert_allclose(g[[0, 4, 5]], [1.1, 5.1, 6.1])


def test_a_subset_is_the_same_face_with_fewer_points():
    chosen = np.arange(30) % 3 == 0
    g, p = np.array([1.5, 0.1, -0.2, 0.3, 50, 60]), np.ones(5)
    np.testing.assert_array_equal(MODEL.subset(chosen).shape_2d(g, p), MODEL.shape_2d(g, p)[chosen])
    np.testing.assert_array_equal(
        MODEL.subset(np.flatnonzero(chosen)).shape_2d(g, p), MODEL.subset(chosen).shape_2d(g, p)
    )


def test_the_box_of_landmarks_counts_zeros():
    assert bounding_box(np.array([[0.0, 5.0], [3.0, 0.0], [2.0, 9.0]])) == (0, 0, 3, 9)


def test_any_leading_axes_make_a_batch():
    g, p = np.zeros((2, 3, 6)), np.zeros((2, 3, 5))
    g[..., 0] = 1
    assert MODEL.shape_3d(p).shape == (2, 3, 30, 3)
    assert MODEL.shape_2d(g, p).shape == (2, 3, 30, 2)


@given(st.integers(0, 999))
def test_orthonormalising_gives_the_nearest_rotation(seed):
    truth = rotation_from_axis_angle(np.random.default_rng(seed).normal(size=3))
    noise = np.random.default_rng(seed + 1).normal(size=(3, 3)) * 0.05
    rotation = orthonormalise(truth + noise, FLOAT64)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1)
    assert np.linalg.norm(rotation - truth - noise) <= np.linalg.norm(noise) + 1e-12


def test_every_mode_stays_within_three_deviations_of_its_own():
    limit = 3 * np.sqrt(PDM.eigenvalues)
    far = np.array([1e3, -1e3, 0.5, -0.5, 1e3]) * limit
    np.testing.assert_allclose(MODEL.clamp(far), np.array([1, -1, 0.5, -0.5, 1]) * limit)
    inside = limit * 0.999
    np.testing.assert_array_equal(MODEL.clamp(inside), inside)


def test_a_batch_is_its_faces_one_by_one_bit_for_bit():
    single, rng = ShapeModel(PDM, FLOAT32), np.random.default_rng(0)
    g = np.concatenate([rng.uniform(0.5, 2, (7, 1)), rng.uniform(-1, 1, (7, 3)), rng.uniform(0, 500, (7, 2))], axis=1)
    g, p = g.astype(np.float32), rng.normal(size=(7, 5)).astype(np.float32)
    together = single.shape_2d(g, p)
    for k in range(7):
        np.testing.assert_array_equal(single.shape_2d(g[k], p[k]), together[k])
