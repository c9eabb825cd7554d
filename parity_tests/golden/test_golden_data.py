"""The recordings are consistent as they are read: each scale of a fit starts where the last one ended."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from auparity.parity_tests.fidelity import recordings as golden_data

pytestmark = pytest.mark.golden

RECORDED = [("video01", 0), ("default", 0), ("lost", 25), ("hard", 15), ("video01_random_cen", 0)]


@pytest.mark.parametrize(("clip", "frame"), RECORDED)
def test_each_scale_starts_where_the_last_one_ended(clip, frame):
    golden_data.require_shared()
    for detection in golden_data.load_record(clip, frame).landmark_detections:
        assert detection.certainty is not None
        for part in ("main", "left_eye", "right_eye"):
            fits = detection.of(part)
            for coarse, fine in pairwise(fits):
                np.testing.assert_array_equal(coarse.pglobal_out, fine.pglobal_in)
                np.testing.assert_array_equal(coarse.plocal_out, fine.plocal_in)


@pytest.mark.parametrize(("clip", "hypotheses"), [("video01", 11), ("default", 11)])
def test_the_first_frame_is_fitted_from_eleven_orientations(clip, hypotheses):
    golden_data.require_shared()
    record = golden_data.load_record(clip, 0)
    assert len(record.landmark_detections) == hypotheses
    assert any(np.array_equal(d.landmarks_final, record.state.landmarks) for d in record.landmark_detections)


@pytest.mark.parametrize("clip", ["video01", "default", "lost", "hard"])
def test_states_say_what_the_official_csv_says(clip):
    golden_data.require_shared()
    state, table = golden_data.load_state(clip), golden_data.load_csv(clip, "online")
    assert len(golden_data.clip_frames(clip)) == len(state.returned) == len(table.values)
    np.testing.assert_array_equal(table.columns("success")[:, 0], state.returned)
    x = table.columns(*(f"x_{i}" for i in range(68)))
    np.testing.assert_allclose(x, state.landmarks[:, :, 0], atol=0.0501)  # one decimal
    intensity = table.columns(*(f"{name}_r" for name in golden_data.INTENSITY_AUS))
    np.testing.assert_allclose(intensity, state.au_r, atol=0.00501)  # two decimals
    presence = table.columns(*(f"{name}_c" for name in golden_data.PRESENCE_AUS))
    np.testing.assert_array_equal(presence, state.au_c)
