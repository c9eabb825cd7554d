"""The parts of a page that a clip of several people has: who is seen when, and the colours and the choice of a person.

`People` in, text and numbers out; the template of the page makes HTML of them. The choice is a group of radio buttons:
scripts draw the charts of the chosen person, and style sheets show the person's table. On paper, and in a browser that
does not know ``:has()``, everybody's tables are shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from auparity.reports.clips.people import People, Person
from auparity.reports.clips.sidecar import Sidecar
from auparity.reports.page_text import number, percent

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


def colour_rules(colours: Sequence[tuple[int | None, tuple[str, str]]]) -> str:
    """Style rules of the colours of people, by number."""
    rules = [f".person-{number} {{ --tag: {bright}; --own: {deep}; }}" for number, (bright, deep) in colours]
    dark = [f".person-{number} {{ --own: {bright}; }}" for number, (bright, _) in colours]
    return "\n".join([*rules, "@media screen and (prefers-color-scheme: dark) {", *dark, "}\n"])


def people_style(people: People) -> str:
    """Rules of the persons' colours and of the choice."""
    if not people.persons:
        return ""
    chosen = [f"body:has(#choose-{each.number}:checked) .sections.person-{each.number}" for each in people.persons]
    shown = ",\n    ".join(["body:has(#choose-all:checked) .sections", *chosen])
    return (
        colour_rules([(each.number, each.colours) for each in people.persons])
        + "@supports selector(:has(*)) {\n  @media screen {\n    .sections { display: none; }\n    "
        + f"{shown} {{ display: block; }}\n  }}\n}}\n"
    )


def people_verdict(people: People) -> tuple[str, str]:
    """One sentence on how many there are, and "bad" if nobody is."""
    one, several = people.words
    there = len(people.persons)
    if not there:
        return "No face was found in this clip: its rows hold no measurements.", "bad"
    together = "one at a time" if people.at_once == 1 else f"up to {people.at_once} at once"
    who = f"{there} {one if there == 1 else several} {'with a face' if people.slots else 'tracked'}"
    return f"{who}, {together}, in {percent(people.share)} of the frames.", ""


def people_tiles(people: People) -> list[tuple[str, str]]:
    """Figures as (value, what it is)."""
    count = len(people.persons)
    return [
        (str(count), people.words[count > 1]),
        (str(people.at_once), "tracked at once, at most"),
        (percent(people.share), "of the frames with a tracked face"),
    ]


def people_overview(people: People) -> dict[str, Any]:
    """Who is seen when, a row for each person."""
    rows = []
    for person in people.persons:
        figures = person.figures
        cells = [
            str(figures.tracked), percent(figures.tracked / people.frames), *_ends(person), number(figures.confidence)
        ]  # fmt: skip
        told, bars = _strip(people, person)
        rows.append({"number": person.number, "name": person.name, "cells": cells, "told": told, "bars": bars})
    start, end = people.seconds
    return {
        "text": f"{_NUMBERS[people.slots]}{_never(people)}",
        "caption": f"Tracked frames of {people.frames}, from {start:.1f} to {end:.1f} s; mean confidence",
        "heads": [people.words[0], "when", "frames", "share", "first", "last", "confidence"],
        "rows": rows,
    }


def people_intensities(people: People, sidecar: Sidecar) -> str:
    """What the intensities of the charts are."""
    request = sidecar.get("request", {})
    # Static is what a run without --aus measures, and OpenFace's program for several faces.
    aus = request.get("aus") or ("static" if people.slots or request.get("faces") is not None else None)
    return {
        "static": "Intensity from 0 to 5 by the static models, not calibrated to anybody",
        "calibrated": "Intensity from 0 to 5, calibrated to each face and smoothed while it is followed",
    }.get(str(aus), "Intensity from 0 to 5")


def _never(people: People) -> str:
    """What is left out."""
    if not people.untracked:
        return ""
    first, rest = people.untracked[:MOST_NAMED], len(people.untracked) - MOST_NAMED
    numbers = ", ".join(map(str, first)) + (f" and {rest} more" if rest > 0 else "")
    one = len(people.untracked) == 1
    return f" Left out, because no face was ever tracked under {'it' if one else 'them'}: {numbers}."


def _ends(person: Person) -> tuple[str, str]:
    """First and last time at which the person is tracked."""
    first, last = (f"{seconds:.2f}\N{NO-BREAK SPACE}s" for seconds in person.ends)
    return first, last


def _strip(people: People, person: Person) -> tuple[str, list[tuple[float, float]]]:
    """The stretches in which the person is tracked: in words, and as bars (left, width) in a strip of 1000; a stretch
    is never too narrow to be seen."""
    visits, (first, last) = person.visits, _ends(person)
    stays = "one stretch" if len(visits) == 1 else f"{len(visits)} stretches"
    bars = []
    for start, end in visits:
        width = max(1000 * (end - start) / people.frames, LEAST_WIDTH)
        bars.append((min(1000 * start / people.frames, 1000 - width), width))
    return f"{person.name}: {stays}, {first} to {last}", bars
