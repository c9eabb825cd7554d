"""The compiled fit and what it is made of against the reference: small systems, mean shifts, quirks of the schedule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auparity.errors import ContractError
from auparity.parity_tests.compare.tolerances import tolerance
from auparity.parity_tests.fidelity.stages import with_borders
from auparity.parity_tests.unit.helpers import factories
from auparity.reference import pdm as reference_pdm
from auparity.reference.fitting import INVISIBLE_LIKELIHOOD, FittingParameters, LandmarkFitter, MeanShiftProblem
from auparity.reference.numerics import FLOAT32
from auparity.reference.patch_experts import ResponseMaps
from auparity.reference.similarity import jacobi_svd
from auparity.reference.stage_outputs import pose_entries

pytest.importorskip("numba")

from auparity.accelerated.numba import fitting, linear, mean_shift, normal_equations, pdm

MODES = 6
MODEL = factories.make_bundle(0, m=MODES).face.main
SHAPE = reference_pdm.ShapeModel(MODEL.pdm)
START = np.array([1.5, 0.1, -0.2, 0.05, 200, 150], np.float32)
GRAY = np.zeros((1, 8, 8), np.float32)
FEW = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**31)


class Landscape:
    """Patch experts whose maps are given, whatever the image."""

    scales = (0.25, 0.35, 0.5)

    def __init__(self, make_maps, visible=None, view=0):
        self.make_maps, self.view = make_maps, view
        self.visible = np.ones(68, bool) if visible is None else visible

    def response_maps(self, gray, params_global, params_local, window, scale_index):
        turn = np.array([[0.9, 0.1], [-0.1, 0.9]], np.float32)
        back = np.linalg.inv(turn).astype(np.float32)
        maps = self.make_maps(window)[None]
        return ResponseMaps(maps, self.visible[None], turn[None], back[None], np.array([self.view]))


def noise(seed):
    """Maps that differ from window to window, and from landmark to landmark."""
    return lambda window: np.random.default_rng([seed, window]).random((68, window, window)).astype(np.float32)


def fit(fitter, parameters, g=START, p=None):
    p = np.zeros(MODES, np.float32) if p is None else p
    return fitter.fit(GRAY, g[None], p[None], parameters)[0]


def excess(reference, ours):
    """Distance of two fits in limits of spec 90.10."""
    differences = (
        ("fit_global", pose_entries(ours.params_global) - pose_entries(reference.params_global)),
        ("fit_local", ours.params_local - reference.params_local),
    )
    return max(np.abs(difference).max() / tolerance("stage", name).tolerance for name, difference in differences)


def same_fits(experts, *arguments):
    """The reference fit and ours, asserted to be equal.

    One that is further off than rounding must have decided a kernel cell otherwise, on a border that an ulp of a
    coordinate crosses: then the reference fit is the one with that single decision reversed.
    """
    fitter = LandmarkFitter(MODEL, experts=experts)
    ours, borders = fit(fitting.build(MODEL, experts), *arguments), []

    def reference_fit(flipped):
        fitter.problem_type = with_borders(frozenset(flipped), None if flipped else borders)
        return fit(fitter, *arguments)

    reference = reference_fit([])
    if excess(reference, ours) > 1 and borders:
        reference = min((reference_fit([border]) for border in borders), key=lambda each: excess(each, ours))
    assert excess(reference, ours) <= 1
    assert (ours.view, ours.success) == (reference.view, reference.success)
    assert (ours.likelihood is None) == (reference.likelihood is None)
    np.testing.assert_array_equal(ours.landmarks, SHAPE.shape_2d(ours.params_global, ours.params_local))
    if reference.likelihood is not None:
        # Positions an ulp of 200 px apart, 1.5e-5, under slopes of a few per px.
        assert ours.likelihood == pytest.approx(reference.likelihood, abs=1e-4)
        np.testing.assert_allclose(ours.landmark_likelihoods, reference.landmark_likelihoods, rtol=0, atol=1e-3)
    return reference, ours


@FEW
@given(seeds, st.integers(1, 41), st.sampled_from([1e-2, 1.0, 1e4]))
def test_systems_have_the_reference_solution(seed, size, ridge):
    rng = np.random.default_rng(seed)
    rows = rng.normal(0, 30, (size, 2 * size)).astype(np.float32)
    matrix = (rows @ rows.T + np.float32(ridge) * np.eye(size, dtype=np.float32)).astype(np.float32)
    matrix = np.tril(matrix) + np.tril(matrix, -1).T
    right = rng.normal(0, 10, size).astype(np.float32)
    reference = FLOAT32.solve_spd(matrix, right)
    # The same rounded products; sums of doubles in another order move a float32 by an ulp now and then, and what that
    # does to the solution grows with the condition number.
    reach = 4 * np.finfo(np.float32).eps * np.linalg.cond(matrix.astype(np.float64)) * np.abs(reference).max()
    np.testing.assert_allclose(linear.solve_spd(matrix, right), reference, rtol=0, atol=reach)


def test_a_vanishing_pivot_is_no_update():
    matrix = np.ones((4, 4), np.float32)
    assert not linear.solve_spd(matrix, np.ones(4, np.float32)).any()
    assert not linear.solve_spd(np.full((4, 4), np.nan, np.float32), np.ones(4, np.float32)).any()


@FEW
@given(seeds, st.sampled_from([2, 3]))
def test_singular_values_and_vectors_are_the_reference_ones(seed, size):
    matrix = np.random.default_rng(seed).normal(0, 1, (size, size)).astype(np.float32)
    for reference, ours in zip(jacobi_svd(matrix), linear.jacobi_svd(matrix), strict=True):
        np.testing.assert_allclose(ours, reference, rtol=0, atol=1e-6)


@FEW
@given(st.lists(st.floats(-3.1, 3.1), min_size=3, max_size=3), st.sampled_from([1e-7, 1e-3, 0.3, 3.0]), seeds)
def test_steps_turn_a_face_as_the_reference_ones_do(euler, length, seed):
    g = np.array([1.5, *euler, 100, 200], np.float32)
    delta = (np.random.default_rng(seed).normal(0, 1, 6) * length).astype(np.float32)
    reference, _ = SHAPE.update(g, np.zeros(MODES, np.float32), delta)
    ours = pdm.update(g, delta, linear.rotation_from_euler(*g[1:4]))
    np.testing.assert_array_equal(ours[[0, 4, 5]], reference[[0, 4, 5]])
    # As rotations: Euler angles of one rotation are degenerate near 90 degrees.
    turns = [reference_pdm.rotation_from_euler(each[1:4]) for each in (ours, reference)]
    np.testing.assert_allclose(turns[0], turns[1], rtol=0, atol=2e-6)


@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0.6, -0.8, 0), (0, 0.6, -0.8), (-0.48, 0.6, 0.64)])
@pytest.mark.parametrize("angle", [0.0, 1e-7, 1.0, np.pi - 1e-7, np.pi])
def test_rodrigues_both_ways_up_to_half_a_turn(axis, angle):
    vector = np.array(axis, float) * angle
    rotation = linear.rotation_from_axis_angle(*vector)
    np.testing.assert_allclose(rotation, reference_pdm.rotation_from_axis_angle(vector), rtol=0, atol=1e-15)
    # Judged as rotations: at half a turn an axis and its opposite are one rotation. Nearer to it than a sine of 1e-5
    # the axis is read off the diagonal, which costs the reference itself 1.3e-7.
    back = [
        reference_pdm.rotation_from_axis_angle(both_ways(rotation))
        for both_ways in (reference_pdm.axis_angle_from_rotation, linear.axis_angle_from_rotation)
    ]
    np.testing.assert_allclose(back[1], back[0], rtol=0, atol=1e-9 if angle < 3.1 else 3e-7)


@FEW
@given(seeds, st.booleans())
def test_gram_blocks_give_the_hessian_of_the_jacobian(seed, weighted):
    rng = np.random.default_rng(seed)
    g = np.array([rng.uniform(0.3, 4), *rng.uniform(-1, 1, 3), 100, 200], np.float32)
    arrays, turn = pdm.ModelArrays(MODEL.pdm), linear.rotation_from_euler(*g[1:4])
    counted = (rng.random(68) < 0.7) * (rng.random(68) if weighted else 1.0)
    jacobian = SHAPE.jacobian(g, SHAPE.shape_3d(np.zeros(MODES, np.float32))).astype(np.float64)[:, 6:]
    expected = (jacobian * np.tile(counted, 2)[:, None]).T @ jacobian
    found = np.zeros((6 + MODES, 6 + MODES), np.float32)
    normal_equations.shape_hessian(g, turn, normal_equations.gram_matrices(arrays.modes, counted), found)
    np.testing.assert_allclose(found[6:, 6:], expected, rtol=0, atol=2e-6 * np.abs(expected).max())


def problem(maps, visible, sigma=1.7):
    base, eye = np.zeros((68, 2), np.float32), np.eye(2, dtype=np.float32)
    return MeanShiftProblem(SHAPE, maps, visible, eye, eye, base, 25.0, sigma, sigma, 5)


def shifts_of(maps, visible, position, sigma=1.7):
    window = maps.shape[1]
    out = np.empty((2, len(maps)), np.float32)
    by_pixel = np.ascontiguousarray(maps.reshape(len(maps), -1).T)
    table = mean_shift.kernel_table(window, sigma)
    mean_shift.mean_shifts(by_pixel, visible, table, np.ascontiguousarray(position.T), window, out)
    return out.T


@FEW
@given(seeds, st.sampled_from([1, 3, 5, 9]), st.sampled_from([0.05, 1.0, 50.0]))
def test_mean_shifts_are_equal_inside_maps_on_borders_and_far_outside(seed, window, spread):
    rng = np.random.default_rng(seed)
    maps = rng.random((68, window, window)).astype(np.float32)
    maps[::9] = 0  # pulls nowhere
    visible = rng.random(68) < 0.8
    visible[0] = True
    position = (rng.normal(0, spread, (68, 2)) + (window - 1) / 2).astype(np.float32)
    position[::5] = np.round(position[::5], 1) + np.float32(0.05)  # between two kernels
    position[::7] = np.round(position[::7])
    reference = problem(maps, visible).mean_shifts(position)
    # NumPy's float64 exponential and the C library's may round a kernel's float32 apart.
    np.testing.assert_allclose(shifts_of(maps, visible, position), reference, rtol=0, atol=1e-5)


def test_a_landmark_that_is_nowhere_is_left_alone_and_disturbs_no_other():
    maps, visible = noise(0)(9), np.ones(68, bool)
    position = np.full((68, 2), 4.2, np.float32)
    fine = shifts_of(maps, visible, position)
    for value in (np.nan, np.inf, -np.inf, 1e30):
        position[3, 1] = value
        found = shifts_of(maps, visible, position)
        assert np.isfinite(found).all()
        np.testing.assert_array_equal(np.delete(found, 3, axis=0), np.delete(fine, 3, axis=0))


@FEW
@given(seeds, st.sampled_from([3, 7, 11]))
def test_likelihoods_are_equal_at_any_position(seed, window):
    rng = np.random.default_rng(seed)
    maps = rng.random((68, window, window)).astype(np.float32)
    visible = rng.random(68) < 0.8
    visible[0] = True
    position = rng.uniform(-2, window + 2, (68, 2)).astype(np.float32)
    likelihood, each = problem(maps, visible).likelihoods(position)
    by_pixel = np.ascontiguousarray(maps.reshape(68, -1).T)
    transposed = np.ascontiguousarray(position.T)
    found = mean_shift.densities(by_pixel, visible, transposed, window, 1.7, INVISIBLE_LIKELIHOOD)
    np.testing.assert_allclose(found[:-1], each, rtol=2.0**-22, atol=0)
    np.testing.assert_allclose(found[-1], likelihood, rtol=2.0**-22, atol=1e-7)


@pytest.mark.parametrize("windows", [(11, 9, 7), (0, 9, 7), (11, 0, 0), (9, 9, 0), (7, 7, 7), (0, 0, 0), (3, 0, 5)])
@pytest.mark.parametrize("weight", [0.0, 2.5])
def test_the_schedule_of_scales_windows_and_weights(windows, weight):
    """The kernel's sigma stays that of a window's first use; (9, 9, 0) tells."""
    parameters = FittingParameters(windows=windows, weight_factor=weight)
    same_fits(Landscape(noise(1)), parameters)


def test_the_first_sigma_of_a_window_matters():
    same, other = (
        same_fits(Landscape(noise(1)), FittingParameters(windows=windows))[1].params_global
        for windows in ((9, 9, 0), (0, 9, 0))
    )
    assert np.abs(same - other).max() > 1e-3


@pytest.mark.parametrize("view", [0, 3])
def test_landmarks_that_a_view_hides_do_not_pull(view):
    visible = factories.visibility(68, factories.SEVEN_VIEWS)[view] != 0
    parameters = FittingParameters(windows=(11, 9, 0), weight_factor=5.0)
    _, ours = same_fits(Landscape(noise(2), visible, view), parameters)
    assert (ours.landmark_likelihoods[~visible] == INVISIBLE_LIKELIHOOD).all()


@pytest.mark.parametrize("experts", [lambda w: np.zeros((68, w, w), np.float32), lambda w: np.ones((68, w, w)) * 0.5])
def test_flat_maps(experts):
    same_fits(Landscape(lambda w: experts(w).astype(np.float32)), FittingParameters(windows=(9, 7, 0)))


@pytest.mark.parametrize("scale", [0.1, 0.24, 0.27, 0.31, 20.0])
def test_faces_of_any_size_fail_and_count_as_in_the_reference_fit(scale):
    g = START.copy()
    g[0] = scale
    _, ours = same_fits(Landscape(noise(3)), FittingParameters(windows=(9, 7, 5)), g)
    assert ours.success == (scale > 0.25)


def test_shape_starts_beyond_its_limits():
    p = np.full(MODES, 1e4, np.float32)
    _, ours = same_fits(Landscape(noise(4)), FittingParameters(windows=(9, 0, 0), iterations=1), START, p)
    assert (np.abs(ours.params_local) <= SHAPE.largest).all()


def test_maps_that_are_not_finite_are_refused():
    maps = noise(0)(9)
    maps[3, 4, 4] = np.inf
    with pytest.raises(ContractError, match="response_maps"):
        fitting.build(MODEL, Landscape(lambda _: maps)).fit(
            GRAY, START[None], np.zeros((1, MODES), np.float32), FittingParameters(windows=(9, 0, 0))
        )


def test_bad_arguments_are_named():
    fitter = fitting.build(MODEL, Landscape(noise(0)))
    g, p, parameters = START[None], np.zeros((1, MODES), np.float32), FittingParameters(windows=(9, 0, 0))
    bad = [
        ((None, g, p), "gray"), ((GRAY.astype(float), g, p), "gray"), ((GRAY[:0], g[:0], p[:0]), "gray"),
        ((GRAY, list(g), p), "params_global"), ((GRAY, g * np.nan, p), "params_global"),
        ((GRAY, np.repeat(g, 2, axis=0), p), "params_global"), ((GRAY, g, p[0]), "params_local"),
    ]  # fmt: skip
    for arguments, name in bad:
        with pytest.raises(ContractError, match=name):
            fitter.fit(*arguments, parameters)
    with pytest.raises(ContractError, match="windows"):
        fitter.fit(GRAY, g, p, replace(parameters, windows=(9, 0)))


def test_strided_and_read_only_arrays_are_compiled_no_second_time():
    fitter = fitting.build(MODEL, Landscape(noise(0)))
    parameters, p = FittingParameters(windows=(9, 0, 0)), np.zeros((2, MODES), np.float32)
    g, gray = np.stack([START, START]), np.concatenate([GRAY, GRAY])
    first = fitter.fit(gray, g, p, parameters)[0].params_global
    count = len(fitting._passes.specialisations)
    frozen = g.copy()
    frozen.flags.writeable = False
    for same in (np.asfortranarray(g), np.repeat(g, 2, axis=1)[:, ::2], frozen):
        np.testing.assert_array_equal(fitter.fit(gray, same, p, parameters)[0].params_global, first)
    assert len(fitting._passes.specialisations) == count


def test_what_is_kept_between_fits_is_bounded():
    fitter, p = fitting.build(MODEL, Landscape(noise(0))), np.zeros((1, MODES), np.float32)
    for k in range(3 * fitting.KEPT_TABLES):
        fitter.fit(GRAY, START[None], p, FittingParameters(windows=(3, 0, 0), sigma=1 + 0.1 * k, weight_factor=1 + k))
    assert len(fitter._tables) <= fitting.KEPT_TABLES
    assert len(fitter._grams) <= fitting.KEPT_GRAMS
