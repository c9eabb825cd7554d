"""Columns as Arrow tables and as pandas data frames; both packages are loaded when they are used."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import VariantUnavailable
from auparity.tables.columns import Column, column_of
from auparity.tables.rows import is_presence

Array = npt.NDArray[Any]


def require_pyarrow(what: str = "Parquet tables need", otherwise: str = ", or use --format csv") -> Any:
    """The pyarrow module; raises `VariantUnavailable` that says what needs it, how to install it, and what else to
    do."""
    try:
        return import_module("pyarrow")
    except ImportError as error:
        raise VariantUnavailable(
            f'{what} pyarrow, which is not installed: pip install "auparity[parquet]"{otherwise}.'
        ) from error


def require_pandas() -> Any:
    """The pandas module; raises `VariantUnavailable` that says how to install it."""
    try:
        return import_module("pandas")
    except ImportError as error:
        raise VariantUnavailable(
            'Data frames need pandas, which is not installed: pip install "auparity[pandas]". Without it, '
            "`table().columns` has the columns as arrays."
        ) from error


def arrow_type(column: Column) -> Any:
    """The type of a column in Parquet: counts and flags int32, presences int8, the rest float64."""
    pyarrow = require_pyarrow()
    if is_presence(column.name):
        return pyarrow.int8()
    return pyarrow.int32() if column.kind == "int" else pyarrow.float64()


def arrow_table(columns: Mapping[str, Array]) -> Any:
    """A `pyarrow.Table` of columns (R,): NaN becomes null, and fields have the metadata "unit" and "description".

    Raises
    ------
    VariantUnavailable : pyarrow is not installed.
    """
    pyarrow = require_pyarrow("Arrow tables need", "")
    arrays = [pyarrow.array(values, from_pandas=True) for values in columns.values()]
    fields = [
        pyarrow.field(name, array.type, metadata=_metadata(name))
        for name, array in zip(columns, arrays, strict=True)
    ]  # fmt: skip
    return pyarrow.Table.from_arrays(arrays, schema=pyarrow.schema(fields))


def _metadata(name: str) -> dict[str, str]:
    column = column_of(name)
    return {"unit": column.unit, "description": column.meaning} if column else {}


def data_frame(columns: Mapping[str, Array]) -> Any:
    """A `pandas.DataFrame` of columns (R,), with the rows numbered from 0.

    Raises
    ------
    VariantUnavailable : pandas is not installed.
    """
    return require_pandas().DataFrame({name: np.asarray(values) for name, values in columns.items()})
