"""The GPU pipeline in turns with the reference and the fastest CPU pipeline: streams and images.

Times are end to end: decoded frames are in the host's memory when the clock starts, and results are there when it
stops. Every round goes over the same frames with every pipeline, ten steps of each at a time, so that other work of the
machine affects all of them. For many streams, whose step takes the next frame of each, a turn is a whole round. If
their steps overlap (`DevicePipeline.stream`), the time of a step is that between its results and the previous ones,
including filling and emptying. A round of warm-up is not counted, and the first step of a round (detection, all
hypotheses) is counted by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.benchmarks.device.contenders import Contender, Pictures
from auparity.benchmarks.runner import REFERENCE_NAME, TURN, Progress
from auparity.reference.results import FrameResult
from auparity.reports.results.records import Speed

Array = npt.NDArray[Any]

#: The fastest variants of the CPU, on one stream or one image at a time.
CPU = "best of the CPU"


@dataclass(eq=False)
class Times:
    """The times and results of one contender."""

    contender: Contender
    rounds: list[Array] = field(default_factory=list)  #: ms of every step
    results: list[FrameResult] = field(default_factory=list)  #: of the last round

    def steady(self, first: int, most: int | None = None) -> list[Array]:
        """ms a frame of every round's steps, from step `first` on and up to `most`."""
        return [steps[first:most] / self.contender.frames for steps in self.rounds]


def take_turns(
    contenders: Sequence[Contender], rounds: int, *, progress: Progress = lambda *_: None, name: str = ""
) -> list[Times]:
    """Run every contender over its steps, `rounds` times after one round of warm-up (in which the reference does not
    run).

    Raises
    ------
    DeviceError, ContractError : a contender raised it; every round that was begun is ended.
    """
    times = [Times(contender) for contender in contenders]
    for number in range(rounds + 1):
        progress(name, number, rounds + 1)
        taking = [each for each in times if number or each.contender.name != REFERENCE_NAME]
        _take_round([each for each in taking if not each.contender.whole_rounds])
        for each in taking:
            if each.contender.whole_rounds:
                _take_round([each])
        if not number:
            for each in taking:
                each.rounds.clear()
    progress(name, rounds + 1, rounds + 1)
    return times


def _take_round(times: Sequence[Times]) -> None:
    taken: list[list[float]] = [[] for _ in times]
    for each in times:
        each.results = []
    try:
        for each in times:
            each.contender.begin()
        for start in range(0, max((each.contender.steps for each in times), default=0), TURN):
            for each, own in zip(times, taken, strict=True):
                steps = each.contender.steps
                stop = steps if each.contender.whole_rounds else min(start + TURN, steps)
                if len(own) < stop:
                    ms, results = each.contender.run(len(own), stop)
                    own += ms
                    each.results += results
    finally:
        for each in times:
            each.contender.end()
    for each, own in zip(times, taken, strict=True):
        each.rounds.append(np.array(own))


def speeds(workload: str, times: Sequence[Times], first: int, notes: Callable[[Times], str]) -> list[Speed]:
    """Records of all contenders, each beside the reference and the CPU if these took part.

    Parameters
    ----------
    first : number of first steps of a round that are counted by themselves. notes : remarks about each contender.
    """
    by_name = {each.contender.name: each for each in times}
    return [
        _speed(workload, each, first, by_name.get(REFERENCE_NAME), by_name.get(CPU), notes(each)) for each in times
    ]  # fmt: skip


def _speed(workload: str, own: Times, first: int, reference: Times | None, cpu: Times | None, note: str) -> Speed:
    steady = own.steady(first)
    together, medians = np.concatenate(steady), [float(np.median(steps)) for steps in steady]
    golden_ratios = _ratios(reference, own, first)
    parts = [f"{1000 / together.mean():.4g} frames a second"]
    if (frames := own.contender.frames) > 1:
        p95 = np.percentile(together, 95) * frames
        parts.append(f"a step of {frames} every {np.median(together) * frames:.4g} ms, p95 {p95:.4g} ms")
    if own is not cpu and own is not reference and (ratios := _ratios(cpu, own, first)):
        parts.append(
            f"{np.median(ratios):.4g} times as many as {CPU} in the same rounds ({min(ratios):.4g} to "
            f"{max(ratios):.4g})"
        )
    return Speed(
        workload, own.contender.name, own.contender.variants, short(np.median(together)), short(together.mean()),
        short(np.percentile(together, 95)), [short(value) for value in medians],
        short(np.median(golden_ratios)) if golden_ratios else None, [short(ratio) for ratio in golden_ratios],
        first_frame_ms=short(np.median([steps[0] for steps in own.rounds])) if first else None,
        note="; ".join(filter(None, [*parts, own.contender.about, note])),
    )  # fmt: skip


def _ratios(slow: Times | None, own: Times, first: int) -> list[float]:
    """The other's time for a frame over ours, round by round, over the steps that both took; for images over all steps,
    because they are the same images in steps of another size."""
    if slow is None:
        return []
    most = None if isinstance(own.contender, Pictures) else min(slow.contender.steps, own.contender.steps)
    typical = np.mean if own.contender.by_mean else np.median
    pairs = zip(slow.steady(first, most), own.steady(first, most), strict=True)
    return [float(typical(a) / typical(b)) for a, b in pairs if len(a) and len(b)]


def short(value: Any) -> float:
    """A number with four digits, which is enough for a time."""
    return float(f"{float(value):.4g}")
