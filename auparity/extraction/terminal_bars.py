"""Bars on a terminal, with lines above them. A module of its own, because only terminals need rich."""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

from auparity.extraction.terminal import Terminal
from auparity.media.names import printable_lines


class TerminalBars(Terminal):
    """Bars that are shown while the context is open.

    Parameters
    ----------
    console : None for stderr.
    columns : further columns, before the time that remains.
    """

    def __init__(self, console: Console | None, *columns: ProgressColumn) -> None:
        self._console = console or Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), *columns,
            TimeRemainingColumn(), console=self._console,
        )  # fmt: skip

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._bars.stop()

    def say(self, text: str) -> None:
        # Plain text: names may hold brackets, and paths must stay in one piece for copying.
        with suppress(OSError):
            self._console.print(printable_lines(text), markup=False, highlight=False, soft_wrap=True)
