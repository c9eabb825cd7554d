"""What `auparity extract` prints on stderr while it works: progress bars, plain lines if stderr is not a terminal, or
only problems (`--quiet`). All three report every problem.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from auparity.extraction.jobs import Job
from auparity.extraction.types import ClipProgress, NoProgress, Outcome
from auparity.media import printable, printable_lines

#: Seconds between two progress lines of one clip without a terminal.
LINE_SECONDS = 10.0
#: What happens before the first frame is done: it can take a minute on a machine that has compiled nothing yet.
PREPARING = "preparing (the first run compiles, the first frame finds the face)"
_PROBLEMS = ("failed", "incomplete", "interrupted")


class FrameRateColumn(ProgressColumn):
    """Frames a second over the last frames."""

    def render(self, task: Task) -> Text:
        if task.speed is None or task.fields.get("unit") != "frame":
            return Text("")
        return Text(f"{task.speed:.1f} frames/s")


class QuietReporter:
    """Problems and warnings only."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""

    def say(self, text: str) -> None:
        # If the terminal was closed, the frames that are done must not be lost.
        with suppress(OSError):
            print(printable_lines(text), file=sys.stderr, flush=True)

    def job_started(self, number: int, total: int, job: Job) -> ClipProgress:
        return NoProgress()

    def batch_started(self, total: int, at_a_time: int) -> ClipProgress:
        return NoProgress()

    def job_done(self, outcome: Outcome) -> None:
        if outcome.status in _PROBLEMS:
            self.say(outcome.message)
        elif outcome.without_face:
            self.say(f"{printable(outcome.input)}: warning: no face was found in it")
        for warning in outcome.warnings:
            self.say(f"{printable(outcome.input)}: warning: {printable(warning)}")

    def finished(self, summary: str) -> None:
        """Problems were reported one by one."""


class LineReporter(QuietReporter):
    """One line for each job, and one every LINE_SECONDS inside a clip.

    Rate and time left follow from the frames since the previous line, so that work done once in a run (compiling,
    finding the face) does not count.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._name = ""
        self._total: int | None = None
        self._frames = 0
        self._last_frames, self._last = 0, 0.0

    def job_started(self, number: int, total: int, job: Job) -> ClipProgress:
        self._name = printable(job.path)
        self.say(f"[{number}/{total}] {self._name}")
        return self

    def batch_started(self, total: int, at_a_time: int) -> ClipProgress:
        self._name = f"{total} inputs, {at_a_time} at a time"
        self.say(self._name)
        return self

    def job_done(self, outcome: Outcome) -> None:
        if outcome.status not in _PROBLEMS:
            self.say(outcome.message)
        super().job_done(outcome)

    def started(self, n_frames: int | None) -> None:
        self._total, self._frames = n_frames, 0
        self._last_frames, self._last = 0, self._clock()

    def frame_done(self) -> None:
        self._frames += 1
        now = self._clock()
        if self._frames == 1:
            if now - self._last >= LINE_SECONDS:
                self.say(f"{self._name}: prepared in {now - self._last:.0f} s")
            self._last_frames, self._last = 1, now
        if now - self._last < LINE_SECONDS:
            return
        rate = (self._frames - self._last_frames) / (now - self._last)
        self._last_frames, self._last = self._frames, now
        of = left = ""
        if self._total is not None:
            of, left = f" of {self._total}", f", {max(self._total - self._frames, 0) / rate:.0f} s left"
        self.say(f"{self._name}: {self._frames}{of} frames, {rate:.1f} frames/s{left}")

    def finishing(self) -> None:
        """Print nothing: the next line says that the clip is done."""

    def finished(self, summary: str) -> None:
        self.say(summary)


class BarReporter(LineReporter):
    """A bar for the frames of the current clip, and one for the inputs when there are several."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        self._console = console or Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            FrameRateColumn(),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._inputs = self._bars.add_task("inputs", total=None, visible=False)
        self._clip = self._bars.add_task("", total=None, visible=False, unit="frame")

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._bars.stop()

    def say(self, text: str) -> None:
        # Plain text: file names may hold brackets, and paths must stay in one piece for copying.
        with suppress(OSError):
            self._console.print(printable_lines(text), markup=False, highlight=False, soft_wrap=True)

    def job_started(self, number: int, total: int, job: Job) -> ClipProgress:
        self._name = printable(job.path.name)
        self._bars.update(self._inputs, total=total, completed=number - 1, visible=total > 1)
        return self

    def batch_started(self, total: int, at_a_time: int) -> ClipProgress:
        self._name = f"{at_a_time} at a time"
        self._bars.update(self._inputs, total=total, completed=0, visible=True)
        return self

    def job_done(self, outcome: Outcome) -> None:
        super().job_done(outcome)
        self._bars.advance(self._inputs)
        if self._bars.tasks[0].finished:
            self._bars.update(self._clip, visible=False)

    def started(self, n_frames: int | None) -> None:
        self._total, self._frames = n_frames, 0
        self._bars.reset(self._clip, total=None, description=f"{self._name}: {PREPARING}", visible=True)

    def frame_done(self) -> None:
        self._frames += 1
        if self._frames == 1:  # from here on the bar's clock measures steady frames
            self._bars.reset(self._clip, total=self._total, completed=1, description=self._name, visible=True)
        else:
            self._bars.advance(self._clip)

    def finishing(self) -> None:
        self._bars.update(self._clip, description=f"{self._name}: post-processing AUs")


def choose_reporter(quiet: bool) -> QuietReporter:
    """The reporter that suits stderr."""
    if quiet:
        return QuietReporter()
    return BarReporter() if sys.stderr.isatty() else LineReporter()
