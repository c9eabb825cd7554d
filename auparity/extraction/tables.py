"""The columns of a result table and the text of its rows (spec 80.1 to 80.3).

One row is one face in one frame: a `FrameResult` goes in, a tuple of 714 values (711 for images) or a CSV line
comes out; fewer where only some groups of columns are asked for. Names and order of the columns are those of OpenFace
2.2's FeatureExtraction and FaceLandmarkImg. A fork of OpenFace writes an empty column `frame_name` after `face_id`;
readers therefore find columns by name, never by position.
Numbers are printed as C prints a double with a fixed number of decimals: the correctly rounded decimal of the binary
value (float32 is promoted to double first), so a negative value that rounds to zero keeps its sign ("-0.0").
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from auparity.errors import AuparityError
from auparity.reference.results import Array, FrameResult
from auparity.tables.columns import COLUMNS, GROUPS, N_AU_COLUMNS, Column, Layout
from auparity.tables.rows import Value, layout_array, layout_values

if TYPE_CHECKING:
    from auparity.accelerated.numba.decimals import RowPrinter

#: The group of the AUs, which alone are rewritten at the end of a clip.
AUS = "aus"
#: Names of groups of columns, in the order of the table; None for all of them.
Groups = tuple[str, ...] | None

_REWRITTEN_AUS_FORMAT = ",".join(["%.2f"] * N_AU_COLUMNS)  # spec 80.2


class Selection(NamedTuple):
    """The columns of a table of some groups."""

    columns: tuple[Column, ...]
    indices: tuple[int, ...]  #: of the columns among those of the whole layout
    row_format: str  #: C format of a CSV line


@lru_cache(maxsize=64)
def select(layout: Layout, groups: Groups = None) -> Selection:
    """The columns of some groups, after those that every table begins with (spec 80.1); of all of them with None, and
    only the first ones with an empty tuple.

    Raises
    ------
    AuparityError : there is no group of that name.
    """
    chosen = GROUPS if groups is None else check_groups(groups) if groups else ()
    kept = [(k, column) for k, column in enumerate(COLUMNS[layout]) if column.group in ("", *chosen)]
    formats = ("%d" if column.kind == "int" else f"%.{column.decimals}f" for _, column in kept)
    return Selection(tuple(column for _, column in kept), tuple(k for k, _ in kept), ",".join(formats))


def check_groups(groups: Collection[str]) -> tuple[str, ...]:
    """The groups in the order of the table, each once; AuparityError names one that does not exist, and the list."""
    unknown = [group for group in groups if group not in GROUPS]
    if unknown or not groups:
        problem = f"there is no group of columns {unknown[0]!r}" if unknown else "no group of columns is named"
        raise AuparityError(f"{problem}; there are {', '.join(GROUPS)}.")
    return tuple(group for group in GROUPS if group in groups)


def has_aus(groups: Groups) -> bool:
    """Whether a table of these groups ends with AUs, and is rewritten at the end of a clip (spec 80.2)."""
    return groups is None or AUS in groups


def header(layout: Layout, groups: Groups = None) -> str:
    """The header line, without line end."""
    return ",".join(column.name for column in select(layout, groups).columns)


def row_values(result: FrameResult, layout: Layout, groups: Groups = None) -> tuple[Value, ...]:
    """One value for each column of the layout, unrounded.

    Raises
    ------
    ContractError : an array of `result` does not have its shape.
    """
    values = layout_values(result, layout)
    return values if groups is None else tuple(values[k] for k in select(layout, groups).indices)


def format_row(result: FrameResult, layout: Layout, groups: Groups = None) -> str:
    """The CSV line of one result, without line end (spec 80.1, 80.3)."""
    return select(layout, groups).row_format % row_values(result, layout, groups)


def row_array(result: FrameResult, layout: Layout, groups: Groups = None) -> npt.NDArray[np.float64]:
    """`row_values` as one array (columns,); errors as there."""
    values = layout_array(result, layout)
    return values if groups is None else values[np.array(select(layout, groups).indices)]


def row_line(result: FrameResult, layout: Layout, groups: Groups = None) -> bytes:
    """`format_row` with a line end, as it is written: by compiled code where Numba is installed."""
    printer = _printer(layout, groups)
    line = None if printer is None else printer(row_array(result, layout, groups))
    if line is not None:
        return line
    return format_row(result, layout, groups).encode("ascii") + b"\n"


@lru_cache(maxsize=64)
def _printer(layout: Layout, groups: Groups) -> RowPrinter | None:
    """What prints the rows of a table; None where no code can be compiled."""
    if find_spec("numba") is None:
        return None
    from auparity.accelerated.numba.decimals import RowPrinter

    return RowPrinter(tuple(column.decimals for column in select(layout, groups).columns))


def rewrite_aus(line: str, intensity: Array, presence: Array) -> str:
    """A clip's CSV line with its AUs replaced by the post-processed ones, all with two decimals (spec 80.2).

    Parameters
    ----------
    line : one line as `format_row` made it, with AUs in its last columns, with or without line end.
    intensity, presence : (17,) and (18,), in the order of INTENSITY_AUS and PRESENCE_AUS.
    """
    kept = line.rstrip().rsplit(",", N_AU_COLUMNS)[0]
    return kept + "," + _REWRITTEN_AUS_FORMAT % (*intensity.tolist(), *presence.tolist())
