"""Products of packed weights with inputs whose lanes are positions: fully connected layers and convolutions alike.

out (units, lanes) = weights (units, depth) @ inputs (depth, lanes). Row k of the inputs begins at `offsets[k]`: a row
of a matrix or, for a convolution, the place that tap k looks at, so that a convolution needs no copies of patches.
Register tiles of five units by up to five vectors come near to what a processor with AVX-512 can do, above what a large
product of OpenBLAS reaches on the same core; with sixteen registers of eight floats they are six units by one vector.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.numba.compile import kernel
from auparity.accelerated.numba.vectors import (
    LANES,
    MOST_VECTORS,
    TILE_UNITS,
    product_tile_1,
    product_tile_2,
    product_tile_3,
    product_tile_4,
    product_tile_5,
)

Array = npt.NDArray[Any]

#: Floats behind an output that whole tiles may write.
SLACK = 5 * LANES


@kernel
def product(
    weights: Array, first: int, units: int, inputs: Array, start: int, offsets: Array, depth: int, lanes: int,
    out: Array, out_start: int, out_stride: int,
) -> None:  # fmt: skip
    """The product above; `lanes` is rounded up to whole vectors, `units` to whole tiles, so outputs need room."""
    vectors = -(-lanes // LANES)
    tile = first
    for unit in range(0, units, TILE_UNITS):
        done = 0
        while done < vectors:
            left = vectors - done
            # Six to eight are two nearly equal tiles rather than a full one and a rest that starves.
            take = left if left <= 5 else (3 if left == 6 else 4 if left <= 8 else 5)
            take = min(take, MOST_VECTORS)
            at, to = start + done * LANES, out_start + unit * out_stride + done * LANES
            if take == 5:
                product_tile_5(weights, tile, inputs, at, offsets, depth, out, to, out_stride)
            elif take == 4:
                product_tile_4(weights, tile, inputs, at, offsets, depth, out, to, out_stride)
            elif take == 3:
                product_tile_3(weights, tile, inputs, at, offsets, depth, out, to, out_stride)
            elif take == 2:
                product_tile_2(weights, tile, inputs, at, offsets, depth, out, to, out_stride)
            else:
                product_tile_1(weights, tile, inputs, at, offsets, depth, out, to, out_stride)
            done += take
        tile += TILE_UNITS * depth


def pack_weights(weights: Array) -> Array:
    """Weights (units, depth) flat in the order in which `product` reads them: tiles of units, depth, units."""
    units, depth = weights.shape
    tiles = -(-units // TILE_UNITS)
    padded = np.zeros((tiles * TILE_UNITS, depth), np.float32)
    padded[:units] = weights
    return np.ascontiguousarray(padded.reshape(tiles, TILE_UNITS, depth).transpose(0, 2, 1)).reshape(-1)


def padded_units(units: int) -> int:
    """Units of whole tiles."""
    return -(-units // TILE_UNITS) * TILE_UNITS
