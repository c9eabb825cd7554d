"""Tables with OpenFace's column names: results of `auparity extract`, of OpenFace itself, and truth files.

One row is one face in one frame. A `ResultTable` has arrays with the rows as their first axis, None for what the table
has no columns for (a truth file has no confidence, OpenFace 2.0 no eye landmarks). `read_result_table` reads CSV and
Parquet files, by the names of their columns.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import FileFormatError
from auparity.reports.clips.column_groups import missing_groups
from auparity.tables.files import Choose, column_batches, read_columns

Array = npt.NDArray[Any]

N_FACE, N_EYES = 68, 56
_GAZE = tuple(f"gaze_{eye}_{axis}" for eye in (0, 1) for axis in "xyz")
_POSE = tuple(f"pose_{kind}{axis}" for kind in "TR" for axis in "xyz")
_PARAMS = ("p_scale", "p_rx", "p_ry", "p_rz", "p_tx", "p_ty")
#: A table of faces has at least the landmarks.
LANDMARKS = ("x_0", "y_67")
#: Beginnings of the columns that no page shows: landmarks in space. They are half of a table.
IN_SPACE = tuple(f"{axis}_" for axis in "XYZ") + tuple(f"eye_lmk_{axis}_" for axis in "XYZ")
#: `person_id` of a row that is of nobody known.
NOBODY = -1
#: Pixels beyond this are outside any image; other numbers are bounded so that arithmetic with them stays finite.
LARGEST_PIXEL, LARGEST_NUMBER = 1e6, 1e15
_PIXELS = tuple(f"{axis}_" for axis in "xy") + tuple(f"eye_lmk_{axis}_" for axis in "xy")


@dataclass(frozen=True, eq=False)
class ResultTable:
    """A table of R rows; pixels, millimetres, radians and intensities as OpenFace writes them (spec 80.1)."""

    path: Path
    photograph: bool  #: rows are the faces of one image, not the frames of a clip
    columns: dict[str, Array]  #: name to (R,)
    persons: Array | None = None  #: (R,) whose face each row has, of a clip of several people; None for other tables

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def get(self, *names: str) -> Array | None:
        """(R, len(names)) of these columns, or None unless all of them are there."""
        if not set(names) <= set(self.columns):
            return None
        return np.stack([self.columns[name] for name in names], axis=1)

    def points(self, prefix: str, axes: str, count: int) -> Array | None:
        """(R, count, len(axes)) of the columns `<prefix><axis>_<number>`, or None."""
        columns = self.get(*(f"{prefix}{axis}_{i}" for axis in axes for i in range(count)))
        return None if columns is None else np.swapaxes(columns.reshape(len(columns), len(axes), count), 1, 2)

    @property
    def kind_of_persons(self) -> str:
        """What a number in `persons` counts, as a heading says it: persons, or OpenFace's slots."""
        return "Person" if "person_id" in self.columns else "Face slot"

    def of_person(self, person: float) -> ResultTable:
        """The rows of one person."""
        assert self.persons is not None
        return self.rows(self.persons == person)

    def rows(self, chosen: Array) -> ResultTable:
        """These rows, by their places or by (R,) bool."""
        columns = {name: values[chosen] for name, values in self.columns.items()}
        return ResultTable(self.path, self.photograph, columns, None if self.persons is None else self.persons[chosen])

    @property
    def success(self) -> Array:
        """(R,) bool; rows of tables without such a column (images, truth) are all good."""
        column = self.columns.get("success")
        return np.ones(len(self), bool) if column is None else column == 1

    @property
    def landmarks(self) -> Array | None:
        """(R, 68, 2) px."""
        return self.points("", "xy", N_FACE)

    @property
    def eye_landmarks(self) -> Array | None:
        """(R, 2, 28, 2) px, left eye first."""
        points = self.points("eye_lmk_", "xy", N_EYES)
        return None if points is None else points.reshape(len(points), 2, N_EYES // 2, 2)

    @property
    def gaze(self) -> Array | None:
        """(R, 2, 3) unit vectors, left eye first."""
        values = self.get(*_GAZE)
        return None if values is None else values.reshape(-1, 2, 3)

    @property
    def pose(self) -> Array | None:
        """(R, 6) mm and rad."""
        return self.get(*_POSE)

    @property
    def params_global(self) -> Array | None:
        """(R, 6) scale px/mm, rotation rad, translation px."""
        return self.get(*_PARAMS)

    def aus(self, kind: str) -> dict[str, Array]:
        """Intensities ("r") or presences ("c") by the AU's name, in the table's order: name to (R,)."""
        names = (name for name in self.columns if name.startswith("AU") and name.endswith(f"_{kind}"))
        return {name.removesuffix(f"_{kind}"): self.columns[name] for name in names}

    def seconds(self, fps: float) -> Array:
        """(R,) time of every row: time stamps, or frame / fps where they are all 0 (image sequences)."""
        stamps = self.columns.get("timestamp")
        if stamps is not None and stamps.any():
            return stamps
        frames = self.columns.get("frame")
        return np.arange(len(self)) / fps if frames is None else (frames - 1) / fps


def read_result_table(path: Path, needed: Collection[str] = LANDMARKS, left_out: tuple[str, ...] = ()) -> ResultTable:
    """Read a CSV or Parquet file. Columns are found by name, in any order; those of text are left out.

    Parameters
    ----------
    needed : columns that the table must have.
    left_out : beginnings of the names of columns that are not read, such as `IN_SPACE`, to save time and memory.

    Raises
    ------
    FileFormatError : the file does not exist, is not a table of faces, or has an invalid value; names the line.
    VariantUnavailable : pyarrow is missing, which reads Parquet.
    """
    columns = read_columns(path, choose=lambda names: [name for name in names if not name.startswith(left_out)])
    missing = [name for name in needed if name not in columns]
    if missing:
        advice = "It is not a table written by `auparity extract`."
        if {"frame", "face"} & set(columns) and (groups := missing_groups(needed, columns)):
            advice = (
                f"The table was written without the columns of {', '.join(groups)}. Extract it again with these in "
                "--columns, or without --columns."
            )
        raise FileFormatError(path, "the columns", f"a column {missing[0]}", "no such column", advice)
    _check_numbers(path, columns)
    return ResultTable(path, "frame" not in columns, columns, _persons(columns))


def table_batches(path: Path, choose: Choose, rows: int) -> Iterator[dict[str, Array]]:
    """The columns of a CSV or Parquet file that are chosen, by name, in batches of at most so many rows.

    Raises
    ------
    FileFormatError, VariantUnavailable : as of `read_result_table`.
    """
    above = 0
    for columns in column_batches(path, choose, rows):
        _check_numbers(path, columns, above)
        above += len(next(iter(columns.values()), ()))
        yield columns


def _check_numbers(path: Path, columns: dict[str, Array], above: int = 0) -> None:
    """FileFormatError at a number that is none or too large; `above` is the number of rows before these."""
    for name, values in columns.items():
        limit = LARGEST_PIXEL if name.startswith(_PIXELS) else LARGEST_NUMBER
        odd = np.flatnonzero(~(np.abs(values) <= limit))  # NaN is odd, too
        if odd.size:
            place = f"row {above + odd[0] + 1}, {name}"
            raise FileFormatError(path, place, f"a number up to {limit:g}", f"{values[odd[0]]}", "Extract it again.")


def _persons(columns: dict[str, Array]) -> Array | None:
    """Whose face each row has, if the table is of a clip of several people.

    This is `person_id`, or, in tables of OpenFace's FaceLandmarkVidMulti, which has no such column, the slot `face_id`.
    Those are recognised by several slots, or by frames without a row: a table of one face has a row for each frame.
    """
    slots, frames = columns.get("face_id"), columns.get("frame")
    if frames is None or "person_id" in columns:
        return columns.get("person_id")
    if slots is None or not len(slots):
        return None
    steps = np.diff(frames, prepend=0)
    return slots if np.any(slots != slots[0]) or (steps.min() > 0 and steps.max() > 1) else None
