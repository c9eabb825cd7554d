"""Workloads of the GPU benchmark: rendered clips that streams share, images, and models with the pipelines of the host
that take turns with the GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from auparity.accelerated.choices import choose_best
from auparity.accelerated.pipeline import Pipeline
from auparity.benchmarks.device.contenders import Film, Image
from auparity.benchmarks.workloads import CLIP_SEED, FORMATS, PHOTOGRAPH_SEED
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.models.synthetic.groups import make_group, render_group, still_scene
from auparity.models.synthetic.render import render_photograph
from auparity.reference.pipeline import ReferencePipeline
from auparity.reports.results.records import WorkloadRecord

#: Number of different images; larger batches repeat them. It is a multiple of the images that show one person.
DISTINCT = 8


@dataclass(frozen=True)
class Settings:
    """The settings of a benchmark."""

    streams: tuple[int, ...] = (1, 8, 64)
    frames: int = 60  #: frames of a stream in a round
    rounds: int = 5
    reference_frames: int = 20
    clips: int = 4  #: rendered clips, which streams share
    photographs: int = 0  #: images in a batch; 0 for none
    format: str = "480p"
    canvas: tuple[int, int] = FORMATS["480p"][:2]
    face: float = FORMATS["480p"][2]  #: px
    faces: int = 0  #: people in each frame of one more workload for each number of streams; 0 for none


@dataclass(frozen=True, eq=False)
class Models:
    """A bundle with the pipelines that the GPU takes turns with."""

    name: str
    bundle: Bundle
    about: str

    @cached_property
    def reference(self) -> ReferencePipeline:
        """The reference pipeline."""
        return ReferencePipeline(self.bundle)

    @cached_property
    def cpu(self) -> Pipeline:
        """The fastest that the CPU has."""
        return Pipeline.of_choices(self.bundle, choose_best(self.bundle, "cpu"))


def render_film(settings: Settings) -> Film:
    """The clips that all streams play."""
    face = settings.face
    return Film([
        [
            picture.image
            for picture in render_clip(
                CLIP_SEED + k, settings.frames, canvas=settings.canvas, face_width=(face, 1.05 * face)
            )
        ]
        for k in range(settings.clips)
    ])  # fmt: skip


def render_group_film(settings: Settings) -> Film:
    """A clip of several people who stand beside each other, which all streams play."""
    group = make_group(still_scene(settings.faces, settings.frames, settings.canvas), CLIP_SEED)
    return Film([[picture.image for picture in render_group(group)]], settings.faces)


def render_pictures(settings: Settings) -> list[Image]:
    """The images of a batch."""
    distinct = [
        render_photograph(PHOTOGRAPH_SEED + k, yaw=45.0).image for k in range(min(DISTINCT, settings.photographs))
    ]
    return [distinct[k % len(distinct)] for k in range(settings.photographs)]


def stream_workload(models: Models, settings: Settings, streams: int, faces: int = 0) -> WorkloadRecord:
    """The workload of some streams; `faces` as of a `Film`."""
    width, height = settings.canvas
    shared = 1 if faces else min(settings.clips, streams)
    rendered = "a rendered clip" if shared == 1 else f"{shared} rendered clips"
    about = f"{streams} streams that play {rendered} back and forth and from different frames on"
    if streams == 1:
        about = f"one stream, {rendered}"
    name = f"{models.name}-{settings.format}-{streams}"
    if faces:
        name, about = f"{name}-faces-{faces}", f"{about}, with {faces} people in each frame, static AUs"
    return WorkloadRecord(
        name, models.bundle.meta.name, models.bundle.content_hash,
        models.bundle.landmarker_name, "streams" if streams > 1 else "stream", settings.frames * streams, width, height,
        f"{about}, {width}x{height}; frames are decoded, in ordinary memory that streams share; {models.about}",
    )  # fmt: skip


def photograph_workload(models: Models, images: Sequence[Image]) -> WorkloadRecord:
    """The workload of a batch of images."""
    height, width = images[0].shape[:2]
    return WorkloadRecord(
        f"{models.name}-photographs", models.bundle.meta.name, models.bundle.content_hash,
        models.bundle.landmarker_name, "photographs", len(images), width, height,
        f"a batch of {len(images)}, {min(DISTINCT, len(images))} different rendered ones of one face each; "
        f"{models.about}",
    )  # fmt: skip
