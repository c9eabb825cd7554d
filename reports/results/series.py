"""How well each action unit of a candidate agrees with the reference: over time, against each other, and Bland-Altman.

A `Series` in, data of its table and charts out: a row and a card for each AU. All clips of a page share one budget of
points, so that a page over many runs stays small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from auparity.reports.action_units import ACTION_UNITS, FULL_INTENSITY
from auparity.reports.page_text import NONE
from auparity.reports.results.face import face_charts
from auparity.reports.results.figures import Agreement, agreement, au_names, au_values
from auparity.reports.results.records import Series
from auparity.reports.results.svg import (
    Array,
    Chart,
    Drawing,
    Scale,
    Shape,
    axes,
    box,
    dots,
    line,
    linear,
    rule,
    thin_line,
    thin_points,
)
from auparity.reports.results.table_data import Cell, Table
from auparity.reports.results.text import TIMES, share, short

#: Points of one chart at most, and of all charts of one kind of one AU over the whole page.
MOST_POINTS, LEAST_POINTS, BUDGET = 600, 80, 2400
#: Largest number of series that are drawn; the others have only their tables.
MOST_SERIES = 16
_TIME, _SQUARE = (340, 138), (170, 172)


@dataclass(frozen=True)
class Face:
    """Landmark errors of a series."""

    title: str
    charts: list[Chart]


@dataclass(frozen=True)
class Card:
    """The charts of an action unit."""

    name: str
    title: str
    note: str
    over_time: Drawing | None = None
    pair: tuple[Drawing, ...] = ()


@dataclass(frozen=True)
class Clip:
    """Agreement of action units in a series."""

    title: str
    table: Table
    cards: list[Card]  #: empty beyond the first `MOST_SERIES` clips


def faces(series: Sequence[Series]) -> list[Face]:
    """Landmark errors of every series that has them."""
    drawn = [
        Face(f"{one.pipeline} on {one.workload}", face_charts(f"face{k}", one))
        for k, one in enumerate(series[:MOST_SERIES])
    ]
    return [one for one in drawn if one.charts]


def clips(series: Sequence[Series]) -> list[Clip]:
    """Table and cards of every series with action units."""
    with_aus = [(k, one) for k, one in enumerate(series) if au_names(one)]
    most = max(LEAST_POINTS, min(MOST_POINTS, BUDGET // max(min(len(with_aus), MOST_SERIES), 1)))
    return [
        Clip(
            f"{one.pipeline} on {one.workload}",
            _table(k, one),
            [_card(f"au{k}-{j}", one, name, most) for j, name in enumerate(au_names(one))]
            if place < MOST_SERIES
            else [],
        )
        for place, (k, one) in enumerate(with_aus)
    ]


def _both(series: Series, name: str) -> tuple[Array, Array]:
    """Pairs of known values (N,)."""
    reference, candidate = au_values(series, name)
    finite = np.isfinite(reference)
    return reference[finite], candidate[finite]


def _table(k: int, series: Series) -> Table:
    rows: list[list[Cell | str]] = []
    for name in au_names(series):
        agreed = agreement(*_both(series, name))
        head = Cell(name, notes=tuple(filter(None, [ACTION_UNITS.get(name, "")])))
        if agreed is None:
            rows.append([head, "0", *[NONE] * 9])
            continue
        floor = series.au_floor.get(name)
        over = None if not floor else agreed.mean_distance / floor
        rows.append(
            [
                head, str(agreed.frames), short(agreed.mean_reference), short(agreed.mean_candidate),
                short(agreed.mean_distance), short(floor), NONE if over is None else f"{short(over, 2)}{TIMES}",
                short(agreed.largest), short(agreed.bias), f"{short(agreed.limits[0])} to {short(agreed.limits[1])}",
                _r(agreed),
            ]
        )  # fmt: skip
    heads = [
        "AU", "frames", "mean, reference", "mean, candidate", "mean distance", "its platform floor", "times the floor",
        "largest distance", "bias", "limits of agreement", "r",
    ]  # fmt: skip
    frames = len(series.seconds)
    tracked = sum(series.tracked) / frames if frames else None
    caption = (
        f"{frames} frames, both have a face in {share(tracked)}. Distance: absolute difference in intensity. Platform "
        "floor: the same for the reference with other roundings. Limits of agreement: bias \N{PLUS-MINUS SIGN} 1.96 "
        "standard deviations. A dash under r: one of the two does not move."
    )
    return Table(f"Agreement of AUs, series {k + 1}: {series.pipeline} on {series.workload}", heads, rows, caption)


def _r(agreed: Agreement) -> str:
    if agreed.r is None:
        return NONE
    # 0.99998 must not read as 1.
    return "1" if agreed.r >= 1 - 1e-9 else f"{min(agreed.r, 0.99999):.5f}".rstrip("0").replace("-", "\N{MINUS SIGN}")


def _card(key: str, series: Series, name: str, most: int) -> Card:
    reference, candidate = au_values(series, name)
    finite = np.isfinite(reference)
    agreed = agreement(reference[finite], candidate[finite])
    title = ACTION_UNITS.get(name, "")
    if agreed is None:
        return Card(name, title, "no pairs of values")
    full = max(FULL_INTENSITY, float(np.nanmax(reference)), float(np.nanmax(candidate)))
    plain = f"{name} of {series.pipeline} and reference on {series.workload}"
    known = (reference[finite], candidate[finite], agreed, full, most)
    return Card(
        name, title, f"r {_r(agreed)} · bias {short(agreed.bias, 2)}",
        _over_time(f"{key}-t", plain, series, reference, candidate, full, most),
        (_scatter(f"{key}-s", plain, *known), _bland_altman(f"{key}-b", plain, *known)),
    )  # fmt: skip


def _over_time(
    key: str, plain: str, series: Series, reference: Array, candidate: Array, full: float, most: int
) -> Drawing:
    seconds, unit = np.array(series.seconds[: len(reference)], np.float64), "time, s"
    if not np.isfinite(seconds).all() or (len(seconds) > 1 and not seconds[-1] > seconds[0]):
        seconds, unit = np.arange(len(reference), dtype=np.float64), "picture"
    x = linear(float(seconds[0]), float(seconds[-1]), 24.0, _TIME[0] - 8.0, 5)
    # The axis of time ends where the clip ends: round ends would leave a gap that looks like lost frames.
    x = Scale(float(seconds[0]), max(float(seconds[-1]), float(seconds[0]) + 1e-6), x.start, x.end,
              tuple(tick for tick in x.ticks if seconds[0] <= tick <= seconds[-1]))  # fmt: skip
    y = linear(0.0, full, _TIME[1] - 32.0, 18.0, 5)
    parts = _lost(x, seconds, ~np.isfinite(reference)) + axes(x, y, unit, "intensity, 0 to 5")
    for values, style in ((reference, "truth"), (candidate, "found")):
        kept = thin_line(values, most // 2)
        parts.append(line(x(seconds[kept]), y(values[kept]), style))
    distance = np.abs(candidate - reference)
    description = (
        f"Two lines over {len(seconds)} frames. Reference from {short(float(np.nanmin(reference)))} to "
        f"{short(float(np.nanmax(reference)))}; the candidate differs by {short(float(np.nanmean(distance)))} on "
        f"average and {short(float(np.nanmax(distance)))} at most."
    )
    return Drawing(key, f"{plain}, over time", description, _TIME, parts)


def _lost(x: Scale, seconds: Array, lost: Array) -> list[Shape]:
    """Shades where one of the two has no face; every frame takes half the way to its neighbours."""
    edges = np.concatenate([[seconds[0]], (seconds[:-1] + seconds[1:]) / 2, [seconds[-1]]])
    change = np.diff(np.concatenate([[0], lost.astype(int), [0]]))
    spans = zip(np.flatnonzero(change > 0), np.flatnonzero(change < 0), strict=True)
    return [box(x.at(edges[a]), 18, x.at(edges[b]) - x.at(edges[a]), _TIME[1] - 50, "lost") for a, b in spans]


def _scatter(
    key: str, plain: str, reference: Array, candidate: Array, agreed: Agreement, full: float, most: int
) -> Drawing:
    x = linear(0.0, full, 24.0, _SQUARE[0] - 8.0, 5)
    y = linear(0.0, full, _SQUARE[1] - 32.0, 18.0, 5)
    kept = thin_points(np.abs(candidate - reference), most)
    parts = [
        *axes(x, y, "reference, intensity", "candidate, intensity"),
        rule(x.start, y.start, x.end, y.end, "edge faint"),
    ]
    parts.append(dots(x(reference[kept]), y(candidate[kept])))
    description = (
        f"{agreed.frames} frames, reference across, candidate upward; the line is equality. r {_r(agreed)}, mean "
        f"distance {short(agreed.mean_distance)}."
    )
    return Drawing(key, f"{plain}, against each other", description, _SQUARE, parts)


def _bland_altman(
    key: str, plain: str, reference: Array, candidate: Array, agreed: Agreement, full: float, most: int
) -> Drawing:
    mean, difference = (reference + candidate) / 2, candidate - reference
    low, high = agreed.limits
    reach = max(float(np.abs(difference).max()), abs(low), abs(high))
    x = linear(0.0, full, 42.0, _SQUARE[0] - 8.0, 5)
    y = linear(-reach, reach, _SQUARE[1] - 32.0, 18.0, 4)
    kept = thin_points(np.abs(difference), most)
    parts = axes(x, y, "mean of both, intensity", "difference, intensity")
    parts.append(dots(x(mean[kept]), y(difference[kept])))
    for level, style in ((agreed.bias, "line bias"), (low, "line limit"), (high, "line limit")):
        parts.append(rule(x.start, y.at(level), x.end, y.at(level), style))
    description = (
        f"{agreed.frames} frames, mean of both across, candidate minus reference upward. Mean difference "
        f"{short(agreed.bias)}; 1.96 standard deviations reach from {short(low)} to {short(high)}."
    )
    return Drawing(key, f"{plain}, Bland-Altman", description, _SQUARE, parts)
