"""Gray images in one pass from bytes to float32 (spec 00), bit for bit the reference's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.numba.compile import kernel
from auparity.reference import grayscale as reference
from auparity.reference.contracts import check_image

Array = npt.NDArray[Any]

BLUE, GREEN, RED = (np.int32(weight) for weight in reference.GRAY_WEIGHTS_BGR)
SHIFT, HALF = np.int32(reference.GRAY_SHIFT), np.int32(1 << (reference.GRAY_SHIFT - 1))


@kernel
def _to_gray(image: Array) -> Array:
    height, width = image.shape[0], image.shape[1]
    flat, out = image.reshape(-1), np.empty(height * width, np.float32)
    for i in range(height * width):  # one index, one stride: LLVM loads and takes apart whole vectors of pixels
        total = BLUE * np.int32(flat[3 * i]) + GREEN * np.int32(flat[3 * i + 1]) + RED * np.int32(flat[3 * i + 2])
        out[i] = np.float32((total + HALF) >> SHIFT)
    return out.reshape(height, width)


def to_gray(image: Array) -> Array:
    """(H, W) float32 gray, 0 to 255, of an image (H, W, 3) uint8 BGR (spec 00)."""
    check_image("grayscale", image)
    gray: Array = _to_gray(np.ascontiguousarray(image))
    return gray


def build() -> Callable[[Array], Array]:
    """Stage `grayscale`."""
    return to_gray
