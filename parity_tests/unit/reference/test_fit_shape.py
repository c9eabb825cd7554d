"""CalcParams against a plain transcription of its definition, and as the inverse of the projection (spec 30.7)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auparity.errors import ContractError
from auparity.models.types import PDM
from auparity.parity_tests.unit.helpers import factories
from auparity.reference.fit_shape import MAX_ITERATIONS, fit_shape
from auparity.reference.numerics import FLOAT32, FLOAT64, PERTURBED, PERTURBED_2, PERTURBED_3
from auparity.reference.pdm import ShapeModel, rotation_from_euler

N, M = 28, 10
BASE = factories.make_pdm(np.random.default_rng(7), N, M)
#: Shapes so common that the prior has no say: noiseless landmarks must give back what made them.
FREE = PDM(BASE.mean, BASE.components, np.full(M, 1e9))


def euler_of(rotation):
    """Euler angles of R = Rx Ry Rz, straight from its entries."""
    return np.array(
        [
            np.arctan2(-rotation[1, 2], rotation[2, 2]),
            np.arcsin(rotation[0, 2]),
            np.arctan2(-rotation[0, 1], rotation[0, 0]),
        ]
    )


def transcription(pdm, landmarks):
    """Steps 1 to 6 of spec 30.7 for one face, in float64, derivatives by hand; also the number of updates."""
    given_points = landmarks[:, 0] != 0
    seen = landmarks[given_points]
    mean = pdm.mean.reshape(3, -1)[:, given_points]
    modes = pdm.components.reshape(3, -1, pdm.n_modes)[:, given_points]
    scale = (np.ptp(seen, axis=0) / np.ptp(mean[:2], axis=1)).mean()
    rotation, translation, p = np.eye(3), (seen.min(axis=0) + seen.max(axis=0)) / 2, np.zeros(pdm.n_modes)

    def project(solid):
        return scale * (rotation @ solid)[:2].T + translation

    error, stuck = np.linalg.norm(project(mean) - seen), 0
    updates = 0
    while updates < 1000:
        updates += 1
        solid = mean + modes @ p
        columns = [(rotation @ solid)[:2]]
        columns += [scale * (rotation @ np.cross(axis, solid.T).T)[:2] for axis in np.eye(3)]
        columns += [np.stack([np.full(solid.shape[1], k == 0), np.full(solid.shape[1], k == 1)]) for k in (0, 1)]
        columns += [scale * (rotation @ modes[:, :, k])[:2] for k in range(pdm.n_modes)]
        jacobian = np.stack([c.astype(float).ravel() for c in columns], axis=1)
        prior = np.concatenate([np.zeros(6), 1 / pdm.eigenvalues])
        right = jacobian.T @ (seen - project(solid)).T.ravel() - prior * np.concatenate([np.zeros(6), p])
        delta = 0.75 * np.linalg.solve(jacobian.T @ jacobian + np.diag(prior), right)
        scale, translation, p = scale + delta[0], translation + delta[4:6], p + delta[6:]
        wx, wy, wz = delta[1:4]
        u, _, vt = np.linalg.svd(np.array([[1, -wz, wy], [wz, 1, -wx], [-wy, wx, 1]]))
        rotation = rotation @ u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
        new = np.linalg.norm(project(solid) - seen)  # the new pose on the OLD shape
        stuck += 0.999 * error < new
        if stuck == 3:
            break
        error = new
    return np.concatenate([[scale], euler_of(rotation), translation]), p, updates


def face(seed, pdm=BASE, spread=0.7):
    rng = np.random.default_rng(seed)
    g = np.concatenate([[rng.uniform(0.8, 3)], rng.uniform(-0.5, 0.5, 3), rng.uniform(150, 500, 2)])
    p = rng.normal(size=M) * np.sqrt(BASE.eigenvalues) * spread
    return g, p, ShapeModel(pdm, FLOAT64).shape_2d(g, p)


def assert_same_fit(g, p, expected_g, expected_p):
    """Equal up to the 1e-5 rad below which OpenCV's Rodrigues takes a turn for none."""
    np.testing.assert_allclose(g[[0, 4, 5]], expected_g[[0, 4, 5]], atol=1e-3)
    np.testing.assert_allclose(
        rotation_from_euler(g[1:4], FLOAT64), rotation_from_euler(expected_g[1:4], FLOAT64), atol=3e-5
    )
    np.testing.assert_allclose(p, expected_p, atol=2e-3)


@pytest.mark.parametrize("seed", range(12))
def test_the_fit_is_its_transcription(seed):
    _, _, landmarks = face(seed)
    landmarks = landmarks + np.random.default_rng(seed).normal(size=landmarks.shape)  # no shape explains it exactly
    g, p = fit_shape(ShapeModel(BASE, FLOAT64), landmarks[None])
    assert_same_fit(g[0], p[0], *transcription(BASE, landmarks)[:2])


@pytest.mark.parametrize("count", [20, 8, 6])
@pytest.mark.parametrize("seed", range(4))
def test_fits_to_some_of_the_landmarks_are_their_transcription(seed, count):
    # 6 landmarks: 12 equations for 16 unknowns, as in an eye part. The prior decides.
    _, _, landmarks = face(seed)
    partial = np.zeros_like(landmarks)
    partial[8 : 8 + count] = landmarks[8 : 8 + count]
    g, p = fit_shape(ShapeModel(BASE, FLOAT64), partial[None])
    assert np.isfinite(p).all()
    assert_same_fit(g[0], p[0], *transcription(BASE, partial)[:2])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_noiseless_landmarks_give_back_the_parameters_that_made_them(seed):
    g, _, landmarks = face(seed, FREE)
    found_g, found_p = fit_shape(ShapeModel(FREE, FLOAT64), landmarks[None])
    again = ShapeModel(FREE, FLOAT64).shape_2d(found_g[0], found_p[0])
    np.testing.assert_allclose(again, landmarks, atol=0.05)
    # Shape and scale can hardly stand in for one another here, depth hardly shows: so the picture, and the pose.
    assert_rotations_agree(found_g[0, 1:4], g[1:4])
    assert found_g[0, 0] == pytest.approx(g[0], rel=0.02)


def assert_rotations_agree(a, b):
    turn = rotation_from_euler(a, FLOAT64).T @ rotation_from_euler(b, FLOAT64)
    assert np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)) < 0.05


def test_only_x_says_whether_a_landmark_is_given():
    model, (_, _, landmarks) = ShapeModel(BASE, FLOAT64), face(1)
    without = np.delete(np.arange(N), 5)
    absent = landmarks.copy()
    absent[5] = [0, 1e4]
    expected = fit_shape(model.subset(without), landmarks[None, without])
    for found, want in zip(fit_shape(model, absent[None]), expected, strict=True):
        np.testing.assert_array_equal(found, want)
    # y = 0 is a place like any other: it pulls.
    at_the_top = landmarks.copy()
    at_the_top[5, 1] = 0
    g, p = fit_shape(model, at_the_top[None])
    assert_same_fit(g[0], p[0], *transcription(BASE, at_the_top)[:2])
    assert np.abs(p[0] - expected[1][0]).max() > 0.1


def test_a_point_lost_to_the_zero_convention_is_dropped_in_every_face_by_itself():
    model, faces = ShapeModel(BASE, FLOAT32), np.stack([face(k)[2] for k in range(3)]).astype(np.float32)
    faces[1, 3] = 0
    g, p = fit_shape(model, faces)
    for k in range(3):
        alone = fit_shape(model, faces[k : k + 1])
        assert (alone[0][0] == g[k]).all()
        assert (alone[1][0] == p[k]).all()


def test_it_stops_at_the_third_step_that_hardly_helps(monkeypatch):
    steps = []
    original = ShapeModel.update
    monkeypatch.setattr(ShapeModel, "update", lambda *a: steps.append(1) or original(*a))
    for seed in range(4):
        steps.clear()
        _, _, landmarks = face(seed)
        noisy = landmarks + np.random.default_rng(seed).normal(size=landmarks.shape)
        fit_shape(ShapeModel(BASE, FLOAT64), noisy[None])
        assert len(steps) == transcription(BASE, noisy)[2]
        assert len(steps) < MAX_ITERATIONS


def test_the_shape_is_not_clamped():
    rare = PDM(BASE.mean, BASE.components, np.full(M, 1e-2))
    strange = BASE.components[:, 0] * 400 + BASE.mean
    seen = strange.reshape(3, -1)[:2].T * 2 + 300
    _, p = fit_shape(ShapeModel(rare, FLOAT64), seen[None])
    assert np.abs(p[0]).max() > 3 * np.sqrt(1e-2)


def test_where_the_face_stands_does_not_change_what_it_is():
    model, (_, _, landmarks) = ShapeModel(BASE, FLOAT64), face(3)
    g, p = fit_shape(model, np.stack([landmarks, landmarks + [250.0, -30.0]]))
    np.testing.assert_allclose(g[1] - g[0], [0, 0, 0, 0, 250, -30], atol=1e-6)
    np.testing.assert_allclose(p[1], p[0], atol=1e-6)


@pytest.mark.parametrize(
    ("landmarks", "complaint"),
    [
        (np.zeros((1, N, 2)), "all x are 0"),
        (np.stack([np.zeros(N), np.ones(N)], axis=1)[None], "all x are 0"),
        (np.full((1, N, 2), np.nan), "finite"),
        (np.ones((N, 2)), "shape"),
        (np.ones((1, N - 1, 2)), "shape"),
    ],
)
def test_landmarks_that_are_none_are_refused(landmarks, complaint):
    with pytest.raises(ContractError, match=f"'fit_shape'.*{complaint}"):
        fit_shape(ShapeModel(BASE, FLOAT64), landmarks)


@pytest.mark.parametrize("numerics", [FLOAT64, PERTURBED, PERTURBED_2, PERTURBED_3])
@pytest.mark.parametrize("seed", range(3))
def test_other_precisions_explain_the_same_landmarks(seed, numerics):
    landmarks = face(seed)[2]
    reference, other = (ShapeModel(BASE, n) for n in (FLOAT32, numerics))
    shapes = [m.shape_2d(*(a[0] for a in fit_shape(m, m.numerics.cast(landmarks[None])))) for m in (reference, other)]
    assert shapes[1].dtype == numerics.dtype
    # Rounding decides at which of its last steps, each of hundredths of a pixel, a fit stops.
    np.testing.assert_allclose(shapes[0], shapes[1], atol=0.05)
