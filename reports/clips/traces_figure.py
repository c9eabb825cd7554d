"""A figure for a paper: measurements over time, a row for each and a line for each clip or person, by matplotlib.

Tables in, one PDF, SVG or PNG out. Lines have gaps where no face is tracked; where there is one line, a strip below it
says when the action unit is present.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import AuparityError
from auparity.reports.action_units import ACTION_UNITS, FULL_INTENSITY
from auparity.reports.clips.people import COLOURS, Clock, numbers_of
from auparity.reports.clips.table import ResultTable
from auparity.reports.matplotlib_figures import new_figure, save_figure
from auparity.reports.results.svg import thin_line

Array = npt.NDArray[Any]

#: Rows besides AUs: what they are called, and the columns that they show in degrees.
ANGLES = {"pitch": "pose_Rx", "yaw": "pose_Ry", "roll": "pose_Rz", "gaze_x": "gaze_angle_x", "gaze_y": "gaze_angle_y"}
CONFIDENCE = "confidence"
#: Rows that are chosen where nobody chooses: the AUs with the largest means.
USUAL_ROWS = 6
#: Inches.
WIDTH, ROW_HEIGHT, MARGIN = 7.0, 0.85, 0.8
#: Points of a line that can be told apart; the smallest and largest of each bin are kept.
MOST_POINTS = 4000
_STRIP = 0.06  # of the height of a row


@dataclass(frozen=True, eq=False)
class Trace:
    """The measurements of one clip or person."""

    label: str
    table: ResultTable
    seconds: Array  #: (rows,)


def traces_of(tables: Sequence[ResultTable], persons: Sequence[int] | None, fps: float) -> list[Trace]:
    """What the lines of a figure are: one for each table, and for each person of a table of several.

    Parameters
    ----------
    persons : numbers of those who are shown, of tables of several people; None for all.
    fps : for tables whose time stamps are all 0.

    Raises
    ------
    AuparityError : a table is of an image, or nobody of these numbers is in any table.
    """
    traces = []
    for table in tables:
        if table.photograph or not len(table):
            raise AuparityError(f"{table.path}: figures are made of clips, and this is of an image or has no rows.")
        name = table.path.stem
        if table.persons is None:
            traces.append(Trace(name, table, table.seconds(fps)))
            continue
        clock = Clock(table, fps)
        for number in numbers_of(table):
            if persons is None or number in persons:
                own = table.of_person(number)
                kind = table.kind_of_persons.lower()
                label = f"{kind} {number}" if len(tables) == 1 else f"{name}, {kind} {number}"
                traces.append(Trace(label.capitalize(), own, clock.at(own.columns["frame"] - 1)))
    if not traces:
        raise AuparityError("nobody of these numbers is tracked; leave --person out, or see `auparity summary`.")
    return traces


def write_traces(
    traces: Sequence[Trace],
    out_path: Path,
    *,
    rows: Sequence[str] | None = None,
    span: tuple[float, float] | None = None,
    width: float = WIDTH,
) -> list[str]:
    """Write the figure, atomically; the names of its rows.

    Parameters
    ----------
    out_path : .pdf, .svg or .png.
    rows : AUs, keys of `ANGLES` or "confidence"; None for the `USUAL_ROWS` AUs with the largest means.
    span : seconds, first and last that are shown; None for all.
    width : inches.

    Raises
    ------
    AuparityError : no table has a column of a row, or the suffix is of no kind of figure.
    VariantUnavailable : matplotlib is not installed.
    """
    rows = usual_rows(traces) if rows is None else list(rows)
    figure = new_figure(width, MARGIN + ROW_HEIGHT * len(rows))
    axes = figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
    for axis, row in zip(axes, rows, strict=True):
        _draw_row(axis, row, traces)
    axes[-1].set_xlabel("time (s)")
    ends = [trace.seconds[[0, -1]] for trace in traces]
    low, high = span or (float(np.min(ends)), float(np.max(ends)))
    axes[-1].set_xlim(low, max(high, low + 1e-3))
    if len(traces) > 1:
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=min(4, len(traces)), frameon=False, fontsize=8)
    save_figure(figure, out_path)
    return rows


def usual_rows(traces: Sequence[Trace]) -> list[str]:
    """The AUs with the largest mean intensity of any line, in the order of their numbers."""
    means: dict[str, float] = {}
    for trace in traces:
        good = trace.table.success
        for name, values in trace.table.aus("r").items():
            means[name] = max(means.get(name, 0.0), float(values[good].mean()) if good.any() else 0.0)
    if not means:
        raise AuparityError("the tables have no action units; say what is shown with --rows, e.g. --rows pitch,yaw.")
    return sorted(sorted(means, key=lambda name: -means[name])[:USUAL_ROWS])


def _draw_row(axis: Any, row: str, traces: Sequence[Trace]) -> None:
    drawn = 0
    for place, trace in enumerate(traces):
        values = _values(trace.table, row)
        if values is None:
            continue
        drawn += 1
        seconds, values = _with_gaps(trace, values)
        kept = thin_line(values, MOST_POINTS)
        colour = COLOURS[place % len(COLOURS)][1]
        axis.plot(seconds[kept], values[kept], color=colour, linewidth=1, label=trace.label)
        presence = trace.table.columns.get(f"{row}_c")
        if len(traces) == 1 and presence is not None:
            here = (presence >= 0.5) & trace.table.success
            axis.fill_between(
                trace.seconds, -2 * _STRIP, -_STRIP, where=here, step="post", color=colour, linewidth=0,
                transform=axis.get_xaxis_transform(), clip_on=False,
            )  # fmt: skip
    if not drawn:
        known = ", ".join((*ANGLES, CONFIDENCE))
        raise AuparityError(f"no table has {row!r}; rows are AUs such as AU12, and {known}.")
    title = ACTION_UNITS.get(row, "degrees" if row in ANGLES else "")
    axis.set_ylabel(row, rotation=0, ha="right", va="center", fontsize=9)
    axis.text(1.0, 1.0, title, transform=axis.transAxes, ha="right", va="bottom", fontsize=7, color="0.4")
    if row in ACTION_UNITS:
        axis.set_ylim(0, FULL_INTENSITY)
        axis.set_yticks([0, FULL_INTENSITY])
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def _values(table: ResultTable, row: str) -> Array | None:
    if row in ANGLES:
        angle = table.columns.get(ANGLES[row])
        return None if angle is None else np.degrees(angle)
    return table.columns.get(CONFIDENCE if row == CONFIDENCE else f"{row}_r")


def _with_gaps(trace: Trace, values: Array) -> tuple[Array, Array]:
    """Times and values, NaN where no face is tracked and between rows that are not of consecutive frames."""
    values = np.where(trace.table.success, values, np.nan)
    frames = trace.table.columns.get("frame")
    ends = np.zeros(0, int) if frames is None else np.flatnonzero(np.diff(frames) > 1) + 1
    return np.insert(trace.seconds, ends, trace.seconds[ends]), np.insert(values, ends, np.nan)
