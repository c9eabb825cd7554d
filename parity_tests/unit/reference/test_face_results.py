"""From a face state to a result: pose, 3D landmarks, eyes and gaze (spec 70), with stages that tell what they got."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from auparity.reference.face_results import FaceResults
from auparity.reference.face_states import FaceState, PartState
from auparity.reference.head_pose import Camera
from auparity.reference.numerics import FLOAT32

CAMERA = Camera(500.0, 510.0, 320.0, 240.0)
AUS = {"au_intensity": np.full(17, 0.5), "au_presence": np.full(18, 1.0)}
#: Shapes stand for the models: the pose stage of each knows whose it is by this number.
PARTS = {"right_eye_28": 2, "inner": 3, "left_eye_28": 4}


class Pose:
    """Stage `head_pose` of the shape of a number: 3D landmarks are that number, then the landmarks' own x and y."""

    def __init__(self, number):
        self.number = number

    def pose(self, params_global, params_local, landmarks, camera):
        assert camera is CAMERA
        return np.tile(np.float32([1, 2, 3, 0.1, 0.2, 0.3]), (len(landmarks), 1))

    def landmarks_in_camera(self, params_global, params_local, landmarks, camera):
        assert camera is CAMERA
        assert params_global[0, 0] == params_local[0, 0] == landmarks[0, 0, 0]  # all of one face or part
        return np.concatenate([np.full((*landmarks.shape[:2], 1), self.number, np.float32), landmarks], axis=2)


def part(number):
    return PartState(
        np.full(6, number, np.float32), np.full(4, number, np.float32), np.full((28, 2), number, np.float32)
    )


def results(parts=PARTS, numerics=FLOAT32):
    """A `FaceResults`, and the arguments that its gaze stage was called with."""
    asked = []

    def gaze(*arrays):
        asked.append(arrays)
        return np.full((1, 2, 3), 0.6, np.float32), np.full((1, 2), 0.7, np.float32)

    landmarker = SimpleNamespace(shape=1, part_shapes=parts)
    return FaceResults(landmarker, SimpleNamespace(head_pose=Pose, gaze=lambda: gaze), numerics), asked


def state(parts=PARTS):
    return FaceState(
        params_global=np.full(6, 9, np.float32), params_local=np.full(34, 9, np.float32),
        landmarks=np.full((68, 2), 9, np.float32), detection_success=True, confidence=0.875,
        parts=tuple(part(10 * number) for number in parts.values()),
    )  # fmt: skip


def of_frame(made, success=True, given=None):
    return made.of_frame(given or state(), CAMERA, success, index=7, timestamp=0.25, **AUS)


def of_image(made, success=True, given=None):
    return made.of_image(given or state(), CAMERA, success, face_id=3, **AUS)


def test_the_eyes_are_the_left_and_then_the_right_one_wherever_their_parts_stand():
    made, _ = results()
    assert made.eyes == (2, 0)
    result = of_frame(made)
    np.testing.assert_array_equal(result.eye_landmarks[:, 0], [[40, 40], [20, 20]])
    np.testing.assert_array_equal(result.eye_landmarks_3d[:, 0], [[4, 40, 40], [2, 20, 20]])
    assert result.eye_landmarks.shape == (2, 28, 2)
    assert result.eye_landmarks_3d.shape == (2, 28, 3)


def test_a_model_whose_only_parts_are_the_eyes_has_eyes():
    assert results({"right_eye_28": 2, "left_eye_28": 4})[0].eyes == (1, 0)


def test_gaze_is_asked_with_the_face_both_eyes_and_the_heads_rotation():
    made, asked = results()
    result = of_frame(made)
    ((face, eyes, rotation),) = asked
    assert face.shape == (1, 68, 3)
    np.testing.assert_array_equal(face[0, 0], [1, 9, 9])
    np.testing.assert_array_equal(eyes, result.eye_landmarks_3d[None])
    np.testing.assert_array_equal(rotation, np.float32([[0.1, 0.2, 0.3]]))
    assert (result.gaze == np.float32(0.6)).all()
    assert (result.gaze_angles == np.float32(0.7)).all()


def test_a_result_holds_what_is_known_of_the_face():
    result = of_frame(results()[0])
    assert (result.index, result.face_id, result.timestamp) == (7, 0, 0.25)
    assert (result.success, result.detection_success, result.confidence) == (True, True, 0.875)
    np.testing.assert_array_equal(result.pose, np.float32([1, 2, 3, 0.1, 0.2, 0.3]))
    np.testing.assert_array_equal(result.landmarks_3d[5], [1, 9, 9])
    assert result.au_intensity is AUS["au_intensity"]
    assert result.au_presence is AUS["au_presence"]
    single = of_image(results()[0])
    assert (single.index, single.face_id, single.timestamp) == (0, 3, 0.0)


def test_in_a_clip_gaze_is_zero_where_the_tracker_failed_but_an_images_face_always_has_one():
    made, asked = results()
    failed = of_frame(made, success=False)
    assert not asked
    assert not failed.gaze.any()
    assert not failed.gaze_angles.any()
    assert failed.eye_landmarks.any()  # where the eyes are is said all the same
    assert (of_image(made, success=False).gaze == np.float32(0.6)).all()


@pytest.mark.parametrize("parts", [{}, {"left_eye_28": 4, "inner": 3}])
def test_without_both_eyes_gaze_is_zero_in_clips_and_straight_ahead_in_images(parts):
    made, asked = results(parts)
    assert made.eyes is None
    clip, image = of_frame(made, given=state(parts)), of_image(made, given=state(parts))
    assert not asked
    for array, shape in (
        (clip.eye_landmarks, (2, 28, 2)), (clip.eye_landmarks_3d, (2, 28, 3)), (clip.gaze, (2, 3)),
        (clip.gaze_angles, (2,)),
    ):  # fmt: skip
        assert array.shape == shape
        assert array.dtype == np.float32
        assert not array.any()
    np.testing.assert_array_equal(image.gaze, [[0, 0, -1], [0, 0, -1]])
    assert image.gaze.dtype == np.float32
    assert not image.gaze_angles.any()
