"""Steps of a network that are no convolution (network_steps.py): sums, products, norms and maxima of maps, and maps
that are the same for every image, in vectors of sixteen channels (channel_vectors.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.numba.channel_vectors import (
    add_vectors,
    larger_vectors,
    mean_of_vectors,
    multiply_vectors,
    scaled_vectors,
    sigmoid_vectors,
    variance_of_vectors,
)
from auparity.accelerated.numba.compile import kernel
from auparity.accelerated.numba.vectors import LANES, copy_vector
from auparity.reference.networks.layers import NORM_EPSILON

Array = npt.NDArray[Any]


@kernel
def add(arena: Array, step: Array) -> None:
    """Maps plus others of any size: row i of h takes row floor(i * h' / h) of h', and so do columns."""
    height, width, other_height, other_width = step[2], step[3], step[6], step[7]
    for block in range(step[4]):
        for y in range(height):
            own = (block * height + y) * width * LANES
            other = step[5] + (block * other_height + y * other_height // height) * other_width * LANES
            rest = 0
            for x in range(0, width * LANES, LANES):
                add_vectors(arena, step[1] + own + x, other, step[8] + own + x)
                rest += other_width
                while rest >= width:  # floor((x + 1) w' / w) without a division
                    rest -= width
                    other += LANES


@kernel
def multiply(arena: Array, step: Array) -> None:
    """Maps times others of the same size."""
    one, other, to = step[1], step[5], step[8]
    for i in range(0, step[2] * step[3] * step[4] * LANES, LANES):
        multiply_vectors(arena, one + i, other + i, to + i)


@kernel
def sigmoid(arena: Array, step: Array) -> None:
    """1 / (1 + exp(-x))."""
    sigmoid_vectors(arena, step[1], step[2] * step[3] * step[4], step[5])


@kernel
def mean(arena: Array, step: Array) -> None:
    """The mean of each channel, summed in float64."""
    places = step[2]
    for block in range(step[3]):
        to = step[4] + block * LANES
        mean_of_vectors(arena, step[1] + block * places * LANES, places, to, to)


@kernel
def instance_norm(arena: Array, step: Array, weights: Array) -> None:
    """Each map with mean 0 and variance 1, and the activation behind it."""
    places, slopes = step[2] * step[3], step[6]
    bias = step[7]  # of scaled_vectors, whose slopes and factors are behind it
    factor = bias + 2 * LANES
    for block in range(step[4]):
        first = block * places * LANES
        mean_of_vectors(arena, step[1] + first, places, bias, bias)
        variance_of_vectors(arena, step[1] + first, places, bias, factor)
        for c in range(LANES):
            arena[factor + c] = 1.0 / np.sqrt(np.float64(arena[factor + c]) + NORM_EPSILON)
            arena[bias + c] = -arena[bias + c] * arena[factor + c]
            arena[bias + LANES + c] = weights[slopes + block * LANES + c]
        scaled_vectors(arena, step[1] + first, places, arena, bias, step[5] + first)


@kernel
def max_pool(arena: Array, step: Array) -> None:
    """The largest value of each window, of what is inside the map."""
    height, width, size, stride, padding, rows, columns = step[2], step[3], step[5], step[6], step[7], step[8], step[9]
    for block in range(step[4]):
        maps = step[1] + block * height * width * LANES
        for y in range(rows):
            top, bottom = max(0, y * stride - padding), min(height, y * stride - padding + size)
            for x in range(columns):
                left, right = max(0, x * stride - padding), min(width, x * stride - padding + size)
                out = step[10] + ((block * rows + y) * columns + x) * LANES
                copy_vector(arena, maps + (top * width + left) * LANES, np.float32(0), arena, out)
                for v in range(top, bottom):
                    for u in range(left, right):
                        larger_vectors(arena, out, maps + (v * width + u) * LANES, out)


@kernel
def constant(arena: Array, step: Array, weights: Array) -> None:
    """Maps that are the same for every image; channels from `masked` on only where a value is above a threshold."""
    to, places, blocks, first, mask, masked = step[1], step[2] * step[3], step[4], step[5], step[6], step[7]
    threshold = weights[first]
    for i in range(0, places * blocks * LANES, LANES):
        copy_vector(weights, first + LANES + i, np.float32(0), arena, to + i)
        if mask >= 0 and not arena[mask + i] > threshold:
            for c in range(masked, LANES):
                arena[to + i + c] = np.float32(0)
