"""Mean shifts of all landmarks in their response maps (spec 50.5), as the fit's kernel calls them.

The mean-shift kernel is centred on multiples of 0.1 px, so there are only (10 w)^2 of it for maps of w x w: they are
computed once, in float64 and rounded as the reference does, and looked up (2.6 MB for w = 9). The sums over a map run
in raster order as the C++ program's do; landmarks are the SIMD lanes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.numba.compile import kernel
from auparity.accelerated.numba.fused import fma
from auparity.reference.fitting import GRID_STEP

Array = npt.NDArray[Any]

STEP = np.float32(GRID_STEP)
CELLS_PER_PX = round(1 / GRID_STEP)


@kernel
def kernel_table(window: int, sigma: float) -> Array:
    """(10 w * 10 w, w * w) float32: the kernel of every centre (cell x * 10 w + cell y), row-major."""
    cells = CELLS_PER_PX * window
    out = np.empty((cells * cells, window * window), np.float32)
    factor = np.float32(-0.5 / sigma**2)
    for cx in range(cells):
        for cy in range(cells):
            at = out[cx * cells + cy]
            x0, y0 = STEP * np.float32(cx), STEP * np.float32(cy)
            for row in range(window):
                y = y0 - np.float32(row)
                for column in range(window):
                    x = x0 - np.float32(column)
                    at[row * window + column] = np.float32(math.exp(np.float64(factor * fma(x, x, y * y))))
    return out


@kernel
def mean_shifts(maps: Array, visible: Array, table: Array, position: Array, window: int, out: Array) -> None:
    """Mean shift (2, n) float32 of each landmark in reference-frame px into `out`; 0 where invisible.

    `maps` (w * w, n) with landmarks innermost, `visible` (n,), `position` (2, n) of (column, row) in the maps.
    """
    n, pixels = maps.shape[1], maps.shape[0]
    cells = CELLS_PER_PX * window
    largest = np.float32(window) - STEP
    row_of = np.empty(n, np.int64)
    clamped = np.empty((2, n), np.float32)
    for i in range(n):
        x = min(max(position[0, i], np.float32(0)), largest)
        y = min(max(position[1, i], np.float32(0)), largest)
        clamped[0, i], clamped[1, i] = x, y
        if np.isnan(x) or np.isnan(y):  # has no cell; any kernel will do, nothing is made of it below
            row_of[i] = 0
            continue
        # The kernel is centred on the nearest grid point, the shift is measured from the place itself.
        row_of[i] = int(np.float64(x / STEP) + 0.5) * cells + int(np.float64(y / STEP) + 0.5)
    total = np.zeros(n, np.float32)
    mean_x, mean_y = np.zeros(n, np.float32), np.zeros(n, np.float32)
    flat = table.reshape(-1)
    for i in range(n):
        row_of[i] *= pixels
    for q in range(pixels):
        column, row = np.float32(q % window), np.float32(q // window)
        for i in range(n):
            mass = maps[q, i] * flat[row_of[i] + q]
            total[i] += mass
            mean_x[i] = fma(mass, column, mean_x[i])
            mean_y[i] = fma(mass, row, mean_y[i])
    for i in range(n):
        # An all-zero map pulls nowhere (the C++ program divides 0 by 0 there).
        alive = visible[i] and total[i] > 0 and not (np.isnan(clamped[0, i]) or np.isnan(clamped[1, i]))
        out[0, i] = mean_x[i] / total[i] - clamped[0, i] if alive else np.float32(0)
        out[1, i] = mean_y[i] / total[i] - clamped[1, i] if alive else np.float32(0)


@kernel
def densities(maps: Array, visible: Array, position: Array, window: int, sigma: float, invisible: float) -> Array:
    """Landmark likelihoods (n,) float32, and their mean logarithm last: (n + 1,) (spec 50.3).

    The two factors of the kernel are computed apart, in float64, where their product rounds like the whole.
    """
    n = maps.shape[1]
    out = np.empty(n + 1, np.float32)
    log_sum, seen = 0.0, 0
    across, down = np.empty(window, np.float64), np.empty(window, np.float64)
    for i in range(n):
        if not visible[i]:
            out[i] = np.float32(invisible)
            continue
        for k in range(window):
            dx, dy = np.float64(position[0, i]) - k, np.float64(position[1, i]) - k
            across[k] = math.exp(-0.5 * (dx * dx) / sigma**2)
            down[k] = math.exp(-0.5 * (dy * dy) / sigma**2)
        density = 0.0
        for row in range(window):
            for column in range(window):
                density += np.float64(maps[row * window + column, i]) * (down[row] * across[column])
        out[i] = np.float32(density)
        log_sum += math.log(density + 1e-8)
        seen += 1
    out[n] = np.float32(log_sum / seen)
    return out
