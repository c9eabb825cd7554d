"""Types of command-line arguments: what they make of a text, and what they say of a wrong one."""

from __future__ import annotations

import argparse

import pytest

from auparity.cli.types import face
from auparity.reference.face_choice import FaceChoice, PersonChoice


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("largest", FaceChoice("largest")),
        ("central", FaceChoice("central")),
        ("box:-10,20.5,100,120", FaceChoice("box", (-10, 20.5, 100, 120))),
        ("track:0", PersonChoice(0)),
        ("track:12", PersonChoice(12)),
    ],
)
def test_a_face_is_named_by_a_rule_a_box_or_a_person(text, choice):
    assert face(text) == choice
    assert face(str(choice)) == choice


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not largest, central"),
        ("widest", "is not largest, central"),
        ("largest:1", "is not largest, central"),
        ("box", "is not largest, central"),
        ("box:1,2,3", "does not have four numbers"),
        ("box:1,2,3,4,5", "does not have four numbers"),
        ("box:1,2,x,4", "does not have four numbers"),
        ("box:1,2,nan,4", "does not have four numbers"),
        ("box:inf,2,3,4", "does not have four numbers"),
        ("box:1,2,-3,4", "not above 0"),
        ("box:1,2,3,0", "not above 0"),
        ("track:", "does not have a person_id"),
        ("track:-1", "does not have a person_id"),
        ("track:1.5", "does not have a person_id"),
        ("track:\u00b2", "does not have a person_id"),
    ],
)
def test_what_names_no_face_is_refused_with_what_is_missing(text, words):
    with pytest.raises(argparse.ArgumentTypeError, match=words):
        face(text)
