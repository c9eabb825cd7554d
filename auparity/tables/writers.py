"""Tables as files: CSV, Parquet and Arrow, by the suffix.

A CSV has the decimals of OpenFace's tables (spec 80.1, 80.2), so that what was read from one is written as it was;
NaN is an empty cell, and columns that OpenFace does not have get all digits that tell numbers apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.atomic_files import atomic_file, writing
from auparity.errors import AuparityError
from auparity.tables.arrow import arrow_table
from auparity.tables.columns import column_of
from auparity.tables.rows import is_presence

Array = npt.NDArray[Any]

TABLE_FILES = {".csv": "CSV", ".parquet": "Parquet", ".arrow": "Arrow"}
#: Rows that are formatted together.
_ROWS = 4096


def write_table(path: Path, columns: Mapping[str, Array]) -> None:
    """Write columns (R,); see `FaceTable.write`.

    Raises
    ------
    AuparityError : there is no such format. VariantUnavailable : pyarrow is missing. WriteError : it cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in TABLE_FILES:
        known = ", ".join(f"{name} ({what})" for name, what in TABLE_FILES.items())
        raise AuparityError(f"{path}: tables are written as {known}, by the suffix.")
    table = None if suffix == ".csv" else arrow_table(columns)  # before anything is begun: pyarrow may be missing
    with writing(path), atomic_file(path) as temporary:
        if suffix == ".csv":
            _write_csv(temporary, columns)
        elif suffix == ".parquet":
            import_module("pyarrow.parquet").write_table(table, temporary, use_dictionary=_dictionaries(columns))
        else:
            import_module("pyarrow.feather").write_feather(table, str(temporary))


def _dictionaries(columns: Mapping[str, Array]) -> list[str]:
    """As in the tables of `auparity extract`: measurements are nearly all different."""
    return [name for name, values in columns.items() if values.dtype.kind != "f"]


def _write_csv(path: Path, columns: Mapping[str, Array]) -> None:
    image = "face" in columns
    formats = [_format(name, values, image) for name, values in columns.items()]
    rows = len(next(iter(columns.values()), ()))
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(columns) + "\n")
        for start in range(0, rows, _ROWS):
            part = [values[start : start + _ROWS] for values in columns.values()]
            texts = [_texts(values, spec) for values, spec in zip(part, formats, strict=True)]
            file.writelines(",".join(cells) + "\n" for cells in zip(*texts, strict=True))


def _format(name: str, values: Array, image: bool) -> str:
    """How `%` prints a column."""
    if values.dtype.kind not in "fiub":
        return "%s"
    if is_presence(name):
        return "%.1f" if image else "%.2f"  # spec 80.2, 80.3
    if name == "confidence" and image:
        return "%.3f"
    column = column_of(name)
    if column is None:
        return "%r"
    return "%d" if column.kind == "int" else f"%.{column.decimals}f"


def _texts(values: Array, spec: str) -> list[str]:
    return ["" if value != value else spec % value for value in np.asarray(values).tolist()]  # NaN differs from itself
