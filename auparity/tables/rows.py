"""Results as rows: the values of a `FrameResult`, or of many, in the order of the columns (spec 80.1, 80.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError
from auparity.reference.persons import NOBODY
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS, Array, FrameResult
from auparity.tables.columns import COLUMNS, N_EYES, N_FACE, N_LOCAL, Layout

#: The arrays of a FrameResult in the order of the table, and their shapes: the contract of a row.
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


def layout_values(result: FrameResult, layout: Layout) -> tuple[Value, ...]:
    """One value for each column of the layout, unrounded.

    Raises
    ------
    ContractError : an array of `result` does not have its shape.
    """
    before, after = _around(result, layout)
    return (*before, *_flat(result)[_ORDER].tolist(), *after)


def layout_array(result: FrameResult, layout: Layout) -> npt.NDArray[np.float64]:
    """The same values as one array (columns,); errors as of `layout_values`."""
    before, after = _around(result, layout)
    return np.concatenate([before, _flat(result)[_ORDER], after], dtype=np.float64)


def _around(result: FrameResult, layout: Layout) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
    """The values before and behind those that come from arrays."""
    if layout == "photograph":
        return (result.face_id, float(result.confidence)), ()
    before = (
        result.index + 1,  # the tables count frames from 1
        result.face_id,
        float(result.timestamp),
        float(result.confidence),
        int(result.success),
    )
    return before, (NOBODY,) if layout == "faces" else ()


def column_arrays(results: Sequence[FrameResult], layout: Layout) -> dict[str, npt.NDArray[Any]]:
    """The columns of a table of these results: name to (R,), of the types that Parquet tables have.

    Raises
    ------
    ContractError : an array of a result does not have its shape.
    """
    head: dict[str, npt.NDArray[Any]] = {
        "confidence": np.array([result.confidence for result in results], np.float64),
    }
    faces = np.array([result.face_id for result in results], np.int32)
    if layout == "photograph":
        head["face"] = faces
    else:
        head["frame"] = np.array([result.index + 1 for result in results], np.int32)
        head["face_id"] = faces
        head["timestamp"] = np.array([result.timestamp for result in results], np.float64)
        head["success"] = np.array([result.success for result in results], np.int32)
        head["person_id"] = np.full(len(results), NOBODY, np.int32)
    columns, measures = COLUMNS[layout], iter(_measures(results).T)
    return {
        column.name: head[column.name] if column.name in head else _typed(column.name, next(measures))
        for column in columns
    }


def _typed(name: str, values: Array) -> Array:
    return values.astype(np.int8 if is_presence(name) else np.float64)


def is_presence(name: str) -> bool:
    """Whether a column holds presences of an AU."""
    return name.startswith("AU") and name.endswith("_c")


def _measures(results: Sequence[FrameResult]) -> Array:
    """(R, 709) float64 of everything between the first columns and `person_id`."""
    if not results:
        return np.empty((0, len(_ORDER)))
    return np.stack([_flat(result) for result in results])[:, _ORDER]


def _flat(result: FrameResult) -> Array:
    """(709,) the arrays of a result as they lie in memory, one after another."""
    arrays = []
    for name, shape in _SHAPES.items():
        array = np.asarray(getattr(result, name))
        if array.shape != shape:
            raise ContractError("extraction", f"FrameResult.{name}", f"shape {shape}", f"{array.shape}")
        arrays.append(array.ravel())
    return np.concatenate(arrays, dtype=np.float64)


def _column_order() -> Array:
    """(709,) where in the arrays the value of each column is: points are grouped by axis (x_0 ... x_67, y_0 ...)."""
    start, places = 0, []
    for name, shape in _SHAPES.items():
        count = int(np.prod(shape))
        own = np.arange(start, start + count)
        places.append(own.reshape(-1, shape[-1]).T.ravel() if "landmarks" in name else own)
        start += count
    return np.concatenate(places)


_ORDER = _column_order()
