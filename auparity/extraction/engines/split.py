"""One clip over all cores (``auparity extract --split``): one clip after the other, each tracked in parts.

Tables, sidecars and the files beside them are written in this process, in order, as for a clip in one piece.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import cast

from auparity.accelerated.parallel.chunks import ClipInParts
from auparity.accelerated.parallel.parts import ClipRecipe
from auparity.accelerated.parallel.workers import Workers
from auparity.accelerated.pipeline import Pipeline
from auparity.errors import AuparityError
from auparity.extraction.clip_run import camera_for, start_session
from auparity.extraction.engines import SPLIT
from auparity.extraction.jobs import Job, Reporter, run_job
from auparity.extraction.types import ClipProgress, ExtractionSettings, Outcome
from auparity.media import Image, ImageSequence, VideoFile, printable
from auparity.reference.face_choice import FaceChoice
from auparity.reference.video_pipeline import ClipSession


def unsplittable_reason(jobs: Sequence[Job], settings: ExtractionSettings) -> str | None:
    """Why these jobs cannot be measured in parts, in the words of the command line; None when they can."""
    if settings.faces is not None or settings.person is not None:
        asked = "--faces" if settings.faces is not None else f"--face {settings.face}"
        return f"{asked} follows people through the whole clip, which parts cannot: leave --split out"
    if isinstance(settings.face, FaceChoice) and settings.face.box is not None:
        return f"--face {settings.face} says where the face is when the clip begins: leave --split out"
    for job in jobs:
        if job.kind == "camera":
            return "a camera has no parts: leave --split out"
        if job.kind == "photograph":
            return f"{printable(job.path)} is an image, which has no parts: leave --split out"
    return None


class SplitEngine:
    """Runs each clip when the one before it has ended, in parts.

    Parameters
    ----------
    pipeline : measures what the workers have tracked; its bundle and its variants make theirs.
    processes : how many workers.
    """

    name = SPLIT

    def __init__(self, pipeline: Pipeline, processes: int) -> None:
        self._pipeline, self._processes = pipeline, processes

    def run(
        self, jobs: Sequence[Job], settings: ExtractionSettings, reporter: Reporter, stop: Callable[[], bool]
    ) -> list[Outcome]:
        """Run the jobs until all are done or `stop` says so, see `Engine.run`; an interrupted job is the last.

        Raises
        ------
        AuparityError : a job or a setting that parts cannot serve; nothing was begun.
        """
        reason = unsplittable_reason(jobs, settings)
        if reason is not None:
            raise AuparityError(reason)
        outcomes: list[Outcome] = []
        with ExitStack() as stack:
            workers = _Lazy(self._pipeline, self._processes, stack)
            for number, job in enumerate(jobs, 1):
                if stop():
                    break
                told = _Told(reporter.job_started(number, len(jobs), job), workers, stop)
                outcomes.append(self._run(job, settings, told, workers, stop))
                reporter.job_done(outcomes[-1])
                if outcomes[-1].status == "interrupted":
                    break
        return outcomes

    def _run(
        self, job: Job, settings: ExtractionSettings, told: _Told, workers: _Lazy, stop: Callable[[], bool]
    ) -> Outcome:
        # One frame more than is wanted shows whether the clip is longer.
        most = None if settings.max_frames is None else settings.max_frames + 1

        def cut(source: VideoFile | ImageSequence, open_it: Callable[[], VideoFile | ImageSequence]) -> ClipInParts:
            recipe = ClipRecipe(open_it, partial(_begin, settings))
            return ClipInParts(
                source, recipe, workers.started(), most=most, pixels=settings.outputs.drawn, meanwhile=told.look
            )

        return run_job(self._pipeline, job, replace(settings, split=True), told, stop, cut)


def _begin(settings: ExtractionSettings, pipeline: Pipeline, image: Image) -> ClipSession:
    session = start_session(pipeline, settings, camera_for(settings.intrinsics, image), online=False)
    return cast("ClipSession", session)  # several faces have been refused


class _Lazy:
    """Workers that are started when the first clip has to be measured, and end with the run."""

    def __init__(self, pipeline: Pipeline, processes: int, stack: ExitStack) -> None:
        self._pipeline, self._processes, self._stack = pipeline, processes, stack
        self.running: Workers | None = None

    def started(self) -> Workers:
        if self.running is None:
            pipeline = self._pipeline
            workers = Workers(pipeline.bundle, pipeline.variants, self._processes, pipeline.options)
            self.running = self._stack.enter_context(workers)
        return self.running


class _Told:
    """Progress of a clip by the frames that its workers have tracked; passes Ctrl-C on to them."""

    def __init__(self, progress: ClipProgress, workers: _Lazy, stop: Callable[[], bool]) -> None:
        self._progress, self._workers, self._stop = progress, workers, stop
        self._before = 0 if workers.running is None else workers.running.frames
        self._told, self._expected = 0, 0

    def started(self, n_frames: int | None) -> None:
        self._expected = n_frames or 0
        self._progress.started(n_frames)

    def look(self) -> None:
        workers = self._workers.running
        if workers is None:
            return
        if self._stop():
            workers.stop()
        # A part that is tracked once more is counted once more.
        frames = min(workers.frames - self._before, self._expected)
        for _ in range(frames - self._told):
            self._progress.frame_done()
        self._told = max(self._told, frames)

    def frame_done(self) -> None:
        """A row was written, which is later than the frame was tracked."""

    def finishing(self) -> None:
        self.look()
        self._progress.finishing()
