"""Running medians by histogram (spec 60.5; 60.1 steps 6 and 7)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auparity.errors import ContractError
from auparity.reference.running_median import RunningMedian, geometry_median, hog_median, running_medians


def naive_median(counted: np.ndarray, n_bins: int, low: float, high: float) -> np.ndarray:
    """The definition, one dimension after the other: the first bin whose cumulative count reaches (n + 1) div 2."""
    length = high - low
    medians = np.empty(counted.shape[1])
    for d, values in enumerate(counted.T):
        bins = np.clip((values - low) * n_bins / length, 0, n_bins - 1).astype(int)
        cumulative = np.cumsum(np.bincount(bins, minlength=n_bins))
        j = int(np.argmax(cumulative >= (len(values) + 1) // 2))
        medians[d] = low + j * length / n_bins + 0.5 * length / n_bins
    return medians


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_bins=st.integers(1, 300), frames=st.integers(2, 40), spread=st.floats(0.01, 3))
def test_the_median_is_the_middle_of_the_bin_in_the_middle(seed: int, n_bins: int, frames: int, spread: float) -> None:
    descriptors = np.random.default_rng(seed).normal(scale=spread, size=(frames, 7))
    state = RunningMedian(n_bins, -1.0, 1.0)
    for k, descriptor in enumerate(descriptors):
        median = state.update(descriptor, update=True)
        expected = descriptor if k == 0 else naive_median(descriptors[: k + 1], n_bins, -1.0, 1.0)
        assert np.allclose(median, expected, rtol=0, atol=1e-12)


def test_before_the_first_face_the_median_is_the_lowest_bin() -> None:
    """FHOG's lies below 0 and is raised to 0; geometry's is -59.994 mm in every dimension."""
    nothing = np.zeros(5)
    assert hog_median().update(nothing, update=False).tolist() == [0.0] * 5
    assert np.allclose(geometry_median().update(nothing, update=False), -59.994, rtol=0, atol=1e-12)


def test_a_median_has_no_dimensions_before_its_first_descriptor() -> None:
    state = geometry_median()
    assert state.median.shape == (0,)
    state.frames = 1  # the next frame is an even one, which is compared with the median and not counted
    with pytest.raises(ContractError, match=r"shape \(0,\)"):
        state.step(np.zeros(1), success=True)


def test_the_first_face_is_its_own_median_exactly() -> None:
    face = np.array([0.1234567, 0.0, 0.39])
    assert np.array_equal(hog_median().update(face, update=True), face)


def test_while_one_face_is_counted_a_failed_frame_replaces_the_median() -> None:
    state = geometry_median()
    state.update(np.array([3.0, -4.0]), update=True)
    assert state.update(np.zeros(2), update=False).tolist() == [0.0, 0.0]
    assert state.total == 1


def test_once_two_faces_are_counted_failed_frames_change_nothing() -> None:
    state = geometry_median()
    state.update(np.array([3.0]), update=True)
    median = state.update(np.array([5.0]), update=True)
    assert np.allclose(median, 3.006, rtol=0, atol=1e-12), "of two the lower, at the middle of its bin of 0.012 mm"
    assert np.array_equal(state.update(np.array([50.0]), update=False), median)


def test_values_beyond_the_histogram_are_counted_in_its_ends() -> None:
    state = geometry_median()
    for value in (1000.0, 1000.0, -1000.0):
        state.update(np.array([value, -value]), update=True)
    assert np.allclose(state.median, [59.994, -59.994], rtol=0, atol=1e-12)


def test_every_other_frame_is_counted_so_medians_lag() -> None:
    descriptors = np.array([[1.0], [2.0], [3.0], [4.0], [5.0]])
    state = geometry_median()
    medians = running_medians(descriptors, np.ones(5, bool), state)
    assert np.allclose(medians.ravel(), [1.0, 1.0, 1.002, 1.002, 3.006], rtol=0, atol=0.0061)
    assert medians[0] == medians[1] == 1.0
    assert medians[2] == medians[3]
    assert (state.frames, state.total) == (5, 3)


def test_a_first_face_on_an_even_frame_is_predicted_with_the_lowest_bin() -> None:
    """A quirk of the C++ program; re-prediction repairs it at the end of the clip."""
    medians = running_medians(np.array([[0.0], [7.0], [7.0]]), np.array([False, True, True]), geometry_median())
    assert np.allclose(medians.ravel(), [-59.994, -59.994, 7.0], rtol=0, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(1, 11))
def test_a_clip_in_two_pieces_has_the_medians_of_the_whole(seed: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    descriptors, success = rng.uniform(0, 0.4, (12, 6)), rng.random(12) < 0.8
    whole = running_medians(descriptors, success, hog_median())
    state = hog_median()
    pieces = [running_medians(descriptors[s], success[s], state) for s in (slice(None, cut), slice(cut, None))]
    assert np.array_equal(np.concatenate(pieces), whole)


def test_after_a_reset_a_state_is_like_a_fresh_one() -> None:
    rng = np.random.default_rng(5)
    descriptors, success = rng.uniform(0, 0.4, (9, 6)), np.ones(9, bool)
    state = hog_median()
    running_medians(descriptors[::-1], success, state)
    state.reset()
    assert not state.median.any()
    assert np.array_equal(
        running_medians(descriptors, success, state), running_medians(descriptors, success, hog_median())
    )


def test_the_median_handed_out_is_the_callers_own() -> None:
    state = hog_median()
    state.step(np.array([0.1]), success=True)[:] = 9
    assert state.median.tolist() == [0.1]


def test_descriptors_of_another_length_or_nan_are_refused() -> None:
    state = hog_median()
    state.step(np.zeros(4), success=True)
    with pytest.raises(ContractError, match="descriptor"):
        state.step(np.zeros(5), success=True)
    with pytest.raises(ContractError, match="finite"):
        state.update(np.array([0, 0, np.nan, 0]), update=True)
    with pytest.raises(ContractError, match="success"):
        running_medians(np.zeros((3, 4)), np.ones(3), hog_median())  # type: ignore[arg-type]
