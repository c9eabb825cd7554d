"""Types of command-line arguments: what they make of a text, and what they say of a wrong one."""

from __future__ import annotations

import argparse

import pytest

from auparity.cli.types import face, share
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


@pytest.mark.parametrize(("text", "meant"), [("1/1", (0, 1)), ("3/100", (2, 100)), ("100/100", (99, 100))])
def test_a_share_is_one_of_several(text, meant):
    assert share(text) == meant


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "1/0", "-1/3", "a/b", "1/2/3", ""])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="K/N"):
        share(text)
