"""Point distribution model and CalcParams: rotations, Jacobians, updates, fits to given landmarks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auparity.errors import ContractError
from auparity.parity_tests.unit import factories
from auparity.reference.calc_params import fit_shape
from auparity.reference.numerics import FLOAT32, FLOAT64, PERTURBED, PERTURBED_2
from auparity.reference.pdm import (
    ShapeModel,
    axis_angle_from_rotation,
    bounding_box,
    euler_from_rotation,
    orthonormalise,
    rotation_from_axis_angle,
    rotation_from_euler,
)

angle = st.floats(-1.4, 1.4)
PDM_68 = factories.make_pdm(np.random.default_rng(1), 68, 6)
POSE = np.array([1.5, 0.2, -0.3, 0.1, 200.0, 150.0])


def model(numerics=FLOAT64):
    return ShapeModel(PDM_68, numerics)


def shape_params(seed=2):
    return np.random.default_rng(seed).normal(size=6) * np.sqrt(PDM_68.eigenvalues)


@given(angle, angle, angle)
def test_euler_angles_survive_the_way_through_matrix_and_axis_angle(rx, ry, rz):
    euler = np.array([rx, ry, rz])
    rotation = rotation_from_euler(euler, FLOAT64)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    again = rotation_from_axis_angle(axis_angle_from_rotation(rotation))
    np.testing.assert_allclose(again, rotation, atol=2e-5)  # turns below 1e-5 rad count as none
    np.testing.assert_allclose(euler_from_rotation(rotation, FLOAT64), euler, atol=1e-7)


@pytest.mark.parametrize("axis", np.eye(3))
def test_half_a_turn_has_an_axis_too(axis):
    rotation = rotation_from_axis_angle(np.pi * axis)
    np.testing.assert_allclose(rotation_from_axis_angle(axis_angle_from_rotation(rotation)), rotation, atol=1e-6)


def test_orthonormalising_gives_a_rotation():
    near = np.eye(3) + np.array([[0, -0.1, 0.05], [0.1, 0, -0.02], [-0.05, 0.02, 0]])
    rotation = orthonormalise(near, FLOAT64)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)


def test_the_jacobian_is_the_derivative_of_the_landmarks():
    shape_model, p, step = model(), shape_params(), 1e-6
    jacobian = shape_model.jacobian(POSE, shape_model.shape_3d(p))
    for k in range(12):
        delta = np.zeros(12)
        delta[k] = step
        ahead, behind = (shape_model.shape_2d(*shape_model.update(POSE, p, sign * delta)) for sign in (1, -1))
        numeric = ((ahead - behind) / (2 * step)).T.reshape(-1)
        np.testing.assert_allclose(jacobian[:, k], numeric, atol=2e-4)


def test_a_face_started_from_a_box_fills_it():
    shape_model = model()
    for rotation in ((0, 0, 0), (0, 0.5, 0), (0.2, -0.9, 0.4)):
        g = shape_model.params_from_box(np.array([30, 40, 120, 100.0]), np.zeros(6), np.array(rotation))
        x0, y0, x1, y1 = bounding_box(shape_model.shape_2d(g, np.zeros(6)))
        assert (x0 + x1) / 2 == pytest.approx(90)
        assert (y0 + y1) / 2 == pytest.approx(90)
        # The scale is the mean of what width and height ask for.
        assert ((x1 - x0) / 120 + (y1 - y0) / 100) / 2 == pytest.approx(1, abs=0.15)


def test_shape_stays_within_three_deviations():
    shape_model = model()
    clamped = shape_model.clamp(np.array([1e3, -1e3, 0, 1, 0, 0.0]))
    np.testing.assert_allclose(np.abs(clamped[:2]), 3 * np.sqrt(PDM_68.eigenvalues[:2]))
    assert clamped[3] == 1


def test_a_batch_is_its_faces_one_by_one():
    shape_model, poses = model(FLOAT32), np.stack([POSE, POSE + 0.1, POSE * 1.1]).astype(np.float32)
    shapes = np.stack([shape_params(s) for s in range(3)]).astype(np.float32)
    batch = shape_model.shape_2d(poses, shapes)
    for k in range(3):
        assert (batch[k] == shape_model.shape_2d(poses[k], shapes[k])).all()
    fitted = fit_shape(shape_model, batch)
    for k in range(3):
        alone = fit_shape(shape_model, batch[k : k + 1])
        assert (fitted[0][k] == alone[0][0]).all()
        assert (fitted[1][k] == alone[1][0]).all()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), angle, angle, angle)
def test_calc_params_explains_the_landmarks_of_a_face(seed, rx, ry, rz):
    shape_model = model()
    g = np.array([2.0, rx / 2, ry / 2, rz / 2, 320, 240])
    landmarks = shape_model.shape_2d(g, shape_params(seed) * 0.5)
    found_g, found_p = fit_shape(shape_model, landmarks[None])
    again = shape_model.shape_2d(found_g[0], found_p[0])
    # A prior on shape keeps it from being exact: within 1 % of the face.
    assert np.abs(again - landmarks).max() < 0.01 * np.ptp(landmarks)


def test_calc_params_leaves_out_landmarks_that_are_not_given():
    shape_model, p = model(), shape_params()
    landmarks = shape_model.shape_2d(POSE, p)
    partial = landmarks.copy()
    partial[40:] = 0
    partial[50] = [0, 1234.5]  # only x says whether a landmark is given
    g, p_found = fit_shape(shape_model, partial[None])
    again = shape_model.shape_2d(g[0], p_found[0])
    assert np.abs(again[:40] - landmarks[:40]).max() < 1.0


def test_calc_params_of_fewer_equations_than_unknowns_is_decided_by_the_prior():
    shape_model = model()
    six = np.zeros((68, 2))
    six[8:14] = shape_model.shape_2d(POSE, np.zeros(6))[8:14]
    g, p = fit_shape(shape_model, six[None])
    assert np.isfinite(g).all()
    assert np.abs(p).max() < 3 * np.sqrt(PDM_68.eigenvalues.max())


@pytest.mark.parametrize(
    "bad", [np.zeros((1, 68, 2)), np.full((1, 68, 2), np.nan), np.ones((68, 2)), np.ones((1, 67, 2))]
)
def test_calc_params_refuses_landmarks_that_are_none(bad):
    with pytest.raises(ContractError, match="calc_params"):
        fit_shape(model(), bad)


@pytest.mark.parametrize("numerics", [FLOAT64, PERTURBED, PERTURBED_2])
def test_other_precisions_differ_by_rounding(numerics):
    p, landmarks = shape_params(), model().shape_2d(POSE, shape_params())
    golden, other = (fit_shape(model(n), landmarks[None].astype(n.dtype))[1][0] for n in (FLOAT32, numerics))
    assert np.abs(golden - other).max() < 1e-3
    assert (golden != other).any()
    assert p.shape == golden.shape


def test_the_solver_solves_and_gives_up_on_a_singular_system():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(8, 5))
    matrix, right = (a.T @ a).astype(np.float32), rng.normal(size=5).astype(np.float32)
    np.testing.assert_allclose(matrix @ FLOAT32.solve_spd(matrix, right), right, atol=1e-4)
    assert (FLOAT32.solve_spd(np.zeros((5, 5), np.float32), right) == 0).all()
    assert (FLOAT32.solve_spd(np.full((5, 5), np.nan, np.float32), right) == 0).all()


def test_fused_multiply_add_rounds_once():
    a = np.array([1 + 2**-12], np.float32)
    c = np.array([-(1 + 2**-11)], np.float32)
    assert FLOAT32.fma(a, a, c)[0] == np.float32(2**-24)  # rounding the product first would lose it
    assert PERTURBED.fma(a, a, c)[0] == 0
