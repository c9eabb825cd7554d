"""Slots that follow several faces, on a locator and a landmarker that do as they are told (spec 85)."""

from __future__ import annotations

import numpy as np
import pytest

from auparity.errors import ContractError
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.parity_tests.unit.helpers import factories
from auparity.reference.clm import ClmLandmarker
from auparity.reference.detection import Detections
from auparity.reference.face_states import FaceState, FaceStates
from auparity.reference.images import Images
from auparity.reference.many_faces import FACES, Slots, SlotTracker, followed_already
from auparity.reference.model_families import landmarker_of

IMAGE = np.zeros((100, 100, 3), np.uint8)
FAR_APART = [np.array([200 * k, 0, 50, 50], np.float32) for k in range(12)]


def box_state(box, success):
    """A face whose landmarks fill a box; the first local parameter says where it began."""
    x, y, w, h = (float(v) for v in box)
    landmarks = np.tile([x + w / 2, y + h / 2], (68, 1))
    landmarks[0], landmarks[1] = (x, y), (x + w, y + h)
    return FaceState(
        params_global=np.array([1, 0, 0, 0, x, y]), params_local=np.array([x]), landmarks=landmarks,
        detection_success=success, confidence=float(success),
    )  # fmt: skip


class Scripted:
    """Locator and landmarker at once: faces stay where they begin, and fail in the frames in which they are told to."""

    def __init__(self, faces, failing=()):
        self.faces, self.failing = faces, failing  # boxes of a frame by frame; (frame, x) that fail
        self.frame, self.calls, self.followed = 0, [], []

    def locate(self, images):
        self.calls.append(self.frame)
        boxes = np.array(self.faces(self.frame), np.float32).reshape(-1, 4)
        return [Detections(boxes, np.ones(len(boxes)), np.zeros((len(boxes), 5, 2)))]

    def place(self, boxes):
        return FaceStates([box_state(box, False) for box in boxes])

    def follow(self, images, image_index, states):
        assert list(image_index) == [0] * len(states)
        self.followed.append(list(states))
        return FaceStates(
            [box_state([*s.params_global[4:], *(s.landmarks[1] - s.landmarks[0])], not self._fails(s)) for s in states]
        )

    def _fails(self, state):
        return (self.frame, float(state.params_local[0])) in self.failing


def run(faces, frames, slots=FACES, failing=()):
    """The faces of each frame as (slot, stretch, x, success), and the script with what was asked of it."""
    script = Scripted(faces, failing)
    tracker, rows = SlotTracker(script, script, slots), []
    for k in range(frames):
        script.frame = k
        found = tracker.track(IMAGE)
        rows.append([(f.face_id, f.stretch, f.state.params_local[0], f.state.detection_success) for f in found])
    return rows, script


def test_faces_go_to_the_slots_in_the_order_of_the_detections():
    rows, _ = run(lambda k: [FAR_APART[3], FAR_APART[0], FAR_APART[2]], 1)
    assert rows == [[(0, 0, 600, True), (1, 1, 0, True), (2, 2, 400, True)]]


def test_more_people_than_slots_leave_the_last_detections_out():
    rows, _ = run(lambda k: FAR_APART[:6], 9)
    assert all([(slot, x) for slot, _, x, _ in row] == [(0, 0), (1, 200), (2, 400), (3, 600)] for row in rows)


def test_all_makes_as_many_slots_as_there_are_faces():
    rows, script = run(lambda k: FAR_APART[: 6 if k < 8 else 9], 17, slots="all")
    assert [len(row) for row in rows] == [6] * 8 + [9] * 9
    assert [face_id for face_id, *_ in rows[-1]] == list(range(9))
    assert script.calls == [0, 8, 16]  # somebody may always come


def test_faces_are_looked_for_every_eighth_frame_while_a_slot_is_free():
    rows, script = run(lambda k: FAR_APART[:2] if k >= 5 else [], 30, slots=2)
    assert script.calls == [0, 8]  # then both slots follow
    assert [len(row) for row in rows] == [0] * 8 + [2] * 22


def test_a_frame_without_faces_has_no_rows_and_asks_nothing_of_the_landmarker():
    rows, script = run(lambda k: [], 3)
    assert rows == [[], [], []]
    assert script.followed == []


def test_all_faces_of_a_frame_are_followed_in_one_call_the_new_ones_too():
    _, script = run(lambda k: FAR_APART[:1] if k < 8 else FAR_APART[:3], 9)
    assert [len(states) for states in script.followed] == [1] * 8 + [3]
    assert [state.detection_success for state in script.followed[-1]] == [True, False, False]


def test_a_detection_that_a_slot_follows_is_dropped():
    moved = FAR_APART[0] + np.float32([5, 5, 0, 0])
    rows, _ = run(lambda k: [FAR_APART[0]] if k < 8 else [moved, FAR_APART[1]], 9)
    assert [(face_id, x) for face_id, _, x, _ in rows[8]] == [(0, 0), (1, 200)]


@pytest.mark.parametrize(("failures", "kept"), [(5, True), (6, False)])
def test_a_slot_is_free_after_six_failures_in_a_row(failures, kept):
    failing = {(k, 0.0) for k in range(2, 2 + failures)}
    rows, _ = run(lambda k: [FAR_APART[0]] if k == 0 else [], 10, failing=failing)
    assert [len(row) for row in rows[: 2 + failures]] == [1] * (2 + failures)  # failed frames have rows, too
    assert len(rows[2 + failures]) == kept
    assert [row[0][3] for row in rows[2 : 2 + failures]] == [False] * failures


def test_a_success_between_failures_starts_the_count_again():
    failing = {(k, 0.0) for k in (*range(2, 7), *range(8, 13))}
    rows, _ = run(lambda k: [FAR_APART[0]] if k == 0 else [], 16, failing=failing)
    assert all(len(row) == 1 for row in rows)


def test_a_new_face_that_fails_at_once_keeps_its_slot():
    rows, script = run(lambda k: [FAR_APART[0]], 3, failing={(0, 0.0)})
    assert [row[0][3] for row in rows] == [False, True, True]
    assert not script.followed[1][0].detection_success  # a failure is followed in large windows


def test_a_slot_that_becomes_free_in_a_frame_takes_a_face_in_it():
    # Six failures in frames 2 to 7; in frame 8 faces are looked for because the other slot is free.
    failing = {(k, 0.0) for k in range(2, 8)}
    rows, _ = run(lambda k: [FAR_APART[0]] if k == 0 else [FAR_APART[5], FAR_APART[6]], 9, slots=2, failing=failing)
    assert [(slot, stretch, x) for slot, stretch, x, _ in rows[7]] == [(0, 0, 0)]
    assert [(slot, stretch, x) for slot, stretch, x, _ in rows[8]] == [(0, 1, 1000), (1, 2, 1200)]


def test_nobody_is_looked_for_when_the_last_slot_becomes_free_in_that_very_frame():
    # Whether a slot is free is asked before the slots are looked at: the next attempt is eight frames later.
    failing = {(k, 0.0) for k in range(2, 8)}
    rows, script = run(lambda k: [FAR_APART[0]] if k == 0 else [FAR_APART[5]], 17, slots=1, failing=failing)
    assert script.calls == [0, 16]
    assert [len(row) for row in rows] == [1] * 8 + [0] * 8 + [1]


def test_a_face_that_failed_in_a_slot_still_hides_the_detection_there_in_the_frame_in_which_the_slot_is_freed():
    # Detections are dropped before the slots are freed.
    failing = {(k, 0.0) for k in range(2, 8)}
    rows, _ = run(lambda k: [FAR_APART[0]], 17, slots=2, failing=failing)
    assert [len(row) for row in rows] == [1] * 8 + [0] * 8 + [1]
    assert rows[16][0][:3] == (0, 1, 0)


def test_a_detection_without_width_is_no_face():
    rows, _ = run(lambda k: [np.array([10, 10, 0, 30]), FAR_APART[1]], 1)
    assert [x for _, _, x, _ in rows[0]] == [200]


def shifted(share):
    """A box that has this share of its width in common with one of 100 px at 0."""
    return np.array([100 * (1 - share), 0, 100, 100], np.float32)


@pytest.mark.parametrize(("common", "dropped"), [(0.49, False), (0.5, False), (0.51, True), (1.0, True), (0.0, False)])
def test_the_overlap_subtracts_the_intersection_twice(common, dropped):
    # I / (A + B - 2 I) > 0.5 where I > (A + B) / 4: half of two equal boxes, which is a third of their union.
    landmarks = box_state([0, 0, 100, 100], True).landmarks
    assert followed_already(shifted(common), [landmarks]) == dropped


def test_an_empty_box_overlaps_with_nothing():
    assert not followed_already(np.array([0, 0, 50, 50], np.float32), [np.zeros((68, 2))])
    assert not followed_already(np.array([0, 0, 50, 50], np.float32), [])


def test_boxes_that_touch_do_not_overlap():
    assert not followed_already(np.array([100, 0, 50, 50], np.float32), [box_state([0, 0, 100, 100], True).landmarks])


@pytest.mark.parametrize("faces", [0, -1, 2.0, True, "some", None])
def test_a_number_of_faces_is_a_positive_integer_or_all(faces):
    with pytest.raises(ContractError, match="'faces'"):
        Slots(place=list, faces=faces)


class Windows:
    """A `LandmarkDetector` that notes what it was asked."""

    def __init__(self, real):
        self.parameters, self.main, self.numerics = real.parameters, real.main, real.numerics
        self.initial_state, self.calls, self.side_by_side = real.initial_state, [], real.side_by_side

    def detect(self, gray, state, windows):
        self.calls.append((state, windows))
        return state


def test_a_constrained_local_model_begins_in_the_box_upright_and_with_large_windows():
    landmarker = ClmLandmarker(factories.make_bundle(0, m=6).face)
    landmarker.detector = told = Windows(landmarker.detector)
    box = np.array([20, 30, 60, 70], np.float32)
    script = Scripted(lambda k: [box])
    SlotTracker(script, landmarker).track(IMAGE)
    ((state, windows),) = told.calls
    assert windows == told.parameters.init_windows
    assert not state.params_local.any()
    assert not state.params_global[1:4].any()
    assert (state.confidence, state.likelihood, state.detection_success) == (0, -10, False)
    fills = np.ptp(state.landmarks, axis=0) / [60, 70]
    assert fills.min() <= 1 <= fills.max()  # its scale is the mean of both (spec 30.3)
    np.testing.assert_allclose(np.ptp(state.landmarks, axis=0) / 2 + state.landmarks.min(axis=0), [50, 65], atol=1e-3)


def test_places_must_be_boxes():
    landmarker = ClmLandmarker(factories.make_bundle(0, m=6).face)
    for boxes in (np.zeros((2, 3)), np.full((1, 4), np.nan), [[0, 0, 1, 1]]):
        with pytest.raises(ContractError, match="'boxes'"):
            landmarker.place(boxes)


def test_a_placed_face_is_found_by_following_it():
    bundle, (frame,) = Bundle.embedded(networks=False), render_clip(3_450_000, 1)
    landmarker, images = landmarker_of(bundle), Images([frame.image])
    boxes = frame.truth.box[None].astype(np.float32)
    (state,) = landmarker.follow(images, [0], list(landmarker.place(boxes)))
    assert state.detection_success
    eyes = np.linalg.norm(frame.truth.landmarks[36] - frame.truth.landmarks[45])
    assert np.linalg.norm(state.landmarks - frame.truth.landmarks, axis=1).mean() < 0.1 * eyes
