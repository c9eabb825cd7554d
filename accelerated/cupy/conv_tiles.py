"""Divides a convolution into blocks of threads (convnet.cu): the tile of positions, the number of units and samples.

The kernel is fast if few of its threads' sums are wasted. There are few ways to divide, so all are tried. The choice
depends on the layer and the size of the maps, not on the batch, and changes no result: each output is the sum of one
thread.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from auparity.errors import ContractError

SUMS = 32  # of a thread: units times positions
MOST_THREADS = 256
SHARED_BYTES = 40 * 1024  # of a block, for its sums: below the 48 KiB that every card gives unasked
INPUT_BYTES = 24 * 1024  # of it for weights and maps, if one map of a whole tile is not larger
MOST_TOGETHER = 16  # small samples in one block
#: Costs in instructions: of a tap (16 of 32 loads or fewer, index arithmetic), of a float brought to shared memory, and
#: of a thread to begin and end.
TAP_OVERHEAD, LOAD, THREAD = 12, 12, 400
FEW_THREADS, FEW_THREADS_COST = 128, 1.15  # blocks of fewer threads hide less of their waiting
#: Columns of a tile: a part of the map's, or of a map too wide for that one of these.
MOST_PARTS, FEW_COLUMNS, WIDE_MAPS = 8, 8, (16, 32, 64)


@dataclass(frozen=True)
class Layer:
    """What decides: a convolution with its pooling, and the size of its largest input maps."""

    inputs: int
    units: int
    kernel: tuple[int, int]  #: y, x
    pool: tuple[int, int]  #: y, x; 1 where there is none
    stride: tuple[int, int]
    size: tuple[int, int]  #: of the input maps
    out_size: tuple[int, int]
    together: bool  #: whether several samples may share a block


@dataclass(frozen=True)
class Cut:
    """A way of cutting."""

    thread_units: int
    threads: tuple[int, int]  #: positions, units
    tile: tuple[int, int]  #: of outputs: rows, columns
    together: int
    maps_kept: int  #: input maps in shared memory at a time
    shared_bytes: int

    @property
    def block_units(self) -> int:
        return self.thread_units * self.threads[1]


def thread_units(units: int) -> int:
    """Units of a thread: eight, or four where eight would leave more of them idle."""
    return 8 if -(-units // 8) * 8 == padded(units) else 4


def padded(units: int) -> int:
    """Units with those that are added so that weights can be read four at a time."""
    return -(-units // 4) * 4


@functools.lru_cache(maxsize=1024)
def cut(layer: Layer) -> Cut:
    """The cheapest way.

    Raises
    ------
    ContractError : none fits into shared memory (kernels of hundreds of taps).
    """
    ways = list(_ways(layer))
    if not ways:
        expected = f"convolutions of which a tile fits into {SHARED_BYTES} bytes"
        raise ContractError("convnet", "net", expected, f"{layer.units} kernels of {layer.kernel}")
    return min(ways, key=lambda way: way[0])[1]


def _ways(layer: Layer) -> Iterator[tuple[float, Cut]]:
    own = thread_units(layer.units)
    groups = -(-layer.units // own)
    for unit_threads in range(1, min(groups, MOST_THREADS // 32) + 1):
        for threads in range(32, MOST_THREADS // unit_threads + 1, 32):
            for parts in range(1, MOST_PARTS + 1):
                columns = -(-layer.out_size[1] // parts)
                way = _way(layer, own, (threads, unit_threads), columns)
                if way:
                    yield way
                if columns <= FEW_COLUMNS:
                    break
            for columns in WIDE_MAPS:
                way = _way(layer, own, (threads, unit_threads), columns) if columns < layer.out_size[1] else None
                if way:
                    yield way


def _way(layer: Layer, own: int, threads: tuple[int, int], columns: int) -> tuple[float, Cut] | None:
    capacity = threads[0] * (SUMS // own)
    most = capacity // _before_pooling(layer, columns, 1)  # rows before pooling
    rows = layer.out_size[0]
    if most < layer.size[0] - layer.kernel[0] + 1:
        rows = min((most - layer.pool[0]) // layer.stride[0] + 1, rows)
    if rows < 1:
        return None
    rows = -(-layer.out_size[0] // -(-layer.out_size[0] // rows))  # the same number of tiles, of more equal size
    tile = rows, columns
    area = [_before_pooling(layer, n, axis) for axis, n in enumerate(tile)]
    together = min(capacity // (area[0] * area[1]), MOST_TOGETHER) if layer.together and tile == layer.out_size else 1
    plane = (area[0] + layer.kernel[0] - 1) * (area[1] + layer.kernel[1] - 1) * together
    taps, block_units = layer.kernel[0] * layer.kernel[1], threads[1] * own
    map_bytes = 4 * (taps * block_units + plane)
    sum_bytes = 4 * block_units * area[0] * area[1] * together
    if max(map_bytes, sum_bytes) > SHARED_BYTES:
        return None
    kept = min(max(INPUT_BYTES // map_bytes, 1), layer.inputs)
    all_threads = threads[0] * threads[1]
    tiles = -(-layer.out_size[0] // rows) * -(-layer.out_size[1] // columns)
    blocks = tiles * -(-layer.units // block_units) / together
    sums = all_threads * (layer.inputs * taps * (SUMS + TAP_OVERHEAD) + THREAD)
    loads = LOAD * layer.inputs * (plane + taps * block_units / 4)
    cost = blocks * (sums + loads) * (FEW_THREADS_COST if all_threads < FEW_THREADS else 1)
    return cost, Cut(own, threads, tile, together, kept, max(kept * map_bytes, sum_bytes))


def _before_pooling(layer: Layer, length: int, axis: int) -> int:
    """Positions of the convolution that so many outputs are pooled from."""
    whole = layer.size[axis] - layer.kernel[axis] + 1
    return min((length - 1) * layer.stride[axis] + layer.pool[axis], whole)
