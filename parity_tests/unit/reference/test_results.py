"""Results by name: AUs of a frame and of a clip, and how they print."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS, FrameResult, OfflineAUs

RESULT = FrameResult(
    index=4, face_id=1, timestamp=0.1666, success=True, detection_success=True, confidence=0.975,
    landmarks=np.zeros((68, 2)), landmarks_3d=np.zeros((68, 3)), params_global=np.zeros(6), params_local=np.zeros(34),
    pose=np.zeros(6), eye_landmarks=np.zeros((2, 28, 2)), eye_landmarks_3d=np.zeros((2, 28, 3)), gaze=np.zeros((2, 3)),
    gaze_angles=np.zeros(2), au_intensity=np.arange(17) / 10, au_presence=np.arange(18) % 2.0,
)  # fmt: skip


def test_a_frame_has_17_intensities_and_18_presences_by_name():
    assert (len(INTENSITY_AUS), len(PRESENCE_AUS)) == (17, 18)
    assert {*PRESENCE_AUS} - {*INTENSITY_AUS} == {"AU28"}
    assert [*RESULT.aus] == [*INTENSITY_AUS]
    assert RESULT.aus["AU12"] == 0.8
    assert [*RESULT.presences] == [*PRESENCE_AUS]
    assert (RESULT.presences["AU01"], RESULT.presences["AU02"]) == (False, True)


@pytest.mark.parametrize("count", [16, 19])
def test_another_number_of_aus_is_an_error_and_not_cut_short(count):
    wrong = replace(RESULT, au_intensity=np.zeros(count), au_presence=np.zeros(count))
    with pytest.raises(ValueError, match="zip"):
        _ = wrong.aus
    with pytest.raises(ValueError, match="zip"):
        _ = wrong.presences


def test_a_result_prints_shortly():
    assert repr(RESULT) == "<FrameResult 4 at 0.167 s, face 1: confidence 0.97>"
    assert repr(replace(RESULT, success=False)) == "<FrameResult 4 at 0.167 s, face 1: no face>"


def test_a_clip_has_its_aus_by_name():
    clip = OfflineAUs(np.arange(34.0).reshape(2, 17), np.arange(36.0).reshape(2, 18))
    assert clip["AU45"].tolist() == [16, 33]
    assert clip.presence_of("AU28").tolist() == [16, 34]
    for asked, name in ((clip.__getitem__, "AU28"), (clip.presence_of, "AU03")):
        with pytest.raises(KeyError, match=f"{name}.* is none of AU01"):
            asked(name)
    assert repr(clip).startswith("<OfflineAUs of 2 frames")
