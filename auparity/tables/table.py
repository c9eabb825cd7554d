"""`FaceTable`: a table of faces as arrays, and what can be done with it; `Tabular`: results that are such tables.

One row is one face in one frame, or one face of an image. Columns are those of `columns.py`, as they are in the files
of `auparity extract`, unrounded where they come from results or from Parquet.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from auparity.errors import AuparityError
from auparity.tables.arrow import arrow_table, data_frame
from auparity.tables.choosing import FIRST, action_units, chosen_names, long_form
from auparity.tables.columns import column_of
from auparity.tables.episodes import Episodes, find_episodes
from auparity.tables.notebook import table_html
from auparity.tables.resampling import How, resample
from auparity.tables.rows import is_presence
from auparity.tables.timeline import Timeline
from auparity.tables.writers import write_table

Array = npt.NDArray[Any]

#: What becomes of rows in which no face was tracked.
Missing = Literal["keep", "nan", "drop"]
MISSING = ("keep", "nan", "drop")


class Tabular:
    """Something that is a table of faces: it becomes a data frame, and whatever reads Arrow streams reads it."""

    def table(self) -> FaceTable:
        """All of it as a table, with its failed rows."""
        raise NotImplementedError

    def to_dataframe(
        self,
        columns: Collection[str] | None = None,
        *,
        missing: Missing | None = None,
        min_confidence: float | None = None,
        long: bool = False,
    ) -> Any:
        """A `pandas.DataFrame` with a row for each face of each frame and OpenFace's columns.

        Parameters
        ----------
        columns : names of columns, of AUs ("AU12" for ``AU12_r`` and ``AU12_c``) or of groups ("aus", "pose", ...), to
            which the first columns are always added; None for all.
        missing : what becomes of rows in which no face was tracked: "keep" (as in OpenFace's tables, with the
            measurements of the model's last state), "nan" for no measurements, "drop" for no rows. None for "keep", or
            "nan" with `min_confidence`.
        min_confidence : rows of less confidence, 0 to 1, count as failed, too.
        long : a row for each face, frame and AU, with the columns ``au``, ``intensity`` and ``presence``.

        Raises
        ------
        VariantUnavailable : pandas is not installed. AuparityError : there is no such column; the options contradict
            each other.
        """
        return data_frame(self._chosen(columns, missing, min_confidence, long).columns)

    def to_arrow(
        self,
        columns: Collection[str] | None = None,
        *,
        missing: Missing | None = None,
        min_confidence: float | None = None,
        long: bool = False,
    ) -> Any:
        """The same as a `pyarrow.Table`, with null in place of NaN; fields have their units and meanings as metadata.

        Raises
        ------
        VariantUnavailable : pyarrow is not installed. AuparityError : as of `to_dataframe`.
        """
        return arrow_table(self._chosen(columns, missing, min_confidence, long).columns)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The Arrow PyCapsule protocol: ``polars.DataFrame(clip)``, ``pyarrow.table(clip)``, DuckDB and others."""
        return arrow_table(self.table().columns).__arrow_c_stream__(requested_schema)

    def episodes(
        self,
        aus: Collection[str] | None = None,
        *,
        threshold: float | None = None,
        min_duration: float = 0.0,
        join: float = 0.0,
        min_confidence: float | None = None,
        fps: float | None = None,
    ) -> Episodes:
        """When AUs are present, from onset to offset; see `find_episodes`."""
        timeline = self.table().timeline(min_confidence, fps)
        return find_episodes(timeline, aus, threshold=threshold, min_duration=min_duration, join=join)

    def _chosen(
        self, columns: Collection[str] | None, missing: Missing | None, min_confidence: float | None, long: bool
    ) -> FaceTable:
        table = self.table().masked(missing, min_confidence)
        if columns is not None:
            table = table.select(columns)
        return table.long() if long else table


@dataclass(frozen=True, eq=False, repr=False)
class FaceTable(Tabular):
    """A table of R rows.

    Parameters
    ----------
    columns : name to (R,); counts and flags are int32, presences int8, everything else float64 (presences, too, where
        some are NaN).
    """

    columns: Mapping[str, Array]

    @classmethod
    def of_numbers(cls, columns: Mapping[str, Array]) -> FaceTable:
        """One of columns of any numbers, such as those of a CSV: known ones get their types."""
        return cls({name: _typed(name, values) for name, values in columns.items()})

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, name: str) -> Array:
        """A column (R,) by its name."""
        return self.columns[_known(name, self.columns)]

    def __repr__(self) -> str:
        of = [f"{len(self)} rows", f"{len(self.columns)} columns"]
        if self.persons is not None:
            of.append(f"{len(np.unique(self.persons[self.persons >= 0]))} people")
        return f"<FaceTable: {', '.join(of)}; ['AU12_r'], .aus['AU12'], .to_dataframe()>"

    def _repr_html_(self) -> str:
        return self.html(repr(self))

    def html(self, title: str) -> str:
        """What notebooks show: a title, and a small chart of the most active AUs or a list of the faces."""
        times, unit = self.columns.get("timestamp"), "s"
        if times is None or not times.any():  # a folder of images, or one image
            times, unit = self.columns.get("frame"), "frame"
        return table_html(title, self.columns.get("confidence"), self.aus, self.success, self.persons, times, unit)

    def table(self) -> FaceTable:
        """Itself."""
        return self

    @cached_property
    def aus(self) -> dict[str, Array]:
        """Intensities (R,) by the AU's name: ``table.aus["AU12"]``."""
        return action_units(self.columns, "_r")

    @cached_property
    def presences(self) -> dict[str, Array]:
        """Presences (R,) by the AU's name."""
        return action_units(self.columns, "_c")

    @cached_property
    def persons(self) -> Array | None:
        """(R,) whose face each row has: `person_id`, or the slot in tables of several faces without it; None for one
        face. Negative numbers are nobody."""
        if "person_id" in self.columns:
            return self.columns["person_id"]
        slots, frames = self.columns.get("face_id"), self.columns.get("frame")
        if slots is None or frames is None or not len(slots):
            return None
        return slots if np.any(slots != slots[0]) else None

    @cached_property
    def success(self) -> Array:
        """(R,) bool: the face was tracked; all rows of tables without such a column."""
        column = self.columns.get("success")
        return np.ones(len(self), bool) if column is None else np.asarray(column == 1)

    def usable(self, min_confidence: float | None = None) -> Array:
        """(R,) bool: rows with success 1 and at least this confidence.

        Raises
        ------
        AuparityError : the confidence is not from 0 to 1, or the table has none.
        """
        if min_confidence is None:
            return self.success
        if not 0 <= min_confidence <= 1:
            raise AuparityError(f"min_confidence is {min_confidence}; confidences are from 0 to 1.")
        if "confidence" not in self.columns:
            raise AuparityError("the table has no column `confidence` that min_confidence could look at.")
        return self.success & (self.columns["confidence"] >= min_confidence)

    def seconds(self, fps: float | None = None) -> Array:
        """(R,) time of each row: the column `timestamp`, or frame numbers over `fps` where that is all 0 or missing.

        Raises
        ------
        AuparityError : there are no times and no `fps`; `fps` is not above 0.
        """
        stamps = self.columns.get("timestamp")
        if stamps is not None and (stamps.any() or not len(stamps)):
            return stamps
        if "frame" not in self.columns:
            raise AuparityError("the table has no frames, so there is no time in it.")
        if fps is None:
            raise AuparityError("the table has no time stamps; give the frames a second (fps, --fps).")
        if not (np.isfinite(fps) and fps > 0):
            raise AuparityError(f"fps is {fps}; it has to be above 0.")
        return (self.columns["frame"] - 1) / fps

    def timeline(self, min_confidence: float | None = None, fps: float | None = None) -> Timeline:
        """The rows of each person in order of time, as episodes and equal steps need them.

        Raises
        ------
        AuparityError : as of `seconds` and `usable`; all rows are of one moment.
        """
        return Timeline.of(self.columns, self.seconds(fps), self.persons, self.usable(min_confidence), fps)

    def rows(self, chosen: Array) -> FaceTable:
        """These rows, by their places or by (R,) bool."""
        return FaceTable({name: values[chosen] for name, values in self.columns.items()})

    def masked(self, missing: Missing | None = None, min_confidence: float | None = None) -> FaceTable:
        """The table without measurements in failed rows, or without these rows; see `to_dataframe`.

        Raises
        ------
        AuparityError : the options contradict each other; as of `usable`.
        """
        if missing is None:
            missing = "keep" if min_confidence is None else "nan"
        if missing not in MISSING:
            raise AuparityError(f"missing is {missing!r}; it is one of {', '.join(MISSING)}.")
        if missing == "keep":
            if min_confidence is not None:
                raise AuparityError('min_confidence does not go with missing="keep": say "nan" or "drop".')
            return self
        usable = self.usable(min_confidence)
        if missing == "drop":
            return self.rows(usable)
        if usable.all():
            return self
        return FaceTable(
            {name: values if name in FIRST else np.where(usable, values, np.nan) for name, values in
             self.columns.items()}
        )  # fmt: skip

    def select(self, names: Collection[str]) -> FaceTable:
        """The first columns and those that are named by name, AU or group, in the order of the table.

        Raises
        ------
        AuparityError : the table has no such column.
        """
        chosen = chosen_names(self.columns.keys(), [names] if isinstance(names, str) else names)
        return FaceTable({name: self.columns[name] for name in chosen})

    def long(self) -> FaceTable:
        """A row for each row and AU: the first columns, ``au``, ``intensity`` (NaN for AU28) and ``presence``.

        Raises
        ------
        AuparityError : the table has no AUs.
        """
        return FaceTable(long_form(self.columns))

    def resampled(
        self, rate: float, how: How = "auto", *, min_confidence: float | None = None, fps: float | None = None
    ) -> FaceTable:
        """The table at equal steps in time; see `resample`."""
        return FaceTable.of_numbers(resample(self.timeline(min_confidence, fps), rate, how))

    def write(self, path: str | Path) -> None:
        """Write it as the suffix says: .csv, .parquet or .arrow. A file of that name is replaced.

        Raises
        ------
        AuparityError : there is no such format. VariantUnavailable : pyarrow is missing. WriteError : it cannot be
            written.
        """
        write_table(Path(path), self.columns)


def _typed(name: str, values: Array) -> Array:
    """The column with its type, if its values allow that."""
    column = column_of(name)
    if column is None or values.dtype.kind not in "fiub":
        return values
    if is_presence(name) or column.kind == "int":
        kind = np.int8 if is_presence(name) else np.int32
        whole = np.isfinite(values) & (np.abs(values) <= np.iinfo(kind).max) & (values == np.round(values))
        return values.astype(kind) if whole.all() else values.astype(np.float64)
    return values.astype(np.float64)


def _known(name: str, columns: Mapping[str, Array]) -> str:
    if name not in columns:
        of_au = [column for column in (f"{name}_r", f"{name}_c") if column in columns]
        hint = f"; its columns are {' and '.join(of_au)}" if of_au else ""
        raise KeyError(f"the table has no column {name!r}{hint}")
    return name
