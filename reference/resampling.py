"""Resampling of images: affine warp, remap and resize, as every stage that samples an image does it (spec 90.2, 90.3),
with the fixed-point arithmetic of OpenCV 3.x to 4.14. Images are (H, W) or (H, W, C), row-major, pixel centres at
integer coordinates; a batch has a leading axis N (images) or K (warps of one image). Sampling positions are whole
multiples of 1/32 px, and neighbours outside the image count as 0.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
#: float32 by default, float64 when a function's `dtype` asks for it.
Samples = npt.NDArray[Any]

STAGE = "resampling"

#: Sub-pixel positions are multiples of 1/32 px; affine increments are first rounded to 1/1024 px (spec 90.2).
SUBPIXEL_BITS = 5
SUBPIXELS = 1 << SUBPIXEL_BITS
AFFINE_BITS = 10
AFFINE_ONE = 1 << AFFINE_BITS
#: Half of a sub-pixel step in affine units, added before the shift so that it rounds.
AFFINE_ROUND = 1 << (AFFINE_BITS - SUBPIXEL_BITS - 1)


def _require(condition: bool, argument: str, expected: str, array: npt.NDArray[Any]) -> None:
    if not condition:
        raise ContractError(STAGE, argument, expected, f"{array.dtype} array of shape {array.shape}")


def _require_finite(argument: str, array: npt.NDArray[Any]) -> None:
    if not np.isfinite(array).all():
        raise ContractError(STAGE, argument, "finite values", f"{int((~np.isfinite(array)).sum())} NaN or infinite")


def invert_affine(matrix: npt.NDArray[Any]) -> F64:
    """The inverse of affine matrices, in the order of operations of spec 90.2.

    Parameters
    ----------
    matrix : (..., 2, 3), any float dtype; promoted to float64.

    Returns
    -------
    (..., 2, 3) float64. A singular matrix gives the all-zero linear part, as in OpenCV.
    """
    m = np.asarray(matrix, dtype=np.float64)
    _require(m.shape[-2:] == (2, 3), "matrix", "shape (..., 2, 3)", m)
    determinant = m[..., 0, 0] * m[..., 1, 1] - m[..., 0, 1] * m[..., 1, 0]
    reciprocal = np.divide(1.0, determinant, out=np.zeros_like(determinant), where=determinant != 0)
    a11, a22 = m[..., 1, 1] * reciprocal, m[..., 0, 0] * reciprocal
    a12, a21 = -m[..., 0, 1] * reciprocal, -m[..., 1, 0] * reciprocal
    b1 = -a11 * m[..., 0, 2] - a12 * m[..., 1, 2]
    b2 = -a21 * m[..., 0, 2] - a22 * m[..., 1, 2]
    return np.stack([np.stack([a11, a12, b1], -1), np.stack([a21, a22, b2], -1)], -2)


def _affine_positions(inverse: F64, size: tuple[int, int]) -> tuple[I64, I64]:
    """Sampling positions in 1/32 px, (K, h, w) each, of destination-to-source matrices (K, 2, 3) (spec 90.2)."""
    height, width = size
    columns, rows = np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64)

    def axis(i: int) -> I64:
        a, b, c = (inverse[:, i, j, None] for j in range(3))
        along_row = np.rint(a * columns * AFFINE_ONE).astype(np.int64)
        along_column = np.rint((b * rows + c) * AFFINE_ONE).astype(np.int64) + AFFINE_ROUND
        shifted: I64 = (along_column[:, :, None] + along_row[:, None, :]) >> (AFFINE_BITS - SUBPIXEL_BITS)
        return shifted

    return axis(0), axis(1)


def _neighbours(
    positions_x: I64, positions_y: I64, height: int, width: int
) -> tuple[list[I64], list[npt.NDArray[np.bool_]]]:
    """Flat indices of the four neighbours (00, 01, 10, 11 as row-column offsets) and whether each is in the image."""
    x0, y0 = positions_x >> SUBPIXEL_BITS, positions_y >> SUBPIXEL_BITS
    xs, ys = (x0, x0 + 1), (y0, y0 + 1)
    x_in = [(x >= 0) & (x < width) for x in xs]
    y_in = [(y >= 0) & (y < height) for y in ys]
    x_clipped = [np.clip(x, 0, width - 1) for x in xs]
    row_start = [np.clip(y, 0, height - 1) * width for y in ys]
    order = ((0, 0), (0, 1), (1, 0), (1, 1))
    return [row_start[r] + x_clipped[c] for r, c in order], [y_in[r] & x_in[c] for r, c in order]


def _sample_float(image: Samples, positions_x: I64, positions_y: I64) -> Samples:
    """Bilinear values of a single-channel float image at positions in 1/32 px; arithmetic in the image's dtype."""
    height, width = image.shape
    dtype = image.dtype
    table = np.arange(SUBPIXELS).astype(dtype) / dtype.type(SUBPIXELS)  # exact: multiples of 1/32
    fx, fy = table[positions_x & (SUBPIXELS - 1)], table[positions_y & (SUBPIXELS - 1)]
    one = dtype.type(1)
    gx, gy = one - fx, one - fy
    weights = (gy * gx, gy * fx, fy * gx, fy * fx)  # exact: multiples of 1/1024
    indices, inside = _neighbours(positions_x, positions_y, height, width)
    flat = image.reshape(-1)
    value = np.zeros(positions_x.shape, dtype)
    for index, is_inside, weight in zip(indices, inside, weights, strict=True):
        value += np.where(is_inside, flat[index], dtype.type(0)) * weight
    return value


def warp_affine_f32(
    image: npt.NDArray[Any],
    inverse_matrices: npt.NDArray[Any],
    size: tuple[int, int],
    dtype: type[np.float32] | type[np.float64] = np.float32,
) -> Samples:
    """K affine warps of one single-channel image: bilinear, constant border 0, 1/32 px positions (spec 90.2).

    Parameters
    ----------
    image : (H, W) float.
    inverse_matrices : (K, 2, 3) float32 or float64, from destination (column, row, 1) to source (x, y).
    size : (h, w) of the destination.
    dtype : precision of the interpolation; the sampling positions are the same in both.

    Returns
    -------
    (K, h, w) : ((p00 w00 + p01 w01) + p10 w10) + p11 w11. Of whole grey levels the sum is exact in any order, and equal
    to OpenCV's; of fractional ones OpenCV 4.14 sums in another order than 4.6 (one unit in the last place).
    """
    image = np.asarray(image)
    inverse = np.asarray(inverse_matrices, dtype=np.float64)
    _require(image.ndim == 2 and image.size > 0, "image", "non-empty (H, W)", image)
    _require(inverse.ndim == 3 and inverse.shape[1:] == (2, 3), "inverse_matrices", "shape (K, 2, 3)", inverse)
    _require_finite("inverse_matrices", inverse)
    return _sample_float(np.ascontiguousarray(image, dtype=dtype), *_affine_positions(inverse, size))


def warp_affine_u8(image: U8, matrix: npt.NDArray[Any], size: tuple[int, int]) -> U8:
    """Affine warp of an 8-bit image, with OpenCV's integer bilinear weights, constant border 0 (spec 90.2).

    Parameters
    ----------
    image : (H, W, C) uint8.
    matrix : (2, 3) float, *forward*, from source (x, y, 1) to destination; inverted here in float64.
    size : (h, w) of the destination.

    Returns
    -------
    (h, w, C) uint8.
    """
    image = np.asarray(image)
    _require(
        image.ndim == 3 and image.dtype == np.uint8 and image.size > 0, "image", "non-empty (H, W, C) uint8", image
    )
    _require_finite("matrix", np.asarray(matrix))
    positions_x, positions_y = (p[0] for p in _affine_positions(invert_affine(matrix)[None], size))
    return _sample_u8(image, positions_x, positions_y)


def _sample_u8(image: U8, positions_x: I64, positions_y: I64) -> U8:
    """Bilinear values of an 8-bit image (H, W, C) at positions in 1/32 px, by OpenCV's integer weights."""
    fx, fy = positions_x & (SUBPIXELS - 1), positions_y & (SUBPIXELS - 1)
    gx, gy = SUBPIXELS - fx, SUBPIXELS - fy
    weights = (gx * gy, fx * gy, gx * fy, fx * fy)  # their sum is 1024; OpenCV's are these times 32, out of 2**15
    height, width, channels = image.shape
    indices, inside = _neighbours(positions_x, positions_y, height, width)
    flat = image.reshape(-1, channels).astype(np.int64)
    total = np.zeros((*positions_x.shape, channels), dtype=np.int64)
    for index, is_inside, weight in zip(indices, inside, weights, strict=True):
        total += flat[index] * (weight * is_inside)[..., None]
    return ((total * SUBPIXELS + (1 << 14)) >> 15).astype(np.uint8)


def scale_and_shift_u8(image: U8, inverse: npt.NDArray[Any], size: tuple[int, int]) -> U8:
    """An 8-bit image enlarged and moved, as OpenCV's warpPerspective does it: border 0, positions to 1/32 px.

    Parameters
    ----------
    image : (H, W, C) uint8.
    inverse : (2, 2) from the destination to the source: factor and shift of x, factor and shift of y.
    size : (h, w) of the destination.

    Returns
    -------
    (h, w, C) uint8.
    """
    image, inverse = np.asarray(image), np.asarray(inverse, np.float64)
    _require(
        image.ndim == 3 and image.dtype == np.uint8 and image.size > 0, "image", "non-empty (H, W, C) uint8", image
    )
    _require(inverse.shape == (2, 2), "inverse", "shape (2, 2)", inverse)
    _require_finite("inverse", inverse)
    # Positions far outside the image are all the same: beyond what an integer holds, OpenCV takes the largest.
    limit = float(2**31 - 1)
    steps = (np.arange(length, dtype=np.float64) for length in size[::-1])
    x, y = (
        np.rint(np.clip((factor * step + shift) * SUBPIXELS, -limit, limit)).astype(np.int64)
        for (factor, shift), step in zip(inverse, steps, strict=True)
    )
    return _sample_u8(image, *np.broadcast_arrays(x[None, :], y[:, None]))


def remap_f32(
    image: npt.NDArray[Any],
    map_x: npt.NDArray[Any],
    map_y: npt.NDArray[Any],
    dtype: type[np.float32] | type[np.float64] = np.float32,
) -> Samples:
    """A single-channel image sampled at float positions, rounded to 1/32 px; bilinear, border 0 (spec 90.2).

    Parameters
    ----------
    image : (H, W) float. map_x, map_y : (...) positions in px, of one shape.
    dtype : precision of the interpolation.

    Returns
    -------
    Values in the shape of the maps.
    """
    image, map_x, map_y = np.asarray(image), np.asarray(map_x), np.asarray(map_y)
    _require(image.ndim == 2 and image.size > 0, "image", "non-empty (H, W)", image)
    _require(map_x.shape == map_y.shape, "map_y", f"the shape of map_x, {map_x.shape}", map_y)
    _require_finite("map_x", map_x)
    _require_finite("map_y", map_y)
    # times 32 is exact in float32, so the rounding is that of the position as given
    positions = [np.rint(m.astype(np.float64) * SUBPIXELS).astype(np.int64) for m in (map_x, map_y)]
    return _sample_float(np.ascontiguousarray(image, dtype=dtype), positions[0], positions[1])


def resize_positions(n_source: int, n_destination: int) -> F32:
    """Where every destination index is along one axis of the source: half-pixel centres (spec 90.3)."""
    scale = 1.0 / (n_destination / n_source)
    return ((np.arange(n_destination) + 0.5) * scale - 0.5).astype(np.float32)


def _resize_axis(n_source: int, n_destination: int) -> tuple[I64, F32]:
    """Left neighbour and fraction of every destination index along one axis (spec 90.3)."""
    position = resize_positions(n_source, n_destination)
    left = np.floor(position).astype(np.int64)
    fraction = position - left.astype(np.float32)
    outside = (left < 0) | (left >= n_source - 1)
    fraction[outside] = 0
    return np.clip(left, 0, n_source - 1), fraction


def resize_bilinear_f32(
    image: npt.NDArray[Any],
    size: tuple[int, int],
    dtype: type[np.float32] | type[np.float64] = np.float32,
) -> Samples:
    """Bilinear resize, columns first, then rows (spec 90.3).

    Parameters
    ----------
    image : (H, W) or (H, W, C) float.
    size : (h, w) of the result.
    dtype : precision of the interpolation; positions are float32 in both, as the specification has them.

    Returns
    -------
    (h, w) or (h, w, C).
    """
    image = np.asarray(image)
    _require(image.ndim in (2, 3) and image.size > 0, "image", "non-empty (H, W) or (H, W, C)", image)
    _require(min(size) > 0, "size", f"positive height and width, not {size}", image)
    result: Samples = np.asarray(image, dtype=dtype)
    if image.shape[:2] == (2 * size[0], 2 * size[1]):  # exactly 2:1 is switched to area averaging
        top_left, top_right = result[::2, ::2], result[::2, 1::2]
        bottom_left, bottom_right = result[1::2, ::2], result[1::2, 1::2]
        halved: Samples = (((top_left + top_right) + bottom_left) + bottom_right) * result.dtype.type(0.25)
        return halved
    one = result.dtype.type(1)
    axis: Literal[0, 1]
    for axis in (1, 0):
        left, fraction = _resize_axis(image.shape[axis], size[axis])
        right = np.minimum(left + 1, image.shape[axis] - 1)
        shape = [1] * result.ndim
        shape[axis] = size[axis]
        weight = fraction.astype(result.dtype).reshape(shape)
        result = np.take(result, left, axis) * (one - weight) + np.take(result, right, axis) * weight
    return result
