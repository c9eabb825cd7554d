"""Result tables on disk: rows stream into a part file, from which the table is made when the clip is done (spec 80.2).

The AUs of a clip are final only after its last frame (spec 60.7), so every table is written twice: row by row with the
AUs as predicted online, flushed while the clip runs, so that a crash leaves them readable in ``<table>.<random>.part``;
then once more with the AU columns replaced, into a temporary file that `Finished.put` gives the table's name after its
rows were counted on disk. A table under its final name is therefore always whole. CSV holds the text of spec 80.1;
Parquet holds the same columns unrounded (its part file is an Arrow stream, readable with `pyarrow.ipc.open_stream` up
to the point of a crash).
"""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from auparity.atomic_files import TEMPORARY, close_quietly, create_beside, flush_to_disk, writing
from auparity.errors import AuparityError, ContractError
from auparity.extraction.parquet import RowGroups, dictionary_columns
from auparity.extraction.tables import Groups, has_aus, header, rewrite_aus, row_array, row_line, select
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS, FrameResult, OfflineAUs
from auparity.tables.arrow import arrow_type, require_pyarrow
from auparity.tables.columns import N_AU_COLUMNS, Layout

TableFormat = Literal["csv", "parquet"]

#: Rows of a Parquet table's part file that are written together: what a crash may lose.
ROWS_PER_BATCH = 64
#: Rows of a group of a Parquet table, in memory together. Each group costs about 100 kB of the file's description.
ROWS_PER_GROUP = 4096
PART = ".part"  #: suffix of files with the rows of an unfinished clip


@dataclass(frozen=True)
class Finished:
    """A whole table in a temporary file, its rows counted on disk. `put` it in place or `discard` it."""

    temporary: Path
    rows: int
    n_bytes: int
    sha256: str  #: hex, of the file
    held: IO[bytes]  #: the open file: its lock says that somebody still works on it

    def put(self, table: Path) -> None:
        """Give it its name; raises `OSError`."""
        if os.name == "nt":  # which cannot rename open files
            self.held.close()
        os.replace(self.temporary, table)
        self.held.close()

    def discard(self) -> None:
        """Remove it; does nothing where it has its name already."""
        self.held.close()
        with suppress(FileNotFoundError):
            self.temporary.unlink()


class TableWriter(Protocol):
    """A table being written: `append` rows, then `finish` it or not, and finally `keep_part` or `discard_part`."""

    n_rows: int
    part: Path  #: where the rows are

    def append(self, result: FrameResult) -> None:
        """The next row; raises `WriteError`."""

    def finish(
        self, offline: OfflineAUs | None, persons: Sequence[int] | None = None, kept: Sequence[int] | None = None
    ) -> Finished:
        """The whole table in a file of its own, AU columns replaced where `offline` is given and there are any.

        Parameters
        ----------
        offline : the AUs of the rows that stay, in order.
        persons : the `person_id` of each of these rows in a table of several people; None for others.
        kept : numbers of the rows that stay, from 0 and increasing; None for all.

        Raises
        ------
        ContractError : `offline` or `persons` has another number of rows; `kept` is out of order or has rows that there
            are not. WriteError : it cannot be written. AuparityError : the file on disk does not hold what was written.
        """

    def keep_part(self) -> None:
        """Close the part file and keep it, with everything appended so far; does nothing the second time."""

    def discard_part(self) -> None:
        """Close and remove the part file; does nothing the second time."""


def open_table(table: Path, layout: Layout, table_format: TableFormat, groups: Groups = None) -> TableWriter:
    """Start a table that will be called `table`; rows go to a part file beside it that belongs to this writer alone.
    `groups` are those of its columns, None for all.

    Raises
    ------
    VariantUnavailable : Parquet without pyarrow. OSError : the folder cannot be written to.
    """
    return CSVTable(table, layout, groups) if table_format == "csv" else ParquetTable(table, layout, groups)


class CSVTable:
    """The OpenFace CSV: comma-separated, "\\n" line ends, one header line (spec 80.1, 80.3)."""

    def __init__(self, table: Path, layout: Layout, groups: Groups = None) -> None:
        self.n_rows = 0
        self._table, self._layout, self._groups = table, layout, groups
        self._file, self.part = create_beside(table, PART)
        with writing(table), _removed_on_error(self._file, self.part):
            self._file.write(header(layout, groups).encode("ascii") + b"\n")
            self._file.flush()

    def append(self, result: FrameResult) -> None:
        with writing(self._table):
            self._file.write(row_line(result, self._layout, self._groups))
            self._file.flush()
        self.n_rows += 1

    def finish(
        self, offline: OfflineAUs | None, persons: Sequence[int] | None = None, kept: Sequence[int] | None = None
    ) -> Finished:
        numbers = _checked_rows(kept, self.n_rows)
        offline = _checked(offline, len(numbers), self._groups)
        _check_persons(persons, len(numbers), self._layout)
        out, temporary = create_beside(self._table, TEMPORARY)
        with writing(self._table), _removed_on_error(out, temporary), self.part.open("rb") as rows:
            # Not by the handle that writes: where the disk was full, a row may wait there that is none of these.
            out.write(next(rows))
            for index, line in enumerate(_at(rows, numbers)):
                text = line.decode("ascii").rstrip("\n")
                if persons is not None:  # the last column; what is before it is a row of one person
                    text = text.rpartition(",")[0]
                if offline is not None:
                    text = rewrite_aus(text, offline.intensity[index], offline.presence[index])
                if persons is not None:
                    text = f"{text},{persons[index]}"
                out.write(text.encode("ascii") + b"\n")
            flush_to_disk(out)
            finished, lines = _read_back(out, temporary, len(numbers))
            _check_count(temporary, lines - 1, len(numbers))
        return finished

    def keep_part(self) -> None:
        close_quietly(self._file)

    def discard_part(self) -> None:
        close_quietly(self._file)
        self.part.unlink(missing_ok=True)


class ParquetTable:
    """The same columns as the CSV, unrounded: counts and flags int32, presences int8, the rest float64."""

    def __init__(self, table: Path, layout: Layout, groups: Groups = None) -> None:
        self._pa = require_pyarrow()
        self.n_rows = 0
        self._table, self._layout, self._groups = table, layout, groups
        self._rows: list[npt.NDArray[np.float64]] = []
        self._schema = self._pa.schema([(column.name, arrow_type(column)) for column in select(layout, groups).columns])
        # Of the columns that are no measurements: counts, flags and presences.
        self._kinds = [
            None if field.type == self._pa.float64() else field.type.to_pandas_dtype() for field in self._schema
        ]
        self._file, self.part = create_beside(table, PART)
        self._written, self._pending = 0, BytesIO()  # bytes of the stream on the disk, and those that wait
        self._stream = self._pa.ipc.new_stream(self._pending, self._schema)

    def append(self, result: FrameResult) -> None:
        self._rows.append(row_array(result, self._layout, self._groups))
        self.n_rows += 1
        if len(self._rows) == ROWS_PER_BATCH:
            with writing(self._table):
                self._write_batch()

    def finish(
        self, offline: OfflineAUs | None, persons: Sequence[int] | None = None, kept: Sequence[int] | None = None
    ) -> Finished:
        parquet = import_module("pyarrow.parquet")
        numbers = _checked_rows(kept, self.n_rows)
        offline = _checked(offline, len(numbers), self._groups)
        _check_persons(persons, len(numbers), self._layout)
        out, temporary = create_beside(self._table, TEMPORARY)
        with writing(self._table), _removed_on_error(out, temporary):
            self._end_stream()
            self._file.seek(0)
            with (
                self._pa.ipc.open_stream(self._file) as batches,
                parquet.ParquetWriter(out, self._schema, use_dictionary=dictionary_columns(self._schema)) as writer,
            ):
                start, done = 0, 0  # rows of the part file, and of the table
                group = RowGroups(writer, self._schema, ROWS_PER_GROUP)
                for batch in batches:
                    end = bisect_left(numbers, start + batch.num_rows)
                    inside = [number - start for number in numbers[done:end]]
                    start += batch.num_rows
                    if inside:
                        if len(inside) < batch.num_rows:
                            batch = batch.take(self._pa.array(inside))
                        group.add(self._final(batch, offline, persons, done))
                        done = end
                group.end()
            flush_to_disk(out)
            finished, _ = _read_back(out, temporary, len(numbers))
            _check_count(temporary, parquet.read_metadata(str(temporary)).num_rows, len(numbers))
        return finished

    def keep_part(self) -> None:
        if not self._file.closed:
            with suppress(OSError):  # told before; what was written until then can be read
                self._end_stream()
            close_quietly(self._file)

    def discard_part(self) -> None:
        self._rows = []
        close_quietly(self._file)
        self.part.unlink(missing_ok=True)

    def _end_stream(self) -> None:
        """Everything appended is in the part file, and the stream has its end; does nothing the second time."""
        if self._stream is not None:
            self._write_batch()
            self._stream.close()
            self._stream = None
        self._write_pending()

    def _write_batch(self) -> None:
        if not self._rows:
            return
        values = np.ascontiguousarray(np.stack(self._rows).T)
        columns = [
            self._pa.array(column if kind is None else column.astype(kind))
            for column, kind in zip(values, self._kinds, strict=True)
        ]
        self._stream.write_batch(self._pa.record_batch(columns, schema=self._schema))
        self._rows = []
        self._write_pending()

    def _write_pending(self) -> None:
        """Write what waits. Where that fails it goes on waiting, and is written to the same place the next time."""
        data = self._pending.getvalue()
        self._file.seek(self._written)
        self._file.write(data)
        self._file.flush()
        self._written += len(data)
        self._pending.seek(0)
        self._pending.truncate()

    def _final(self, batch: Any, offline: OfflineAUs | None, persons: Sequence[int] | None, start: int) -> Any:
        """The rows of a batch with what is known at the end of the clip."""
        rows = slice(start, start + batch.num_rows)
        columns, end = list(batch.columns), len(batch.columns) - (persons is not None)
        if offline is not None:
            values = [*offline.intensity[rows].T, *offline.presence[rows].T]
            fields = list(self._schema)[end - N_AU_COLUMNS : end]
            aus = [self._pa.array(column).cast(field.type) for column, field in zip(values, fields, strict=True)]
            columns[end - N_AU_COLUMNS : end] = aus
        if persons is not None:
            columns[-1] = self._pa.array(persons[rows]).cast(self._schema[-1].type)
        return self._pa.record_batch(columns, schema=self._schema)


def _checked(offline: OfflineAUs | None, n_rows: int, groups: Groups) -> OfflineAUs | None:
    """The post-processed AUs, which must be those of the rows written; None for a table without AUs."""
    if offline is None:
        return None
    for name, aus in (("intensity", INTENSITY_AUS), ("presence", PRESENCE_AUS)):
        shape = getattr(offline, name).shape
        if shape != (n_rows, len(aus)):
            raise ContractError("postprocessing", f"OfflineAUs.{name}", f"shape {(n_rows, len(aus))}", f"{shape}")
    return offline if has_aus(groups) else None


def _checked_rows(kept: Sequence[int] | None, n_rows: int) -> Sequence[int]:
    """The numbers of the rows that stay."""
    if kept is None:
        return range(n_rows)
    steps = [-1, *kept, n_rows]
    if any(later <= earlier for earlier, later in pairwise(steps)):
        raise ContractError("table", "kept", f"increasing numbers from 0 to {n_rows - 1}", str(list(kept)))
    return kept


def _at(lines: Iterable[bytes], numbers: Sequence[int]) -> Iterator[bytes]:
    """The lines of these numbers, which increase."""
    wanted = iter(numbers)
    number = next(wanted, None)
    for index, line in enumerate(lines):
        if index == number:
            yield line
            number = next(wanted, None)


def _check_persons(persons: Sequence[int] | None, n_rows: int, layout: Layout) -> None:
    if (persons is None) == (layout == "faces") or (persons is not None and len(persons) != n_rows):
        expected = f"{n_rows} for a table of several people, else None"
        raise ContractError("table", "persons", expected, "None" if persons is None else str(len(persons)))


def _read_back(out: IO[bytes], temporary: Path, rows: int) -> tuple[Finished, int]:
    """The finished table as it stands on disk, and the number of its line ends."""
    digest, size, lines = hashlib.sha256(), 0, 0
    with temporary.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            size += len(chunk)
            lines += chunk.count(b"\n")
    return Finished(temporary, rows, size, digest.hexdigest(), out), lines


def _check_count(temporary: Path, counted: int, rows: int) -> None:
    if counted != rows:
        raise AuparityError(
            f"{temporary}: {rows} rows were written, but {counted} are on the disk. The disk may be failing, or "
            "another program wrote to the file; no table was put in place."
        )


@contextmanager
def _removed_on_error(out: IO[bytes], temporary: Path) -> Iterator[None]:
    """Close and remove a temporary file when the block ends with an error."""
    try:
        yield
    except BaseException:
        close_quietly(out)
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
