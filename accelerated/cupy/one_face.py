"""The work of a batch of clips of one face each: tracking, and AUs with the medians of the clip.

Nothing here has run on a GPU yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.analysis import AnalysisBatch
from auparity.accelerated.cupy.models import DeviceModels
from auparity.accelerated.cupy.readback import read_back
from auparity.accelerated.cupy.tracking import TrackerBatch
from auparity.reference.clip_options import ClipOptions
from auparity.reference.face_states import FaceState

F64 = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Measured:
    """What came down for one frame."""

    state: FaceState
    success: bool  #: what the tracker returned
    values: F64  #: (35,) as predicted
    plain: F64  #: (35,) without medians


class OneFace:
    """The `Work` of `rows` clips."""

    def __init__(self, models: DeviceModels, rows: int) -> None:
        self._models, self._device = models, models.device
        self.tracker = TrackerBatch(models.landmarker, models.locate, rows, models.options.reinit_every)
        self.analysis = AnalysisBatch(self._device, models.bundle.video_aus, rows)

    def begin(self, row: int, clip: ClipOptions) -> None:
        self.tracker.reset(row, clip.face)
        self.analysis.reset(row)

    def end(self, row: int) -> None:
        """Nothing: a row begins anew with its next clip."""

    def run(self, rows: Indices, images: Any, gray: Any) -> Sequence[Measured]:
        device = self._device
        returned = self.tracker.track(images, gray, rows)
        faces = self.tracker.of(rows)
        streams, frame = device.upload(rows.astype(np.int32)), device.xp.arange(len(rows), dtype=np.int32)
        values, plain = self.analysis(images, frame, faces.landmarks, faces.detection_success, streams)
        states, numbers = read_back(device, faces, self._models.results.eyes, values, plain)
        self.tracker.see(rows, returned, states)
        split = numbers.shape[1] // 2
        return [
            Measured(state, bool(success), line[:split].copy(), line[split:].copy())
            for state, success, line in zip(states, returned, numbers, strict=True)
        ]

    def final_medians(self, row: int) -> F64:
        """Of the clip in a row, on the host."""
        with self._models.lock, self._device.active():
            return self.analysis.final_medians(row)
