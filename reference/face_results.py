"""Pose, 3D landmarks and gaze of a face state, with everything else that a result holds (spec 70).

It knows faces by what every landmarker gives: parameters of a shape model, landmarks, and the eyes among the parts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.reference.face_states import FaceState
from auparity.reference.head_pose import Camera
from auparity.reference.landmarker import Landmarker
from auparity.reference.numerics import Numerics
from auparity.reference.results import FrameResult
from auparity.reference.stages import Stages

Array = npt.NDArray[Any]

#: The parts whose landmarks are the eyes of the output, in output order (spec 70.6).
EYE_PARTS = ("left_eye_28", "right_eye_28")
#: Gaze of both eyes in single images when the model has no eyes; videos say 0 then (spec 70.5, 00).
GAZE_WITHOUT_EYES = (0.0, 0.0, -1.0)


class FaceResults:
    """Makes results of face states.

    Parameters
    ----------
    landmarker : whose states they are.
    stages, numerics : implementations, and the working precision.
    """

    def __init__(self, landmarker: Landmarker, stages: Stages, numerics: Numerics) -> None:
        self._numerics = numerics
        self._pose = stages.head_pose(landmarker.shape)
        self._part_poses = tuple(stages.head_pose(shape) for shape in landmarker.part_shapes.values())
        self._gaze = stages.gaze()
        names = list(landmarker.part_shapes)
        #: Numbers of the parts that are the eyes; None where the landmarker has no eyes.
        self.eyes = tuple(names.index(name) for name in EYE_PARTS) if set(EYE_PARTS) <= set(names) else None

    def of_frame(
        self, state: FaceState, camera: Camera, success: bool, *, index: int, timestamp: float, au_intensity: Array,
        au_presence: Array, face_id: int = 0,
    ) -> FrameResult:  # fmt: skip
        """The result of a face in a frame of a clip; gaze is 0 where the tracker did not succeed."""
        return self._result(
            state, camera, success, with_gaze=success, index=index, face_id=face_id, timestamp=timestamp,
            au_intensity=au_intensity, au_presence=au_presence,
        )  # fmt: skip

    def of_image(
        self, state: FaceState, camera: Camera, success: bool, *, face_id: int, au_intensity: Array, au_presence: Array
    ) -> FrameResult:
        """The result of one face of a single image."""
        result = self._result(
            state, camera, success, with_gaze=True, index=0, face_id=face_id, timestamp=0.0,
            au_intensity=au_intensity, au_presence=au_presence,
        )  # fmt: skip
        if self.eyes is not None:
            return result
        return replace(result, gaze=np.tile(self._numerics.cast(GAZE_WITHOUT_EYES), (2, 1)))

    def _result(
        self, state: FaceState, camera: Camera, success: bool, *, with_gaze: bool, index: int, face_id: int,
        timestamp: float, au_intensity: Array, au_presence: Array,
    ) -> FrameResult:  # fmt: skip
        dtype = self._numerics.dtype
        face = (state.params_global[None], state.params_local[None], state.landmarks[None])
        pose = self._pose.pose(*face, camera)
        face_3d = self._pose.landmarks_in_camera(*face, camera)
        eyes, eyes_3d = np.zeros((2, 28, 2), dtype), np.zeros((2, 28, 3), dtype)
        gaze, angles = np.zeros((1, 2, 3), dtype), np.zeros((1, 2), dtype)
        if self.eyes is not None:
            for k, part in enumerate(self.eyes):
                eye = state.parts[part]
                eyes[k] = eye.landmarks
                arrays = (eye.params_global[None], eye.params_local[None], eye.landmarks[None])
                eyes_3d[k] = self._part_poses[part].landmarks_in_camera(*arrays, camera)[0]
            if with_gaze:
                gaze, angles = self._gaze(face_3d, eyes_3d[None], pose[:, 3:])
        return FrameResult(
            index=index, face_id=face_id, timestamp=timestamp, success=success,
            detection_success=state.detection_success, confidence=state.confidence, landmarks=state.landmarks,
            landmarks_3d=face_3d[0], params_global=state.params_global, params_local=state.params_local, pose=pose[0],
            eye_landmarks=eyes, eye_landmarks_3d=eyes_3d, gaze=gaze[0], gaze_angles=angles[0],
            au_intensity=au_intensity, au_presence=au_presence,
        )  # fmt: skip
