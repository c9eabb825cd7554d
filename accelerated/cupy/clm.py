"""Constrained local models of many faces on a GPU (reference/clm.py): hypotheses where a face is new, one fit where it
is known. Nothing here has run on a GPU yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.device import Device
from auparity.accelerated.cupy.hypotheses import detect_in_boxes
from auparity.accelerated.cupy.landmarker import Flags, Frames, Indices
from auparity.accelerated.cupy.landmarks import DetectorBatch, FacesBatch, join, take
from auparity.models.types import FaceModel
from auparity.reference.face_states import FaceState
from auparity.reference.fitting import INITIAL_LIKELIHOOD
from auparity.reference.landmarks import ClmState, DetectorParameters

Array = npt.NDArray[Any]


class ClmBatch:
    """A `LandmarkerBatch` of one `FaceModel`.

    Parameters
    ----------
    parameters : settings; None for those of OpenFace's command-line programs.
    """

    def __init__(self, device: Device, model: FaceModel, parameters: DetectorParameters | None = None) -> None:
        self.device, self.detector = device, DetectorBatch(device, model, parameters)

    def initial(self, count: int) -> FacesBatch:
        """Scale 1, everything else 0."""
        return self.detector.initial(count)

    def upload(self, states: Sequence[FaceState]) -> FacesBatch:
        """K faces on the device. A fit starts from the parameters, and keeps the likelihood where it computes none;
        everything else it makes anew."""
        own = cast("Sequence[ClmState]", states)
        lines = [np.concatenate([s.params_global, s.params_local, [s.likelihood]], dtype=np.float32) for s in own]
        numbers, xp = self.device.upload(np.stack(lines)), self.device.xp
        return replace(
            self.initial(len(states)), params_global=xp.ascontiguousarray(numbers[:, :6]),
            params_local=xp.ascontiguousarray(numbers[:, 6:-1]), likelihood=xp.ascontiguousarray(numbers[:, -1]),
        )  # fmt: skip

    def start(
        self, frames: Frames, frame: Indices, boxes: Array, before: FacesBatch | None, *, multi_view: bool
    ) -> tuple[Flags, FacesBatch]:
        """Eleven head orientations, or the frontal one alone (spec 50.9); see `LandmarkerBatch`."""
        likelihood = [INITIAL_LIKELIHOOD] * len(boxes)
        if before is not None:
            likelihood = [float(value) for value in self.device.download(before.likelihood)]
        return detect_in_boxes(
            self.detector, frames.gray, [int(k) for k in frame], boxes, likelihood, multi_view=multi_view
        )

    def follow(self, frames: Frames, frame: Indices, faces: FacesBatch, succeeded: Flags) -> FacesBatch:
        """One fit (spec 50.10 A), in small windows after a success, in large ones after a failure."""
        detector, upload = self.detector, self.device.upload
        place = upload(np.asarray(frame, np.int32))
        windows = detector.parameters.track_windows, detector.parameters.init_windows
        groups = [np.flatnonzero(group) for group in (succeeded, ~succeeded)]
        for sizes, group in zip(windows, groups, strict=True):
            if len(group) == len(succeeded):
                return detector.detect(frames.gray, place, faces, sizes)
        found = []
        for sizes, group in zip(windows, groups, strict=True):
            rows = upload(group)
            found.append(detector.detect(frames.gray, place[rows], take(faces, rows), sizes))
        return take(join(self.device.xp, *found), upload(np.argsort(np.concatenate(groups))))
