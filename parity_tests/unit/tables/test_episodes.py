"""Episodes: from onset to offset, joined and left out by their lengths, for each person."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auparity.errors import AuparityError
from auparity.parity_tests.unit.helpers.tables import STEP, face_table, people_table


def spans(episodes, au="AU12"):
    """Onsets and offsets in frames."""
    return [(round(e.onset / STEP, 6), round(e.offset / STEP, 6)) for e in episodes if e.au == au]


def test_an_episode_lasts_from_its_first_frame_to_the_frame_after_its_last():
    assert spans(face_table([0, 1, 1, 0, 0, 1, 0]).episodes()) == [(1, 3), (5, 6)]
    assert spans(face_table([1, 1, 1]).episodes()) == [(0, 3)], "the last frame lasts a step"
    assert [*face_table([0, 0]).episodes()] == []


def test_an_episode_says_how_intense_it_was():
    (episode,) = face_table([0, 1, 1, 1, 0], AU12_r=[9, 1, 3, 2, 9]).episodes()
    assert (episode.au, episode.person) == ("AU12", None)
    assert (episode.mean, episode.peak) == (2, 3)
    assert episode.peak_time == pytest.approx(0.2)
    (episode,) = face_table([0, 0, 0], AU28_c=[0, 1, 0]).episodes()
    assert math.isnan(episode.mean)
    assert math.isnan(episode.peak_time)


def test_lost_frames_end_an_episode():
    assert spans(face_table([1, 1, 1, 1], success=[1, 0, 1, 1]).episodes()) == [(0, 1), (2, 4)]
    assert spans(face_table([1, 1, 1, 1], confidence=[0.9, 0.9, 0.1, 0.9]).episodes(min_confidence=0.5)) == [
        (0, 2), (3, 4),
    ]  # fmt: skip


def test_frames_that_have_no_rows_end_an_episode():
    table = face_table([1, 1, 1, 1], timestamp=[0, 0.1, 0.5, 0.6])
    assert spans(table.episodes()) == [(0, 2), (5, 7)]


def test_episodes_near_each_other_are_joined_and_short_ones_left_out():
    table = face_table([1, 0, 1, 0, 0, 0, 1, 1, 0])
    assert spans(table.episodes(join=0.1)) == [(0, 3), (6, 8)]
    assert spans(table.episodes(join=0.3)) == [(0, 8)]
    assert spans(table.episodes(min_duration=0.2)) == [(6, 8)]
    assert spans(table.episodes(join=0.1, min_duration=0.3)) == [(0, 3)], "joined first"


def test_a_threshold_looks_at_intensities():
    table = face_table([0, 0, 0, 0], AU12_r=[0.5, 1.0, 2.0, 0.99])
    assert spans(table.episodes(threshold=1)) == [(1, 3)]
    assert [*table.episodes()] == []
    with pytest.raises(AuparityError, match="no intensity of AU28"):
        table.episodes(["AU28"], threshold=1)


def test_aus_are_chosen_by_name():
    table = face_table([1, 1], AU28_c=[1, 1])
    assert {episode.au for episode in table.episodes()} == {"AU12", "AU28"}
    assert {episode.au for episode in table.episodes("AU28")} == {"AU28"}
    with pytest.raises(AuparityError, match="no presence of AU13"):
        table.episodes(["AU12", "AU13"])


@pytest.mark.parametrize("persons", [True, False])
def test_every_person_has_episodes_of_their_own(persons):
    found = people_table([[1, 0, 0], [1, 1, 0]], persons=persons).episodes()
    first, second = (0, 1) if persons else (1, 0)
    assert {(e.person, round(e.duration, 6)) for e in found} == {(first, 0.1), (second, 0.2)}
    assert [e.person for e in found] == [0, 1], "in order of onset, then person"


def test_nobody_has_no_episodes():
    assert {e.person for e in people_table([[1, 1], [1, 1]], person_id=[0, -1, 0, -1]).episodes()} == {0}


def test_times_may_follow_from_the_frame_rate():
    table = face_table([0, 1, 0], timestamp=[0, 0, 0])
    assert [(e.onset, e.duration) for e in table.episodes(fps=2)] == [(0.5, 0.5)]
    with pytest.raises(AuparityError, match="no time stamps"):
        table.episodes()


def test_one_frame_needs_to_be_told_how_long_it_lasts():
    one = face_table([1], timestamp=[3.0])
    assert [(e.onset, e.offset) for e in one.episodes(fps=4)] == [(3, 3.25)]
    with pytest.raises(AuparityError, match="one moment"):
        one.episodes()


def test_rows_may_be_in_any_order():
    table = face_table([0, 1, 1, 0])
    assert spans(table.rows(np.array([2, 0, 3, 1])).episodes()) == spans(table.episodes())


def test_negative_lengths_are_refused():
    for option in ("join", "min_duration"):
        with pytest.raises(AuparityError, match=f"{option} is -1"):
            face_table([1, 1]).episodes(**{option: -1})


def test_they_are_a_sequence_and_a_data_frame():
    episodes = people_table([[1, 0], [0, 1]]).episodes()
    assert len(episodes) == 2
    assert episodes[0].person == 0
    assert [e.person for e in episodes[1:]] == [1]
    assert repr(episodes) == "<Episodes: 2 of AU12; .to_dataframe(), .write('episodes.eaf')>"
    pytest.importorskip("pandas")
    frame = episodes.to_dataframe()
    assert [*frame.columns] == ["onset", "duration", "au", "person", "mean", "peak", "peak_time"]
    assert frame["duration"].tolist() == pytest.approx([0.1, 0.1])
    assert "person" not in face_table([1, 0]).episodes().to_dataframe()


@given(st.lists(st.integers(0, 1), min_size=2, max_size=60), st.lists(st.booleans(), min_size=60, max_size=60))
def test_episodes_cover_what_is_present_and_nothing_else(presence, tracked):
    good = np.array(tracked[: len(presence)])
    table = face_table(presence, success=good.astype(float))
    covered = np.zeros(len(presence))
    for onset, offset in spans(table.episodes("AU12")):
        covered[round(onset) : round(offset)] += 1
    assert covered.tolist() == (np.array(presence) * good).tolist()
