"""Many inputs: which jobs they make, how one of them is run, what becomes of it, and when to stop (`auparity extract`).

Inputs are planned before anything is computed, so that each has a table name of its own. Then an engine
(`auparity.extraction.engines`) runs them, each by itself: an input that cannot be read is reported and the others go
on.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from auparity.errors import AuparityError
from auparity.extraction.clips import extract_clip
from auparity.extraction.inputs import Input
from auparity.extraction.output_names import output_names
from auparity.extraction.photographs import extract_photograph
from auparity.extraction.remote_jobs import run_elsewhere
from auparity.extraction.types import HERE, ClipProgress, ExtractionSettings, Origin, Outcome
from auparity.media import CameraStream, ImageSequence, VideoFile, open_clip, printable
from auparity.reference.video_pipeline import VideoPipeline

if TYPE_CHECKING:
    from auparity.accelerated.parallel.chunks import ClipInParts

#: Has an open clip tracked in parts; the function opens it once more, in a worker.
PartsOf = Callable[[VideoFile | ImageSequence, Callable[[], VideoFile | ImageSequence]], "ClipInParts"]

EXIT_GOOD, EXIT_FAILED, EXIT_INTERRUPTED = 0, 1, 130


@dataclass(frozen=True)
class Job:
    """One input that makes one table, or that cannot be measured."""

    kind: Literal["clip", "photograph", "camera", "problem"]
    path: Path  #: "camera:0" for cameras
    name: str = ""  #: of the table in the output folder, without suffix; cameras name theirs by the time
    camera: int | None = None
    camera_size: tuple[int, int] | None = None  #: width and height in px asked of the camera; None for its own
    problem: str = ""  #: why it cannot be measured
    origin: Origin = HERE  #: its address, if it has one, and what a list says of it

    @property
    def shown(self) -> str:
        """What it is called in messages."""
        return self.origin.address or str(self.path)


class Reporter(Protocol):
    """Told what happens, job by job."""

    def job_started(self, number: int, total: int, job: Job) -> ClipProgress: ...
    def batch_started(self, total: int, at_a_time: int) -> ClipProgress:
        """Several jobs run at a time; frames of all of them are counted together."""

    def job_done(self, outcome: Outcome) -> None: ...


def camera_job(camera: int, *, name: str = "", size: tuple[int, int] | None = None) -> Job:
    """The job of a live camera. `name` is that of its table; `size` in px is asked of the camera."""
    return Job("camera", Path(f"camera:{camera}"), name, camera=camera, camera_size=size)


def plan_jobs(
    inputs: Sequence[Input], *, keep_tree: bool | None = None, template: str | None = None
) -> tuple[list[Job], list[str]]:
    """The jobs that the inputs make, in their order, and notices for the user.

    Parameters
    ----------
    inputs : as of `auparity.extraction.inputs.find_inputs`.
    keep_tree, template : how tables are called, see `output_names`.

    Raises
    ------
    AuparityError : two inputs would write the same table, or the template is wrong.
    """
    measured = [item for item in inputs if item.kind in ("clip", "photograph")]
    names = output_names(
        [item.path for item in measured], [item.labels for item in measured], keep_tree=keep_tree, template=template
    )
    name_of = {id(item): name for item, name in zip(measured, names, strict=True)}
    jobs = [
        Job(
            item.kind, item.path, name_of.get(id(item), ""), problem=item.problem,
            origin=Origin(item.address, labels=item.labels),
        )
        for item in inputs
        if item.kind != "notice"
    ]  # fmt: skip
    return jobs, [item.problem for item in inputs if item.kind == "notice"]


def run_job(
    pipeline: VideoPipeline, job: Job, settings: ExtractionSettings, progress: ClipProgress, stop: Callable[[], bool],
    parts: PartsOf | None = None, *, overlap: bool = True,
) -> Outcome:  # fmt: skip
    """Run one job; errors become its outcome, and only a second Ctrl-C is raised.

    An internal error (any error but `AuparityError` and `OSError`) is reported with its traceback. `parts` cuts clips.
    `overlap` says whether this process has a second core for the job, as of `extract_clip`.
    """
    try:
        return _run_job(pipeline, job, settings, progress, stop, parts, overlap)
    except Exception as error:
        return failure(job, error)


def failure(job: Job, error: BaseException) -> Outcome:
    """The outcome of a job that ended in an error."""
    if isinstance(error, AuparityError | OSError):
        message, shown = str(error), printable(job.shown)
        return Outcome(job.shown, "failed", message if shown in message else f"{shown}: {message}")
    trace = "".join(traceback.format_exception(error))
    text = f"{printable(job.shown)}: internal error; please report it.\n{trace}"
    return Outcome(job.shown, "failed", text)


def exit_code(jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> int:
    """130 after an interruption that left something undone, 1 if any input failed, else 0."""
    statuses = [outcome.status for outcome in outcomes]
    if "interrupted" in statuses or len(outcomes) < len(jobs):
        return EXIT_INTERRUPTED
    return EXIT_FAILED if {"failed", "incomplete"} & set(statuses) else EXIT_GOOD


def summary(jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> str:
    """One line: how many inputs ended how, and in how many no face was found."""
    statuses = [outcome.status for outcome in outcomes]
    counts = [(statuses.count(word), word) for word in ("done", "skipped", "incomplete", "interrupted", "failed")]
    counts.append((len(jobs) - len(outcomes), "not started"))
    inputs = "1 input" if len(jobs) == 1 else f"{len(jobs)} inputs"
    line = f"{inputs}: " + ", ".join(f"{count} {word}" for count, word in counts if count)
    without = sum(outcome.without_face for outcome in outcomes)
    return f"{line}; no face found in {without} of them" if without else line


class StopSwitch:
    """Ctrl-C in two steps: the first asks to finish what is done, the second stops at once (KeyboardInterrupt).

    SIGTERM (a scheduler's time is up) and SIGHUP (the terminal was closed) count as Ctrl-C. A context manager; call it
    to ask whether it was pressed. Only the main thread can take over signals: elsewhere it stays off, and a
    KeyboardInterrupt is treated by `extract_clip` as the first Ctrl-C.
    """

    NOTICE = b"\nStopping after this frame; post-processing what is done. Ctrl-C again stops at once.\n"
    SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")

    def __init__(self) -> None:
        self.pressed = False
        self._previous: dict[int, Any] = {}

    def __call__(self) -> bool:
        return self.pressed

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for name in self.SIGNALS:
                number = getattr(signal, name, None)
                # nohup has a program ignore SIGHUP, a shell's background jobs SIGINT: they stay ignored.
                if number is not None and (name == "SIGINT" or signal.getsignal(number) is not signal.SIG_IGN):
                    self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)
        self._previous = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.pressed and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.pressed = True
        # A signal handler may not use the locks of a stream or a progress bar that it has interrupted; and a terminal
        # that was closed cannot be written to.
        with suppress(OSError):
            os.write(sys.__stderr__.fileno() if sys.__stderr__ is not None else 2, self.NOTICE)


def _run_job(
    pipeline: VideoPipeline, job: Job, settings: ExtractionSettings, progress: ClipProgress, stop: Callable[[], bool],
    parts: PartsOf | None, overlap: bool,
) -> Outcome:  # fmt: skip
    if job.kind == "problem":
        return Outcome(job.shown, "failed", job.problem)
    if job.kind == "camera" and settings.output_address:
        raise AuparityError(f"{job.shown}: the table of a camera is written to a folder: name one with -o.")
    if not (job.origin.address or settings.output_address):
        return _measure(pipeline, job, settings, progress, stop, parts, overlap)

    def measure(path: Path, kind: Any, local: ExtractionSettings, origin: Origin) -> Outcome:
        return _measure(
            pipeline, replace(job, kind=kind, path=path, origin=origin), local, progress, stop, parts, overlap
        )

    return run_elsewhere(pipeline, job.path, job.name, job.origin, settings, measure, stop)


def _measure(
    pipeline: VideoPipeline, job: Job, settings: ExtractionSettings, progress: ClipProgress, stop: Callable[[], bool],
    parts: PartsOf | None, overlap: bool,
) -> Outcome:  # fmt: skip
    """Run a job of a file, a folder of images or a camera of this machine."""
    if job.kind == "photograph":
        try:
            return extract_photograph(pipeline, job.path, settings, name=job.name, origin=job.origin)
        except KeyboardInterrupt:
            if stop():
                raise
            return Outcome(job.shown, "interrupted", f"{printable(job.shown)}: interrupted; nothing written.")
    extract = partial(
        extract_clip,
        pipeline,
        settings=settings,
        name=job.name or None,
        origin=job.origin,
        progress=progress,
        stop=stop,
        overlap=overlap,
    )
    if job.camera is not None:
        with CameraStream(job.camera, size=job.camera_size) as camera:
            return extract(source=camera)
    open_it = partial(
        open_clip, job.path, timestamps=settings.timestamps, fps=settings.fps, max_pixels=settings.max_pixels
    )
    with open_it(pixels=parts is None or settings.outputs.drawn) as source:
        return extract(source=source, parts=None if parts is None else partial(parts, source, open_it))
