"""A rendered clip's truth on disk: ``truth.csv``, one row a frame under OpenFace's column names, and ``truth.json``.

Wherever OpenFace's table (spec 80.1) has a column for something that the renderer knows, the truth has it under the
same name, unit and order (gaze, gaze angles, eye landmarks, pose, landmarks in 2D and 3D, AU intensities), with six
decimals, so that a reader of one reads the other. In addition it has ``AU28_r`` (OpenFace has no intensity of it) and
``visible_0..67``, 1 where the head itself does not hide the landmark. The JSON file says how the clip was made: seed,
size, frame rate, camera, AU names, version of the generator. Left eye first. In: a sequence of `Truth`; out: a
`TruthTable` whose arrays have the frames as their first axis.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.atomic_files import write_text_atomically
from auparity.errors import AuparityError, ContractError
from auparity.json_files import checked, load_json
from auparity.json_schema import quoted
from auparity.models.synthetic.types import AU_NAMES, RenderCamera, Truth
from auparity.reference.gaze import gaze_angles

Array = npt.NDArray[Any]

DECIMALS = 6
N_FACE, N_EYE = 68, 28

#: The groups of columns in their order: field of `TruthTable`, shape of one frame, names of the columns. Points are
#: grouped by axis, as in OpenFace's table: x of all, then y of all.
_GROUPS: tuple[tuple[str, tuple[int, ...], tuple[str, ...]], ...] = (
    ("gaze", (2, 3), tuple(f"gaze_{eye}_{axis}" for eye in (0, 1) for axis in "xyz")),
    ("gaze_angles", (2,), ("gaze_angle_x", "gaze_angle_y")),
    ("eye_landmarks", (2, N_EYE, 2), tuple(f"eye_lmk_{axis}_{i}" for axis in "xy" for i in range(2 * N_EYE))),
    ("eye_landmarks_3d", (2, N_EYE, 3), tuple(f"eye_lmk_{axis}_{i}" for axis in "XYZ" for i in range(2 * N_EYE))),
    ("pose", (6,), tuple(f"pose_{kind}{axis}" for kind in "TR" for axis in "xyz")),
    ("landmarks", (N_FACE, 2), tuple(f"{axis}_{i}" for axis in "xy" for i in range(N_FACE))),
    ("landmarks_3d", (N_FACE, 3), tuple(f"{axis}_{i}" for axis in "XYZ" for i in range(N_FACE))),
    ("aus", (len(AU_NAMES),), tuple(f"{name}_r" for name in AU_NAMES)),
)
_POINTS = ("eye_landmarks", "eye_landmarks_3d", "landmarks", "landmarks_3d")
_VISIBLE = tuple(f"visible_{i}" for i in range(N_FACE))
#: All columns of ``truth.csv``.
COLUMNS = ("frame", "timestamp", *(name for _, _, names in _GROUPS for name in names), *_VISIBLE)


#: How the generator of clips of a morphable model's people ends.
OF_PEOPLE = ", a person of a morphable model"


@dataclass(frozen=True)
class TruthMeta:
    """How a clip was made."""

    seed: int
    width: int  #: px
    height: int  #: px
    fps: float
    camera: RenderCamera
    generator: str  #: name and version of the renderer, with `OF_PEOPLE` where it showed a person of a morphable model
    au_names: tuple[str, ...] = AU_NAMES

    def __post_init__(self) -> None:
        if min(self.width, self.height, self.fps) <= 0:
            raise ValueError(f"a clip of {self.width} x {self.height} px, {self.fps} frames a second")


@dataclass(frozen=True, eq=False)
class TruthTable:
    """The truth of a clip of F frames; units and axes as in `Truth`."""

    meta: TruthMeta
    timestamps: Array  #: (F,) s
    gaze: Array  #: (F, 2, 3) unit vectors, left eye and right eye
    gaze_angles: Array  #: (F, 2) rad (spec 70.5)
    eye_landmarks: Array  #: (F, 2, 28, 2) px
    eye_landmarks_3d: Array  #: (F, 2, 28, 3) mm
    pose: Array  #: (F, 6) mm, rad
    landmarks: Array  #: (F, 68, 2) px
    landmarks_3d: Array  #: (F, 68, 3) mm
    visible: Array  #: (F, 68) bool
    aus: Array  #: (F, 18), 0 to 5, in the order of AU_NAMES

    def __len__(self) -> int:
        return len(self.timestamps)


def truth_table(truths: Sequence[Truth], meta: TruthMeta) -> TruthTable:
    """The truths of a clip's frames (of one camera, that of `meta`) stacked.

    Raises
    ------
    ContractError : no frames, another camera, an array of another shape or with values that are not finite.
    """
    if not truths:
        raise ContractError("truth_file", "truths", "at least one frame", "none")
    for index, truth in enumerate(truths):
        if asdict(truth.camera) != asdict(meta.camera):
            raise ContractError("truth_file", f"truths[{index}].camera", f"{meta.camera}", f"{truth.camera}")
    stacked = {
        name: np.stack([_checked(truth, name, shape, k) for k, truth in enumerate(truths)])
        for name, shape, _ in _GROUPS
        if name != "gaze_angles"
    }
    return TruthTable(
        meta=meta,
        timestamps=np.arange(len(truths)) / meta.fps,
        gaze_angles=gaze_angles(stacked["gaze"]),
        visible=np.stack([_checked(t, "visible", (N_FACE,), k) for k, t in enumerate(truths)]).astype(bool),
        **stacked,
    )


def write_truth(path: Path, truths: Sequence[Truth], meta: TruthMeta) -> TruthTable:
    """Write a clip's truth to `path` (``truth.csv``) and its description beside it (``truth.json``), both atomically.

    Raises
    ------
    ContractError : see `truth_table`.
    """
    table = truth_table(truths, meta)
    columns = [np.arange(1, len(table) + 1)[:, None], table.timestamps[:, None]]
    columns += [_to_columns(name, getattr(table, name)) for name, _, _ in _GROUPS]
    rows = np.concatenate([*columns, table.visible], axis=1)
    row = ",".join(["%d", *[f"%.{DECIMALS}f"] * (len(COLUMNS) - 1 - N_FACE), *["%d"] * N_FACE])
    lines = [",".join(COLUMNS), *(row % tuple(values) for values in rows.tolist())]
    _replace(path, "\n".join(lines) + "\n")
    described = asdict(meta) | {"frames": len(table), "table": path.name}
    _replace(path.with_suffix(".json"), json.dumps(described, indent=2) + "\n")
    return table


def read_truth(path: Path) -> TruthTable:
    """Read what `write_truth` wrote.

    Raises
    ------
    AuparityError : a file is missing or damaged; the message names it and the line.
    """
    meta, frames = _read_meta(path.with_suffix(".json"))
    rows = _read_rows(path)
    if len(rows) != frames:
        raise AuparityError(
            f"{path}, line {len(rows) + 2}: expected {frames} frames as {path.with_suffix('.json').name} says, found "
            f"{len(rows)}. The file was cut or belongs to another clip; render it again."
        )
    fields, start = {}, 2
    for name, shape, names in _GROUPS:
        fields[name] = _from_columns(name, rows[:, start : start + len(names)], shape)
        start += len(names)
    return TruthTable(meta=meta, timestamps=rows[:, 1], visible=rows[:, start:] == 1, **fields)


def shows_drawn_head(path: Path) -> bool:
    """Whether a truth is of a drawn head, not of a person of a morphable model; errors as of `read_truth`."""
    return not _read_meta(path.with_suffix(".json"))[0].generator.endswith(OF_PEOPLE)


def _checked(truth: Truth, name: str, shape: tuple[int, ...], index: int) -> Array:
    array = np.asarray(getattr(truth, name))
    if array.shape != shape or not np.isfinite(array).all():
        got = f"shape {array.shape}" if array.shape != shape else "values that are not finite"
        raise ContractError("truth_file", f"truths[{index}].{name}", f"finite, shape {shape}", got)
    return array if array.dtype == bool else array.astype(np.float64)


def _to_columns(name: str, array: Array) -> Array:
    """(F, ...) to (F, columns)."""
    if name in _POINTS:
        points = array.reshape(len(array), -1, array.shape[-1])
        array = np.swapaxes(points, 1, 2)
    return array.reshape(len(array), -1)


def _from_columns(name: str, values: Array, shape: tuple[int, ...]) -> Array:
    """(F, columns) back to (F, *shape)."""
    if name in _POINTS:
        values = np.swapaxes(values.reshape(len(values), shape[-1], -1), 1, 2)
    return np.ascontiguousarray(values.reshape(len(values), *shape))


def _read_rows(path: Path) -> Array:
    """The numbers of ``truth.csv`` (F, columns)."""
    lines = _text(path).splitlines()
    header = lines[0].split(",") if lines else []
    if tuple(header) != COLUMNS:
        wrong = next((k for k, (a, b) in enumerate(zip(header, COLUMNS, strict=False)) if a != b), len(header))
        found = repr(header[wrong]) if wrong < len(header) else "the end of the line"
        expected = repr(COLUMNS[wrong]) if wrong < len(COLUMNS) else "no more columns"
        raise AuparityError(f"{path}, line 1: expected {expected} in column {wrong + 1}, found {found}. {_ADVICE}")
    rows = np.empty((len(lines) - 1, len(COLUMNS)))
    for number, line in enumerate(lines[1:], 2):
        cells = line.split(",")
        if len(cells) != len(COLUMNS):
            raise AuparityError(f"{path}, line {number}: expected {len(COLUMNS)} values, found {len(cells)}. {_ADVICE}")
        for column, cell in enumerate(cells):
            rows[number - 2, column] = _number(path, number, column, cell)
        if rows[number - 2, 0] != number - 1:
            raise AuparityError(f"{path}, line {number}: expected frame {number - 1}, found {cells[0]}. {_ADVICE}")
    return rows


_ADVICE = "The file is damaged or not a truth file; render the clip again."


def _number(path: Path, line: int, column: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise AuparityError(f"{path}, line {line}: {COLUMNS[column]} is {text!r}, not a number. {_ADVICE}")
    return value


def _read_meta(path: Path) -> tuple[TruthMeta, int]:
    """The description of a clip and its number of frames."""
    if not path.exists():
        raise AuparityError(f"{path}: does not exist. `auparity models render` writes it beside the clip.")
    content = load_json(path, "the description of a rendered clip", dict, advice=_ADVICE)
    content.pop("table", None)
    frames = checked(content.pop("frames", None), path, "the number of frames", int, advice=_ADVICE)
    meta = checked(content, path, "the description of a rendered clip", TruthMeta, advice=_ADVICE)
    if meta.au_names != AU_NAMES:
        raise AuparityError(
            f"{path}: expected the AUs {', '.join(AU_NAMES)}, found {quoted(', '.join(meta.au_names))}."
        )
    return meta, frames


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise AuparityError(f"{path}: does not exist. `auparity models render` writes it beside the clip.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise AuparityError(f"{path}: cannot be read ({error}). {_ADVICE}") from error


def _replace(path: Path, text: str) -> None:
    """Write a file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(path, text)
