"""What stands out of a study: far from the median in units of the MAD, and never for a small difference."""

from __future__ import annotations

import numpy as np
import pytest

from auparity.reports.clips.measures import AUMeasures, Measures
from auparity.reports.study.outliers import CONFIDENCE, FEWEST, LIMIT, LIMIT_OF_UNITS, NORMAL, SHARE, outliers
from auparity.reports.study.records import FaceRow


def row(tracked=100, confidence=0.9, kind="clip", condition="", **intensities):
    aus = {name: AUMeasures(mean, 5.0, 0.5) for name, mean in intensities.items()}
    figures = Measures(100, tracked, confidence, aus)
    return FaceRow("clip", None, kind, {"condition": condition}, "done", 100 if kind == "clip" else None, 3.0, figures)


def test_a_distance_is_in_standard_deviations_of_normal_values():
    assert pytest.approx(1.4826, abs=1e-12) == NORMAL
    values = np.random.default_rng(3).normal(2.5, 0.4, 4001)
    far = 2.5 + 10 * 0.4
    found = outliers([*(row(AU12=value) for value in values), row(AU12=far)])
    (last,) = found[-1]
    # The MAD of 4001 values has a relative standard error of 1.2 % of a standard deviation's.
    assert last.distance == pytest.approx(10, rel=0.06)
    assert last.median == pytest.approx(2.5, abs=0.03)
    assert not any(found[:-1])  # one of 1.7 million normal values is beyond 5


def test_the_distance_of_simple_values_can_be_worked_out():
    rows = [row(AU04=value) for value in (1, 1.2, 1.4, 1.6, 1.8, 2, 2.2, 2.4, 6)]
    found = outliers(rows)
    # Median 1.8; away from it above: 0, 0.2, 0.4, 0.6, 4.2, whose median is 0.4.
    assert [bool(each) for each in found] == [False] * 8 + [True]
    assert found[-1][0].distance == pytest.approx(4.2 / (1.4826 * 0.4), rel=1e-12)
    assert found[-1][0].what == "AU04"


def test_each_side_has_its_own_scale():
    # Below the median, 2: 0, 0.1, ..., 0.4 away; above it ten times as much.
    low, high = [2 - 0.1 * k for k in range(5)], [2 + k for k in range(1, 5)]
    assert not any(outliers([row(AU12=value) for value in (*low, *high)]))
    (found,) = outliers([row(AU12=value) for value in (*low[:-1], *high, 0.5)])[-1:]
    # Away from it below: 0, 0.1, 0.2, 0.3, 1.5, whose median is 0.2.
    assert found[0].distance == pytest.approx(-1.5 / (1.4826 * 0.2), rel=1e-12)


def test_skewed_intensities_make_few_outliers():
    values = np.random.default_rng(5).exponential(0.4, (1000, 17))
    found = outliers([row(**{f"AU{k:02d}": value for k, value in enumerate(each)}) for each in values])
    # Counts of 1000 drawn rows, of about 500, 190 and 60: three standard deviations of them.
    assert sum(bool(each) for each in found) == pytest.approx(60, abs=23)
    away = values - np.median(values, axis=0)
    usual = np.abs(away) / (NORMAL * np.median(np.abs(away), axis=0)) > LIMIT
    assert usual.any(axis=1).sum() == pytest.approx(500, abs=48)
    sides = [np.where(side, np.abs(away), np.nan) for side in (away >= 0, away <= 0)]
    above, below = (NORMAL * np.nanmedian(side, axis=0) for side in sides)
    own_side = np.abs(away) / np.where(away > 0, above, below) > LIMIT
    assert own_side.any(axis=1).sum() == pytest.approx(190, abs=38)


def test_clips_can_be_compared_within_a_label():
    rows = [row(AU12=0.2, condition="rest") for _ in range(30)] + [row(AU12=2.0, condition="smile") for _ in range(9)]
    assert sum(bool(each) for each in outliers(rows)) == 9
    assert not any(outliers(rows, "condition"))
    found = outliers([*rows, row(AU12=2.0, condition="rest")], "condition")
    assert [bool(each) for each in found] == [False] * 39 + [True]
    assert not any(outliers([*rows, row(AU12=2.0, condition="alone")], "condition"))


def test_many_outliers_do_not_hide_each_other():
    found = outliers([*(row(tracked=99) for _ in range(60)), *(row(tracked=20) for _ in range(40))])
    assert sum(bool(each) for each in found) == 40


def test_small_differences_between_equal_values_are_none():
    rows = [row(tracked=100) for _ in range(50)]
    assert not any(outliers([*rows, row(tracked=97)]))
    found = outliers([*rows, row(tracked=96)])
    assert [outlier.what for outlier in found[-1]] == [SHARE]
    assert not any(outliers([*(row(AU12=0.0) for _ in range(50)), row(AU12=0.5)]))
    assert any(outliers([*(row(AU12=0.0) for _ in range(50)), row(AU12=0.51)]))


def test_only_low_confidence_stands_out():
    rows = [row(confidence=0.5) for _ in range(20)]
    found = outliers([*rows, row(confidence=0.2), row(confidence=0.99)])
    assert [outlier.what for outlier in found[-2]] == [CONFIDENCE]
    assert found[-2][0].distance == pytest.approx(-30)
    assert found[-1] == []


def test_the_farthest_reason_comes_first():
    rows = [row(AU12=1.0) for _ in range(20)]
    (found,) = outliers([*rows, row(tracked=50, confidence=0.8, AU12=1.6)])[-1:]
    assert [outlier.what for outlier in found] == [SHARE, CONFIDENCE, "AU12"]
    assert [round(outlier.distance) for outlier in found] == [-50, -10, 6]
    assert LIMIT < LIMIT_OF_UNITS < 6


def test_few_values_are_not_judged_and_images_have_their_own_median():
    assert not any(outliers([row() for _ in range(FEWEST - 2)] + [row(tracked=1)]))
    assert any(outliers([row() for _ in range(FEWEST - 1)] + [row(tracked=1)]))
    clips, images = [row(AU12=1.0) for _ in range(10)], [row(kind="image", AU12=4.0) for _ in range(9)]
    found = outliers([*clips, *images])
    assert not any(found)
    assert not any(outliers([row(confidence=None), row(tracked=0, confidence=None)]))
