"""The people of a clip: who is tracked in which frames, each with figures and rows, on one grid of frames.

A `ResultTable` with `persons` and the length of the clip in, `People` out. The grid has the frames just before and
after every gap, in which a person has no row, so that charts shade the gap and join nothing over it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import FileFormatError
from auparity.reports.clips.measures import Measures, measures
from auparity.reports.clips.table import NOBODY, ResultTable

Array = npt.NDArray[Any]

#: Colours by place among the people of a clip, repeated beyond the last: of marks on pictures, tags and dark pages, and
#: darker ones of the same hue for lines on white. Numbers stand beside them everywhere.
COLOURS = (
    ("#2dd4bf", "#0b7d74"), ("#fbbf24", "#9a6700"), ("#a78bfa", "#6d43d9"), ("#f87171", "#c2302b"),
    ("#38bdf8", "#0b72a8"), ("#a3e635", "#517a02"), ("#f472b6", "#c02677"), ("#fb923c", "#b1500a"),
    ("#86efac", "#15803d"), ("#d6b38c", "#80603a"), ("#e879f9", "#a21caf"), ("#cbd5e1", "#475569"),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Person:
    """One person of a clip."""

    number: int  #: `person_id`, or the slot `face_id`
    name: str  #: "Person 3" or "Face slot 3"
    colours: tuple[str, str]  #: of marks and of lines on white, as CSS
    figures: Measures  #: of the person's own rows
    table: ResultTable  #: own rows, in order of time
    places: Array  #: (rows,) of them on the grid
    ends: tuple[float, float]  #: seconds at which the person is first and last tracked
    visits: list[tuple[int, int]]  #: frames from 0, first and past the last, of each stretch in which it is tracked


@dataclass(frozen=True, eq=False)
class People:
    """Everybody in a clip."""

    persons: tuple[Person, ...]  #: by number; those who are tracked in a frame at least
    untracked: tuple[int, ...]  #: numbers whose rows all have success 0: mostly detections of what is no face
    slots: bool  #: numbers are slots (`face_id`), each of which may have followed several people in turn
    frames: int  #: of the clip
    tracked_frames: int  #: in which anybody is tracked
    at_once: int  #: the most that are tracked in one frame
    seconds: tuple[float, float]  #: times of the first and the last frame
    grid: Array  #: (G,) frames from 0: the first, the last, those with a row, those before and after them
    times: Array  #: (G,) seconds

    @property
    def share(self) -> float:
        """Share of the frames in which anybody is tracked."""
        return self.tracked_frames / self.frames

    @property
    def most_seen(self) -> Person:
        """Who is tracked in most frames; there must be somebody."""
        return max(self.persons, key=lambda person: person.figures.tracked)

    @property
    def words(self) -> tuple[str, str]:
        """What one of them and several of them are called."""
        return ("face slot", "face slots") if self.slots else ("person", "people")


def colours_of(place: int) -> tuple[str, str]:
    """Bright and dark colour of the person at this place."""
    return COLOURS[place % len(COLOURS)]


def numbers_of(table: ResultTable) -> list[int]:
    """The numbers of the people of a table, which has rows, in order: who is tracked in a frame at least.

    Raises
    ------
    FileFormatError : a number of a person or of a frame is none.
    """
    persons, frames = table.persons, table.columns["frame"]
    assert persons is not None
    for name, values, least in (("the number of a person", persons, -np.inf), ("the number of a frame", frames, 1)):
        odd = np.flatnonzero((values != np.floor(values)) | (values < least))
        if odd.size:
            place = f"row {odd[0] + 1}"
            raise FileFormatError(table.path, place, f"{name}, whole", f"{values[odd[0]]:g}", "Extract it again.")
    return [int(number) for number in np.unique(persons[table.success & (persons != NOBODY)])]


class Clock:
    """Times of the frames of a table of several people: those of the rows, between them by interpolation, before and
    after them by the frame rate."""

    def __init__(self, table: ResultTable, fps: float) -> None:
        self._known, first = np.unique(table.columns["frame"] - 1, return_index=True)
        self._times, self._fps = table.seconds(fps)[first], fps

    def at(self, frames: Array) -> Array:
        """(n,) seconds of frames, counted from 0."""
        outside = np.minimum(frames - self._known[0], 0) + np.maximum(frames - self._known[-1], 0)
        seconds: Array = np.interp(frames, self._known, self._times) + outside / self._fps
        return seconds


def people_of(table: ResultTable, frames: int | None, fps: float) -> People:
    """The people of a table of several.

    Parameters
    ----------
    table : with `persons`, and rows.
    frames : length of the clip; None for that of the last row's frame.
    fps : frames a second, for frames without a row and for tables whose time stamps are all 0.

    Raises
    ------
    FileFormatError : a number of a person or of a frame is none.
    """
    numbers, every, at = numbers_of(table), table.persons, table.columns["frame"].astype(int) - 1
    assert every is not None
    count = max(int(at.max()) + 1, frames or 0)
    clock, persons, grid = Clock(table, fps), [], _with_ends_of_gaps(at, every, count)
    for place, number in enumerate(numbers):
        own = np.flatnonzero(every == number)
        own = own[np.argsort(at[own], kind="stable")]
        rows, frames_of = table.rows(own), at[own]
        visits = _stretches(np.unique(frames_of[rows.success]))
        first, last = clock.at(np.array([visits[0][0], visits[-1][1] - 1]))
        persons.append(
            Person(
                number=number,
                name=f"{table.kind_of_persons} {number}",
                colours=colours_of(place),
                figures=measures(rows),
                table=rows,
                places=np.searchsorted(grid, frames_of),
                ends=(float(first), float(last)),
                visits=visits,
            )
        )
    tracked = np.unique(at[table.success], return_counts=True)[1]
    first, last = clock.at(np.array([0, count - 1]))
    return People(
        persons=tuple(persons),
        untracked=tuple(sorted({int(number) for number in np.unique(every)} - {NOBODY, *numbers})),
        slots="person_id" not in table.columns,
        frames=count,
        tracked_frames=len(tracked),
        at_once=int(tracked.max(initial=0)),
        seconds=(float(first), float(last)),
        grid=grid,
        times=clock.at(grid),
    )


def _with_ends_of_gaps(at: Array, persons: Array, count: int) -> Array:
    """Frames with a row, those just before and after each person's, and the ends of the clip: charts need no others."""
    parts = [np.array([0, count - 1])]
    for number in np.unique(persons):
        own = np.unique(at[persons == number])
        parts += [own, own - 1, own + 1]
    frames = np.unique(np.concatenate(parts))
    return frames[(frames >= 0) & (frames < count)]


def _stretches(frames: Array) -> list[tuple[int, int]]:
    """First and past the last of each run of consecutive frames."""
    runs = np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1)
    return [(int(run[0]), int(run[-1]) + 1) for run in runs if len(run)]
