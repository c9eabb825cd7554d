"""The places of patch experts, on a GPU (spec 40.2, 40.3): parameters of faces in; landmarks, similarities and views
out.

One launch for all faces of a batch, a block a face; what it decides (view, visibility, whether a face has any extent)
stays on the device and is read there by the kernels that follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from auparity.accelerated.cupy.device import Device
from auparity.models.types import PDM, PatchExperts

THREADS = 128  # as in place.cu


@dataclass(frozen=True, eq=False)
class Places:
    """Arrays on the device, of B faces with n landmarks. A face that is not active has 0 everywhere."""

    landmarks: Any  #: (B, n, 2) float32 px
    img_to_ref: Any  #: (B, 2, 2) float32, image offsets to reference-frame offsets
    ref_to_img: Any  #: (B, 2, 2) float32, its inverse; both are 0 where a face is not good
    view: Any  #: (B,) int32, index of the experts' view
    good: Any  #: (B,) uint8, 0 where all landmarks coincide
    visible: Any  #: (B, n) uint8, landmarks that the view shows


def pixel_define(gray: Any) -> dict[str, str]:
    """What kernels that cut areas out of images of this dtype, uint8 or float32, are compiled with (areas.cuh)."""
    return {"PIXEL": "float"} if gray.dtype == np.float32 else {}


class PlaceBatch:
    """Places of one landmark model at each of its scales."""

    def __init__(self, device: Device, pdm: PDM, experts: Sequence[PatchExperts]) -> None:
        self._device = device
        self.n_points, self.n_modes = pdm.n_points, pdm.n_modes
        self._mean = device.upload(np.asarray(pdm.mean, np.float32).ravel())
        self._modes = device.upload(np.asarray(pdm.components, np.float32).T)
        self._scales = [np.float32(of_scale.scale) for of_scale in experts]
        self._centres = [device.upload(np.deg2rad(of_scale.view_centres).astype(np.float32)) for of_scale in experts]
        self._visible = [device.upload((np.asarray(of_scale.visibility) != 0).astype(np.uint8)) for of_scale in experts]

    def __call__(self, g: Any, p: Any, active: Any, scale_index: int) -> Places:
        """Places of faces with parameters (B, 6), (B, m) float32 of which those with `active` (B,) uint8 count."""
        count, n, empty = len(g), self.n_points, self._device.empty
        places = Places(
            empty((count, n, 2), np.float32), empty((count, 2, 2), np.float32), empty((count, 2, 2), np.float32),
            empty(count, np.int32), empty(count, np.uint8), empty((count, n), np.uint8),
        )  # fmt: skip
        centres, visible = self._centres[scale_index], self._visible[scale_index]
        self._device.kernel("place", "place")(
            (count,), (THREADS,),
            (
                self._mean, self._modes, np.int32(n), np.int32(self.n_modes), self._scales[scale_index],
                centres, np.int32(len(centres)), visible, g, p, active, places.landmarks, places.img_to_ref,
                places.ref_to_img, places.view, places.good, places.visible,
            ),
            shared_bytes=7 * n * 4,
        )  # fmt: skip
        return places
