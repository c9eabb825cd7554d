"""Where the time of a clip goes, what limits it, and which other variant would help most (`auparity profile`).

The pipeline runs over the clip with a clock around every stage. To estimate the gain of other variants,
the reference pipeline processes a few of the frames, the arguments of every stage are kept, and every installed variant
that supports these models is timed on them, in turns with the one in use. For variants that are not installed, stored
benchmarks of the same kind of hardware are used, and the output says so.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.choices import Choice, models_of
from auparity.accelerated.pipeline import Pipeline
from auparity.accelerated.registry import STAGES, Variant, registry
from auparity.benchmarks.runner import shared_stages, synchronise
from auparity.benchmarks.stage_timer import Event, StageTimes, timed_stages
from auparity.errors import AuparityError
from auparity.parity_tests.suite.stage_capture import Call, Capture
from auparity.reference.numerics import FLOAT32
from auparity.reference.pipeline import StagedPipeline
from auparity.reference.stages import reference_stages, stage_table
from auparity.reports.results.records import Results

Image = npt.NDArray[np.uint8]
Array = npt.NDArray[Any]
Progress = Callable[[str, int, int], None]

WARM_UP = 3  #: frames before those whose arguments are kept: detection is not part of tracking
KEPT_FRAMES, TURNS = 6, 5


@dataclass(frozen=True)
class StageTime:
    """One stage, means over the steady frames."""

    stage: str
    variant: str
    ms: float
    share: float  #: of the frame
    calls: float
    bound: float  #: how many times as fast a frame would be if this stage took no time (Amdahl)


@dataclass(frozen=True)
class AlternativeEstimate:
    """Another variant of a stage, and what a frame would take with it."""

    stage: str
    variant: str
    ms: float  #: of the stage, a frame
    frame_ms: float
    gain: float  #: times as fast a frame would be
    source: str  #: "measured" or the run whose record it is


@dataclass(frozen=True, eq=False)
class Profile:
    """The result of `profile`."""

    frames: int
    frame_ms: float  #: mean of the steady frames
    median_ms: float
    first_ms: float
    stages: list[StageTime]  #: slowest first
    between_ms: float  #: between the stages
    alternatives: list[AlternativeEstimate]  #: best first; only those that would help
    not_tried: dict[str, str]  #: variants, and why not
    timeline: list[list[Event]] = field(default_factory=list)  #: of the last steady frames

    @property
    def bottleneck(self) -> StageTime:
        """The slowest stage."""
        return self.stages[0]


def profile(
    pipeline: Pipeline, images: Sequence[Image], kept: Sequence[Results] = (), progress: Progress | None = None
) -> Profile:
    """Profile a pipeline on the frames of one clip.

    Parameters
    ----------
    kept : stored benchmarks, for variants that are not installed.

    Raises
    ------
    AuparityError : there are fewer frames than a profile needs, or no face in them.
    """
    tell = progress or (lambda name, done, total: None)
    if len(images) < WARM_UP + 2:
        raise AuparityError(f"a profile needs at least {WARM_UP + 2} frames; there are {len(images)}.")
    clocks = StageTimes()
    stages = shared_stages(pipeline.choices)
    _over(StagedPipeline(pipeline.bundle, stages, FLOAT32), images, lambda k: tell("warming up", k, len(images)))
    staged = StagedPipeline(pipeline.bundle, timed_stages(stages, clocks), FLOAT32)
    timeline: list[list[Event]] = []

    def after(k: int) -> None:
        tell("timing", k, len(images))
        if k == 1:
            clocks.reset()  # the first frame, with its detection, counts by itself
        else:
            timeline.append(clocks.take_events())

    ms = _over(staged, images, after)
    steady = ms[1:]
    count, frame_ms = len(steady), float(steady.mean())
    stage_times = []
    for stage in STAGES:
        if stage in clocks.seconds:
            own = 1000 * clocks.seconds[stage] / count
            bound = frame_ms / max(frame_ms - own, 1e-9)
            calls = clocks.calls[stage] / count
            stage_times.append(StageTime(stage, pipeline.variants[stage], own, own / frame_ms, calls, bound))
    stage_times.sort(key=lambda entry: -entry.ms)
    if not stage_times:
        raise AuparityError("no stage was timed.")
    between = frame_ms - sum(entry.ms for entry in stage_times)
    alternatives, not_tried = _what_if(pipeline, images, stage_times, frame_ms, kept, tell)
    return Profile(
        len(images),
        frame_ms,
        float(np.median(steady)),
        float(ms[0]),
        stage_times,
        between,
        alternatives,
        not_tried,
        timeline[-3:],
    )


def _over(pipeline: StagedPipeline, images: Sequence[Image], after: Callable[[int], None]) -> Array:
    """Milliseconds of every frame; `after` is called with the number of frames done."""
    session, times = pipeline.start_video(), []
    for k, image in enumerate(images):
        start = time.perf_counter()
        session.process_frame(image, k / 30)
        synchronise()
        times.append(1000 * (time.perf_counter() - start))
        after(k + 1)
    return np.array(times)


def _what_if(
    pipeline: Pipeline, images: Sequence[Image], stages: Sequence[StageTime], frame_ms: float, kept: Sequence[Results],
    tell: Progress,
) -> tuple[list[AlternativeEstimate], dict[str, str]]:  # fmt: skip
    kept_frames = min(KEPT_FRAMES, len(images) - WARM_UP)
    calls = _arguments(pipeline, images[: WARM_UP + kept_frames])
    parts, options, not_tried = models_of(pipeline.bundle), [], {}
    for number, entry in enumerate(stages):
        tell("what if", number, len(stages))
        taken = calls.calls.get(entry.stage, [])
        own = pipeline.choices[entry.stage]
        for variant in registry().of_stage(entry.stage).values():
            if variant.name == own.variant.name or not taken:
                continue
            why = variant.unavailable_reason() or next(
                (w for each in parts[entry.stage] if (w := variant.unavailable_reason(each))), ""
            )
            if not why and variant.precision != own.variant.precision:
                why = f"computes in {variant.precision}: another tolerance class"
            if why:
                not_tried[f"{entry.stage} {variant.name}"] = why
                options += _from_records(entry, variant, frame_ms, kept)
                continue
            ratio = _ratio(own, variant, taken)
            ms = entry.ms * ratio
            options.append(_option(entry, variant.name, ms, frame_ms, "measured"))
    tell("what if", len(stages), len(stages))
    return sorted((o for o in options if o.gain > 1), key=lambda o: -o.gain), not_tried


def _option(entry: StageTime, variant: str, ms: float, frame_ms: float, source: str) -> AlternativeEstimate:
    whole = frame_ms - entry.ms + ms
    return AlternativeEstimate(entry.stage, variant, ms, whole, frame_ms / whole, source)


def _arguments(pipeline: Pipeline, images: Sequence[Image]) -> Capture:
    """The reference pipeline's calls of every stage on frames behind the first ones."""
    taken = Capture(most=1 << 30)
    session = StagedPipeline(pipeline.bundle, taken.stages(reference_stages(FLOAT32)), FLOAT32).start_video()
    for k, image in enumerate(images):
        if k == WARM_UP:
            for stage, calls in taken.calls.items():
                if not stage_table()[stage].stateful:  # those are played from their beginning
                    calls.clear()
        session.process_frame(image, k / 30)
    return taken


def _ratio(own: Choice, other: Variant, calls: Sequence[Call]) -> float:
    """Time of another variant over the time of the one in use, on the same calls, in turns."""
    best = {"own": float("inf"), "other": float("inf")}
    stages: dict[str, dict[int, Any]] = {"own": {}, "other": {}}
    for turn in range(TURNS + 1):  # the first compiles and packs
        for name, build in (("own", own.build), ("other", other.build)):
            built = stages[name]
            if stage_table()[calls[0].stage].stateful:
                built.clear()
            total = 0.0
            for call in calls:
                if call.instance not in built:
                    built[call.instance] = build(*call.parts)
                function = getattr(built[call.instance], call.method) if call.method else built[call.instance]
                arguments = copy.deepcopy(call.arguments)
                start = time.perf_counter()
                function(*arguments)
                synchronise()
                total += time.perf_counter() - start
            if turn:
                best[name] = min(best[name], total)
    return best["other"] / best["own"]


def _from_records(
    entry: StageTime, variant: Variant, frame_ms: float, kept: Sequence[Results]
) -> list[AlternativeEstimate]:
    """Estimates from stored benchmarks for a variant that cannot run here, relative to the one in use."""
    for run in reversed(kept):
        by_workload: dict[str, dict[str, float]] = {}
        for speed in run.speeds:
            for stage in speed.stages:
                if stage.stage == entry.stage:
                    by_workload.setdefault(speed.workload, {})[stage.variant] = stage.ms
        for measured in by_workload.values():
            if entry.variant in measured and variant.name in measured:
                ms = entry.ms * measured[variant.name] / measured[entry.variant]
                return [_option(entry, variant.name, ms, frame_ms, f"record of {run.provenance.date[:10]}")]
    return []
