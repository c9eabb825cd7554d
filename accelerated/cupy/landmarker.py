"""What finds and follows the landmarks of many faces on a GPU (reference/landmarker.py): the interface that tracking,
single images and clips of several faces know. Each kind of model has one implementation: constrained local models
(clm.py), networks (face_landmarker.py), and local models that begin at a network's points (network_start.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.device import Device
from auparity.accelerated.cupy.landmarks import FacesBatch
from auparity.reference.face_states import FaceState

Array = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]
Indices = Sequence[int] | npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Frames:
    """Images of one size, on the device."""

    images: Any  #: (S, H, W, 3) uint8 B,G,R
    gray: Any  #: (S, H, W) uint8


class LandmarkerBatch(Protocol):
    """Finds landmarks from boxes, and follows them. Holds no state of any face; a face's result does not depend on the
    others."""

    device: Device

    def initial(self, count: int) -> FacesBatch:
        """Faces that were never seen."""

    def upload(self, states: Sequence[FaceState]) -> FacesBatch:
        """Faces on the device from which `follow` gives what it gives from the faces that came down."""

    def start(
        self, frames: Frames, frame: Indices, boxes: Array, before: FacesBatch | None, *, multi_view: bool
    ) -> tuple[Flags, FacesBatch]:
        """Landmarks of F faces in boxes.

        Parameters
        ----------
        frame : (F,) which image each box lies in.
        boxes : (F, 4) x, y, w, h px, widths above 0, on the host.
        before : the same faces before; None where nothing is known of them.
        multi_view : try several head orientations, where the model has to be told one.

        Returns
        -------
        In which boxes there is a face (F,), which is not always `detection_success`; the faces.

        Raises
        ------
        ContractError : boxes that are not finite numbers, or a fit that left the numbers.
        """

    def follow(self, frames: Frames, frame: Indices, faces: FacesBatch, succeeded: Flags) -> FacesBatch:
        """Landmarks of B faces that were at `faces` in the frame before.

        Parameters
        ----------
        frame : (B,) the image that each face lies in.
        succeeded : (B,) on the host, the flags of `faces`.
        """
