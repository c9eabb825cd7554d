"""Progress bars on a terminal, for `auparity extract`."""

from __future__ import annotations

from rich.console import Console
from rich.progress import ProgressColumn, Task
from rich.text import Text

from auparity.extraction.jobs import Job
from auparity.extraction.progress import PREPARING, LineReporter
from auparity.extraction.terminal_bars import TerminalBars
from auparity.extraction.types import ClipProgress, Outcome
from auparity.media import printable


class FrameRateColumn(ProgressColumn):
    """Frames a second over the last frames."""

    def render(self, task: Task) -> Text:
        if task.speed is None or task.fields.get("unit") != "frame":
            return Text("")
        return Text(f"{task.speed:.1f} frames/s")


class BarReporter(TerminalBars, LineReporter):
    """A bar for the frames of the current clip, and one for the inputs when there are several."""

    def __init__(self, console: Console | None = None) -> None:
        LineReporter.__init__(self)
        TerminalBars.__init__(self, console, FrameRateColumn())
        self._inputs = self._bars.add_task("inputs", total=None, visible=False)
        self._clip = self._bars.add_task("", total=None, visible=False, unit="frame")

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
