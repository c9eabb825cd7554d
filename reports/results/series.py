"""How well each action unit of a candidate agrees with the reference: over time, against each other, and Bland-Altman.

A `Series` in, HTML out: a table of figures and a card for each AU. All clips of a page share one budget of points, so
that a page over many runs stays small.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from auparity.reports.action_units import ACTION_UNITS, FULL_INTENSITY
from auparity.reports.results.face import face_charts
from auparity.reports.results.figures import Agreement, agreement, au_names, au_values
from auparity.reports.results.records import Series
from auparity.reports.results.svg import (
    Array,
    Scale,
    axes,
    box,
    dots,
    drawing,
    line,
    linear,
    rule,
    thin_line,
    thin_points,
)
from auparity.reports.results.text import TIMES, row, safe, share, short, table

#: Points of one chart at most, and of all charts of one kind of one AU over the whole page.
MOST_POINTS, LEAST_POINTS, BUDGET = 600, 80, 2400
#: Largest number of series that are drawn; the others have only their tables.
MOST_SERIES = 16
_TIME, _SQUARE = (340, 138), (170, 172)
_LEGEND = (
    '<p class="legend"><span><i class="key truth"></i>reference</span><span><i class="key found"></i>candidate</span>'
    '<span><i class="key limit"></i>mean difference \N{PLUS-MINUS SIGN} 1.96 sd</span></p>'
)


def landmark_section(series: Sequence[Series]) -> str:
    """Faces of every series."""
    parts = [
        f"<h3>{safe(one.pipeline)} on {safe(one.workload)}</h3>\n{charts}"
        for k, one in enumerate(series[:MOST_SERIES])
        if (charts := face_charts(f"face{k}", one))
    ]
    if not parts:
        return "<p>No run stored landmarks to compare with the reference.</p>"
    return (
        "<p>Mean distance of each landmark from the reference, over the frames in which both have a face, drawn where "
        "the landmark lies. The floor is the reference against itself when only its rounding changes; both have one "
        "scale.</p>\n" + "\n".join(parts)
    )


def au_section(series: Sequence[Series]) -> str:
    """Table and cards of every series."""
    with_aus = [(k, one) for k, one in enumerate(series) if au_names(one)]
    if not with_aus:
        return "<p>No run stored action units to compare with the reference.</p>"
    most = max(LEAST_POINTS, min(MOST_POINTS, BUDGET // min(len(with_aus), MOST_SERIES)))
    parts = [
        "<p>Intensities from 0 to 5 after calibration and smoothing, over frames in which both have a face. "
        "Differences are candidate minus reference. In the charts of differences (Bland-Altman: the mean of both "
        "against their difference) every AU has its own axis: read its ticks.</p>",
        _LEGEND,
    ]
    for drawn, (k, one) in enumerate(with_aus):
        parts.append(f"<h3>{safe(one.pipeline)} on {safe(one.workload)}</h3>\n{_table(k, one)}")
        if drawn < MOST_SERIES:
            cards = "".join(_card(f"au{k}-{j}", one, name, most) for j, name in enumerate(au_names(one)))
            parts.append(f'<div class="charts au">{cards}</div>')
        else:
            parts.append(f"<p>Not drawn: the page draws the first {MOST_SERIES} clips.</p>")
    return "\n".join(parts)


def _both(series: Series, name: str) -> tuple[Array, Array]:
    """Pairs of known values (N,)."""
    reference, candidate = au_values(series, name)
    finite = np.isfinite(reference)
    return reference[finite], candidate[finite]


def _table(k: int, series: Series) -> str:
    rows = []
    for name in au_names(series):
        agreed = agreement(*_both(series, name))
        head = f"<b>{safe(name)}</b> {safe(ACTION_UNITS.get(name, ''))}"
        if agreed is None:
            rows.append(row(head, ["0", *["–"] * 9]))
            continue
        floor = series.au_floor.get(name)
        over = None if not floor else agreed.mean_distance / floor
        rows.append(
            row(
                head,
                [
                    str(agreed.frames), short(agreed.mean_reference), short(agreed.mean_candidate),
                    short(agreed.mean_distance), short(floor), "–" if over is None else f"{short(over, 2)}{TIMES}",
                    short(agreed.largest), short(agreed.bias),
                    f"{short(agreed.limits[0])} to {short(agreed.limits[1])}", _r(agreed),
                ],
            )
        )  # fmt: skip
    heads = [
        "AU", "frames", "mean, reference", "mean, candidate", "mean distance", "its floor", "times floor",
        "largest distance", "bias", "limits of agreement", "r",
    ]  # fmt: skip
    frames = len(series.seconds)
    tracked = sum(series.tracked) / frames if frames else None
    caption = (
        f"{frames} frames, both have a face in {share(tracked)}. Distance: absolute difference in intensity. Floor: "
        "the same for the reference with other roundings. Limits of agreement: bias \N{PLUS-MINUS SIGN} 1.96 standard "
        "deviations. A dash under r: one of the two does not move."
    )
    return table(f"Agreement of AUs, series {k + 1}", heads, rows, caption)


def _r(agreed: Agreement) -> str:
    if agreed.r is None:
        return "–"
    # 0.99998 must not read as 1.
    return "1" if agreed.r >= 1 - 1e-9 else f"{min(agreed.r, 0.99999):.5f}".rstrip("0").replace("-", "\N{MINUS SIGN}")


def _card(key: str, series: Series, name: str, most: int) -> str:
    reference, candidate = au_values(series, name)
    finite = np.isfinite(reference)
    agreed = agreement(reference[finite], candidate[finite])
    title = f"<b>{safe(name)}</b> {safe(ACTION_UNITS.get(name, ''))}"
    if agreed is None:
        return f"<figure><figcaption><span>{title}</span><span>no pairs of values</span></figcaption></figure>"
    full = max(FULL_INTENSITY, float(np.nanmax(reference)), float(np.nanmax(candidate)))
    plain = f"{name} of {series.pipeline} and reference on {series.workload}"
    note = f"r {_r(agreed)} · bias {short(agreed.bias, 2)}"
    charts = [
        _over_time(f"{key}-t", plain, series, reference, candidate, full, most),
        '<div class="pair">',
        _scatter(f"{key}-s", plain, reference[finite], candidate[finite], agreed, full, most),
        _bland_altman(f"{key}-b", plain, reference[finite], candidate[finite], agreed, full, most),
        "</div>",
    ]
    return f"<figure><figcaption><span>{title}</span><span>{note}</span></figcaption>{''.join(charts)}</figure>\n"


def _over_time(key: str, plain: str, series: Series, reference: Array, candidate: Array, full: float, most: int) -> str:
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
    return drawing(key, f"{plain}, over time", description, _TIME, parts)


def _lost(x: Scale, seconds: Array, lost: Array) -> list[str]:
    """Shades where one of the two has no face; every frame takes half the way to its neighbours."""
    edges = np.concatenate([[seconds[0]], (seconds[:-1] + seconds[1:]) / 2, [seconds[-1]]])
    change = np.diff(np.concatenate([[0], lost.astype(int), [0]]))
    spans = zip(np.flatnonzero(change > 0), np.flatnonzero(change < 0), strict=True)
    return [box(x.at(edges[a]), 18, x.at(edges[b]) - x.at(edges[a]), _TIME[1] - 50, "lost") for a, b in spans]


def _scatter(
    key: str, plain: str, reference: Array, candidate: Array, agreed: Agreement, full: float, most: int
) -> str:
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
    return drawing(key, f"{plain}, against each other", description, _SQUARE, parts)


def _bland_altman(
    key: str, plain: str, reference: Array, candidate: Array, agreed: Agreement, full: float, most: int
) -> str:
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
    return drawing(key, f"{plain}, Bland-Altman", description, _SQUARE, parts)
