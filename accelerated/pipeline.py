"""The pipeline that people import, and the one factory of pipelines: chosen for the machine, or by name.

A `Pipeline` stands before whatever computes: stage by stage with a variant of each (`processor.py`), or all of it on a
GPU (`cupy/pipeline.py`). What lies between the stages (the tracker's state machine, the order of analysis) is the
reference's own code: a pipeline differs from the reference in nothing but the stages that were exchanged, each of which
the parity suite holds to the reference.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, overload

import numpy.typing as npt

from auparity.accelerated.choices import (
    BEST,
    Choice,
    choose_best,
    choose_by_name,
    parse_spec,
    slow_installation,
)
from auparity.accelerated.gpu_models import unserved_reason
from auparity.accelerated.processor import ProcessorPipeline
from auparity.accelerated.registry import REFERENCE
from auparity.accelerated.results import ClipResult, FacesResult, ImageResult
from auparity.errors import AuparityWarning, ContractError
from auparity.reference.clip_options import AUMode, ClipOptions, FacesOptions, options_of
from auparity.reference.face_choice import FaceChoice
from auparity.reference.head_pose import Camera
from auparity.reference.many_faces import Faces
from auparity.reference.options import PipelineOptions
from auparity.reference.pipeline import StagedPipeline
from auparity.reference.video_pipeline import ClipSession, FacesSession, StartsVideo, VideoPipeline

if TYPE_CHECKING:
    from auparity.media import Frame, FrameSource
    from auparity.models.bundle import Bundle

Array = npt.NDArray[Any]

#: Called with the number of frames that are done and of all frames, None where the file does not state it.
ProgressCallback = Callable[[int, int | None], None]

#: Images that a GPU works on together in `iterate_images`.
IMAGES_TOGETHER = 32

#: On command lines: the pipeline that stays on a GPU.
ON_GPU = "gpu"


class Pipeline(StartsVideo):
    """OpenFace 2.2's pipeline on this machine; a context manager that closes what it holds.

    Like the reference's: `start_video` for the frames of a clip, `process_image` for single images. Make it by
    `Pipeline.best` or `Pipeline.from_spec`; `print(pipeline)` says what was chosen and why, `pipeline.variants` is a
    spec that makes it again. Several threads may use one object, each with clips of its own (docs/frames.md).

    Parameters
    ----------
    backend : what computes.

    Examples
    --------
    >>> from auparity import Bundle, Pipeline
    >>> pipeline = Pipeline.from_spec({"action_units": "batched"}, Bundle.embedded())
    >>> pipeline.variants["action_units"], pipeline.variants["fhog"]
    ('batched', 'reference')
    """

    def __init__(self, backend: VideoPipeline) -> None:
        self.backend = backend

    @classmethod
    def of_choices(
        cls, bundle: Bundle, choices: Mapping[str, Choice], options: PipelineOptions | None = None
    ) -> Pipeline:
        """One with a chosen variant of every stage."""
        return cls(ProcessorPipeline(bundle, choices, options))

    @classmethod
    def best(cls, bundle: Bundle | None = None, options: PipelineOptions | None = None) -> Pipeline:
        """The fastest float32 pipeline that runs on this machine: a GPU's where one has proven itself, else the CPU's.

        Parameters
        ----------
        bundle : the models; None for OpenFace's where they are installed, else the embedded ones.
        options : among others, which device to take.

        Raises
        ------
        ContractError : there is no device of that name.
        VariantUnavailable : the device asked for is not there, with the reason.
        """
        bundle, options = bundle or default_bundle(), options or PipelineOptions()
        if options.device != "cuda" and (options.device is not None or gpu_not_chosen() or unserved_reason(bundle)):
            choices = choose_best(bundle, options.device)
            warn_if_slow(choices)
            return cls.of_choices(bundle, choices, options)
        return on_gpu(bundle, options)

    @classmethod
    def from_spec(
        cls,
        spec: Mapping[str, str],
        bundle: Bundle | None = None,
        *,
        default: str = REFERENCE,
        options: PipelineOptions | None = None,
    ) -> Pipeline:
        """Named variants, e.g. ``{"fhog": "numba"}``; the others are `default` where they have it (``"best"`` chooses).

        Raises
        ------
        VariantUnavailable : one that cannot run here, with the reason. Nothing is replaced silently.
        """
        bundle = bundle or default_bundle()
        return cls.of_choices(bundle, choose_by_name(bundle, spec, default), options)

    @property
    def bundle(self) -> Bundle:
        """The models."""
        return self.backend.bundle

    @property
    def options(self) -> PipelineOptions:
        """What it was told besides."""
        return self.backend.options

    @property
    def precision(self) -> str:
        """Class of its results: that of its coarsest variant."""
        return self.backend.precision

    @property
    def variants(self) -> dict[str, str]:
        """Implementation of each stage, for the record, and for `from_spec`."""
        return self.backend.variants

    @property
    def advances_together(self) -> bool:
        """Whether clips that are open in several threads go through it together, frame by frame."""
        return self.backend.advances_together

    @property
    def choices(self) -> dict[str, Choice]:
        """The variant of each stage, and why; ContractError for a pipeline that is not made of variants."""
        return self._of_stages().choices

    @property
    def used(self) -> list[str]:
        """Names of the variants that compute something for these models, sorted."""
        if isinstance(self.backend, ProcessorPipeline):
            return sorted({choice.name for choice in self.backend.choices.values() if choice.needed})
        return sorted(set(self.variants.values()))

    @property
    def staged(self) -> StagedPipeline:
        """Stage by stage, for whoever looks at single stages; ContractError as of `choices`."""
        return self._of_stages().staged

    def _of_stages(self) -> ProcessorPipeline:
        if not isinstance(self.backend, ProcessorPipeline):
            raise ContractError("pipeline", "backend", "a pipeline made of variants", type(self.backend).__name__)
        return self.backend

    def start_clip(self, clip: ClipOptions) -> ClipSession:
        """Begin a clip of one face; see `start_video`."""
        return self.backend.start_clip(clip)

    def start_faces(self, clip: FacesOptions) -> FacesSession:
        """Begin a clip of several faces; see `start_video`."""
        return self.backend.start_faces(clip)

    def process_image(
        self, image: Array, *, camera: Camera | None = None, multi_view: bool | None = None
    ) -> ImageResult:
        """Every face of a single image (H, W, 3) uint8 BGR, in detection order; see `StagedPipeline.process_image`."""
        return ImageResult(self.backend.process_image(image, camera=camera, multi_view=multi_view))

    def process_images(
        self, images: Iterable[Array], *, camera: Camera | None = None, multi_view: bool | None = None
    ) -> list[ImageResult]:
        """Every face of each image; on a GPU those of one size are worked on together, all at once."""
        results = self.backend.process_images(list(images), camera=camera, multi_view=multi_view)
        return [ImageResult(faces) for faces in results]

    def iterate_images(
        self, images: Iterable[Array], *, camera: Camera | None = None, multi_view: bool | None = None,
        batch: int | None = None,
    ) -> Iterator[ImageResult]:  # fmt: skip
        """`process_images` of any number of images, e.g. from a generator: results in order, as soon as they are there.

        Parameters
        ----------
        batch : images that are taken, and worked on, together; None for 1, or `IMAGES_TOGETHER` on a GPU. No more are
            in memory.

        Raises
        ------
        ContractError : `batch` is less than 1; an image has another shape or dtype.
        """
        if batch is not None and batch < 1:
            raise ContractError("pipeline", "batch", "1 or more images", str(batch))
        count = batch or (IMAGES_TOGETHER if self.advances_together else 1)
        return self._in_batches(iter(images), count, camera, multi_view)

    def _in_batches(
        self, images: Iterator[Array], count: int, camera: Camera | None, multi_view: bool | None
    ) -> Iterator[ImageResult]:
        while some := list(islice(images, count)):
            yield from self.process_images(some, camera=camera, multi_view=multi_view)

    @overload
    def process_video(
        self, path: str | os.PathLike[str], *, camera: Camera | None = None, faces: None = None, aus: None = None,
        face: FaceChoice | None = None, progress: ProgressCallback | None = None,
    ) -> ClipResult: ...  # fmt: skip
    @overload
    def process_video(
        self, path: str | os.PathLike[str], *, camera: Camera | None = None, faces: Faces, aus: AUMode | None = None,
        face: None = None, progress: ProgressCallback | None = None,
    ) -> FacesResult: ...  # fmt: skip
    def process_video(
        self, path: str | os.PathLike[str], *, camera: Camera | None = None, faces: Faces | None = None,
        aus: AUMode | None = None, face: FaceChoice | None = None, progress: ProgressCallback | None = None,
    ) -> ClipResult | FacesResult:  # fmt: skip
        """Every frame of a video file or a folder of images.

        Parameters
        ----------
        camera : None for OpenFace's guess from the size of the image.
        faces, aus, face : as of `start_video`; with `faces` the result is a `FacesResult`.
        progress : called after each frame with how many are done, and how many there are as the file states it, None
            if it does not. An error that it raises ends the clip.

        Raises
        ------
        VideoError : it cannot be read, or not to its end. `auparity extract` keeps what was done until then.
        ContractError, VariantUnavailable : as of `start_video`.

        Warns
        -----
        UserWarning : what reading it found besides, e.g. frames that decoded with errors.
        """
        clip = options_of(camera=camera, faces=faces, aus=aus, face=face)
        from auparity.media import open_clip

        with open_clip(Path(path)) as source:
            result = self._process(source, clip, progress, source.n_frames)
            _warn_of(source)
        return result

    @overload
    def process_frames(
        self, frames: Iterable[tuple[Array, float]], *, camera: Camera | None = None, faces: None = None,
        aus: None = None, face: FaceChoice | None = None, progress: ProgressCallback | None = None,
    ) -> ClipResult: ...  # fmt: skip
    @overload
    def process_frames(
        self, frames: Iterable[tuple[Array, float]], *, camera: Camera | None = None, faces: Faces,
        aus: AUMode | None = None, face: None = None, progress: ProgressCallback | None = None,
    ) -> FacesResult: ...  # fmt: skip
    def process_frames(
        self, frames: Iterable[tuple[Array, float]], *, camera: Camera | None = None, faces: Faces | None = None,
        aus: AUMode | None = None, face: FaceChoice | None = None, progress: ProgressCallback | None = None,
    ) -> ClipResult | FacesResult:  # fmt: skip
        """`process_video` of frames from anywhere, e.g. a generator.

        Parameters
        ----------
        frames : an image (H, W, 3) uint8 BGR each, and its time in seconds, not less than that of the one before. They
            are taken in another thread, a few frames ahead; an image must not be changed before its result is there.
        camera, faces, aus, face, progress : as of `process_video`; the number of all frames is not known.

        Raises
        ------
        ContractError : a frame is no such pair; otherwise as of `start_video`. Errors of `frames` are passed on.
        """
        clip = options_of(camera=camera, faces=faces, aus=aus, face=face)
        return self._process(_as_frames(frames), clip, progress, None)

    def _process(
        self, frames: Iterable[Frame], clip: ClipOptions | FacesOptions, progress: ProgressCallback | None,
        count: int | None,
    ) -> ClipResult | FacesResult:  # fmt: skip
        from auparity.accelerated.parallel.streams import results_of

        session: Any = self.start_clip(clip) if isinstance(clip, ClipOptions) else self.start_faces(clip)
        results = []
        with closing(session), closing(results_of(session, frames)) as measured:
            for _, result in measured:
                results.append(result)
                if progress is not None:
                    progress(len(results), count)
            ended = session.finish()
        return ClipResult(results, ended) if isinstance(clip, ClipOptions) else FacesResult(results, ended)

    def close(self) -> None:
        """Give back what it holds: memory of a device. Sessions that are open end with it."""
        self.backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        of = f"{self.bundle.meta.name}: {', '.join(self.used)}"
        return f"<Pipeline of {of}; {self.precision}; print() says what was chosen, and why>"

    def __str__(self) -> str:
        return str(self.backend)


def _as_frames(frames: Iterable[tuple[Array, float]]) -> Iterator[Frame]:
    from auparity.media import Frame

    for pair in frames:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise ContractError("pipeline", "frames", "pairs of an image and its time in seconds", type(pair).__name__)
        yield Frame(*pair)


def _warn_of(source: FrameSource) -> None:
    for text in [*source.problems, *source.warnings]:
        warnings.warn(f"{source.path}: {text}", AuparityWarning, stacklevel=3)


def warn_if_slow(choices: Mapping[str, Choice]) -> None:
    """Warn of a slow installation."""
    if message := slow_installation(choices):
        warnings.warn(message, AuparityWarning, stacklevel=3)


def gpu_not_chosen() -> str | None:
    """Why `Pipeline.best` does not take a GPU here; None when it does."""
    if find_spec("cupy") is None:
        return "CuPy is not installed (extras cuda12 and cuda13)"
    from auparity.accelerated.cupy.proof import not_chosen_reason

    return not_chosen_reason()


def on_gpu(bundle: Bundle, options: PipelineOptions | None = None) -> Pipeline:
    """The pipeline that stays on the GPU, whose sessions advance together (docs/gpu.md).

    Raises
    ------
    VariantUnavailable : there is no GPU that can be used, with the reason.
    """
    from auparity.accelerated.cupy.gpus import device_pipeline

    return Pipeline(device_pipeline(bundle, options))


def open_pipeline(bundle: Bundle, text: str = BEST, options: PipelineOptions | None = None) -> Pipeline:
    """The pipeline that a command line names: ``best``, ``gpu`` (all of it on the GPU), or variants as of `parse_spec`.

    Raises
    ------
    ContractError, VariantUnavailable : as of `parse_spec` and `on_gpu`.
    """
    best_is_gpu = text.strip() == BEST and gpu_not_chosen() is None and unserved_reason(bundle) is None
    if text.strip() == ON_GPU or best_is_gpu:
        return on_gpu(bundle, options)
    choices = parse_spec(bundle, text)
    if text.strip() == BEST:
        warn_if_slow(choices)
    return Pipeline.of_choices(bundle, choices, options)


def default_bundle() -> Bundle:
    """OpenFace's models where they are installed, else the embedded ones, with a warning."""
    from auparity.models.sources import EMBEDDED_NOTICE, is_embedded, open_bundle

    bundle = open_bundle(None)
    if is_embedded(bundle):
        warnings.warn(EMBEDDED_NOTICE, AuparityWarning, stacklevel=3)
    return bundle
