"""2D and 3D landmarks of the face and of the eyes on recorded states: the recorded ones, and the columns of the
official CSV (spec 30.2, 70.3, 70.6, 80.1). Pose and gaze themselves: test_stage_fidelity.py.
"""

from __future__ import annotations

import numpy as np
import pytest

from auparity.parity_tests.fidelity import recordings as golden_data
from auparity.reference.head_pose import Camera, head_pose, landmarks_in_camera
from auparity.reference.landmarks import LandmarkDetector

pytestmark = pytest.mark.golden

CLIPS = ("video01", "default", "lost", "hard")
#: Half of the last printed decimal, and an ulp of a float32 coordinate of 512 to 1024 mm on the border of two decimals.
PRINTED = 0.05 + 6.2e-5


@pytest.fixture(scope="module")
def models(openface_bundle):
    """Shape models of the face, the left eye and the right eye."""
    detector = LandmarkDetector(openface_bundle.face)
    names = [part.name for part in detector.part_models]
    eyes = [detector.parts[names.index(name)].shape for name in ("left_eye_28", "right_eye_28")]
    return detector.main.shape, eyes


def columns(clip, prefix, axes, count):
    """(rows, count, len(axes)) of the CSV columns `prefix` + axis + number."""
    table = golden_data.load_csv(clip, "online")
    return np.stack([table.columns(*(f"{prefix}{axis}_{k}" for k in range(count))) for axis in axes], axis=-1)


def camera_of(clip):
    height, width = golden_data.load_frame(clip, 0).shape[:2]
    return Camera.for_image(width, height)


@pytest.mark.parametrize("clip", CLIPS)
def test_landmarks_follow_from_their_parameters(models, clip):
    face, eyes = models
    state = golden_data.load_state(clip)
    ok = state.returned
    np.testing.assert_array_equal(face.shape_2d(state.pglobal[ok], state.plocal[ok]), state.landmarks[ok])
    for k, eye in enumerate(eyes):
        found = eye.shape_2d(state.eye_pglobal[ok, k], state.eye_plocal[ok, k])
        np.testing.assert_array_equal(found, state.eye_landmarks[ok, k])


@pytest.mark.parametrize("clip", CLIPS)
def test_3d_landmarks_of_the_face_are_the_printed_ones(models, clip):
    state = golden_data.load_state(clip)
    ok = state.returned
    found = landmarks_in_camera(models[0], state.pglobal[ok], state.plocal[ok], state.landmarks[ok], camera_of(clip))
    np.testing.assert_allclose(found, columns(clip, "", "XYZ", 68)[ok], rtol=0, atol=PRINTED)


@pytest.mark.parametrize("clip", CLIPS)
def test_eye_landmarks_in_both_spaces_are_the_printed_ones_left_eye_first(models, clip):
    state, camera = golden_data.load_state(clip), camera_of(clip)
    ok = state.returned
    printed_2d, printed_3d = columns(clip, "eye_lmk_", "xy", 56)[ok], columns(clip, "eye_lmk_", "XYZ", 56)[ok]
    for k, eye in enumerate(models[1]):
        landmarks, rows = state.eye_landmarks[ok, k], slice(28 * k, 28 * k + 28)
        found = landmarks_in_camera(eye, state.eye_pglobal[ok, k], state.eye_plocal[ok, k], landmarks, camera)
        np.testing.assert_allclose(landmarks, printed_2d[:, rows], rtol=0, atol=PRINTED)
        np.testing.assert_allclose(found, printed_3d[:, rows], rtol=0, atol=PRINTED)


@pytest.mark.parametrize("clip", CLIPS)
def test_frames_that_failed_have_no_gaze_in_the_recording_either(clip):
    state = golden_data.load_state(clip)
    failed = ~state.returned
    assert not state.gaze[failed].any()
    assert not state.gaze_angles[failed].any()


def test_the_pose_before_a_face_was_ever_found_has_the_recorded_direction(models):
    """All landmarks lie on one point: the pose is at infinity, and the system of its last steps is singular."""
    state = golden_data.load_state("hard")
    assert not state.returned[0]
    pose = head_pose(models[0], state.pglobal[:1], state.plocal[:1], state.landmarks[:1], camera_of("hard"))
    # The place where an iteration that diverges stops depends on the last rounding.
    np.testing.assert_allclose(pose[0, 3:], state.pose[0, 3:], rtol=0, atol=2e-3)
