"""Running medians on a GPU (spec 60.5): histograms of many videos stay there, a thread a dimension and video.

Dimensions do not know of each other, so that a thread takes all frames of a batch in time order by itself. As in the
Numba variant a median moves from where it was, and counts are 16 bits wide until that many frames may have been
counted. The medians are the reference's, exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.device import Device, shared_device
from auparity.accelerated.cupy.launch import check_device_array
from auparity.errors import ContractError
from auparity.reference.contracts import check_array
from auparity.reference.running_median import GEOMETRY_HISTOGRAM, HOG_HISTOGRAM, STAGE, MedianKind

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]

THREADS = 128
MOST_IN_16_BITS = 65535
#: Attributes of a `MedianBatch` that have a row for each video.
STATE = ("_counts", "_place", "_below", "frames", "total", "median")
HISTOGRAMS = {"hog": (*HOG_HISTOGRAM, 0.0), "geometry": (*GEOMETRY_HISTOGRAM, -np.inf)}


class MedianBatch:
    """The running medians of V videos, on a device.

    Parameters
    ----------
    kind : which descriptor. dimensions : D. videos : V. dtype : of the descriptors, float32 or float64.
    """

    def __init__(
        self, device: Device, kind: MedianKind, dimensions: int, videos: int = 1, dtype: npt.DTypeLike = np.float64
    ) -> None:
        self._device, self.dimensions, self.videos, self.dtype = device, dimensions, videos, np.dtype(dtype)
        self.bins, self._low, self._high, self._lowest = HISTOGRAMS[kind]
        shape = (videos, dimensions)
        self._counts = device.zeros((*shape, self.bins), np.uint16)
        self._place, self._below = device.zeros(shape, np.int32), device.zeros(shape, np.int64)
        self.frames, self.total = device.zeros(videos, np.int64), device.zeros(videos, np.int64)
        self.median = device.zeros(shape, np.float64)  #: (V, D), that of each video's last frame
        self._most_counted = 0  # in any video, as far as the host knows

    def __call__(self, descriptors: Any, success: Any, videos: Any, starts: Any, longest: int) -> Any:
        """Medians (N, D) float64 that N frames are predicted with, on the device.

        Parameters
        ----------
        descriptors : (N, D). success : (N,) uint8, the trackers' own flags.
        videos : (G,) int32, different ones. starts : (G + 1,) int32: the rows from starts[g] up to starts[g + 1] are
            the next frames of videos[g], in time order; together all N.
        longest : frames of one video in this batch at most, so that nobody has to ask the device.

        Raises
        ------
        ContractError : another shape or dtype.
        """
        n, d = check_device_array(STAGE, "descriptors", descriptors, ("N", self.dimensions), self.dtype)
        check_device_array(STAGE, "success", success, (n,), np.uint8)
        (groups,) = check_device_array(STAGE, "videos", videos, ("G",), np.int32)
        check_device_array(STAGE, "starts", starts, (groups + 1,), np.int32)
        self._widen_before(longest)
        types = {
            "VALUE": "float" if self.dtype == np.float32 else "double",
            "COUNT": "u16" if self._counts.dtype == np.uint16 else "u32",
        }
        medians = self._device.empty((n, d), np.float64)
        histogram = (np.int32(self.bins), *map(np.float64, (self._low, self._high, self._lowest)))
        state = (self.frames, self.total, self._counts, self._place, self._below, self.median)
        self._device.kernel("running_median", "medians", **types)(
            (groups, -(-d // THREADS)), (THREADS,),
            (descriptors, success, videos, starts, np.int32(d), *histogram, *state, medians),
        )  # fmt: skip
        self._device.kernel("running_median", "advance", **types)(
            (-(-groups // THREADS),), (THREADS,), (success, videos, starts, np.int32(groups), self.frames, self.total)
        )
        return medians

    def reset(self, video: int) -> None:
        """Forget all frames of a video (spec 60.9)."""
        with self._device.active():
            for name in STATE:
                getattr(self, name)[video] = 0

    def grow(self, videos: int) -> None:
        """Make room for V videos, more than there were; those that there were keep their numbers and frames."""
        with self._device.active():
            for name in STATE:
                old = getattr(self, name)
                new = self._device.zeros((videos, *old.shape[1:]), old.dtype)
                new[: len(old)] = old
                setattr(self, name, new)
        self.videos = videos

    def _widen_before(self, longest: int) -> None:
        self._most_counted += (longest + 1) // 2  # every second frame, or one more of an odd number
        if self._most_counted > MOST_IN_16_BITS and self._counts.dtype == np.uint16:
            with self._device.active():
                self._counts = self._counts.astype(np.uint32)


class RunningMedian:
    """Stage `running_median` with arrays on the host; D is taken from the first descriptor."""

    def __init__(self, kind: MedianKind, device: Device) -> None:
        self._device, self._kind = device, kind
        self._batch: MedianBatch | None = None
        self._whole = device.upload(np.zeros(1, np.int32)), device.upload(np.array([0, 1], np.int32))
        self.median: F64 = np.zeros(0)

    def step(self, descriptor: Array, success: bool) -> F64:
        """Take the descriptor (D,) of the next frame; the median (D,) that this frame's AUs are predicted with."""
        if self._batch is None:
            dimensions = len(check_array(STAGE, "descriptor", descriptor, ("D",)))
            self._batch = MedianBatch(self._device, self._kind, dimensions)
        check_array(STAGE, "descriptor", descriptor, (self._batch.dimensions,))
        rows = self._device.upload(descriptor.astype(np.float64)[None])
        flags = self._device.upload(np.array([success], np.uint8))
        self.median = self._device.download(self._batch(rows, flags, *self._whole, longest=1))[0]
        return self.median.copy()

    def reset(self) -> None:
        """Forget everything but the number of dimensions (spec 60.9)."""
        if self._batch is not None:
            self._batch.reset(0)
            self.median = np.zeros(self._batch.dimensions)


def build(kind: MedianKind, device: Device | None = None) -> RunningMedian:
    """Stage `running_median`, on the shared GPU where no device is given."""
    if kind not in HISTOGRAMS:
        raise ContractError(STAGE, "kind", f"one of {', '.join(HISTOGRAMS)}", repr(kind))
    return RunningMedian(kind, device or shared_device())
