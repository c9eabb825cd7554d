"""Pipelines timed on a workload, in turns with the reference, in one process.

Every pass goes over the same frames with every pipeline, a few frames of each at a time, so that other work of the
machine affects all of them. Passes are repeated, and a ratio to the reference is taken within each pass on the same
frames. Before a clock starts, each pipeline has processed the workload once, so that kernels are compiled and the
weights of all views are packed. The clock stops only when a device has finished its work. The first frame of a clip
(detection, all hypotheses) is counted by itself.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.choices import Choice, parse_spec
from auparity.accelerated.pipeline import Pipeline
from auparity.accelerated.registry import REFERENCE, STAGES, registry
from auparity.benchmarks.floors import stage_floors
from auparity.benchmarks.parity_of_run import parity_of_run
from auparity.benchmarks.stage_timer import StageTimes, timed_stages
from auparity.benchmarks.workloads import TimedWorkload
from auparity.models.bundle import Bundle
from auparity.reference.clip_options import ClipOptions
from auparity.reference.numerics import FLOAT32
from auparity.reference.pipeline import StagedPipeline, VideoSession
from auparity.reference.results import FrameResult
from auparity.reference.stages import Stages
from auparity.reports.results.records import MeasuredError, Provenance, Speed, StageSpeed

Image = npt.NDArray[np.uint8]
Array = npt.NDArray[Any]
#: Called with the name of what is running, the passes done, and the number of passes.
Progress = Callable[[str, int, int], None]

REFERENCE_NAME = "the reference"
TURN = 10  #: frames of one pipeline in a turn: enough to fill the caches with its own models
PASSES, REFERENCE_FRAMES = 5, 20


def shared_stages(choices: dict[str, Choice]) -> Stages:
    """Builders that build once for the same parts, so that runs share models; each clip has its own medians."""
    built: dict[tuple[Any, ...], tuple[Any, Any]] = {}  # parts are kept as well, so that their ids are not reused

    def builder(stage: str) -> Callable[..., Any]:
        def build(*parts: Any) -> Any:
            key = (stage, *map(id, parts))
            if key not in built:
                built[key] = choices[stage].build(*parts), parts
            return built[key][0]

        return choices[stage].build if stage == "running_median" else build

    return Stages(**{stage: builder(stage) for stage in STAGES})


def synchronise() -> None:
    """Wait for the devices on which loaded frameworks may still be computing, if there are any."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    if torch is not None and getattr(torch, "mps", None) is not None and torch.backends.mps.is_available():
        torch.mps.synchronize()
    cupy = sys.modules.get("cupy")
    if cupy is not None:
        cupy.cuda.get_current_stream().synchronize()


@dataclass(eq=False)
class TimedPipeline:
    """A timed pipeline: its stages are built once, its sessions begin anew in every pass."""

    name: str
    choices: dict[str, Choice]
    precision: str  #: class of the coarsest variant
    pipeline: StagedPipeline
    staged: StagedPipeline  #: the same stages with a clock around each
    clocks: StageTimes
    limit: int  #: number of frames of each clip that it processes
    passes: list[list[Array]] = field(default_factory=list)  #: ms by pass and clip
    results: list[list[FrameResult]] = field(default_factory=list)  #: of the last pass, by clip

    @classmethod
    def of(cls, name: str, bundle: Bundle, choices: dict[str, Choice], limit: int) -> TimedPipeline:
        """A timed pipeline from its variants."""
        stages, clocks, whole = shared_stages(choices), StageTimes(), Pipeline.of_choices(bundle, choices)
        return cls(
            name, choices, whole.precision, StagedPipeline(bundle, stages, FLOAT32),
            StagedPipeline(bundle, timed_stages(stages, clocks), FLOAT32), clocks, limit,
        )  # fmt: skip


def measure(
    work: TimedWorkload,
    specs: Sequence[str],
    provenance: Provenance,
    *,
    passes: int = PASSES,
    reference_frames: int = REFERENCE_FRAMES,
    progress: Progress = lambda name, done, total: None,
) -> tuple[list[Speed], list[MeasuredError]]:
    """Speeds of the reference and of every spec (as `parse_spec` reads them) on a workload, and the parity of that run.

    Parameters
    ----------
    reference_frames : frames of each clip on which the reference runs; with 0 there are no ratios and no parity.

    Raises
    ------
    ContractError, VariantUnavailable : a spec is wrong or cannot run here.
    """
    frames = max(map(len, work.clips))
    timed_pipelines = [TimedPipeline.of(spec, work.bundle, parse_spec(work.bundle, spec), frames) for spec in specs]
    if reference_frames:
        reference = {stage: Choice(stage, registry().get(stage, REFERENCE), "the reference") for stage in STAGES}
        timed_pipelines.insert(0, TimedPipeline.of(REFERENCE_NAME, work.bundle, reference, reference_frames))
    run = _photographs if work.kind == "photographs" else _clips
    for number in range(-1, passes + 1):  # one pass of warm-up, the timed passes, and one by stage
        progress(work.name, number + 1, passes + 2)
        if number < 0:
            run([c for c in timed_pipelines if c.name != REFERENCE_NAME], work, staged=False)
        else:
            run(timed_pipelines, work, staged=number == passes)
        for timed in timed_pipelines:
            if number < 0:
                timed.passes.clear()
    progress(work.name, passes + 2, passes + 2)
    reference_run = timed_pipelines[0] if reference_frames else None
    speeds = [_speed(work, timed, reference_run, provenance) for timed in timed_pipelines]
    errors: list[MeasuredError] = []
    if reference_run is not None:
        for one in timed_pipelines[1:]:
            errors += parity_of_run(work.name, one.name, one.precision, reference_run.results, one.results)
    return speeds, errors


def _clips(timed_pipelines: Sequence[TimedPipeline], work: TimedWorkload, *, staged: bool) -> None:
    """One pass over all clips side by side, frame after frame of each; a staged pass keeps only its stage times."""
    sessions: list[list[VideoSession]] = []
    times: list[list[list[float]]] = []
    for timed in timed_pipelines:
        pipeline = timed.staged if staged else timed.pipeline
        sessions.append([pipeline.start_clip(ClipOptions()) for _ in work.clips])
        times.append([[] for _ in work.clips])
        timed.results = [[] for _ in work.clips]
    for start in range(0, max(map(len, work.clips)), TURN):
        for k, timed in enumerate(timed_pipelines):
            for index in range(start, min(start + TURN, timed.limit)):
                for clip, images in enumerate(work.clips):
                    if index >= len(images):
                        continue
                    if index == 1 and clip == 0:
                        timed.clocks.reset()  # the first frames are not counted for the stages
                    begin = time.perf_counter()
                    result = sessions[k][clip].process_frame(images[index], index / 30)
                    synchronise()
                    times[k][clip].append(1000 * (time.perf_counter() - begin))
                    timed.clocks.events.clear()
                    timed.results[clip].append(result)
    if not staged:
        for timed, own_times in zip(timed_pipelines, times, strict=True):
            timed.passes.append([np.array(clip) for clip in own_times])


def _photographs(timed_pipelines: Sequence[TimedPipeline], work: TimedWorkload, *, staged: bool) -> None:
    """One pass over all images; `results` has the first face of each."""
    images = work.clips[0]
    pass_times: list[list[float]] = [[] for _ in timed_pipelines]
    for timed in timed_pipelines:
        timed.results = [[]]
        timed.clocks.reset()
    for index, image in enumerate(images):
        for k, timed in enumerate(timed_pipelines):
            if index >= timed.limit:
                continue
            pipeline = timed.staged if staged else timed.pipeline
            begin = time.perf_counter()
            faces = pipeline.process_image(image)
            synchronise()
            pass_times[k].append(1000 * (time.perf_counter() - begin))
            timed.results[0] += faces[:1]
    if not staged:
        for timed, times in zip(timed_pipelines, pass_times, strict=True):
            timed.passes.append([np.array(times)])


def _steady(work: TimedWorkload, timed: TimedPipeline, most: int | None = None) -> list[Array]:
    """ms of the steady frames of every pass, all clips together; of each clip the first `most`."""
    first = 0 if work.kind == "photographs" else 1
    return [np.concatenate([clip[first:most] for clip in clips]) for clips in timed.passes]


def _speed(
    work: TimedWorkload, timed: TimedPipeline, reference_run: TimedPipeline | None, provenance: Provenance
) -> Speed:
    steady = _steady(work, timed)
    ratios: list[float] = []
    if reference_run is not None:
        most = min(reference_run.limit, timed.limit)
        ours, theirs = _steady(work, timed, most), _steady(work, reference_run, most)
        ratios = [float(np.median(a) / np.median(b)) for a, b in zip(theirs, ours, strict=True)]
    together = np.concatenate(steady)
    first = None
    if work.kind != "photographs":
        first = float(np.median([clip[0] for clips in timed.passes for clip in clips]))
    return Speed(
        workload=work.name,
        pipeline=timed.name,
        variants={stage: choice.name for stage, choice in timed.choices.items()},
        ms_median=_round(np.median(together)),
        ms_mean=_round(together.mean()),
        ms_p95=_round(np.percentile(together, 95)),
        repeats=[_round(np.median(times)) for times in steady],
        golden_ratio=_round(np.median(ratios)) if ratios else None,
        golden_ratios=[_round(ratio) for ratio in ratios],
        first_frame_ms=None if first is None else _round(first),
        stages=_stages(work, timed, reference_run, provenance),
    )


def _stages(
    work: TimedWorkload, timed: TimedPipeline, reference_run: TimedPipeline | None, provenance: Provenance
) -> list[StageSpeed]:
    floors = stage_floors(work.bundle, provenance)

    def per_frame(one: TimedPipeline, what: dict[str, Any]) -> dict[str, float]:
        lengths = [min(len(clip), one.limit) for clip in work.clips]
        count = sum(lengths) if work.kind == "photographs" else sum(length - 1 for length in lengths)
        return {stage: value / max(count, 1) for stage, value in what.items()}

    seconds, calls = per_frame(timed, timed.clocks.seconds), per_frame(timed, timed.clocks.calls)
    theirs = {} if reference_run is None else per_frame(reference_run, reference_run.clocks.seconds)
    stages = []
    for stage in STAGES:
        if stage not in seconds:
            continue
        per_call = floors.get(stage)
        stages.append(
            StageSpeed(
                stage, timed.choices[stage].name, _round(1000 * seconds[stage]), round(calls[stage], 2),
                _round(1000 * theirs[stage]) if stage in theirs else None,
                None if per_call is None or work.kind == "photographs" else _round(per_call),
            )
        )  # fmt: skip
    return sorted(stages, key=lambda entry: -entry.ms)


def _round(value: Any) -> float:
    return float(f"{float(value):.4g}")
