"""FHOG: Felzenszwalb's histograms of oriented gradients (PAMI 2010, section 6.3.1) as dlib 19.13 computes them
(spec 60.3), with cells of 8 px. Aligned faces (N, H, W, 3) uint8 BGR in, descriptors (N, F) float32 out; 112x112 px
give 14x14 cells, of which the inner 12x12 are kept with 31 features each, F = 4464, in the order row, column, feature.
Of the reference descriptors all but 0.2 % of the values come out bit for bit, the rest within 6e-8.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError
from auparity.reference.contracts import check_array
from auparity.reference.numerics import FLOAT32, Numerics

Array = npt.NDArray[Any]
U8 = npt.NDArray[np.uint8]

STAGE = "fhog"

CELL = 8  # px
ORIENTATIONS = 9  # contrast-insensitive; 18 with the sign of the gradient
FEATURES = 31  # a cell: 18 signed, 9 unsigned, 4 texture
#: Unit vectors of the nine orientations, 20 degrees apart, with the four decimals that dlib has.
DIRECTIONS = (
    (1.0, 0.0), (0.9397, 0.3420), (0.7660, 0.6428), (0.5, 0.8660), (0.1736, 0.9848),
    (-0.1736, 0.9848), (-0.5, 0.8660), (-0.7660, 0.6428), (-0.9397, 0.3420),
)  # fmt: skip
#: Histogram entries are truncated at this fraction of the energy of a block of cells.
TRUNCATION = 0.2
#: Added to the energy of a block, so that flat blocks do not divide by zero.
ENERGY_FLOOR = 0.0001
#: Half of each truncated entry goes into the sum over the four blocks, divided by the truncation that is in nn.
HALF_TRUNCATION = 0.1
TEXTURE_GAIN = 2 * 0.2357
#: dlib works on this many columns at a time while as many are left, and one by one after that.
LANES = 8


def _cell_count(pixels: int) -> int:
    return int(pixels / CELL + 0.5)


def _vector_columns(width: int) -> int:
    """How many columns, from column 1 on, dlib handles in its vector loop (spec 60.3: 104 of 110 for a 112 px face)."""
    visible = min(_cell_count(width) * CELL, width) - 1
    return len(range(1, visible - (LANES - 1), LANES)) * LANES


def strongest_gradient(face: U8) -> tuple[Array, Array]:
    """Horizontal and vertical differences of the colour channel whose gradient is longest, int32 (spec 60.3).

    Parameters
    ----------
    face : (H, W, 3) uint8 BGR.

    Returns
    -------
    gx, gy : (R, C) for the pixels that vote: rows and columns from 1 to the last but one of the whole cells.

    Ties go to the last of R, G, B in the columns of the vector loop and to the first in the others.
    """
    height, width = face.shape[:2]
    rows = min(_cell_count(height) * CELL, height) - 2
    columns = min(_cell_count(width) * CELL, width) - 2
    wide = face[: rows + 2, : columns + 2].astype(np.int32)
    gx = wide[1:-1, 2:] - wide[1:-1, :-2]
    gy = wide[2:, 1:-1] - wide[:-2, 1:-1]
    length = gx * gx + gy * gy
    # argmax takes the first of equals: B before G before R here, R before G before B when the channels are reversed
    channel = length.argmax(axis=-1)
    tail = slice(min(_vector_columns(width), columns), None)
    channel[:, tail] = 2 - length[:, tail, ::-1].argmax(axis=-1)
    chosen = channel[:, :, None]
    return np.take_along_axis(gx, chosen, -1)[..., 0], np.take_along_axis(gy, chosen, -1)[..., 0]


def orientation(gx: Array, gy: Array, numerics: Numerics = FLOAT32) -> npt.NDArray[np.intp]:
    """The nearest of 18 directions, 20 degrees apart, of gradients; the earlier one in a tie (spec 60.3)."""
    gx, gy = numerics.cast(gx), numerics.cast(gy)
    best = np.zeros(gx.shape, gx.dtype)
    nearest = np.zeros(gx.shape, np.intp)
    for o, (ux, uy) in enumerate(DIRECTIONS):
        along = gx * numerics.cast(ux) + gy * numerics.cast(uy)
        for signed, projection in ((o, along), (o + ORIENTATIONS, -along)):
            better = projection > best
            best[better] = projection[better]
            nearest[better] = signed
    return nearest


def _votes(count: int) -> tuple[npt.NDArray[np.intp], Array]:
    """For pixels 1 .. count along one axis: the first of the two cells they vote for (-1 is the border), and how far
    they lie towards the second. Exact in float32: odd multiples of 1/16."""
    position = (np.arange(1, count + 1) + 0.5) / CELL - 0.5
    first = np.floor(position)
    return first.astype(np.intp), position - first


def cell_histograms(face: U8, numerics: Numerics = FLOAT32) -> Array:
    """Gradient energy by cell and signed orientation, (rows, columns, 18) for all cells (spec 60.3).

    Each pixel's gradient length is shared among the four nearest cells, bilinearly; shares of cells outside the image
    are discarded. Sums run over the pixels in raster order in the working dtype.
    """
    gx, gy = strongest_gradient(face)
    bins = orientation(gx, gy, numerics)
    length = np.sqrt(numerics.cast(gx * gx + gy * gy))
    (iy, fy), (ix, fx) = (_votes(n) for n in gx.shape)
    fy, fx = numerics.cast(fy)[:, None], numerics.cast(fx)[None, :]
    one = numerics.cast(1.0)
    in_vector_loop = np.arange(gx.shape[1]) < _vector_columns(face.shape[1])

    rows, columns = (_cell_count(n) for n in face.shape[:2])
    grid = (rows + 2, columns + 2, 2 * ORIENTATIONS)  # with a border cell on each side
    indices, shares = [], []
    for dy, wy in ((0, one - fy), (1, fy)):
        for dx, wx in ((0, one - fx), (1, fx)):
            shares.append(np.where(in_vector_loop, (wx * length) * wy, (wy * wx) * length))
            cell = ((iy[:, None] + 1 + dy) * grid[1] + (ix[None, :] + 1 + dx)) * grid[2]
            indices.append(cell + bins)
    histograms = np.zeros(int(np.prod(grid)), numerics.dtype)
    order = slice(None, None, -1 if numerics.perturbed else 1)
    votes = np.stack(indices, -1).reshape(-1)[order], np.stack(shares, -1).reshape(-1)[order]
    np.add.at(histograms, votes[0], votes[1])
    return histograms.reshape(grid)[1:-1, 1:-1]


def _sum_of_blocks(terms: Array) -> Array:
    """Sum over the last axis, the four blocks, in dlib's order: the two blocks right of the cell, then those left."""
    total: Array = (terms[..., 0] + terms[..., 1]) + (terms[..., 2] + terms[..., 3])
    return total


def _cell_energy(unsigned: Array, numerics: Numerics) -> Array:
    """Sum of the squares of the nine unsigned entries of each cell, one after the other.

    The C++ build contracts square and sum into a fused multiply-add: float64 holds the exact square.
    """
    exact = unsigned if numerics.perturbed else unsigned.astype(np.float64)
    energy = np.zeros(unsigned.shape[:2], numerics.dtype)
    for o in range(ORIENTATIONS):
        energy = numerics.cast(energy + exact[..., o] * exact[..., o])
    return energy


def normalise(histograms: Array, numerics: Numerics = FLOAT32) -> Array:
    """Features (rows - 2, columns - 2, 31) of cell histograms (rows, columns, 18) (spec 60.3).

    Each inner cell is normalised by the energy of the four 2x2 blocks of cells that contain it.
    """
    cast = numerics.dtype
    unsigned = histograms[..., :ORIENTATIONS] + histograms[..., ORIENTATIONS:]
    energy = _cell_energy(unsigned, numerics)
    blocks = ((energy[:-1, :-1] + energy[:-1, 1:]) + energy[1:, :-1]) + energy[1:, 1:]
    # lanes: the block below right of the cell, above right, below left, above left
    lanes = np.stack([blocks[1:, 1:], blocks[:-1, 1:], blocks[1:, :-1], blocks[:-1, :-1]], -1)
    largest = (cast(TRUNCATION) * np.sqrt(lanes + cast(ENERGY_FLOOR)))[:, :, None, :]
    gain = cast(HALF_TRUNCATION) / largest

    signed_terms = np.minimum(histograms[1:-1, 1:-1, :, None], largest) * gain  # (rows, columns, 18, 4)
    unsigned_terms = np.minimum(unsigned[1:-1, 1:-1, :, None], largest) * gain
    texture = np.zeros(lanes.shape, cast)
    for o in range(0, 2 * ORIENTATIONS, 3):
        texture += (signed_terms[:, :, o] + signed_terms[:, :, o + 1]) + signed_terms[:, :, o + 2]
    return np.concatenate(
        [_sum_of_blocks(signed_terms), _sum_of_blocks(unsigned_terms), texture * cast(TEXTURE_GAIN)], axis=-1
    )


def fhog(aligned: U8, numerics: Numerics = FLOAT32) -> Array:
    """FHOG descriptors of aligned faces (spec 60.3).

    Parameters
    ----------
    aligned : (N, H, W, 3) uint8 BGR, at least three cells (20 px) high and wide; 112x112 in the pipeline.
    numerics : working precision; float32 is what dlib computes in.

    Returns
    -------
    (N, (rows - 2) * (columns - 2) * 31) in the working dtype, rows = round(H / 8); between 0 and 0.4 for the
    orientation features.

    Raises
    ------
    ContractError : other shape or dtype, or an image too small to keep a cell.
    """
    check_array(STAGE, "aligned", aligned, ("N", "H", "W", 3), np.uint8)
    if min(_cell_count(n) for n in aligned.shape[1:3]) < 3:
        raise ContractError(STAGE, "aligned", "images of at least 3x3 cells of 8 px", f"shape {aligned.shape}")
    return np.stack([normalise(cell_histograms(face, numerics), numerics).reshape(-1) for face in aligned])


#: What is built: aligned faces (N, 112, 112, 3) uint8 to descriptors (N, 4464) in the working dtype.
Fhog = Callable[[Array], Array]


def build(*, numerics: Numerics = FLOAT32) -> Fhog:
    """Stage `fhog`."""
    return partial(fhog, numerics=numerics)
