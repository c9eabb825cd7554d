"""Mean-shift fitting on landscapes made for the purpose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from auparity.errors import ContractError
from auparity.parity_tests.unit import factories
from auparity.reference.fitting import FittingParameters, LandmarkFitter, MeanShiftProblem
from auparity.reference.landmarks import DetectorParameters, LandmarkDetector
from auparity.reference.numerics import FLOAT32, FLOAT64
from auparity.reference.pdm import ShapeModel

WINDOW = 11
MODEL = ShapeModel(factories.make_pdm(np.random.default_rng(1), 68, 6), FLOAT64)
START = np.array([1.5, 0.0, 0.0, 0.0, 200.0, 150.0])
EYE = np.eye(2)


def peaks(offsets, width=2.0):
    """Maps (n, w, w) that peak at offsets (n, 2) of (column, row) from the centre."""
    places = np.arange(WINDOW) - (WINDOW - 1) / 2
    x, y = places[None, None, :] - offsets[:, 0, None, None], places[None, :, None] - offsets[:, 1, None, None]
    return np.exp(-0.5 * (x**2 + y**2) / width**2)


def problem(maps, visible=None, weights=None, iterations=5):
    visible = np.ones(68, bool) if visible is None else visible
    base = MODEL.shape_2d(START, np.zeros(6))
    return MeanShiftProblem(MODEL, maps, visible, EYE, EYE, base, 25.0, 1.5, 1.5, iterations, weights)


def test_the_face_follows_peaks_that_all_lie_aside():
    maps = peaks(np.full((68, 2), [2.0, -1.0]))
    g, p, _ = problem(maps, iterations=60).optimise(START, np.zeros(6), rigid=True)
    np.testing.assert_allclose(g[4:6] - START[4:6], [2.0, -1.0], atol=0.1)  # a kernel cell
    np.testing.assert_allclose(g[:4], START[:4], atol=0.01)
    assert (p == 0).all()


def test_the_full_pass_bends_the_shape_and_the_rigid_one_does_not():
    target = MODEL.shape_2d(START, np.array([8.0, 0, 0, 0, 0, 0]))
    maps = peaks(target - MODEL.shape_2d(START, np.zeros(6)))
    _, rigid, _ = problem(maps).optimise(START, np.zeros(6), rigid=True)
    _, full, _ = problem(maps, iterations=40).optimise(START, np.zeros(6), rigid=False)
    assert (rigid == 0).all()
    assert full[0] > 2


def test_invisible_landmarks_pull_nobody():
    maps = peaks(np.full((68, 2), [1.0, 1.0]))
    visible = np.arange(68) % 2 == 0
    spoiled = maps.copy()
    spoiled[~visible] = peaks(np.full((34, 2), [-4.0, -4.0]))
    results = [problem(m, visible).optimise(START, np.zeros(6), rigid=False)[:2] for m in (maps, spoiled)]
    assert all((a == b).all() for a, b in zip(*results, strict=True))


def test_undefined_confidences_of_invisible_landmarks_do_no_harm():
    fitter = LandmarkFitter(factories.make_bundle(0, m=6).face.main, FLOAT32)
    profile = 3  # half of the landmarks have empty records there
    weights = fitter.weights(0, profile, 2.5)
    assert np.isfinite(weights).all()
    assert fitter.weights(0, profile, 0.0) is None


def test_the_mean_shift_at_the_peak_is_zero_and_points_there_from_aside():
    case = problem(peaks(np.zeros((68, 2))))
    centre = np.full((68, 2), (WINDOW - 1) / 2)
    np.testing.assert_allclose(case.mean_shifts(centre), 0, atol=1e-7)  # the grid step is a float32 0.1
    assert (case.mean_shifts(centre + [1.0, -2.0]) * [1, -1] < 0).all()
    assert (case.mean_shifts(centre + 100) < 0).all()  # outside the map counts as its border


def test_an_empty_map_pulls_nowhere():
    assert (problem(np.zeros((68, WINDOW, WINDOW))).mean_shifts(np.full((68, 2), 3.3)) == 0).all()


def test_likelihoods_are_kernel_sums_and_their_mean_logarithm():
    maps = np.random.default_rng(0).uniform(0, 1, (68, WINDOW, WINDOW))
    visible = np.arange(68) < 60
    position = np.full((68, 2), [4.3, 6.1])
    model, each = problem(maps, visible).likelihoods(position)
    sums = []
    for k in range(60):
        total = 0.0
        for i in range(WINDOW):
            for j in range(WINDOW):
                total += maps[k, i, j] * np.exp(-0.5 * ((6.1 - i) ** 2 + (4.3 - j) ** 2) / 1.5**2)
        sums.append(total)
    np.testing.assert_allclose(each[:60], sums)
    assert (each[60:] == -1e8).all()
    assert model == pytest.approx(np.log(np.array(sums) + 1e-8).mean())


def test_shape_is_clamped_while_fitting():
    maps = peaks(np.full((68, 2), [4.0, 4.0]) * np.random.default_rng(0).choice([-1, 1], (68, 2)), width=1.0)
    _, p, _ = problem(maps, iterations=50).optimise(START, np.full(6, 1e4), rigid=False)
    assert (np.abs(p) <= MODEL.largest).all()


@pytest.mark.parametrize(("scale", "reg", "sigma"), [(0.25, 22.5, 2.25), (0.35, 15.2186, 2.37136), (0.5, 7.5, 2.5)])
def test_the_schedule_of_ce_clm(scale, reg, sigma):
    parameters = FittingParameters(sigma=2.25, reg_factor=22.5)
    assert parameters.at_scale(scale) == pytest.approx((reg, sigma, 0.0), abs=1e-4)
    assert replace(parameters, reg_factor=1.0).at_scale(0.5)[0] == pytest.approx(0.001)
    assert replace(parameters, refine_parameters=False).at_scale(0.5)[:2] == (22.5, 2.25)


def test_parameters_of_the_command_line_programs():
    ceclm, clnf = (factories.make_bundle(0, kind=k, m=6).face for k in ("ceclm", "clnf"))
    plain, wild = DetectorParameters.for_model(ceclm), DetectorParameters.for_model(ceclm, wild=True)
    assert (plain.fitting.sigma, plain.fitting.reg_factor) == (2.25, 22.5)
    assert (wild.fitting.sigma, wild.fitting.reg_factor) == (1.875, 31.5)
    assert (wild.init_windows, wild.fitting.iterations) == ((15, 13, 11, 11), 10)
    assert DetectorParameters.for_model(clnf).fitting.sigma == 1.5


@pytest.fixture(scope="module")
def detector():
    return LandmarkDetector(factories.make_bundle(0).face)


GRAY = np.round(np.random.default_rng(0).uniform(0, 255, (200, 240))).astype(np.float32)


def started(detector, size):
    model = detector.main.fitter.shape_model
    zeros = np.zeros(model.n_modes, np.float32)
    g = model.params_from_box(np.array([60, 40, size, size], np.float32), zeros, np.zeros(3, np.float32))
    return replace(detector.initial_state(), params_global=g, params_local=zeros)


def test_a_fit_does_not_depend_on_the_rest_of_the_batch(detector):
    states = [started(detector, size) for size in (100, 130)]
    g, p = (np.stack([getattr(s, name) for s in states]) for name in ("params_global", "params_local"))
    parameters = detector.parameters.with_windows((0, 9, 7, 0))
    both = detector.main.fitter.fit(np.stack([GRAY, GRAY]), g, p, parameters)
    alone = detector.main.fitter.fit(GRAY[None], g[1:], p[1:], parameters)
    assert (both[1].landmarks == alone[0].landmarks).all()
    assert both[1].likelihood == alone[0].likelihood


def test_too_few_windows_are_refused(detector):
    with pytest.raises(ContractError, match="a window size for each of 3 scales"):
        detector.detect(GRAY, detector.initial_state(), (11, 9))
