"""Networks that find landmarks in one look, for many faces on a GPU (reference/networks/face_landmarker.py).

Crops are cut out of images that are on the device, and the network and the shape model run there for all faces at once.
Where to look, and whether it was a face, the host decides with the reference's own functions, of a few numbers a face;
so a look waits for the device more often than a fit of a local model does. STAR's heat maps come down whole, 1.6 MB a
face. Nothing here has run on a GPU yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy import fit_shape
from auparity.accelerated.cupy.crops import cut_crops
from auparity.accelerated.cupy.device import Device
from auparity.accelerated.cupy.landmarker import Flags, Frames, Indices
from auparity.accelerated.cupy.landmarks import FacesBatch
from auparity.accelerated.cupy.networks import Network, at_once
from auparity.accelerated.cupy.readback import read_back
from auparity.models.types import LandmarkNetwork
from auparity.reference.face_states import FaceState
from auparity.reference.networks.crops import Square, StarCrop, crop_rule_of
from auparity.reference.networks.face_landmarker import NetworkLandmarker
from auparity.reference.stages import Stages

Array = npt.NDArray[Any]


class LooksOnDevice(NetworkLandmarker):
    """The reference's landmarker of one network, whose images are (S, H, W, 3) uint8 on a device.

    Parameters
    ----------
    stages : implementations of what is left on the host.
    """

    def __init__(self, device: Device, weights: LandmarkNetwork, stages: Stages) -> None:
        self._device, self.network = device, Network(device, weights.network)
        super().__init__(
            self.network,
            weights.shape,
            crop_of=crop_rule_of(weights.network),
            brows=weights.brows,
            stages=replace(stages, fit_shape=lambda pdm: fit_shape.build(pdm, device)),
        )

    def see(self, images: Any, image_index: Indices, crops: Sequence[Square | StarCrop]) -> Array:
        """The points (K, P, 2) that the network draws in some parts of images, in the units of its crops."""
        device, side = self._device, self.network.parts.side
        assert side is not None
        outputs: list[list[Any]] = []
        step = at_once(side, side)
        for first in range(0, len(crops), step):
            some = slice(first, first + step)
            outputs.append(self.network.run(cut_crops(device, images, image_index[some], crops[some])))
        return np.asarray(
            self.network.parts.finish(
                [np.concatenate([device.download(each) for each in of_kind]) for of_kind in zip(*outputs, strict=True)]
            )
        )


class NetworkLandmarkerBatch:
    """A `LandmarkerBatch` of one `LandmarkNetwork`.

    Parameters
    ----------
    stages : as of `LooksOnDevice`.
    """

    def __init__(self, device: Device, weights: LandmarkNetwork, stages: Stages) -> None:
        self.device, self.looks = device, LooksOnDevice(device, weights, stages)

    def initial(self, count: int) -> FacesBatch:
        """The mean shape at scale 1."""
        return self.upload([self.looks.initial()] * count)

    def upload(self, states: Sequence[FaceState]) -> FacesBatch:
        """K faces on the device: parameters, landmarks, flag and confidence. What only local models have is 0."""
        device, count = self.device, len(states)
        lines = [
            np.concatenate(
                [s.params_global, s.params_local, s.landmarks.ravel(), [s.detection_success, s.confidence]],
                dtype=np.float32,
            )
            for s in states
        ]
        numbers, xp, local = device.upload(np.stack(lines)), device.xp, 6 + len(states[0].params_local)
        zeros, ones = np.zeros(count, np.float32), np.ones(count, np.uint8)
        return FacesBatch(
            params_global=xp.ascontiguousarray(numbers[:, :6]),
            params_local=xp.ascontiguousarray(numbers[:, 6:local]),
            landmarks=xp.ascontiguousarray(numbers[:, local:-2]).reshape(count, -1, 2),
            likelihood=device.upload(zeros),
            has_likelihood=device.upload(ones),
            detection_success=numbers[:, -2].astype(np.uint8),
            confidence=xp.ascontiguousarray(numbers[:, -1]),
            view=device.upload(zeros.astype(np.int32)),
            finite=device.upload(ones),
            parts=(),
        )

    def start(
        self, frames: Frames, frame: Indices, boxes: Array, before: FacesBatch | None, *, multi_view: bool
    ) -> tuple[Flags, FacesBatch]:
        """Two looks; see `LandmarkerBatch`. `multi_view` means nothing here."""
        known = None if before is None else read_back(self.device, before, None)[0]
        states = self.looks.start(frames.images, frame, boxes, known)
        return states.accepted, self.upload(states)

    def follow(self, frames: Frames, frame: Indices, faces: FacesBatch, succeeded: Flags) -> FacesBatch:
        """A look at each face where it was, and another where it is in doubt; see `LandmarkerBatch`."""
        states, _ = read_back(self.device, faces, None)
        return self.upload(self.looks.follow(frames.images, frame, states))
