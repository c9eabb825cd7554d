"""What is known of the rows of a clip when it has ended: post-processed AUs, who is who, and which rows stay.

While a clip of several people runs, a row is written for each face of each frame. A table of one person
(`PersonChoice`) has one row for each frame, but who somebody is follows from the whole clip (`reference/persons.py`).
Its part file therefore has the rows of everybody, and before those of each frame a row as of a frame without a face;
at the end one row of each frame stays: that of the person, or the one without a face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS, OfflineAUs
from auparity.reference.stretches import FaceStretch

#: In place of a slot: the row that stands for a frame in which the person of the table is not followed.
NO_SLOT = -1


class Row(NamedTuple):
    """A row of the part file of a clip of several people."""

    frame: int  #: from 0
    face_id: int  #: the slot, or `NO_SLOT`
    success: bool


@dataclass(frozen=True, eq=False)
class FinalRows:
    """What `TableWriter.finish` is told."""

    aus: OfflineAUs | None = None  #: of the rows that stay, in order; None where they stay as they are
    persons: list[int] | None = None  #: the `person_id` of each of these rows; None for a table without that column
    kept: list[int] | None = None  #: numbers of the rows that stay, from 0, in order; None for all


def of_one_face(finished: OfflineAUs, n_rows: int) -> FinalRows:
    """A clip of one face with so many rows. An interruption may come after a frame has entered the AU history, and
    before it is in the table."""
    return FinalRows(OfflineAUs(finished.intensity[:n_rows], finished.presence[:n_rows]))


def of_all_faces(
    stretches: Sequence[FaceStretch], rows: Sequence[Row], *, calibrated: bool, person_ids: bool
) -> FinalRows:
    """A clip of several people: every row stays, static AUs as they are."""
    found = _places(stretches)
    places = [found[row.frame, row.face_id] for row in rows]
    persons = [stretch.person_id for stretch, _ in places] if person_ids else None
    return FinalRows(_aus(places) if calibrated else None, persons)


def of_one_person(stretches: Sequence[FaceStretch], rows: Sequence[Row], person_id: int) -> FinalRows:
    """A clip of several people of whom one stays; the AUs of a frame in which this person is not followed are 0.

    Parameters
    ----------
    stretches : with calibrated AUs. Two that share a frame are never one person.
    rows : those of each frame, of which the first has `NO_SLOT`.
    """
    found = _places([stretch for stretch in stretches if stretch.person_id == person_id])
    kept: dict[int, int] = {}  # number of the row of each frame
    for number, row in enumerate(rows):
        if row.face_id == NO_SLOT or (row.frame, row.face_id) in found:
            kept[row.frame] = number
    numbers = list(kept.values())
    return FinalRows(_aus([found.get((rows[k].frame, rows[k].face_id)) for k in numbers]), None, numbers)


_Place = tuple[FaceStretch, int]  # a stretch, and a frame's number in it


def _places(stretches: Sequence[FaceStretch]) -> dict[tuple[int, int], _Place]:
    """The place of each frame and slot."""
    return {
        (int(frame), stretch.face_id): (stretch, k) for stretch in stretches for k, frame in enumerate(stretch.frames)
    }


def _aus(places: Sequence[_Place | None]) -> OfflineAUs:
    """The AUs at these places, intensities (n, 17) and presences (n, 18); zeros where there is none."""
    intensity = np.zeros((len(places), len(INTENSITY_AUS)))
    presence = np.zeros((len(places), len(PRESENCE_AUS)))
    for row, place in enumerate(places):
        if place is not None:
            stretch, k = place
            intensity[row], presence[row] = stretch.aus.intensity[k], stretch.aus.presence[k]
    return OfflineAUs(intensity, presence)
