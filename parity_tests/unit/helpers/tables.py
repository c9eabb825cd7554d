"""Small tables of faces with known values, for the tests of what becomes of tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from auparity.tables.table import FaceTable

STEP = 0.1  #: s between the frames of these tables


def face_table(presence: Sequence[float], **changes: Any) -> FaceTable:
    """A clip of one face, ten frames a second from 0: AU12 present as given, with an intensity of 2 or 0.

    Parameters
    ----------
    changes : columns (R,) in place of these, or in addition; None for no such column.
    """
    rows = len(presence)
    columns: dict[str, Any] = {
        "frame": np.arange(rows) + 1,
        "face_id": np.zeros(rows),
        "timestamp": np.arange(rows) * STEP,
        "confidence": np.full(rows, 0.9),
        "success": np.ones(rows),
        "pose_Rx": np.linspace(0, 0.3, rows),
        "AU12_r": 2.0 * np.asarray(presence),
        "AU12_c": np.asarray(presence, float),
        "AU28_c": np.zeros(rows),
    }
    columns = {name: np.asarray(values) for name, values in {**columns, **changes}.items() if values is not None}
    return FaceTable.of_numbers(columns)


def people_table(presences: Sequence[Sequence[float]], *, persons: bool = True, **changes: Any) -> FaceTable:
    """A clip of several people, a row for each of them in each frame: `person_id` 0, 1, ..., slots the other way round.

    Parameters
    ----------
    persons : False for a table without `person_id`, as FaceLandmarkVidMulti writes it.
    """
    count, frames = len(presences), len(presences[0])
    rows = count * frames
    order = np.tile(np.arange(count), frames)
    return face_table(
        np.asarray(presences, float).T.ravel(),
        **{
            "frame": np.repeat(np.arange(frames), count) + 1,
            "timestamp": np.repeat(np.arange(frames) * STEP, count),
            "face_id": count - 1 - order,
            "person_id": order if persons else None,
            "pose_Rx": np.zeros(rows),
            **changes,
        },
    )
