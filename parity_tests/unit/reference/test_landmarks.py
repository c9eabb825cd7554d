"""Landmark detection from a starting point: what main model, parts and validator hand to each other (spec 50.6, 50.7).

Fits are scripted where their outcome does not matter, so that every statement is about the handing over.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from auparity.models.types import FaceModel
from auparity.parity_tests.unit.helpers import factories
from auparity.reference.fit_shape import fit_shape
from auparity.reference.fitting import Fit, MeanShiftProblem
from auparity.reference.landmarks import PART_PARAMETERS, DetectorParameters, LandmarkDetector
from auparity.reference.numerics import FLOAT32, FLOAT64, PERTURBED, PERTURBED_2, PERTURBED_3
from auparity.reference.patch_experts import extract_areas
from auparity.reference.validation import warp_to_frame

MODEL = factories.make_bundle(0, m=6).face
GRAY = np.round(np.random.default_rng(0).uniform(0, 255, (200, 240))).astype(np.float32)
FRONTAL = np.array([1.6, 0.05, -0.1, 0.02, 120, 100], np.float32)


class ScriptedFitter:
    """Stands where a `LandmarkFitter` stood: moves the face by `shift` px, and remembers what it was asked."""

    def __init__(self, real, shift=(0.0, 0.0), *, success=True, likelihood=0.5):
        self.numerics, self.shape_model = real.numerics, real.shape_model
        self.shift, self.success, self.likelihood, self.calls = shift, success, likelihood, []

    def fit(self, gray, params_global, params_local, parameters):
        self.calls.append((params_global[0], params_local[0], parameters))
        g = params_global[0].copy()
        g[4:6] += np.asarray(self.shift, g.dtype)
        n = self.shape_model.n_points
        each = None if self.likelihood is None else np.full(n, 0.25, g.dtype)
        landmarks = self.shape_model.shape_2d(g, params_local[0])
        return [Fit(g, params_local[0], landmarks, self.likelihood, each, 2, self.success)]


def scripted(shifts=((0, 0), (0, 0), (0, 0)), *, model: FaceModel = MODEL, **main):
    """A detector whose fits are scripted; the parts (inner face, left eye, right eye) move by `shifts`."""
    detector: Any = LandmarkDetector(model)
    detector.main.fitter = ScriptedFitter(detector.main.fitter, **main)
    for part, shift in zip(detector.parts, shifts, strict=False):
        part.fitter = ScriptedFitter(part.fitter, shift)
    return detector


def start(detector, scale=1.6):
    g = FRONTAL.copy()
    g[0] = scale
    return replace(detector.initial_state(), params_global=g)


def test_a_model_that_has_seen_nothing():
    state = LandmarkDetector(MODEL).initial_state()
    np.testing.assert_array_equal(state.params_global, [1, 0, 0, 0, 0, 0])
    assert not state.params_local.any()
    assert not state.landmarks.any()
    assert (state.likelihood, state.confidence, state.detection_success) == (-10.0, 0.0, False)


@pytest.mark.parametrize(
    ("name", "windows", "reg", "sigma", "weight"),
    [
        ("left_eye_28", (3, 5, 9), 0.5, 1.0, 0.0),
        ("right_eye_28", (3, 5, 9), 0.5, 1.0, 0.0),
        ("inner", (9,), 2.5, 1.75, 2.5),
        ("left_eye", (5, 3), 0.1, 2.0, 0.0),
        ("right_eye", (5, 3), 0.1, 2.0, 0.0),
        ("mouth", (7, 7), 1.0, 2.0, 0.0),
        ("brow", (11, 9), 10.0, 3.5, 0.0),
    ],
)
def test_parts_are_fitted_with_settings_of_their_own(name, windows, reg, sigma, weight):
    found = PART_PARAMETERS[name]
    assert (found.windows, found.reg_factor, found.sigma, found.weight_factor) == (windows, reg, sigma, weight)
    assert found.iterations == 5
    for scale in (0.5, 1.0, 1.5):  # no dependence on scale
        assert found.at_scale(scale) == (reg, sigma, weight)


def test_a_part_starts_from_what_fit_shape_says_of_the_mapped_landmarks():
    detector = scripted()
    state = start(detector)
    before = detector.main.shape.shape_2d(state.params_global, state.params_local)
    detector.detect(GRAY, state, (11, 9, 7))
    for part, fitter in zip(detector.part_models, [part.fitter for part in detector.parts], strict=True):
        ((g, p, parameters),) = fitter.calls
        given = np.zeros((fitter.shape_model.n_points, 2), np.float32)
        given[part.mapping[:, 1]] = before[part.mapping[:, 0]]
        expected = fit_shape(fitter.shape_model, given[None])
        np.testing.assert_array_equal(g, expected[0][0])
        np.testing.assert_array_equal(p, expected[1][0])
        assert parameters is PART_PARAMETERS[part.name]


def test_later_parts_overwrite_earlier_ones_and_the_rest_stays():
    # Where CalcParams is sent shows who won: eyes (36 to 47) over the inner face (17 to 67) over the main model.
    detector = scripted(((100, 0), (200, 0), (300, 0)))
    sent = []
    state = start(detector)
    main = detector.main.shape
    plain = main.shape_2d(state.params_global, state.params_local)

    def spy(landmarks):
        sent.append(landmarks[0].copy())
        return fit_shape(main, landmarks)

    detector.main.fit_shape = spy
    found = detector.detect(GRAY, state, (11, 9, 7))
    (merged,) = sent
    np.testing.assert_array_equal(merged[:17], plain[:17])
    for part, owned in enumerate((np.r_[17:36, 48:68], np.r_[36:42], np.r_[42:48])):
        mapping = detector.part_models[part].mapping
        rows = np.isin(mapping[:, 0], owned)
        np.testing.assert_array_equal(merged[mapping[rows, 0]], found.parts[part].landmarks[mapping[rows, 1]])
    # What comes out is a shape of the model again, not the parts' points.
    g, p = fit_shape(main, merged[None])
    np.testing.assert_array_equal(found.landmarks, main.shape_2d(g[0], p[0]))
    np.testing.assert_array_equal(found.params_global, g[0])


@pytest.mark.parametrize(("scale", "fitted"), [(0.89, False), (0.9, False), (0.91, True), (2.0, True)])
def test_parts_are_fitted_above_nine_tenths_of_their_first_scale(scale, fitted):
    detector = scripted()
    found = detector.detect(GRAY, start(detector, scale), (11, 9, 7))
    assert all(bool(part.fitter.calls) == fitted for part in detector.parts)
    for part, own in zip(found.parts, detector.parts, strict=True):  # placed in any case, for the gaze
        np.testing.assert_array_equal(part.landmarks, own.shape.shape_2d(part.params_global, part.params_local))
        assert part.landmarks.any()
    if not fitted:
        np.testing.assert_array_equal(found.params_global, start(detector, scale).params_global)


def test_the_validator_is_shown_the_final_landmarks_and_the_head_as_the_parts_left_it():
    detector = scripted(((30, 0), (0, 10), (0, -10)))
    shown = []
    detector.validator.confidence = lambda *a: shown.append(a) or np.float32([0.9])
    found = detector.detect(GRAY, start(detector), (11, 9, 7))
    ((gray, landmarks, orientation),) = shown
    np.testing.assert_array_equal(gray[0], GRAY)
    np.testing.assert_array_equal(landmarks[0], found.landmarks)
    np.testing.assert_array_equal(orientation[0], found.params_global[1:4])
    assert (found.params_global[1:4] != FRONTAL[1:4]).any()
    assert found.detection_success


@pytest.mark.parametrize(("confidence", "success"), [(0.725, False), (0.7250001, True), (0.775, True), (0.675, False)])
def test_a_face_is_one_above_the_boundary_in_float32(confidence, success):
    detector = scripted()
    detector.validator.confidence = lambda *_: np.float32([confidence])
    found = detector.detect(GRAY, start(detector), (11, 9, 7))
    assert found.detection_success == success
    assert found.confidence == float(np.float32(confidence))


def test_a_failed_fit_is_not_validated_but_its_parts_are_placed():
    detector = scripted(success=False)
    detector.validator.confidence = lambda *_: pytest.fail("the validator was asked")
    found = detector.detect(GRAY, start(detector, 0.2), (11, 9, 7))
    assert (found.detection_success, found.confidence) == (False, 0.0)
    assert all(part.landmarks.any() for part in found.parts)


def test_without_validation_the_fit_decides_and_without_refinement_no_part_moves():
    detector = scripted()
    detector.validator.confidence = lambda *_: pytest.fail("the validator was asked")
    found = detector.detect(GRAY, start(detector), (11, 9, 7), refine_parts=False, validate=False)
    assert (found.detection_success, found.confidence) == (True, 1.0)
    assert not any(part.fitter.calls for part in detector.parts)
    assert found.parts == start(detector).parts or not any(part.landmarks.any() for part in found.parts)


def test_likelihoods_that_no_scale_computed_stay_those_of_before():
    silent, speaking = scripted(likelihood=None), scripted(likelihood=0.75)
    before = replace(start(silent), likelihood=0.125, landmark_likelihoods=np.full(68, 7, np.float32))
    stale, fresh = (d.detect(GRAY, before, (11, 9, 7)) for d in (silent, speaking))
    assert (stale.likelihood, stale.landmark_likelihoods[0]) == (0.125, 7)
    assert (fresh.likelihood, fresh.landmark_likelihoods[0]) == (0.75, 0.25)


def test_a_model_without_parts_is_its_main_model():
    detector = scripted(model=replace(MODEL, parts=()))
    found = detector.detect(GRAY, start(detector), (11, 9, 7))
    np.testing.assert_array_equal(found.params_global, FRONTAL)
    assert found.parts == ()


def test_detecting_changes_no_state_that_was_handed_in():
    detector = LandmarkDetector(MODEL)
    state = start(detector)
    copies = [np.copy(a) for a in (state.params_global, state.params_local, state.landmarks, GRAY)]
    detector.detect(GRAY, state, (0, 7, 5))
    for before, after in zip(
        copies, (state.params_global, state.params_local, state.landmarks, GRAY), strict=True
    ):  # fmt: skip
        np.testing.assert_array_equal(before, after)


def test_the_same_frame_from_the_same_state_gives_the_same_bits():
    detector = LandmarkDetector(MODEL)
    other = LandmarkDetector(MODEL)
    other.detect(GRAY[::-1].copy(), start(other), (11, 9, 7))  # what a detector saw before has no say
    a, b = (d.detect(GRAY, start(d), (0, 7, 5)) for d in (detector, other))
    np.testing.assert_array_equal(a.landmarks, b.landmarks)
    assert (a.likelihood, a.confidence) == (b.likelihood, b.confidence)


def test_in_double_precision_nothing_is_kept_in_single():
    detector = LandmarkDetector(MODEL, None, FLOAT64)
    state = replace(detector.initial_state(), params_global=FRONTAL.astype(np.float64))
    found = detector.detect(GRAY.astype(np.float64), state, (0, 7, 5))
    arrays = (found.params_global, found.params_local, found.landmarks, found.landmark_likelihoods)
    for array in (*arrays, *(part.landmarks for part in found.parts)):
        assert array.dtype == np.float64
    # The image is sampled in double precision, too: else its rounding is the reference's, and cannot be told from it.
    third = GRAY.astype(np.float64) / 3
    area = extract_areas(third, np.array([[50.25, 60.5]]), np.eye(2), 3, FLOAT64)
    assert area.dtype == np.float64
    assert area[0, 1, 1] == pytest.approx(((0.75 * third[60:62, 50] + 0.25 * third[60:62, 51]) / 2).sum(), abs=1e-12)
    warp = MODEL.validator.views[0].warp
    assert warp_to_frame(third, found.landmarks, warp, FLOAT64).dtype == np.float64


@pytest.mark.parametrize("numerics", [FLOAT64, PERTURBED, PERTURBED_2, PERTURBED_3])
def test_other_precisions_find_the_same_face(numerics):
    reference, other = (LandmarkDetector(MODEL, None, n) for n in (FLOAT32, numerics))
    found = []
    for detector in (reference, other):
        state = replace(detector.initial_state(), params_global=detector.numerics.cast(FRONTAL))
        found.append(detector.detect(detector.numerics.cast(GRAY), state, (0, 7, 5), refine_parts=False))
    # Noise has no peaks to hold a landmark: cells of 1/32 and 0.1 px that fall the other way may add up to half a px.
    np.testing.assert_allclose(found[0].landmarks, found[1].landmarks, atol=0.5)
    assert (found[0].landmarks != found[1].landmarks).any()


def test_settings_of_the_command_line_reach_the_fit():
    detector = LandmarkDetector(MODEL, replace(DetectorParameters(), validate=False, refine_parts=False))
    detector.main.fitter = ScriptedFitter(detector.main.fitter)
    assert detector.detect(GRAY, start(detector), (0, 9, 7)).confidence == 1.0
    ((_, _, parameters),) = detector.main.fitter.calls
    assert parameters.windows == (0, 9, 7)
    assert (parameters.sigma, parameters.reg_factor) == (1.5, 25.0)


@pytest.mark.parametrize(("scale", "found"), [(0.15, False), (0.24, False), (0.6, True)])
def test_a_face_too_small_is_given_up_after_the_scale_that_says_so(scale, found):
    fitter = LandmarkDetector(MODEL).main.fitter
    g = FRONTAL.copy()
    g[0] = scale
    settings = replace(DetectorParameters().fitting, windows=(5, 5, 5), iterations=0)  # the scale stays what it is
    (fit,) = fitter.fit(GRAY[None], g[None], np.zeros((1, 6), np.float32), settings)
    assert fit.success == found
    np.testing.assert_array_equal(fit.landmarks, fitter.shape_model.shape_2d(g, np.zeros(6, np.float32)))


@pytest.mark.parametrize(
    ("scale", "windows", "computed"),
    [
        (1.6, (5, 0, 0), 1),  # the next window is 0
        (1.6, (5, 5, 5), 1),  # only at the last scale
        (1.6, (0, 5, 5), 1),
        (0.29, (5, 5, 5), 3),  # small: at every scale
        (0.20, (5, 5, 5), 1),  # too small: at the scale at which it fails
        (1.6, (0, 0, 0), 0),  # nothing was fitted
    ],
)
def test_the_likelihood_is_computed_at_the_last_scale_or_when_the_face_is_small(scale, windows, computed, monkeypatch):
    calls = []
    original = MeanShiftProblem.likelihoods
    monkeypatch.setattr(MeanShiftProblem, "likelihoods", lambda *a: calls.append(1) or original(*a))
    fitter = LandmarkDetector(MODEL).main.fitter
    g = FRONTAL.copy()
    g[0] = scale
    settings = replace(DetectorParameters().fitting, windows=windows, iterations=0)
    (fit,) = fitter.fit(GRAY[None], g[None], np.zeros((1, 6), np.float32), settings)
    assert len(calls) == computed
    assert (fit.likelihood is None) == (computed == 0)
