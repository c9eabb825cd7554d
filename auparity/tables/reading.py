"""Tables of faces from files: those of `auparity extract`, of OpenFace itself, and those that `convert-table` wrote."""

from __future__ import annotations

import os
from collections.abc import Collection
from functools import partial
from pathlib import Path

import numpy as np

from auparity.errors import FileFormatError
from auparity.tables.choosing import FIRST, chosen_names
from auparity.tables.files import read_columns
from auparity.tables.table import FaceTable

#: Bound of all numbers, so that arithmetic with them stays finite.
LARGEST_NUMBER = 1e15
#: Columns whose cells may not be empty. A resampled table has no confidence where there was no frame.
IDENTIFYING = frozenset(FIRST) - {"confidence"}


def read_table(path: str | os.PathLike[str], columns: Collection[str] | None = None) -> FaceTable:
    """Read a CSV or Parquet file with OpenFace's columns, of which any may be missing.

    Columns are found by name, in any order, with or without blanks after commas. Those of text are left out, unknown
    ones of numbers are kept, and empty cells are NaN.

    Parameters
    ----------
    columns : names of columns, AUs or groups, as of `FaceTable.select`: only these and the first ones are read, which
        takes less time and memory. None for all.

    Raises
    ------
    AuparityError : there is no such column.
    FileFormatError : the file does not exist, is not a table of faces, or has an invalid value; names the line.
    VariantUnavailable : pyarrow is missing, which reads Parquet.
    """
    place = Path(path)
    choose = None if columns is None else partial(chosen_names, names=columns)
    found = read_columns(place, empty=True, choose=choose)
    if not {"frame", "face", "timestamp"} & set(found):
        expected = "one of frame, face, timestamp"
        raise FileFormatError(place, "the columns", expected, "none of them", "It is not a table of faces.")
    for name, values in found.items():
        odd = np.abs(values) > LARGEST_NUMBER
        if name in IDENTIFYING:
            odd |= np.isnan(values)
        if odd.any():
            row = int(odd.argmax())
            expected = f"a number up to {LARGEST_NUMBER:g}"
            raise FileFormatError(place, f"row {row + 1}, {name}", expected, f"{values[row]}")
    return FaceTable.of_numbers(found)
