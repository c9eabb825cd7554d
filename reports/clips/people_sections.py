"""The parts of a page that a clip of several people has: who is seen when, the choice of a person, and their charts.

`People` in, HTML out. The choice is a group of radio buttons, and style sheets show the sections of the chosen person:
pages have no scripts. On paper, and in a browser that does not know ``:has()``, everybody's sections are shown.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from auparity.reports.clips.au_table import au_table, au_tables_of_people
from auparity.reports.clips.charts import Wording, au_charts, pose_charts
from auparity.reports.clips.people import People, Person
from auparity.reports.clips.sidecar import Sidecar
from auparity.reports.page_text import number, percent
from auparity.reports.results.text import safe

#: Of a stretch in a strip of 1000, about a pixel and a half.
LEAST_WIDTH = 4.0
#: Numbers that a sentence lists.
MOST_NAMED = 12
#: What the numbers of people mean, by whether they are slots.
_NUMBERS = {
    False: "Numbers are those of the column person_id. Whoever is lost and found again keeps the number if place, size "
    "and shape of the face agree, and gets a new one if not; people who change places unseen can be confused.",
    True: "The table has no column person_id, so numbers are those of OpenFace's slots, the column face_id. A slot "
    "that lost its face takes another one: a number can stand for several people in turn.",
}


def people_style(people: People) -> str:
    """Rules of the persons' colours and of the choice."""
    rules, dark = [], []
    for person in people.persons:
        bright, deep = person.colours
        key = f".person-{person.number}"
        rules.append(f"{key} {{ --tag: {bright}; --found: {deep}; }}")
        dark.append(f"{key} {{ --found: {bright}; }}")
    shown = ",\n    ".join(f"body:has(#choose-{p.number}:checked) .sections.person-{p.number}" for p in people.persons)
    return (
        "\n".join(rules)
        + "\n@media screen and (prefers-color-scheme: dark) {\n  "
        + "\n  ".join(dark)
        + "\n}\n@supports selector(:has(*)) {\n  @media screen {\n    .sections { display: none; }\n    "
        + shown
        + " { display: block; }\n  }\n}\n"
    )


def people_verdict(people: People) -> str:
    """One sentence on how many there are."""
    one, several = people.words
    there = len(people.persons)
    if not there:
        return '<strong class="bad">No face was found in this clip: its rows hold no measurements.</strong>'
    together = "one at a time" if people.at_once == 1 else f"up to {people.at_once} at once"
    who = f"{there} {one if there == 1 else several} {'with a face' if people.slots else 'tracked'}"
    return f"{who}, {together}, in {percent(people.share)} of the frames."


def people_tiles(people: People) -> list[tuple[str, str, str]]:
    """Figures as (value, what it is, HTML remark)."""
    count = len(people.persons)
    return [
        (str(count), people.words[count > 1], ""),
        (str(people.at_once), "tracked at once, at most", ""),
        (percent(people.share), "of the frames with a tracked face", ""),
    ]


def people_overview(people: People, portraits: Mapping[int, bytes]) -> str:
    """Section that says who is seen when, a row for each person."""
    length = people.frames
    heads = [people.words[0], "when", "frames", "share", "first", "last", "confidence"]
    rows = []
    for person in people.persons:
        figures = person.figures
        cells = [
            str(figures.tracked), percent(figures.tracked / length), *_ends(person), number(figures.confidence)
        ]  # fmt: skip
        face = portraits.get(person.number)
        picture = "" if face is None else (
            f'<img class="face" alt="{safe(person.name)}" width="56" height="56" '
            f'src="data:image/jpeg;base64,{base64.b64encode(face).decode("ascii")}">'
        )  # fmt: skip
        rows.append(
            f'<tr class="person-{person.number}"><th scope="row"><div>{_tag(person)}{picture}</div></th>'
            f'<td class="when">{_strip(people, person)}</td>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
        )
    head = "".join(f'<th scope="col">{head}</th>' for head in heads)
    start, end = people.seconds
    caption = f"Tracked frames of {length}, from {start:.1f} to {end:.1f} s; mean confidence"
    return (
        f'<section><h2>Who is seen when</h2>\n<p>{_NUMBERS[people.slots]}{_never(people)}</p>\n<div class="scroll">'
        f'<table class="people">\n<caption>{caption}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n'
        + "\n".join(rows)
        + "\n</tbody></table></div></section>"
    )


def _never(people: People) -> str:
    """What is left out."""
    if not people.untracked:
        return ""
    first, rest = people.untracked[:MOST_NAMED], len(people.untracked) - MOST_NAMED
    numbers = ", ".join(map(str, first)) + (f" and {rest} more" if rest > 0 else "")
    one = len(people.untracked) == 1
    return f" Left out, because no face was ever tracked under {'it' if one else 'them'}: {numbers}."


def people_comparison(people: People) -> str:
    return au_tables_of_people(people.persons, _tag)


def people_choice(people: People) -> str:
    """The radio buttons by which a person is chosen; they stay in view."""
    chosen = people.most_seen.number
    buttons = "".join(
        f'<label class="person-{person.number}"><input type="radio" name="person" id="choose-{person.number}"'
        f'{" checked" if person.number == chosen else ""} aria-label="{safe(person.name)}">{_tag(person)}</label>'
        for person in people.persons
    )
    return f'<fieldset class="choice"><legend>Charts of</legend>{buttons}</fieldset>'


def people_charts(people: People, sidecar: Sidecar) -> str:
    """Charts and table of each person, of whom one is shown."""
    request = sidecar.get("request", {})
    # Static is what a run without --aus measures, and OpenFace's program for several faces.
    aus = request.get("aus") or ("static" if people.slots or request.get("faces") is not None else None)
    intensities = {
        "static": "Intensity from 0 to 5 by the static models, not calibrated to anybody",
        "calibrated": "Intensity from 0 to 5, calibrated to each face and smoothed while it is followed",
    }.get(str(aus), "Intensity from 0 to 5")
    parts = []
    for person in people.persons:
        wording = Wording(person.name, intensities, f"{person.name} is not tracked, and nothing is drawn")
        name = f"{person.name}: action units"
        content = (
            au_charts(person.table, None, None, person.seconds, wording),
            pose_charts(person.table, None, None, person.seconds, wording),
            au_table(person.figures.aus, None, name),
        )
        parts.append(f'<div class="sections person-{person.number}">{"".join(filter(None, content))}</div>')
    return "\n".join(parts)


def _tag(person: Person) -> str:
    """The number in the person's colour, as on the pictures."""
    return f'<b class="tag person-{person.number}">{person.number}</b>'


def _ends(person: Person) -> tuple[str, str]:
    """First and last time at which the person is tracked."""
    first, last = (f"{seconds:.2f}\N{NO-BREAK SPACE}s" for seconds in person.ends)
    return first, last


def _strip(people: People, person: Person) -> str:
    """The clip as a strip that is filled where the person is tracked; a stretch is never too narrow to be seen."""
    visits, (first, last) = person.visits, _ends(person)
    stays = "one stretch" if len(visits) == 1 else f"{len(visits)} stretches"
    told = f"{person.name}: {stays}, {first} to {last}"
    bars = []
    for start, end in visits:
        width = max(1000 * (end - start) / people.frames, LEAST_WIDTH)
        left = min(1000 * start / people.frames, 1000 - width)
        bars.append(f'<rect x="{left:.1f}" y="0" width="{width:.1f}" height="10"/>')
    return (
        f'<svg class="strip" viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label="{safe(told)}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(bars)}</svg>'
    )
