"""The parity of some runs as a page shows it: what was compared, stage by variant, whole pipelines, every figure.

`Results` in, tables out. Every outcome is that of `outcomes.of_figures`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

from auparity.reports.page_text import NONE
from auparity.reports.results.figures import (
    WAYS,
    failed_because,
    figure_name,
    matrix,
    severity,
    worst,
)
from auparity.reports.results.outcomes import BASELINE_WAY, Outcome, of_figure, of_figures
from auparity.reports.results.records import MeasuredError, Results
from auparity.reports.results.table_data import Cell, Table, outcome_cell, without_empty
from auparity.reports.results.text import counted, listed, short

#: Failed and drifted figures at the top of the page at most; all are in the list of every figure.
MOST_FAILED = 60
#: Largest length of the list of every figure, so that the page opens on a telephone.
MOST_LISTED = 2000
#: Names of variants in a cell at most.
MOST_NAMED = 6
#: What the ways of comparing are called, and what each of them does.
_WAYS = {
    "stage": ("Stage by stage", "Each stage gets the inputs that it got in a run of the reference."),
    "one step": ("One step", "Each frame starts from the state that the reference had after the frame before."),
    "chained": ("Chained", "A whole clip, each frame from the pipeline's own state."),
    "photographs": ("Images", "Each image by itself, through the whole pipeline."),
    "several faces": ("Several faces", "Clips with more than one person."),
    "networks": ("Networks", "Clips whose faces or landmarks networks find."),
    "batch": ("Batches", "The same frames in batches of different sizes give the same numbers."),
    "parallel": ("Processes and parts", "The same clips in several processes, whole and cut into parts."),
    "timed run": ("Timed run", "The pipelines that were timed, on the frames on which they were timed."),
}


@dataclass(frozen=True)
class MatrixCell:
    """One variant of one stage: a cell, and what a click on it says."""

    key: str
    cell: Cell
    name: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class MatrixRow:
    """One stage."""

    stage: str
    cells: list[MatrixCell | None]


@dataclass(frozen=True)
class MatrixView:
    """Stages by variants."""

    variants: list[str]
    rows: list[MatrixRow]


def compared(results: Sequence[Results]) -> Table | None:
    """What was compared, how, and on what: a row for each way."""
    errors = [error for error in _errors(results) if error.way != BASELINE_WAY]
    if not errors:
        return None
    rows: list[list[Cell | str]] = []
    for some in _groups(errors, lambda error: error.way):
        way, explanation = _WAYS.get(some[0].way, (some[0].way, ""))
        names = [*dict.fromkeys(error.variant for error in some)]
        stages = len({error.stage for error in some if error.stage})
        rest = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        what = f"{listed(names[:MOST_NAMED])}{rest}" if not rest else f"{', '.join(names[:MOST_NAMED])}{rest}"
        rows.append(
            [
                Cell(way, notes=(explanation,) if explanation else ()),
                Cell(what, notes=(counted(stages, "stage"),) if stages else ()),
                listed(dict.fromkeys(error.workload for error in some)) or NONE, str(len(some)),
                _worst_cell(some), figure_name(_worst(some)),
            ]
        )  # fmt: skip
    heads = ["comparison", "of what", "on", "figures", "largest share of tolerance", "which figure"]
    return Table("What was compared, on what", heads, rows, style="words")


def stage_matrix(results: Sequence[Results]) -> MatrixView | None:
    """The worst figure of every variant of every stage."""
    cells = matrix(results)
    if not cells.cells:
        return None
    errors = [error for error in _errors(results) if error.way == "stage"]
    rows = []
    for j, stage in enumerate(cells.stages):
        row: list[MatrixCell | None] = []
        for k, variant in enumerate(cells.variants):
            cell = cells.cells.get((stage, variant))
            some = [error for error in errors if (error.stage, error.variant) == (stage, variant)]
            shown = (
                None if cell is None else _matrix_cell(f"cell-{j}-{k}", stage, variant, some, cell.unavailable_reason)
            )
            row.append(shown)
        rows.append(MatrixRow(stage, row))
    return MatrixView(cells.variants, rows)


def pipelines(results: Sequence[Results]) -> Table | None:
    """One row for each way of comparing a whole pipeline with the reference on a workload: its worst figure."""
    errors = [error for error in _errors(results) if error.way not in ("stage", BASELINE_WAY)]
    if not errors:
        return None
    rows: list[list[Cell | str]] = []
    for some in _groups(errors, lambda error: (error.workload, error.way, error.variant)):
        most = _worst(some)
        way = _WAYS.get(most.way, (most.way, ""))[0]
        rows.append(
            [most.variant, most.workload, way, str(len(some)), _worst_cell(some), figure_name(most), *_numbers(most)]
        )
    heads = ["pipeline", "workload", "comparison", "figures", "largest share of tolerance", "which figure", *_NUMBERS]
    return without_empty(
        Table("Whole pipelines", heads, rows, "Every row stands for the worst of its figures.", "words")
    )


def not_passed(results: Sequence[Results]) -> tuple[Table, int] | None:
    """The figures because of which the runs did not pass, worst first, and how many more there are."""
    errors = [error for error in _errors(results) if of_figure(error) is not Outcome.PASSED]
    if not errors:
        return None
    errors = _worst_first(errors)
    table = _figures_table("Figures that did not pass", errors[:MOST_FAILED], "Worst first.")
    return table, max(len(errors) - MOST_FAILED, 0)


def every_figure(results: Sequence[Results]) -> Table | None:
    """All figures with units and reasons, those that did not pass first, then the largest shares."""
    errors = _worst_first(_errors(results))
    if not errors:
        return None
    left_out = f" The first {MOST_LISTED} of {len(errors)}." if len(errors) > MOST_LISTED else ""
    caption = f"The largest shares first. Below each figure is the reason of its tolerance.{left_out}"
    return _figures_table("Every figure", errors[:MOST_LISTED], caption, reasons=True)


_NUMBERS = ("error", "tolerance", "baseline")


def _figures_table(label: str, errors: Sequence[MeasuredError], caption: str, *, reasons: bool = False) -> Table:
    rows: list[list[Cell | str]] = []
    for error in errors:
        way = _WAYS.get(error.way, (error.way, ""))[0]
        rows.append(
            [
                Cell(figure_name(error), notes=(error.reason,) if reasons and error.reason else ()),
                outcome_cell(error), Cell(error.variant or NONE, notes=(error.stage,) if error.stage else ()),
                Cell(error.workload or NONE, notes=(way,)), *_numbers(error),
                NONE if reasons else failed_because(error).lower() or NONE,
            ]
        )  # fmt: skip
    heads = ["figure", "share of tolerance", "variant", "workload", *_NUMBERS, "why it did not pass"]
    return without_empty(Table(label, heads, rows, caption, "words"))


def _numbers(error: MeasuredError) -> list[Cell | str]:
    unit = f" {error.unit}" if error.unit else ""
    baseline = short(error.baseline)
    if error.baseline is not None and error.margin is not None:
        baseline += f" + {short(error.margin)}"
    measured = error.way != BASELINE_WAY
    value = f"{short(error.error, 4)}{unit}" if error.error is not None else "not finite" if measured else NONE
    return [value, short(error.tolerance) if error.tolerance is not None else "any" if measured else NONE, baseline]


def _matrix_cell(key: str, stage: str, variant: str, errors: Sequence[MeasuredError], skipped: str) -> MatrixCell:
    if not errors:
        cell = Cell(Outcome.SKIPPED.word, outcome=Outcome.SKIPPED)
        return MatrixCell(key, cell, f"{stage}, {variant}", (("not run, because", skipped),))
    most = _worst(errors)
    value, limit, baseline = (str(text) for text in _numbers(most))
    facts = [
        ("figures", str(len(errors))), ("largest share", figure_name(most)), ("on", most.workload), ("error", value),
        ("tolerance", limit), ("because of", most.reason), ("baseline + margin", baseline),
        ("did not pass", failed_because(most).lower()), ("in part not run", skipped),
    ]  # fmt: skip
    known = tuple((name, fact) for name, fact in facts if fact not in ("", NONE))
    return MatrixCell(key, _worst_cell(errors), f"{stage}, {variant}", known)


def _worst_cell(errors: Sequence[MeasuredError]) -> Cell:
    return outcome_cell(_worst(errors), of_figures(errors))


def _worst(errors: Sequence[MeasuredError]) -> MeasuredError:
    """The figure that stands for all: of the worst outcome, the one that used most of its tolerance."""
    outcome = of_figures(errors)
    most = worst(error for error in errors if of_figure(error) is outcome)
    assert most is not None, "groups are not empty"
    return most


def _worst_first(errors: Iterable[MeasuredError]) -> list[MeasuredError]:
    order = list(Outcome)
    return sorted(errors, key=lambda error: (-order.index(of_figure(error)), -severity(error)))


def _errors(results: Sequence[Results]) -> list[MeasuredError]:
    return [error for run in results for error in run.errors]


def _groups(errors: Sequence[MeasuredError], key: Callable[[MeasuredError], Hashable]) -> Iterable[list[MeasuredError]]:
    """Groups in the order of their ways, and within one in the order of the files."""
    groups: dict[Hashable, list[MeasuredError]] = {}
    for error in errors:
        groups.setdefault(key(error), []).append(error)
    return sorted(groups.values(), key=lambda some: WAYS.index(some[0].way) if some[0].way in WAYS else len(WAYS))
