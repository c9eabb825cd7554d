"""The pipeline that people import, and the one factory of pipelines: chosen for the machine, or by name.

A `Pipeline` stands before whatever computes: stage by stage with a variant of each (`processor.py`), or all of it on a
GPU (`cupy/pipeline.py`). What lies between the stages (the tracker's state machine, the order of analysis) is the
reference's own code: a pipeline differs from the reference in nothing but the stages that were exchanged, each of which
the parity suite holds to the reference.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
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
from auparity.errors import AuparityWarning, ContractError
from auparity.reference.clip_options import ClipOptions, FacesOptions
from auparity.reference.head_pose import Camera
from auparity.reference.options import PipelineOptions
from auparity.reference.pipeline import StagedPipeline
from auparity.reference.results import FrameResult, OfflineAUs
from auparity.reference.video_pipeline import ClipSession, FacesSession, StartsVideo, VideoPipeline

if TYPE_CHECKING:
    from auparity.models.bundle import Bundle

Array = npt.NDArray[Any]

#: On command lines: the pipeline that stays on a GPU.
ON_GPU = "gpu"


@dataclass(frozen=True, eq=False)
class ClipResult:
    """A whole clip."""

    frames: list[FrameResult]  #: one a frame, AUs as predicted online
    aus: OfflineAUs  #: intensities (T, 17) and presences (T, 18) after post-processing

    def __repr__(self) -> str:
        tracked = sum(frame.success for frame in self.frames)
        return f"<ClipResult: {len(self.frames)} frames, face tracked in {tracked}; .frames, .aus['AU12'], .timestamps>"

    @property
    def timestamps(self) -> npt.NDArray[np.float64]:
        """(T,) seconds."""
        return np.array([frame.timestamp for frame in self.frames], np.float64)


class Pipeline(StartsVideo):
    """OpenFace 2.2's pipeline on this machine; a context manager that closes what it holds.

    Like the reference's: `start_video` for the frames of a clip, `process_image` for single images. Make it by
    `Pipeline.best` or `Pipeline.from_spec`; `print(pipeline)` says what was chosen and why, `pipeline.variants` is a
    spec that makes it again. One object is for one thread; the models behind it may be shared by many
    (docs/variants.md).

    Parameters
    ----------
    backend : what computes.
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
    ) -> list[FrameResult]:
        """Every face of a single image (H, W, 3) uint8 BGR, in detection order; see `StagedPipeline.process_image`."""
        return self.backend.process_image(image, camera=camera, multi_view=multi_view)

    def process_images(
        self, images: Sequence[Array], *, camera: Camera | None = None, multi_view: bool | None = None
    ) -> list[list[FrameResult]]:
        """Every face of each image; on a GPU those of one size are worked on together."""
        return self.backend.process_images(images, camera=camera, multi_view=multi_view)

    def process_video(self, path: str | os.PathLike[str], *, camera: Camera | None = None) -> ClipResult:
        """Every frame of a video file or a folder of images.

        Parameters
        ----------
        camera : None for OpenFace's guess from the size of the image.

        Raises
        ------
        VideoError : it cannot be read, or not to its end. `auparity extract` keeps what was done until then.

        Warns
        -----
        UserWarning : what reading it found besides, e.g. frames that decoded with errors.
        """
        from auparity.accelerated.parallel.streams import process_frames
        from auparity.media import open_clip

        session = self.start_video(camera=camera)
        with open_clip(Path(path)) as source:
            frames = list(process_frames(session, source))
            for text in [*source.problems, *source.warnings]:
                warnings.warn(f"{source.path}: {text}", AuparityWarning, stacklevel=2)
        result = ClipResult(frames, session.finish())
        session.close()
        return result

    def close(self) -> None:
        """Give back what it holds: memory of a device. Sessions that are open end with it."""
        self.backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __str__(self) -> str:
        return str(self.backend)


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
