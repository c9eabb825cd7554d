"""What `auparity dataset` prints on stderr as it works: a bar, lines if stderr is no terminal, or problems only."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from rich.console import Console

from auparity.extraction.terminal import Terminal
from auparity.extraction.terminal_bars import TerminalBars

#: Seconds between two lines without a terminal.
LINE_SECONDS = 10.0


class QuietProgress(Terminal):
    """Problems and warnings only."""

    def copied(self, files: int, total: int) -> None:
        """Not told."""

    def found(self, clips: int) -> None:
        """Not told."""

    def started(self, rows: int) -> None:
        """Not told."""

    def rows_done(self, rows: int) -> None:
        """Not told."""


class LineProgress(QuietProgress):
    """A line every LINE_SECONDS."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = self._began = clock()
        self._rows = self._total = 0

    def copied(self, files: int, total: int) -> None:
        self._now_and_then(f"{files:,} of {total:,} files copied")

    def found(self, clips: int) -> None:
        self._now_and_then(f"{clips:,} tables found")

    def started(self, rows: int) -> None:
        self._rows, self._total = 0, rows
        self._began = self._clock()

    def rows_done(self, rows: int) -> None:
        self._rows += rows
        seconds = max(self._clock() - self._began, 1e-9)
        left = max(self._total - self._rows, 0) * seconds / max(self._rows, 1)
        self._now_and_then(f"{self._rows:,} of {self._total:,} rows, {left:.0f} s left")

    def _now_and_then(self, text: str) -> None:
        if self._clock() - self._last >= LINE_SECONDS:
            self._last = self._clock()
            self.say(text)


class BarProgress(TerminalBars, QuietProgress):
    """A bar for the rows that are written."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(console)
        self._task = self._bars.add_task("looking for tables", total=None)

    def copied(self, files: int, total: int) -> None:
        self._bars.update(self._task, description="files copied", completed=files, total=total)

    def found(self, clips: int) -> None:
        self._bars.update(self._task, completed=clips)

    def started(self, rows: int) -> None:
        self._bars.reset(self._task, description="rows", total=rows)

    def rows_done(self, rows: int) -> None:
        self._bars.advance(self._task, rows)


def choose_progress(quiet: bool) -> QuietProgress:
    """The one that suits stderr."""
    if quiet:
        return QuietProgress()
    return BarProgress() if sys.stderr.isatty() else LineProgress()
