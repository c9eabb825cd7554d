"""Many inputs, one after the other: which jobs they make, what becomes of each, and when to stop (`auparity extract`).

Inputs are planned before anything is computed, so that two of them which would write the same file are refused at
once. Then each job runs by itself: an input that cannot be read is reported and the next one goes on.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Literal, Protocol, Self

from auparity.errors import AuparityError, VideoError
from auparity.extraction import extract_clip, extract_photograph
from auparity.extraction_types import ClipProgress, ExtractionSettings, Outcome, Pipeline
from auparity.media import CameraStream, images_in, is_image, open_clip

EXIT_GOOD, EXIT_FAILED, EXIT_INTERRUPTED = 0, 1, 130


@dataclass(frozen=True)
class Job:
    """One input that makes one table."""

    kind: Literal["clip", "photograph", "camera"]
    path: Path  #: "camera:0" for cameras
    camera: int | None = None

    @property
    def stem(self) -> str:
        """Name of the output, as the extraction will choose it."""
        return self.path.resolve().name if self.path.is_dir() else self.path.stem


class Reporter(Protocol):
    """Told what happens, job by job."""

    def job_started(self, number: int, total: int, job: Job) -> ClipProgress: ...
    def job_done(self, outcome: Outcome) -> None: ...


def plan_jobs(inputs: Sequence[Path], *, camera: int | None = None, photographs: bool = False) -> list[Job]:
    """The jobs that the inputs make, in their order; an input named twice makes one job.

    A folder is one clip (an image sequence), or with `photographs` one job for each image in it; a file with the name
    of an image is a photograph; everything else is a video, whose errors show when it is opened.

    Raises
    ------
    AuparityError : two inputs would write the same table.
    """
    jobs = [] if camera is None else [Job("camera", Path(f"camera:{camera}"), camera)]
    seen: set[Path] = set()
    for path in inputs:
        for job in _jobs_of(path, photographs):
            if job.path.resolve() not in seen:
                seen.add(job.path.resolve())
                jobs.append(job)
    _check_names(jobs)
    return jobs


def run_jobs(
    pipeline: Pipeline,
    jobs: Sequence[Job],
    settings: ExtractionSettings,
    reporter: Reporter,
    stop: Callable[[], bool],
) -> list[Outcome]:
    """Run the jobs until all are done or `stop` says so; as many outcomes as jobs were begun.

    A defect of ours (any error but `AuparityError` and `OSError`) is reported with its traceback, and does not cost
    the jobs after it.
    """
    outcomes: list[Outcome] = []
    for number, job in enumerate(jobs, 1):
        if stop():
            break
        outcome = run_job(pipeline, job, settings, reporter.job_started(number, len(jobs), job), stop)
        outcomes.append(outcome)
        reporter.job_done(outcome)
        if outcome.status == "interrupted":
            break
    return outcomes


def run_job(
    pipeline: Pipeline, job: Job, settings: ExtractionSettings, progress: ClipProgress, stop: Callable[[], bool]
) -> Outcome:
    """Run one job; errors become its outcome, and only a second Ctrl-C is raised."""
    try:
        return _run_job(pipeline, job, settings, progress, stop)
    except (AuparityError, OSError) as error:
        return Outcome(str(job.path), "failed", _naming(job, str(error)))
    except Exception:
        text = f"{job.path}: unexpected error, a defect of auparity; please report it.\n{traceback.format_exc()}"
        return Outcome(str(job.path), "failed", text)


def exit_code(jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> int:
    """130 after an interruption that left something undone, 1 if any input failed, else 0."""
    statuses = [outcome.status for outcome in outcomes]
    if "interrupted" in statuses or len(outcomes) < len(jobs):
        return EXIT_INTERRUPTED
    return EXIT_FAILED if {"failed", "incomplete"} & set(statuses) else EXIT_GOOD


def summary(jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> str:
    """One line: how many inputs ended how."""
    statuses = [outcome.status for outcome in outcomes]
    counts = [(statuses.count(word), word) for word in ("done", "skipped", "incomplete", "interrupted", "failed")]
    not_started = (len(jobs) - len(outcomes), "not started")
    return f"{len(jobs)} inputs: " + ", ".join(f"{count} {word}" for count, word in [*counts, not_started] if count)


class StopSwitch:
    """Ctrl-C in two steps: the first asks to finish what is done, the second stops at once (KeyboardInterrupt).

    A context manager; call it to ask whether it was pressed. Only the main thread can take over the signal: elsewhere
    it stays off, and a KeyboardInterrupt is treated by `extract_clip` as the first Ctrl-C.
    """

    NOTICE = b"\nStopping after this frame; post-processing what is done. Ctrl-C again stops at once.\n"

    def __init__(self) -> None:
        self.pressed = False
        self._previous: Any = None

    def __call__(self) -> bool:
        return self.pressed

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.pressed:
            raise KeyboardInterrupt
        self.pressed = True
        # A signal handler may not use the locks of a stream or a progress bar that it has interrupted.
        os.write(sys.__stderr__.fileno() if sys.__stderr__ is not None else 2, self.NOTICE)


def _jobs_of(path: Path, photographs: bool) -> list[Job]:
    if path.is_dir() and photographs:
        try:
            return [Job("photograph", image) for image in images_in(path)]
        except VideoError:
            return [Job("clip", path)]  # fails with the same error in its turn, as every unreadable input does
    if path.is_dir():
        return [Job("clip", path)]
    return [Job("photograph" if is_image(path) else "clip", path)]


def _check_names(jobs: Sequence[Job]) -> None:
    """Refuse two jobs whose tables would have one name, on any file system and whether complete or not."""
    owners: dict[str, Job] = {}
    for job in jobs:
        for name in (job.stem.casefold(), f"{job.stem}.incomplete".casefold()):
            other = owners.setdefault(name, job)
            if other is not job:
                raise AuparityError(
                    f"{other.path} and {job.path} would both write {job.stem}.csv. Extract them in two runs with "
                    "different output folders (-o)."
                )


def _run_job(
    pipeline: Pipeline, job: Job, settings: ExtractionSettings, progress: ClipProgress, stop: Callable[[], bool]
) -> Outcome:
    if job.kind == "photograph":
        try:
            return extract_photograph(pipeline, job.path, settings)
        except KeyboardInterrupt:
            if stop():
                raise
            return Outcome(str(job.path), "interrupted", f"{job.path}: interrupted; nothing written.")
    with CameraStream(job.camera) if job.camera is not None else open_clip(job.path) as source:
        return extract_clip(pipeline, source, settings, progress=progress, stop=stop)


def _naming(job: Job, message: str) -> str:
    """Every message names its input."""
    return message if str(job.path) in message else f"{job.path}: {message}"
