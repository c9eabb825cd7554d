"""What every pipeline and every clip that goes through one does, wherever it computes.

A pipeline begins clips of one face (`ClipSession`) and of several (`FacesSession`). What a frame needs is done in three
steps, so that frames of one clip can be worked on at once: tracking and measuring follow the order of the frames, what
lies between them does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, overload

import numpy.typing as npt

from auparity.reference.clip_options import AUMode, ClipOptions, FacesOptions, options_of
from auparity.reference.face_choice import FaceChoice
from auparity.reference.face_states import FaceState
from auparity.reference.head_pose import Camera
from auparity.reference.many_faces import Faces, FollowedFace
from auparity.reference.options import PipelineOptions
from auparity.reference.results import FrameResult, OfflineAUs
from auparity.reference.stretches import FaceStretch
from auparity.short_repr import short_repr

if TYPE_CHECKING:
    from auparity.models.bundle import Bundle

Array = npt.NDArray[Any]


@short_repr
@dataclass(frozen=True, eq=False)
class TrackedFrame:
    """A frame after tracking: what the rest of its measurements follow from."""

    index: int
    timestamp: float  #: seconds
    state: FaceState
    success: bool  #: what the tracker returned
    camera: Camera


class ClipSession(Protocol):
    """One clip going through a pipeline, frame by frame in order."""

    def process_frame(self, image: Array, timestamp: float) -> FrameResult:
        """Track and measure the next frame (H, W, 3) uint8 BGR, at a time in seconds."""

    def track(self, image: Array, timestamp: float) -> TrackedFrame:
        """Step 1, which needs the frames before; with `describe` and `measure`, what `process_frame` does."""

    def describe(self, image: Array, tracked: TrackedFrame) -> Any:
        """Step 2, which needs the image and no other frame."""

    def measure(self, tracked: TrackedFrame, described: Any) -> FrameResult:
        """Step 3, which needs the frames before but no image."""

    def finish(self) -> OfflineAUs:
        """AUs of all frames so far after post-processing; may be called again."""

    def close(self) -> None:
        """Give back what the session holds; `finish` still works."""


@short_repr
@dataclass(frozen=True, eq=False)
class TrackedFaces:
    """A frame after tracking: what the rest of its measurements follow from."""

    index: int
    timestamp: float  #: seconds
    faces: list[FollowedFace]
    camera: Camera


class FacesSession(Protocol):
    """One clip of several people going through a pipeline, frame by frame in order."""

    def process_frame(self, image: Array, timestamp: float) -> list[FrameResult]:
        """Track and measure the faces of the next frame (H, W, 3) uint8 BGR, at a time in seconds."""

    def track(self, image: Array, timestamp: float) -> TrackedFaces:
        """Step 1, which needs the frames before; with `describe` and `measure`, what `process_frame` does."""

    def describe(self, image: Array, tracked: TrackedFaces) -> list[Any]:
        """Step 2, which needs the image and no other frame."""

    def measure(self, tracked: TrackedFaces, described: list[Any]) -> list[FrameResult]:
        """Step 3, which needs the frames before but no image."""

    def without_face(self, *, index: int, timestamp: float, camera: Camera) -> FrameResult:
        """The result that a clip of one face gives for a frame while no face was found yet; changes nothing."""

    def finish(self) -> list[FaceStretch]:
        """All stretches so far, with their persons and AUs; may be called again."""

    def close(self) -> None:
        """Give back what the session holds; `finish` still works."""


class StartsVideo(Protocol):
    """Begins clips; whoever inherits it says how for each of the two kinds, and is asked with keywords."""

    def start_clip(self, clip: ClipOptions) -> ClipSession:
        """Begin a clip of one face; errors as of `start_video`."""

    def start_faces(self, clip: FacesOptions) -> FacesSession:
        """Begin a clip of several faces; errors as of `start_video`."""

    @overload
    def start_video(
        self, *, camera: Camera | None = None, online: bool = False, faces: None = None, aus: None = None,
        face: FaceChoice | None = None,
    ) -> ClipSession: ...  # fmt: skip
    @overload
    def start_video(
        self, *, camera: Camera | None = None, online: bool = False, faces: Faces, aus: AUMode | None = None,
        face: None = None,
    ) -> FacesSession: ...  # fmt: skip
    def start_video(
        self, *, camera: Camera | None = None, online: bool = False, faces: Faces | None = None,
        aus: AUMode | None = None, face: FaceChoice | None = None,
    ) -> ClipSession | FacesSession:  # fmt: skip
        """Begin a clip.

        Parameters
        ----------
        camera : None for OpenFace's guess from the first frame.
        online : a live camera.
        faces : None for a clip of one person. A number of slots, or "all", for several: the session's results are then
            lists of the faces of a frame (`many_sessions.ManyFacesSession`).
        aus : of several faces: "static" (the default, as OpenFace has them) or "calibrated" for each stretch.
        face : of a clip of one person: which face is followed where there are several; None for the widest, as OpenFace
            does wherever it looks for a face.

        Raises
        ------
        ContractError : `faces`, `aus` or `face` is none of these; `face` together with `faces`.
        VariantUnavailable : a pipeline that does not follow several faces, or cannot choose among them.
        """
        clip = options_of(camera=camera, online=online, faces=faces, aus=aus, face=face)
        return self.start_clip(clip) if isinstance(clip, ClipOptions) else self.start_faces(clip)


class VideoPipeline(StartsVideo, Protocol):
    """What every pipeline does, wherever it computes; a context manager that closes what it holds."""

    @property
    def bundle(self) -> Bundle: ...
    @property
    def options(self) -> PipelineOptions: ...
    @property
    def precision(self) -> str:
        """Class of its results: "float32" for the reference and all that are held to it."""

    @property
    def variants(self) -> dict[str, str]:
        """Implementation of each stage, for the record."""

    @property
    def advances_together(self) -> bool:
        """Whether clips that are open in several threads go through it together, frame by frame."""

    def process_image(
        self, image: Array, *, camera: Camera | None = None, multi_view: bool | None = None
    ) -> list[FrameResult]:
        """Every face of a single image, in detection order; AUs are those of the static models."""

    def process_images(
        self, images: Sequence[Array], *, camera: Camera | None = None, multi_view: bool | None = None
    ) -> Sequence[list[FrameResult]]:
        """`process_image` of each, together where that is faster."""

    def close(self) -> None:
        """Give back what it holds: memory of a device, processes, files."""
