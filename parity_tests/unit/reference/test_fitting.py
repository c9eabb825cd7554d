"""Mean-shift fitting on landscapes made for the purpose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from auparity.errors import ContractError
from auparity.parity_tests.unit.helpers import factories
from auparity.reference import fitting, sums
from auparity.reference.fitting import FittingParameters, LandmarkFitter, MeanShiftProblem
from auparity.reference.landmarks import DetectorParameters, LandmarkDetector
from auparity.reference.numerics import FLOAT32, FLOAT64
from auparity.reference.patch_experts import ResponseMaps
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


@pytest.mark.parametrize("iterations", [1, 50])
def test_shape_is_clamped_after_every_step(iterations):
    maps = peaks(np.full((68, 2), [4.0, 4.0]) * np.random.default_rng(0).choice([-1, 1], (68, 2)), width=1.0)
    _, p, _ = problem(maps, iterations=iterations).optimise(START, np.full(6, 1e4), rigid=False)
    assert (np.abs(p) <= MODEL.largest).all()
    if iterations == 1:
        assert (p == MODEL.largest).any()  # one step alone leaves it far outside


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
    assert (plain.init_windows, plain.track_windows, plain.fitting.iterations) == ((11, 9, 7, 5), (0, 9, 7, 0), 5)
    assert DetectorParameters.for_model(clnf).fitting.sigma == 1.5
    assert DetectorParameters.for_model(clnf) == DetectorParameters()
    assert FittingParameters() == FittingParameters((11, 9, 7, 5), 5, 1.5, 25.0, 0.0, True)
    assert (wild.fitting.weight_factor, wild.track_windows) == (2.5, (0, 9, 7, 0))


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


# --- directions: the maps lie in the reference frame, which is turned against the image ------------------------------

#: From image to reference frame: turned by 50 degrees and shrunk; neither it nor its inverse is symmetric.
TO_REFERENCE = np.array([[0.5, -0.6], [0.6, 0.5]])
TO_IMAGE = np.linalg.inv(TO_REFERENCE)
MOVE = np.array([2.0, -1.0])  # px in the image


def turned(case):
    return replace(case, img_to_ref=TO_REFERENCE, ref_to_img=TO_IMAGE)


def test_the_first_step_of_a_turned_face_is_its_mean_shift_turned_into_the_image():
    case = turned(problem(peaks(np.tile(TO_REFERENCE @ MOVE, (68, 1))), iterations=1))
    shift = case.mean_shifts(np.full((68, 2), (WINDOW - 1) / 2))[0]
    g, _, _ = case.optimise(START, np.zeros(6), rigid=True)
    np.testing.assert_allclose(g[4:6] - START[4:6], TO_IMAGE @ shift, atol=1e-9)
    np.testing.assert_allclose(g[:4], START[:4], atol=1e-9)


def test_a_turned_face_ends_on_its_peaks():
    case = turned(problem(peaks(np.tile(TO_REFERENCE @ MOVE, (68, 1))), iterations=60))
    g, _, position = case.optimise(START, np.zeros(6), rigid=True)
    np.testing.assert_allclose(g[4:6] - START[4:6], MOVE, atol=0.2)  # a kernel cell
    np.testing.assert_allclose(position, np.tile((WINDOW - 1) / 2 + TO_REFERENCE @ MOVE, (68, 1)), atol=0.1)


class GivenMaps:
    """Patch experts of four scales whose maps are given, in a reference frame that is turned against the image."""

    scales = (0.25, 0.35, 0.5, 1.0)

    def response_maps(self, gray, params_global, params_local, window, scale_index):
        maps = peaks(np.tile(TO_REFERENCE @ MOVE, (68, 1)))
        both = TO_REFERENCE[None], TO_IMAGE[None]
        return ResponseMaps(maps[None], np.ones((1, 68), bool), *both, np.zeros(1, np.int64))


BUNDLE_MODEL = factories.make_bundle(0, m=6).face.main


def fit(parameters, g=START, problem_type=None):
    """One fit in float64 from `g`, with the given maps."""
    fitter = LandmarkFitter(BUNDLE_MODEL, FLOAT64, GivenMaps())
    fitter.confidences = [fitter.confidences[0]] * 4
    fitter.problem_type = problem_type or fitter.problem_type
    (found,) = fitter.fit(np.zeros((1, 8, 8)), np.asarray(g, float)[None], np.zeros((1, 6)), parameters)
    return found


def test_a_fit_hands_both_transforms_on_in_their_order():
    found = fit(FittingParameters(windows=(WINDOW, 0, 0, 0), iterations=60))
    before = LandmarkFitter(BUNDLE_MODEL, FLOAT64, GivenMaps()).shape_model.shape_2d(START, np.zeros(6))
    np.testing.assert_allclose((found.landmarks - before).mean(axis=0), MOVE, atol=0.2)


# --- boundaries: what happens at a limit, not only beside it ---------------------------------------------------------


class Recorder:
    """Stands for `MeanShiftProblem`: moves nothing but the scale, and remembers what it was made with."""

    def __init__(self, after_rigid=None, after_full=None):
        self.scales, self.made, self.likelihoods_computed = {True: after_rigid, False: after_full}, [], 0

    def __call__(self, *arguments):
        names = ("model", "maps", "visible", "img_to_ref", "ref_to_img", "base", "reg", "sigma", "kernel_sigma")
        self.made.append(dict(zip(names, arguments, strict=False)))
        return self

    def optimise(self, g, p, *, rigid):
        g = g.copy()
        g[0] = self.scales[rigid] or g[0]
        return g, p, np.zeros((68, 2))

    def likelihoods(self, position):
        self.likelihoods_computed += 1
        return 0.5, np.zeros(68)


FOUR_SCALES = FittingParameters(windows=(11, 9, 9, 11))


def at_scale(scale):
    return [scale, *START[1:]]


@pytest.mark.parametrize(("scale", "success"), [(0.25, True), (np.nextafter(0.25, 0), False)])
def test_a_face_of_exactly_the_smallest_scale_is_fitted(scale, success):
    recorder = Recorder()
    assert fit(FOUR_SCALES, at_scale(scale), recorder).success is success
    assert len(recorder.made) == (4 if success else 1)  # given up after the scale that says so


@pytest.mark.parametrize(("scale", "computed"), [(0.3, 1), (np.nextafter(0.3, 0), 4)])
def test_a_face_of_exactly_the_likelihoods_scale_counts_as_large(scale, computed):
    recorder = Recorder()
    fit(FOUR_SCALES, at_scale(scale), recorder)
    assert recorder.likelihoods_computed == computed


@pytest.mark.parametrize(("after_rigid", "after_full", "computed"), [(0.29, 0.31, 4), (0.31, 0.29, 1)])
def test_whether_a_face_is_small_is_decided_by_the_rigid_pass(after_rigid, after_full, computed):
    recorder = Recorder(after_rigid, after_full)
    fit(FOUR_SCALES, at_scale(0.5), recorder)
    assert recorder.likelihoods_computed == computed


def test_the_fourth_scale_is_fitted_with_the_settings_of_the_third():
    recorder = Recorder()
    fit(FOUR_SCALES, problem_type=recorder)
    settings = [(made["reg"], made["sigma"]) for made in recorder.made]
    assert settings[3] == settings[2] == FOUR_SCALES.at_scale(0.5)[:2]
    assert settings[2] != settings[1] == FOUR_SCALES.at_scale(0.35)[:2]


def test_a_window_that_comes_again_keeps_the_kernel_of_its_first_sigma():
    recorder = Recorder()
    fit(FOUR_SCALES, problem_type=recorder)
    first, second, third, fourth = (made["kernel_sigma"] for made in recorder.made)
    sigmas = [made["sigma"] for made in recorder.made]
    assert (first, second) == (sigmas[0], sigmas[1])
    assert (third, fourth) == (second, first)
    assert third < sigmas[2]
    assert fourth < sigmas[3]


def test_regularisation_that_falls_to_exactly_zero_is_raised_like_a_negative_one():
    assert FittingParameters(reg_factor=15.0).at_scale(0.5)[0] == pytest.approx(0.001)
    assert FittingParameters(reg_factor=15.25).at_scale(0.5)[0] == 0.25


@pytest.mark.parametrize(("below_the_limit", "steps"), [(False, 2), (True, 1)])
def test_a_move_of_exactly_the_limit_has_not_converged(monkeypatch, below_the_limit, steps):
    """Two steps are allowed; the second is taken unless the first moved the landmarks by less than the limit."""
    maps = peaks(np.full((68, 2), [2.0, -1.0]))
    g, p, _ = problem(maps, iterations=1).optimise(START, np.zeros(6), rigid=True)
    moved = sums.norm(MODEL.shape_2d(g, p) - MODEL.shape_2d(START, p))
    monkeypatch.setattr(fitting, "CONVERGED", np.nextafter(moved, np.inf) if below_the_limit else moved)
    taken, original = [], MeanShiftProblem.mean_shifts
    monkeypatch.setattr(MeanShiftProblem, "mean_shifts", lambda *a: taken.append(1) or original(*a))
    problem(maps, iterations=2).optimise(START, np.zeros(6), rigid=True)
    assert len(taken) == steps


def single_pixels(*places):
    """Maps that are 0 but for the pixels at `places` (column, row)."""
    maps = np.zeros((68, WINDOW, WINDOW))
    for column, row in places:
        maps[:, row, column] = 1.0
    return maps


def test_a_landmark_outside_its_map_is_moved_from_the_last_kernel_cell_inside():
    """All of a map's mass in one pixel: the shift leads there from wherever the landmark counts as standing."""
    case = problem(single_pixels((5, 4)))
    outside = np.full((68, 2), 100.0)
    np.testing.assert_allclose(case.mean_shifts(outside)[0], [5 - 10.9, 4 - 10.9], atol=1e-6)
    np.testing.assert_allclose(case.mean_shifts(-outside)[0], [5, 4], atol=1e-6)
    np.testing.assert_allclose(case.mean_shifts(np.full((68, 2), 10.8))[0], [5 - 10.8, 4 - 10.8], atol=1e-6)


@pytest.mark.parametrize(("x", "cell"), [(3.26, 3.3), (3.24, 3.2)])
@pytest.mark.parametrize("axis", [0, 1])
def test_the_kernel_is_centred_on_the_nearest_cell_and_the_shift_measured_from_the_landmark(x, cell, axis):
    position, places = np.full((68, 2), 5.0), [[5, 5], [5, 5]]
    position[:, axis], places[0][axis], places[1][axis] = x, 3, 4
    case = replace(problem(single_pixels(*places)), sigma=9.0, kernel_sigma=0.7)
    near, far = np.exp(-0.5 * (cell - 3) ** 2 / 0.7**2), np.exp(-0.5 * (cell - 4) ** 2 / 0.7**2)
    shift = case.mean_shifts(position)[0]
    assert shift[axis] == pytest.approx((3 * near + 4 * far) / (near + far) - x, abs=1e-6)
    assert shift[1 - axis] == pytest.approx(0.0, abs=1e-6)


def test_likelihoods_take_the_sigma_of_the_scale_and_not_that_of_the_kernel():
    case = replace(problem(single_pixels((5, 4))), sigma=0.7, kernel_sigma=9.0)
    model, each = case.likelihoods(np.full((68, 2), [5.0, 6.0]))
    assert each[0] == pytest.approx(np.exp(-0.5 * 2**2 / 0.7**2))
    assert model == pytest.approx(np.log(each[0] + 1e-8))


# --- weights of landmarks --------------------------------------------------------------------------------------------


def test_a_landmark_has_the_same_weight_in_x_and_y():
    fitter = LandmarkFitter(BUNDLE_MODEL, FLOAT64)
    weights = fitter.weights(1, 0, 2.5)
    confidences = [patch.confidence for patch in BUNDLE_MODEL.experts[1].patches[0]]
    np.testing.assert_allclose(weights, 2.5 * np.array(confidences + confidences))


def test_weights_that_add_up_to_those_of_the_identity_count_in_the_rigid_pass_alone():
    """A quirk of the C++ program, which takes a matrix of that trace for the identity in the full pass."""
    maps = peaks(np.random.default_rng(3).uniform(-3, 3, (68, 2)))
    like_identity = np.tile([0.5, 1.5], 68)
    heavier = like_identity * 2

    def step(weights, *, rigid):
        return problem(maps, weights=weights, iterations=1).optimise(START, np.zeros(6), rigid=rigid)[0]

    assert (step(like_identity, rigid=False) == step(None, rigid=False)).all()
    assert (step(like_identity, rigid=True) != step(None, rigid=True)).any()
    assert (step(heavier, rigid=False) != step(None, rigid=False)).any()


def test_where_no_map_pulls_a_step_solves_for_the_prior_alone():
    """Maps of zeros: (J^T J + reg / eigenvalues) delta = -reg / eigenvalues * p, written out here with NumPy."""
    p = np.array([3.0, -2.0, 1.0, 0.5, -0.5, 0.25])
    _, after, _ = problem(np.zeros((68, WINDOW, WINDOW)), iterations=1).optimise(START, p, rigid=False)
    jacobian = MODEL.jacobian(START, MODEL.shape_3d(p))
    prior = np.concatenate([np.zeros(6), 25.0 / MODEL.eigenvalues])
    right = -prior * np.concatenate([np.zeros(6), p])
    delta = np.linalg.solve(jacobian.T @ jacobian + np.diag(prior), right)
    np.testing.assert_allclose(after, p + delta[6:], atol=1e-9)
    assert (np.abs(after) < np.abs(p)).any()
