"""Some of the columns of a table, and its long form: mappings of name to (R,) in and out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import AuparityError
from auparity.tables.columns import GROUPS, group_of

Array = npt.NDArray[Any]

#: Columns that say which face a row is of, when, and whether it can be used; they are kept where measurements are not.
FIRST = ("frame", "face", "face_id", "timestamp", "confidence", "success", "person_id")


def action_units(columns: Mapping[str, Array], ending: str) -> dict[str, Array]:
    """The columns of AUs, by the AU's name: intensities with "_r", presences with "_c"."""
    return {
        name.removesuffix(ending): values
        for name, values in columns.items()
        if name.startswith("AU") and name.endswith(ending)
    }


def chosen_names(columns: Collection[str], names: Collection[str]) -> list[str]:
    """The first of the columns and those that are named by name, AU or group, in the order of the columns.

    Raises
    ------
    AuparityError : there is no such column.
    """
    wanted: set[str] = {name for name in columns if name in FIRST}
    for name in names:
        own = {column for column in columns if name in (column, group_of(column), _au_of(column))}
        if not own:
            raise AuparityError(
                f"the table has no column, AU or group {name!r}. Groups are {', '.join(GROUPS)}; "
                "`auparity columns` lists the columns."
            )
        wanted |= own
    return [name for name in columns if name in wanted]


def long_form(columns: Mapping[str, Array]) -> dict[str, Array]:
    """A row for each row and AU; see `FaceTable.long`."""
    intensities, presences = action_units(columns, "_r"), action_units(columns, "_c")
    names = sorted({*intensities, *presences})
    if not names:
        raise AuparityError("the table has no AUs; the long form has a row for each of them.")
    rows = len(next(iter(columns.values())))
    nothing = np.full(rows, np.nan)
    return {
        **{name: np.repeat(columns[name], len(names)) for name in FIRST if name in columns},
        "au": np.tile(np.array(names), rows),
        "intensity": np.stack([intensities.get(name, nothing) for name in names], axis=1).ravel(),
        "presence": np.stack([presences.get(name, nothing) for name in names], axis=1).ravel(),
    }


def _au_of(column: str) -> str | None:
    return column[:-2] if column.startswith("AU") and column.endswith(("_r", "_c")) else None
