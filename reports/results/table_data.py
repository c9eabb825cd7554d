"""Tables of a results page as data, which `web/macros.html.j2` makes HTML of; on a telephone every row is a card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from auparity.reports.page_text import NONE
from auparity.reports.results.figures import share_used
from auparity.reports.results.outcomes import Outcome, of_figure
from auparity.reports.results.records import MeasuredError
from auparity.reports.results.text import share


@dataclass(frozen=True)
class Cell:
    """What a cell shows."""

    text: str
    notes: tuple[str, ...] = ()  #: smaller, below
    outcome: Outcome | None = None  #: gives the cell its colour and a symbol
    used: float | None = None  #: share of a tolerance, drawn as a bar
    code: bool = False

    @property
    def bar(self) -> float:
        """Length of the bar, percent; nothing but 100 and more is a full bar."""
        return 100 * min(max(self.used or 0.0, 0.0), 1.0)


@dataclass(frozen=True)
class Table:
    """A table with a head in each row."""

    label: str  #: unique on the page
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    caption: str = ""
    style: str = ""
    cells: list[list[Cell]] = field(init=False)

    def __post_init__(self) -> None:
        cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in self.rows]
        assert all(len(row) == len(self.heads) for row in cells), "every row has a cell for each head"
        object.__setattr__(self, "cells", cells)


def without_empty(table: Table) -> Table:
    """The table without columns that have nothing but dashes."""
    kept = [k for k in range(len(table.heads)) if k == 0 or any(row[k].text != NONE for row in table.cells)]
    return Table(
        table.label, [table.heads[k] for k in kept], [[row[k] for k in kept] for row in table.cells], table.caption,
        table.style,
    )  # fmt: skip


def outcome_cell(error: MeasuredError, outcome: Outcome | None = None) -> Cell:
    """How much of its tolerance a figure used; `outcome`: that of all figures for which it stands."""
    used = share_used(error)
    outcome = outcome or of_figure(error)
    text = share(used) if used is not None else "" if outcome is not Outcome.PASSED else "no limit"
    # Where 100 % is not what decided, the word says what did.
    word = outcome.word if outcome is not Outcome.PASSED else ""
    return Cell(" ".join(filter(None, (text, word))) or NONE, outcome=outcome, used=used)
