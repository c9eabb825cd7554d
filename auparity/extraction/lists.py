"""Lists of inputs: a text file with one name a line, or a table (CSV, TSV, Parquet) with a column `path`.

Further columns of a table (subject, session, condition) are labels of the input: they go into its sidecar, into data
sets, and may name its table. Names are relative to the folder of the list.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from auparity.errors import FileFormatError
from auparity.extraction import stores
from auparity.tables.arrow import require_pyarrow

#: The column that names the input.
PATH = "path"
MAX_LIST = 1 << 30  #: bytes
ADVICE = "A list is a text file with one input a line, or a table (.csv, .tsv, .parquet) with a column `path`."


@dataclass(frozen=True)
class Listed:
    """One entry of a list."""

    name: str  #: a path or an address; what another column than `path` has as it stands there
    labels: Mapping[str, str] = field(default_factory=dict)
    column: str = PATH  #: that the name is from


def read_list(source: str, columns: Sequence[str] = (PATH,)) -> list[Listed]:
    """The entries of a list, in their order.

    Parameters
    ----------
    source : a path or an address; its suffix says how it is read.
    columns : the first of them that a table has names its inputs.

    Raises
    ------
    FileFormatError : it is not there, is no text, or a table without names. AddressError : its store cannot be asked.
        VariantUnavailable : a Parquet file, and pyarrow is not installed.
    """
    data = _content(source)
    suffix = os.path.splitext(stores.name_in(source) if stores.is_address(source) else source)[1].lower()
    if suffix == ".parquet":
        rows: Iterable[Mapping[str, object]] = _parquet(source, data, columns)
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise FileFormatError(source, "", "a list of inputs (UTF-8)", str(error), ADVICE) from error
        if "\0" in text:
            raise FileFormatError(source, "", "a list of inputs (text)", "a file with NUL characters", ADVICE)
        if suffix not in (".csv", ".tsv"):
            lines = (line.strip() for line in text.splitlines())
            return [Listed(_placed(line, source)) for line in lines if line and not line.startswith("#")]
        rows = _delimited(source, text, "\t" if suffix == ".tsv" else ",", columns)
    return [_listed(row, source, number, columns) for number, row in enumerate(rows, 1)]


def _content(source: str) -> bytes:
    if stores.is_address(source):
        data = stores.read(source)
        if data is None:
            raise FileFormatError(source, "", "a list of inputs", "no file", ADVICE)
        return data
    try:
        if os.path.getsize(source) > MAX_LIST:
            raise FileFormatError(source, "", f"a list of at most {MAX_LIST} bytes", "a larger one", ADVICE)
        return Path(source).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise FileFormatError(source, "", "a list of inputs that can be read", f"none ({reason})", ADVICE) from error


def _parquet(source: str, data: bytes, columns: Sequence[str]) -> list[Mapping[str, object]]:
    arrow = require_pyarrow()
    from pyarrow import parquet

    try:
        table = parquet.read_table(arrow.BufferReader(data))
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise FileFormatError(source, "", "a table (Parquet)", str(error)[:200], ADVICE) from error
    _check_columns(source, table.column_names, columns)
    rows: list[Mapping[str, object]] = table.to_pylist()
    return rows


def _delimited(source: str, text: str, delimiter: str, columns: Sequence[str]) -> list[Mapping[str, object]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        _check_columns(source, reader.fieldnames or [], columns)
        rows: list[Mapping[str, object]] = list(reader)
    except csv.Error as error:
        raise FileFormatError(source, f"line {reader.line_num}", "a table", str(error), ADVICE) from error
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise FileFormatError(source, f"row {number}", "as many fields as the first row has", "others", ADVICE)
    return rows


def _check_columns(source: str, names: Iterable[str], columns: Sequence[str]) -> None:
    found = [str(name) for name in names]
    if not set(found) & set(columns) or len(set(found)) != len(found) or "" in found:
        shown = ", ".join(found)[:200] or "none"
        wanted = " or ".join(f"`{name}`" for name in columns)
        raise FileFormatError(source, "", f"columns of different names, one of them {wanted}", shown, ADVICE)


def _listed(row: Mapping[str, object], source: str, number: int, columns: Sequence[str]) -> Listed:
    column = next(name for name in columns if name in row)
    name = row[column]
    if not isinstance(name, str) or not name.strip():
        raise FileFormatError(source, f"entry {number}", f"a name in the column `{column}`", repr(name)[:80], ADVICE)
    labels = {key: str(value).strip() for key, value in row.items() if key != column and value is not None}
    placed = _placed(name.strip(), source) if column == PATH else name.strip()
    return Listed(placed, {key: text for key, text in labels.items() if text}, column)


def _placed(name: str, source: str) -> str:
    """A name of a list as this program's own folder sees it."""
    if stores.is_address(name) or os.path.isabs(name):
        return name
    folder = source.rpartition("/")[0] if stores.is_address(source) else os.path.dirname(source)
    if stores.is_address(source):
        return stores.join(folder, name)
    return os.path.join(folder, name)
