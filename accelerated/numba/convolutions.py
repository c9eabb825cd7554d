"""Convolutions of maps in blocks of sixteen channels by register tiles: dense ones of any kernel, depthwise ones, and
3x3 ones by Winograd's algorithm.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.numba.channel_tiles import (
    FEW_1,
    FEW_2,
    PLACES_1,
    PLACES_2,
    PLACES_DEPTHWISE,
    dense_tile_1_by_1,
    dense_tile_1_by_2,
    dense_tile_few_by_1,
    dense_tile_few_by_2,
    dense_tile_many_by_1,
    dense_tile_many_by_2,
    depthwise_tile_1,
    depthwise_tile_by_1,
    depthwise_tile_by_2,
)
from auparity.accelerated.numba.compile import kernel
from auparity.accelerated.numba.vectors import LANES, copy_vector
from auparity.accelerated.numba.winograd_tiles import INPUTS, OUTPUTS, PRODUCTS, winograd_inputs, winograd_outputs

Array = npt.NDArray[Any]


@kernel
def dense(
    arena: Array, start: int, step: int, blocks: int, plane: int, rows: int, pitch: int, length: int, places: int,
    weights: Array, first: int, vectors: int, to: int, out_plane: int, around: int,
) -> None:  # fmt: skip
    """One panel at neighbouring places. A tile may overlap the one before it, and computes the same there again."""
    many, few = (PLACES_2, FEW_2) if vectors == 2 else (PLACES_1, FEW_1)
    begin = 0
    while begin < places:
        rest = places - begin
        # What is left of a row takes a whole tile unless smaller ones compute less again.
        count = many if places >= many and rest > many - few else few if places >= few else 1
        i = min(begin, places - count)
        at, out = start + i * step, to + i * LANES
        other = around + i * LANES if around >= 0 else -1
        if vectors == 2:
            if count == many:
                dense_tile_many_by_2(
                    arena, at, step, blocks, plane, rows, pitch, length, weights, first, out, out_plane, other
                )  # fmt: skip
            elif count == few:
                dense_tile_few_by_2(
                    arena, at, step, blocks, plane, rows, pitch, length, weights, first, out, out_plane, other
                )  # fmt: skip
            else:
                dense_tile_1_by_2(
                    arena, at, step, blocks, plane, rows, pitch, length, weights, first, out, out_plane, other
                )  # fmt: skip
        elif count == many:
            dense_tile_many_by_1(
                arena, at, step, blocks, plane, rows, pitch, length, weights, first, out, out_plane, other
            )  # fmt: skip
        elif count == few:
            dense_tile_few_by_1(
                arena, at, step, blocks, plane, rows, pitch, length, weights, first, out, out_plane, other
            )  # fmt: skip
        else:
            dense_tile_1_by_1(
                arena, at, step, blocks, plane, rows, pitch, length, weights, first, out, out_plane, other
            )  # fmt: skip
        begin += count


@kernel
def depthwise(
    arena: Array, start: int, height: int, width: int, size: int, stride: int, padding: int, y: int, columns: int,
    weights: Array, first: int, to: int,
) -> None:  # fmt: skip
    """One row of one block of a depthwise convolution."""
    top, pitch = y * stride - padding, width * LANES
    skipped = max(0, -top)
    row, rows = start + (top + skipped) * pitch, min(size, height - top) - skipped
    taps = first + (2 + skipped * size) * LANES
    inner = min(-(-padding // stride), columns)  # the places whose windows leave the map are before and behind these
    outer = max(min((width + padding - size) // stride + 1, columns), inner)
    for x in range(inner):
        cut, left = padding - x * stride, x * stride - padding
        depthwise_tile_1(
            arena, row, pitch, rows, min(size, width - left) - cut, weights, first, taps + cut * LANES, size,
            to + x * LANES,
        )  # fmt: skip
    if size == 3 and stride <= 2 and outer - inner >= PLACES_DEPTHWISE:
        for begin in range(inner, outer, PLACES_DEPTHWISE):
            x = min(begin, outer - PLACES_DEPTHWISE)
            at, out = row + (x * stride - padding) * LANES, to + x * LANES
            if stride == 1:
                depthwise_tile_by_1(arena, at, pitch, rows, size, weights, first, taps, size, out)
            else:
                depthwise_tile_by_2(arena, at, pitch, rows, size, weights, first, taps, size, out)
        inner = outer
    for x in range(inner, columns):
        left = x * stride - padding
        depthwise_tile_1(
            arena, row + left * LANES, pitch, rows, min(size, width - left), weights, first, taps, size, to + x * LANES
        )  # fmt: skip


@kernel
def copy_window(
    arena: Array, start: int, height: int, width: int, top: int, left: int, rows: int, columns: int, to: int
) -> None:
    """A window (rows, columns) of one block of maps, zero where it leaves them."""
    for y in range(rows):
        for x in range(columns):
            out = to + (y * columns + x) * LANES
            if 0 <= top + y < height and 0 <= left + x < width:
                copy_vector(arena, start + ((top + y) * width + left + x) * LANES, np.float32(0), arena, out)
            else:
                for c in range(LANES):
                    arena[out + c] = np.float32(0)


@kernel
def winograd(arena: Array, step: Array, weights: Array, panels: Array) -> None:
    """A 3x3 convolution with a rim of one (a step of network_steps.py): transform, 36 products, and back."""
    start, height, width, blocks = step[1], step[2], step[3], step[4]
    window, inputs, outputs, at_once = step[5], step[6], step[7], step[8]
    across = -(-width // OUTPUTS)
    tiles = -(-height // OUTPUTS) * across
    plane = at_once * LANES
    apart = blocks * plane + LANES  # a line of the cache more: 36 places in one of its sets would be too many
    for begin in range(0, tiles, at_once):
        count = min(at_once, tiles - begin)
        for t in range(count):
            top, left = (begin + t) // across * OUTPUTS - 1, (begin + t) % across * OUTPUTS - 1
            cut = min(top, left) < 0 or top + INPUTS > height or left + INPUTS > width
            for block in range(blocks):
                maps, to = start + block * height * width * LANES, inputs + block * plane + t * LANES
                if cut:
                    copy_window(arena, maps, height, width, top, left, INPUTS, INPUTS, window)
                    winograd_inputs(arena, window, INPUTS * LANES, to, apart)
                else:
                    winograd_inputs(arena, maps + (top * width + left) * LANES, width * LANES, to, apart)
        for p in range(step[9], step[10]):
            panel = panels[p]
            lanes = panel[1] * LANES
            part, out_apart = (2 + blocks * LANES) * lanes, panel[1] * plane + LANES
            for k in range(PRODUCTS):
                dense(
                    arena, inputs + k * apart, LANES, blocks, plane, 1, 0, LANES, count, weights,
                    panel[0] + 2 * lanes + k * part, panel[1], outputs + k * out_apart, plane, -1,
                )  # fmt: skip
            for t in range(count):
                top, left = (begin + t) // across * OUTPUTS, (begin + t) % across * OUTPUTS
                rows, columns = min(OUTPUTS, height - top), min(OUTPUTS, width - left)
                for v in range(panel[1]):
                    at, bias = outputs + v * plane + t * LANES, panel[0] + v * LANES
                    to = panel[2] + v * panel[3] + (top * width + left) * LANES
                    if rows == OUTPUTS and columns == OUTPUTS:
                        winograd_outputs(arena, at, out_apart, weights, bias, bias + lanes, to, width * LANES)
                        continue
                    winograd_outputs(arena, at, out_apart, weights, bias, bias + lanes, window, OUTPUTS * LANES)
                    for y in range(rows):
                        for x in range(columns):
                            place = window + (y * OUTPUTS + x) * LANES
                            copy_vector(arena, place, np.float32(0), arena, to + (y * width + x) * LANES)
