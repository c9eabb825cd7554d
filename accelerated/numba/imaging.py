"""Gray images and areas of interest (spec 00, 40.4, 90.2), bit for bit the reference's.

All areas of one scale share the rotation, so the column part of a sampling position is computed once, and an area that
lies inside the image is sampled without a test per pixel. Gray conversion is one pass from bytes to float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.numba.compile import kernel
from auparity.reference import imaging as golden
from auparity.reference.contracts import check_image

Array = npt.NDArray[Any]

BLUE, GREEN, RED = (np.int32(weight) for weight in golden.GRAY_WEIGHTS_BGR)
SHIFT, HALF = np.int32(golden.GRAY_SHIFT), np.int32(1 << (golden.GRAY_SHIFT - 1))
BITS, MASK = golden.SUBPIXEL_BITS, golden.SUBPIXELS - 1
TO_SUBPIXEL, AFFINE_ONE, AFFINE_ROUND = (
    golden.AFFINE_BITS - golden.SUBPIXEL_BITS,
    golden.AFFINE_ONE,
    golden.AFFINE_ROUND,
)
SUBPIXEL = np.float32(1 / golden.SUBPIXELS)


@kernel
def _to_gray(image: Array) -> Array:
    height, width = image.shape[0], image.shape[1]
    flat, out = image.reshape(-1), np.empty(height * width, np.float32)
    for i in range(height * width):  # one index, one stride: LLVM loads and takes apart whole vectors of pixels
        total = BLUE * np.int32(flat[3 * i]) + GREEN * np.int32(flat[3 * i + 1]) + RED * np.int32(flat[3 * i + 2])
        out[i] = np.float32((total + HALF) >> SHIFT)
    return out.reshape(height, width)


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


def to_gray(image: Array) -> Array:
    """(H, W) float32 gray, 0 to 255, of an image (H, W, 3) uint8 BGR (spec 00)."""
    check_image("imaging", image)
    gray: Array = _to_gray(np.ascontiguousarray(image))
    return gray


def build() -> Callable[[Array], Array]:
    """Stage `imaging`."""
    return to_gray
