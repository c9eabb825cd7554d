"""Bilinear resize of 8-bit images with the bits of OpenCV 3.x to 4.14, for the crops that networks see."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError
from auparity.reference.contracts import check_array
from auparity.reference.resampling import resize_positions

U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]

STAGE = "resampling"

#: Bits of the weights with which 8-bit images are resized, and of what is dropped after each axis.
RESIZE_BITS = 11


def resize_bilinear_u8(image: U8, size: tuple[int, int]) -> U8:
    """Bilinear resize of an 8-bit image, without antialiasing, in OpenCV's integers: weights of 1/2048.

    Columns are exact; of rows, values lose four bits before and sixteen after they are multiplied, and two more when
    they are added, as in OpenCV's vector code. A reduction to exactly one half is a mean of four.

    Parameters
    ----------
    image : (H, W, C) uint8. size : (h, w) of the result.

    Returns
    -------
    (h, w, C) uint8.
    """
    check_array(STAGE, "image", image, ("H", "W", "C"), np.uint8)
    if min(size) < 1:
        raise ContractError(STAGE, "size", "a positive height and width", str(size))
    if image.shape[:2] == tuple(size):
        return image.copy()
    if image.shape[:2] == (2 * size[0], 2 * size[1]):
        four = image.reshape(size[0], 2, size[1], 2, image.shape[2]).astype(np.int64)
        return ((four[:, 0, :, 0] + four[:, 0, :, 1] + four[:, 1, :, 0] + four[:, 1, :, 1] + 2) >> 2).astype(np.uint8)
    (left, right), (top, below) = (_resize_weights(image.shape[axis], size[axis], axis) for axis in (1, 0))

    def of_rows(rows: I64, weights: I64) -> I64:
        taken = np.take(image, rows, 0)
        across = sum(np.take(taken, index, 1) * weight[:, None] for index, weight in (left, right))
        return ((across >> 4) * weights[:, None, None]) >> 16

    above, under = of_rows(*top), of_rows(*below)
    return ((above + under + 2) >> 2).astype(np.uint8)


def _resize_weights(n_source: int, n_destination: int, axis: int) -> tuple[tuple[I64, I64], tuple[I64, I64]]:
    """The two neighbours of every destination index along one axis, each with its weight in 1/2048.

    At the border a column has one neighbour with the whole weight, a row has the same neighbour twice.
    """
    position = resize_positions(n_source, n_destination)
    first = np.floor(position).astype(np.int64)
    left, right = (np.clip(first + step, 0, n_source - 1) for step in (0, 1))
    fraction = position - np.floor(position)
    if axis == 1:
        fraction[(first < 0) | (first >= n_source - 1)] = 0
    one, scale = np.float32(1), np.float32(1 << RESIZE_BITS)
    weights = [np.rint(part * scale).astype(np.int64) for part in (one - fraction, fraction)]
    return (left, weights[0]), (right, weights[1])
