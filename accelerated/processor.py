"""The pipeline that computes stage by stage: one variant a stage, on processors and, stage by stage, on devices.

It is the reference's own `StagedPipeline` with other stages, and with one BLAS thread while it computes
(one_thread.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy.typing as npt

from auparity.accelerated.choices import Choice, coarsest, stages_of
from auparity.accelerated.one_thread import OneThreadFacesSession, OneThreadSession, find_libraries, one_blas_thread
from auparity.accelerated.parallel.side_by_side import Threads
from auparity.accelerated.registry import STAGES
from auparity.errors import ContractError
from auparity.reference.clip_options import ClipOptions, FacesOptions
from auparity.reference.clm import ClmLandmarker
from auparity.reference.head_pose import Camera
from auparity.reference.numerics import FLOAT32
from auparity.reference.options import PipelineOptions
from auparity.reference.pipeline import StagedPipeline
from auparity.reference.results import FrameResult
from auparity.reference.video_pipeline import StartsVideo

if TYPE_CHECKING:
    from auparity.models.bundle import Bundle

Array = npt.NDArray[Any]

#: The stages of a fit; where all of them are kernels that release the interpreter lock, fits are done in threads.
STAGES_OF_A_FIT = ("pdm", "patch_experts", "fitting", "fit_shape", "validation")
RELEASES_THE_LOCK = "numba"


class ProcessorPipeline(StartsVideo):
    """OpenFace 2.2's pipeline with a chosen variant of every stage; a `VideoPipeline`.

    Parameters
    ----------
    bundle : the models.
    choices : one for every stage.
    options : None for those of OpenFace's command-line programs.
    """

    #: Each clip has a session of its own; nothing is gained by advancing them together.
    advances_together = False

    def __init__(self, bundle: Bundle, choices: Mapping[str, Choice], options: PipelineOptions | None = None) -> None:
        missing = [stage for stage in STAGES if stage not in choices]
        if missing:
            raise ContractError("pipeline", "choices", "one for every stage", f"none for {', '.join(missing)}")
        self.choices = {stage: choices[stage] for stage in STAGES}
        find_libraries()  # before, for what the models are packed with, and after, for what the stages have loaded
        with one_blas_thread():
            self.staged = StagedPipeline(bundle, stages_of(self.choices), FLOAT32, options)
        landmarker = self.staged.landmarker
        kernels = all(self.choices[stage].name.split("-")[0] == RELEASES_THE_LOCK for stage in STAGES_OF_A_FIT)
        if kernels and isinstance(landmarker, ClmLandmarker):
            landmarker.detector.side_by_side = Threads()
        find_libraries()
        self.variants = {stage: choice.name for stage, choice in self.choices.items()}
        self.precision = coarsest(self.choices)

    @property
    def bundle(self) -> Bundle:
        return self.staged.bundle

    @property
    def options(self) -> PipelineOptions:
        return self.staged.options

    def start_clip(self, clip: ClipOptions) -> OneThreadSession:
        """Begin a clip of one face; see `VideoPipeline.start_video`."""
        return OneThreadSession(self.staged.start_clip(clip))

    def start_faces(self, clip: FacesOptions) -> OneThreadFacesSession:
        """Begin a clip of several faces; see `VideoPipeline.start_video`."""
        with one_blas_thread():
            return OneThreadFacesSession(self.staged.start_faces(clip))

    def process_image(
        self, image: Array, *, camera: Camera | None = None, multi_view: bool | None = None
    ) -> list[FrameResult]:
        """Every face of a single image; see `StagedPipeline.process_image`."""
        with one_blas_thread():
            return self.staged.process_image(image, camera=camera, multi_view=multi_view)

    def process_images(
        self, images: Sequence[Array], *, camera: Camera | None = None, multi_view: bool | None = None
    ) -> list[list[FrameResult]]:
        """Every face of each image; see `StagedPipeline.process_image`."""
        with one_blas_thread():
            return self.staged.process_images(images, camera=camera, multi_view=multi_view)

    def close(self) -> None:
        """Nothing is held but memory."""
        self.staged.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __str__(self) -> str:
        head = f"pipeline on bundle {self.bundle.meta.name} {self.bundle.short_hash}"
        return "\n".join([head, *(f"  {choice}" for choice in self.choices.values())])
