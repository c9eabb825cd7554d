"""Time stamps always increase, are the container's wherever it states usable ones, and repairs are reported."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auparity.media.timing import Clock


def stamps(times, mode="container", fps=10.0):
    clock = Clock(mode, fps)
    found = [clock.stamp(None if time is None else Fraction(time).limit_denominator(10**6)) for time in times]
    return found, clock.warnings()


def test_times_count_from_the_first_frame():
    assert stamps([3.0, 3.1, 3.2])[0] == pytest.approx([0.0, 0.1, 0.2])
    assert stamps([3.0, 3.1, 3.2])[1] == []


def test_the_rule_is_frame_number_over_rate():
    found, warnings = stamps([0.0, 0.1, 0.5], "index")
    assert found == [0.0, 0.1, 0.2]
    assert warnings == [
        "the container's times and frame number / 10 differ by up to 0.300 s (at frame 2); the time stamps are the "
        "latter, as OpenFace has them"
    ]


def test_half_a_frame_of_difference_is_no_matter():
    assert stamps([0.0, 0.12, 0.16])[1] == []


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([0.0, None, 0.2], [0.0, 0.1, 0.2]),  # missing: one frame later
        ([0.0, 0.1, 0.1, 0.3], [0.0, 0.1, 0.15, 0.3]),  # twice the same: half a frame later
        ([0.0, 0.1, 0.05, 0.3], [0.0, 0.1, 0.15, 0.3]),
        ([5.0, 5.1, 0.0, 0.1], [0.0, 0.1, 0.2, 0.3]),  # the clock starts again: shifted from there on
        ([None, None, 7.0, 7.1], [0.0, 0.1, 0.2, 0.3]),
    ],
)
def test_times_that_are_missing_or_do_not_increase_are_repaired_and_counted(times, expected):
    found, warnings = stamps(times)
    assert found == pytest.approx(expected)
    assert "time stamps of the container were missing or did not increase" in warnings[0]


def test_a_file_without_times_says_so_once():
    found, warnings = stamps([None] * 3)
    assert found == pytest.approx([0.0, 0.1, 0.2])
    assert warnings == ["the file states no times; the time stamps are frame number / 10"]


@given(st.lists(st.none() | st.floats(-1e6, 1e6), max_size=30), st.floats(0.1, 1000))
def test_times_increase_whatever_the_container_states(times, fps):
    found, _ = stamps(times, fps=fps)
    assert all(later > earlier for earlier, later in pairwise(found))
