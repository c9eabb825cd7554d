"""The video state machine, on a detector that does as it is told."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from auparity.parity_tests.unit.helpers import factories
from auparity.reference.clm import ClmLandmarker
from auparity.reference.detection import Detections
from auparity.reference.face_choice import FaceChoice
from auparity.reference.landmarks import DetectorParameters, LandmarkDetector
from auparity.reference.numerics import FLOAT32
from auparity.reference.side_by_side import ONE_AFTER_THE_OTHER
from auparity.reference.tracking import VideoTracker

BOX = np.array([20, 20, 60, 60], np.float32)
MODEL = factories.make_bundle(0, m=6).face
IMAGE = np.zeros((100, 100, 3), np.uint8)


class Told:
    """A `LandmarkDetector` whose detections are scripted: (success, likelihood) one after the other."""

    def __init__(self, script, parameters, early=None):
        real = LandmarkDetector(MODEL)
        self.parameters, self.main, self.numerics = parameters, real.main, FLOAT32
        self.early_termination, self.side_by_side = early, ONE_AFTER_THE_OTHER
        self.initial_state = real.initial_state
        self.script, self.calls = iter(script), []

    def detect(self, gray, state, windows, *, refine_parts=None, validate=None):
        success, likelihood = next(self.script)
        self.calls.append(SimpleNamespace(state=state, windows=windows, validate=validate))
        number = np.float32(len(self.calls))
        return replace(
            state, detection_success=success, likelihood=likelihood, confidence=float(number) / 100,
            params_global=state.params_global + np.float32([0, 0, 0, 0, number, 0]),
            params_local=state.params_local + number,
            landmarks=np.full((68, 2), number), landmark_likelihoods=np.full(68, number),
        )  # fmt: skip


def tracker(script, faces=None, box=BOX, reinit_every=2):
    """A tracker and the list of frames in which it called the face detector, which finds `box` in those of `faces`."""
    told, calls, frame = Told(script, DetectorParameters()), [], [0]

    def locate(images):
        calls.append(frame[0])
        boxes = box[None] if faces is None or frame[0] in faces else np.zeros((0, 4))
        return [Detections(boxes, np.ones(len(boxes)), np.zeros((len(boxes), 5, 2)))]

    landmarker = ClmLandmarker(MODEL)
    landmarker.detector = told
    made = VideoTracker(SimpleNamespace(locate=locate), landmarker, reinit_every)

    def step():
        returned = made.track(IMAGE)
        frame[0] += 1
        return returned

    return told, made, calls, step


def test_while_nothing_is_found_the_detector_runs_every_twelfth_frame():
    _, made, calls, step = tracker([], faces=set())
    assert not any(step() for _ in range(40))
    assert calls == [0, 12, 24, 36]
    assert not made.tracking_initialised


def test_the_first_detection_returns_true_even_when_validation_fails():
    told, made, calls, step = tracker([(False, 0.5)] * 11 + [(True, 0.5)])
    assert step()
    assert not made.state.detection_success
    assert step()  # tracked, with the large windows of a failed frame
    assert told.calls[-1].windows == told.parameters.init_windows
    assert calls == [0]


def test_a_tracked_face_is_followed_in_small_windows_from_where_it_was():
    told, _, _, step = tracker([(True, 0.5)] * 13)
    step(), step()
    assert told.calls[11].windows == told.parameters.track_windows
    assert (told.calls[11].state.params_local == 1).all()  # where the first, likeliest hypothesis ended


def test_a_lost_face_is_looked_for_at_once_and_then_every_second_frame():
    _, _, calls, step = tracker([(True, 0.5)] * 11 + [(False, 0.1)] * 20, faces={0})
    returned = [step() for _ in range(8)]
    assert returned == [True] + [False] * 7
    assert calls == [0, 1, 3, 5, 7]


def test_a_failed_search_leaves_the_parameters_as_they_were_and_the_flag_of_the_attempt():
    _, made, _, step = tracker([(True, 0.5)] * 11 + [(False, 0.1), (False, 0.2), (False, 0.9)] + [(False, 0.2)] * 9)
    step()
    tracked = made.state.params_local + 12  # what the failed tracking step makes of them
    followed_to = made.state.params_global[4] + np.float32(12)
    assert not step()
    assert (made.state.params_local == tracked).all()
    assert made.state.params_global[4] == followed_to
    assert (made.state.landmarks == 12).all()
    assert (made.state.landmark_likelihoods == 12).all()
    assert made.state.likelihood == 0.1
    assert made.state.confidence == 14 / 100  # of the attempt, whose second hypothesis is the likeliest
    assert not made.state.detection_success
    assert made.tracking_initialised


def test_a_failed_search_counts_on_and_is_repeated_every_second_frame():
    _, made, calls, step = tracker([(True, 0.5)] * 11 + [(False, 0.1)] * 60)
    returned = [step() for _ in range(8)]
    assert returned == [True] + [False] * 7
    assert calls == [0, 1, 3, 5, 7]
    assert made.failures_in_a_row == 6


def test_a_face_that_is_found_again_and_lost_at_once_is_looked_for_at_once():
    script = [(True, 0.5)] * 11 + [(False, 0.1)] + [(True, 0.5)] * 11 + [(False, 0.1)] + [(True, 0.5)] * 11
    _, made, calls, step = tracker(script)
    assert all(step() for _ in range(3))
    assert calls == [0, 1, 2]
    assert made.failures_in_a_row == -1


def test_a_face_that_is_followed_is_never_looked_for():
    _, _, calls, step = tracker([(True, 0.5)] * 20, reinit_every=1)
    assert all(step() for _ in range(8))
    assert calls == [0]


def test_a_box_without_width_is_no_face():
    told, made, calls, step = tracker([], box=np.array([20, 20, 0, 60], np.float32))
    assert not any(step() for _ in range(14))
    assert calls == [0, 12]
    assert told.calls == []
    assert not made.tracking_initialised


def test_after_more_than_a_hundred_failures_the_tracker_starts_anew():
    _, made, calls, step = tracker([(True, 0.5)] * 11 + [(False, 0.1)] * 300, faces={0})
    for _ in range(103):
        step()
    assert not made.tracking_initialised
    assert made.failures_in_a_row == 101
    before = len(calls)
    for _ in range(7):
        step()
    assert len(calls) == before + 1  # at 107 failures: (107 + 1) mod 12 = 0


def test_a_hundred_failures_in_a_row_are_still_followed():
    told, made, _, step = tracker([(True, 0.5)] * 11 + [(False, 0.1)] * 300, faces={0})
    for _ in range(102):  # the first frame finds the face, the second fails for the first time and counts 0
        step()
    assert made.failures_in_a_row == 100
    assert made.tracking_initialised
    fits = len(told.calls)
    step()
    assert len(told.calls) == fits + 1  # still followed from where it was
    assert made.failures_in_a_row == 101
    assert not made.tracking_initialised
    step()
    assert len(told.calls) == fits + 1  # now only looked for


LEFT, RIGHT = np.array([0, 0, 30, 40], np.float32), np.array([60, 50, 40, 30], np.float32)


def choosing(script, choice, frames):
    """A tracker with a choice, the boxes in which it began to fit, and its next step; `frames` are boxes to detect."""
    told, frame = Told(script, DetectorParameters()), [0]

    def locate(images):
        boxes = np.array(frames[min(frame[0], len(frames) - 1)], np.float32).reshape(-1, 4)
        return [Detections(boxes, np.ones(len(boxes)), np.zeros((len(boxes), 5, 2)))]

    landmarker, started = ClmLandmarker(MODEL), []
    landmarker.detector = told
    start = landmarker.start

    def start_in(images, image_index, boxes, before=None, **options):
        started.append(tuple(boxes[0]))
        return start(images, image_index, boxes, before, **options)

    landmarker.start = start_in
    made = VideoTracker(SimpleNamespace(locate=locate), landmarker, face=choice)

    def step():
        returned = made.track(IMAGE)
        frame[0] += 1
        return returned

    return made, started, step


FOUND, LOST = [(True, 0.5)] * 11, (False, 0.1)


def test_without_a_choice_the_widest_face_is_taken_and_with_one_the_one_chosen():
    wide, large, central = (60, 70, 40, 20), (0, 0, 38, 40), (45, 45, 10, 10)
    for choice, box in (
        (None, wide),
        (FaceChoice("largest"), large),
        (FaceChoice("central"), central),
        (FaceChoice("box", (0, 0, 20, 20)), large),
    ):
        _, started, step = choosing(FOUND, choice, [[wide, large, central]])
        assert step()
        assert started == [box]


def test_a_lost_face_of_a_box_is_looked_for_where_its_landmarks_last_were():
    made, started, step = choosing([*FOUND, LOST, *FOUND], FaceChoice("box", tuple(LEFT)), [[LEFT, RIGHT]])
    assert step()
    made.state = replace(made.state, landmarks=np.tile(RIGHT[:2] + RIGHT[2:] / 2, (68, 1)))
    made._last_seen = RIGHT.astype(float)  # it has walked there
    assert step()
    assert started == [tuple(LEFT), tuple(RIGHT)]


def test_where_a_face_was_is_known_from_frames_alone_in_which_its_landmarks_are_believed():
    made, _, step = choosing([*FOUND, (True, 0.5), LOST, LOST], FaceChoice("box", tuple(LEFT)), [[LEFT], [], [], []])
    step(), step()
    believed = made._last_seen
    np.testing.assert_array_equal(believed[:2], 12)  # the landmarks of the twelfth fit
    step(), step()
    assert made._last_seen is believed


def test_a_first_detection_that_fails_validation_does_not_move_the_box():
    made, _, step = choosing([(False, 0.5)] * 11, FaceChoice("box", tuple(LEFT)), [[LEFT]])
    assert step()
    assert made._last_seen is None


def test_a_box_that_no_face_overlaps_finds_none_and_the_search_goes_on_as_without_faces():
    made, started, step = choosing(FOUND, FaceChoice("box", tuple(LEFT)), [[RIGHT]] * 12 + [[RIGHT, LEFT]])
    assert not any(step() for _ in range(12))
    assert not made.tracking_initialised
    assert step()
    assert started == [tuple(LEFT)]


def test_a_tracker_that_starts_anew_looks_in_the_box_that_was_asked_for():
    script = [*FOUND, *[LOST] * 102, *FOUND]
    made, started, step = choosing(script, FaceChoice("box", tuple(LEFT)), [[LEFT], *[[RIGHT]] * 102, [LEFT, RIGHT]])
    step()
    made._last_seen = np.array([300.0, 300, 10, 10])
    for _ in range(102):
        step()
    assert not made.tracking_initialised
    assert made._last_seen is None
    while not made.tracking_initialised:
        step()
    assert started == [tuple(LEFT), tuple(LEFT)]
