"""Gray images on a GPU (spec 00): integer arithmetic, equal to the reference's in every value; four pixels a thread.

Bounded by memory: four bytes a pixel, so that 64 frames of 640x480 are 79 MB, 0.02 ms at an H200's 4.8 TB/s. Gray
images stay bytes on the device; the reference's float32 ones hold the same whole numbers. Nothing here has run on a GPU
yet.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.checks import check_gray
from auparity.accelerated.cupy.device import Device, shared_device
from auparity.accelerated.cupy.launch import check_device_array
from auparity.errors import ContractError
from auparity.reference.contracts import check_image
from auparity.reference.grayscale import GRAY_SHIFT, GRAY_WEIGHTS_BGR, STAGE

Array = npt.NDArray[Any]

THREADS, PIXELS = 256, 4  # of a block; of a thread


def to_gray(device: Device, images: Any) -> Any:
    """Images (S, H, W, 3) uint8 BGR to gray ones (S, H, W) uint8, on the device.

    Raises
    ------
    ContractError : another shape or dtype.
    """
    shape = check_device_array(STAGE, "images", images, ("S", "H", "W", 3), np.uint8)[:3]
    blue, green, red = GRAY_WEIGHTS_BGR
    kernel = device.kernel("grayscale", "to_gray", BLUE=blue, GREEN=green, RED=red, SHIFT=GRAY_SHIFT)
    gray = device.empty(shape, np.uint8)
    pixels = math.prod(shape)
    kernel((-(-pixels // (THREADS * PIXELS)),), (THREADS,), (images, np.int64(pixels), gray))
    return gray


def gray_bytes(stage: str, gray: Array) -> Array:
    """Gray images (N, H, W) float32, as stage `grayscale` makes them, as bytes.

    Raises
    ------
    ContractError : another shape or dtype, or values that are no whole grey levels.
    """
    check_gray(stage, gray)
    levels: Array = gray.astype(np.uint8)
    if not np.array_equal(levels, gray):
        raise ContractError(stage, "gray", "whole grey levels from 0 to 255", "other values")
    return levels


class Gray:
    """Stage `grayscale` with arrays on the host."""

    def __init__(self, device: Device) -> None:
        self._device = device

    def __call__(self, image: Array) -> Array:
        """(H, W) float32 gray, 0 to 255, of an image (H, W, 3) uint8 BGR."""
        check_image(STAGE, image)
        gray: Array = self._device.download(to_gray(self._device, self._device.upload(image[None])))[0]
        return gray.astype(np.float32)


def build(device: Device | None = None) -> Callable[[Array], Array]:
    """Stage `grayscale`, on the shared GPU where no device is given."""
    return Gray(device or shared_device())
