"""Face alignment (spec 60.2): images (N, H, W, 3) uint8, landmarks (N, 68, 2) and parameters (N, 6) to aligned faces
(N, 112, 112, 3) uint8, equal to the reference's in every value.

Triangles are filled one by one inside their bounding boxes, sixteen pixels at a time (triangle_tile.py), where the
reference asks every pixel of every triangle, and only pixels inside the mask are warped. Triangles (nearly) without
area, and pixels that pass a triangle's side tests just outside its box, make the C++ program's walk over the
pixels matter; such a face, and only such, is walked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.checks import check_small
from auparity.accelerated.numba.compile import kernel
from auparity.accelerated.numba.fused import fma
from auparity.accelerated.numba.resampling import AFFINE_ONE, AFFINE_ROUND, BITS, MASK, TO_SUBPIXEL
from auparity.accelerated.numba.similarity import align_with_scale
from auparity.accelerated.numba.triangle_tile import EDGE, PIXELS, triangle_tile
from auparity.errors import ContractError
from auparity.models.types import AUPredictors
from auparity.reference import alignment as reference

Array = npt.NDArray[Any]

STAGE, SIZE = reference.STAGE, reference.SIZE
RIGID = np.array(reference.RIGID_POINTS, np.int64)
FOREHEAD = np.array(reference.FOREHEAD_POINTS, np.int64)
FOREHEAD_SHIFT = np.float32(reference.FOREHEAD_SHIFT)
#: Twice the area, px^2, below which rounding decides a triangle's side tests, so that the face is walked.
SLIVER = np.float32(0.05)


@kernel
def _matrix(landmarks: Array, params_global: Array, mean_shape: Array, rigid: Array) -> tuple[Array, bool]:
    """The warp (2, 3) float32 and whether there is one; `mean_shape` (2, rigid points) px, `landmarks` (n, 2)."""
    source = np.empty((2, rigid.shape[0]), np.float32)
    for i in range(rigid.shape[0]):
        source[0, i], source[1, i] = landmarks[rigid[i], 0], landmarks[rigid[i], 1]
    linear, good = align_with_scale(source, mean_shape.copy())
    out = np.empty((2, 3), np.float32)
    for k in range(2):
        out[k, 0], out[k, 1] = linear[k, 0], linear[k, 1]
        out[k, 2] = np.float32(SIZE // 2) - fma(linear[k, 1], params_global[5], linear[k, 0] * params_global[4])
    return out, good


@kernel
def _polygon(landmarks: Array, matrix: Array, forehead: Array) -> Array:
    """The landmarks (n, 2) in the aligned face, with brows and jaw ends lifted to include the forehead."""
    out = np.empty((landmarks.shape[0], 2), np.float32)
    for i in range(landmarks.shape[0]):
        x, y = np.float64(landmarks[i, 0]), np.float64(landmarks[i, 1])
        for k in range(2):
            out[i, k] = np.float32(x * np.float64(matrix[k, 0]) + y * np.float64(matrix[k, 1])) + matrix[k, 2]
    for i in range(forehead.shape[0]):
        out[forehead[i], 1] -= FOREHEAD_SHIFT
    return out


@kernel
def _fill(polygon: Array, triangulation: Array, mask: Array) -> bool:
    """Set the pixels of all triangles in mask (112, 112 + 16) uint8; False where the order of the walk decides."""
    mask[:] = 0
    edge = np.empty(EDGE, np.float32)
    for t in range(triangulation.shape[0]):
        ax, ay = polygon[triangulation[t, 0], 0], polygon[triangulation[t, 0], 1]
        bx, by = polygon[triangulation[t, 1], 0], polygon[triangulation[t, 1], 1]
        cx, cy = polygon[triangulation[t, 2], 0], polygon[triangulation[t, 2], 1]
        if not abs((bx - ax) * (cy - ay) - (cx - ax) * (by - ay)) > SLIVER:
            return False
        low_x, high_x = min(ax, min(bx, cx)), max(ax, max(bx, cx))
        low_y, high_y = min(ay, min(by, cy)), max(ay, max(by, cy))
        # A border of one pixel is asked as well, only to see that nothing there passes.
        x0, x1 = math.floor(max(low_x, np.float32(-2))) - 1, math.ceil(min(high_x, np.float32(SIZE + 2))) + 1
        y0, y1 = math.floor(max(low_y, np.float32(-2))) - 1, math.ceil(min(high_y, np.float32(SIZE + 2))) + 1
        # The three side tests of reference/alignment.SIDE_TESTS: opposite edge, and which product stays exact.
        edge[0], edge[1], edge[2], edge[3] = ax, bx, low_x, high_x
        edge[4], edge[5] = cx - bx, cy - by
        edge[6], edge[7] = cx - ax, cy - ay
        dx_c, dy_c = bx - ax, by - ay
        edge[8] = dy_c
        edge[9] = fma(edge[4], ay - by, (bx - ax) * edge[5])
        edge[10] = edge[6] * (by - ay) + (ax - bx) * edge[7]
        edge[11] = dx_c * (cy - ay) + (ax - cx) * dy_c
        edge[12] = np.float32(min(x1, SIZE - 1))
        for row in range(max(y0, 0), min(y1, SIZE - 1) + 1):
            y = np.float32(row)
            edge[13], edge[14], edge[15] = y - by, y - ay, dx_c * (y - ay)
            in_y = low_y <= y <= high_y
            for column in range(max(x0, 0), min(x1, SIZE - 1) + 1, PIXELS):
                if triangle_tile(edge, in_y, column, mask, row * mask.shape[1] + column):
                    return False
    return True


@kernel
def _passes(polygon: Array, triangle: Array, x: np.float32, y: np.float32) -> bool:
    """The three side tests of reference/alignment.SIDE_TESTS for one pixel and one triangle (3,) of landmarks."""
    ax, ay = polygon[triangle[0], 0], polygon[triangle[0], 1]
    bx, by = polygon[triangle[1], 0], polygon[triangle[1], 1]
    cx, cy = polygon[triangle[2], 0], polygon[triangle[2], 1]
    dx, dy = cx - bx, cy - by
    if not fma(dx, y - by, (bx - x) * dy) * fma(dx, ay - by, (bx - ax) * dy) >= 0:
        return False
    dx, dy = cx - ax, cy - ay
    if not fma(dx, y - ay, (ax - x) * dy) * (dx * (by - ay) + (ax - bx) * dy) >= 0:
        return False
    dx, dy = bx - ax, by - ay
    return fma(ax - x, dy, dx * (y - ay)) * (dx * (cy - ay) + (ax - cx) * dy) >= 0


@kernel
def _walk(polygon: Array, triangulation: Array, mask: Array) -> None:
    """The mask as the C++ program finds it: first the triangle of the pixel before, then the list (spec 60.2)."""
    current = -1
    for row in range(SIZE):
        y = np.float32(row)
        for column in range(SIZE):
            x = np.float32(column)
            if current < 0 or not _passes(polygon, triangulation[current], x, y):
                current = -1
                for t in range(triangulation.shape[0]):
                    i, j, k = triangulation[t, 0], triangulation[t, 1], triangulation[t, 2]
                    low_x = min(polygon[i, 0], min(polygon[j, 0], polygon[k, 0]))
                    high_x = max(polygon[i, 0], max(polygon[j, 0], polygon[k, 0]))
                    low_y = min(polygon[i, 1], min(polygon[j, 1], polygon[k, 1]))
                    high_y = max(polygon[i, 1], max(polygon[j, 1], polygon[k, 1]))
                    in_box = low_x <= x <= high_x and low_y <= y <= high_y
                    if in_box and _passes(polygon, triangulation[t], x, y):
                        current = t
                        break
            mask[row, column] = 1 if current >= 0 else 0


@kernel
def _warp(image: Array, matrix: Array, mask: Array, out: Array) -> None:
    """The masked pixels of the affine warp of an 8-bit image, OpenCV's integer bilinear weights (spec 90.2)."""
    height, width = image.shape[0], image.shape[1]
    m00, m01, m02 = np.float64(matrix[0, 0]), np.float64(matrix[0, 1]), np.float64(matrix[0, 2])
    m10, m11, m12 = np.float64(matrix[1, 0]), np.float64(matrix[1, 1]), np.float64(matrix[1, 2])
    determinant = m00 * m11 - m01 * m10
    reciprocal = 1.0 / determinant if determinant != 0 else 0.0
    a11, a22, a12, a21 = m11 * reciprocal, m00 * reciprocal, -m01 * reciprocal, -m10 * reciprocal
    b1, b2 = -a11 * m02 - a12 * m12, -a21 * m02 - a22 * m12
    across_x, across_y = np.empty(SIZE, np.int64), np.empty(SIZE, np.int64)
    for column in range(SIZE):
        across_x[column] = np.int64(np.rint(a11 * column * AFFINE_ONE))
        across_y[column] = np.int64(np.rint(a21 * column * AFFINE_ONE))
    for row in range(SIZE):
        down_x = np.int64(np.rint((a12 * row + b1) * AFFINE_ONE)) + AFFINE_ROUND
        down_y = np.int64(np.rint((a22 * row + b2) * AFFINE_ONE)) + AFFINE_ROUND
        for column in range(SIZE):
            if not mask[row, column]:
                out[row, column, 0] = out[row, column, 1] = out[row, column, 2] = 0
                continue
            px, py = (down_x + across_x[column]) >> TO_SUBPIXEL, (down_y + across_y[column]) >> TO_SUBPIXEL
            x, y = px >> BITS, py >> BITS
            fx, fy = px & MASK, py & MASK
            gx, gy = (MASK + 1) - fx, (MASK + 1) - fy
            if 0 <= x < width - 1 and 0 <= y < height - 1:
                w00, w01, w10, w11 = gx * gy, fx * gy, gx * fy, fx * fy
                for c in range(3):
                    total = np.int64(image[y, x, c]) * w00 + np.int64(image[y, x + 1, c]) * w01
                    total += np.int64(image[y + 1, x, c]) * w10 + np.int64(image[y + 1, x + 1, c]) * w11
                    out[row, column, c] = np.uint8((total * (MASK + 1) + (1 << 14)) >> 15)
                continue
            left, right = 0 <= x < width, 0 <= x + 1 < width
            top, bottom = 0 <= y < height, 0 <= y + 1 < height
            for c in range(3):
                total = np.int64(0)
                if top and left:
                    total += np.int64(image[y, x, c]) * (gx * gy)
                if top and right:
                    total += np.int64(image[y, x + 1, c]) * (fx * gy)
                if bottom and left:
                    total += np.int64(image[y + 1, x, c]) * (gx * fy)
                if bottom and right:
                    total += np.int64(image[y + 1, x + 1, c]) * (fx * fy)
                out[row, column, c] = np.uint8((total * (MASK + 1) + (1 << 14)) >> 15)


class Aligner:
    """Stage `alignment` of one set of AU predictors."""

    def __init__(self, predictors: AUPredictors) -> None:
        pdm, self._triangles = predictors.pdm, np.ascontiguousarray(predictors.triangulation, np.int64)
        if self._triangles.min() < 0 or self._triangles.max() >= pdm.n_points:
            expected = f"landmark indices 0 to {pdm.n_points - 1}"
            raise ContractError(STAGE, "triangulation", expected, f"up to {self._triangles.max()}")
        self._n_points = pdm.n_points
        mean = np.asarray(pdm.mean, np.float32).reshape(3, -1)[:2] * np.float32(reference.SCALE)
        self._mean_shape = np.ascontiguousarray(mean[:, RIGID])  # (2, rigid points)

    def __call__(self, images: Array, landmarks: Array, params_global: Array) -> Array:
        """Masked aligned faces (N, 112, 112, 3) uint8 BGR, 0 outside the mask; arguments, errors as the reference."""
        if not (
            isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.ndim == 4 and images.shape[3] == 3
        ):
            got = f"shape {getattr(images, 'shape', None)}, dtype {getattr(images, 'dtype', None)}"
            raise ContractError(STAGE, "images", "shape (N, H, W, 3), dtype uint8", got)
        count = len(images)
        check_small(STAGE, "landmarks", landmarks, (count, self._n_points, 2), landmarks.dtype)
        check_small(STAGE, "params_global", params_global, (count, 6), params_global.dtype)
        aligned, mask = np.empty((count, SIZE, SIZE, 3), np.uint8), np.empty((SIZE, SIZE + PIXELS), np.uint8)
        for k in range(count):
            points = np.ascontiguousarray(landmarks[k], np.float32)
            matrix, good = _matrix(points, np.asarray(params_global[k], np.float32), self._mean_shape, RIGID)
            if not good:
                raise ContractError(STAGE, "landmarks", "at least two different points", "points that all coincide")
            polygon = _polygon(points, matrix, FOREHEAD)
            if not _fill(polygon, self._triangles, mask):
                _walk(polygon, self._triangles, mask)
            _warp(np.ascontiguousarray(images[k]), matrix, mask, aligned[k])
        return aligned


def build(predictors: AUPredictors) -> Callable[[Array, Array, Array], Array]:
    """Stage `alignment`."""
    return Aligner(predictors)
