"""Running medians of the descriptors, by histogram (spec 60.5; 60.1 steps 6 and 7): the neutral face of the person so
far, which the dynamic AU models subtract. Descriptors (N, D) in time order and a state in, medians (N, D) float64 out.
Only every other frame is counted, so medians lag by a frame; only successful frames are counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError
from auparity.reference.contracts import check_array
from auparity.reference.numerics import FLOAT32, Numerics

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]

STAGE = "running_median"

#: Histograms of the FHOG descriptor (no unit) and of the geometry descriptor (mm): bins, lowest, highest value.
HOG_HISTOGRAM = (1000, -0.005, 1.0)
GEOMETRY_HISTOGRAM = (10000, -60.0, 60.0)

#: Bins are counted in groups of this many as well: finding a median then reads two short rows, not a whole histogram.
GROUP = 32


#: Which running median: of FHOG descriptors, or of geometry descriptors (spec 60.5).
MedianKind = Literal["hog", "geometry"]


@dataclass
class RunningMedian:
    """The state of one running median: a histogram for each of D dimensions, D taken from the first descriptor.

    Parameters
    ----------
    n_bins, low, high : the histogram; values outside are counted in its first and last bin.
    non_negative : negative medians are raised to 0 (so for FHOG, whose first bin lies below 0).
    """

    n_bins: int
    low: float
    high: float
    non_negative: bool = False
    frames: int = 0  #: seen since the last reset, counted or not
    total: int = 0  #: counted in the histograms
    median: F64 = field(default_factory=lambda: np.zeros(0))  #: (D,)
    _counts: I32 = field(default_factory=lambda: np.zeros((0, 0, GROUP), np.int32), repr=False)  # (D, groups, GROUP)
    _group_counts: I32 = field(default_factory=lambda: np.zeros((0, 0), np.int32), repr=False)  # (D, groups)

    def step(self, descriptor: Array, success: bool) -> F64:
        """Take the descriptor (D,) of the next frame; the median (D,) that this frame's AUs are predicted with.

        Frames count from 1 and only odd ones reach the histogram (spec 60.1 steps 6 and 7).
        """
        self.frames += 1
        if self.frames % 2 == 1:
            self.update(descriptor, success)
        elif descriptor.shape != self.median.shape:
            raise ContractError(STAGE, "descriptor", f"shape {self.median.shape}", f"shape {descriptor.shape}")
        return self.median.copy()

    def update(self, descriptor: Array, update: bool) -> F64:
        """Count a descriptor (D,) if `update` is set, and recompute the median (D,), which is returned (spec 60.5).

        With nothing counted the median is the middle of the lowest bin. With one descriptor counted it is the
        descriptor at hand, exactly: also when that is an uncounted one of a failed frame.
        """
        if not self._counts.size:
            self._allocate(len(check_array(STAGE, "descriptor", descriptor, ("D",))))
        check_array(STAGE, "descriptor", descriptor, (len(self._counts),))
        values = descriptor.astype(np.float64)
        if update:
            self._count(values)
        median = values if self.total == 1 else self._middle_of_bin(self._median_bins())
        self.median = np.maximum(median, 0.0) if self.non_negative else median
        return self.median.copy()

    def reset(self) -> None:
        """Forget everything but the number of dimensions (spec 60.9)."""
        self._counts.fill(0)
        self._group_counts.fill(0)
        self.frames = self.total = 0
        self.median = np.zeros(len(self._counts))

    def _allocate(self, dimensions: int) -> None:
        groups = -(-self.n_bins // GROUP)
        self._counts = np.zeros((dimensions, groups, GROUP), np.int32)
        self._group_counts = np.zeros((dimensions, groups), np.int32)

    def _count(self, values: F64) -> None:
        position = (values - self.low) * self.n_bins / (self.high - self.low)
        bins = np.clip(position, 0, self.n_bins - 1).astype(np.intp)  # truncates
        dimension = np.arange(len(values))
        self._counts[dimension, bins // GROUP, bins % GROUP] += 1
        self._group_counts[dimension, bins // GROUP] += 1
        self.total += 1

    def _median_bins(self) -> npt.NDArray[np.intp]:
        """The first bin of each dimension at which the cumulative count reaches half of the total, rounded up."""
        half = (self.total + 1) // 2
        dimension = np.arange(len(self._counts))
        up_to_group = self._group_counts.cumsum(axis=1)
        group = (up_to_group >= half).argmax(axis=1)
        before = up_to_group[dimension, group] - self._group_counts[dimension, group]
        up_to_bin = before[:, None] + self._counts[dimension, group].cumsum(axis=1)
        bins: npt.NDArray[np.intp] = group * GROUP + (up_to_bin >= half).argmax(axis=1)
        return bins

    def _middle_of_bin(self, bins: npt.NDArray[np.intp]) -> F64:
        width = (self.high - self.low) / self.n_bins
        middle: F64 = self.low + bins.astype(np.float64) * width + 0.5 * width
        return middle


def hog_median() -> RunningMedian:
    """A fresh running median of FHOG descriptors (spec 60.5)."""
    return RunningMedian(*HOG_HISTOGRAM, non_negative=True)


def geometry_median() -> RunningMedian:
    """A fresh running median of geometry descriptors, mm (spec 60.5)."""
    return RunningMedian(*GEOMETRY_HISTOGRAM)


def running_medians(descriptors: Array, success: npt.NDArray[np.bool_], state: RunningMedian) -> F64:
    """Medians (N, D) float64 that N frames in time order are predicted with; `state` is carried forward.

    Parameters
    ----------
    descriptors : (N, D). success : (N,) bool, the tracker's own flag. state : changed in place.
    """
    check_array(STAGE, "descriptors", descriptors, ("N", "D"))
    if success.shape != (len(descriptors),) or success.dtype != np.bool_:
        raise ContractError(
            STAGE,
            "success",
            f"shape ({len(descriptors)},), dtype bool",
            f"shape {success.shape}, dtype {success.dtype}",
        )
    return np.stack([state.step(d, bool(s)) for d, s in zip(descriptors, success, strict=True)])


class MedianStage(Protocol):
    """Stage `running_median`, the state of one descriptor's median (spec 60.5)."""

    @property
    def median(self) -> F64: ...

    def step(self, descriptor: Array, success: bool) -> F64:
        """Descriptor (D,) of the next frame to the median (D,) float64 that its AUs are predicted with."""


def build(kind: MedianKind, *, numerics: Numerics = FLOAT32) -> MedianStage:
    """Stage `running_median`: a fresh median, which is computed in float64 whatever the working precision."""
    return hog_median() if kind == "hog" else geometry_median()
