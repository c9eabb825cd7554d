"""Reads tables with OpenFace's column names: results of `auparity extract`, of OpenFace itself, and truth files.

One row is one face in one frame. In: a CSV file; out: a `ResultTable` whose arrays have the rows as their first axis,
None for what the table has no columns for (a truth file has no confidence, OpenFace 2.0 no eye landmarks). Beside a
result of ours lies `<name>.json`, which says what it was made from: `read_sidecar`.
"""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import AuparityError

Array = npt.NDArray[Any]

N_FACE, N_EYES = 68, 56
_GAZE = tuple(f"gaze_{eye}_{axis}" for eye in (0, 1) for axis in "xyz")
_POSE = tuple(f"pose_{kind}{axis}" for kind in "TR" for axis in "xyz")
_PARAMS = ("p_scale", "p_rx", "p_ry", "p_rz", "p_tx", "p_ty")
#: Columns that hold text or nothing.
_TEXT = frozenset({"frame_name", "input", "filename"})


@dataclass(frozen=True, eq=False)
class ResultTable:
    """A table of R rows; pixels, millimetres, radians and intensities as OpenFace writes them (spec 80.1)."""

    path: Path
    photograph: bool  #: rows are the faces of one image, not the frames of a clip
    columns: dict[str, Array]  #: name to (R,)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def get(self, *names: str) -> Array | None:
        """(R, len(names)) of these columns, or None unless all of them are there."""
        if not set(names) <= set(self.columns):
            return None
        return np.stack([self.columns[name] for name in names], axis=1)

    def points(self, prefix: str, axes: str, count: int) -> Array | None:
        """(R, count, len(axes)) of the columns `<prefix><axis>_<number>`, or None."""
        found = self.get(*(f"{prefix}{axis}_{i}" for axis in axes for i in range(count)))
        return None if found is None else np.swapaxes(found.reshape(len(found), len(axes), count), 1, 2)

    @property
    def success(self) -> Array:
        """(R,) bool; rows of tables without such a column (photographs, truth) are all good."""
        column = self.columns.get("success")
        return np.ones(len(self), bool) if column is None else column == 1

    @property
    def landmarks(self) -> Array | None:
        """(R, 68, 2) px."""
        return self.points("", "xy", N_FACE)

    @property
    def eye_landmarks(self) -> Array | None:
        """(R, 2, 28, 2) px, left eye first."""
        points = self.points("eye_lmk_", "xy", N_EYES)
        return None if points is None else points.reshape(len(points), 2, N_EYES // 2, 2)

    @property
    def gaze(self) -> Array | None:
        """(R, 2, 3) unit vectors, left eye first."""
        values = self.get(*_GAZE)
        return None if values is None else values.reshape(-1, 2, 3)

    @property
    def pose(self) -> Array | None:
        """(R, 6) mm and rad."""
        return self.get(*_POSE)

    @property
    def params_global(self) -> Array | None:
        """(R, 6) scale px/mm, rotation rad, translation px."""
        return self.get(*_PARAMS)

    def aus(self, kind: str) -> dict[str, Array]:
        """Intensities ("r") or presences ("c") by the AU's name, in the table's order: name to (R,)."""
        found = (name for name in self.columns if name.startswith("AU") and name.endswith(f"_{kind}"))
        return {name.removesuffix(f"_{kind}"): self.columns[name] for name in found}

    def seconds(self, fps: float) -> Array:
        """(R,) time of every row: time stamps, or frame / fps where they are all 0 (image sequences)."""
        stamps = self.columns.get("timestamp")
        if stamps is not None and stamps.any():
            return stamps
        frames = self.columns.get("frame")
        return np.arange(len(self)) / fps if frames is None else (frames - 1) / fps


def read_result_table(path: Path) -> ResultTable:
    """Read a CSV file; spaces after commas, as OpenFace writes them, do not matter.

    Raises
    ------
    AuparityError : no such file, not a table of faces, or a line that cannot be read; names the line.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = list(csv.reader(file, skipinitialspace=True))
    except FileNotFoundError:
        raise AuparityError(f"{path}: does not exist.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AuparityError(f"{path}: cannot be read as a table ({error}).") from error
    names = [name.strip() for name in lines[0]] if lines else []
    if not {"x_0", "y_67"} <= set(names):
        raise AuparityError(f"{path}, line 1: has no landmark columns; it is no table of `auparity extract`.")
    numeric = [k for k, name in enumerate(names) if name not in _TEXT]
    values = np.empty((len(lines) - 1, len(numeric)))
    for number, cells in enumerate(lines[1:], 2):
        if len(cells) != len(names):
            raise AuparityError(f"{path}, line {number}: expected {len(names)} values, found {len(cells)}.")
        for column, k in enumerate(numeric):
            values[number - 2, column] = _number(path, number, names[k], cells[k])
    columns = {names[k]: values[:, column] for column, k in enumerate(numeric)}
    return ResultTable(path, "frame" not in columns, columns)


def read_sidecar(table: Path) -> dict[str, Any]:
    """What `<name>.json` says of a table; empty without one.

    Raises
    ------
    AuparityError : the file is damaged.
    """
    path = table.with_suffix(".json")
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise AuparityError(f"{path}: is damaged ({error}). Extract the clip again.") from error
    return content if isinstance(content, dict) else {}


def _number(path: Path, line: int, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise AuparityError(f"{path}, line {line}: {name} is {text!r}, not a number.")
    return value
