"""Areas of interest, sampled from gray images (spec 40.4, 90.2), bit for bit the reference's.

All areas of one scale share the rotation, so the column part of a sampling position is computed once, and an area that
lies inside the image is sampled without a test per pixel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.numba.compile import kernel
from auparity.reference import resampling as reference

Array = npt.NDArray[Any]

BITS, MASK = reference.SUBPIXEL_BITS, reference.SUBPIXELS - 1
TO_SUBPIXEL, AFFINE_ONE, AFFINE_ROUND = (
    reference.AFFINE_BITS - reference.SUBPIXEL_BITS,
    reference.AFFINE_ONE,
    reference.AFFINE_ROUND,
)
SUBPIXEL = np.float32(1 / reference.SUBPIXELS)


@kernel
def sample(gray: Array, x: int, y: int) -> np.float32:
    """A gray image (H, W) float32 at a position in 1/32 px; 0 outside (spec 90.2)."""
    height, width = gray.shape
    column, row = x >> BITS, y >> BITS
    fx, fy = np.float32(x & MASK) * SUBPIXEL, np.float32(y & MASK) * SUBPIXEL
    gx, gy = np.float32(1) - fx, np.float32(1) - fy
    value = np.float32(0)
    if 0 <= row < height:
        if 0 <= column < width:
            value += gray[row, column] * (gy * gx)
        if 0 <= column + 1 < width:
            value += gray[row, column + 1] * (gy * fx)
    if 0 <= row + 1 < height:
        if 0 <= column < width:
            value += gray[row + 1, column] * (fy * gx)
        if 0 <= column + 1 < width:
            value += gray[row + 1, column + 1] * (fy * fx)
    return value


@kernel
def areas_of_interest(gray: Array, landmarks: Array, chosen: Array, ref_to_img: Array, side: int, out: Array) -> None:
    """Areas (K, >= side * side) float32 around the landmarks (2, n) px in `chosen` (K,), upright (spec 40.4)."""
    height, width = gray.shape
    flat = gray.reshape(-1)
    a, b = ref_to_img[0, 0], -ref_to_img[0, 1]
    half = np.float32((side - 1) / 2)
    wide_a, wide_b = np.float64(a), np.float64(b)
    across_x, across_y = np.empty(side, np.int64), np.empty(side, np.int64)
    for column in range(side):
        across_x[column] = np.int64(np.rint(wide_a * column * AFFINE_ONE))
        across_y[column] = np.int64(np.rint(wide_b * column * AFFINE_ONE))
    for k in range(chosen.shape[0]):
        x, y = landmarks[0, chosen[k]], landmarks[1, chosen[k]]
        # In this order and precision: any other moves several percent of the maps to a neighbouring 1/32 px cell.
        tx, ty = np.float64((x - a * half) + b * half), np.float64((y - a * half) - b * half)
        inside = True
        for corner in range(4):
            row = (corner >> 1) * (side - 1)
            column = (corner & 1) * (side - 1)
            at_x = (np.int64(np.rint((-wide_b * row + tx) * AFFINE_ONE)) + AFFINE_ROUND + across_x[column]) >> 10
            at_y = (np.int64(np.rint((wide_a * row + ty) * AFFINE_ONE)) + AFFINE_ROUND + across_y[column]) >> 10
            # A px of slack: rounding may move the edges between the corners by 1/32 px.
            inside &= 1 <= at_x < width - 2 and 1 <= at_y < height - 2
        at = 0
        for row in range(side):
            down_x = np.int64(np.rint((-wide_b * row + tx) * AFFINE_ONE)) + AFFINE_ROUND
            down_y = np.int64(np.rint((wide_a * row + ty) * AFFINE_ONE)) + AFFINE_ROUND
            if inside:
                for column in range(side):
                    px, py = (down_x + across_x[column]) >> TO_SUBPIXEL, (down_y + across_y[column]) >> TO_SUBPIXEL
                    c, r = px >> BITS, py >> BITS
                    fx, fy = np.float32(px & MASK) * SUBPIXEL, np.float32(py & MASK) * SUBPIXEL
                    gx, gy = np.float32(1) - fx, np.float32(1) - fy
                    p = r * width + c
                    value = flat[p] * (gy * gx) + flat[p + 1] * (gy * fx)
                    out[k, at + column] = (value + flat[p + width] * (fy * gx)) + flat[p + width + 1] * (fy * fx)
            else:
                for column in range(side):
                    px, py = (down_x + across_x[column]) >> TO_SUBPIXEL, (down_y + across_y[column]) >> TO_SUBPIXEL
                    out[k, at + column] = sample(gray, px, py)
            at += side
