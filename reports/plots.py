"""Small line charts as SVG text, for self-contained pages: no script, no font, no picture from elsewhere.

Colours are CSS variables of the page, so that one drawing serves light, dark and paper. `Line`s over seconds in, one
``<svg>`` element out, which scales with its column; charts of one group share their axes, so that heights compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

#: Size of the drawing in its own units; the page scales it.
WIDTH, HEIGHT = 300, 132
_LEFT, _RIGHT, _TOP, _BOTTOM = 30, 6, 6, 22
#: More points than this on 260 units cannot be distinguished; the smallest and largest value of each bin are kept.
MOST_POINTS = 1200


@dataclass(frozen=True, eq=False)
class Line:
    """One series; values that are not finite leave a gap."""

    style: str  #: CSS class: "found", "truth" or "limit"
    values: Array  #: (F,)


@dataclass(frozen=True)
class Axis:
    """Range and ticks of the vertical axis."""

    low: float
    high: float
    ticks: tuple[float, ...]

    @classmethod
    def around(cls, *series: Array, least: float = 1.0) -> Axis:
        """An axis with round ends about all finite values of the series; at least `least` long."""
        values = np.concatenate([np.ravel(s) for s in series])
        values = values[np.isfinite(values)]
        low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, least)
        step = _round_step(max(high - low, least))
        first, last = np.floor(low / step), np.ceil(high / step)
        last = max(last, first + 1)
        return cls(first * step, last * step, tuple(np.arange(first, last + 1) * step))


def line_chart(
    description: str,
    seconds: Array,
    lines: Sequence[Line],
    axis: Axis,
    *,
    lost: Array | None = None,
    width: int = WIDTH,
    height: int = HEIGHT,
) -> str:
    """An SVG chart.

    Parameters
    ----------
    description : text for readers who cannot see the chart.
    seconds : (F,) times, rising.
    lost : (F,) bool, frames without a face, shaded.
    width, height : of the drawing in its own units; text keeps its size in them.
    """
    start, end = (float(seconds[0]), float(seconds[-1])) if len(seconds) else (0.0, 1.0)
    span = max(end - start, 1e-6)

    def x(values: Array) -> Array:
        return _LEFT + (np.asarray(values) - start) / span * (width - _LEFT - _RIGHT)

    def y(values: Array) -> Array:
        share = (np.clip(values, axis.low, axis.high) - axis.low) / (axis.high - axis.low)
        return height - _BOTTOM - share * (height - _TOP - _BOTTOM)

    parts = [
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(description, quote=True)}" '
        'xmlns="http://www.w3.org/2000/svg">'
    ]
    parts += [f'<rect class="lost" x="{a:.1f}" y="{_TOP}" width="{b - a:.1f}" height="{height - _TOP - _BOTTOM}"/>'
              for a, b in _spans(x(seconds), lost)]  # fmt: skip
    for tick in axis.ticks:
        level = float(y(np.array(tick)))
        parts.append(f'<path class="grid" d="M{_LEFT} {level:.1f}H{width - _RIGHT}"/>')
        parts.append(f'<text class="y" x="{_LEFT - 5}" y="{level + 3.5:.1f}">{_short(tick)}</text>')
    for tick in _time_ticks(start, end):
        anchor = " end" if (tick - start) / span > 0.97 else ""
        place = float(x(np.array(tick)))
        parts.append(f'<text class="x{anchor}" x="{place:.1f}" y="{height - 7}">{_short(tick)} s</text>')
    for line in lines:
        times, values = _thinned(seconds, np.asarray(line.values, np.float64))
        parts.append(f'<path class="line {line.style}" d="{_path(x(times), y(values), np.isfinite(values))}"/>')
    return "".join([*parts, "</svg>"])


def _path(x: Array, y: Array, finite: Array) -> str:
    """Path data; a gap where a value is unknown, and a dot's length for a value between two gaps."""
    pieces, drawing = [], False
    for k, good in enumerate(finite):
        if good:
            pieces.append(f"{'L' if drawing else 'M'}{x[k]:.1f} {y[k]:.1f}")
            if not drawing and (k + 1 == len(finite) or not finite[k + 1]):
                pieces.append("h.5")
        drawing = bool(good)
    return "".join(pieces)


def _thinned(seconds: Array, values: Array) -> tuple[Array, Array]:
    """At most MOST_POINTS values that look the same, the smallest and largest of each bin at their places, and gaps."""
    if len(values) <= MOST_POINTS:
        return seconds, values
    unknown = ~np.isfinite(values)
    # The first of every gap stays, so that no line is drawn over a gap that is narrower than a bin.
    kept = set(np.flatnonzero(unknown & ~np.concatenate([[False], unknown[:-1]])).tolist())
    for some in np.array_split(np.arange(len(values)), MOST_POINTS // 2):
        finite = some[~unknown[some]]
        if len(finite):
            kept |= {int(finite[np.argmin(values[finite])]), int(finite[np.argmax(values[finite])])}
    places = sorted(kept)
    return seconds[places], values[places]


def _spans(x: Array, flags: Array | None) -> list[tuple[float, float]]:
    """Where the flags are set, as intervals of x; each frame takes half the way to its neighbours."""
    if flags is None or not flags.any():
        return []
    edges = np.concatenate([[x[0]], (x[:-1] + x[1:]) / 2, [x[-1]]])
    change = np.diff(np.concatenate([[0], flags.astype(int), [0]]))
    return [
        (float(edges[a]), float(edges[b])) for a, b in zip(*map(np.flatnonzero, (change > 0, change < 0)), strict=True)
    ]


def _round_step(span: float) -> float:
    """A step of 1, 2 or 5 times a power of ten that divides `span` into two to five."""
    power = 10.0 ** np.floor(np.log10(span / 2))
    # Where the logarithm rounds up to a whole number, a whole step is a hair more than half of the span.
    return float(next((f * power for f in (5.0, 2.0, 1.0) if span / (f * power) >= 2), power / 2))


def _time_ticks(start: float, end: float) -> list[float]:
    step = _round_step(max(end - start, 1e-6))
    return [float(t) for t in np.arange(np.ceil(start / step), np.floor(end / step) + 1) * step]


def _short(value: float) -> str:
    return f"{round(value, 6):g}".replace("-", "\N{MINUS SIGN}")
