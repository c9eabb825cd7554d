"""The rows of tables into one Parquet file: a clip at a time, in groups of rows of one size.

What is in memory is one group of rows, however long the clips are and however many there are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Any

import numpy as np

from auparity.atomic_files import atomic_file, writing
from auparity.dataset.clips import Clip
from auparity.dataset.columns import CLIP, columns_of, label_columns, safe_name
from auparity.errors import AuparityError, FileFormatError
from auparity.extraction.parquet import RowGroups, dictionary_columns
from auparity.extraction.tables import select
from auparity.media.names import printable
from auparity.tables.arrow import arrow_type, require_pyarrow
from auparity.version import __version__

#: Rows of a group: 47 MB of numbers where there are all columns. Each group costs 90 kB of the file's description.
ROW_GROUP = 8192
#: A quarter smaller than files of Snappy, for 0.01 ms more a row.
COMPRESSION = "zstd"
METADATA = b"auparity"  #: key of our own metadata in each file's schema
NEED = "a data set needs"


class TableChanged(AuparityError):
    """The table of a clip is gone, or is not the one that its sidecar describes."""

    def __init__(self, clip: Clip, problem: str) -> None:
        self.clip, self.problem = clip, problem
        super().__init__(f"{printable(clip.table)}: {problem}. It was left out; extract the clip again.")


@dataclass(frozen=True)
class RowSchema:
    """The columns of a data set's rows and where each comes from."""

    columns: Sequence[tuple[str, str, Any]]  #: name, name in the tables, type in Arrow
    labels: Mapping[str, str]  #: label to column

    @classmethod
    def of(cls, clips: Sequence[Clip], labelled: Iterable[Clip], taken: Iterable[str]) -> RowSchema:
        """One for all rows of some clips, with the labels of others, too; `taken` are names that no label's column
        gets."""
        columns = [(safe_name(column.name), column.name, arrow_type(column)) for column in columns_of(clips)]
        return cls(columns, label_columns(labelled, [CLIP, *taken, *(name for name, *_ in columns)]))

    @property
    def signature(self) -> list[str]:
        """Names and types of all columns: equal where two data sets have the same."""
        return [CLIP, *self.labels.values(), *(f"{name} {kind}" for name, _, kind in self.columns)]

    def arrow(self, clips: Sequence[Clip]) -> Any:
        """The schema of a file with the rows of these clips."""
        pyarrow = require_pyarrow(NEED, "")
        texts = [(name, pyarrow.string()) for name in (CLIP, *self.labels.values())]
        schema = pyarrow.schema([*texts, *((name, kind) for name, _, kind in self.columns)])
        facts = {
            "auparity": __version__,
            "measured_by": sorted({clip.auparity for clip in clips}),
            "bundles": {str(clip.bundle): f"{clip.bundle_name} {clip.bundle_version}" for clip in clips},
            "rounded": any(clip.rounded for clip in clips),
        }
        return schema.with_metadata({METADATA: json.dumps(facts, sort_keys=True).encode()})


def write_rows(path: Path, clips: Sequence[Clip], rows: RowSchema, told: Callable[[int], None]) -> None:
    """Write the rows of some clips, in this order, into one Parquet file, whole or not at all.

    Parameters
    ----------
    told : gets the number of rows that were added, again and again.

    Raises
    ------
    TableChanged : of one of the clips; nothing is left of the file then. WriteError : it cannot be written.
    """
    parquet = import_module("pyarrow.parquet")
    schema = rows.arrow(clips)
    with (
        writing(path),
        atomic_file(path) as temporary,
        parquet.ParquetWriter(
            temporary, schema, compression=COMPRESSION, use_dictionary=dictionary_columns(schema)
        ) as writer,
    ):
        groups = RowGroups(writer, schema, ROW_GROUP)
        for clip in clips:
            of_clip = 0
            for batch in _batches(clip):
                groups.add(_in_schema(batch, clip, rows, schema))
                of_clip += batch.num_rows
                told(batch.num_rows)
            if of_clip != clip.rows:
                raise TableChanged(clip, f"it has {of_clip} rows, and its sidecar says {clip.rows}")
        groups.end()


def _batches(clip: Clip) -> Iterator[Any]:
    """The rows of a clip's table, at most `ROW_GROUP` at a time, after the file was compared with its sidecar."""
    try:
        with open(clip.place, "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != clip.table_sha256:
                raise TableChanged(
                    clip, "it is not the table that its sidecar describes; it was changed or copied there"
                )
            file.seek(0)
            yield from _csv_batches(file, clip) if clip.rounded else _parquet_batches(file, clip)
    except OSError as error:
        raise TableChanged(clip, f"it cannot be read ({error.strerror or error})") from error


def _parquet_batches(file: IO[bytes], clip: Clip) -> Iterator[Any]:
    parquet = import_module("pyarrow.parquet")
    with _readable(clip), parquet.ParquetFile(file) as table:
        _check_columns(table.schema_arrow.names, clip)
        yield from table.iter_batches(batch_size=ROW_GROUP)


def _csv_batches(file: IO[bytes], clip: Clip) -> Iterator[Any]:
    pyarrow, csv = require_pyarrow(NEED, ""), import_module("pyarrow.csv")
    # Presences are printed with decimals, so everything is read as a number with decimals first.
    types = {column.name: pyarrow.float64() for column in select(clip.layout, clip.groups).columns}
    convert = csv.ConvertOptions(column_types=types, null_values=[], strings_can_be_null=False)
    with _readable(clip), csv.open_csv(file, convert_options=convert) as batches:
        _check_columns(batches.schema.names, clip)
        for batch in batches:
            for start in range(0, batch.num_rows, ROW_GROUP):
                yield batch.slice(start, ROW_GROUP)


@contextmanager
def _readable(clip: Clip) -> Iterator[None]:
    """pyarrow's errors inside the block become `TableChanged`."""
    try:
        yield
    except require_pyarrow(NEED, "").ArrowException as error:
        found = " ".join(str(error).split())[:200]
        raise TableChanged(clip, f"it cannot be read as a table ({found})") from error


def _check_columns(names: Sequence[str], clip: Clip) -> None:
    expected = [column.name for column in select(clip.layout, clip.groups).columns]
    if list(names) != expected:
        raise TableChanged(clip, "it has other columns than its sidecar says")


def _in_schema(batch: Any, clip: Clip, rows: RowSchema, schema: Any) -> Any:
    """Rows of a table with the columns of the data set."""
    pyarrow = require_pyarrow(NEED, "")
    texts = [clip.clip, *(clip.labels.get(label) for label in rows.labels)]
    arrays = [
        pyarrow.nulls(batch.num_rows, pyarrow.string()) if text is None else pyarrow.repeat(text, batch.num_rows)
        for text in texts
    ]
    present = dict(zip(batch.schema.names, batch.columns, strict=True))
    for _, source, kind in rows.columns:
        arrays.append(present[source].cast(kind) if source in present else pyarrow.nulls(batch.num_rows, kind))
    return pyarrow.record_batch(arrays, schema=schema)


@dataclass(frozen=True)
class Figures:
    """What the rows of a clip say of it; None where they have no such column."""

    mean_confidence: float | None
    footage_seconds: float | None


def read_figures(path: Path, clips: Sequence[Clip]) -> list[Figures]:
    """The figures of the clips whose rows a file of the data set has, in their order.

    Raises
    ------
    FileFormatError : it does not have so many rows.
    """
    parquet = import_module("pyarrow.parquet")
    with parquet.ParquetFile(path) as file:
        wanted = [name for name in ("confidence", "success", "timestamp") if name in file.schema_arrow.names]
        table = file.read(columns=wanted)
    if table.num_rows != sum(clip.rows for clip in clips):
        raise FileFormatError(
            path, "", f"{sum(clip.rows for clip in clips)} rows", f"{table.num_rows}", "Run with --overwrite."
        )
    columns = {name: table.column(name).to_numpy() for name in wanted}
    figures, start = [], 0
    for clip in clips:
        confidence, success, timestamp = (
            columns[name][start : start + clip.rows] if name in columns else np.full(clip.rows, np.nan)
            for name in ("confidence", "success", "timestamp")
        )
        start += clip.rows
        believed = confidence if np.isnan(success).all() else confidence[success == 1]
        times = timestamp[~np.isnan(timestamp)]
        figures.append(
            Figures(
                float(believed.mean()) if believed.size else None, float(times[-1] - times[0]) if times.size else None
            )
        )
    return figures
