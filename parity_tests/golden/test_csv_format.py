"""The CSV text of the recorded runs: header, number formats, and the rewriting of the AUs after a clip (spec 80)."""

from __future__ import annotations

import gzip

import cv2
import numpy as np
import pytest

from auparity.media import ImageSequence, read_image
from auparity.parity_tests.golden_data import clip_frames, load_state, require_shared
from auparity.reference.results import FrameResult
from auparity.tables import COLUMNS, N_AU_COLUMNS, format_row, header, rewrite_aus

pytestmark = pytest.mark.golden

CLIPS = ("video01", "default", "lost", "hard")
#: Computed from the state with the intrinsics (spec 70.3), so not in the recorded state: left out here.
DERIVED = ("X_", "Y_", "Z_", "eye_lmk_X_", "eye_lmk_Y_", "eye_lmk_Z_")


def golden_lines(clip: str, kind: str) -> list[str]:
    with gzip.open(require_shared() / "golden" / clip / f"{kind}.csv.gz", "rt", encoding="ascii", newline="") as file:
        return file.read().split("\n")[:-1]


def recorded_result(clip: str, k: int) -> FrameResult:
    """Frame k as the C++ program had it in memory, without the 3D points."""
    state = load_state(clip)
    return FrameResult(
        index=k,
        face_id=0,
        timestamp=0.0,
        success=bool(state.returned[k]),
        detection_success=bool(state.detection_success[k]),
        confidence=float(state.certainty[k]),
        landmarks=state.landmarks[k],
        landmarks_3d=np.zeros((68, 3), np.float32),
        params_global=state.pglobal[k],
        params_local=state.plocal[k],
        pose=state.pose[k],
        eye_landmarks=state.eye_landmarks[k],
        eye_landmarks_3d=np.zeros((2, 28, 3), np.float32),
        gaze=state.gaze[k],
        gaze_angles=state.gaze_angles[k],
        au_intensity=state.au_r[k],
        au_presence=state.au_c[k],
    )


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("kind", ["online", "offline"])
def test_the_header_is_the_recorded_one(clip, kind):
    assert header("clip") == golden_lines(clip, kind)[0]


@pytest.mark.parametrize("clip", CLIPS)
def test_recorded_states_print_as_the_recorded_rows(clip):
    names = [column.name for column in COLUMNS["clip"]]
    compared = [i for i, name in enumerate(names) if not name.startswith(DERIVED)]
    assert len(compared) == 715 - 3 * (68 + 56)
    for k, line in enumerate(golden_lines(clip, "online")[1:]):
        ours, golden = format_row(recorded_result(clip, k), "clip").split(","), line.split(",")
        differing = {names[i]: (ours[i], golden[i]) for i in compared if ours[i] != golden[i]}
        assert not differing, f"{clip}, frame {k}: (ours, golden) {differing}"


@pytest.mark.parametrize("clip", CLIPS)
def test_rewriting_the_aus_of_the_online_rows_gives_the_offline_rows(clip):
    online, offline = golden_lines(clip, "online")[1:], golden_lines(clip, "offline")[1:]
    assert len(online) == len(offline)
    for before, after in zip(online, offline, strict=True):
        aus = np.array(after.split(",")[-N_AU_COLUMNS:], np.float64)
        assert rewrite_aus(before, aus[:17], aus[17:]) == after


def test_frames_decode_to_the_pixels_of_the_recorded_runs():
    frames = clip_frames("video01")
    source = ImageSequence(frames[0].parent)
    assert source.files == frames
    assert not source.warnings
    for file in frames[::60]:
        np.testing.assert_array_equal(read_image(file), cv2.imread(str(file)))
