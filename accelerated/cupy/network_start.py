"""Constrained local models that begin at a network's points, for many faces on a GPU (reference/networks/
network_start.py): one fit where a face is new, in place of eleven. Nothing here has run on a GPU yet.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.clm import ClmBatch
from auparity.accelerated.cupy.device import Device
from auparity.accelerated.cupy.face_landmarker import LooksOnDevice
from auparity.accelerated.cupy.hypotheses import refuse_unfinite
from auparity.accelerated.cupy.landmarker import Flags, Frames, Indices
from auparity.accelerated.cupy.landmarks import FacesBatch, put, take
from auparity.models.types import LandmarkNetwork, NetworkStart
from auparity.reference.contracts import check_array
from auparity.reference.landmarks import DetectorParameters
from auparity.reference.stages import Stages

Array = npt.NDArray[Any]


class NetworkStartBatch(ClmBatch):
    """A `LandmarkerBatch` of one `NetworkStart`.

    Parameters
    ----------
    parameters : as of `ClmBatch`. stages : as of `LooksOnDevice`.
    """

    def __init__(
        self, device: Device, weights: NetworkStart, stages: Stages, parameters: DetectorParameters | None = None
    ) -> None:
        super().__init__(device, weights.face, parameters)
        points = LandmarkNetwork(weights.network, weights.face.main.pdm, weights.brows)
        self.looks = LooksOnDevice(device, points, stages)

    def start(
        self, frames: Frames, frame: Indices, boxes: Array, before: FacesBatch | None, *, multi_view: bool
    ) -> tuple[Flags, FacesBatch]:
        """One fit from the network's points of each face, in the windows of a new one; see `LandmarkerBatch`.

        `multi_view` means nothing here. A box in which the network has nothing to look at is no face, and keeps what
        was there before; in photographs, where the reference would keep the face before it, nothing.
        """
        check_array("landmarker", "boxes", boxes, (len(frame), 4))
        device, draws = self.device, self.looks.draw(frames.images, frame, boxes)
        drawn = [(k, state) for k, state in enumerate(draws) if state is not None]
        faces = self.initial(len(boxes)) if before is None else before
        returned = np.zeros(len(boxes), np.bool_)
        if not drawn:
            return returned, faces
        seen = np.array([k for k, _ in drawn])
        rows, place = device.upload(seen), device.upload(np.asarray(frame, np.int32)[seen])
        begin = replace(
            take(faces, rows),
            params_global=device.upload(np.stack([state.params_global for _, state in drawn])),
            params_local=device.upload(np.stack([state.params_local for _, state in drawn])),
        )
        found = self.detector.detect(frames.gray, place, begin, self.detector.parameters.init_windows)
        success, finite = device.download(device.xp.stack([found.detection_success, found.finite])) != 0
        refuse_unfinite(finite)
        returned[seen] = success
        everyone = len(seen) == len(boxes)
        return returned, found if everyone else put(take(faces, device.upload(np.arange(len(boxes)))), rows, found)
