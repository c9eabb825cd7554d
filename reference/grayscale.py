"""Stage `grayscale`: gray images from B,G,R ones, weighted in fixed point as OpenCV does (ITU-R BT.601 luma; spec 00).

Images (N, H, W, 3) uint8 in, (N, H, W) uint8 out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError
from auparity.reference.numerics import FLOAT32, Numerics

U8 = npt.NDArray[np.uint8]
Array = npt.NDArray[Any]

STAGE = "grayscale"

#: Weights of B, G, R in units of 2**-15, and the rounding term (spec 00).
GRAY_WEIGHTS_BGR = (3735, 19235, 9798)
GRAY_SHIFT = 15


def to_gray(images: U8) -> U8:
    """Gray images from B,G,R ones (spec 00).

    Parameters
    ----------
    images : (N, H, W, 3) uint8.

    Returns
    -------
    (N, H, W) uint8 : (3735 B + 19235 G + 9798 R + 16384) >> 15.
    """
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
        found = f"{images.dtype} array of shape {images.shape}"
        raise ContractError(STAGE, "images", "(N, H, W, 3) uint8", found)
    wide = images.astype(np.int32)
    weighted = sum(w * wide[..., c] for c, w in enumerate(GRAY_WEIGHTS_BGR)) + (1 << (GRAY_SHIFT - 1))
    return (np.asarray(weighted) >> GRAY_SHIFT).astype(np.uint8)


#: What is built: (H, W, 3) uint8 BGR to (H, W) gray in the working dtype, 0 to 255.
ToGray = Callable[[Array], Array]


def build(*, numerics: Numerics = FLOAT32) -> ToGray:
    """Stage `grayscale`."""

    def gray(image: Array) -> Array:
        return to_gray(image[None])[0].astype(numerics.dtype)

    return gray
