"""What landmark networks see of faces, cut out of images that are on a GPU (reference/networks/crops.py), with the
reference's bits. Where to cut is decided on the host: a few numbers a face. Nothing here has run on a GPU yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from auparity.accelerated.cupy.device import Device
from auparity.accelerated.cupy.landmarker import Indices
from auparity.reference.networks.crops import SQUARE_SIDE, STAR_SIDE, Square, StarCrop

THREADS = 256


def cut_crops(device: Device, images: Any, frame: Indices, crops: Sequence[Square | StarCrop]) -> Any:
    """Crops (K, side, side, 3) uint8 on the device, at least one, all of one kind.

    Parameters
    ----------
    images : (S, H, W, 3) uint8 on the device.
    frame : (K,) the image that each crop is of.
    """
    side = SQUARE_SIDE if isinstance(crops[0], Square) else STAR_SIDE
    out = device.empty((len(crops), side, side, 3), np.uint8)
    height, width = (np.int32(length) for length in images.shape[1:3])
    grid = (len(crops), -(-side * side // THREADS))
    if isinstance(crops[0], Square):
        squares = cast("Sequence[Square]", crops)
        rows = [(index, crop.left, crop.top, crop.size) for index, crop in zip(frame, squares, strict=True)]
        where = device.upload(np.array(rows, np.int64))
        device.kernel("crops", "squares")(grid, (THREADS,), (images, height, width, where, np.int32(side), out))
    else:
        inverses = np.stack([crop.inverse.ravel() for crop in cast("Sequence[StarCrop]", crops)])
        device.kernel("crops", "enlarged")(grid, (THREADS,), (
            images, height, width, device.upload(np.asarray(frame, np.int32)), device.upload(inverses), np.int32(side),
            out,
        ))  # fmt: skip
    return out
