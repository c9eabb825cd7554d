"""Faces come down from the device: one array for all of them, taken apart into the reference's `ClmState`s."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.device import Device
from auparity.accelerated.cupy.landmarks import FacesBatch
from auparity.reference.face_states import PartState
from auparity.reference.landmarks import ClmState

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]

#: Of a part that nobody asks for on the host.
NO_PART = PartState(np.zeros(6, np.float32), np.zeros(0, np.float32), np.zeros((0, 2), np.float32))


def read_back(device: Device, faces: FacesBatch, parts: Sequence[int] | None, *more: Any) -> tuple[list[ClmState], F64]:
    """The faces (B) on the host, and other numbers with them: one copy, in float64, in which all of them are exact.

    Parameters
    ----------
    parts : numbers of the part models whose landmarks are wanted; the others' states are empty. None for none.
    more : (B, K) each.

    Returns
    -------
    The states, and `more` side by side.
    """
    columns = [
        faces.params_global, faces.params_local, faces.landmarks, faces.likelihood, faces.detection_success,
        faces.confidence, faces.view,
    ]  # fmt: skip
    for k in parts or ():
        part = faces.parts[k]
        columns += [part.params_global, part.params_local, part.landmarks]
    count = len(faces.params_global)
    wide = [column.reshape(count, -1).astype(np.float64) for column in (*columns, *more)]
    rows = device.download(device.xp.concatenate(wide, axis=1))
    split = sum(column.shape[1] for column in wide[: len(columns)])
    return [_state(row, faces, parts) for row in rows], rows[:, split:].copy()


def _state(row: Array, faces: FacesBatch, parts: Sequence[int] | None) -> ClmState:
    at = 0

    def next_of(shape: tuple[int, ...]) -> Array:
        nonlocal at
        size = int(np.prod(shape))
        values = row[at : at + size].reshape(shape).astype(np.float32)
        at += size
        return values

    g, p, landmarks = (next_of(a.shape[1:]) for a in (faces.params_global, faces.params_local, faces.landmarks))
    likelihood, success, confidence, view = next_of((4,))
    states = [NO_PART] * len(faces.parts)
    for k in parts or ():
        part = faces.parts[k]
        states[k] = PartState(*(next_of(a.shape[1:]) for a in (part.params_global, part.params_local, part.landmarks)))
    return ClmState(
        params_global=g, params_local=p, landmarks=landmarks, likelihood=float(likelihood),
        landmark_likelihoods=np.zeros(0, np.float32), detection_success=bool(success), confidence=float(confidence),
        view=int(view), parts=tuple(states),
    )  # fmt: skip
