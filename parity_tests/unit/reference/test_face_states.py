"""States of faces: single ones, several side by side, and what a lost face keeps."""

from __future__ import annotations

import numpy as np
import pytest

from auparity.reference.face_states import FaceState, FaceStates, PartState


def state(number: int, *, success: bool, points: bool = False) -> FaceState:
    """A face all of whose numbers are `number`."""
    return FaceState(
        params_global=np.full(6, number, np.float32), params_local=np.full(4, number, np.float32),
        landmarks=np.full((68, 2), number, np.float32), detection_success=success, confidence=number / 10,
        parts=(PartState(np.full(6, number), np.full(4, number), np.full((28, 2), number)),),
        points=np.full((98, 2), number) if points else None,
    )  # fmt: skip


@pytest.fixture
def faces() -> list[FaceState]:
    return [state(1, success=True), state(2, success=False), state(3, success=True)]


def test_a_search_accepts_what_the_states_say_unless_it_says_otherwise(faces):
    assert FaceStates(faces).accepted.tolist() == [True, False, True]
    assert FaceStates(faces).accepted.dtype == np.bool_
    quirk = FaceStates(faces, [False, True, True])
    assert quirk.accepted.tolist() == [False, True, True]
    assert quirk.success.tolist() == [True, False, True]


def test_faces_are_a_sequence_whose_slices_keep_what_was_accepted(faces):
    states = FaceStates(faces, [False, True, True])
    assert len(states) == 3
    assert [*states] == faces
    assert states[1] is faces[1]
    tail = states[1:]
    assert isinstance(tail, FaceStates)
    assert [*tail] == faces[1:]
    assert tail.accepted.tolist() == [True, True]
    assert states[:1].accepted.tolist() == [False]


def test_arrays_of_the_faces_stand_side_by_side(faces):
    states = FaceStates(faces)
    assert states.landmarks.shape == (3, 68, 2)
    assert states.params_global.shape == (3, 6)
    assert states.params_local.shape == (3, 4)
    for array in (states.landmarks, states.params_global, states.params_local):
        assert [row.flat[0] for row in array] == [1, 2, 3]
    assert states.confidence.tolist() == [0.1, 0.2, 0.3]


def test_a_lost_face_keeps_where_it_was_and_the_flag_of_the_attempt():
    attempt, before = state(1, success=False, points=True), state(2, success=True, points=True)
    kept = attempt.with_shape_of(before)
    for name in ("params_global", "params_local", "landmarks", "points"):
        assert getattr(kept, name) is getattr(before, name), name
    assert (kept.detection_success, kept.confidence, kept.parts) == (False, 0.1, attempt.parts)


def test_a_face_has_no_parts_and_no_other_points_unless_it_is_given_some():
    plain = FaceState(
        params_global=np.zeros(6), params_local=np.zeros(4), landmarks=np.zeros((68, 2)), detection_success=False,
        confidence=0.0,
    )  # fmt: skip
    assert (plain.parts, plain.points) == ((), None)
