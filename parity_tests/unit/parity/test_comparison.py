"""The suite's own measures: they must say what is wrong, and they must be able to fail."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from auparity.errors import ContractError
from auparity.parity_tests.compare.arrays import ClipRun, compare_arrays, compare_clips
from auparity.parity_tests.suite.platform_floor import PUBLISHED_FLOORS, PlatformFloor, failures, judge
from auparity.reference.results import INTENSITY_AUS

FRAMES = 40
arrays = hnp.arrays(np.float64, hnp.array_shapes(max_dims=3, max_side=5), elements=st.floats(-1e6, 1e6))


@given(arrays)
def test_an_array_agrees_with_itself_exactly(array):
    record = compare_arrays("itself", array, array.copy(), 0.0)
    assert record.passed
    assert record.max_error == record.tolerance_needed == 0


@given(arrays, st.data())
def test_one_value_that_moved_is_found_and_measured(array, data):
    index = tuple(data.draw(st.integers(0, side - 1)) for side in array.shape)
    moved = array.copy()
    moved[index] += 8.0
    record = compare_arrays("moved", array, moved, 7.9)
    assert not record.passed
    assert record.worst == index
    assert record.candidate_at_worst == moved[index]
    assert record.max_error == pytest.approx(8.0, abs=1e-8)
    assert compare_arrays("moved", array, moved, record.tolerance_needed).passed
    assert not compare_arrays("moved", array, moved, np.nextafter(record.tolerance_needed, 0)).passed


def test_the_statistics_are_those_of_the_absolute_errors():
    reference, candidate = np.zeros(200, np.float32), np.arange(200, dtype=np.float32) * np.float32(-1)
    record = compare_arrays("ramp", reference, candidate, 1.0)
    errors = np.arange(200.0)
    assert record.mean_error == errors.mean()
    assert record.median_error == np.median(errors)
    assert record.p99_error == pytest.approx(np.percentile(errors, 99))
    assert record.max_error == 199


def test_a_tolerance_for_a_share_of_the_values_ignores_the_rest():
    reference, candidate = np.zeros(100), np.zeros(100)
    candidate[:2] = 5
    assert compare_arrays("two flips", reference, candidate, 1e-6, share=0.98).passed
    assert not compare_arrays("two flips", reference, candidate, 1e-6, share=0.99).passed
    assert not compare_arrays("two flips", reference, candidate, 1e-6).passed


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_no_number_fails_whatever_the_tolerance(bad):
    reference, candidate = np.zeros((3, 4)), np.zeros((3, 4))
    candidate[1, 2] = bad
    for a, b in ((reference, candidate), (candidate, reference)):
        record = compare_arrays("bad", a, b, 1e300)
        assert not record.passed
        assert record.worst == (1, 2)
    assert compare_arrays("both bad", candidate, candidate.copy(), 0.0).passed


def test_opposite_infinities_do_not_agree():
    assert not compare_arrays("infinities", [np.inf], [-np.inf], 1e300).passed


def test_unsigned_differences_do_not_wrap_around():
    record = compare_arrays("gray", np.array([0], np.uint8), np.array([255], np.uint8), 1)
    assert record.max_error == 255
    assert not record.passed


def test_another_shape_fails_and_says_so():
    record = compare_arrays("shapes", np.zeros((3, 1)), np.zeros(3), 1e9)
    assert not record.passed
    assert "(3,)" in str(record)
    assert "(3, 1)" in str(record)


def test_the_text_alone_is_enough_to_debug():
    text = str(compare_arrays("fhog", np.zeros((2, 3)), np.array([[0, 0, 0], [0, 0.25, 0]]), 2e-7))
    for fact in (
        "fhog",
        "(2, 3)",
        "FAILED",
        "[1, 1]",
        "reference 0",
        "candidate 0.25",
        "tolerance 2e-07",
        "needed 0.25",
    ):
        assert fact in text


def test_records_can_be_stored_as_json():
    record = compare_arrays("x", np.zeros(3), np.ones(3), 0.5)
    assert json.loads(json.dumps(record.as_dict()))["tolerance_needed"] == 1


@pytest.mark.parametrize(("tolerance", "share"), [(-1e-9, 1), (np.nan, 1), (0.1, 0), (0.1, 1.1)])
def test_meaningless_tolerances_are_rejected(tolerance, share):
    with pytest.raises(ContractError):
        compare_arrays("x", np.zeros(3), np.zeros(3), tolerance, share=share)


@pytest.fixture
def run() -> ClipRun:
    rng = np.random.default_rng(90)
    intensity = np.abs(rng.normal(1, 0.5, (FRAMES, 17)))
    intensity[:, 5] = 0.3  # AU07 stands still
    presence = (rng.random((FRAMES, 18)) > 0.5).astype(float)
    return ClipRun(
        returned=np.ones(FRAMES, bool),
        landmarks=rng.uniform(0, 400, (FRAMES, 68, 2)).astype(np.float32),
        au_r_online=intensity,
        au_r_offline=intensity.copy(),
        au_c_online=presence,
        au_c_offline=presence.copy(),
        pose=rng.normal(size=(FRAMES, 6)),
    )


def test_a_run_agrees_with_itself(run):
    same = compare_clips(run, run)
    assert same.frames_compared == same.frames == FRAMES
    assert same.flags_equal == same.presence_online_equal == same.presence_offline_equal == 1
    assert same.landmarks_max == same.pose_rotation_max == same.au_online.max_error == 0
    assert same.au_online.smallest_r == pytest.approx(1)
    assert failures(judge(same, PlatformFloor.measured(same))) == ""


def test_landmark_distances_are_euclidean(run):
    landmarks = run.landmarks.copy()
    landmarks[7, 30] += (3, 4)
    moved = compare_clips(run, replace(run, landmarks=landmarks))
    assert moved.landmarks_max == pytest.approx(5, abs=1e-4)
    assert moved.landmarks_mean == pytest.approx(5 / (FRAMES * 68), rel=1e-4)
    assert moved.landmarks_worst == (7, 30)


def test_frames_in_which_either_failed_count_by_flag_only(run):
    returned, landmarks, intensity = run.returned.copy(), run.landmarks.copy(), run.au_r_online.copy()
    returned[[3, 4]] = False
    landmarks[3] += 100
    intensity[4] = 9
    lost = compare_clips(run, replace(run, returned=returned, landmarks=landmarks, au_r_online=intensity))
    assert lost.flags_equal == pytest.approx(1 - 2 / FRAMES)
    assert lost.frames_compared == FRAMES - 2
    assert lost.landmarks_max == lost.au_online.max_error == 0
    assert "success flags" in failures(judge(lost, PUBLISHED_FLOORS["video01"]))


def test_an_au_that_follows_something_else_has_a_small_correlation(run):
    intensity = run.au_r_online.copy()
    intensity[:, 2] = intensity[::-1, 2]
    other = compare_clips(run, replace(run, au_r_online=intensity)).au_online
    assert other.smallest_r_au == other.worst_au == INTENSITY_AUS[2]
    assert other.smallest_r < 0.7


def test_an_au_that_stands_still_has_no_correlation_in_the_reference_and_none_to_lose(run):
    assert compare_clips(run, run).au_online.per_au["AU07"].r is None
    still = run.au_r_online.copy()
    still[:, 0] = 1
    assert compare_clips(run, replace(run, au_r_online=still)).au_online.smallest_r == 0


def test_one_presence_of_many_is_counted(run):
    presence = run.au_c_offline.copy()
    presence[0, 0] = 1 - presence[0, 0]
    flipped = compare_clips(run, replace(run, au_c_offline=presence))
    assert flipped.presence_offline_equal == pytest.approx(1 - 1 / (FRAMES * 18))
    assert flipped.presence_online_equal == 1


def test_pose_errors_keep_millimetres_and_radians_apart(run):
    pose = run.pose.copy()
    pose[2, 1] += 0.5
    pose[5, 4] -= 0.125
    turned = compare_clips(run, replace(run, pose=pose))
    assert turned.pose_translation_max == pytest.approx(0.5)
    assert turned.pose_rotation_max == pytest.approx(0.125)


def test_intensities_can_be_compared_as_the_csv_prints_them(run):
    near = replace(run, au_r_online=np.round(run.au_r_online, 2) + 0.004, au_r_offline=None)
    assert compare_clips(run, near).au_online.max_error > 0
    assert compare_clips(run, near, au_decimals=2).au_online.max_error == 0
    assert compare_clips(run, near).au_offline is None


def test_a_wrong_shape_is_rejected(run):
    with pytest.raises(ContractError, match=r"candidate\.landmarks"):
        compare_clips(run, replace(run, landmarks=run.landmarks[:-1]))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda run: {"landmarks": run.landmarks + 0.02},
        lambda run: {"landmarks": run.landmarks * np.nan},
        lambda run: {"au_r_online": run.au_r_online + 0.04},
        lambda run: {"au_r_offline": run.au_r_offline + 0.01},
        lambda run: {"au_r_offline": run.au_r_offline[:, ::-1]},
        lambda run: {"au_c_offline": 1 - run.au_c_offline},
        lambda run: {"au_r_offline": None},
        lambda run: {"returned": np.zeros(FRAMES, bool)},
    ],
    ids=[
        "landmarks 0.03 px off", "landmarks not numbers", "intensities 0.04 off", "offline intensities 0.01 off",
        "AUs in another order", "presences inverted", "no offline intensities", "no frame succeeds",
    ],
)  # fmt: skip
def test_the_platform_floor_can_be_missed(run, spoil):
    comparison = compare_clips(run, replace(run, **spoil(run)))
    assert failures(judge(comparison, PUBLISHED_FLOORS["video01"]))


def test_agreements_are_judged_by_their_distance_from_one(run):
    floor = replace(PlatformFloor.measured(compare_clips(run, run)), presence_equal=0.99, presences=None)
    presence = run.au_c_offline.copy()
    presence.flat[: int(0.0125 * presence.size) - 1] = 2
    assert failures(judge(compare_clips(run, replace(run, au_c_offline=presence)), floor)) == ""
    presence.flat[: int(0.0125 * presence.size) + 1] = 2
    assert "presence" in failures(judge(compare_clips(run, replace(run, au_c_offline=presence)), floor))


def test_a_measured_floor_of_few_flips_allows_for_its_counting_error(run):
    measured = PlatformFloor.measured(compare_clips(run, run))
    assert measured.presences == run.au_c_offline.size
    floor = replace(measured, presence_equal=1 - 4 / measured.presences)  # 4 flips: 1.25 * 4 + sqrt(4) = 7 are allowed
    presence = run.au_c_offline.copy()
    for flips, missed in ((7, False), (8, True)):
        presence.flat[:flips] = 2
        judged = failures(judge(compare_clips(run, replace(run, au_c_offline=presence)), floor))
        assert ("presence" in judged) == missed


def test_a_correlation_is_known_to_within_its_standard_error(run):
    perfect = compare_clips(run, run)
    floor = replace(PlatformFloor.measured(perfect), smallest_r_offline=0.99)
    limit = 1 - 1.25 * 0.01 - (1 - 0.99**2) / np.sqrt(perfect.frames_compared - 1)
    for r, missed in ((limit + 1e-6, False), (limit - 1e-6, True)):
        worse = replace(perfect, au_offline=replace(perfect.au_offline, smallest_r=r))
        assert ("smallest r offline" in failures(judge(worse, floor))) == missed


def test_the_widest_of_several_floors_is_taken_figure_by_figure(run):
    a = replace(PUBLISHED_FLOORS["video01"], landmarks_mean=1.0, presence_equal=0.9)
    b = replace(PUBLISHED_FLOORS["video01"], landmarks_p99=2.0, smallest_r_online=0.5, au_online_mean=None)
    widest = PlatformFloor.worst_of([a, b])
    assert (widest.landmarks_mean, widest.landmarks_p99) == (1.0, 2.0)
    assert (widest.presence_equal, widest.smallest_r_online) == (0.9, 0.5)


def test_a_factor_below_one_is_rejected(run):
    with pytest.raises(ContractError):
        judge(compare_clips(run, run), PUBLISHED_FLOORS["lost"], factor=0.9)
