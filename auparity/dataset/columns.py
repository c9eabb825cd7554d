"""The columns of a data set's rows: one list for all tables in it, with names that no reader confuses.

Every row has the name of its clip, the clip's labels, and OpenFace's columns. OpenFace calls landmarks ``x_0`` in the
image and ``X_0`` in space, which readers that ignore case take for one column: DuckDB gives the values of ``x_0`` for
``X_0``, Spark refuses the file. In a data set the columns in space have ``3d`` in their names: ``X_3d_0``.
Columns that some of the tables do not have are empty (null) in their rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from auparity.dataset.clips import Clip
from auparity.extraction.tables import select
from auparity.tables.columns import Column, columns

CLIP = "clip"
_IN_SPACE = re.compile(r"((?:eye_lmk_)?[XYZ])_(\d+)\Z")
LABEL = "label_"  #: begins the name of a label that is called like another column


def safe_name(column: str) -> str:
    """What a column of a table is called in a data set."""
    return _IN_SPACE.sub(r"\1_3d_\2", column)


def columns_of(clips: Iterable[Clip]) -> list[Column]:
    """The columns of the tables of some clips, each once and in the order of OpenFace's, named as in the tables."""
    present = {
        column.name for kind in {(clip.layout, clip.groups) for clip in clips} for column in select(*kind).columns
    }
    return [column for column in columns() if column.name in present]


def label_columns(clips: Iterable[Clip], taken: Iterable[str]) -> dict[str, str]:
    """The labels that some of the clips have, by name, with the names of their columns.

    A label whose name is `taken`, whatever its case, gets a prefix.
    """
    used = {name.casefold() for name in taken}
    names: dict[str, str] = {}
    for label in sorted({label for clip in clips for label in clip.labels}):
        names[label] = label
        while names[label].casefold() in used:
            names[label] = LABEL + names[label]
        used.add(names[label].casefold())
    return names
