"""The reference pipeline, end to end: a colour frame in, everything OpenFace says of the face in it out (spec 00).

Videos go frame by frame through a `VideoSession` (tracking, pose, gaze, dynamic AUs; the AUs of the whole clip after
post-processing at the end), those of several people through a `ManyFacesSession` (many_sessions.py); single images
through `process_image` (every face by itself, static AUs). A pipeline is composed: a locator and a landmarker made of
the bundle's models, and one implementation of every stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy.typing as npt

from auparity.errors import ContractError
from auparity.reference.analysis import Descriptors, ImageAnalyser, VideoAnalyser
from auparity.reference.clip_frames import ClipFrames
from auparity.reference.clip_options import AUMode, ClipOptions, FacesOptions
from auparity.reference.clm import ClmLandmarker
from auparity.reference.contracts import check_image
from auparity.reference.face_aus import CalibratedAUs, FaceAUs, StaticAUs
from auparity.reference.face_results import FaceResults
from auparity.reference.head_pose import Camera, check_camera
from auparity.reference.images import Images
from auparity.reference.landmarks import LandmarkDetector
from auparity.reference.many_faces import SlotTracker
from auparity.reference.many_sessions import ManyFacesSession
from auparity.reference.model_families import landmarker_of, locator_of
from auparity.reference.numerics import PRECISIONS, Numerics, Precision
from auparity.reference.options import PipelineOptions
from auparity.reference.results import FrameResult, OfflineAUs
from auparity.reference.stages import Stages, reference_stages
from auparity.reference.tracking import VideoTracker
from auparity.reference.video_pipeline import StartsVideo, TrackedFrame

if TYPE_CHECKING:
    from auparity.models.bundle import Bundle

Array = npt.NDArray[Any]


class StagedPipeline(StartsVideo):
    """OpenFace 2.2's behaviour with the models of one bundle and one implementation of every stage.

    Parameters
    ----------
    bundle : the models.
    stages : the implementations.
    numerics : the working precision of what lies between the stages.
    options : None for those of OpenFace's command-line programs.

    Raises
    ------
    ContractError : a model of the bundle is of a kind that nobody has registered (`model_families`).
    """

    #: Each clip has a session of its own; nothing is gained by advancing them together.
    advances_together = False

    def __init__(
        self, bundle: Bundle, stages: Stages, numerics: Numerics, options: PipelineOptions | None = None
    ) -> None:
        self.bundle = bundle
        self.stages = stages
        self.numerics = numerics
        self.options = options or PipelineOptions()
        #: Class of the results and implementation of each stage, for the record.
        self.precision = "float32"
        self.variants: dict[str, str] = {}
        self.locator = locator_of(bundle, stages, numerics, self.options.landmarks)
        self.landmarker = landmarker_of(bundle, stages, numerics, self.options.landmarks)
        self.results = FaceResults(self.landmarker, stages, numerics)
        # The analyser has a PDM of its own, in OpenFace's files the same as the tracker's.
        self.fit_video_shape = stages.fit_shape(bundle.video_aus.pdm)
        self.fit_image_shape = stages.fit_shape(bundle.image_aus.pdm)

    @property
    def clm(self) -> ClmLandmarker:
        """The landmarker, of a bundle with constrained local models; ContractError for others."""
        if not isinstance(self.landmarker, ClmLandmarker):
            found = type(self.landmarker).__name__
            raise ContractError("pipeline", "landmarker", "constrained local models", found)
        return self.landmarker

    @property
    def landmark_detector(self) -> LandmarkDetector:
        """What fits the constrained local models; errors as of `clm`."""
        return self.clm.detector

    def start_clip(self, clip: ClipOptions) -> VideoSession:
        """Begin a clip of one face."""
        return VideoSession(self, clip)

    def start_faces(self, clip: FacesOptions) -> ManyFacesSession:
        """Begin a clip of several faces."""
        tracker = SlotTracker(self.locator, self.landmarker, clip.faces)
        of_faces = self._aus_of_faces(clip.aus, clip.online)
        return ManyFacesSession(tracker, of_faces, self.results, self.landmarker.shape, clip.camera)

    def _aus_of_faces(self, mode: AUMode, online: bool) -> FaceAUs:
        if mode == "static":
            analyser = ImageAnalyser(self.bundle.image_aus, self.numerics, self.stages)
            return StaticAUs(analyser, self.fit_image_shape)

        def begin() -> VideoAnalyser:
            return VideoAnalyser(self.bundle.video_aus, self.numerics, self.stages, online=online)

        return CalibratedAUs(begin, self.fit_video_shape)

    def process_image(
        self, image: Array, *, camera: Camera | None = None, multi_view: bool | None = None
    ) -> list[FrameResult]:
        """Every face of a single image, in detection order; empty when there is none. AUs are those of the static
        models.

        Parameters
        ----------
        image : (H, W, 3) uint8 BGR.
        camera : None for OpenFace's guess from the size of the image.
        multi_view : True fits each face from eleven head orientations and keeps the likeliest, False from the frontal
            one alone, as OpenFace's FaceLandmarkImg does by default; None for what the pipeline's options say.
        """
        check_image("pipeline", image)
        multi_view = self.options.multi_view if multi_view is None else multi_view
        camera = check_camera("pipeline", camera) or Camera.for_image(image.shape[1], image.shape[0])
        images = Images([image])
        boxes = self.locator.locate(images)[0].boxes
        if not len(boxes):
            return []
        states = self.landmarker.start(images, [0] * len(boxes), boxes, multi_view=multi_view)
        analyser = ImageAnalyser(self.bundle.image_aus, self.numerics, self.stages)
        aus = analyser.analyse(image, states.landmarks, *self.fit_image_shape(states.landmarks))
        return [
            self.results.of_image(
                state, camera, bool(accepted), face_id=face_id, au_intensity=intensity, au_presence=presence
            )
            for face_id, (state, accepted, intensity, presence) in enumerate(
                zip(states, states.accepted, *aus, strict=True)
            )
        ]

    def process_images(
        self, images: Sequence[Array], *, camera: Camera | None = None, multi_view: bool | None = None
    ) -> list[list[FrameResult]]:
        """`process_image` of each."""
        return [self.process_image(image, camera=camera, multi_view=multi_view) for image in images]

    def close(self) -> None:
        """Nothing is held but memory."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ReferencePipeline(StagedPipeline):
    """The reference pipeline: every stage the reference's own.

    Parameters
    ----------
    bundle : the models.
    precision : "float32" is the reference; "float64" separates rounding from real errors; "perturbed" is float32 with
        its sums in another order, for measuring the platform floor.
    options : None for those of OpenFace's command-line programs.
    """

    def __init__(
        self, bundle: Bundle, *, precision: Precision = "float32", options: PipelineOptions | None = None
    ) -> None:
        if precision not in PRECISIONS:
            raise ContractError("pipeline", "precision", f"one of {sorted(PRECISIONS)}", repr(precision))
        numerics = PRECISIONS[precision]
        super().__init__(bundle, reference_stages(numerics), numerics, options)
        self.precision = precision
        self.variants = {field.name: "reference" for field in fields(Stages)}


class VideoSession:
    """One clip going through the pipeline. Frames must come in order and be of one size.

    `process_frame` does everything with a frame. Its three steps may also be called by themselves, by different threads
    or processes, as long as `track` and `measure` each see the frames in order.
    """

    def __init__(self, pipeline: StagedPipeline, clip: ClipOptions) -> None:
        self._pipeline = pipeline
        self._clip = ClipFrames(clip.camera)
        self._frames = 0
        self.tracker = VideoTracker(pipeline.locator, pipeline.landmarker, pipeline.options.reinit_every, clip.face)
        static = pipeline.options.static_aus
        predictors = pipeline.bundle.image_aus if static else pipeline.bundle.video_aus
        self.analyser = VideoAnalyser(
            predictors, pipeline.numerics, pipeline.stages, online=clip.online, dynamic=not static
        )
        self._fit_shape = pipeline.fit_image_shape if static else pipeline.fit_video_shape

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
        seconds, camera = self._clip.accept(image, timestamp)
        success = self.tracker.track(image)
        self._frames += 1
        return TrackedFrame(self._frames - 1, seconds, self.tracker.state, success, camera)

    def describe(self, image: Array, tracked: TrackedFrame) -> Descriptors:
        """Step 2, which needs the image and no other frame: the descriptors of the AU models."""
        state, g, p = tracked.state, None, None
        # The AUs follow the model's own flag, not what the tracker returned (spec 00, step 4).
        if state.detection_success:
            globals_, locals_ = self._fit_shape(state.landmarks[None])
            g, p = globals_[0], locals_[0]
        return self.analyser.describe(image, state.landmarks, g, p)

    def measure(self, tracked: TrackedFrame, described: Descriptors) -> FrameResult:
        """Step 3, which needs the frames before but no image: medians, AUs, pose and gaze."""
        intensity, presence = self.analyser.take(described, tracked.timestamp)
        return self._pipeline.results.of_frame(
            tracked.state, tracked.camera, tracked.success, index=tracked.index, timestamp=tracked.timestamp,
            au_intensity=intensity, au_presence=presence,
        )  # fmt: skip

    def close(self) -> None:
        """Nothing is held but memory."""

    def finish(self) -> OfflineAUs:
        """AUs of all frames so far after re-prediction, calibration and smoothing (spec 60.7); may be called again."""
        return self.analyser.finish()
