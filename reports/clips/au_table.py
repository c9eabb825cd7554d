"""Tables of the action units: of one face, with its truth if known, and of the people of a clip side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from auparity.reports.action_units import ACTION_UNITS
from auparity.reports.clips.figures import TruthFigures
from auparity.reports.clips.measures import AUMeasures, Measures
from auparity.reports.clips.people import Person
from auparity.reports.page_text import number, percent
from auparity.reports.results.text import safe


def au_table(aus: dict[str, AUMeasures], figures: TruthFigures | None, title: str = "Action units") -> str:
    """Section of one face's AUs; "" without any."""
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
        label = f'<th scope="row"><b>{safe(name)}</b> {safe(ACTION_UNITS.get(name, ""))}</th>'
        rows.append(f"<tr>{label}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    if not rows:
        return ""
    compared = (
        " MAE and r compare intensities with the truth; a dash: the AU does not move in this clip or has no intensity."
        if figures is not None
        else ""
    )
    head = "".join(f'<th scope="col">{head}</th>' for head in heads)
    return (
        f'<section><h2>{safe(title)}</h2>\n<div class="scroll"><table>\n<caption>Over the frames with a tracked face; '
        f"intensities from 0 to 5.{compared}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n"
        + "\n".join(rows)
        + "\n</tbody></table></div></section>"
    )


def au_tables_of_people(persons: Sequence[Person], tag: Callable[[Person], str]) -> str:
    """Section that holds the people against each other: mean intensities, and shares of frames with an AU present.

    `tag` makes the HTML that heads a person's column.
    """
    every = list(dict.fromkeys(name for person in persons for name in person.figures.aus))
    if not every:
        return ""
    intensities = _of_people(
        "Mean intensity, from 0 to 5, over the frames in which each is tracked.",
        persons, tag, every, lambda figures, name: number(figures.aus[name].mean),
    )  # fmt: skip
    presences = _of_people(
        "Share of these frames with the AU present.",
        persons, tag, every, lambda figures, name: percent(figures.aus[name].present),
    )  # fmt: skip
    return f"<section><h2>Action units side by side</h2>\n{intensities}\n{presences}</section>"


def _of_people(
    caption: str,
    persons: Sequence[Person],
    tag: Callable[[Person], str],
    names: Sequence[str],
    cell: Callable[[Measures, str], str],
) -> str:
    head = "".join(f'<th scope="col">{tag(person)}</th>' for person in persons)
    counts = "".join(f"<td>{person.figures.tracked}</td>" for person in persons)
    rows = [f'<tr><th scope="row">tracked frames</th>{counts}</tr>']
    for name in names:
        title = f'<b>{safe(name)}</b> <span class="title">{safe(ACTION_UNITS.get(name, ""))}</span>'
        cells = "".join(f"<td>{cell(person.figures, name)}</td>" for person in persons)
        rows.append(f'<tr><th scope="row">{title}</th>{cells}</tr>')
    return (
        f'<div class="scroll"><table class="matrix">\n<caption>{caption}</caption>\n<thead><tr><th scope="col">AU</th>'
        f"{head}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody></table></div>"
    )
