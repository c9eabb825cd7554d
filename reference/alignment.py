"""Face alignment (spec 60.2): the face of a frame turned, scaled and centred like the mean shape, cut out at 112x112 px
and masked to the triangulated landmarks. Images (N, H, W, 3) uint8 BGR, landmarks (N, 68, 2) px and the parameters of
spec 30.7 in; aligned faces (N, 112, 112, 3) uint8 out. A grey level in one pixel moves an AU by 1.5e-3 in the median
and by 0.05 at worst (spec 90.10), so the roundings of the C++ build are followed: it contracts a*b + c*d into a
fused multiply-add, in the translation and in the side tests of the mask.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError
from auparity.models.types import PDM, AUPredictors
from auparity.reference.contracts import check_array
from auparity.reference.numerics import FLOAT32, Numerics
from auparity.reference.resampling import warp_affine_u8
from auparity.reference.similarity import align_with_scale

Array = npt.NDArray[Any]
Bool = npt.NDArray[np.bool_]
U8 = npt.NDArray[np.uint8]

STAGE = "alignment"

SIZE = 112  # side of the aligned face, px
SCALE = 0.7  # px per mm of the mean shape
#: Landmarks that move little with expression: jaw sides, nose and eye corners and lids.
RIGID_POINTS = (1, 2, 3, 4, 12, 13, 14, 15, 27, 28, 29, 31, 32, 33, 34, 35, 36, 39, 40, 41, 42, 45, 46, 47)
#: The ends of the jaw line and the brows are lifted by this much, so that the mask keeps the forehead, px.
FOREHEAD_POINTS = (0, 16, *range(17, 27))
FOREHEAD_LIFT = 30 / 0.7  # mm
FOREHEAD_SHIFT = FOREHEAD_LIFT * SCALE


@dataclass(frozen=True)
class Crop:
    """What is cut out of a frame; the defaults are what the AU models look at, and nothing else influences AUs.

    Raises
    ------
    ContractError : the side or the scale is not positive.
    """

    size: int = SIZE  #: side of the aligned face, px
    scale: float = SCALE  #: px per mm of the mean shape
    masked: bool = True  #: pixels outside the triangulated landmarks are 0

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ContractError(STAGE, "crop.size", "at least 1 px", f"{self.size}")
        if not 0 < self.scale < float("inf"):
            raise ContractError(STAGE, "crop.scale", "a positive number of px per mm", f"{self.scale}")


AU_CROP = Crop()


def scale_for(size: int) -> float:
    """The scale at which an aligned face of another size shows as much of the face (spec 60.2), px per mm."""
    return SCALE if size == SIZE else size * SCALE / SIZE


#: The three side tests of a triangle: vertex, start and end of the edge opposite to it, and which of the two products
#: the C++ build keeps exact in the side of the pixel and in that of the vertex (0: neither). GCC's contraction is
#: not symmetric, so a pixel within rounding of an edge can belong to neither of the two triangles that share the edge:
#: pixel (70, 44) of frame 156 of video01 does, and that hole alone moves its AUs by 0.15.
SIDE_TESTS = ((0, 1, 2, 1, 1), (1, 0, 2, 1, 0), (2, 0, 1, 2, 0))


def _two_products(a: Array, b: Array, c: Array, d: Array, numerics: Numerics, fused: int) -> Array:
    """a*b + c*d, with product number `fused` (1 or 2, 0 for none) kept exact as a fused multiply-add does.

    float64 holds the product of two float32 numbers exactly. The perturbed numerics round both products.
    """
    a, b, c, d = (numerics.cast(v) for v in (a, b, c, d))
    if numerics.perturbed or numerics.dtype != np.float32:
        return numerics.cast(a * b + c * d)
    wide = [v.astype(np.float64) for v in (a, b, c, d)]
    first = wide[0] * wide[1] if fused == 1 else (a * b).astype(np.float64)
    second = wide[2] * wide[3] if fused == 2 else (c * d).astype(np.float64)
    return numerics.cast(first + second)


def alignment_matrix(
    landmarks: Array, params_global: Array, pdm: PDM, numerics: Numerics = FLOAT32, crop: Crop = AU_CROP
) -> Array:
    """The forward warp (2, 3) from the frame to the aligned face (spec 60.2).

    Parameters
    ----------
    landmarks : (68, 2) px. params_global : (6,) of the fit to these landmarks (spec 30.7).

    Returns
    -------
    (2, 3) in the working dtype : [A | size // 2 - A (tx, ty)], where size // 2 is 56 for the AUs; the origin of the
    shape model, not the centre of the landmarks, lands in the middle of the aligned face.
    """
    n = pdm.n_points
    mean_shape = numerics.cast(numerics.cast(pdm.mean) * numerics.cast(crop.scale))[: 2 * n].reshape(2, n).T
    rigid = list(RIGID_POINTS)
    dtype = np.float64 if numerics.dtype == np.float64 else np.float32
    linear = align_with_scale(numerics.cast(landmarks)[rigid], mean_shape[rigid], dtype=dtype)
    tx, ty = params_global[4], params_global[5]
    origin = _two_products(linear[:, 0], tx, linear[:, 1], ty, numerics, fused=2)
    return np.column_stack([linear, numerics.cast(crop.size // 2) - origin])


def mask_polygon(landmarks: Array, matrix: Array, numerics: Numerics = FLOAT32, scale: float = SCALE) -> Array:
    """The landmarks (68, 2) in the aligned face, px, with brows and jaw ends lifted to include the forehead."""
    moved = numerics.matmul_f64(numerics.cast(landmarks), np.ascontiguousarray(matrix[:, :2].T)) + matrix[:, 2]
    moved[list(FOREHEAD_POINTS), 1] -= numerics.cast(FOREHEAD_LIFT * scale)
    return numerics.cast(moved)


def _inside_triangles(vertices: Array, numerics: Numerics, size: int) -> Bool:
    """Whether each pixel of the aligned face passes the three side tests of each triangle (T, 3, 2): (T, size, size).

    For each vertex, pixel and vertex must lie on the same side of, or on, the line through the other two.
    """
    row, column = (numerics.cast(v) for v in np.ogrid[0:size, 0:size])
    inside = np.ones((len(vertices), size, size), dtype=bool)
    for vertex, start, end, fused_of_pixel, fused_of_vertex in SIDE_TESTS:
        x0, y0 = vertices[:, vertex, 0], vertices[:, vertex, 1]
        x2, y2 = vertices[:, start, 0], vertices[:, start, 1]
        dx, dy = vertices[:, end, 0] - x2, vertices[:, end, 1] - y2
        of_vertex = _two_products(dx, y0 - y2, x2 - x0, dy, numerics, fused_of_vertex)
        to_row = row - y2[:, None, None]
        to_column = x2[:, None, None] - column
        of_pixel = _two_products(dx[:, None, None], to_row, to_column, dy[:, None, None], numerics, fused_of_pixel)
        inside &= of_pixel * of_vertex[:, None, None] >= 0
    return inside


def _in_bounding_boxes(vertices: Array, size: int) -> Bool:
    """Whether each pixel lies in the bounding box, borders included, of each triangle (T, 3, 2): (T, size, size)."""
    pixel = np.arange(size)
    low, high = vertices.min(axis=1), vertices.max(axis=1)
    in_x, in_y = ((pixel >= low[:, k, None]) & (pixel <= high[:, k, None]) for k in (0, 1))
    inside: Bool = in_y[:, :, None] & in_x[:, None, :]
    return inside


def face_mask(
    polygon: Array, triangulation: npt.NDArray[np.int32], numerics: Numerics = FLOAT32, size: int = SIZE
) -> Bool:
    """Which pixels of the aligned face lie in a triangle of the landmarks (spec 60.2).

    Parameters
    ----------
    polygon : (68, 2) px, of `mask_polygon`.
    triangulation : (T, 3) landmark indices.
    size : side of the aligned face, px.

    Returns
    -------
    (size, size) bool.

    The C++ program walks the pixels in raster order and first asks the triangle of the pixel before, by its side tests
    alone; only then the list, each triangle behind its bounding box. That matters for a triangle without area, whose
    side tests all hold everywhere on its line or in the whole plane, and only then is the walk repeated here.
    """
    vertices = polygon[triangulation]
    first, outside_box = np.full((size, size), -1), False  # which triangle contains a pixel, by the order of the list
    for k in range(len(vertices)):  # one by one, or large pictures would need gigabytes
        passes = _inside_triangles(vertices[k : k + 1], numerics, size)[0]
        contains = passes & _in_bounding_boxes(vertices[k : k + 1], size)[0]
        outside_box |= bool((passes & ~contains).any())
        first[contains & (first < 0)] = k
    mask: Bool = first >= 0
    if not outside_box:
        return mask
    walked = _inside_triangles(vertices, numerics, size)
    current = -1
    for y, x in np.ndindex(size, size):
        if current < 0 or not walked[current, y, x]:
            current = int(first[y, x])
        mask[y, x] = current >= 0
    return mask


def align_faces(
    images: U8,
    landmarks: Array,
    params_global: Array,
    pdm: PDM,
    triangulation: npt.NDArray[np.int32],
    numerics: Numerics = FLOAT32,
    crop: Crop = AU_CROP,
) -> U8:
    """Aligned faces, one for each frame (spec 60.2).

    Parameters
    ----------
    images : (N, H, W, 3) uint8 BGR.
    landmarks : (N, 68, 2) px. params_global : (N, 6), the fit of `pdm` to these landmarks (spec 30.7).
    pdm, triangulation : of the AU predictors; triangulation (T, 3).
    numerics : working precision of the warp matrix and the mask.
    crop : side, scale and mask; the AU models' own unless given.

    Returns
    -------
    (N, size, size, 3) uint8 BGR, 0 outside the mask; (N, 112, 112, 3) for the AUs.

    Raises
    ------
    ContractError : arrays of other shapes or types, values that are not finite.
    """
    check_array(STAGE, "images", images, ("N", "H", "W", 3), np.uint8)
    check_array(STAGE, "landmarks", landmarks, (len(images), pdm.n_points, 2))
    check_array(STAGE, "params_global", params_global, (len(images), 6))
    check_array(STAGE, "triangulation", triangulation, ("T", 3))
    if triangulation.min() < 0 or triangulation.max() >= pdm.n_points:
        raise ContractError(
            STAGE, "triangulation", f"landmark indices 0 to {pdm.n_points - 1}", f"up to {triangulation.max()}"
        )
    aligned = np.zeros((len(images), crop.size, crop.size, 3), np.uint8)
    for k, image in enumerate(images):
        matrix = alignment_matrix(landmarks[k], params_global[k], pdm, numerics, crop)
        aligned[k] = warp_affine_u8(image, matrix, (crop.size, crop.size))
        if crop.masked:
            polygon = mask_polygon(landmarks[k], matrix, numerics, crop.scale)
            aligned[k] *= face_mask(polygon, triangulation, numerics, crop.size)[:, :, None]
    return aligned


#: What is built: images (N, H, W, 3), landmarks (N, 68, 2), parameters (N, 6) to aligned faces (N, 112, 112, 3) uint8.
Aligner = Callable[[Array, Array, Array], Array]


def build(predictors: AUPredictors, *, numerics: Numerics = FLOAT32) -> Aligner:
    """Stage `alignment`."""
    return lambda images, landmarks, params_global: align_faces(
        images, landmarks, params_global, predictors.pdm, predictors.triangulation, numerics
    )
