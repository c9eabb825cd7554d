"""A watched `Device`: launches, calls of array functions and bytes up and down are counted by stage, and stages are
timed, waiting for the device before and after.

Waiting keeps the work of one stage out of the time of the next. It also prevents host and device from working at the
same time, so the stages of a step add up to more than an unwatched step. Floors are computed when no clock runs. Use it
in one thread only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.device import Device
from auparity.benchmarks.device.floors import Work, bytes_of, grayscale
from auparity.benchmarks.device.rates import Rates
from auparity.benchmarks.stage_timer import StageTimes

Array = npt.NDArray[Any]

#: The name under which calls outside all stages are counted.
BETWEEN = "between the stages"
#: The source of kernels that are a stage of their own, called like it, wherever they are launched from.
GRAYSCALE = "grayscale"
#: The least work of a call, from its arguments and its result; it may read device arrays.
Counting = Callable[[tuple[Any, ...], Any], Work]


@dataclass
class Counts:
    """The counts of one stage."""

    launches: int = 0  #: of our own kernels
    array_calls: int = 0  #: of array functions of the device, which launch one kernel or a few
    up: int = 0  #: bytes
    down: int = 0


@dataclass
class StageFigures:
    """The figures of a watched device since `reset`, by stage."""

    times: StageTimes = field(default_factory=StageTimes)
    counts: dict[str, Counts] = field(default_factory=lambda: defaultdict(Counts))
    least: dict[str, float] = field(default_factory=dict)  #: s


class WatchedDevice:
    """A `Device` that passes everything on to another one; its stages are the functions given to `timed`.

    Parameters
    ----------
    device : does the work. rates : of that device, for floors.
    """

    def __init__(self, device: Device, rates: Rates) -> None:
        self.watched, self._rates = device, rates
        self.figures = StageFigures()
        self.xp: Any = _WatchedFunctions(device.xp, self)
        self._running = [BETWEEN]
        self._to_count: list[tuple[str, Counting, tuple[Any, ...], Any]] = []
        self.upload = self.timed("upload", self._upload, lambda given, _: Work(up=bytes_of(given[0])))
        self.copy_aside = self.timed("upload", self._copy_aside, lambda given, _: Work(up=bytes_of(given[1])))
        self.download = self.timed("download", self._download, lambda _, result: Work(down=bytes_of(result)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.watched, name)

    @property
    def counts(self) -> Counts:
        """The counts of the running stage."""
        return self.figures.counts[self._running[-1]]

    def kernel(self, source: str, name: str, **defines: Any) -> Any:
        """See `Device`."""
        kernel = _WatchedKernel(self.watched.kernel(source, name, **defines), self)
        return self.timed(GRAYSCALE, kernel, _gray) if source == GRAYSCALE else kernel

    def timed(self, stage: str, function: Callable[..., Any], counting: Counting | None = None) -> Callable[..., Any]:
        """`function`, with its own time and launches counted for `stage`; `counting` returns its least work."""

        def finished(*arguments: Any, **named: Any) -> Any:
            result = function(*arguments, **named)
            self.watched.synchronize()
            return result

        def call(*arguments: Any, **named: Any) -> Any:
            self.watched.synchronize()
            self._running.append(stage)
            try:
                result = self.figures.times.timed(stage, finished)(*arguments, **named)
            finally:
                self._running.pop()
            if counting is not None:
                self._to_count.append((stage, counting, arguments, result))
            return result

        return call

    def counted(self, stage: str, function: Callable[..., Any], counting: Counting) -> Callable[..., Any]:
        """`function`, whose least work is counted for `stage`, within which it is called."""

        def call(*arguments: Any, **named: Any) -> Any:
            result = function(*arguments, **named)
            self._to_count.append((stage, counting, arguments, result))
            return result

        return call

    def settle(self) -> None:
        """Count the least work of the calls since the last count; called between steps, when no clock runs."""
        least = self.figures.least
        for stage, counting, arguments, result in self._to_count:
            least[stage] = least.get(stage, 0.0) + self._rates.seconds(counting(arguments, result))
        self._to_count.clear()
        self.figures.times.events.clear()

    def reset(self) -> None:
        """Forget all figures."""
        self._to_count.clear()
        self.figures = StageFigures()

    def _upload(self, array: Array) -> Any:
        self.counts.up += array.nbytes
        return self.watched.upload(array)

    def _copy_aside(self, target: Any, source: Array, after: Any = None) -> Any:
        self.counts.up += source.nbytes
        copied = self.watched.copy_aside(target, source, after)
        copied.synchronize()  # its stream is not the one that others wait for
        return copied

    def _download(self, array: Any, *out: Any) -> Array:
        copied_array: Array = self.watched.download(array, *out)
        self.counts.down += copied_array.nbytes
        return copied_array


def _gray(given: tuple[Any, ...], _: Any) -> Work:
    return grayscale(argument for argument in given[2] if not isinstance(argument, np.generic))


class _WatchedKernel:
    def __init__(self, kernel: Any, device: WatchedDevice) -> None:
        self._kernel, self._device = kernel, device

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...], shared_bytes: int = 0
    ) -> None:
        self._device.counts.launches += 1
        self._kernel(grid, block, arguments, shared_bytes)


class _WatchedFunctions:
    """The device's array module with its functions counted; arithmetic and indexing of arrays are not counted."""

    def __init__(self, xp: Any, device: WatchedDevice) -> None:
        self._xp, self._device = xp, device

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._xp, name)
        if isinstance(attribute, type) or not callable(attribute):
            return attribute

        def call(*arguments: Any, **named: Any) -> Any:
            self._device.counts.array_calls += 1
            return attribute(*arguments, **named)

        return call
