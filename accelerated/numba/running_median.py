"""Running medians by histogram (spec 60.5): each dimension stores the bin of its median and moves it.

A new value shifts a median by few bins, so no search is needed: the number of values below the median's bin is stored,
and the bin moves until it is right again. Counts are 16 bits wide (14 MB for both descriptors), and are widened when
they are full. The medians are exactly equal to those of the reference.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.numba.compile import kernel
from auparity.errors import ContractError
from auparity.reference.contracts import check_array
from auparity.reference.running_median import GEOMETRY_HISTOGRAM, HOG_HISTOGRAM, STAGE, MedianKind

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]

MOST_IN_16_BITS = 65535


@kernel
def _count(values: Array, counts: Array, place: Array, below: Array, low: float, high: float) -> None:
    """Add one value a dimension; `place` (D,) is the median's bin, `below` (D,) what is counted under it."""
    bins = counts.shape[1]
    for d in range(values.shape[0]):
        position = (values[d] - low) * bins / (high - low)
        bin_ = int(min(max(position, 0.0), bins - 1.0))  # truncates
        counts[d, bin_] += 1
        if bin_ < place[d]:
            below[d] += 1


@kernel
def _move(
    counts: Array, place: Array, below: Array, half: int, low: float, width: float, floor: float, out: Array
) -> None:
    """Medians (D,) float64: the middle of the first bin at which the cumulative count reaches `half`."""
    for d in range(place.shape[0]):
        at, under = place[d], below[d]
        while under >= half and at > 0:
            at -= 1
            under -= np.int64(counts[d, at])
        while under + np.int64(counts[d, at]) < half:
            under += np.int64(counts[d, at])
            at += 1
        place[d], below[d] = at, under
        out[d] = max(low + at * width + 0.5 * width, floor)


class RunningMedian:
    """Stage `running_median`, as reference/running_median.RunningMedian; D is taken from the first descriptor."""

    def __init__(self, n_bins: int, low: float, high: float, *, non_negative: bool = False) -> None:
        self.n_bins, self.low, self.high = n_bins, low, high
        self._floor = 0.0 if non_negative else -np.inf
        self.frames = self.total = 0
        self.median: F64 = np.zeros(0)
        self._counts: Array = np.zeros((0, n_bins), np.uint16)
        self._place = self._below = np.zeros(0, np.int64)

    def step(self, descriptor: Array, success: bool) -> F64:
        """Take the descriptor (D,) of the next frame; the median (D,) that this frame's AUs are predicted with."""
        self.frames += 1
        if self.frames % 2 == 1:
            self.update(descriptor, success)
        elif descriptor.shape != self.median.shape:
            raise ContractError(STAGE, "descriptor", f"shape {self.median.shape}", f"shape {descriptor.shape}")
        return self.median.copy()

    def update(self, descriptor: Array, update: bool) -> F64:
        """Count a descriptor (D,) if `update` is set, and recompute the median (D,), which is returned (spec 60.5)."""
        if not len(self._counts):
            self._allocate(len(check_array(STAGE, "descriptor", descriptor, ("D",))))
        check_array(STAGE, "descriptor", descriptor, (len(self._counts),))
        values = descriptor.astype(np.float64)
        if update:
            if self.total == MOST_IN_16_BITS:
                self._counts = self._counts.astype(np.int32)
            _count(values, self._counts, self._place, self._below, self.low, self.high)
            self.total += 1
        if self.total == 1:
            self.median = np.maximum(values, self._floor)
            return self.median.copy()
        median, width = np.empty(len(values)), (self.high - self.low) / self.n_bins
        half = (self.total + 1) // 2
        _move(self._counts, self._place, self._below, half, self.low, width, self._floor, median)
        self.median = median
        return median.copy()

    def reset(self) -> None:
        """Forget everything but the number of dimensions (spec 60.9)."""
        self._allocate(len(self._counts))
        self.frames = self.total = 0
        self.median = np.zeros(len(self._counts))

    def _allocate(self, dimensions: int) -> None:
        self._counts = np.zeros((dimensions, self.n_bins), np.uint16)
        self._place, self._below = np.zeros(dimensions, np.int64), np.zeros(dimensions, np.int64)


def build(kind: MedianKind) -> RunningMedian:
    """Stage `running_median`."""
    if kind == "hog":
        return RunningMedian(*HOG_HISTOGRAM, non_negative=True)
    return RunningMedian(*GEOMETRY_HISTOGRAM)
