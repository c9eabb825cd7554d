"""The figures of the faces of one clip, from the batches of its rows, whatever their number."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import AuparityError, FileFormatError
from auparity.reports.clips.measures import Measures, RunningMeasures
from auparity.reports.clips.table import NOBODY, table_batches

Array = npt.NDArray[Any]

#: Rows that are in memory at a time.
BATCH = 8192
_FACTS = frozenset({"frame", "face", "face_id", "person_id", "timestamp", "success", "confidence"})


class Stopped(AuparityError):
    """Reading was interrupted."""


@dataclass
class ClipFigures:
    """The figures of a clip or an image."""

    rows: int = 0
    last_frame: int = 0  #: the largest number of a frame, from 1; 0 for images
    seconds: float | None = None
    people: list[tuple[int | None, Measures]] = field(default_factory=list)


def is_used(column: str) -> bool:
    """Whether figures are made from a column of a table."""
    return column in _FACTS or (column.startswith("AU") and column.endswith(("_r", "_c")))


def used(names: Collection[str]) -> list[str]:
    """Those of the names of columns that figures are made from."""
    return [name for name in names if is_used(name)]


class ClipReading:
    """Adds up the rows of one clip."""

    def __init__(self) -> None:
        self._found = ClipFigures()
        self._all, self._people = RunningMeasures(), dict[float, RunningMeasures]()
        self._key = ""  #: the column that tells people apart
        self._several = False
        self._times: tuple[float, float] | None = None

    def add(self, columns: Mapping[str, Array]) -> None:
        """Count some rows: columns that `is_used`, by name."""
        rows = len(next(iter(columns.values())))
        if not rows:
            return
        figures = {name: values for name, values in columns.items() if name not in _FACTS - {"success", "confidence"}}
        if "success" not in figures and "frame" not in columns:
            figures["success"] = np.ones(rows)  # the rows of an image are faces that were found
        self._all.add(figures)
        self._found.rows += rows
        if "timestamp" in columns:
            low, high = float(columns["timestamp"].min()), float(columns["timestamp"].max())
            low, high = (low, high) if self._times is None else (min(low, self._times[0]), max(high, self._times[1]))
            self._times = low, high
        if "frame" not in columns:
            return
        self._see_several(columns)
        self._found.last_frame = max(self._found.last_frame, int(columns["frame"].max()))
        if self._key:
            for number in np.unique(columns[self._key]):
                own = columns[self._key] == number
                reading = self._people.setdefault(float(number), RunningMeasures())
                reading.add({name: values[own] for name, values in figures.items()})

    def _see_several(self, columns: Mapping[str, Array]) -> None:
        """As of a whole `ResultTable`: `person_id`, or several slots, or frames without a row, tell several people."""
        self._key = "person_id" if "person_id" in columns else "face_id" if "face_id" in columns else ""
        if self._key == "person_id":
            self._several = True
        elif self._key:
            numbers = columns["face_id"]
            steps = np.diff(columns["frame"], prepend=self._found.last_frame)
            self._several |= len(self._people.keys() | set(numbers.tolist())) > 1
            self._several |= bool(steps.min() > 0 and steps.max() > 1)

    def result(self) -> ClipFigures:
        """The figures; those of people are of who is tracked in a frame at least, by number."""
        found = self._found
        found.seconds = None if self._times is None else self._times[1] - self._times[0]
        everybody = {int(number): running.result() for number, running in sorted(self._people.items())}
        tracked = [(number, each) for number, each in everybody.items() if each.tracked and number != NOBODY]
        if self._several:
            found.people = [*tracked] or [(None, Measures(found.rows, 0, None, {}))]
        else:
            found.people = [(None, self._all.result())]
        return found


def figures_of_table(table: Path, stopped: Callable[[], bool], told: Callable[[int], None]) -> ClipFigures:
    """The figures of a table, which is read once, `BATCH` rows at a time.

    Parameters
    ----------
    stopped : whether to give up; asked before each batch.
    told : gets the number of rows that were read, again and again.

    Raises
    ------
    FileFormatError : it is not a table of faces. VariantUnavailable : pyarrow is missing. Stopped : as asked.
    """
    reading = ClipReading()
    for columns in table_batches(table, used, BATCH):
        if stopped():
            raise Stopped("interrupted")
        if "confidence" not in columns or not {"frame", "face"} & columns.keys():
            found = ", ".join(list(columns)[:5]) or "none of them"
            wanted = "confidence, and frame or face"
            raise FileFormatError(table, "the columns", wanted, found, "It is not a table of faces.")
        reading.add(columns)
        told(len(next(iter(columns.values()))))
    return reading.result()
