"""The parity sections of a results page: verdict, failed figures, variants by stage, whole pipelines, every figure.

`Results` in, HTML out. The share of its tolerance that an error uses is written, drawn as a bar and coloured; nothing
is expressed by colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from auparity.reports.results.figures import (
    REFERENCE,
    WAYS,
    Cell,
    Verdict,
    baseline_notes,
    failed_because,
    figure_name,
    golden_ratio,
    matrix,
    severity,
    share_used,
    verdict,
    worst,
)
from auparity.reports.results.records import MeasuredError, Results
from auparity.reports.results.text import counted, fixed, row, safe, share, short, table, times

#: Failed figures at the top of the page at most; all are in the list of every figure.
MOST_FAILED = 60
#: Largest length of the list of every figure, so that the page opens on a telephone.
MOST_LISTED = 4000


def head(results: Sequence[Results]) -> str:
    """The verdict in words, followed by the failed figures."""
    judged = verdict(results)
    style = "bad" if judged.failed else "good" if judged.figures else "faint"
    notes = "".join(f"<p>{safe(note)}</p>\n" for note in baseline_notes(results))
    return (
        f'<p class="verdict"><strong class="{style}">{judged.word}</strong>: {safe(judged.sentence())}</p>\n'
        f"{notes}{_failed(judged)}"
    )


def tiles(results: Sequence[Results]) -> str:
    """The most important figures, as (value, what it is)."""
    judged, errors = verdict(results), [error for run in results for error in run.errors]
    items = []
    if judged.figures:
        items.append(
            (
                f"{judged.figures - len(judged.failed)} of {judged.figures}",
                "figures within tolerance, and baseline where there is one",
            )
        )
        used = [error for error in errors if share_used(error) is not None]
        if (most := worst(used)) is not None:
            items.append(
                (share(share_used(most)), f"of its tolerance used by the worst: {figure_name(most)}, {most.variant}")
            )
    ratios = [
        (ratio, speed)
        for run in results
        for speed in run.speeds
        if speed.pipeline != REFERENCE
        and not speed.pipeline.startswith("peer")
        and (ratio := golden_ratio(speed, run)[0])
    ]
    if ratios:
        ratio, speed = max(ratios, key=lambda pair: pair[0])
        items.append((times(ratio), f"as fast as the reference, {speed.pipeline} on {speed.workload}"))
        items.append((f"{fixed(1000 / speed.ms_mean, 1) if speed.ms_mean > 0 else '–'}", "frames a second, the same"))
    if skipped := sum(len(run.skipped) for run in results):
        items.append((str(skipped), "not run, with reasons below"))
    if not items:
        return ""
    inner = "\n".join(f"<li><b>{safe(value)}</b><span>{safe(what)}</span></li>" for value, what in items)
    return f'<ul class="tiles">\n{inner}\n</ul>'


def _failed(judged: Verdict) -> str:
    if not judged.failed:
        return ""
    rows = [
        row(
            safe(figure_name(error)),
            [
                safe(error.workload),
                safe(error.way),
                safe(error.stage or "whole pipeline"),
                safe(error.variant),
                *_numbers(error),
            ],
        )
        for _, error in judged.failed[:MOST_FAILED]
    ]
    rest = len(judged.failed) - MOST_FAILED
    more = f"<p>{rest} more are in the list of every figure.</p>" if rest > 0 else ""
    return table("Figures that failed", ["figure", "workload", "way", "stage", "variant", *_NUMBERS], rows,
                 "Failed, worst first", "words") + more  # fmt: skip


_NUMBERS = ("error", "tolerance", "of tolerance", "baseline", "verdict")


def _numbers(error: MeasuredError) -> list[str]:
    unit = f" {safe(error.unit)}" if error.unit else ""
    baseline = short(error.baseline)
    if error.baseline is not None and error.margin is not None:
        baseline += f" + {short(error.margin)}"
    why = failed_because(error)
    outcome = f'<strong class="bad">failed</strong>: {safe(why)}' if why else "passed"
    return [
        "not finite" if error.error is None else f"{short(error.error, 4)}{unit}",
        "any" if error.tolerance is None else short(error.tolerance), _share_cell(error), baseline, outcome,
    ]  # fmt: skip


def _share_cell(error: MeasuredError, more: str = "") -> str:
    """A cell with the share as number, bar and colour."""
    used, failed = share_used(error), bool(failed_because(error))
    style = "over" if failed else "none" if used is None else f"h{min(4, int(5 * used))}"
    width = 100.0 if failed else 100 * min(used or 0.0, 1.0)
    mark = "\N{MULTIPLICATION X} " if failed else ""
    content = f"<b>{mark}{share(used)}</b>{more}"
    return f'<td class="cell {style}" style="--used:{width:.1f}%">{content}</td>'


def matrix_table(results: Sequence[Results]) -> str:
    """Variants by stage."""
    cells_by_variant = matrix(results)
    if not cells_by_variant.cells:
        return "<p>No stage was compared with the reference.</p>"
    rows = [
        row(safe(stage), [_cell(cells_by_variant.cells.get((stage, variant))) for variant in cells_by_variant.variants])
        for stage in cells_by_variant.stages
    ]
    caption = (
        "Each stage on inputs of a reference run. In every cell: the largest share of its tolerance that any figure "
        "uses over all workloads, with that figure, its error and its tolerance. A dash: no such variant in these runs."
    )
    key = " ".join(
        f'<span class="swatch h{k}">{words}</span>'
        for k, words in enumerate(("below 20 %", "below 40 %", "below 60 %", "below 80 %", "up to 100 %"))
    )
    legend = f'<p class="legend">{key} <span class="swatch over">\N{MULTIPLICATION X} failed</span></p>'
    heads = ["stage", *map(safe, cells_by_variant.variants)]
    return legend + table("Parity of variants by stage", heads, rows, caption, "matrix")


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "–"
    if cell.worst is None:
        return f'<td class="skip"><b>not run</b><small>{safe(cell.unavailable_reason)}</small></td>'
    error = cell.worst
    limit = "any" if error.tolerance is None else short(error.tolerance)
    more = f"<small>{safe(figure_name(error))}: {short(error.error)} of {limit}</small>"
    if cell.unavailable_reason:
        more += f"<small>in part not run: {safe(cell.unavailable_reason)}</small>"
    return _share_cell(error, more)


def pipelines_table(results: Sequence[Results]) -> str:
    """One row for each way of comparing a whole pipeline with the reference on a workload: its worst figure."""
    errors = [error for run in results for error in run.errors if error.way != "stage"]
    if not errors:
        return "<p>No whole pipeline was compared with the reference.</p>"
    order = {name: k for k, name in enumerate(dict.fromkeys(error.workload for error in errors))}

    def group(error: MeasuredError) -> tuple[int, int, str]:
        return order[error.workload], WAYS.index(error.way) if error.way in WAYS else len(WAYS), error.variant

    rows = []
    for _, some in groupby(sorted(errors, key=group), key=group):
        errors_of_group = list(some)
        most = worst(errors_of_group)
        assert most is not None  # groups are not empty
        cells = [
            safe(most.way),
            safe(most.variant),
            str(len(errors_of_group)),
            safe(figure_name(most)),
            *_numbers(most),
        ]
        rows.append(row(safe(most.workload), cells))
    caption = (
        "One step: every frame from the reference state of the frame before. Chained: the clip from the pipeline's own "
        "state. Batch: values that differ between batches of different sizes. Every row is the worst of its figures."
    )
    heads = ["workload", "way", "pipeline", "figures", "worst figure", *_NUMBERS]
    return table("Whole pipelines by workload", heads, rows, caption, "words")


def every_figure(results: Sequence[Results]) -> str:
    """All figures with units and reasons, the largest shares first, folded away."""
    errors = sorted(
        (error for run in results for error in run.errors), key=lambda e: (not failed_because(e), -severity(e))
    )
    if not errors:
        return ""
    rows = [
        row(
            safe(figure_name(error)),
            [
                safe(error.workload),
                safe(error.way),
                safe(error.stage),
                safe(error.variant),
                *_numbers(error),
                safe(error.reason),
            ],
        )
        for error in errors[:MOST_LISTED]
    ]
    left_out = f" The first {MOST_LISTED} of {len(errors)}." if len(errors) > MOST_LISTED else ""
    heads = ["figure", "workload", "way", "stage", "variant", *_NUMBERS, "why this tolerance"]
    return (
        f"<details><summary>Every figure: {counted(len(errors), 'row')}</summary>\n"
        + table("Every figure", heads, rows, f"Failed first, then by the share of tolerance used.{left_out}", "words")
        + "</details>"
    )
