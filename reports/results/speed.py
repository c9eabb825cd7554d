"""The speed of pipelines as a page shows it: a chart and tables of each workload, and where the time of each goes.

`Results` in, data of charts and tables out. Beside every speed is the parity of the same pipeline in the same run,
because a speed whose numbers nobody compared does not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from auparity.reports.page_text import NONE
from auparity.reports.results.charts import speed_chart, stage_chart
from auparity.reports.results.figures import (
    PEER,
    REFERENCE,
    golden_ratio,
    ordered_stages,
    peer_ratios,
    worst,
)
from auparity.reports.results.history import machine_name, run_label
from auparity.reports.results.outcomes import Outcome, of_figures
from auparity.reports.results.records import Results, Speed
from auparity.reports.results.svg import Drawing
from auparity.reports.results.table_data import Cell, Table, outcome_cell, without_empty
from auparity.reports.results.text import counted, fixed, listed, milliseconds, share, times


@dataclass(frozen=True)
class WorkloadSpeed:
    """Pipelines on a workload in a run."""

    title: str
    run: str  #: which run, where there are several
    chart: Drawing | None
    table: Table
    details: Table


@dataclass(frozen=True)
class StageTimes:
    """Where the time of a pipeline goes."""

    title: str
    run: str
    most: str  #: the time of a frame, and the stage that takes most of it
    chart: Drawing
    table: Table
    floors: bool


def workload_speeds(results: Sequence[Results]) -> list[WorkloadSpeed]:
    """Every workload of every run."""
    parts = []
    for k, run in enumerate(results):
        for j, workload in enumerate(dict.fromkeys(speed.workload for speed in run.speeds)):
            speeds = [speed for speed in run.speeds if speed.workload == workload]
            chart = speed_chart(f"speed{k}-{j}", workload, speeds, run)
            label = f"Speed {k + 1}.{j + 1}: {workload}"
            tables = _speeds(label, speeds, run), _details(f"{label}, in detail", speeds)
            parts.append(WorkloadSpeed(workload, _of(run, results), chart, *tables))
    return parts


def stage_times(results: Sequence[Results]) -> list[StageTimes]:
    """Every pipeline with timed stages; the reference is in columns of the other tables."""
    parts = []
    for k, run in enumerate(results):
        for j, speed in enumerate(run.speeds):
            alone = not any(s.stages and s.pipeline != REFERENCE for s in run.speeds if s.workload == speed.workload)
            if speed.stages and not speed.pipeline.startswith(PEER) and (alone or speed.pipeline != REFERENCE):
                title = f"{speed.pipeline} on {speed.workload}"
                table = _stages(f"Stages {k + 1}.{j + 1}: {title}", speed)
                floors = any(stage.floor_ms for stage in speed.stages)
                chart = stage_chart(f"stage{k}-{j}", speed)
                parts.append(StageTimes(title, _of(run, results), _most(speed), chart, table, floors))
    return parts


def _speeds(label: str, speeds: Sequence[Speed], run: Results) -> Table:
    rows: list[list[Cell | str]] = []
    for speed in speeds:
        ratio, paired = golden_ratio(speed, run)
        peers = [f"{times(value)} {name}" for name, value in peer_ratios(speed, run).items()]
        ratio_cell = Cell(f"{'' if paired or ratio is None else '≈'}{times(ratio)}", notes=_range(speed.golden_ratios))
        rows.append(
            [
                speed.pipeline, milliseconds(speed.ms_median),
                fixed(1000 / speed.ms_mean, 1) if speed.ms_mean > 0 else NONE, ratio_cell, _parity(speed, run),
                Cell(peers[0], notes=tuple(peers[1:])) if peers else NONE, fixed(speed.start_s, 2),
            ]
        )  # fmt: skip
    heads = [
        "pipeline", "ms a frame", "frames a second", "times the reference", "parity: share of tolerance",
        "times a peer", "start, s",
    ]  # fmt: skip
    return without_empty(Table(label, heads, rows))


def _parity(speed: Speed, run: Results) -> Cell:
    """What the figures of this pipeline on this workload say."""
    if speed.pipeline == REFERENCE:
        return Cell("is the reference")
    errors = [e for e in run.errors if (e.variant, e.workload) == (speed.pipeline, speed.workload)]
    outcome = of_figures(errors)
    most = worst(errors)
    if most is None:
        return Cell("not compared", outcome=Outcome.SKIPPED)
    return outcome_cell(most, outcome)


def _details(label: str, speeds: Sequence[Speed]) -> Table:
    rows: list[list[Cell | str]] = [
        [
            Cell(speed.pipeline, notes=(_variants(speed),) if speed.variants else ()), milliseconds(speed.ms_mean),
            milliseconds(speed.ms_p95), milliseconds(speed.cpu_ms), milliseconds(speed.first_frame_ms),
            fixed(speed.start_cpu_s, 2), fixed(speed.peak_mib, 0),
            _passes(speed.repeats), speed.note or NONE,
        ]
        for speed in speeds
    ]  # fmt: skip
    heads = [
        "pipeline", "mean, ms", "95 % are below, ms", "CPU time, ms", "first frame, ms", "start, CPU s",
        "peak memory, MiB", "medians of passes, ms", "note",
    ]  # fmt: skip
    return without_empty(Table(label, heads, rows))


def _variants(speed: Speed) -> str:
    """The variants of the stages; a variant of many stages is named once."""
    by_variant: dict[str, list[str]] = {}
    for stage in ordered_stages(speed.variants):
        by_variant.setdefault(speed.variants[stage], []).append(stage)
    if len(by_variant) == 1:
        return f"{next(iter(by_variant))} in every stage"
    most = max(by_variant, key=lambda name: len(by_variant[name]))
    others = [f"{name} in {listed(stages)}" for name, stages in by_variant.items() if name != most]
    return f"{most}; {'; '.join(others)}"


def _range(values: Iterable[float]) -> tuple[str, ...]:
    numbers = list(values)
    return (f"{times(min(numbers))} to {times(max(numbers))}",) if len(numbers) > 1 else ()


def _passes(values: Sequence[float]) -> str:
    if not values:
        return NONE
    return f"{milliseconds(min(values))} to {milliseconds(max(values))} in {counted(len(values), 'pass', 'passes')}"


def _most(speed: Speed) -> str:
    longest = max(speed.stages, key=lambda stage: stage.ms)
    part = share(longest.ms / speed.ms_mean) if speed.ms_mean > 0 else NONE
    return f"{milliseconds(speed.ms_mean)} ms a frame, of which {longest.stage} takes {part}"


def _stages(label: str, speed: Speed) -> Table:
    by_name = {stage.stage: stage for stage in speed.stages}
    rows: list[list[Cell | str]] = []
    total = sum(stage.ms for stage in speed.stages)
    whole = max(speed.ms_mean, total) or 1.0
    for name in ordered_stages(by_name):
        stage = by_name[name]
        reference = stage.golden_ms / stage.ms if stage.golden_ms is not None and stage.ms > 0 else None
        rows.append(
            [
                Cell(stage.stage, notes=(stage.variant,)), milliseconds(stage.ms), share(stage.ms / whole),
                fixed(stage.calls, 2), milliseconds(stage.golden_ms), times(reference), milliseconds(stage.floor_ms),
                times(stage.ms / stage.floor_ms) if stage.floor_ms else NONE,
            ]
        )  # fmt: skip
    rest = speed.ms_mean - total
    if rest > 0:
        rows.append(["between the stages", milliseconds(rest), share(rest / whole), *[NONE] * 5])
    heads = [
        "stage", "ms a frame", "share", "calls a frame", "reference, ms", "times the reference", "floor, ms",
        "times the floor",
    ]  # fmt: skip
    caption = f"{milliseconds(speed.ms_mean)} ms a frame in the mean"
    return without_empty(Table(label, heads, rows, caption))


def _of(run: Results, results: Sequence[Results]) -> str:
    return f"{machine_name(run)}, {run_label(run)}" if sum(bool(each.speeds) for each in results) > 1 else ""
