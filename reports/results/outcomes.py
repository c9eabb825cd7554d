"""What became of a figure, and of many: the only source of green, amber, red and gray on a page of results.

The outcome of a table's cell, of a row, of a clip and of the whole page is the worst outcome of its figures, computed
by `of_figures`. A green verdict beside a red cell is therefore impossible. An outcome is `PASSED` exactly where
`figures.failed_because` is silent, which Markdown and JUnit take their verdict from.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from auparity.reports.results.figures import failed_because, is_finite, share_used
from auparity.reports.results.records import MeasuredError

#: `way` of a figure that has a baseline and was not measured.
BASELINE_WAY = "baseline"
#: How the drift gate's problem begins.
_DRIFTED = "DRIFTED"


class Outcome(Enum):
    """From harmless to grave."""

    SKIPPED = ("skipped", "\N{EN DASH}", "not run")
    PASSED = ("passed", "\N{CHECK MARK}", "within tolerance")
    UNMEASURED = ("drifted", "?", "not measured any more")
    DRIFTED = ("drifted", "\N{WHITE UP-POINTING TRIANGLE}", "drifted")
    FAILED = ("failed", "\N{MULTIPLICATION X}", "failed")

    def __init__(self, style: str, symbol: str, word: str) -> None:
        self.style = style  #: CSS class: green, amber, red or gray
        self.symbol = symbol  #: says the same without colour
        self.word = word


ORDER = tuple(Outcome)


def of_figure(error: MeasuredError) -> Outcome:
    """What became of one figure."""
    if not failed_because(error):
        return Outcome.PASSED
    if error.way == BASELINE_WAY:
        return Outcome.UNMEASURED
    used = share_used(error)
    within = is_finite(error.error) and (used is None or used <= 1)
    return Outcome.DRIFTED if within and error.problem.startswith(_DRIFTED) else Outcome.FAILED


def of_figures(errors: Iterable[MeasuredError]) -> Outcome:
    """The worst outcome of some figures; `SKIPPED` without any."""
    return max(map(of_figure, errors), key=ORDER.index, default=Outcome.SKIPPED)
