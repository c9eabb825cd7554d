"""Measurements at equal steps: between frames, nearest, averaged, and never made up where there were no frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auparity.errors import AuparityError
from auparity.parity_tests.unit.helpers.tables import face_table, people_table


def test_a_table_at_its_own_rate_stays_as_it_is():
    table = face_table([0, 1, 1, 0], AU12_r=[0.1, 0.7, 0.2, 0.9])
    for how in ("auto", "linear", "nearest"):
        again = table.resampled(10, how)
        for name, values in table.columns.items():
            np.testing.assert_allclose(again[name], values, atol=1e-12)
            assert again[name].dtype == values.dtype


def test_measurements_are_interpolated_and_presences_are_those_of_the_nearest_frame():
    again = face_table([0, 1], AU12_r=[1, 2]).resampled(40)  # 0, 25, 50, 75, 100 ms
    np.testing.assert_allclose(again["AU12_r"], [1, 1.25, 1.5, 1.75, 2])
    assert again["AU12_c"].tolist() == [0, 0, 0, 1, 1]  # of two as near the earlier one
    np.testing.assert_allclose(again["timestamp"], [0, 0.025, 0.05, 0.075, 0.1])
    assert again["frame"].tolist() == [1, 2, 3, 4, 5]


def test_a_lower_rate_averages_the_frames_around_each_moment():
    values = np.arange(12.0)
    again = face_table(np.zeros(12), AU12_r=values, AU12_c=[0, 0, 1, 1, 1, 0] + [0] * 6).resampled(2)
    # Frames at 0 to 200 ms, then from 250 ms (the half of a step before 0.5 s) on.
    np.testing.assert_allclose(again["AU12_r"], [1.0, 5.0, 9.5])
    np.testing.assert_allclose(again["AU12_c"], [1 / 3, 2 / 5, 0])
    assert face_table(np.zeros(12), AU12_r=values).resampled(2, "nearest")["AU12_r"].tolist() == [0, 5, 10]


def test_nothing_is_made_up_across_lost_frames():
    table = face_table([1, 1, 1, 1, 1], AU12_r=[1, 2, 99, 4, 5], success=[1, 1, 0, 1, 1])
    again = table.resampled(20)
    assert np.isnan(again["AU12_r"]).tolist() == [False, False, False, True, True, True, False, False, False]
    assert again["success"].tolist() == [1, 1, 1, 0, 0, 0, 1, 1, 1]
    np.testing.assert_allclose(again["AU12_r"][[0, 1, 2, 6, 7, 8]], [1, 1.5, 2, 4, 4.5, 5])
    nearest = table.resampled(20, "nearest")
    assert not np.isin(99, nearest["AU12_r"])


def test_frames_of_little_confidence_are_lost_ones():
    again = face_table([1, 1, 1], confidence=[0.9, 0.2, 0.9]).resampled(10, min_confidence=0.5)
    assert again["success"].tolist() == [1, 0, 1]


def test_angles_go_the_short_way():
    again = face_table([0, 0], pose_Rx=[3.1, -3.1]).resampled(20)
    assert abs(again["pose_Rx"][1]) == pytest.approx(np.pi)
    mean = face_table([0, 0, 0, 0], pose_Rx=[3.1, -3.1, 3.1, -3.1]).resampled(2)
    assert abs(mean["pose_Rx"][0]) > 3.1


def test_every_person_is_resampled_alone_at_the_same_moments():
    table = people_table([[0, 0, 0], [1, 1, 1]], AU12_r=[0, 10, 1, 11, 2, 12])
    again = table.resampled(20)
    assert again["person_id"].tolist() == [0, 1] * 5
    assert again["face_id"].tolist() == [1, 0] * 5
    np.testing.assert_allclose(again["AU12_r"][again["person_id"] == 1], [10, 10.5, 11, 11.5, 12])
    slots = people_table([[0, 0], [1, 1]], persons=False).resampled(10)
    assert slots["face_id"].tolist() == [0, 1, 0, 1]


def test_rows_of_nobody_are_left_out():
    again = people_table([[1, 1], [1, 1]], person_id=[0, -1, 0, -1]).resampled(10)
    assert again["person_id"].tolist() == [0, 0]


def test_times_that_a_csv_rounded_do_not_lose_a_sample():
    times = np.round(np.arange(30) / 30, 3)  # 0.033, 0.067, ...
    assert len(face_table(np.zeros(30), timestamp=times).resampled(30)) == 30
    again = face_table(np.zeros(30), timestamp=times, AU12_r=np.arange(30.0)).resampled(10)
    np.testing.assert_allclose(again["AU12_r"][1:-1], np.arange(3, 27, 3))


@pytest.mark.parametrize(
    ("rate", "how", "message"), [(0, "auto", "above 0"), (np.nan, "auto", "above 0"), (5, "cubic", "one of auto"),
                                 (1e12, "auto", "at most")],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(rate, how, message):
    with pytest.raises(AuparityError, match=message):
        face_table([1, 1]).resampled(rate, how)


@given(
    times=st.lists(st.floats(0, 20), min_size=2, max_size=40, unique=True),
    rate=st.floats(0.1, 60),
    how=st.sampled_from(["linear", "nearest", "mean"]),
    data=st.data(),
)
def test_samples_are_within_what_was_measured(times, rate, how, data):
    times = np.sort(times)
    if not times.any() or np.min(np.diff(times)) < 1e-3:
        return
    values = np.array(data.draw(st.lists(st.floats(0, 5), min_size=len(times), max_size=len(times))))
    good = np.array(data.draw(st.lists(st.booleans(), min_size=len(times), max_size=len(times))))
    table = face_table(np.zeros(len(times)), timestamp=times, AU12_r=values, success=good.astype(float))
    again = table.resampled(rate, how)
    found = again["AU12_r"][again["success"] == 1]
    assert np.isnan(again["AU12_r"]).tolist() == (again["success"] == 0).tolist()
    if len(found):
        # A mean of equal numbers may round to the next one.
        assert values[good].min() - 1e-9 <= found.min() <= found.max() <= values[good].max() + 1e-9
