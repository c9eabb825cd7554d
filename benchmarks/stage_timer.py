"""Times of a pipeline's stages: any `Stages` with a clock around every call.

Time is counted for the stage that uses it: patch experts inside a fit are not counted for the fit. The rest of a frame
(the tracker's bookkeeping, copies of results) belongs to no stage.
"""

from __future__ import annotations

import dataclasses
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from auparity.reference.stages import Stages, stage_table


@dataclass(frozen=True)
class Event:
    """One call of a stage."""

    stage: str
    start: float  #: s, of the clock
    seconds: float  #: with the calls inside
    depth: int  #: 0 for a call by the pipeline, 1 for one by another stage


@dataclass
class StageTimes:
    """Seconds and calls by stage, and the calls since `take_events`.

    Parameters
    ----------
    clock : seconds; `time.process_time` where other work keeps the machine busy.
    """

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    calls: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    events: list[Event] = field(default_factory=list)
    clock: Callable[[], float] = lambda: time.perf_counter()
    _inner: list[float] = field(default_factory=list)  # seconds of the calls inside each call that is running

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, with its own time counted for `stage`."""

        def call(*arguments: Any, **named: Any) -> Any:
            self._inner.append(0.0)
            start = self.clock()
            try:
                return function(*arguments, **named)
            finally:
                taken = self.clock() - start
                self.seconds[stage] += taken - self._inner.pop()
                self.calls[stage] += 1
                self.events.append(Event(stage, start, taken, len(self._inner)))
                if self._inner:
                    self._inner[-1] += taken

        return call

    def reset(self) -> None:
        """Start counting anew."""
        self.seconds.clear()
        self.calls.clear()
        self.events.clear()

    def take_events(self) -> list[Event]:
        """The calls since the last time, in order of their start."""
        taken = sorted(self.events, key=lambda event: event.start)
        self.events.clear()
        return taken


class _Timed:
    """A stage object with some of its methods timed; everything else is the object's own."""

    def __init__(self, stage: Any, name: str, times: StageTimes) -> None:
        self._stage = stage
        for method in stage_table()[name].methods:
            setattr(self, method, times.timed(name, getattr(stage, method)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stage, name)


def timed_stages(stages: Stages, times: StageTimes) -> Stages:
    """The same stages, every call of them counted in `times`."""

    def builder(name: str, build: Callable[..., Any]) -> Callable[..., Any]:
        def built(*parts: Any) -> Any:
            stage = build(*parts)
            return times.timed(name, stage) if stage_table()[name].is_function else _Timed(stage, name, times)

        return built

    return Stages(**{f.name: builder(f.name, getattr(stages, f.name)) for f in dataclasses.fields(Stages)})
