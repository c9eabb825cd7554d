"""The reference pipeline, end to end: a colour frame in, everything OpenFace says of the face in it out (spec 00).

Videos go frame by frame through a `VideoSession` (tracking, pose, gaze, dynamic AUs; the AUs of the whole clip after
post-processing at the end); photographs through `ReferencePipeline.process_image` (every face by itself, static AUs).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError
from auparity.reference.analysis import Descriptors, ImageAnalyser, VideoAnalyser
from auparity.reference.contracts import check_image, check_timestamp
from auparity.reference.detection import select_face
from auparity.reference.head_pose import Camera, check_camera
from auparity.reference.hypotheses import detect_in_box
from auparity.reference.landmarks import DetectorParameters, FaceState, LandmarkDetector
from auparity.reference.numerics import PRECISIONS, Numerics, Precision
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS, FrameResult, OfflineAUs
from auparity.reference.stages import Stages, reference_stages
from auparity.reference.tracking import VideoTracker

if TYPE_CHECKING:
    from auparity.models.bundle import Bundle

Array = npt.NDArray[Any]

#: The part models whose landmarks are the eyes of the output, in output order (spec 70.6).
EYE_PARTS = ("left_eye_28", "right_eye_28")
#: Gaze of both eyes in photographs when the model has no eyes; videos say 0 then (spec 70.5, 00).
GAZE_WITHOUT_EYES = (0.0, 0.0, -1.0)


class StagedPipeline:
    """OpenFace 2.2's behaviour with the models of one bundle and one implementation of every stage.

    Parameters
    ----------
    bundle : the models.
    stages : the implementations.
    numerics : the working precision of what lies between the stages.
    parameters : settings of landmark detection; None for those of OpenFace's command-line programs.
    """

    def __init__(
        self, bundle: Bundle, stages: Stages, numerics: Numerics, parameters: DetectorParameters | None = None
    ) -> None:
        self.bundle = bundle
        self.stages = stages
        self.numerics = numerics
        #: Class of the results and implementation of each stage, for the record.
        self.precision = "float32"
        self.variants: dict[str, str] = {}
        self.to_gray = stages.grayscale()
        self.detect_faces = stages.detection(bundle.detector)
        self.landmark_detector = LandmarkDetector(bundle.face, parameters, numerics, stages)
        self.head_pose = stages.head_pose(bundle.face.main.pdm)
        self.part_poses = tuple(stages.head_pose(part.model.pdm) for part in bundle.face.parts)
        self.gaze = stages.gaze()
        # The analyser has a PDM of its own, in OpenFace's files the same as the tracker's.
        self.fit_video_shape = stages.fit_shape(bundle.video_aus.pdm)
        self.fit_image_shape = stages.fit_shape(bundle.image_aus.pdm)
        names = [part.name for part in bundle.face.parts]
        self.eyes = tuple(names.index(name) for name in EYE_PARTS) if set(EYE_PARTS) <= set(names) else None

    def start_video(self, *, camera: Camera | None = None, online: bool = False) -> VideoSession:
        """Begin a clip. `camera`: None for OpenFace's guess from the first frame; `online`: a live camera."""
        return VideoSession(self, camera, online)

    def process_image(
        self, image: Array, *, camera: Camera | None = None, multi_view: bool | None = None
    ) -> list[FrameResult]:
        """Every face of a photograph, in detection order; empty when there is none. AUs are those of the static models.

        Parameters
        ----------
        image : (H, W, 3) uint8 BGR.
        camera : None for OpenFace's guess from the size of the image.
        multi_view : True fits each face from eleven head orientations and keeps the likeliest, False from the frontal
            one alone, as OpenFace's FaceLandmarkImg does by default; None for the setting of the pipeline's parameters,
            which is True unless it was changed.
        """
        check_image("pipeline", image)
        multi_view = self.landmark_detector.parameters.multi_view if multi_view is None else multi_view
        camera = check_camera("pipeline", camera) or Camera.for_image(image.shape[1], image.shape[0])
        gray = self.to_gray(image)
        detections = self.detect_faces(image)
        analyser = ImageAnalyser(self.bundle.image_aus, self.numerics, self.stages)
        results, state = [], self.landmark_detector.initial_state()
        for face_id, box in enumerate(detections.boxes):
            success, state = detect_in_box(self.landmark_detector, gray, box, state, multi_view=multi_view)
            g, p = self.fit_image_shape(state.landmarks[None])
            intensity, presence = analyser.analyse(image, state.landmarks, g[0], p[0])
            result = self.describe(
                state, camera, success, with_gaze=True, index=0, face_id=face_id, timestamp=0.0,
                au_intensity=intensity, au_presence=presence,
            )  # fmt: skip
            results.append(self.without_eyes(result))
        return results

    def without_eyes(self, result: FrameResult) -> FrameResult:
        """A result of a photograph as OpenFace gives it where the model has no eyes; as it is where there are some."""
        if self.eyes is not None:
            return result
        return replace(result, gaze=np.tile(self.numerics.cast(GAZE_WITHOUT_EYES), (2, 1)))

    def find_face(self, image: Array) -> Array | None:
        """The box (4,) of the widest face, or None (spec 20.10)."""
        face = select_face(self.detect_faces(image))
        return None if face is None else face.box

    def describe(
        self, state: FaceState, camera: Camera, success: bool, *, with_gaze: bool, index: int, face_id: int,
        timestamp: float, au_intensity: Array, au_presence: Array,
    ) -> FrameResult:  # fmt: skip
        """Pose, 3D landmarks and gaze of a state, with everything else that a result holds (spec 70)."""
        dtype = self.numerics.dtype
        face = (state.params_global[None], state.params_local[None], state.landmarks[None])
        pose = self.head_pose.pose(*face, camera)
        face_3d = self.head_pose.landmarks_in_camera(*face, camera)
        eyes, eyes_3d = np.zeros((2, 28, 2), dtype), np.zeros((2, 28, 3), dtype)
        gaze, angles = np.zeros((1, 2, 3), dtype), np.zeros((1, 2), dtype)
        if self.eyes is not None:
            for k, part in enumerate(self.eyes):
                found = state.parts[part]
                eyes[k] = found.landmarks
                arrays = (found.params_global[None], found.params_local[None], found.landmarks[None])
                eyes_3d[k] = self.part_poses[part].landmarks_in_camera(*arrays, camera)[0]
            if with_gaze:
                gaze, angles = self.gaze(face_3d, eyes_3d[None], pose[:, 3:])
        return FrameResult(
            index=index, face_id=face_id, timestamp=timestamp, success=success,
            detection_success=state.detection_success, confidence=state.confidence, landmarks=state.landmarks,
            landmarks_3d=face_3d[0], params_global=state.params_global, params_local=state.params_local, pose=pose[0],
            eye_landmarks=eyes, eye_landmarks_3d=eyes_3d, gaze=gaze[0], gaze_angles=angles[0],
            au_intensity=au_intensity, au_presence=au_presence,
        )  # fmt: skip


class ReferencePipeline(StagedPipeline):
    """The reference pipeline: every stage the reference's own.

    Parameters
    ----------
    bundle : the models.
    precision : "float32" is the reference; "float64" tells rounding from error; "perturbed" is float32 with its sums in
        another order, for measuring the platform floor.
    parameters : settings of landmark detection; None for those of OpenFace's command-line programs.
    """

    def __init__(
        self, bundle: Bundle, *, precision: Precision = "float32", parameters: DetectorParameters | None = None
    ) -> None:
        if precision not in PRECISIONS:
            raise ContractError("pipeline", "precision", f"one of {sorted(PRECISIONS)}", repr(precision))
        numerics = PRECISIONS[precision]
        super().__init__(bundle, reference_stages(numerics), numerics, parameters)
        self.precision = precision
        self.variants = {field.name: "reference" for field in fields(Stages)}


@dataclass(frozen=True, eq=False)
class TrackedFrame:
    """A frame after tracking: what the rest of its measurements follow from."""

    index: int
    timestamp: float  #: seconds
    state: FaceState
    success: bool  #: what the tracker returned
    camera: Camera


class VideoSession:
    """One clip going through the pipeline. Frames must come in order and be of one size.

    `process_frame` does everything with a frame. Its three steps may also be called by themselves, by different threads
    or processes, as long as `track` and `measure` each see the frames in order.
    """

    def __init__(self, pipeline: StagedPipeline, camera: Camera | None, online: bool) -> None:
        self._pipeline = pipeline
        self._camera = check_camera("pipeline", camera)
        self._shape: tuple[int, ...] | None = None
        self._seconds: float | None = None  # time stamp of the frame before
        self._frames = 0
        self.tracker = VideoTracker(pipeline.landmark_detector, pipeline.find_face)
        self.analyser = VideoAnalyser(pipeline.bundle.video_aus, pipeline.numerics, pipeline.stages, online=online)

    def process_frame(self, image: Array, timestamp: float) -> FrameResult:
        """Track and measure the next frame (spec 00).

        Parameters
        ----------
        image : (H, W, 3) uint8 BGR.
        timestamp : seconds, not less than that of the frame before.

        Raises
        ------
        ContractError : wrong shape or dtype, or another size than the frames before; a time stamp that is no finite
            number or goes back.
        """
        tracked = self.track(image, timestamp)
        return self.measure(tracked, self.describe(image, tracked))

    def track(self, image: Array, timestamp: float) -> TrackedFrame:
        """Step 1, which needs the frames before: follow the face; arguments and errors of `process_frame`."""
        check_image("pipeline", image)
        self._shape = self._shape or image.shape
        if image.shape != self._shape:
            raise ContractError("pipeline", "image", f"the size of the first frame, {self._shape}", str(image.shape))
        self._seconds = check_timestamp("pipeline", timestamp, self._seconds)
        pipeline = self._pipeline
        camera = self._camera = self._camera or Camera.for_image(image.shape[1], image.shape[0])
        success = self.tracker.track(image, pipeline.to_gray(image))
        self._frames += 1
        return TrackedFrame(self._frames - 1, self._seconds, self.tracker.state, success, camera)

    def describe(self, image: Array, tracked: TrackedFrame) -> Descriptors:
        """Step 2, which needs the image and no other frame: the descriptors of the AU models."""
        state, g, p = tracked.state, None, None
        # The AUs follow the model's own flag, not what the tracker returned (spec 00, step 4).
        if state.detection_success:
            globals_, locals_ = self._pipeline.fit_video_shape(state.landmarks[None])
            g, p = globals_[0], locals_[0]
        return self.analyser.describe(image, state.landmarks, g, p)

    def measure(self, tracked: TrackedFrame, described: Descriptors) -> FrameResult:
        """Step 3, which needs the frames before but no image: medians, AUs, pose and gaze."""
        intensity, presence = self.analyser.take(described, tracked.timestamp)
        return self._pipeline.describe(
            tracked.state, tracked.camera, tracked.success, with_gaze=tracked.success, index=tracked.index, face_id=0,
            timestamp=tracked.timestamp, au_intensity=intensity, au_presence=presence,
        )  # fmt: skip

    def finish(self) -> OfflineAUs:
        """AUs of all frames so far after re-prediction, calibration and smoothing (spec 60.7); may be called again."""
        return self.analyser.finish()


__all__ = [
    "INTENSITY_AUS",
    "PRESENCE_AUS",
    "Camera",
    "FrameResult",
    "OfflineAUs",
    "ReferencePipeline",
    "StagedPipeline",
    "TrackedFrame",
    "VideoSession",
]
