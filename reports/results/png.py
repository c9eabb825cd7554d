"""The main charts of some runs as PNG files, for places that show neither HTML nor SVG.

`Results` in, pictures out, drawn by matplotlib: how many times as fast as the reference every pipeline is (logarithmic
axis), the share of its tolerance that the worst figure of every stage and variant uses, and the landmark error on a
face.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from auparity.reports.matplotlib_figures import new_figure, save_figure
from auparity.reports.results.face import face_errors
from auparity.reports.results.figures import REFERENCE, failed_because, golden_ratio, matrix, share_used
from auparity.reports.results.records import Results, Series

GOOD, BAD, GRID = "#286e96", "#c82828", "#dcdcdc"
#: Inches.
WIDTH, ROW, MARGIN, FACE = 10.0, 0.28, 1.1, 6.4
DPI = 100
#: Smallest drawn share of a tolerance, because figures that are equal to the bit have no logarithm.
LEAST_SHARE = 1e-4
#: Area of the mark of the largest error, in square points.
LARGEST_MARK = 400.0


def write_plots(results: Sequence[Results], folder: Path) -> list[Path]:
    """Write those pictures for which there are data.

    Raises
    ------
    VariantUnavailable : matplotlib is not installed. OSError : a file cannot be written.
    """
    made: list[tuple[str, Any]] = []
    speeds = [
        (f"{speed.workload}: {speed.pipeline}", ratio, False)
        for run in results
        for speed in run.speeds
        if speed.pipeline != REFERENCE and (ratio := golden_ratio(speed, run)[0]) is not None
    ]
    if speeds:
        made.append(("speed", bars("Times as fast as the reference", "times (logarithmic)", speeds, least=1.0)))
    cells_by_variant = matrix(results)
    shares = [
        (f"{stage} {variant}", share_used(cell.worst), bool(failed_because(cell.worst)))
        for (stage, variant), cell in cells_by_variant.cells.items()
        if cell.worst is not None
    ]
    finite = [(name, value, bad) for name, value, bad in shares if value is not None and math.isfinite(value)]
    if finite:
        title = "Worst figure of each stage: share of its tolerance"
        made.append(
            ("parity", bars(title, "share of the tolerance (logarithmic; 1 is the limit)", finite, LEAST_SHARE, 1.0))
        )
    for k, series in enumerate(one for run in results for one in run.series):
        if (drawn := face(series)) is not None:
            made.append((f"landmarks-{k + 1}", drawn))
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in made:
        path = folder / f"{name}.png"
        save_figure(figure, path, DPI)
        paths.append(path)
    return paths


def bars(
    title: str, unit: str, values: Sequence[tuple[str, float, bool]], least: float, limit: float | None = None
) -> Any:
    """A figure of horizontal bars on a logarithmic axis.

    Parameters
    ----------
    values : name, value, and whether it is bad.
    least : where the axis begins; smaller values are drawn as this and labelled as they are.
    limit : a line across, None for none.
    """
    figure = new_figure(WIDTH, MARGIN + ROW * len(values))
    axis = figure.subplots()
    widths = [max(value, least) for _, value, _ in values]
    places = range(len(values))
    drawn = axis.barh(places, [width - least for width in widths], left=least, height=0.7)
    for bar, (_, value, bad) in zip(drawn, values, strict=True):
        bar.set_color(BAD if bad else GOOD)
        label = f" {value:.3g}{' FAILED' if bad else ''}"
        end = bar.get_x() + bar.get_width()
        axis.text(end, bar.get_y() + bar.get_height() / 2, label, va="center", fontsize=8, color=BAD if bad else "0.2")
    axis.set_yticks(list(places), [name for name, _, _ in values], fontsize=8)
    axis.invert_yaxis()
    axis.set_xscale("log")
    largest = max([*widths, limit or 0.0, least * 10])
    axis.set_xlim(least, 10 ** math.ceil(math.log10(largest)) * 1.6)
    axis.set_xlabel(unit, fontsize=8)
    axis.grid(axis="x", color=GRID)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    if limit is not None:
        axis.axvline(limit, color=BAD, linewidth=1.5)
    figure.suptitle(title, fontsize=11)
    return figure


def face(series: Series) -> Any | None:
    """A figure of the mean landmarks, each as large as its mean error; None where the series has none."""
    face_figures = face_errors(series)
    if face_figures is None:
        return None
    errors = face_figures.errors
    largest = float(errors.max()) or 1.0
    figure = new_figure(FACE, FACE)
    axis = figure.subplots()
    marks = axis.scatter(
        *face_figures.points.T, s=6 + LARGEST_MARK * (errors / largest) ** 2, c=errors, cmap="YlOrRd", vmin=0,
        vmax=largest, edgecolors="0.3", linewidths=0.4,
    )  # fmt: skip
    axis.set_aspect("equal")
    axis.invert_yaxis()
    axis.set_axis_off()
    axis.set_title(
        f"{series.workload}, {series.pipeline}: mean {errors.mean():.3g}, largest {largest:.3g} px", fontsize=9
    )
    figure.colorbar(marks, ax=axis, shrink=0.6, label="mean distance from the reference, px")
    return figure
