"""Post-processing of a clip's AUs (spec 60.7)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auparity.errors import ContractError
from auparity.reference.postprocessing import intensity_offsets, postprocess
from auparity.reference.results import OfflineAUs

NO_CALIBRATION = np.full(17, np.nan)


def clip(
    intensity: list[float] | None = None, presence: list[int] | None = None, success: list[bool] | None = None,
    cutoffs: np.ndarray | None = None,
) -> OfflineAUs:  # fmt: skip
    """Post-process a clip in which every AU behaves alike."""
    frames = len(intensity if intensity is not None else presence or [])
    raw_intensity = np.tile(np.array(intensity or [0.0] * frames, float)[:, None], (1, 17))
    raw_presence = np.tile(np.array(presence or [0] * frames, float)[:, None], (1, 18))
    return postprocess(raw_intensity, raw_presence, np.array(success or [True] * frames, bool), cutoffs)


def test_intensities_are_averaged_over_three_frames_but_for_the_ends() -> None:
    assert clip([0, 3, 0, 0, 4.5]).intensity[:, 0].tolist() == [0, 1, 1, 1.5, 4.5]


def test_intensities_are_clamped_before_they_are_averaged() -> None:
    assert clip([-9, 2, 9]).intensity[:, 0] == pytest.approx([0, (0 + 2 + 5) / 3, 5])


def test_a_failed_frame_counts_as_zero_and_obtains_its_neighbours_average() -> None:
    assert clip([3, 3, 3], success=[True, False, True]).intensity[:, 0].tolist() == [3, 2, 3]
    assert clip([3, 3, 3], success=[False, True, True]).intensity[:, 0].tolist() == [0, 2, 3], "the ends keep 0"


def test_presence_is_the_majority_of_seven_frames() -> None:
    assert clip(presence=[0, 0, 0, 1, 1, 1, 1, 0]).presence[:, 0].tolist() == [0, 0, 0, 1, 1, 1, 1, 0]
    assert clip(presence=[0, 0, 0, 1, 0, 0, 0]).presence[3, 0] == 0, "one of seven is no majority"
    assert clip(presence=[1, 1, 1, 0, 1, 1, 1]).presence[3, 0] == 1, "a gap of one is filled"


def test_failed_frames_vote_absent_and_can_become_present() -> None:
    success = [True, True, True, False, True, True, True]
    assert clip(presence=[1] * 7, success=success).presence[:, 0].tolist() == [1] * 7
    success[0] = success[1] = success[2] = False
    assert clip(presence=[1] * 7, success=success).presence[:, 0].tolist() == [0, 0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("frames", range(1, 7))
def test_clips_shorter_than_the_window_keep_their_presences(frames: int) -> None:
    alternating = [k % 2 for k in range(frames)]
    assert clip(presence=alternating).presence[:, 0].tolist() == alternating


@pytest.mark.parametrize("frames", [1, 2])
def test_clips_of_one_or_two_frames_keep_their_intensities(frames: int) -> None:
    assert clip([4.0, 1.0][:frames]).intensity[:, 0].tolist() == [4.0, 1.0][:frames]


def test_an_empty_clip_stays_empty() -> None:
    result = postprocess(np.zeros((0, 17)), np.zeros((0, 18)), np.zeros(0, bool), NO_CALIBRATION)
    assert result.intensity.shape == (0, 17)
    assert result.presence.shape == (0, 18)


def test_a_clip_without_a_face_has_no_action_units() -> None:
    result = clip([2.0] * 9, [1] * 9, [False] * 9, np.full(17, 0.5))
    assert not result.intensity.any()
    assert not result.presence.any()


def test_calibration_takes_off_the_quantile_of_the_successful_frames() -> None:
    """S = 4 of 5 frames, sorted 1 2 3 9; trunc(4 * 0.55) = 2, so 3 is the person's zero."""
    result = clip([9, 1, 100, 2, 3], success=[True, True, False, True, True], cutoffs=np.full(17, 0.55))
    assert result.intensity[0, 0] == 5.0
    assert result.intensity[4, 0] == 0.0


def test_the_quantile_index_truncates_the_product_of_the_stored_float64() -> None:
    """10 * 0.30000000000000004 is 3.0000000000000004; 10 * 0.7000000000000001 is 7.000000000000001 (spec 10.11)."""
    ordered = np.tile(np.arange(10.0)[:, None], (1, 3))
    cutoffs = np.array([0.30000000000000004, 0.7000000000000001, np.nan])
    assert intensity_offsets(ordered[::-1], np.ones(10, bool), cutoffs).tolist() == [3.0, 7.0, 0.0]


def test_static_models_are_not_calibrated() -> None:
    assert clip([2.0, 2.0, 2.0], cutoffs=None).intensity.min() == 2.0
    assert clip([2.0, 2.0, 2.0], cutoffs=NO_CALIBRATION).intensity.min() == 2.0
    assert not clip([2.0, 2.0, 2.0], cutoffs=np.zeros(17)).intensity.any()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), frames=st.integers(1, 30))
def test_whatever_comes_in_intensities_are_0_to_5_and_presences_0_or_1(seed: int, frames: int) -> None:
    rng = np.random.default_rng(seed)
    raw_intensity, raw_presence = rng.normal(scale=4, size=(frames, 17)), rng.integers(0, 2, (frames, 18)) * 1.0
    kept = raw_intensity.copy(), raw_presence.copy()
    result = postprocess(raw_intensity, raw_presence, rng.random(frames) < 0.7, rng.uniform(0, 0.99, 17))
    assert result.intensity.min() >= 0
    assert result.intensity.max() <= 5
    assert set(np.unique(result.presence)) <= {0.0, 1.0}
    assert np.array_equal(raw_intensity, kept[0])
    assert np.array_equal(raw_presence, kept[1])


def test_arrays_of_different_lengths_are_refused() -> None:
    with pytest.raises(ContractError, match="raw_presence"):
        postprocess(np.zeros((4, 17)), np.zeros((5, 18)), np.ones(4, bool))
    with pytest.raises(ContractError, match="success"):
        postprocess(np.zeros((4, 17)), np.zeros((4, 18)), np.ones(4))  # type: ignore[arg-type]
