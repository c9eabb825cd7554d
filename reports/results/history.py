"""Drift: the worst share of tolerance and the speed of every pipeline over stored runs.

Runs in (the current ones among them), data of charts and of a table out: small charts by machine and pipeline, because
speeds of different machines cannot be compared, and one table with every run.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from auparity.reports.page_text import NONE
from auparity.reports.results.figures import failed_because, figure_name, share_used, worst
from auparity.reports.results.records import Results
from auparity.reports.results.svg import Chart, Drawing, Scale, axes, disc, line, linear, rule, text
from auparity.reports.results.table_data import Cell, Table
from auparity.reports.results.text import SPACE, day, milliseconds, moment, share, short

_SIZE = (340, 150)
#: Largest numbers of runs in a chart, and of charts and rows on a page; the latest are kept.
MOST_RUNS, MOST_CHARTS, MOST_ROWS = 60, 36, 100
#: Letters of a run's date, for which there is room below a chart.
DATE = 10


@dataclass(frozen=True)
class Point:
    """One run in a chart."""

    label: str  #: date and commit
    value: float


def in_order(results: Sequence[Results], history: Sequence[Results]) -> list[Results]:
    """All runs once, oldest first; runs without a valid date come first."""
    runs: list[Results] = []
    for run in [*history, *results]:
        if run not in runs:
            runs.append(run)
    never = datetime.min.replace(tzinfo=UTC)
    return sorted(runs, key=lambda run: moment(run.provenance.date) or never)


def machine_name(run: Results) -> str:
    """The description of a machine under which runs are grouped."""
    return str(run.provenance.machine.get("id") or "unnamed machine")


def run_label(run: Results) -> str:
    """Date and commit."""
    commit = run.provenance.commit
    clean = commit.removesuffix("-dirty")
    return f"{day(run.provenance.date)} {clean[:9]}{'-dirty' if clean != commit else ''}".strip()


@dataclass(frozen=True)
class Drift:
    """Stored runs, drawn and listed."""

    charts: list[Chart]
    left_out: int  #: charts beyond `MOST_CHARTS`
    table: Table


def drift(results: Sequence[Results], history: Sequence[Results]) -> Drift | None:
    """Charts of what was measured more than once, and the table of runs; None if there is only one run."""
    runs = in_order(results, history)
    if len(runs) < 2:
        return None
    shares, speeds = _share_points(runs), _speed_points(runs)
    charts = [
        _chart(f"drift{k}", f"Largest share of tolerance, {machine}", "% of tolerance", points, limit=100.0)
        for k, (machine, points) in enumerate(shares.items())
        if len(points) > 1
    ]
    charts += [
        _chart(f"pace{k}", f"{pipeline}: {workload}, {machine}", "ms a frame (median)", points)
        for k, ((machine, workload, pipeline), points) in enumerate(speeds.items())
        if len(points) > 1
    ]
    return Drift(charts[:MOST_CHARTS], max(len(charts) - MOST_CHARTS, 0), _table(runs))


def _share_points(runs: Sequence[Results]) -> dict[str, list[Point]]:
    points: dict[str, list[Point]] = defaultdict(list)
    for run in runs:
        used = [value for error in run.errors if (value := share_used(error)) is not None]
        if used:
            points[machine_name(run)].append(Point(run_label(run), 100 * max(used)))
    return points


def _speed_points(runs: Sequence[Results]) -> dict[tuple[str, str, str], list[Point]]:
    points: dict[tuple[str, str, str], list[Point]] = defaultdict(list)
    for run in runs:
        for speed in run.speeds:
            key = (machine_name(run), speed.workload, speed.pipeline)
            points[key].append(Point(run_label(run), speed.ms_median))
    return points


def _chart(key: str, title: str, unit: str, points: Sequence[Point], limit: float | None = None) -> Chart:
    points = points[-MOST_RUNS:]
    values = np.array([point.value for point in points])
    finite = values[np.isfinite(values)]
    top = max([*finite.tolist(), limit or 0.0, 1e-9])
    x = Scale(0.0, max(len(points) - 1.0, 1.0), 34.0, _SIZE[0] - 10.0, ())
    y = linear(0.0, top, _SIZE[1] - 34.0, 20.0, 4)
    places = x(np.arange(len(points), dtype=np.float64))
    parts = axes(x, y, f"run, {len(points)} in order", unit)
    for k, anchor in ((0, ""), (len(points) - 1, "x end")):
        parts.append(text(places[k] - (10 if k == 0 else 0), _SIZE[1] - 21, points[k].label[:DATE], anchor))
    if limit is not None:
        parts.append(rule(x.start, y.at(limit), x.end, y.at(limit), "line limit"))
    # A share above a tolerance of 0 is infinite: it is drawn at the top.
    levels = y(np.where(np.isposinf(values), y.high, values))
    parts.append(line(places, levels, "found"))
    for place, level, point in zip(places, levels, points, strict=True):
        if math.isfinite(level):
            parts.append(disc(place, level, 3.0, "run", f"{point.label}: {short(point.value)} {unit}"))
    described = (
        f"{len(points)} runs from {points[0].label} to {points[-1].label}, {unit}: first {_said(values[0])}, last "
        f"{_said(values[-1])}"
        + (f", smallest {short(float(finite.min()))}, largest {short(float(finite.max()))}." if len(finite) else ".")
    )
    return Chart(Drawing(key, title, described, _SIZE, parts), title, f"{_said(values[0])} → {_said(values[-1])}")


def _said(value: float) -> str:
    return f"above{SPACE}0" if math.isinf(value) else short(value)


def _table(runs: Sequence[Results]) -> Table:
    rows: list[list[Cell | str]] = []
    for run in runs[-MOST_ROWS:][::-1]:
        most = worst(run.errors)
        failed = sum(bool(failed_because(error)) for error in run.errors)
        fastest = min(run.speeds, key=lambda s: s.ms_median, default=None)
        rows.append(
            [
                run_label(run), run.kind, machine_name(run), str(len(run.errors)),
                str(failed) if run.errors else NONE, NONE if most is None else share(share_used(most)),
                NONE if most is None else f"{most.workload}: {figure_name(most)} ({most.variant})",
                NONE if fastest is None else milliseconds(fastest.ms_median),
                NONE if fastest is None else f"{fastest.pipeline} on {fastest.workload}",
            ]
        )  # fmt: skip
    heads = [
        "run", "kind", "machine", "figures", "that failed", "largest share of tolerance", "where",
        "fastest, ms a frame", "which",
    ]  # fmt: skip
    left_out = f" The latest {MOST_ROWS} of {len(runs)}." if len(runs) > MOST_ROWS else ""
    return Table("Stored runs", heads, rows, f"Stored runs, latest first.{left_out}", "words")
