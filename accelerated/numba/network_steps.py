"""What a network's program consists of, and the kernel that runs it (network_program.py makes programs).

All maps of an image lie in one array, the arena, in blocks of sixteen channels (channel_tiles.py). A step is a row of
integers: what is done, and where. A convolution's output channels are computed in panels of one or two
vectors, each of which says where its weights, its outputs and the maps that are added to them are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.numba import network_maps
from auparity.accelerated.numba.channel_vectors import read_bytes, scaled_vectors
from auparity.accelerated.numba.compile import kernel
from auparity.accelerated.numba.convolutions import copy_window, dense, depthwise, winograd
from auparity.accelerated.numba.vectors import LANES, copy_vector

Array = npt.NDArray[Any]

#: The kinds of steps, each with its fields. Lengths of planes and lines are in floats.
DENSE = 0  # start, step of places and of lines, blocks, plane, rows, pitch, length, lines, places of a line, panels,
#: ... and of how many places all panels are computed before the next: as many as stay in the cache
SEPARABLE = 1  # start, height, width, blocks, kernel, stride, padding, rows, columns, weights, strip, buffer, panels
WINOGRAD = 2  # start, height, width, blocks, buffer of a tile, of inputs and of outputs, tiles at once, panels
PAD = 3  # start, height, width, blocks, padding, to
ADD = 4  # start, height, width, blocks, start of the other maps, their height and width, to
MEAN = 5  # start, places, blocks, to
MAX_POOL = 6  # start, height, width, blocks, kernel, stride, padding, rows, columns, to
READ = 7  # to, padding, rows of the maps that the next step makes for the one after it at once, or 0: all by itself
MULTIPLY = 8  # as ADD
SIGMOID = 9  # start, height, width, blocks, to
INSTANCE_NORM = 10  # start, height, width, blocks, to, slopes, buffer
CONSTANT = 11  # to, height, width, blocks, threshold and values, the mask or -1, the first channel that it takes away
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
        if size == 1 and stride == 1 and padding == 0:
            at, first = start + block * plane + top * columns * LANES, step[10] + block * taps
            scaled_vectors(arena, at, lines * columns, weights, first, buffer + block * made)
            continue
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
    for k in range(lines):
        for begin in range(0, step[10], step[13]):
            at, done = start + k * step[3] + begin * step[2], ((line + k) * step[10] + begin) * LANES
            for p in range(step[11], step[12]):
                panel = panels[p]
                dense(
                    arena, at, step[2], step[4], step[5], step[6], step[7], step[8], min(step[13], step[10] - begin),
                    weights, panel[0], panel[1], panel[2] + done, panel[3], panel[4] + done if panel[4] >= 0 else -1,
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
            network_maps.add(arena, step)
        elif kind == MULTIPLY:
            network_maps.multiply(arena, step)
        elif kind == MEAN:
            network_maps.mean(arena, step)
        elif kind == SIGMOID:
            network_maps.sigmoid(arena, step)
        elif kind == INSTANCE_NORM:
            network_maps.instance_norm(arena, step, weights)
        elif kind == CONSTANT:
            network_maps.constant(arena, step, weights)
        else:
            network_maps.max_pool(arena, step)
