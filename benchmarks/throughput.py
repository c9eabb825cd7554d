"""Frames a second of one and of several processes at once, and of one stream over two threads, on the same clip.

``python -m auparity.benchmarks.throughput CLIP [--models SOURCE] [--processes 2] [--seconds 5]``. The processes are
those of ``auparity extract --processes``. Decoding, compiling and packing come before the clock; then every process
goes over the clip again and again for the same seconds. One process and several take turns, because other work on the
machine falls on both.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auparity.accelerated.hardware import hardware
from auparity.accelerated.parallel.streams import process_frames
from auparity.accelerated.parallel.workers import Worker, Workers
from auparity.accelerated.pipeline import Pipeline, parse_spec
from auparity.benchmarks.yardstick import sgemm_gflops
from auparity.errors import AuparityError
from auparity.media import Frame, open_clip
from auparity.models.sources import open_bundle

START_UP = 30.0  # s a process may take until it is warm; kernels are compiled and cached by then

_warm: dict[Path, list[Frame]] = {}  # of this process


@dataclass(frozen=True)
class _Job:
    """Go over a clip from a common moment on."""

    clip: Path
    max_frames: int
    start: float  #: s since the epoch
    seconds: float


def read_frames(clip: Path, most: int) -> list[Frame]:
    """The first `most` frames of a clip."""
    with open_clip(clip) as source:
        return [Frame(frame.image, frame.timestamp) for _, frame in zip(range(most), source, strict=False)]


def _one_after_the_other(pipeline: Pipeline, frames: list[Frame]) -> None:
    session = pipeline.start_video()
    for frame in frames:
        session.process_frame(frame.image, frame.timestamp)


def _run(worker: Worker, job: _Job) -> float:
    """Frames a second of one process."""
    frames = _warm.get(job.clip)
    if frames is None:
        frames = _warm[job.clip] = read_frames(job.clip, job.max_frames)
        _one_after_the_other(worker.pipeline, frames)
    left = job.start - time.time()
    if left < 0:
        raise AuparityError(f"a process was not warm {START_UP:.0f} s after its start; is the machine busy?")
    time.sleep(left)
    done, end = 0, job.start + job.seconds
    session = worker.pipeline.start_video()
    while time.time() < end:
        if done and done % len(frames) == 0:
            session = worker.pipeline.start_video()
        frame = frames[done % len(frames)]
        session.process_frame(frame.image, frame.timestamp)
        done += 1
    return done / (time.time() - job.start)


def processes(
    pipeline: Pipeline, clip: Path, count: int, max_frames: int, seconds: float, rounds: int
) -> tuple[float, float]:
    """Best frames a second of one process, and of `count` at once."""
    one: list[float] = []
    several: list[float] = []
    with Workers(pipeline.bundle, pipeline.variants, count) as workers:
        start = time.time() + START_UP
        for k in range(rounds):
            several.append(sum(workers.map(_run, [_Job(clip, max_frames, start, seconds)] * count)))
            start = time.time() + 0.5
            one.append(sum(workers.map(_run, [_Job(clip, max_frames, start, seconds)])))
            start = time.time() + 0.5
            print(f"round {k + 1}: {one[-1]:.0f} and {several[-1]:.0f} frames a second", file=sys.stderr)
    return max(one), max(several)


def threads(pipeline: Pipeline, frames: list[Frame], rounds: int) -> tuple[float, float]:
    """Best frames a second of one stream on one thread, and over two."""
    best = [0.0, 0.0]
    _one_after_the_other(pipeline, frames)
    for _ in range(rounds):
        start = time.perf_counter()
        _one_after_the_other(pipeline, frames)
        middle = time.perf_counter()
        for _ in process_frames(pipeline.start_video(), frames):
            pass
        end = time.perf_counter()
        best = [max(best[0], len(frames) / (middle - start)), max(best[1], len(frames) / (end - middle))]
    return best[0], best[1]


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m auparity.benchmarks.throughput", description=__doc__)
    parser.add_argument("clip", type=Path, help="a video or a folder of images")
    parser.add_argument("--models", metavar="SOURCE", help="default: as auparity extract")
    parser.add_argument("--landmark-model", default="auto", choices=("auto", "clnf", "ceclm"))
    parser.add_argument("--widen", action="store_true", help="CE-CLM layers of the true sizes (embedded bundle)")
    parser.add_argument("--variants", default="best", metavar="SPEC")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5.0, help="of every turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-frames", type=int, default=200)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="JSON")
    chosen = parser.parse_args(arguments)
    bundle = open_bundle(chosen.models, chosen.landmark_model)
    bundle = bundle.widen() if chosen.widen else bundle
    choices = parse_spec(bundle, chosen.variants)
    pipeline, machine = Pipeline(bundle, choices), hardware()
    record: dict[str, Any] = {"machine": machine.as_dict(), "sgemm_gflops": sgemm_gflops(), "clip": str(chosen.clip)}
    record |= {"bundle": bundle.content_hash, "date": time.strftime("%Y-%m-%dT%H:%M:%S")}
    print(f"{machine.cpu}, {machine.vectors}; bundle {bundle.meta.name} {bundle.short_hash}, {bundle.face.name}")
    frames = read_frames(chosen.clip, chosen.max_frames)
    alone, over_two = threads(pipeline, frames, chosen.rounds)
    print(f"1 thread {alone:.0f} frames/s, one stream over 2 threads {over_two:.0f}: {over_two / alone:.2f} times")
    count = chosen.processes
    one, several = processes(pipeline, chosen.clip, count, chosen.max_frames, chosen.seconds, chosen.rounds)
    print(f"1 process {one:.0f} frames/s, {count} processes {several:.0f}: {several / one:.2f} times")
    record |= {"processes": {"1": one, str(count): several}, "threads": {"1": alone, "2": over_two}}
    if chosen.output:
        chosen.output.parent.mkdir(parents=True, exist_ok=True)
        chosen.output.write_text(json.dumps(record, indent=1, sort_keys=True), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
