"""Milliseconds a frame of a pipeline on a clip, stage by stage, beside the golden pipeline on the same frames.

``python -m auparity.benchmarks.frames CLIP [--models SOURCE] [--variants best|SPEC] [--photographs FOLDER]``. Frames
are decoded before the clock starts. The pipeline and the golden one take turns in one process, a few frames at a time,
so that whatever else the machine does falls on both; the first frame (detection, all hypotheses) counts by itself.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.hardware import hardware
from auparity.accelerated.pipeline import Choice, Pipeline, parse_spec
from auparity.accelerated.registry import REFERENCE, STAGES, registry
from auparity.benchmarks.stage_timer import StageTimes, timed_stages
from auparity.benchmarks.yardstick import memory_gbs, sgemm_gflops
from auparity.media import open_clip, read_image
from auparity.models.bundle import Bundle
from auparity.models.sources import open_bundle
from auparity.reference.pipeline import StagedPipeline
from auparity.reference.stages import Stages

Image = npt.NDArray[np.uint8]

TURN = 10  # frames of one pipeline before it is the other's turn


@dataclass(frozen=True)
class Timing:
    """Milliseconds a frame of one pipeline."""

    variants: dict[str, str]
    first_frame: float
    steady_median: float
    steady_mean: float
    steady_p95: float
    stages: dict[str, float]  #: mean of the steady frames
    calls: dict[str, float]
    staged_mean: float = 0.0  #: of the run whose stages were timed, which its stages are shares of


def _stages(choices: dict[str, Choice]) -> Stages:
    """Builders that build once for the same parts, as runs of a pipeline share its models; medians are a clip's own."""
    built: dict[tuple[Any, ...], tuple[Any, Any]] = {}  # parts are kept as well, so that no other gets their id

    def builder(stage: str) -> Callable[..., Any]:
        def build(*parts: Any) -> Any:
            key = (stage, *map(id, parts))
            if key not in built:
                built[key] = choices[stage].build(*parts), parts
            return built[key][0]

        return choices[stage].build if stage == "running_median" else build

    return Stages(**{stage: builder(stage) for stage in STAGES})


class _Run:
    """One pass of a pipeline over the frames; with `times`, a clock stands around every stage, which costs a little."""

    def __init__(self, pipeline: StagedPipeline, times: StageTimes | None = None) -> None:
        self.session, self.times = pipeline.start_video(), times or StageTimes()
        self.milliseconds: list[float] = []

    def frame(self, image: Image) -> None:
        if len(self.milliseconds) == 1:
            self.times.reset()
        start = time.perf_counter()
        self.session.process_frame(image, 0.0)
        self.milliseconds.append(1000 * (time.perf_counter() - start))

    def result(self, choices: dict[str, Choice]) -> Timing:
        steady = np.array(self.milliseconds[1:])
        count = len(steady)
        return Timing(
            {stage: choice.name for stage, choice in choices.items()}, self.milliseconds[0], float(np.median(steady)),
            float(steady.mean()), float(np.percentile(steady, 95)),
            {stage: 1000 * self.times.seconds[stage] / count for stage in STAGES if stage in self.times.seconds},
            {stage: self.times.calls[stage] / count for stage in STAGES if stage in self.times.calls},
        )  # fmt: skip


def measure(
    bundle: Bundle, choices: dict[str, Choice], images: list[Image], *, golden_frames: int, passes: int = 3
) -> tuple[Timing, Timing | None]:
    """Timing of a pipeline (the pass of lowest median) and of the golden one on the first `golden_frames` frames.

    Before the clock starts, the pipeline has been over the clip once: kernels are compiled, the weights of all views
    that the clip shows are packed.
    """
    numerics, stages, clocks = Pipeline(bundle, choices).numerics, _stages(choices), StageTimes()
    pipeline = StagedPipeline(bundle, stages, numerics)
    warm = _Run(pipeline)
    for image in images:
        warm.frame(image)
    runs = [_Run(pipeline) for _ in range(passes)]
    staged = _Run(StagedPipeline(bundle, timed_stages(stages, clocks), numerics), clocks)
    reference = {stage: Choice(stage, registry().get(stage, REFERENCE), "the golden") for stage in STAGES}
    golden = None
    if golden_frames > 1:
        times = StageTimes()
        golden_numerics = Pipeline(bundle, reference).numerics
        golden = _Run(StagedPipeline(bundle, timed_stages(_stages(reference), times), golden_numerics), times)
    for start in range(0, len(images), TURN):
        # Several frames at a time: in turns of one, each would find the others' models in the caches.
        for run in (*runs, staged):
            for image in images[start : start + TURN]:
                run.frame(image)
        if golden is not None:
            for image in images[start : min(start + TURN, golden_frames)]:
                golden.frame(image)
    best = min((run.result(choices) for run in runs), key=lambda timing: timing.steady_median)
    by_stage = staged.result(choices)
    best = replace(best, stages=by_stage.stages, calls=by_stage.calls, staged_mean=by_stage.steady_mean)
    return best, golden.result(reference) if golden is not None else None


def measure_photographs(bundle: Bundle, choices: dict[str, Choice], images: list[Image]) -> dict[str, float]:
    """Milliseconds a face of photographs, best of three."""
    pipeline = Pipeline(bundle, choices)
    pipeline.process_image(images[0])
    best, faces = float("inf"), 0
    for _ in range(3):
        start = time.perf_counter()
        faces = sum(len(pipeline.process_image(image)) for image in images)
        best = min(best, time.perf_counter() - start)
    return {"ms_per_photograph": 1000 * best / len(images), "ms_per_face": 1000 * best / max(faces, 1), "faces": faces}


def table(timing: Timing, golden: Timing | None) -> str:
    """The stages of a pipeline as Markdown, slowest first."""
    total = timing.staged_mean or timing.steady_mean
    lines = ["| stage | variant | calls | ms | share | times the golden |", "|---|---|---|---|---|---|"]
    rest = total - sum(timing.stages.values())
    for stage in sorted(timing.stages, key=lambda s: -timing.stages[s]):
        ratio = f"{golden.stages[stage] / timing.stages[stage]:.1f}" if golden and stage in golden.stages else ""
        lines.append(
            f"| {stage} | {timing.variants[stage]} | {timing.calls[stage]:.1f} | {timing.stages[stage]:.3f} "
            f"| {timing.stages[stage] / total:.0%} | {ratio} |"
        )
    lines.append(f"| between stages | | | {rest:.3f} | {rest / total:.0%} | |")
    lines.append(f"| frame, stages timed | | | {total:.3f} | | |")
    ratio = f"{golden.steady_mean / timing.steady_mean:.1f}" if golden else ""
    lines.append(f"| **frame** | | | **{timing.steady_mean:.3f}**, median {timing.steady_median:.3f} | | {ratio} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m auparity.benchmarks.frames", description=__doc__)
    parser.add_argument("clip", type=Path, nargs="?", help="a video or a folder of images")
    parser.add_argument("--models", metavar="SOURCE", help="default: as auparity extract")
    parser.add_argument("--landmark-model", default="auto", choices=("auto", "clnf", "ceclm"))
    parser.add_argument("--widen", action="store_true", help="CE-CLM layers of the true sizes (embedded bundle)")
    parser.add_argument("--variants", default="best", metavar="SPEC", help='"best", or e.g. "numba,fhog=reference"')
    parser.add_argument("--max-frames", type=int, default=300)
    parser.add_argument("--golden-frames", type=int, default=40, help="0 leaves the golden pipeline out")
    parser.add_argument("--photographs", type=Path, metavar="FOLDER")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="JSON")
    chosen = parser.parse_args(arguments)
    bundle = open_bundle(chosen.models, chosen.landmark_model)
    bundle = bundle.widen() if chosen.widen else bundle
    choices = parse_spec(bundle, chosen.variants)
    machine = hardware()
    gflops, gbs = sgemm_gflops(), memory_gbs()
    print(f"{machine.cpu}, {machine.vectors}; SGEMM {gflops:.0f} GFLOP/s, copy {gbs:.0f} GB/s on one thread")
    print(f"bundle {bundle.meta.name} {bundle.short_hash}, {bundle.face.name}")
    record: dict[str, Any] = {"machine": machine.as_dict(), "sgemm_gflops": gflops, "copy_gbs": gbs}
    record |= {"bundle": bundle.content_hash, "date": time.strftime("%Y-%m-%dT%H:%M:%S")}
    if chosen.clip:
        with open_clip(chosen.clip) as source:
            images = [frame.image for _, frame in zip(range(chosen.max_frames), source, strict=False)]
        timing, golden = measure(bundle, choices, images, golden_frames=min(chosen.golden_frames, len(images)))
        print(f"{chosen.clip}: {len(images)} frames, first {timing.first_frame:.0f} ms, p95 {timing.steady_p95:.2f} ms")
        print(table(timing, golden))
        record |= {"clip": str(chosen.clip), "timing": asdict(timing), "golden": asdict(golden) if golden else None}
    if chosen.photographs:
        pictures = [read_image(path) for path in sorted(chosen.photographs.iterdir())]
        record["photographs"] = measure_photographs(bundle, choices, pictures)
        print("photographs:", ", ".join(f"{k} {v:.1f}" for k, v in record["photographs"].items()))
    record["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {record['peak_mib']:.0f} MiB")
    if chosen.output:
        chosen.output.parent.mkdir(parents=True, exist_ok=True)
        chosen.output.write_text(json.dumps(record, indent=1, sort_keys=True), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
