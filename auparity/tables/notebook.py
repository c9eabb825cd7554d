"""What notebooks show of a table: a line, and a small chart of its most active AUs (SVG), of a few kB at any length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

#: px of the chart: names at the left, and a row for each AU.
_WIDTH, _LEFT, _ROW, _FOOT = 640, 64, 44, 18
_FULL = 5.0  # intensities go from 0 to this
#: Rows of a chart, and lines in each; each line has a lowest and a highest point in so many parts of the time.
_AUS, _PEOPLE, _PARTS = 4, 4, 60
#: Told apart by people of all kinds of colour vision, on light and on dark (Okabe and Ito).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
#: Faces of an image that are listed, and the intensity from which their AUs are named.
_FACES, _SHOWN = 10, 0.5


def table_html(
    title: str,
    confidence: Array | None,
    aus: Mapping[str, Array],
    usable: Array,
    persons: Array | None,
    times: Array | None,
    unit: str,
) -> str:
    """A table as HTML.

    Parameters
    ----------
    title : its short text.
    confidence : (R,) or None.
    aus : intensities (R,) by name.
    usable : (R,) bool.
    persons : (R,) whose face each row has; None for one face.
    times : (R,) seconds, or numbers of frames, as `unit` says; None for images, whose faces are listed instead.
    unit : "s" or "frame".
    """
    shown = f"<div><code>{escape(title)}</code></div>"
    if not aus or not len(usable):
        return shown
    if times is None:
        return shown + _faces_html(confidence, aus)
    people = [None] if persons is None else [int(person) for person in np.unique(persons[persons >= 0])]
    lines = []
    for person in people[:_PEOPLE]:
        own = usable if person is None else usable & (persons == person)
        places = np.flatnonzero(own)
        lines.append((person, places[np.argsort(times[places], kind="stable")]))
    return shown + _chart(lines, aus, times.astype(np.float64), unit)


def _chart(lines: Sequence[tuple[int | None, Array]], aus: Mapping[str, Array], times: Array, unit: str) -> str:
    used = np.concatenate([places for _, places in lines]) if lines else np.empty(0, np.intp)
    if not len(used):
        return "<div>No face was tracked.</div>"
    activity = {
        name: float(np.nanstd(values[used])) for name, values in aus.items() if not np.isnan(values[used]).all()
    }
    names = sorted(sorted(activity, key=lambda name: -activity[name])[:_AUS])
    start, end = float(times.min()), float(times.max())
    first, last = (f"{start:.1f} s", f"{end:.1f} s") if unit == "s" else (f"frame {start:.0f}", f"frame {end:.0f}")
    height = _ROW * len(names) + _FOOT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" role="img" '
        f'aria-label="Intensities of {", ".join(names)} from {first} to {last}" '
        'style="max-width:100%;font:12px sans-serif" fill="currentColor">'
    ]
    for row, name in enumerate(names):
        foot = (row + 1) * _ROW
        parts.append(
            f'<text x="0" y="{foot - 4}">{escape(name)}</text>'
            f'<path d="M{_LEFT} {foot}H{_WIDTH}" stroke="currentColor" opacity=".3"/>'
        )
        for number, (_, places) in enumerate(lines):
            path = _path(times[places], aus[name][places], start, end, foot)
            parts.append(f'<path d="{path}" fill="none" stroke="{_COLOURS[number]}"/>')
    middle = height - 4
    parts.append(f'<text x="{_LEFT}" y="{middle}">{first}</text>')
    parts.append(f'<text x="{_WIDTH}" y="{middle}" text-anchor="end">{last}</text>')
    if lines[0][0] is not None:
        for number, (person, _) in enumerate(lines):
            x = _LEFT + 70 + 90 * number
            parts.append(f'<text x="{x}" y="{middle}" fill="{_COLOURS[number]}">person {person}</text>')
    return "".join([*parts, "</svg>"])


def _path(times: Array, values: Array, start: float, end: float, foot: int) -> str:
    """The lowest and the highest point of each part of the time; parts without a row leave a gap."""
    known = ~np.isnan(values)
    values, length = values[known], max(end - start, 1e-9)
    share = (times[known] - start) / length  # 0 to 1
    part = np.minimum((share * _PARTS).astype(int), _PARTS - 1)
    # Parts may have no row because there are fewer rows than parts; farther apart there are frames in between.
    reach = max(1.0, np.ceil(np.median(np.diff(share)) * _PARTS)) if len(share) > 1 else 1.0
    path, before = [], None
    for number in np.unique(part):
        rows = np.flatnonzero(part == number)
        ends = sorted({int(rows[np.argmin(values[rows])]), int(rows[np.argmax(values[rows])])})
        for row in ends:
            x = _LEFT + share[row] * (_WIDTH - _LEFT)
            y = foot - np.clip(values[row], 0, _FULL) / _FULL * (_ROW - 8)
            joined = row != ends[0] or (before is not None and number - before <= reach)
            path.append(f"{'L' if joined else 'M'}{x:.0f} {y:.0f}")
        before = number
    return "".join(path)


def _faces_html(confidence: Array | None, aus: Mapping[str, Array]) -> str:
    """A list of the faces of an image with their AUs."""
    count = len(next(iter(aus.values())))
    rows = []
    for face in range(min(count, _FACES)):
        there = {name: values[face] for name, values in aus.items() if values[face] >= _SHOWN}
        strong = ", ".join(f"{name} {value:.1f}" for name, value in sorted(there.items(), key=lambda item: -item[1]))
        trust = "" if confidence is None else f"{confidence[face]:.2f}"
        rows.append(f"<tr><td>{face}</td><td>{trust}</td><td>{escape(strong) or '–'}</td></tr>")
    more = f"<div>and {count - _FACES} more</div>" if count > _FACES else ""
    head = "<tr><th>face</th><th>confidence</th><th>AUs</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>{more}"
