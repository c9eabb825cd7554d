"""The counts of `person_id` on faces whose persons are told: perfect, switched, merged, hidden, missed, invented."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from auparity.parity_tests.truth.identities import (
    FAST,
    NEAR,
    FoundFace,
    Frame,
    TrueFace,
    best_assignment,
    evaluate,
    nearest_first,
    total,
)

SIZE = 100.0  # px, of a face


def face(x):
    """68 landmarks in a square of `SIZE` px at x."""
    grid = np.stack(np.meshgrid(np.linspace(0, SIZE, 17), np.linspace(0, SIZE, 4)), axis=-1).reshape(-1, 2)
    return grid + [x, 0.0]


def frame(true, found, shown=1.0):
    """True identities and measured persons by the x where they are."""
    return Frame(
        [TrueFace(identity, face(x), shown) for identity, x in true.items()],
        [FoundFace(person, face(x)) for person, x in found],
    )


BOTH = {0: 0.0, 1: 300.0}


def both(a, b):
    return frame(BOTH, [(a, 0.0), (b, 300.0)])


def test_perfect_persons():
    figures = evaluate([both(4, 7)] * 5)
    assert (figures.frames, figures.people, figures.persons, figures.true_rows, figures.found_rows) == (5, 2, 2, 10, 10)
    assert (figures.switches, figures.merges, figures.false_rows) == (0, 0, 0)
    assert (figures.found_share, figures.own_share, figures.idf1) == (1, 1, 1)


def test_a_person_who_gets_another_number_switches():
    figures = evaluate([both(0, 1)] * 6 + [both(0, 2)] * 4)
    assert (figures.switches, figures.merges, figures.persons) == (1, 0, 3)
    assert figures.own_share == 16 / 20
    assert figures.idf1 == 16 / 20  # IDTP 10 + 6 of 20 true and 20 measured rows


def test_a_number_of_two_people_is_a_merge():
    figures = evaluate([both(0, 1)] * 6 + [both(1, 2)] * 4)
    assert (figures.switches, figures.merges) == (2, 1)
    assert figures.own_share == 6 / 20  # the second one's number is also the first one's
    assert figures.idf1 == 12 / 20


def test_people_who_are_exchanged_switch_both():
    figures = evaluate([both(0, 1), both(1, 0)])
    assert (figures.switches, figures.merges, figures.own_share, figures.idf1) == (2, 2, 0, 0.5)


def test_a_gap_hides_no_switch():
    assert evaluate([both(0, 1), frame(BOTH, []), both(0, 2)]).switches == 1


def test_missed_faces_lower_the_share_found_and_idf1():
    figures = evaluate([both(0, 1), frame(BOTH, [(0, 0.0)])])
    assert (figures.found_share, figures.own_share, figures.idf1) == (3 / 4, 1, 6 / 7)


def test_a_second_face_on_the_same_person_is_on_no_face():
    figures = evaluate([frame({0: 0.0}, [(0, 0.0), (1, 5.0)])])
    assert (figures.found_rows, figures.false_rows) == (1, 1)
    assert figures.idf1 == 2 / 3


def test_hidden_faces_count_neither_as_found_nor_as_missed():
    figures = evaluate([both(0, 1), frame(BOTH, [(2, 0.0)], shown=0.4)])
    assert (figures.true_rows, figures.found_rows, figures.false_rows, figures.switches) == (2, 2, 0, 0)
    assert figures.idf1 == 1


@pytest.mark.parametrize(("beside", "found"), [(0.99, 1), (1.01, 0)])
def test_near_is_a_quarter_of_the_face(beside, found):
    figures = evaluate([frame({0: 0.0}, [(0, beside * NEAR * SIZE)])])
    assert (figures.found_rows, figures.false_rows) == (found, 1 - found)


def test_without_faces_there_are_no_shares():
    figures = evaluate([frame({}, [])])
    assert (figures.found_share, figures.own_share, figures.idf1) == (None, None, None)
    assert (figures.frames, figures.people) == (1, 0)


def test_the_nearest_pair_is_matched_first():
    assert nearest_first(np.array([[0.2, 0.1], [0.9, 0.3]])) == [(0, 1), (1, 0)]
    assert nearest_first(np.array([[1.2, 0.1], [0.9, 0.3]])) == [(0, 1), (1, 0)]
    assert nearest_first(np.array([[1.2, 0.1], [1.9, 0.3]])) == [(0, 1)]


def test_sums_of_clips():
    one = evaluate([both(0, 1)] * 2)
    assert total([one, one]).true_rows == 2 * one.true_rows
    assert total([one, one]).idf1 == 1


@given(
    st.tuples(st.integers(0, 4), st.integers(0, 4)).flatmap(
        lambda shape: arrays(np.float64, shape, elements=st.integers(0, 9).map(float))
    )
)
def test_the_assignment_has_the_largest_sum_of_all(gains):
    pairs = best_assignment(gains)
    assert len(pairs) == min(gains.shape) == len({i for i, _ in pairs}) == len({j for _, j in pairs})
    wide = gains if gains.shape[0] <= gains.shape[1] else gains.T
    best = max(
        sum(wide[i, j] for i, j in enumerate(chosen)) for chosen in permutations(range(wide.shape[1]), len(wide))
    )
    assert sum(gains[i, j] for i, j in pairs) == best


def test_identities_that_are_all_right_leave_what_rows_are_missing():
    figures = evaluate([both(0, 1), both(1, 0), frame(BOTH, [(0, 0.0)])])
    assert (figures.idf1, figures.best_idf1) == (6 / 11, 10 / 11)


@pytest.mark.parametrize(("step", "fast"), [(0.9, 0), (1.1, 1)])
def test_lost_rows_are_of_faces_that_are_partly_hidden_or_fast(step, fast):
    size = SIZE  # the landmarks' box is square
    there = Frame([TrueFace(0, face(0.0))], [FoundFace(0, face(0.0))])
    moved = Frame([TrueFace(0, face(step * FAST * size))], [])
    figures = evaluate([there, moved, moved])
    assert (figures.true_rows - figures.found_rows, figures.lost_hidden, figures.lost_fast) == (2, 0, fast)
    hidden = Frame([TrueFace(0, face(step * FAST * size), 0.9)], [])
    figures = evaluate([there, hidden])
    assert (figures.lost_hidden, figures.lost_fast) == (1, 0)
    assert evaluate([moved]).lost_fast == 0, "nobody knows how fast the first frame's faces are"
