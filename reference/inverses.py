"""Inverses of symmetric positive definite matrices, many of one size at once, with the same bits on every machine.

The fields of CCNF experts need about 750 of them before the first frame (spec 40.8). Each belongs to a grid of w x w
pixels and does not change when the grid is mirrored, left to right or top to bottom. So it maps even images to even
ones and odd images to odd ones, and falls apart into four matrices of a quarter of its size, whose inverses take a
sixteenth of the operations. They are inverted by Gauss-Jordan elimination without pivots ("sweeps"; stable for these
matrices) in element-by-element operations, as many together as fit a processor's caches. That takes about as long as
a call of LAPACK on one thread for each (0.3 ms for w = 9), whose bits depend on the BLAS kernel, and whose threads wait
for each other on a busy machine.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]

#: Numbers that are worked on at once.
AT_ONCE = 1 << 16


def inverse_spd(matrices: Array) -> F64:
    """Inverses (K, n, n) float64 of symmetric positive definite matrices (K, n, n).

    Raises
    ------
    ContractError : a matrix is not positive definite, or not finite.
    """
    count, size = matrices.shape[:2]
    together = max(AT_ONCE // max(size * size, 1), 1)
    inverses = np.empty((count, size, size))
    for start in range(0, count, together):
        part = slice(start, start + together)
        # The matrices' index last: then it is what runs in the innermost loops.
        inverses[part] = _swept(np.array(matrices[part].transpose(1, 2, 0), np.float64, order="C")).transpose(2, 0, 1)
    return inverses


def _swept(a: F64) -> F64:
    """Inverses of (n, n, K), which are overwritten: swept by every row and column, a matrix is minus its inverse."""
    outer = np.empty_like(a)
    for k in range(len(a)):
        pivot = a[k, k].copy()
        if not (pivot > 0).all():
            raise ContractError("inverses", "matrices", "positive definite matrices", f"a pivot of {pivot.min():.3g}")
        root = np.sqrt(pivot)
        scaled = a[k] / root
        np.multiply(scaled[:, None], scaled, out=outer)
        a -= outer
        a[k] = a[:, k] = scaled / root
        a[k, k] = -1 / pivot
    return np.negative(a, out=a)


def keeps_mirror_images(matrix: Array, width: int) -> bool:
    """Whether a matrix (w*w, w*w) over the pixels of a w x w grid is the same on the mirrored grid, in both ways."""
    grid = matrix.reshape(4 * (width,))
    return np.array_equal(grid, grid[:, ::-1, :, ::-1]) and np.array_equal(grid, grid[::-1, :, ::-1, :])


def inverse_of_mirrored(matrices: Array, width: int) -> F64:
    """`inverse_spd` of matrices (K, w*w, w*w) that keep mirror images; w odd.

    Rows and columns of what follows are the pixels from the centre on. A matrix over even images takes the sum of a
    pixel and its mirror image for one number, one over odd images the difference.
    """
    count, half = len(matrices), width // 2
    grids = matrices.reshape(count, *4 * (width,))[:, half:, half:].astype(np.float64)
    inverse = np.zeros((count, half + 1, half + 1, width, width))
    for odd_y, odd_x in product((False, True) if half else (False,), repeat=2):
        sector = _folded(_folded(grids[:, odd_y:, odd_x:], 3, odd_y), 4, odd_x)
        rows, columns = sector.shape[1:3]
        # How often the row's pixel is met in the grid: with it the matrix is symmetric.
        times = np.outer(_multiplicity(rows, odd_y), _multiplicity(columns, odd_x))
        symmetric = (sector * times[:, :, None, None]).reshape(count, rows * columns, rows * columns)
        inverse_sector = inverse_spd(symmetric).reshape(count, *2 * (rows, columns))
        inverse[:, odd_y:, odd_x:] += _unfolded(_unfolded(inverse_sector, 3, odd_y), 4, odd_x)
    return _all_rows(inverse).reshape(count, width * width, width * width)


def _folded(values: F64, axis: int, odd: bool) -> F64:
    """Entries along an axis of 2 h + 1 with their mirror images added (h + 1), or taken off (h)."""
    values = np.moveaxis(values, axis, -1)
    half = values.shape[-1] // 2
    ahead, behind = values[..., half + 1 :], values[..., :half][..., ::-1]
    folded = ahead - behind if odd else np.concatenate([values[..., half : half + 1], ahead + behind], axis=-1)
    return np.moveaxis(folded, -1, axis)


def _multiplicity(count: int, odd: bool) -> F64:
    times = np.full(count, 2.0)
    times[: 0 if odd else 1] = 1.0  # the centre is its own mirror image
    return times


def _unfolded(values: F64, axis: int, odd: bool) -> F64:
    """The even or odd entries along an axis of 2 h + 1 with these from the centre on, or from the next one on."""
    values = np.moveaxis(values, axis, -1)
    if odd:
        parts = [-values[..., ::-1], np.zeros_like(values[..., :1]), values]
    else:
        parts = [values[..., :0:-1], values]
    return np.moveaxis(np.concatenate(parts, axis=-1), -1, axis)


def _all_rows(inverse: F64) -> F64:
    """The rows of the whole grid (K, w, w, w, w) from those of a quarter (K, h + 1, h + 1, w, w)."""
    inverse = np.concatenate([inverse[:, :, :0:-1, :, ::-1], inverse], axis=2)
    return np.concatenate([inverse[:, :0:-1, :, ::-1], inverse], axis=1)
