"""The parts of the charts of a results page: scales, axes, thinned paths, and drawings made of them.

Values in, `Drawing` out, of which `web/macros.html.j2` makes SVG. Colours are CSS classes, so that one drawing serves
light, dark and paper. Every drawing has a title and a description in words, because not everyone can see a picture; its
key makes their ids unique.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.reports.results.text import short

Array = npt.NDArray[Any]


#: Below this, powers of ten lose digits and then vanish; no figure on a chart is that small.
SMALLEST = 1e-300


@dataclass(frozen=True)
class Shape:
    """One element of a drawing."""

    tag: str
    style: str  #: CSS classes
    places: dict[str, str]  #: attributes
    content: str = ""  #: plain text
    tooltip: str = ""


@dataclass(frozen=True)
class Drawing:
    """A chart."""

    key: str  #: unique on the page; of letters, digits and dashes
    title: str
    description: str  #: what the chart shows, and its numbers in words
    size: tuple[int, int]
    shapes: Sequence[Shape]


@dataclass(frozen=True)
class Chart:
    """A drawing in a card, with a caption and a sentence below."""

    drawing: Drawing
    name: str = ""
    note: str = ""
    below: str = ""


@dataclass(frozen=True)
class Scale:
    """From values to places along one side of a drawing; clips to its range."""

    low: float
    high: float
    start: float  #: place of `low`
    end: float  #: place of `high`
    ticks: tuple[float, ...]
    log: bool = False

    def __call__(self, values: Array | float) -> Array:
        clipped = np.clip(np.asarray(values, np.float64), self.low, self.high)
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        share = ((np.log(clipped) if self.log else clipped) - low) / (high - low)
        return self.start + share * (self.end - self.start)

    def at(self, value: float) -> float:
        """The place of one value."""
        return float(self(value))


def linear(low: float, high: float, start: float, end: float, steps: int = 4) -> Scale:
    """With round ends about the range, in `steps` steps or a few more or less."""
    span = high - low if high > low else max(abs(high), 1.0) * 1e-3
    step = round_up(span / steps)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    return Scale(first * step, last * step, start, end, tuple(k * step for k in range(first, last + 1)))


def logarithmic(low: float, high: float, start: float, end: float) -> Scale:
    """With ends of 1, 2 or 5 times a power of ten about the range; ticks there, or at powers of ten if it is long."""
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    places = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    bottom = max(place for place in places if place <= low * (1 + 1e-9))
    top = min(place for place in places if place >= high * (1 - 1e-9) and place > bottom)
    ticks = [place for place in places if bottom <= place <= top]
    if len(ticks) > 9:
        ticks = [place for place in ticks if abs(math.log10(place) - round(math.log10(place))) < 1e-9]
    return Scale(bottom, top, start, end, tuple(ticks), log=True)


def round_up(value: float) -> float:
    """The next 1, 2 or 5 times a power of ten; tiny values count as `SMALLEST`."""
    value = max(value, SMALLEST)
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= value * (1 - 1e-9))


def text(x: float, y: float, content: str, style: str = "") -> Shape:
    """Plain text; styles of page.css place it: "x" centred, "y" to the left of its place."""
    return Shape("text", style, {"x": f"{x:.1f}", "y": f"{y:.1f}"}, content)


def rule(x1: float, y1: float, x2: float, y2: float, style: str) -> Shape:
    """A straight line."""
    return Shape("path", style, {"d": f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"})


def box(x: float, y: float, width: float, height: float, style: str) -> Shape:
    """A rectangle."""
    sides = {"x": x, "y": y, "width": max(width, 0), "height": height}
    return Shape("rect", style, {name: f"{value:.1f}" for name, value in sides.items()})


def disc(x: float, y: float, radius: float, style: str, tooltip: str = "") -> Shape:
    """A disc, with text where the cursor rests on it."""
    return Shape("circle", style, {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": f"{radius:.1f}"}, tooltip=tooltip)


def axes(x: Scale, y: Scale, x_title: str, y_title: str, *, x_ticks: bool = True) -> list[Shape]:
    """Grid, tick labels and titles with units; the title of the vertical axis is above it, where it is readable."""
    left, right, bottom, top = x.start, x.end, y.start, y.end
    parts = [text(0, top - 7, y_title), text((left + right) / 2, bottom + 26, x_title, "x")]
    for tick in y.ticks:
        parts += [rule(left, y.at(tick), right, y.at(tick), "grid"), text(left - 4, y.at(tick) + 3.5, short(tick), "y")]
    for tick in x.ticks if x_ticks else ():
        parts += [
            rule(x.at(tick), bottom, x.at(tick), bottom + 3, "grid"),
            text(x.at(tick), bottom + 13, short(tick), "x"),
        ]
    return parts


def line(x: Array, y: Array, style: str) -> Shape:
    """A line with gaps where y is not finite, and a dot where a value stands alone."""
    finite, pieces, drawing_on = np.isfinite(y), [], False
    for k, good in enumerate(finite):
        if good:
            pieces.append(f"{'L' if drawing_on else 'M'}{x[k]:.1f} {y[k]:.1f}")
            if not drawing_on and (k + 1 == len(finite) or not finite[k + 1]):
                pieces.append("h.5")
        drawing_on = bool(good)
    return Shape("path", f"line {style}", {"d": "".join(pieces)})


def dots(x: Array, y: Array, style: str = "dots") -> Shape:
    """Points as one path of round caps, a third of the bytes of circles; equal points are drawn once."""
    seen = dict.fromkeys(f"M{a:.1f} {b:.1f}h0" for a, b in zip(x, y, strict=True))
    return Shape("path", style, {"d": "".join(seen)})


def thin_line(values: Array, most: int) -> Array:
    """Which of the values (F,) to draw so that at most `most` look the same: the smallest and largest of each bin."""
    if len(values) <= most:
        return np.arange(len(values))
    kept: set[int] = set()
    for some in np.array_split(np.arange(len(values)), max(most // 2, 1)):
        finite = some[np.isfinite(values[some])]
        # A bin without a value keeps one of its places, which is a gap.
        kept |= (
            {int(finite[values[finite].argmin()]), int(finite[values[finite].argmax()])}
            if len(finite)
            else {int(some[0])}
        )
    return np.array(sorted(kept))


def thin_points(distance: Array, most: int) -> Array:
    """Which points to draw: the most distant tenth, because readers look for them, and every nth of the others."""
    if len(distance) <= most:
        return np.arange(len(distance))
    order = np.argsort(-distance, kind="stable")
    far, others = order[: most // 10], np.sort(order[most // 10 :])
    some = others[np.linspace(0, len(others) - 1, most - len(far)).astype(int)]
    return np.sort(np.concatenate([far, some]))
