"""The columns of CSV and Parquet files as arrays: numbers, or an error that names the place."""

from __future__ import annotations

import csv
import os
import stat
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import AuparityError, FileFormatError, VariantUnavailable

Column = npt.NDArray[np.float64]
#: Of the names of a file those whose columns are to be read.
Choose = Callable[[Collection[str]], Collection[str]]

PARQUET = ".parquet"
#: Columns that hold text or nothing.
TEXT = frozenset({"frame_name", "input", "filename"})
MAX_COLUMNS = 10_000
#: Columns of equal values take very few bytes in a Parquet file: bytes of numbers allowed in addition to the file's
#: own, and for each of its bytes.
PARQUET_EXTRA, PARQUET_RATIO = 64 << 20, 200
WHAT = "a table of faces"
#: How the truth of a rendered video ends, which lies beside the video (`auparity models example`).
TRUTH = ".truth.csv"


def tables_in(folder: Path) -> list[Path]:
    """The CSV and Parquet files of a folder, by name, without truths; whether they are tables of faces is not known."""
    files = (path for path in folder.iterdir() if path.suffix in (".csv", PARQUET) and path.is_file())
    return sorted(path for path in files if not path.name.endswith(TRUTH))


def shown_name(table: Path) -> str:
    """What pages and summaries call a table: NAME, or NAME.parquet if there is a NAME.csv, too."""
    shared = table.suffix != ".csv" and table.with_suffix(".csv").exists()
    return table.name if shared else table.stem


def read_csv_columns(path: Path, *, empty: bool = False, choose: Choose | None = None) -> dict[str, Column]:
    """Name to (R,) float64 of the columns of numbers; spaces after commas, as OpenFace writes them, do not matter.

    Parameters
    ----------
    empty : whether cells may be empty, which are NaN; else they are an error.
    choose : gives those of the names whose columns are read; None for all.

    Raises
    ------
    FileFormatError : the file cannot be read, is not rectangular, or a cell is not a number.
    """
    (columns,) = csv_batches(path, empty=empty, choose=choose)
    return columns


def csv_batches(
    path: Path, *, empty: bool = False, choose: Choose | None = None, rows: int = sys.maxsize
) -> Iterator[dict[str, Column]]:
    """The columns of `read_csv_columns` in batches of so many rows; of a table without rows one empty batch.

    Cells of columns that are not chosen are not looked at.
    """
    _require_file(path)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = csv.reader(file, skipinitialspace=True)
            names = [name.strip() for name in next(lines, [])]
            _check_names(path, names)
            wanted = _wanted(names, choose)
            kept = [k for k, name in enumerate(names) if name in wanted]
            numbers = partial(_numbers, path, names=names, kept=kept, instead="nan" if empty else "")
            found = (numbers(number, cells=cells) for number, cells in enumerate(lines, 2))
            batch = list(islice(found, rows))
            while True:
                table = np.stack(batch, axis=1) if batch else np.empty((len(kept), 0))
                yield {names[k]: np.ascontiguousarray(table[column]) for column, k in enumerate(kept)}
                batch = list(islice(found, rows))
                if not batch:
                    return
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileFormatError(path, "", f"{WHAT} (CSV)", str(error)) from error


def _check_names(path: Path, names: list[str]) -> None:
    if len(names) > MAX_COLUMNS:
        raise FileFormatError(path, "the columns", f"at most {MAX_COLUMNS}", f"{len(names)}")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise FileFormatError(path, "the columns", "every name once", f"{twice[:60]!r} more than once")


def _numbers(path: Path, line: int, *, names: list[str], cells: list[str], kept: list[int], instead: str) -> Column:
    if len(cells) != len(names):
        raise FileFormatError(path, f"line {line}", f"{len(names)} values", f"{len(cells)}", "The file was cut.")
    try:
        return np.array([float(cells[k] or instead) for k in kept])
    except ValueError:
        k = next(k for k in kept if not _is_number(cells[k] or instead))
        raise FileFormatError(path, f"line {line}", f"a number for {names[k]}", repr(cells[k][:60])) from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_parquet_columns(path: Path, *, choose: Choose | None = None) -> dict[str, Column]:
    """Name to (R,) float64 of the columns of numbers of a Parquet file; missing values become NaN.

    Raises
    ------
    VariantUnavailable : pyarrow is not installed.
    FileFormatError : the file cannot be read, or declares far more than it can hold.
    """
    with _parquet_file(path, choose) as (file, kept):
        return dict(_parquet_columns(path, file.read(columns=kept, use_threads=False)))


def parquet_batches(path: Path, *, choose: Choose | None = None, rows: int) -> Iterator[dict[str, Column]]:
    """The columns of `read_parquet_columns` in batches of at most so many rows."""
    with _parquet_file(path, choose) as (file, kept):
        for batch in file.iter_batches(batch_size=rows, columns=kept, use_threads=False):
            yield dict(_parquet_columns(path, batch))


@contextmanager
def _parquet_file(path: Path, choose: Choose | None) -> Iterator[tuple[Any, list[str]]]:
    """An open Parquet file, and which of its columns are read; errors inside become ours."""
    try:
        parquet = import_module("pyarrow.parquet")
    except ImportError as error:
        raise VariantUnavailable(
            f'{path}: Parquet tables are read with pyarrow, which is not installed: pip install "auparity[parquet]"'
        ) from error
    _require_file(path)
    try:
        with parquet.ParquetFile(path) as file:
            names = list(file.schema_arrow.names)
            _check_names(path, names)
            size = 8 * len(names) * file.metadata.num_rows
            if not 0 <= size <= PARQUET_EXTRA + PARQUET_RATIO * path.stat().st_size:
                raise FileFormatError(path, "", "columns that the file can hold", f"{file.metadata.num_rows} rows")
            wanted = _wanted(names, choose)
            yield file, [name for name in names if name in wanted]
    except AuparityError:
        raise
    except Exception as error:  # bytes from outside: pyarrow promises no type of error
        found = " ".join(str(error).split())[:200]
        raise FileFormatError(path, "", f"{WHAT} (Parquet)", f"{type(error).__name__}: {found}") from error


def _parquet_columns(path: Path, table: Any) -> Iterator[tuple[str, Column]]:
    types = import_module("pyarrow.types")
    for name, column in zip(table.schema.names, table.columns, strict=True):
        if not (types.is_integer(column.type) or types.is_floating(column.type)):
            raise FileFormatError(path, name[:60], "a column of numbers", f"one of {str(column.type)[:60]}")
        yield name, np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def _wanted(names: list[str], choose: Choose | None) -> set[str]:
    numbers = [name for name in names if name not in TEXT]
    return set(numbers if choose is None else choose(numbers))


def read_columns(path: Path, *, empty: bool = False, choose: Choose | None = None) -> dict[str, Column]:
    """The columns of a CSV or Parquet file, by its suffix.

    Raises
    ------
    FileFormatError, VariantUnavailable : as of `read_csv_columns` and `read_parquet_columns`.
    """
    if path.suffix.lower() == PARQUET:
        return read_parquet_columns(path, choose=choose)
    return read_csv_columns(path, empty=empty, choose=choose)


def column_batches(path: Path, choose: Choose | None, rows: int) -> Iterator[dict[str, Column]]:
    """The columns of `read_columns` in batches of at most so many rows, none of which has empty cells."""
    if path.suffix.lower() == PARQUET:
        return parquet_batches(path, choose=choose, rows=rows)
    return csv_batches(path, choose=choose, rows=rows)


def _require_file(path: Path) -> None:
    """Raise FileFormatError unless it is a regular file: reading a pipe would wait for ever."""
    try:
        regular = stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = "it does not exist" if isinstance(error, FileNotFoundError) else str(error)
        raise FileFormatError(path, "", f"{WHAT} that can be read", f"none: {reason}") from error
    if not regular:
        raise FileFormatError(path, "", WHAT, "a directory, device or pipe")
