"""Runs as Markdown for a pull request: verdict, what failed, parity by variant, speed by workload.

`Results` in, text out, as short as possible: everything else is on the page.
"""

from __future__ import annotations

from auparity.reports.markdown import code, plain
from auparity.reports.results.figures import (
    REFERENCE,
    baseline_notes,
    failed_because,
    figure_name,
    golden_ratio,
    ordered_stages,
    share_used,
    verdict,
    worst,
)
from auparity.reports.results.records import MeasuredError, Results, Speed
from auparity.reports.results.text import day, milliseconds, share, short, times

MOST_FAILED = 20  #: figures that are listed one by one


def results_markdown(results: Results) -> str:
    """One run."""
    judged, where = verdict([results]), results.provenance
    machine = where.machine.get("cpu", "unknown machine")
    lines = [
        f"### auparity {plain(results.kind)}: {judged.word}",
        "",
        f"{judged.sentence().capitalize()} {plain(day(where.date))}, {plain(machine)}, commit "
        f"{plain(where.commit or 'unknown')}, {code(where.command)}",
    ]
    if judged.failed:
        lines += ["", "| failed | error | tolerance | baseline | why |", "|---|---|---|---|---|"]
        lines += [_failed(error) for _, error in judged.failed[:MOST_FAILED]]
        left = len(judged.failed) - MOST_FAILED
        lines += [f"\nand {left} more"] if left > 0 else []
    lines += [f"\n{plain(note)}" for note in baseline_notes([results])]
    lines += _parity(results.errors)
    for work in dict.fromkeys(speed.workload for speed in results.speeds):
        lines += _speeds(work, [speed for speed in results.speeds if speed.workload == work], results)
    if results.skipped:
        lines += ["", "<details><summary>Not run</summary>", ""]
        lines += [f"- {plain(entry.what)}: {plain(entry.why)}" for entry in results.skipped]
        lines += ["", "</details>"]
    return "\n".join(lines) + "\n"


def _failed(error: MeasuredError) -> str:
    name = f"{error.workload} {error.way} {error.stage} {error.variant}: {figure_name(error)}"
    return (
        f"| {plain(name)} | {short(error.error)} | {short(error.tolerance)} | {short(error.baseline)} "
        f"| {plain(failed_because(error))} |"
    )


def _parity(errors: list[MeasuredError]) -> list[str]:
    if not errors:
        return []
    lines = ["", "| parity | figures | worst share of its tolerance | of |", "|---|---|---|---|"]
    stages = [error for error in errors if error.stage]
    groups = [
        (f"{stage} {variant}", [e for e in stages if (e.stage, e.variant) == (stage, variant)])
        for stage in ordered_stages(e.stage for e in stages)
        for variant in dict.fromkeys(e.variant for e in stages if e.stage == stage)
    ]
    whole = [error for error in errors if not error.stage]
    groups += [
        (" ".join(filter(None, key)), [e for e in whole if (e.workload, e.way, e.variant) == key])
        for key in dict.fromkeys((e.workload, e.way, e.variant) for e in whole)
    ]
    for name, some in groups:
        largest = worst(some)
        if largest is not None:
            lines.append(
                f"| {plain(name)} | {len(some)} | {share(share_used(largest))} | {plain(figure_name(largest))} |"
            )
    return lines


def _speeds(workload: str, speeds: list[Speed], results: Results) -> list[str]:
    lines = ["", f"| {plain(workload)} | ms a frame | p95 | times the reference |", "|---|---|---|---|"]
    for speed in speeds:
        ratio, together = golden_ratio(speed, results)
        spread = ""
        if len(speed.golden_ratios) > 1 and ratio is not None and speed.pipeline != REFERENCE:
            spread = f" ({times(min(speed.golden_ratios))} to {times(max(speed.golden_ratios))})"
        mark = "" if together or ratio is None else ", medians"
        lines.append(
            f"| {plain(speed.pipeline)} | {milliseconds(speed.ms_median)} | {milliseconds(speed.ms_p95)} "
            f"| {times(ratio)}{spread}{mark} |"
        )
    return lines
