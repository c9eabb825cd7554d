"""The columns of a result table and the text of its rows (spec 80.1 to 80.3).

One row is one face in one frame: a `FrameResult` goes in, a tuple of 714 values (711 for images) or a CSV line
comes out; fewer where only some groups of columns are asked for. Names and order of the columns are those of OpenFace
2.2's FeatureExtraction and FaceLandmarkImg. A fork of OpenFace writes an empty column `frame_name` after `face_id`;
readers therefore find columns by name, never by position.
Numbers are printed as C prints a double with a fixed number of decimals: the correctly rounded decimal of the binary
value (float32 is promoted to double first), so a negative value that rounds to zero keeps its sign ("-0.0").
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from auparity.errors import AuparityError, ContractError
from auparity.reference.persons import NOBODY
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS, Array, FrameResult
from auparity.reports.clips.column_groups import GROUPS, group_of

N_FACE = 68  # landmarks of the face
N_EYES = 56  # landmarks of both eye models, left first
N_LOCAL = 34  # local parameters of the face model

#: Rows are frames of a clip of one face, faces of an image, or faces of the frames of a clip of several people.
Layout = Literal["clip", "photograph", "faces"]


class Column(NamedTuple):
    name: str
    kind: Literal["int", "float"]
    decimals: int = 0


def _numbered(names: Iterable[str], count: int, decimals: int) -> list[Column]:
    return [Column(f"{name}_{i}", "float", decimals) for name in names for i in range(count)]


def _floats(names: Iterable[str], decimals: int) -> list[Column]:
    return [Column(name, "float", decimals) for name in names]


def _measures() -> list[Column]:
    """Everything between the header group and the AUs, the same for clips and images."""
    return [
        *_floats((f"gaze_{eye}_{axis}" for eye in (0, 1) for axis in "xyz"), 6),
        *_floats(("gaze_angle_x", "gaze_angle_y"), 3),
        *_numbered(("eye_lmk_x", "eye_lmk_y"), N_EYES, 1),
        *_numbered(("eye_lmk_X", "eye_lmk_Y", "eye_lmk_Z"), N_EYES, 1),
        *_floats(("pose_Tx", "pose_Ty", "pose_Tz"), 1),
        *_floats(("pose_Rx", "pose_Ry", "pose_Rz"), 3),
        *_numbered(("x", "y"), N_FACE, 1),
        *_numbered(("X", "Y", "Z"), N_FACE, 1),
        *_floats(("p_scale", "p_rx", "p_ry", "p_rz", "p_tx", "p_ty"), 3),
        *_numbered(("p",), N_LOCAL, 3),
    ]


def _action_units() -> list[Column]:
    """Intensities with 2 decimals, presences with 1, as predicted frame by frame (the rewrite prints 2)."""
    return [*_floats((f"{au}_r" for au in INTENSITY_AUS), 2), *_floats((f"{au}_c" for au in PRESENCE_AUS), 1)]


_CLIP_HEADER = [
    Column("frame", "int"),
    Column("face_id", "int"),
    Column("timestamp", "float", 3),
    Column("confidence", "float", 2),
    Column("success", "int"),
]
_PHOTOGRAPH_HEADER = [Column("face", "int"), Column("confidence", "float", 3)]

#: Who a face is, across the stretches in which slots followed it (`reference/persons.py`); known at the end of a
#: clip, and `NOBODY` until then.
_PERSON = Column("person_id", "int")

#: The columns of each layout, in order: 714, 711 and 715.
COLUMNS: dict[Layout, tuple[Column, ...]] = {
    "clip": (*_CLIP_HEADER, *_measures(), *_action_units()),
    "photograph": (*_PHOTOGRAPH_HEADER, *_measures(), *_action_units()),
    "faces": (*_CLIP_HEADER, *_measures(), *_action_units(), _PERSON),
}
#: The last columns of each layout, but for `person_id`: 17 intensities, then 18 presences.
N_AU_COLUMNS = len(INTENSITY_AUS) + len(PRESENCE_AUS)

#: The group of the AUs, which alone are rewritten at the end of a clip.
AUS = "aus"
#: Names of groups of columns, in the order of the table; None for all of them.
Groups = tuple[str, ...] | None

_REWRITTEN_AUS_FORMAT = ",".join(["%.2f"] * N_AU_COLUMNS)  # spec 80.2

#: The arrays of a FrameResult and their shapes: the contract of a row.
_SHAPES: dict[str, tuple[int, ...]] = {
    "gaze": (2, 3),
    "gaze_angles": (2,),
    "eye_landmarks": (2, N_EYES // 2, 2),
    "eye_landmarks_3d": (2, N_EYES // 2, 3),
    "pose": (6,),
    "landmarks": (N_FACE, 2),
    "landmarks_3d": (N_FACE, 3),
    "params_global": (6,),
    "params_local": (N_LOCAL,),
    "au_intensity": (len(INTENSITY_AUS),),
    "au_presence": (len(PRESENCE_AUS),),
}

Value = int | float


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
    kept = [(k, column) for k, column in enumerate(COLUMNS[layout]) if group_of(column.name) in (None, *chosen)]
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
    values = _all_values(result, layout)
    return values if groups is None else tuple(values[k] for k in select(layout, groups).indices)


def _all_values(result: FrameResult, layout: Layout) -> tuple[Value, ...]:
    measures = np.concatenate([_columns_of(name, result).astype(np.float64) for name in _SHAPES]).tolist()
    if layout == "photograph":
        return (result.face_id, float(result.confidence), *measures)
    head = (
        result.index + 1,  # the CSV counts frames from 1
        result.face_id,
        float(result.timestamp),
        float(result.confidence),
        int(result.success),
    )
    return (*head, *measures, NOBODY) if layout == "faces" else (*head, *measures)


def format_row(result: FrameResult, layout: Layout, groups: Groups = None) -> str:
    """The CSV line of one result, without line end (spec 80.1, 80.3)."""
    return select(layout, groups).row_format % row_values(result, layout, groups)


def rewrite_aus(line: str, intensity: Array, presence: Array) -> str:
    """A clip's CSV line with its AUs replaced by the post-processed ones, all with two decimals (spec 80.2).

    Parameters
    ----------
    line : one line as `format_row` made it, with AUs in its last columns, with or without line end.
    intensity, presence : (17,) and (18,), in the order of INTENSITY_AUS and PRESENCE_AUS.
    """
    kept = line.rstrip().rsplit(",", N_AU_COLUMNS)[0]
    return kept + "," + _REWRITTEN_AUS_FORMAT % (*intensity.tolist(), *presence.tolist())


def _columns_of(name: str, result: FrameResult) -> Array:
    """The array in column order: coordinates of points are grouped by axis (x_0.. x_67, y_0.. y_67)."""
    array = np.asarray(getattr(result, name))
    if array.shape != _SHAPES[name]:
        raise ContractError("extraction", f"FrameResult.{name}", f"shape {_SHAPES[name]}", f"{array.shape}")
    if "landmarks" in name:
        return array.reshape(-1, array.shape[-1]).T.ravel()
    return array.ravel()
