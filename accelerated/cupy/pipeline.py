"""The whole pipeline on a GPU: decoded frames go up, results come down, and nothing else crosses in between.

Many videos advance together, of one face or of several each. A session is used like any other pipeline's, from as many
threads as there are videos: frames that wait at the same moment go into one batch, and because no result depends on
what else is in a batch it does not matter which ones meet. `advance` does the same from one thread. Head pose and gaze,
a few small numbers a face, are computed on the host from what came down, by the fastest variants there. Nothing here
has run on a GPU yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.analysis import StaticBatch, static_aus
from auparity.accelerated.cupy.device import Device, shared_device
from auparity.accelerated.cupy.grayscale import to_gray
from auparity.accelerated.cupy.landmarker import Frames
from auparity.accelerated.cupy.many_faces import AUsOfFaces, CalibratedFaces, ManyFaces, StaticFaces
from auparity.accelerated.cupy.models import DeviceModels
from auparity.accelerated.cupy.one_face import OneFace
from auparity.accelerated.cupy.readback import read_back
from auparity.accelerated.cupy.sessions import BatchSession, DeviceFacesSession, DeviceSession, R, Streams
from auparity.accelerated.cupy.together import advance, stream
from auparity.reference.clip_options import AUMode, ClipOptions, FacesOptions
from auparity.reference.contracts import check_image
from auparity.reference.detection import Detections
from auparity.reference.head_pose import Camera, check_camera
from auparity.reference.options import PipelineOptions
from auparity.reference.results import FrameResult
from auparity.reference.video_pipeline import StartsVideo

if TYPE_CHECKING:
    from auparity.models.bundle import Bundle

Array = npt.NDArray[Any]

TECHNOLOGY = "cupy"
#: The AUs of the faces of a clip of several.
AUS: dict[AUMode, Callable[[DeviceModels, int], AUsOfFaces]] = {"static": StaticFaces, "calibrated": CalibratedFaces}
#: Stages whose work is done on the device; the others follow on the host.
ON_DEVICE = (
    "grayscale", "detection", "face_network", "pdm", "point_network", "patch_experts", "fitting", "validation",
    "fit_shape", "alignment", "fhog", "geometry", "running_median", "action_units",
)  # fmt: skip
#: Faces of photographs whose hypotheses are fitted together: eleven each, and response maps of all landmarks of each.
FACES_AT_ONCE = 24


class DevicePipeline(StartsVideo):
    """OpenFace 2.2's pipeline on one device; a `VideoPipeline`.

    `start_video` may be called for many videos at once, `process_images` takes many images.

    Parameters
    ----------
    bundle : the models.
    device : None for the shared first GPU.
    options : None for those of OpenFace's command-line programs; `streams` are the videos that are expected to be open
        together, more make room for themselves.

    Raises
    ------
    VariantUnavailable : there is no GPU that can be used, or it has nothing for these models, with the reason.
    DeviceError : its memory does not suffice.
    """

    #: Sessions of several threads meet in one batch.
    advances_together = True
    precision = "float32"

    def __init__(self, bundle: Bundle, device: Device | None = None, options: PipelineOptions | None = None) -> None:
        self.device = device or shared_device()
        self.models = DeviceModels(bundle, self.device, options)
        self.variants = {
            stage: TECHNOLOGY if stage in ON_DEVICE else name for stage, name in self.models.host.variants.items()
        }
        self._single_images: _SingleImages | None = None
        self.streams = Streams(self.models, self.options.streams, OneFace)  #: of clips of one face
        #: Of clips of several, by the mode of their AUs.
        self.faces: dict[AUMode, Streams[ManyFaces]] = {
            mode: Streams(self.models, self.options.streams, partial(ManyFaces, aus=kind)) for mode, kind in AUS.items()
        }

    @property
    def bundle(self) -> Bundle:
        return self.models.bundle

    @property
    def options(self) -> PipelineOptions:
        return self.models.options

    def start_clip(self, clip: ClipOptions, ended: Callable[[], None] = lambda: None) -> DeviceSession:
        """Begin a clip of one face; any number may be open, each used by one thread at a time.

        `ended` is called once, when the session ends.
        """
        return DeviceSession(self.streams, clip, ended)

    def start_faces(self, clip: FacesOptions, ended: Callable[[], None] = lambda: None) -> DeviceFacesSession:
        """Begin a clip of several faces (spec 85), beside any number of other clips; `ended` as of `start_clip`."""
        return DeviceFacesSession(self.faces[clip.aus], clip, ended)

    def advance(
        self, sessions: Sequence[BatchSession[Any, R]], images: Sequence[Array], timestamps: Sequence[float]
    ) -> list[R]:
        """The next frame of each of several clips, in one batch for each size of frames and kind of clip.

        Errors are those of `process_frame`.
        """
        return advance(sessions, images, timestamps)

    def stream(
        self, sessions: Sequence[BatchSession[Any, R]], rounds: Iterable[tuple[Sequence[Array], Sequence[float]]]
    ) -> Iterator[list[R]]:
        """Frame after frame of several clips: `advance` for every round, with everything that can overlapped.

        While the device works on one round, the next one's frames go up and the results of the one before are made.

        Parameters
        ----------
        rounds : images and timestamps, one of each session.

        Raises
        ------
        ContractError : as of `advance`; the sessions do not fit into one batch (`streams` of the pipeline), or are of
            different kinds (one face, several with static AUs, several with calibrated ones).
        """
        return stream(sessions, rounds)

    def process_image(
        self, image: Array, *, camera: Camera | None = None, multi_view: bool | None = None
    ) -> list[FrameResult]:
        """Every face of a single image, as `StagedPipeline.process_image`."""
        return self.process_images([image], camera=camera, multi_view=multi_view)[0]

    def process_images(
        self, images: Sequence[Array], *, camera: Camera | None = None, multi_view: bool | None = None
    ) -> list[list[FrameResult]]:
        """Every face of many images (H, W, 3) uint8 BGR; those of one size are worked on together.

        `camera` and `multi_view` are those of `StagedPipeline.process_image`.

        Raises
        ------
        ContractError : wrong shape or dtype.
        DeviceError : too many at once for the device's memory.
        """
        for image in images:
            check_image("pipeline", image)
        multi_view = self.options.multi_view if multi_view is None else multi_view
        results: list[list[FrameResult]] = [[] for _ in images]
        with self.models.lock, self.device.active():
            self._single_images = self._single_images or _SingleImages(self.models)
            for shape in dict.fromkeys(image.shape for image in images):
                group = [k for k, image in enumerate(images) if image.shape == shape]
                stack = np.stack([images[k] for k in group])
                for k, faces in zip(group, self._single_images.measure(stack, camera, multi_view), strict=True):
                    results[k] = faces
        return results

    def close(self) -> None:
        """Let go of the device's memory; sessions that are open end with their next frame."""
        self.streams.close()
        for streams in self.faces.values():
            streams.close()
        self._single_images = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __str__(self) -> str:
        head = f"pipeline on bundle {self.bundle.meta.name} {self.bundle.short_hash}, on {self.device.name}"
        host = (f"  {choice}" for stage, choice in self.models.host.choices.items() if stage not in ON_DEVICE)
        return "\n".join([head, f"  {TECHNOLOGY}: {', '.join(ON_DEVICE)}", *host])


@dataclass(frozen=True)
class _Face:
    """A face of a photograph: which image, which of its faces."""

    image: int
    face_id: int
    box: Array


class _SingleImages:
    """Images of one size at a time: static AU models, no state between images."""

    def __init__(self, models: DeviceModels) -> None:
        self._shared, self._device = models, models.device
        self._aus = StaticBatch(self._device, models.bundle.image_aus)

    def measure(self, stack: Array, camera: Camera | None, multi_view: bool) -> list[list[FrameResult]]:
        """Results by image of (S, H, W, 3) uint8."""
        camera = check_camera("pipeline", camera) or Camera.for_image(stack.shape[2], stack.shape[1])
        images = self._device.upload(stack)
        gray = to_gray(self._device, images)
        found: list[Detections] = self._shared.locator.detect(images)
        results: list[list[FrameResult]] = [[] for _ in found]
        # A box without width is no face for the C++ program, which then goes on with the face before it: a state
        # that batches do not have. No detector was seen to give one; such a photograph is measured on the host.
        odd = [k for k, one in enumerate(found) if (one.boxes[:, 2] <= 0).any()]
        for k in odd:
            (results[k],) = self._shared.host.process_images([stack[k]], camera=camera, multi_view=multi_view)
        faces = [_Face(k, n, b) for k, one in enumerate(found) if k not in odd for n, b in enumerate(one.boxes)]
        for first in range(0, len(faces), FACES_AT_ONCE):
            some = faces[first : first + FACES_AT_ONCE]
            for face, result in zip(some, self._some(images, gray, some, camera, multi_view), strict=True):
                results[face.image].append(result)
        return results

    def _some(
        self, images: Any, gray: Any, faces: Sequence[_Face], camera: Camera, multi_view: bool
    ) -> list[FrameResult]:
        shared, device = self._shared, self._device
        frames = [face.image for face in faces]
        boxes = np.stack([face.box for face in faces])
        returned, states = shared.landmarker.start(Frames(images, gray), frames, boxes, None, multi_view=multi_view)
        whole = device.upload(np.ones(len(faces), np.uint8))
        predicted = self._aus(images, device.upload(np.array(frames, np.int32)), states.landmarks, whole)
        read, values = read_back(device, states, shared.results.eyes, predicted)
        results = []
        for k, (face, state) in enumerate(zip(faces, read, strict=True)):
            intensity, presence = static_aus(values[k])
            result = shared.results.of_image(
                state, camera, bool(returned[k]), face_id=face.face_id, au_intensity=intensity, au_presence=presence
            )
            results.append(result)
        return results
