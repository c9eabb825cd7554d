"""Which of several faces is followed: the rules, and what is no choice."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

from auparity.errors import ContractError
from auparity.reference.detection import Detections, select_face
from auparity.reference.face_choice import FaceChoice, PersonChoice, box_around, overlaps

SHAPE = (100, 200, 3)
WIDE, TALL, MIDDLE = (0, 0, 40, 20), (150, 0, 30, 60), (90, 40, 20, 20)


def detections(*boxes) -> Detections:
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.ones(len(boxes)), np.zeros((len(boxes), 5, 2)))


def chosen(choice, *boxes, last=None):
    face = choice.select(detections(*boxes), SHAPE, last)
    return None if face is None else tuple(face.box)


def test_the_largest_is_by_area_and_openface_takes_the_widest():
    assert chosen(FaceChoice("largest"), WIDE, TALL, MIDDLE) == TALL
    assert tuple(select_face(detections(WIDE, TALL, MIDDLE)).box) == WIDE


def test_the_most_central_is_nearest_to_the_centre_of_the_image():
    assert chosen(FaceChoice("central"), WIDE, TALL, MIDDLE) == MIDDLE
    assert chosen(FaceChoice("central"), WIDE, TALL) == TALL


def test_a_box_takes_the_face_that_overlaps_it_most_as_a_share_of_both():
    within = FaceChoice("box", (0, 0, 50, 50))
    assert chosen(within, (0, 0, 200, 100), (10, 10, 30, 30)) == (10, 10, 30, 30)
    assert chosen(within, (50, 0, 30, 30), (0, 50, 30, 30)) is None, "boxes that touch do not overlap"
    assert chosen(FaceChoice("box", (-20.5, -20, 30, 30)), WIDE, TALL) == WIDE


def test_a_face_that_is_looked_for_again_is_where_it_was_last_and_not_in_the_box():
    choice, last = FaceChoice("box", WIDE), np.array(TALL, np.float64)
    assert chosen(choice, WIDE, TALL, last=last) == TALL
    assert chosen(choice, WIDE, last=last) is None
    assert chosen(FaceChoice("largest"), WIDE, MIDDLE, last=last) == WIDE, "other rules do not look at it"


@pytest.mark.parametrize("choice", [FaceChoice("largest"), FaceChoice("central"), FaceChoice("box", (0, 0, 200, 100))])
def test_there_may_be_no_face_and_of_equals_the_first_is_taken(choice):
    assert chosen(choice) is None
    assert chosen(choice, (50, 50, 0, 10), (50, 50, 10, 0), (50, 50, -10, 10)) is None, "boxes without area"
    assert chosen(choice, (50, 50, 0, 10), MIDDLE) == MIDDLE
    equal = detections(MIDDLE, MIDDLE)
    equal.scores[:] = (0.9, 0.8)
    assert choice.select(equal, SHAPE).score == 0.9


def test_overlap_is_intersection_over_union():
    boxes = np.array([[0, 0, 10, 10], [5, 0, 10, 10], [20, 0, 10, 10], [0, 0, 0, 0]], float)
    np.testing.assert_allclose(overlaps(boxes, np.array([0.0, 0, 10, 10])), [1, 1 / 3, 0, 0])
    assert not overlaps(boxes[3:], boxes[3]).any()
    np.testing.assert_array_equal(box_around(np.array([[1, 5], [4, 2]], np.float32)), [1, 2, 3, 3])


@pytest.mark.parametrize(
    ("rule", "box"),
    [
        ("widest", None), (None, None), ("box", None), ("largest", WIDE), ("box", (1, 2, 3)), ("box", (1, 2, 0, 4)),
        ("box", (1, 2, 3, -4)), ("box", (1, 2, 3, math.nan)), ("box", (math.inf, 2, 3, 4)), ("box", 7),
        ("box", ("a", 2, 3, 4)),
    ],
)  # fmt: skip
def test_what_is_no_choice_is_refused(rule, box):
    with pytest.raises(ContractError, match="'face'"):
        FaceChoice(rule, box)


@pytest.mark.parametrize("person_id", [-1, True, 0.5, "0"])
def test_what_is_no_person_is_refused(person_id):
    with pytest.raises(ContractError, match="'person_id'"):
        PersonChoice(person_id)


def test_choices_have_the_texts_of_the_command_line_and_travel_between_processes():
    box = FaceChoice("box", (1, 2.0, 30.25, 1e9))
    assert [str(choice) for choice in (box, FaceChoice("central"), PersonChoice(3))] == [
        "box:1,2,30.25,1000000000", "central", "track:3"
    ]  # fmt: skip
    assert pickle.loads(pickle.dumps(box)) == box == FaceChoice("box", [1, 2, 30.25, 1e9])
