"""A summary of one table that `auparity extract` or OpenFace wrote, as Markdown.

The share of tracked frames, their confidence, the head's rotation, and each AU's mean, largest value and share of
frames present; of a clip of several people for each of them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from auparity.reports.action_units import ACTION_UNITS, WITH_INTENSITY
from auparity.reports.clips.measures import measures
from auparity.reports.clips.sidecar import read_sidecar
from auparity.reports.clips.table import NOBODY, ResultTable, read_result_table
from auparity.reports.markdown import plain
from auparity.tables.files import shown_name

ROTATION = ("pose_Rx", "pose_Ry", "pose_Rz")
BAR = 20  # characters for an intensity of 5


def summarise(path: Path) -> str:
    """Markdown summary of one table of a clip or image.

    Raises
    ------
    FileFormatError : the file, or the one that describes it, is not one that ``auparity extract`` writes.
    """
    intensities = [f"{name}_r" for name in WITH_INTENSITY]
    needed = [*intensities, *(f"{name}_c" for name in ACTION_UNITS), *ROTATION, "confidence"]
    table = read_result_table(path, needed)
    lines = [f"## {plain(shown_name(path))}", ""]
    lines += [f"**Warning:** {plain(text)}\n" for text in read_sidecar(path).get("warnings", [])]
    if table.persons is None:
        return "\n".join([*lines, *_figures(table)])
    people = np.unique(table.persons[table.persons != NOBODY])
    for person in people:
        lines += [f"### {table.kind_of_persons} {person:.0f}", "", *_figures(table.of_person(person))]
    return "\n".join(lines if len(people) else [*lines, "No face was found.", ""])


def _figures(table: ResultTable) -> list[str]:
    """Lines of the rows of one person, or of all faces of an image."""
    if not len(table):
        return ["No face was found.", ""]
    success, figures = table.success, measures(table)
    lines = [f"{figures.rows} {'faces' if table.photograph else 'frames'}, face tracked in {figures.share:.1%}."]
    if not figures.tracked:
        return [*lines, "", "**No face was found in this clip: its rows hold no measurements.**", ""]
    rotation = [np.degrees(table.columns[name][success]) for name in ROTATION]
    lines += [
        f"Mean confidence {figures.confidence:.3f}; head pitch, yaw, roll "
        + ", ".join(f"{angle.mean():.0f} ({angle.min():.0f} to {angle.max():.0f})" for angle in rotation)
        + " degrees.",
        "",
        "| AU | mean intensity (0 to 5) | largest | present in | |",
        "|---|---|---|---|---|",
    ]
    for name in ACTION_UNITS:
        au = figures.aus[name]
        if au.mean is not None:
            bar = "#" * round(min(max(au.mean / 5, 0), 1) * BAR)
            lines.append(f"| {name} | {au.mean:.2f} | {au.largest:.2f} | {au.present:.0%} | {bar} |")
        else:
            lines.append(f"| {name} | no intensity model | | {au.present:.0%} | |")
    return [*lines, ""]
