"""Which of several head orientations wins, and what of it survives (spec 50.9), on a detector with a script."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from auparity.errors import ContractError
from auparity.models.types import EarlyTermination
from auparity.parity_tests.unit.helpers import factories
from auparity.reference import hypotheses
from auparity.reference.face_states import PartState
from auparity.reference.hypotheses import MULTI_VIEW, detect_in_box, start_state
from auparity.reference.landmarks import DetectorParameters, LandmarkDetector
from auparity.reference.numerics import FLOAT32
from auparity.reference.side_by_side import ONE_AFTER_THE_OTHER, OneAfterTheOther

REAL = LandmarkDetector(factories.make_bundle(0, m=6).face)
BOX = np.array([20, 30, 60, 80], np.float32)
GRAY = np.zeros((100, 100), np.float32)
NEVER = 1e9  # a cut-off that no score exceeds


class Scripted:
    """A `LandmarkDetector` that answers (success, likelihood, view) in turn, each stamped with its number."""

    def __init__(self, answers, early=None):
        self.parameters, self.main, self.numerics = DetectorParameters(), REAL.main, FLOAT32
        self.early_termination, self.calls, self.answers = early, [], list(answers)
        self.side_by_side = ONE_AFTER_THE_OTHER

    def detect(self, gray, state, windows, *, refine_parts=None, validate=None):
        success, likelihood, *view = self.answers[len(self.calls)]
        self.calls.append(SimpleNamespace(start=state, windows=windows, flags=(refine_parts, validate)))
        number = np.float32(len(self.calls))
        part = PartState(np.full(6, number), np.full(4, number), np.full((28, 2), number))
        return replace(
            state, detection_success=success, likelihood=likelihood, confidence=float(number), view=(view or [0])[0],
            params_global=state.params_global + np.float32([0, 0, 0, 0, number, 0]),
            params_local=state.params_local + number, landmarks=np.full((68, 2), number),
            landmark_likelihoods=np.full(68, number), parts=(part,),
        )  # fmt: skip

    def run(self, box=BOX, *, multi_view=True):
        return detect_in_box(self, GRAY, box, REAL.initial_state(), multi_view=multi_view)


def early(cutoffs=NEVER, weights=1.0, biases=0.0):
    return EarlyTermination(*(np.broadcast_to(np.float64(v), 7) for v in (weights, biases, cutoffs)))


def stamp(state):
    """Number of the detection that each thing in the state comes from."""
    return {
        "landmarks": int(state.landmarks[0, 0]),
        "likelihoods": int(state.landmark_likelihoods[0]),
        "parts": int(state.parts[0].landmarks[0, 0]),
        "confidence": int(state.confidence),
    }


def test_eleven_orientations_in_the_programs_order():
    expected = [
        [0, 0, 0], [0, -0.5236, 0], [0, 0.5236, 0], [0, -0.96, 0], [0, 0.96, 0], [0, 0, 0.5236], [0, 0, -0.5236],
        [0, -1.57, 0], [0, 1.57, 0], [0, -1.22, 0.698], [0, 1.22, -0.698],
    ]  # fmt: skip
    detector = Scripted([(True, 0.5)] * 11)
    detector.run()
    starts = np.stack([call.start.params_global[1:4] for call in detector.calls])
    np.testing.assert_array_equal(starts, np.float32(expected))
    np.testing.assert_array_equal(np.float32(MULTI_VIEW), np.float32(expected))


def test_every_orientation_starts_from_the_box_with_a_mean_shape_and_the_large_windows():
    detector = Scripted([(True, 0.5)] * 11)
    detector.run()
    for call in detector.calls:
        g = call.start.params_global
        zeros = np.zeros(6, np.float32)
        np.testing.assert_array_equal(g, REAL.main.shape.params_from_box(BOX, zeros, g[1:4]))
        assert not call.start.params_local.any()
        assert call.windows == (11, 9, 7, 5)
        assert call.flags == (None, None)  # parts and validation as set


@pytest.mark.parametrize("winner", [0, 4, 10])
def test_without_early_termination_everything_comes_from_the_likeliest(winner):
    detector = Scripted([(k == winner, 0.9 if k == winner else 0.1 * (k % 5)) for k in range(11)])
    returned, state = detector.run()
    assert returned
    assert state.detection_success
    assert set(stamp(state).values()) == {winner + 1}


def test_the_likeliest_wins_even_when_it_is_not_valid_and_another_is():
    returned, state = Scripted([(True, 0.5), (False, 0.6)] + [(True, 0.1)] * 9).run()
    assert not returned
    assert not state.detection_success


def test_likelihoods_below_zero_compete_like_others():
    _, state = Scripted([(True, -3.0), (True, -2.0)] + [(True, -5.0)] * 9).run()
    assert stamp(state)["landmarks"] == 2


@pytest.mark.parametrize("stops_at", [0, 3, 10])
def test_the_first_coarse_fit_above_its_cut_off_is_finished_and_nothing_else(stops_at):
    answers = [(True, 0.9 if k == stops_at else 0.1) for k in range(stops_at + 1)]
    detector = Scripted([*answers, (False, 0.3)], early(cutoffs=0.5))
    returned, state = detector.run()
    assert len(detector.calls) == stops_at + 2
    assert all(call.windows == (11, 0, 0, 0) and call.flags == (False, False) for call in detector.calls[:-1])
    last = detector.calls[-1]
    assert (last.windows, last.flags) == ((0, 9, 7, 5), (None, None))
    assert (last.start.params_local == stops_at + 1).all()  # carries on from the coarse fit
    assert not returned
    assert set(stamp(state).values()) == {stops_at + 2}


def test_a_score_at_the_cut_off_does_not_exceed_it():
    detector = Scripted([(True, 0.5)] * 14, early(cutoffs=0.5))
    detector.run()
    assert len(detector.calls) == 11 + 3


def test_scores_are_weighted_by_the_view_that_was_used():
    weights, biases, cutoffs = np.ones(7), np.zeros(7), np.full(7, NEVER)
    weights[2], biases[2], cutoffs[2] = 2.0, -0.4, 0.55
    data = EarlyTermination(weights, biases, cutoffs)
    # 2 * 0.5 - 0.4 = 0.6 is above the cut-off of view 2; the same likelihood in view 0 is not above that of view 0.
    detector = Scripted([(True, 0.5, 0), (True, 0.5, 2), (True, 0.5)], data)
    detector.run()
    assert len(detector.calls) == 3


def finalists(detector):
    """Number of the coarse fit that each second-stage fit starts from, told by the translation it recorded."""
    coarse = [call.start.params_global[4] + np.float32(k + 1) for k, call in enumerate(detector.calls[:11])]
    starts = [call.start.params_global for call in detector.calls[11:]]
    rotations = np.float32(MULTI_VIEW)
    found = []
    for g in starts:
        matches = [k for k in range(11) if (rotations[k] == g[1:4]).all() and coarse[k] == g[4]]
        assert len(matches) == 1
        found.append(matches[0])
    return found


def test_the_three_best_scores_are_finished_best_first():
    scores = [0.1, 0.7, 0.2, 0.9, 0.3, 0.8, 0.0, 0.4, 0.5, 0.6, 0.05]
    detector = Scripted([(True, s) for s in scores] + [(True, 0.1)] * 3, early())
    detector.run()
    assert finalists(detector) == [3, 5, 1]
    assert all(call.windows == (0, 9, 7, 5) for call in detector.calls[11:])
    assert all(call.flags == (None, None) for call in detector.calls[11:])


def test_among_equal_scores_the_ones_that_were_tried_first_are_finished():
    detector = Scripted([(True, 0.2), *[(True, 0.5)] * 10] + [(True, 0.1)] * 3, early())
    detector.run()
    assert finalists(detector) == [1, 2, 3]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_quirk_1_of_all_shapes_only_the_last_orientations_survives(place):
    scores = [0.9, 0.8, 0.7, *[0.0] * 7, [1.0, 0.85, 0.75][place]]
    detector = Scripted([(True, s) for s in scores] + [(True, 0.1)] * 3, early())
    detector.run()
    assert finalists(detector)[place] == 10
    kept = [bool(call.start.params_local.any()) for call in detector.calls[11:]]
    assert kept == [k == place for k in range(3)]
    assert (detector.calls[11 + place].start.params_local == 11).all()


@pytest.mark.parametrize("winner", [0, 1, 2])
@pytest.mark.parametrize("last_valid", [True, False])
def test_quirks_2_and_3_flag_and_certainty_returned_are_the_last_candidates(winner, last_valid):
    finals = [[False, 0.1], [False, 0.1], [False, 0.1]]
    finals[winner] = [True, 0.9]
    finals[2][0] = last_valid
    detector = Scripted([(True, 0.5)] * 11 + [tuple(f) for f in finals], early())
    returned, state = detector.run()
    assert returned == last_valid
    assert state.detection_success == finals[winner][0]
    assert stamp(state) == {
        "landmarks": 12 + winner,
        "likelihoods": 12 + winner,
        "parts": 12 + winner,
        "confidence": 14,
    }


def test_one_orientation_goes_through_both_stages_too():
    detector = Scripted([(True, 0.5), (True, 0.6)], early())
    returned, state = detector.run(multi_view=False)
    assert returned
    assert [call.windows for call in detector.calls] == [(11, 0, 0, 0), (0, 9, 7, 5)]
    assert (detector.calls[1].start.params_local == 1).all()  # the last is also the only one
    assert set(stamp(state).values()) == {2}


def test_settings_are_what_they_were_before():
    detector = Scripted([(True, 0.5)] * 14, early())
    before = detector.parameters
    detector.run()
    assert detector.parameters is before


@pytest.mark.parametrize("width", [0.0, -5.0])
def test_a_box_without_width_is_no_face(width):
    detector = Scripted([])
    state = REAL.initial_state()
    box = np.array([1, 2, width, 9], np.float32)
    assert detect_in_box(detector, GRAY, box, state, multi_view=True) == (False, state)


@pytest.mark.parametrize("box", [[1.0, 2, 3], [1, 2, np.nan, 4], [1, 2, 3, np.inf], [[1, 2, 3, 4]]])
def test_a_box_is_four_numbers(box):
    with pytest.raises(ContractError, match="'hypotheses', argument 'box'"):
        Scripted([]).run(np.array(box, np.float32))


def test_the_first_wins_among_equally_likely_ones():
    likelihoods = [0.1, 0.7, 0.3, 0.7, *[0.0] * 7]
    _, state = Scripted([(True, v) for v in likelihoods]).run()
    assert stamp(state)["landmarks"] == 2
    _, state = Scripted([(True, 0.5)] * 11 + [(True, v) for v in (0.2, 0.9, 0.9)], early()).run()
    assert stamp(state)["landmarks"] == 13


def test_a_single_orientation_is_the_frontal_one():
    detector = Scripted([(True, 0.1)])
    returned, state = detector.run(multi_view=False)
    assert returned
    assert len(detector.calls) == 1
    assert not detector.calls[0].start.params_global[1:4].any()
    assert set(stamp(state).values()) == {1}


class Backwards(OneAfterTheOther):
    """Does the last task first, three at a time: nothing may depend on the order."""

    at_once = 3

    def __call__(self, tasks):
        return [task() for task in reversed(tasks)][::-1]


def test_likelihoods_that_a_fit_does_not_compute_are_those_of_the_fit_before_also_side_by_side():
    def run(side_by_side):
        answers = {-0.5236: 0.4, 0.96: 0.7, -0.96: None, 0.0: None, 0.5236: None}

        def detect(gray, state, windows, **options):
            likelihood = answers.get(round(float(state.params_global[2]), 4), 0.1)
            fitted = replace(state, detection_success=True, landmarks=state.landmarks + 1)
            if likelihood is None:
                return fitted
            return replace(fitted, likelihood=likelihood, landmark_likelihoods=np.full(68, likelihood))

        detector = Scripted([])
        detector.detect, detector.side_by_side = detect, side_by_side
        states = hypotheses._fits(
            detector, GRAY, [start_state(detector, BOX, r, REAL.initial_state()) for r in MULTI_VIEW[:5]],
            replace(REAL.initial_state(), likelihood=-3.0, landmark_likelihoods=np.full(68, -3.0)), (11, 9, 7, 5),
        )  # fmt: skip
        return [(state.likelihood, float(state.landmark_likelihoods[0])) for state in states]

    expected = [(-3.0, -3.0), (0.4, 0.4), (0.4, 0.4), (0.4, 0.4), (0.7, 0.7)]
    assert run(ONE_AFTER_THE_OTHER) == expected
    assert run(Backwards()) == expected


@pytest.mark.parametrize("convinced", [0, 1, 5, 10, None])
def test_coarse_fits_side_by_side_find_what_they_find_one_after_the_other(convinced):
    def run(side_by_side):
        def detect(gray, state, windows, **options):
            turn = next(k for k, r in enumerate(MULTI_VIEW) if np.allclose(state.params_global[1:4], r, atol=1e-6))
            likelihood = 2.0 if turn == convinced else 0.1 * (turn % 4)
            success = windows[0] == 0
            landmarks = np.full((68, 2), turn, np.float32)
            fitted = replace(state, likelihood=likelihood, landmarks=landmarks)
            return replace(fitted, detection_success=success, confidence=turn)

        detector = Scripted([], early(cutoffs=1.0))
        detector.detect, detector.side_by_side = detect, side_by_side
        returned, state = detector.run()
        return returned, state.likelihood, state.confidence, state.landmarks.tolist(), state.params_global.tolist()

    assert run(Backwards()) == run(ONE_AFTER_THE_OTHER)
