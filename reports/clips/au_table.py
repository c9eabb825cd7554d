"""Tables of the action units: of one face, with its truth if known, and of the people of a clip side by side.

Measures in, cells as text out; the template of the page makes tables of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from auparity.reports.action_units import ACTION_UNITS
from auparity.reports.clips.figures import TruthFigures
from auparity.reports.clips.measures import AUMeasures, Measures
from auparity.reports.clips.people import Person
from auparity.reports.page_text import number, percent


@dataclass(frozen=True)
class Row:
    name: str
    title: str | None  #: of an action unit
    cells: list[str]


@dataclass(frozen=True)
class UnitTable:
    title: str
    caption: str
    heads: list[str]
    rows: list[Row]


def au_table(aus: dict[str, AUMeasures], figures: TruthFigures | None, title: str = "Action units") -> UnitTable | None:
    """The table of one face's AUs; None without any."""
    heads = ["AU", "mean", "largest", "present"]
    if figures is not None:
        heads += ["truly present", "MAE", "r", "F1 of presence"]
    rows = []
    for name, au in aus.items():
        cells = [number(au.mean), number(au.largest), percent(au.present)]
        if figures is not None:
            one, other = figures.intensities.get(name), figures.presences.get(name)
            cells += [
                percent(None if other is None else other.true_share),
                number(None if one is None else one.mae), number(None if one is None else one.r),
                number(None if other is None else other.f1),
            ]  # fmt: skip
        rows.append(Row(name, ACTION_UNITS.get(name, ""), cells))
    if not rows:
        return None
    compared = (
        " MAE and r compare intensities with the truth; a dash: the AU does not move in this clip or has no intensity."
        if figures is not None
        else ""
    )
    return UnitTable(title, f"Over the frames with a tracked face; intensities from 0 to 5.{compared}", heads, rows)


def au_tables_of_people(persons: Sequence[Person]) -> list[UnitTable]:
    """The people side by side: mean intensities, and shares of frames with an AU present; none without AUs."""
    every = list(dict.fromkeys(name for person in persons for name in person.figures.aus))
    if not every:
        return []
    mean = "Mean intensity, from 0 to 5, over the frames in which each is tracked."
    return [
        _of_people(mean, persons, every, lambda figures, name: number(figures.aus[name].mean)),
        _of_people(
            "Share of these frames with the AU present.",
            persons, every, lambda figures, name: percent(figures.aus[name].present),
        ),
    ]  # fmt: skip


def _of_people(
    caption: str, persons: Sequence[Person], names: Sequence[str], cell: Callable[[Measures, str], str]
) -> UnitTable:
    rows = [Row("tracked frames", None, [str(person.figures.tracked) for person in persons])]
    units = [Row(name, ACTION_UNITS.get(name, ""), [cell(each.figures, name) for each in persons]) for name in names]
    return UnitTable("", caption, [], [*rows, *units])
