"""A timeline of a few frames as SVG: one row for each frame, a bar for each call of a stage, nested calls below.

`Bar`s in ms from the start of their frame in; one self-contained SVG document out, light and dark, with a text
alternative and a legend of the stages by the time they take.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LEFT, RIGHT = 1100, 76, 14
BAR, GAP, LEGEND_ROW, LEGEND_COLUMNS = 30, 26, 20, 4
#: Hues that stay apart for most kinds of colour vision, light enough for dark text on them.
COLOURS = (
    "#7cb5ec", "#f7a35c", "#90ed7d", "#e4a6d8", "#f2d15c", "#8fd9d2", "#c9b3f2", "#f39b9b", "#b8cc7a", "#a9bfd9",
    "#d9b38c", "#9fe0b0", "#d3d3d3", "#e8c1c1",
)  # fmt: skip


@dataclass(frozen=True)
class Bar:
    """One call."""

    name: str
    start: float  #: ms from the start of the frame
    length: float  #: ms
    depth: int


def timeline(frames: Sequence[Sequence[Bar]], title: str) -> str:
    """The SVG document of some frames."""
    longest = max((bar.start + bar.length for frame in frames for bar in frame), default=1.0)
    deepest = max((bar.depth for frame in frames for bar in frame), default=0)
    totals: dict[str, float] = defaultdict(float)
    for frame in frames:
        for bar in frame:
            totals[bar.name] += bar.length
            if bar.depth:  # counted for the inner call, not twice
                outer = next(b for b in frame if b.depth == bar.depth - 1 and b.start <= bar.start < b.start + b.length)
                totals[outer.name] -= bar.length
    names = sorted(totals, key=lambda name: -totals[name])
    colour = {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(names)}
    scale = (WIDTH - LEFT - RIGHT) / longest
    row = (deepest + 1) * BAR + GAP
    axis = 40 + len(frames) * row
    legend = axis + 46
    height = legend + LEGEND_ROW * -(-len(names) // LEGEND_COLUMNS) + 8
    ranking = ", ".join(f"{name} {totals[name] / len(frames):.3f} ms" for name in names[:6]) if frames else "no frames"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="t d" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}">',
        f'<title id="t">{escape(title)}</title>',
        f'<desc id="d">Mean of {len(frames)} frames, longest first: {escape(ranking)}.</desc>',
        "<style>text{font:13px system-ui,sans-serif;fill:#222}.in{fill:#111;font-size:11px}.bg{fill:#fff}"
        ".ax{stroke:#777;stroke-width:1}"
        "@media(prefers-color-scheme:dark){text{fill:#eee}.in{fill:#111}.bg{fill:#181818}}</style>",
        f'<rect class="bg" width="{WIDTH}" height="{height}"/><text x="{LEFT}" y="22">{escape(title)}</text>',
    ]
    for k, frame in enumerate(frames):
        top = 40 + k * row
        parts.append(f'<text x="8" y="{top + BAR / 2 + 4:.1f}">frame {k + 1}</text>')
        for bar in frame:
            x, width = LEFT + bar.start * scale, max(bar.length * scale, 0.5)
            y = top + bar.depth * BAR
            parts.append(
                f'<rect x="{x:.2f}" y="{y}" width="{width:.2f}" height="{BAR - 2}" fill="{colour[bar.name]}">'
                f"<title>{escape(bar.name)}: {bar.length:.3f} ms</title></rect>"
            )
            if width > 8 * len(bar.name):
                parts.append(f'<text class="in" x="{x + 4:.2f}" y="{y + 18}">{escape(bar.name)}</text>')
    parts.append(f'<line class="ax" x1="{LEFT}" y1="{axis}" x2="{WIDTH - RIGHT}" y2="{axis}"/>')
    for tick in _ticks(longest):
        x = LEFT + tick * scale
        parts.append(f'<line class="ax" x1="{x:.1f}" y1="{axis}" x2="{x:.1f}" y2="{axis + 5}"/>')
        parts.append(f'<text x="{x:.1f}" y="{axis + 20}" text-anchor="middle">{tick:g}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{axis + 36}" text-anchor="middle">ms in the frame</text>')
    for k, name in enumerate(names):
        x = LEFT + (k % LEGEND_COLUMNS) * (WIDTH - LEFT) / LEGEND_COLUMNS
        y = legend + LEGEND_ROW * (k // LEGEND_COLUMNS) + 12
        parts.append(f'<rect x="{x:.1f}" y="{y - 11}" width="12" height="12" fill="{colour[name]}"/>')
        parts.append(f'<text x="{x + 18:.1f}" y="{y}">{escape(name)} {totals[name] / len(frames):.3f} ms</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _ticks(longest: float) -> list[float]:
    """About six round numbers from 0."""
    step = 10.0 ** len(str(int(longest)))
    while longest / step < 5:
        step /= 2 if f"{step:e}"[0] in "12" else 2.5
    return [round(k * step, 6) for k in range(int(longest / step) + 1)]
