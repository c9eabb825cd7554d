"""What a stretch hands out when a clip has ended: the frames of its person, and apart from them those of nobody."""

from __future__ import annotations

import numpy as np
import pytest

from auparity.reference.face_states import FaceState
from auparity.reference.persons import NOBODY
from auparity.reference.results import OfflineAUs
from auparity.reference.stretches import Stretch

PERSON = 4


class Counted:
    """AUs that are the numbers of their frames, from 0."""

    def __init__(self):
        self.taken = 0

    def take(self, described, timestamp):
        self.taken += 1
        return np.full(17, self.taken - 1.0), np.full(18, self.taken - 1.0)

    def finish(self):
        numbers = np.arange(self.taken, dtype=float)[:, None]
        return OfflineAUs(np.repeat(numbers, 17, axis=1), np.repeat(numbers, 18, axis=1))


def stretch(flags, first=3):
    """A stretch from frame `first` on, whose landmarker believes its landmarks where `flags` has a 1."""
    made = Stretch(2, Counted())
    for k, flag in enumerate(flags, first):
        state = FaceState(
            params_global=np.array([1.0, 0, 0, 0, 0, 0]), params_local=np.zeros(4, np.float32),
            landmarks=np.zeros((68, 2)), detection_success=flag == "1", confidence=1.0,
        )  # fmt: skip
        made.take(k, state, None, k / 30)
    return made


@pytest.mark.parametrize(
    ("flags", "lengths"),
    [
        ("111", [(PERSON, 3)]),
        ("1", [(PERSON, 1)]),
        ("1011000", [(PERSON, 4), (NOBODY, 3)]),
        ("001", [(NOBODY, 2), (PERSON, 1)]),
        ("0100100", [(NOBODY, 1), (PERSON, 4), (NOBODY, 2)]),
        ("000", [(NOBODY, 3)]),
    ],
)
@pytest.mark.parametrize("ended", [False, True])
def test_a_person_has_the_frames_from_the_first_to_the_last_in_which_the_face_was_seen(flags, lengths, ended):
    made = stretch(flags)
    if ended:
        made.end()
    parts = made.parts(PERSON if "1" in flags else NOBODY)
    assert [(part.person_id, len(part.frames)) for part in parts] == lengths
    assert {part.face_id for part in parts} == {2}
    frames = np.concatenate([part.frames for part in parts])
    np.testing.assert_array_equal(frames, np.arange(3, 3 + len(flags)))
    for part in parts:
        np.testing.assert_array_equal(part.aus.intensity[:, 5], part.frames - 3)
        np.testing.assert_array_equal(part.aus.presence[:, 0], part.frames - 3)


def test_the_time_of_the_frames_is_kept():
    made = stretch("0110")
    assert made.appearance.entered.seconds == pytest.approx(4 / 30)
    assert made.appearance.left.seconds == pytest.approx(5 / 30)
    assert made.appearance.counted == 2
