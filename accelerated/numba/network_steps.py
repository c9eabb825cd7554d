"""What a network's program consists of, and the kernel that runs it (network_program.py makes programs).

All maps of an image lie in one array, the arena, in blocks of sixteen channels (channel_tiles.py). A step is a row of
integers: what is done, and where. A convolution's output channels are computed in panels of one or two
vectors, each of which says where its weights, its outputs and the maps that are added to them are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.numba.channel_tiles import add_vectors, read_bytes
from auparity.accelerated.numba.compile import kernel
from auparity.accelerated.numba.convolutions import copy_window, dense, depthwise, winograd
from auparity.accelerated.numba.vectors import LANES, copy_vector

Array = npt.NDArray[Any]

#: The kinds of steps, each with its fields. Lengths of planes and lines are in floats.
DENSE = 0  # start, step of places and of lines, blocks, plane, rows, pitch, length, lines, places of a line, panels
SEPARABLE = 1  # start, height, width, blocks, kernel, stride, padding, rows, columns, weights, strip, buffer, panels
WINOGRAD = 2  # start, height, width, blocks, buffer of a tile, of inputs and of outputs, tiles at once, panels
PAD = 3  # start, height, width, blocks, padding, to
ADD = 4  # start, height, width, blocks, start of the other maps, their height and width, to
MEAN = 5  # start, places, blocks, to
MAX_POOL = 6  # start, height, width, blocks, kernel, stride, padding, rows, columns, to
READ = 7  # to, padding, rows of the maps that the next step makes for the one after it at once, or 0: all by itself
FIELDS = 15  #: of a step, its kind among them; panels are two: the first, and the one after the last
PANEL_FIELDS = 5  # weights, vectors, to, plane of the outputs, the maps that are added or -1


@kernel
def _read_pixels(image: Array, means: Array, first: int, rows: int, padding: int, arena: Array, to: int) -> None:
    """Rows of an image (H, W, 3) uint8 less the means of a line (W * 3,); zeros above and below it.

    `first` may be negative. Beside the image is a rim, which is never written.
    """
    height, length = image.shape[0], image.shape[1] * 3
    for y in range(rows):
        at = to + y * (length + 6 * padding) + 3 * padding
        if not 0 <= first + y < height:
            arena[at : at + length] = np.float32(0)
            continue
        line = image[first + y].reshape(-1)
        for i in range(0, length - LANES + 1, LANES):
            read_bytes(line, i, means, arena, at + i)
        for i in range(length // LANES * LANES, length):
            arena[at + i] = np.float32(line[i]) - means[i]


@kernel
def _strip(
    arena: Array, step: Array, weights: Array, panels: Array, start: int, plane: int, top: int, lines: int
) -> None:
    """Some rows of a depthwise convolution, and the 1x1 convolution of them while they are in the cache.

    `start` is where the maps begin, or would, if the rows that are not needed were there.
    """
    height, width, blocks, size, stride, padding = step[2], step[3], step[4], step[5], step[6], step[7]
    columns, buffer = step[9], step[12]
    made, taps = lines * columns * LANES, (2 + size * size) * LANES
    for block in range(blocks):
        for y in range(lines):
            depthwise(
                arena, start + block * plane, height, width, size, stride, padding, top + y, columns, weights,
                step[10] + block * taps, buffer + block * made + y * columns * LANES,
            )  # fmt: skip
    done = top * columns * LANES
    for p in range(step[13], step[14]):
        panel = panels[p]
        dense(
            arena, buffer, LANES, blocks, made, 1, 0, LANES, lines * columns, weights, panel[0], panel[1],
            panel[2] + done, panel[3], panel[4] + done if panel[4] >= 0 else -1,
        )  # fmt: skip


@kernel
def _lines(arena: Array, step: Array, weights: Array, panels: Array, start: int, lines: int, line: int) -> None:
    """Some lines of a convolution, written from `line` on."""
    for p in range(step[11], step[12]):
        panel = panels[p]
        for k in range(lines):
            done = (line + k) * step[10] * LANES
            dense(
                arena, start + k * step[3], step[2], step[4], step[5], step[6], step[7], step[8], step[10], weights,
                panel[0], panel[1], panel[2] + done, panel[3], panel[4] + done if panel[4] >= 0 else -1,
            )  # fmt: skip


@kernel
def _from_pixels(
    image: Array, means: Array, arena: Array, read: Array, conv: Array, step: Array, weights: Array, panels: Array
) -> None:
    """The first convolution for the depthwise one that reads it, strip after strip: neither the image as floats nor
    the first maps, which are the largest of all, are ever in memory as a whole.
    """
    height, width, blocks, size, stride, padding = step[2], step[3], step[4], step[5], step[6], step[7]
    line = width * LANES
    plane = read[3] * line
    before = done = 0  # rows of the first maps that are there: from, to
    for top in range(0, step[8], step[11]):
        lines = min(step[11], step[8] - top)
        begin, end = max(0, top * stride - padding), min(height, (top + lines - 1) * stride - padding + size)
        for block in range(blocks if done > begin else 0):
            to = step[1] + block * plane
            for i in range(0, (done - begin) * line, LANES):
                copy_vector(arena, to + (begin - before) * line + i, np.float32(0), arena, to + i)
        done = max(done, begin)
        apart = conv[3] // conv[7]  # rows of pixels from one row of the first maps to the next
        rows = (end - done - 1) * apart + conv[6]
        _read_pixels(image, means, done * apart - read[2], rows, read[2], arena, read[1])
        _lines(arena, conv, weights, panels, read[1], end - done, done - begin)
        _strip(arena, step, weights, panels, step[1] - begin * line, plane, top, lines)
        before, done = begin, end


@kernel
def _add(arena: Array, step: Array) -> None:
    """Maps plus others of any size: row i of h takes row floor(i * h' / h) of h', and so do columns."""
    height, width, other_height, other_width = step[2], step[3], step[6], step[7]
    for block in range(step[4]):
        for y in range(height):
            row = (block * height + y) * width
            other_row = (block * other_height + y * other_height // height) * other_width
            for x in range(width):
                own, other = (row + x) * LANES, (other_row + x * other_width // width) * LANES
                add_vectors(arena, step[1] + own, step[5] + other, step[8] + own)


@kernel
def _mean(arena: Array, step: Array) -> None:
    """The mean of each channel, summed in float64."""
    places = step[2]
    totals = np.empty(LANES, np.float64)
    for block in range(step[3]):
        totals[:] = 0.0
        for i in range(block * places, (block + 1) * places):
            for c in range(LANES):
                totals[c] += arena[step[1] + i * LANES + c]
        for c in range(LANES):
            arena[step[4] + block * LANES + c] = totals[c] / places


@kernel
def _max_pool(arena: Array, step: Array) -> None:
    """The largest value of each window, of what is inside the map."""
    height, width, size, stride, padding, rows, columns = step[2], step[3], step[5], step[6], step[7], step[8], step[9]
    for block in range(step[4]):
        maps = step[1] + block * height * width * LANES
        for y in range(rows):
            for x in range(columns):
                out = step[10] + ((block * rows + y) * columns + x) * LANES
                arena[out : out + LANES] = np.float32(-np.inf)
                for v in range(max(0, y * stride - padding), min(height, y * stride - padding + size)):
                    for u in range(max(0, x * stride - padding), min(width, x * stride - padding + size)):
                        at = maps + (v * width + u) * LANES
                        for c in range(LANES):
                            arena[out + c] = max(arena[out + c], arena[at + c])


@kernel
def run(image: Array, means: Array, program: Array, panels: Array, weights: Array, arena: Array) -> None:
    """All steps of a program in their order, on one image (H, W, 3) uint8 less the means of a line (W * 3,)."""
    skipped = 0
    for s in range(program.shape[0]):
        step = program[s]
        kind = step[0]
        if skipped:
            skipped -= 1
        elif kind == READ and step[3]:
            _from_pixels(image, means, arena, step, program[s + 1], program[s + 2], weights, panels)
            skipped = 2
        elif kind == READ:
            _read_pixels(image, means, -step[2], image.shape[0] + 2 * step[2], step[2], arena, step[1])
        elif kind == DENSE:
            _lines(arena, step, weights, panels, step[1], step[9], 0)
        elif kind == SEPARABLE:
            for top in range(0, step[8], step[11]):
                lines = min(step[11], step[8] - top)
                _strip(arena, step, weights, panels, step[1], step[2] * step[3] * LANES, top, lines)
        elif kind == WINOGRAD:
            winograd(arena, step, weights, panels)
        elif kind == PAD:
            padding, height, width = step[5], step[2], step[3]
            rows, columns = height + 2 * padding, width + 2 * padding
            for block in range(step[4]):
                maps, to = step[1] + block * height * width * LANES, step[6] + block * rows * columns * LANES
                copy_window(arena, maps, height, width, -padding, -padding, rows, columns, to)
        elif kind == ADD:
            _add(arena, step)
        elif kind == MEAN:
            _mean(arena, step)
        else:
            _max_pool(arena, step)
