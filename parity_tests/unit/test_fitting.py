"""Mean-shift fitting, part models and validation on landscapes made for the purpose."""

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
from auparity.reference.validation import VALIDATION_BOUNDARY, crop_region

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
    assert (wild.init_windows, wild.multi_view, wild.fitting.iterations) == ((15, 13, 11, 11), True, 10)
    assert DetectorParameters.for_model(clnf).fitting.sigma == 1.5


@pytest.fixture(scope="module")
def detector():
    return LandmarkDetector(factories.make_bundle(0).face)


GRAY = np.round(np.random.default_rng(0).uniform(0, 255, (200, 240))).astype(np.float32)


def started(detector, size):
    model = detector.fitter.shape_model
    zeros = np.zeros(model.n_modes, np.float32)
    g = model.params_from_box(np.array([60, 40, size, size], np.float32), zeros, np.zeros(3, np.float32))
    return replace(detector.initial_state(), params_global=g, params_local=zeros)


def test_a_face_too_small_fails_without_being_validated(detector):
    state = detector.detect(GRAY, started(detector, 20), (11, 9, 7, 5))
    assert not state.detection_success
    assert state.certainty == 0


def test_likelihoods_that_a_fit_does_not_compute_stay_what_they_were(detector):
    before = replace(started(detector, 120), likelihood=0.123)
    after = detector.detect(GRAY, before, (0, 0, 0, 0))
    assert after.likelihood == 0.123
    assert (after.params_global == before.params_global).all() or after.parts != before.parts


def test_parts_of_a_small_face_are_placed_but_not_fitted(detector):
    small = detector.detect(GRAY, started(detector, 70), (0, 0, 7, 0))
    assert small.params_global[0] < 0.9
    main = detector.fitter.shape_model
    assert (small.landmarks == main.shape_2d(small.params_global, small.params_local)).all()
    eye = detector.part_models[1]
    offset = small.parts[1].landmarks[eye.mapping[:, 1]] - small.landmarks[eye.mapping[:, 0]]
    assert np.abs(offset).max() < 20


def test_a_fit_does_not_depend_on_the_rest_of_the_batch(detector):
    states = [started(detector, size) for size in (100, 130)]
    g, p = (np.stack([getattr(s, name) for s in states]) for name in ("params_global", "params_local"))
    parameters = detector.parameters.with_windows((0, 9, 7, 0))
    both = detector.fitter.fit(np.stack([GRAY, GRAY]), g, p, parameters)
    alone = detector.fitter.fit(GRAY[None], g[1:], p[1:], parameters)
    assert (both[1].landmarks == alone[0].landmarks).all()
    assert both[1].likelihood == alone[0].likelihood


def test_too_few_windows_are_refused(detector):
    with pytest.raises(ContractError, match="a window size for each of 3 scales"):
        detector.detect(GRAY, detector.initial_state(), (11, 9))


def test_landmarks_outside_the_image_have_no_certainty(detector):
    away = np.full((1, 68, 2), -500, np.float32) + np.random.default_rng(0).uniform(0, 50, (1, 68, 2)).astype(
        np.float32
    )
    assert detector.validator.certainty(GRAY[None], away, np.zeros((1, 3), np.float32))[0] == 0
    assert crop_region(GRAY, np.array([[10.0, 20.0], [40.0, 60.0]]))[1] == (7, 17)


def test_certainties_are_the_middles_of_bins_and_the_boundary_bin_fails(detector):
    landmarks = started(detector, 120)
    inside = detector.fitter.shape_model.shape_2d(landmarks.params_global, landmarks.params_local)
    value = float(detector.validator.certainty(GRAY[None], inside[None], np.zeros((1, 3), np.float32))[0])
    bins = [layer for layer in factories.make_bundle(0).face.validator.views[0].net.layers][-1].bias.shape[0]
    assert (1 - value) * bins % 1 == pytest.approx(0.5, abs=1e-3)
    assert not np.float32(0.725) > VALIDATION_BOUNDARY
