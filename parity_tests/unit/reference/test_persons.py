"""Stretches that belong to one person, on faces whose place, size and shape are told (spec 85.3)."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auparity.reference.face_states import FaceState
from auparity.reference.persons import (
    MAX_DISTANCE,
    MAX_SCALE_RATIO,
    MAX_SHAPE_DIFFERENCE,
    NOBODY,
    WALK,
    Appearance,
    person_ids,
)

MODES = 4
VARIANCES = np.array([100.0, 25.0, 4.0, 1.0])  # mm squared
PLAIN = np.zeros(MODES)
JUST = 1e-6  # beyond a limit, as a share of it


def face(x=0.0, y=0.0, scale=1.0, shape=PLAIN, success=True):
    return FaceState(
        params_global=np.array([scale, 0, 0, 0, x, y]), params_local=np.asarray(shape, np.float32),
        landmarks=np.zeros((68, 2)), detection_success=success, confidence=float(success),
    )  # fmt: skip


def appearance(first, *faces, fps=math.inf):
    """A stretch that begins in a frame and shows these faces in it and the next ones; no time goes by unless told."""
    made = Appearance()
    for k, state in enumerate(faces):
        made.see(first + k, (first + k) / fps, state)
    return made


def ids(*appearances):
    return person_ids(appearances, VARIANCES)


def of_difference(deviations):
    """A shape that is this many standard deviations from the plain one in every mode."""
    return deviations * np.sqrt(VARIANCES)


def test_without_stretches_there_is_nobody():
    assert ids() == []


def test_somebody_who_comes_back_is_the_same_person():
    assert ids(appearance(0, face(), face()), appearance(8, face())) == [0, 0]


def test_numbers_count_persons_in_the_order_in_which_they_are_first_seen():
    alike = [appearance(5, face()), appearance(0, face()), appearance(0, face())]
    assert ids(*alike) == [0, 0, 1]


def test_two_people_at_once_are_two_persons_however_alike():
    assert ids(appearance(0, face(), face()), appearance(1, face())) == [0, 1]
    assert ids(appearance(0, face()), appearance(1, face())) == [0, 0]


@pytest.mark.parametrize(
    ("beyond", "of"),
    [
        (lambda share: face(x=MAX_DISTANCE * share), "place"),
        (lambda share: face(y=-MAX_DISTANCE * share), "place"),
        (lambda share: face(scale=MAX_SCALE_RATIO**share), "size"),
        (lambda share: face(scale=MAX_SCALE_RATIO**-share), "size"),
        (lambda share: face(shape=of_difference(MAX_SHAPE_DIFFERENCE * share)), "shape"),
        (lambda share: face(shape=[2 * MAX_SHAPE_DIFFERENCE * share * 10, 0, 0, 0]), "shape"),
    ],
)
def test_each_limit_decides_by_itself(beyond, of):
    assert ids(appearance(0, face()), appearance(5, beyond(1 - JUST))) == [0, 0], of
    assert ids(appearance(0, face()), appearance(5, beyond(1 + JUST))) == [0, 1], of


def test_distance_is_measured_in_millimetres_at_the_faces_size():
    near, far = face(scale=2.0), face(x=1.5 * MAX_DISTANCE, scale=2.0)
    assert ids(appearance(0, near), appearance(5, far)) == [0, 0]
    assert ids(appearance(0, face()), appearance(5, face(x=1.5 * MAX_DISTANCE))) == [0, 1]


@pytest.mark.parametrize(("share", "same"), [(math.sqrt(0.5) - JUST, True), (math.sqrt(0.5) + JUST, False)])
def test_differences_add_up(share, same):
    elsewhere = face(x=MAX_DISTANCE * share, shape=of_difference(MAX_SHAPE_DIFFERENCE * share))
    assert ids(appearance(0, face()), appearance(5, elsewhere)) == [0, 0 if same else 1]


def test_the_nearest_person_is_taken():
    left, right = appearance(0, face(x=0)), appearance(0, face(x=400))
    assert ids(left, right, appearance(5, face(x=350))) == [0, 1, 1]


def test_two_who_come_back_together_are_told_apart_by_who_is_nearer():
    left, right = appearance(0, face(x=0)), appearance(0, face(x=400))
    assert ids(left, right, appearance(5, face(x=300)), appearance(5, face(x=380))) == [0, 1, 0, 1]


def test_the_place_is_where_the_person_was_lost():
    walked = appearance(0, face(x=0), face(x=1400))
    assert ids(walked, appearance(5, face(x=2800))) == [0, 0]
    assert ids(walked, appearance(5, face(x=-110))) == [0, 1]


def test_failed_frames_say_nothing_of_a_person():
    lost = appearance(0, face(), face(x=9000, shape=of_difference(9), success=False))
    assert ids(lost, appearance(5, face())) == [0, 0]


def test_a_slot_that_fails_at_the_end_does_not_hold_its_person_while_another_one_follows_it():
    failing = appearance(0, face(), *[face(success=False)] * 6)
    assert ids(failing, appearance(3, face(), face())) == [0, 0]
    assert ids(appearance(0, face(), face(success=False), face()), appearance(1, face())) == [0, 1]  # seen in between
    begins_badly = appearance(0, face(success=False), face(success=False), face())
    assert ids(begins_badly, appearance(1, face())) == [0, 0]


def test_a_stretch_that_never_succeeds_is_nobody():
    failed = [appearance(k, face(success=False)) for k in (4, 8)]
    assert ids(appearance(0, face()), *failed, appearance(12, face())) == [0, NOBODY, NOBODY, 0]
    assert ids(*failed) == [NOBODY, NOBODY]


def test_somebody_may_be_farther_the_longer_the_absence():
    left = appearance(0, face(), fps=30)
    for seconds in (1, 3):
        reach = MAX_DISTANCE + WALK * seconds
        for share, expected in ((1 - JUST, [0, 0]), (1 + JUST, [0, 1])):
            assert ids(left, appearance(30 * seconds, face(x=reach * share), fps=30)) == expected


def test_the_most_alike_decide_first_whenever_they_are_seen():
    """A short stretch that is between two people does not take the first one's number from who really comes back."""
    step = MAX_SHAPE_DIFFERENCE * 0.8
    first = appearance(0, *[face()] * 10)
    between = appearance(20, face(shape=of_difference(step)))
    again = appearance(21, *[face(shape=of_difference(-0.1 * step))] * 10)
    other = appearance(40, *[face(shape=of_difference(1.5 * step))] * 10)
    assert ids(first, between, again, other) == [0, 1, 0, 1]


def test_a_person_who_was_put_together_is_compared_at_every_hand_over():
    a, c = appearance(0, face(x=0)), appearance(10, face(x=10))
    assert ids(a, c, appearance(5, face(x=50))) == [0, 0, 0]
    assert ids(a, c, appearance(5, face(x=50, scale=2.1))) == [0, 0, 1]
    assert ids(a, c, appearance(5, face(x=2 * MAX_DISTANCE))) == [0, 0, 1]
    assert ids(a, c, appearance(9, face(x=99), face(x=99))) == [0, 0, 1]  # in frame 10 it and c are seen


def test_a_face_without_size_says_nothing():
    assert ids(appearance(0, face(), face(scale=-1.0)), appearance(5, face(scale=0.0), face())) == [0, 0]


@pytest.mark.parametrize(("share", "expected"), [(1.3 - JUST, [0, 0, 0]), (1.3 + JUST, [0, 0, 1])])
def test_the_shape_is_the_mean_of_all_frames_of_the_person(share, expected):
    limit = of_difference(MAX_SHAPE_DIFFERENCE)
    first, second = appearance(0, face()), appearance(5, *[face(shape=0.4 * limit)] * 3)  # the mean of the four is 0.3
    assert ids(first, second, appearance(10, face(shape=share * limit))) == expected


STRETCHES = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 12), st.integers(0, 3), st.booleans()), min_size=1, max_size=12
)


@settings(max_examples=100, deadline=None)
@given(STRETCHES)
def test_two_people_who_are_followed_at_once_never_share_a_number(stretches):
    made = [
        appearance(first, *[face(x=100 * place, success=success)] * frames)
        for first, frames, place, success in stretches
    ]
    numbers = ids(*made)
    assert set(numbers) - {NOBODY} == set(range(max(numbers) + 1))
    assert [number == NOBODY for number in numbers] == [not success for *_, success in stretches]
    for (a, one), (b, other) in combinations(zip(made, numbers, strict=True), 2):
        if NOBODY not in (one, other) and a.entered.frame <= b.left.frame and b.entered.frame <= a.left.frame:
            assert one != other
