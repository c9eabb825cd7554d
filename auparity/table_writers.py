"""Result tables on disk: rows stream into a `.part` file, which becomes the table when the clip is done (spec 80.2).

The AUs of a clip are final only after its last frame (spec 60.7), so every table is written twice: row by row with
the AUs as predicted online, flushed as it goes, so that a crash leaves them readable in `<table>.part`; then once
more with the AU columns replaced, into `<table>.tmp`, which is renamed to the table's name. A table under its final
name is therefore always whole. CSV holds the text of spec 80.1; Parquet holds the same columns unrounded (its part
file is an Arrow stream, readable with `pyarrow.ipc.open_stream` up to the point of a crash).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Literal, Protocol

from auparity.errors import ContractError, VariantUnavailable
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS, FrameResult, OfflineAUs
from auparity.tables import COLUMNS, N_AU_COLUMNS, Column, Layout, Value, format_row, header, rewrite_aus, row_values

TableFormat = Literal["csv", "parquet"]

#: Rows of a Parquet table that are written together: what a crash may lose, against 34 kB of overhead for each group.
ROWS_PER_BATCH = 64


class TableWriter(Protocol):
    """A table being written. `append` rows, then exactly one of `commit`, `keep_part` or `discard`."""

    n_rows: int

    def append(self, result: FrameResult) -> None: ...

    def commit(self, path: Path, offline: OfflineAUs | None) -> None:
        """Put the table at `path`, with its AU columns replaced where `offline` is given, and remove the part file."""

    def keep_part(self) -> None:
        """Close the part file and leave it, with everything appended so far; does nothing the second time."""

    def discard(self) -> None:
        """Close and remove the part file; does nothing the second time."""


def open_table(part: Path, layout: Layout, table_format: TableFormat) -> TableWriter:
    """Start a table; rows go to `part` (an older one is replaced).

    Raises
    ------
    VariantUnavailable : Parquet without pyarrow.
    """
    return CSVTable(part, layout) if table_format == "csv" else ParquetTable(part, layout)


class CSVTable:
    """The OpenFace CSV: comma-separated, "\\n" line ends, one header line (spec 80.1, 80.3)."""

    def __init__(self, part: Path, layout: Layout) -> None:
        self.n_rows = 0
        self._part, self._layout = part, layout
        self._file = part.open("w", encoding="ascii", newline="")
        self._file.write(header(layout) + "\n")

    def append(self, result: FrameResult) -> None:
        self._file.write(format_row(result, self._layout) + "\n")
        self._file.flush()
        self.n_rows += 1

    def commit(self, path: Path, offline: OfflineAUs | None) -> None:
        _check_rows(offline, self.n_rows)
        self._file.close()
        with (
            atomic_file(path) as temporary,
            self._part.open(encoding="ascii", newline="") as rows,
            temporary.open("w", encoding="ascii", newline="") as out,
        ):
            out.write(next(rows))
            for index, line in enumerate(rows):
                if offline is not None:
                    line = rewrite_aus(line, offline.intensity[index], offline.presence[index]) + "\n"
                out.write(line)
            _flush_to_disk(out)
        self._part.unlink()

    def keep_part(self) -> None:
        self._file.close()

    def discard(self) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)


class ParquetTable:
    """The same columns as the CSV, unrounded: counts and flags int32, presences int8, the rest float64."""

    def __init__(self, part: Path, layout: Layout) -> None:
        self._pa = require_pyarrow()
        self.n_rows = 0
        self._part, self._layout = part, layout
        self._rows: list[tuple[Value, ...]] = []
        self._schema = self._pa.schema([(column.name, self._type_of(column)) for column in COLUMNS[layout]])
        self._file = self._pa.OSFile(str(part), "wb")
        self._stream = self._pa.ipc.new_stream(self._file, self._schema)

    def append(self, result: FrameResult) -> None:
        self._rows.append(row_values(result, self._layout))
        self.n_rows += 1
        if len(self._rows) == ROWS_PER_BATCH:
            self._write_batch()

    def commit(self, path: Path, offline: OfflineAUs | None) -> None:
        parquet = import_module("pyarrow.parquet")
        _check_rows(offline, self.n_rows)
        self.keep_part()
        with atomic_file(path) as temporary:
            with (
                self._pa.OSFile(str(self._part), "rb") as part,
                self._pa.ipc.open_stream(part) as batches,
                parquet.ParquetWriter(str(temporary), self._schema) as out,
            ):
                start = 0
                for batch in batches:
                    out.write_batch(batch if offline is None else self._with_aus(batch, offline, start))
                    start += batch.num_rows
            with temporary.open("rb+") as file:
                _flush_to_disk(file)
        self._part.unlink()

    def keep_part(self) -> None:
        if self._file.closed:
            return
        self._write_batch()
        self._stream.close()
        self._file.close()

    def discard(self) -> None:
        self._rows = []
        self.keep_part()
        self._part.unlink(missing_ok=True)

    def _type_of(self, column: Column) -> Any:
        if column.name.startswith("AU") and column.name.endswith("_c"):
            return self._pa.int8()
        return self._pa.int32() if column.kind == "int" else self._pa.float64()

    def _write_batch(self) -> None:
        if not self._rows:
            return
        columns = [
            self._pa.array(values, from_pandas=False).cast(field.type)
            for values, field in zip(zip(*self._rows, strict=True), self._schema, strict=True)
        ]
        self._stream.write_batch(self._pa.record_batch(columns, schema=self._schema))
        self._file.flush()
        self._rows = []

    def _with_aus(self, batch: Any, offline: OfflineAUs, start: int) -> Any:
        rows = slice(start, start + batch.num_rows)
        values = [*offline.intensity[rows].T, *offline.presence[rows].T]
        fields = list(self._schema)[-N_AU_COLUMNS:]
        aus = [self._pa.array(column).cast(field.type) for column, field in zip(values, fields, strict=True)]
        return self._pa.record_batch(batch.columns[:-N_AU_COLUMNS] + aus, schema=self._schema)


def require_pyarrow() -> Any:
    """The pyarrow module; raises `VariantUnavailable` that says how to install it."""
    try:
        return import_module("pyarrow")
    except ImportError as error:
        raise VariantUnavailable(
            'Parquet tables need pyarrow, which is not installed: pip install "auparity[parquet]", or use --format csv.'
        ) from error


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`: renamed to it when the block ends well, removed when it does not."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):  # nothing was created yet
            temporary.unlink()
        raise


def write_text_atomically(path: Path, text: str) -> None:
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as out:
        out.write(text)
        _flush_to_disk(out)


def _flush_to_disk(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _check_rows(offline: OfflineAUs | None, n_rows: int) -> None:
    """The post-processed AUs must be those of the rows written."""
    if offline is None:
        return
    for name, aus in (("intensity", INTENSITY_AUS), ("presence", PRESENCE_AUS)):
        shape = getattr(offline, name).shape
        if shape != (n_rows, len(aus)):
            raise ContractError("postprocessing", f"OfflineAUs.{name}", f"shape {(n_rows, len(aus))}", f"{shape}")
