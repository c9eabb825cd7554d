"""Frames a second of one and of several processes at once, and of one stream over two threads, on the same clip.

``auparity dev throughput CLIP [--models SOURCE] [--processes 2] [--seconds 5]``. The processes are those of ``auparity
extract --processes``. Decoding, compiling and packing come before the clock starts; then every process repeats the clip
for the same number of seconds. One process and several take turns, so that other work on the machine affects both.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from auparity.accelerated.choices import parse_spec
from auparity.accelerated.parallel.streams import process_frames
from auparity.accelerated.parallel.workers import Worker, Workers
from auparity.accelerated.pipeline import Pipeline
from auparity.errors import AuparityError
from auparity.media import Frame, open_clip
from auparity.models.networks.chosen import choose_bundle
from auparity.parity_tests.compare.provenance import provenance
from auparity.reports.results.records import Results, Speed, WorkloadRecord, save

START_UP = 30.0  # s that a process may take until it is warm; kernels are already compiled and cached

_warm: dict[Path, list[Frame]] = {}  # of this process


@dataclass(frozen=True)
class _Job:
    """Process a clip repeatedly, starting at a common moment."""

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
) -> tuple[list[float], list[float]]:
    """Frames a second of every round, of one process and of `count` at once."""
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
    return one, several


def threads(pipeline: Pipeline, frames: list[Frame], rounds: int) -> tuple[list[float], list[float]]:
    """Frames a second of every round, of one stream on one thread and over two."""
    one: list[float] = []
    two: list[float] = []
    _one_after_the_other(pipeline, frames)
    for _ in range(rounds):
        start = time.perf_counter()
        _one_after_the_other(pipeline, frames)
        middle = time.perf_counter()
        for _ in process_frames(pipeline.start_video(), frames):
            pass
        one.append(len(frames) / (middle - start))
        two.append(len(frames) / (time.perf_counter() - middle))
    return one, two


def speed(workload: str, pipeline: str, variants: dict[str, str], rates: list[float], alone: list[float]) -> Speed:
    """Rates in frames a second of several rounds as a record, beside those of one process or thread."""
    ms = [1000 / rate for rate in rates]
    ratio = statistics.median(a / b for a, b in zip(rates, alone, strict=True))
    best = max(rates)
    note = f"{best:.0f} frames a second at best, {ratio:.2f} times one"
    return Speed(workload, pipeline, variants, statistics.median(ms), statistics.fmean(ms), max(ms), ms, note=note)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="auparity dev throughput", description=__doc__)
    parser.add_argument("clip", type=Path, help="a video or a folder of images")
    parser.add_argument("--models", metavar="SOURCE", help="default: as auparity extract")
    parser.add_argument("--detector", metavar="MODEL", help="as auparity extract")
    parser.add_argument("--landmarks", default="auto", metavar="MODEL", help="as auparity extract")
    parser.add_argument("--start", metavar="NETWORK", help="as auparity extract")
    parser.add_argument("--widen", action="store_true", help="CE-CLM layers of the true sizes (embedded bundle)")
    parser.add_argument(
        "--variants",
        default="best",
        metavar="SPEC",
        help="as `auparity extract` (default: best)",
    )
    parser.add_argument("--processes", type=int, default=2, help="processes at a time (default: 2)")
    parser.add_argument("--seconds", type=float, default=5.0, help="seconds of every turn")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each (default: 3)")
    parser.add_argument("--max-frames", type=int, default=200, help="frames of the clip that are taken (default: 200)")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="result file, for `auparity report`")
    chosen = parser.parse_args(arguments)
    bundle = choose_bundle(chosen.models, landmarks=chosen.landmarks, detector=chosen.detector, start=chosen.start)
    bundle = bundle.widen() if chosen.widen else bundle
    pipeline = Pipeline.of_choices(bundle, parse_spec(bundle, chosen.variants))
    where = provenance(f"auparity dev throughput {chosen.clip.name}", yardstick=True)
    frames = read_frames(chosen.clip, chosen.max_frames)
    name, count = chosen.clip.stem, chosen.processes
    alone, over_two = threads(pipeline, frames, chosen.rounds)
    one, several = processes(pipeline, chosen.clip, count, chosen.max_frames, chosen.seconds, chosen.rounds)
    speeds = [
        speed(name, f"{chosen.variants}, 1 thread", pipeline.variants, alone, alone),
        speed(name, f"{chosen.variants}, one stream over 2 threads", pipeline.variants, over_two, alone),
        speed(name, f"{chosen.variants}, 1 process", pipeline.variants, one, one),
        speed(name, f"{chosen.variants}, {count} processes", pipeline.variants, several, one),
    ]
    print(f"{where.machine['cpu']}; bundle {bundle.meta.name} {bundle.short_hash}, {bundle.landmarker_name}")
    print("\n".join(f"{entry.pipeline}: {entry.note}" for entry in speeds))
    if chosen.output:
        height, width = frames[0].image.shape[:2]
        work = WorkloadRecord(
            name, bundle.meta.name, bundle.content_hash, bundle.landmarker_name, "stream", len(frames), width, height
        )  # fmt: skip
        save(Results("benchmark", where, [work], speeds), chosen.output)
    return 0
