"""What engines cost and whether they change anything: ``auparity dev engines``.

Short rendered clips go through each engine of ``auparity extract``, with the same pipeline. Every table must equal that
of the serial engine byte for byte. The time of a clip is the time between two outcomes, from the first outcome on, so
that starting processes and compiling do not count; what an engine adds to the serial one's is its overhead. Medians are
taken because other work on the machine makes single clips late.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from auparity.accelerated.choices import BEST
from auparity.accelerated.one_thread import find_libraries, one_blas_thread
from auparity.accelerated.pipeline import Pipeline, open_pipeline
from auparity.errors import AuparityError
from auparity.extraction.engines import PROCESSES, RAY, SERIAL
from auparity.extraction.engines.choose import choose_engine
from auparity.extraction.jobs import Job
from auparity.extraction.types import ClipProgress, ExtractionSettings, NoProgress, Outcome, never
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clip_folder import write_clip
from auparity.reference.options import PipelineOptions

SEED, CANVAS = 3_600_000, (160, 160)


@dataclass
class Moments:
    """A reporter that notes when each outcome came."""

    start: float = field(default_factory=time.perf_counter)
    done: list[float] = field(default_factory=list)  #: s after the start

    def job_started(self, number: int, total: int, job: Job) -> ClipProgress:
        return NoProgress()

    def batch_started(self, total: int, at_a_time: int) -> ClipProgress:
        return NoProgress()

    def job_done(self, outcome: Outcome) -> None:
        self.done.append(time.perf_counter() - self.start)
        if outcome.status != "done":
            raise AuparityError(outcome.message)


class EngineTimes(NamedTuple):
    """What a run took."""

    first: float  #: s until the first outcome
    median: float  #: s between two outcomes
    mean: float
    differing: int  #: tables that are not those of the serial engine


def run_engine(name: str, pipeline: Pipeline, jobs: list[Job], out: Path, at_a_time: int) -> EngineTimes:
    """Run the jobs with an engine into ``out/<name>``; `out/serial` must be there, except for the serial engine."""
    number = None if name == SERIAL else at_a_time
    address = "local" if name == RAY else None
    engine = choose_engine(name, processes=number, ray_address=address, jobs=len(jobs)).engine(pipeline)
    moments = Moments()
    with one_blas_thread():
        engine.run(jobs, ExtractionSettings(out / name), moments, never)
    gaps = [later - earlier for earlier, later in zip(moments.done[:-1], moments.done[1:], strict=True)]
    tables = {path.name: path.read_bytes() for path in (out / name).glob("*.csv")}
    expected = {path.name: path.read_bytes() for path in (out / SERIAL).glob("*.csv")}
    differing = sum(tables.get(table) != content for table, content in expected.items())
    return EngineTimes(moments.done[0], statistics.median(gaps), statistics.fmean(gaps), differing)


def main(arguments: list[str] | None = None) -> int:
    """The command line; the exit status is 1 where a table differs."""
    parser = argparse.ArgumentParser(prog="auparity dev engines", description=__doc__)
    parser.add_argument(
        "--engines", nargs="+", default=[PROCESSES, RAY], choices=(PROCESSES, RAY), metavar="NAME",
        help=f"which engines (default: {PROCESSES} {RAY})",
    )  # fmt: skip
    parser.add_argument("--clips", type=int, default=100, metavar="N", help="at least 2 (default: 100)")
    parser.add_argument("--frames", type=int, default=10, metavar="N", help="frames of each clip (default: 10)")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="clips at a time (default: 1)")
    parser.add_argument("--variants", default=BEST, metavar="SPEC", help="default: best")
    chosen = parser.parse_args(arguments)
    if chosen.clips < 2:
        parser.error("--clips: at least 2, because the first does not count")
    pipeline = open_pipeline(Bundle.embedded(networks=False), chosen.variants, PipelineOptions(device="cpu"))
    find_libraries()
    failed = False
    with tempfile.TemporaryDirectory() as place:
        folder, out = Path(place) / "clips", Path(place) / "out"
        jobs = []
        for number in range(chosen.clips):
            path = folder / f"clip{number:04}"
            write_clip(path, SEED + number, chosen.frames, canvas=CANVAS)
            jobs.append(Job("clip", path, path.name))
        print(
            f"{chosen.clips} clips of {chosen.frames} frames, {', '.join(pipeline.used)}, {chosen.processes} at a time"
        )
        print(f"{'':<12}{'first, s':>10}{'a clip, ms':>12}{'mean, ms':>12}{'overhead, ms':>14}  tables")
        alone = None
        for name in (SERIAL, *chosen.engines):
            times = run_engine(name, pipeline, jobs, out, chosen.processes)
            alone = alone or times
            # Of one process: those that run at the same time deliver so many outcomes in the time of one.
            overhead = times.median * (1 if name == SERIAL else chosen.processes) - alone.median
            failed |= times.differing > 0
            equal = f"{times.differing} differ" if times.differing else "equal"
            print(
                f"{name:<12}{times.first:>10.1f}{1000 * times.median:>12.1f}{1000 * times.mean:>12.1f}"
                f"{1000 * overhead:>14.1f}  {equal}",
                flush=True,
            )
    return 1 if failed else 0
