"""The dictionary of all columns of tables of faces: name, type, decimals, unit, group and meaning (spec 80.1 to 80.3).

Names and order are those of OpenFace 2.2's FeatureExtraction and FaceLandmarkImg. Columns that differ only in a number
(x_0 to x_67) are a family and have one meaning. Everything else that says something of columns is made of this list:
the tables of `auparity extract`, their Parquet types, `auparity columns` and docs/columns.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Literal, NamedTuple, get_args

from auparity.errors import AuparityError
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS

N_FACE = 68  #: landmarks of the face
N_EYES = 56  #: landmarks of both eye models, left first
N_LOCAL = 34  #: local parameters of the face model

#: Rows are frames of a clip of one face, faces of an image, or faces of the frames of a clip of several people.
Layout = Literal["clip", "photograph", "faces"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)

#: What OpenFace's AUs are called (Ekman and Friesen, Facial Action Coding System).
ACTION_UNITS = {
    "AU01": "inner brow raiser",
    "AU02": "outer brow raiser",
    "AU04": "brow lowerer",
    "AU05": "upper lid raiser",
    "AU06": "cheek raiser",
    "AU07": "lid tightener",
    "AU09": "nose wrinkler",
    "AU10": "upper lip raiser",
    "AU12": "lip corner puller",
    "AU14": "dimpler",
    "AU15": "lip corner depressor",
    "AU17": "chin raiser",
    "AU20": "lip stretcher",
    "AU23": "lip tightener",
    "AU25": "lips part",
    "AU26": "jaw drop",
    "AU28": "lip suck",
    "AU45": "blink",
}


class Column(NamedTuple):
    """One column."""

    name: str
    kind: Literal["int", "float"]
    decimals: int = 0  #: in a CSV; AU presences of clips get a second one at the end (spec 80.2)
    unit: str = ""  #: "" for counts, flags and numbers without one
    meaning: str = ""
    #: One of `GROUPS`; "" for the columns that every table has.
    group: str = ""
    family: str = ""  #: the columns of one meaning that it belongs to, as "x_0 ... x_67"; its own name if it is alone


def _family(names: Iterable[str], decimals: int, unit: str, meaning: str, group: str) -> list[Column]:
    names = list(names)
    family = f"{names[0]} ... {names[-1]}"
    return [Column(name, "float", decimals, unit, meaning, group, family) for name in names]


def _numbered(name: str, count: int, decimals: int, unit: str, meaning: str, group: str) -> list[Column]:
    return _family((f"{name}_{i}" for i in range(count)), decimals, unit, meaning, group)


def _alone(name: str, decimals: int, unit: str, meaning: str, group: str) -> Column:
    return Column(name, "float", decimals, unit, meaning, group, name)


def _count(name: str, meaning: str) -> Column:
    return Column(name, "int", 0, "", meaning, "", name)


#: Of a point in the image, and of one in space.
_IMAGE = {"x": "to the right", "y": "downwards"}
_SPACE = {"X": "to the right", "Y": "downwards", "Z": "away from the camera"}
_EYES = "landmarks of the eyes, 28 of the left one (0 to 27), then 28 of the right one"

_BOTH = "direction of gaze, mean of both eyes"


def _gaze() -> list[Column]:
    eyes = (("0", "left eye"), ("1", "right eye"))
    vectors = [
        _alone(f"gaze_{eye}_{axis.lower()}", 6, "", f"direction of gaze of the {name}, unit vector: {where}", "gaze")
        for eye, name in eyes
        for axis, where in _SPACE.items()
    ]
    return [
        *vectors,
        _alone(
            "gaze_angle_x", 3, "rad", "direction of gaze, mean of both eyes: positive to the right of the image", "gaze"
        ),
        _alone("gaze_angle_y", 3, "rad", "direction of gaze, mean of both eyes: positive downwards", "gaze"),
        *(
            column
            for axis, where in _IMAGE.items()
            for column in _numbered(f"eye_lmk_{axis}", N_EYES, 1, "px", f"{_EYES}: in the image, {where}", "gaze")
        ),
        *(
            column
            for axis, where in _SPACE.items()
            for column in _numbered(f"eye_lmk_{axis}", N_EYES, 1, "mm", f"{_EYES}: in space, {where}", "gaze")
        ),
    ]


def _pose() -> list[Column]:
    turns = {"x": "pitch", "y": "yaw", "z": "roll"}
    return [
        *(
            _alone(f"pose_T{axis.lower()}", 1, "mm", f"place of the head in front of the camera: {where}", "pose")
            for axis, where in _SPACE.items()
        ),
        *(
            _alone(f"pose_R{axis}", 3, "rad", f"rotation of the head about the {axis} axis ({name})", "pose")
            for axis, name in turns.items()
        ),
    ]


def _landmarks() -> list[Column]:
    image = [
        column
        for axis, where in _IMAGE.items()
        for column in _numbered(axis, N_FACE, 1, "px", f"landmarks of the face: in the image, {where}", "2d")
    ]
    space = [
        column
        for axis, where in _SPACE.items()
        for column in _numbered(axis, N_FACE, 1, "mm", f"landmarks of the face: in space, {where}", "3d")
    ]
    return image + space


def _parameters() -> list[Column]:
    return [
        _alone("p_scale", 3, "px/mm", "shape model: scale", "params"),
        *(
            _alone(f"p_r{axis}", 3, "rad", f"shape model: rotation about the {axis} axis", "params")
            for axis in ("x", "y", "z")
        ),
        *(_alone(f"p_t{axis}", 3, "px", f"shape model: translation, {where}", "params") for axis, where in
          _IMAGE.items()),
        *_numbered("p", N_LOCAL, 3, "mm", "shape model: local parameters (identity and expression)", "params"),
    ]  # fmt: skip


def _action_units() -> list[Column]:
    """Presences have one decimal as they are predicted frame by frame; the rewrite prints two."""
    intensities = [
        _alone(f"{au}_r", 2, "0 to 5", f"intensity of {au}, {ACTION_UNITS[au]}", "aus") for au in INTENSITY_AUS
    ]
    presences = [_alone(f"{au}_c", 1, "0 or 1", f"presence of {au}, {ACTION_UNITS[au]}", "aus") for au in PRESENCE_AUS]
    return intensities + presences


_CONFIDENCE = "how much the landmark validator trusts the landmarks"
_CLIP_HEADER = [
    _count("frame", "number of the frame, from 1"),
    _count("face_id", "slot that follows the face, from 0; always 0 in clips of one face"),
    Column("timestamp", "float", 3, "s", "time of the frame", "", "timestamp"),
    Column("confidence", "float", 2, "0 to 1", _CONFIDENCE, "", "confidence"),
    _count("success", "1 where the face was tracked; where it is 0, measurements are not to be used"),
]
_PHOTOGRAPH_HEADER = [
    _count("face", "number of the face in the image, from 0, in the order of detection"),
    Column("confidence", "float", 3, "0 to 1", _CONFIDENCE, "", "confidence"),
]
#: Who a face is, across the stretches in which slots followed it (`reference/persons.py`); known at the end of a
#: clip, and `NOBODY` until then.
_PERSON = _count("person_id", "who it is, from 0, across all slots; -1 for nobody known")

#: Everything between the first columns and `person_id`.
_MEASURES = (*_gaze(), *_pose(), *_landmarks(), *_parameters(), *_action_units())

#: The columns of each layout, in order: 714, 711 and 715.
COLUMNS: dict[Layout, tuple[Column, ...]] = {
    "clip": (*_CLIP_HEADER, *_MEASURES),
    "photograph": (*_PHOTOGRAPH_HEADER, *_MEASURES),
    "faces": (*_CLIP_HEADER, *_MEASURES, _PERSON),
}
#: The last columns of each layout, but for `person_id`: 17 intensities, then 18 presences.
N_AU_COLUMNS = len(INTENSITY_AUS) + len(PRESENCE_AUS)

#: Groups of columns, in the order of the table.
GROUPS = tuple(dict.fromkeys(column.group for column in _MEASURES))


def columns(layout: Layout | None = None) -> tuple[Column, ...]:
    """The columns of a table, in order: ``pandas.DataFrame(auparity.columns())`` is a table of them.

    Parameters
    ----------
    layout : "clip" (714), "photograph" (711), "faces" (715, clips of several people); None for every column that any of
        them has.

    Raises
    ------
    AuparityError : there is no such layout.
    """
    if layout is None:
        return _all_columns()
    if layout not in COLUMNS:
        raise AuparityError(f"there is no table {layout!r}; there are {', '.join(LAYOUTS)}.")
    return COLUMNS[layout]


@cache
def _all_columns() -> tuple[Column, ...]:
    """Those of several people, with `face` of images after `face_id`."""
    every = list(COLUMNS["faces"])
    at = [column.name for column in every].index("face_id") + 1
    every[at:at] = [column for column in COLUMNS["photograph"] if column.name == "face"]
    return tuple(every)


@cache
def _by_name() -> dict[str, Column]:
    return {column.name: column for column in _all_columns()}


def column_of(name: str) -> Column | None:
    """What is known of a column; None for one that is not OpenFace's."""
    return _by_name().get(name)


def group_of(name: str) -> str | None:
    """The group of a column; None for the first columns, which every table has, and for unknown ones."""
    column = column_of(name)
    return column.group or None if column else None


def families(chosen: Iterable[Column]) -> list[tuple[Column, int]]:
    """The first column of each family, in order, and how many of them there are."""
    counts: dict[str, int] = {}
    first: dict[str, Column] = {}
    for column in chosen:
        first.setdefault(column.family, column)
        counts[column.family] = counts.get(column.family, 0) + 1
    return [(column, counts[family]) for family, column in first.items()]
