"""What `Pipeline` returns for a whole clip or image: lists of results that are tables as well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.reference.persons import NOBODY
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS, FrameResult, OfflineAUs
from auparity.reference.stretches import FaceStretch
from auparity.tables.rows import column_arrays
from auparity.tables.table import FaceTable, Tabular

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class ClipResult(Tabular):
    """A whole clip of one face."""

    frames: list[FrameResult]  #: one a frame, AUs as predicted online
    aus: OfflineAUs  #: intensities (T, 17) and presences (T, 18) after post-processing

    def __len__(self) -> int:
        return len(self.frames)

    def __repr__(self) -> str:
        tracked = sum(frame.success for frame in self.frames)
        return f"<ClipResult: {len(self.frames)} frames, face tracked in {tracked}; .frames, .aus['AU12'], .timestamps>"

    def _repr_html_(self) -> str:
        return self.table().html(repr(self))

    @property
    def timestamps(self) -> F64:
        """(T,) seconds."""
        return np.array([frame.timestamp for frame in self.frames], np.float64)

    @property
    def presences(self) -> dict[str, npt.NDArray[Any]]:
        """Presences (T,) by name, after post-processing."""
        return {name: self.aus.presence_of(name) for name in PRESENCE_AUS}

    def table(self) -> FaceTable:
        """The table that `auparity extract` writes, unrounded, with the AUs after post-processing."""
        return self._table

    @cached_property
    def _table(self) -> FaceTable:
        return _with_aus(column_arrays(self.frames, "clip"), self.aus.intensity, self.aus.presence)


@dataclass(frozen=True, eq=False, repr=False)
class FacesResult(Tabular):
    """A whole clip of several people."""

    frames: list[list[FrameResult]]  #: the faces of each frame, by slot; AUs as predicted online
    stretches: list[FaceStretch]  #: who is in which frames, with the AUs of these frames

    def __len__(self) -> int:
        return len(self.frames)

    def __repr__(self) -> str:
        rows = sum(map(len, self.frames))
        people = len(self.people)
        return (
            f"<FacesResult: {len(self.frames)} frames, {people} people, {rows} rows; .person(0).aus['AU12'], .frames>"
        )

    def _repr_html_(self) -> str:
        return self.table().html(repr(self))

    @property
    def people(self) -> list[int]:
        """The `person_id` of everybody, from 0."""
        return sorted({stretch.person_id for stretch in self.stretches} - {NOBODY})

    def person(self, person_id: int) -> FaceTable:
        """The rows of one person, in order of time: ``clip.person(0).aus["AU12"]``.

        Raises
        ------
        KeyError : nobody has that number.
        """
        if person_id not in self.people:
            raise KeyError(f"there is no person {person_id}; there are {', '.join(map(str, self.people)) or 'none'}")
        table = self.table()
        return table.rows(table["person_id"] == person_id)

    def table(self) -> FaceTable:
        """The table that `auparity extract --faces` writes, unrounded: a row for each face of a frame."""
        return self._table

    @cached_property
    def _table(self) -> FaceTable:
        rows = [result for frame in self.frames for result in frame]
        places = {
            (int(frame), stretch.face_id): (stretch, k)
            for stretch in self.stretches
            for k, frame in enumerate(stretch.frames)
        }
        found = [places[row.index, row.face_id] for row in rows]
        intensity = np.array([stretch.aus.intensity[k] for stretch, k in found]).reshape(-1, len(INTENSITY_AUS))
        presence = np.array([stretch.aus.presence[k] for stretch, k in found]).reshape(-1, len(PRESENCE_AUS))
        columns = column_arrays(rows, "faces")
        columns["person_id"] = np.array([stretch.person_id for stretch, _ in found], np.int32)
        return _with_aus(columns, intensity, presence)


class ImageResult(list[FrameResult], Tabular):
    """The faces of an image, in order of detection: a list that is a table as well.

    Readers of Arrow streams take a list for one of columns; give them its `table()`.
    """

    def __init__(self, faces: Sequence[FrameResult] = ()) -> None:
        super().__init__(faces)

    def __repr__(self) -> str:
        return f"<ImageResult: {len(self)} faces; [0].aus['AU12'], [0].presences, .to_dataframe()>"

    def _repr_html_(self) -> str:
        return self.table().html(repr(self))

    def table(self) -> FaceTable:
        """The table that `auparity extract` writes for an image, unrounded."""
        return FaceTable(column_arrays(self, "photograph"))


def _with_aus(
    columns: dict[str, npt.NDArray[Any]], intensity: npt.NDArray[Any], presence: npt.NDArray[Any]
) -> FaceTable:
    """A table with AUs in place of those that it has: intensities (R, 17) and presences (R, 18)."""
    for k, au in enumerate(INTENSITY_AUS):
        columns[f"{au}_r"] = np.ascontiguousarray(intensity[:, k], np.float64)
    for k, au in enumerate(PRESENCE_AUS):
        columns[f"{au}_c"] = presence[:, k].astype(np.int8)
    return FaceTable(columns)
