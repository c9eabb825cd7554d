"""Which of the reporters of a run suits its stderr."""

from __future__ import annotations

import sys

from auparity.extraction.progress import LineReporter, QuietReporter


def choose_reporter(quiet: bool) -> QuietReporter:
    """The reporter that suits stderr."""
    if quiet:
        return QuietReporter()
    if sys.stderr.isatty():
        from auparity.extraction.progress_bars import BarReporter

        return BarReporter()
    return LineReporter()
