"""What `auparity extract` prints on stderr while it works: progress bars, plain lines if stderr is not a terminal, or
only problems (`--quiet`). All three report every problem.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from auparity.extraction.jobs import Job
from auparity.extraction.terminal import Terminal
from auparity.extraction.types import ClipProgress, NoProgress, Outcome
from auparity.media import printable

#: Seconds between two progress lines of one clip without a terminal.
LINE_SECONDS = 10.0
#: What happens before the first frame is done: it can take a minute on a machine that has compiled nothing yet.
PREPARING = "preparing (the first run compiles, the first frame finds the face)"
_PROBLEMS = ("failed", "incomplete", "interrupted")


class QuietReporter(Terminal):
    """Problems and warnings only."""

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
        self._name = printable(job.shown)
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
