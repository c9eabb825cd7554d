"""The charts of a page: every action unit, head pose, gaze and the landmark error over time, with the truth if known.

Tables (and `TruthFigures`) in, HTML sections of small multiples out; see `plots` for the drawing.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.reports.action_units import ACTION_UNITS, FULL_INTENSITY
from auparity.reports.clips.figures import TruthFigures
from auparity.reports.clips.table import ResultTable
from auparity.reports.page_text import number, percent
from auparity.reports.plots import Axis, Line, line_chart
from auparity.reports.truth.targets import targets

Array = npt.NDArray[Any]

AU_AXIS = Axis(0.0, FULL_INTENSITY, (0.0, 1.0, 2.0, 3.0, 4.0, 5.0))
_POSE_NAMES = ("pitch (up and down)", "yaw (left and right)", "roll (to the shoulder)")
_GAZE_NAMES = ("gaze left and right", "gaze up and down")


@dataclass(frozen=True)
class Wording:
    """What charts of one person of several say differently."""

    of: str = ""  #: begins the headings: "Person 3"
    intensities: str = "Intensity from 0 to 5 after calibration and smoothing over the clip"
    shaded: str = "no face tracked"

    def heading(self, text: str) -> str:
        return f"{escape(self.of)}: {text[0].lower()}{text[1:]}" if self.of else text


USUAL = Wording()


def _legend(with_truth: bool) -> str:
    truth = '<span><i class="key truth"></i>truth</span>' if with_truth else ""
    return f'<p class="legend"><span><i class="key found"></i>measured</span>{truth}</p>'


def au_charts(
    table: ResultTable,
    true: ResultTable | None,
    figures: TruthFigures | None,
    seconds: Array,
    wording: Wording = USUAL,
) -> str:
    good, charts = table.success, []
    truths = {} if true is None else true.aus("r")
    for name, values in table.aus("r").items():
        lines = [Line("truth", truths[name])] if name in truths else []
        lines.append(Line("found", np.where(good, values, np.nan)))
        figure = None if figures is None else figures.intensities.get(name)
        note = f"largest {values[good].max():.1f}" if good.any() else "no face"
        if figure is not None:
            note = f"r {number(figure.r)} · MAE {number(figure.mae)}"
        title = ACTION_UNITS.get(name, "")
        description = f"{name}, {title}: intensity 0 to 5 over time; {note}."
        charts.append(_chart(name, title, note, line_chart(description, seconds, lines, AU_AXIS, lost=~good)))
    if not charts:
        return ""
    return (
        f"<section><h2>{wording.heading('Action units over time')}</h2>\n<p>{wording.intensities}; time in seconds. "
        f"All charts have the same axes.{_shaded(good, wording)}</p>\n{_legend(true is not None)}\n"
        f'<div class="charts">{"".join(charts)}</div></section>'
    )


def pose_charts(
    table: ResultTable,
    true: ResultTable | None,
    figures: TruthFigures | None,
    seconds: Array,
    wording: Wording = USUAL,
) -> str:
    good, charts = table.success, []
    measured = [None if table.pose is None else table.pose[:, 3:], table.get("gaze_angle_x", "gaze_angle_y")]
    others = [None, None] if true is None else [true.pose, true.get("gaze_angle_x", "gaze_angle_y")]
    truths = [None if others[0] is None else others[0][:, 3:], others[1]]
    means = None if figures is None else figures.axis_errors
    for values, reference, names in zip(measured, truths, (_POSE_NAMES, _GAZE_NAMES), strict=True):
        if values is None:
            continue
        degrees = np.where(good[:, None], np.degrees(values), np.nan)
        true_angles = [] if reference is None else [np.degrees(reference)]
        axis = Axis.around(degrees, *true_angles, least=10.0)
        for k, name in enumerate(names):
            lines = [Line("truth", some[:, k]) for some in true_angles] + [Line("found", degrees[:, k])]
            note = f"off by {means[k]:.1f}° on average" if means is not None and names is _POSE_NAMES else "degrees"
            chart = line_chart(f"{name} in degrees over time; {note}.", seconds, lines, axis, lost=~good)
            charts.append(_chart(name.split(" (")[0], name.partition(" (")[2].rstrip(")"), note, chart))
    if not charts:
        return ""
    text = "Degrees; head angles share one axis, gaze angles another."
    if figures is not None and figures.translation_error is not None:
        text += f" The head position is off by {figures.translation_error:.0f} mm on average, most of it depth."
    return (
        f"<section><h2>{wording.heading('Head pose and gaze over time')}</h2>\n<p>{text}</p>\n"
        f'{_legend(true is not None)}\n<div class="charts">{"".join(charts)}</div></section>'
    )


def landmark_chart(table: ResultTable, figures: TruthFigures, seconds: Array) -> str:
    errors = 100 * figures.landmark_errors
    limit = 100 * targets()["landmark_error"].limit
    axis = Axis.around(errors, np.array([0.0, limit]), least=4.0)
    lines = [Line("limit", np.full(len(errors), limit)), Line("found", errors)]
    landmarks = figures.landmarks
    note = " · ".join(
        f"{name} {percent(value)}"
        for name, value in (("mean", landmarks.mean), ("median", landmarks.median), ("95th percentile", landmarks.p95))
    )
    chart = line_chart(
        f"Mean landmark error over time in percent of the inter-ocular distance; {note}.",
        seconds, lines, axis, lost=~table.success, width=960, height=200,
    )  # fmt: skip
    return (
        "<section><h2>Landmark error over time</h2>\n<p>Mean distance of the 68 landmarks from the truth, in percent "
        f"of the distance of the outer eye corners. Dotted: the target for the mean, {limit:g} %.</p>\n"
        f'<div class="charts">{_chart("68 landmarks", "percent", note, chart, wide=True)}</div></section>'
    )


def _chart(name: str, title: str, note: str, svg: str, *, wide: bool = False) -> str:
    label = f"<span><b>{escape(name)}</b> {escape(title)}</span><span>{escape(note)}</span>"
    style = ' class="wide"' if wide else ""
    return f"<figure{style}><figcaption>{label}</figcaption>{svg}</figure>\n"


def _shaded(good: Array, wording: Wording) -> str:
    return "" if good.all() else f" Shaded: {wording.shaded}."
