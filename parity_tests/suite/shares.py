"""What reading, tracking, measuring, post-processing and writing take of an extraction: ``auparity dev shares CLIP``.

The steps of ``auparity extract`` are done one after the other in one thread, each under a clock of this thread's CPU
time, which other work on the machine hardly changes; where the run itself overlaps them the sum is the same. Of several
passes the least of each step counts. Decoding has a process of its own, so that "reading" is taking over its frames.
The start of the process and the first frame, in which the face is looked for, are not in the sum.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from auparity.accelerated.choices import BEST
from auparity.accelerated.one_thread import find_libraries, one_blas_thread
from auparity.accelerated.pipeline import Pipeline, open_pipeline
from auparity.extraction.table_writers import TableFormat, open_table
from auparity.media import open_clip
from auparity.models.sources import open_bundle

#: What makes a table of results, and should stay a small part of a run.
TABLE = ("writing rows", "post-processing", "finishing the table")

T = TypeVar("T")


@dataclass
class Clocks:
    """CPU seconds of this thread, by step."""

    seconds: dict[str, float] = field(default_factory=dict)

    def of(self, step: str, function: Callable[..., T], *arguments: Any) -> T:
        """The result of a call, whose time is counted for a step."""
        start = time.thread_time()
        result = function(*arguments)
        self.seconds[step] = self.seconds.get(step, 0.0) + time.thread_time() - start
        return result


def measured(pipeline: Pipeline, clip: Path, table_format: TableFormat, most: int | None) -> tuple[int, Clocks]:
    """The number of frames after the first, and what they took in one pass."""
    clocks, frames = Clocks(), 0
    with tempfile.TemporaryDirectory() as folder, open_clip(clip) as source, one_blas_thread():
        session = pipeline.start_video()
        table = open_table(Path(folder) / f"table.{table_format}", "clip", table_format)
        rest = iter(islice(source, most))
        while (frame := clocks.of("reading", next, rest, None)) is not None:
            tracked = clocks.of("tracking", session.track, frame.image, frame.timestamp)
            described = clocks.of("describing", session.describe, frame.image, tracked)
            result = clocks.of("measuring", session.measure, tracked, described)
            clocks.of("writing rows", table.append, result)
            frames += 1
            if frames == 1:
                clocks.seconds.clear()
        aus = clocks.of("post-processing", session.finish)
        clocks.of("finishing the table", table.finish, aus).discard()
        table.discard_part()
    return frames - 1, clocks


def lines(frames: int, passes: list[dict[str, float]]) -> list[str]:
    """The least of each step over the passes, ms a frame, and its share."""
    least = {step: min(each[step] for each in passes) for step in passes[0]}
    total = sum(least.values())
    shown = [*least.items(), ("all", total), ("table", sum(least[step] for step in TABLE))]
    return [f"{step:<20}{1000 * seconds / frames:>10.3f} ms{seconds / total:>8.1%}" for step, seconds in shown]


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="auparity dev shares", description=__doc__)
    parser.add_argument("clip", type=Path, metavar="VIDEO", help="a video or a folder of frames")
    parser.add_argument("--models", default="embedded", metavar="SOURCE", help="default: embedded")
    parser.add_argument("--variants", default=BEST, metavar="SPEC", help="default: best")
    parser.add_argument("--format", choices=("csv", "parquet"), default="csv", help="default: csv")
    parser.add_argument("--frames", type=int, metavar="N", help="of the clip; default: all")
    parser.add_argument("--passes", type=int, default=3, metavar="N", help="default: 3")
    chosen = parser.parse_args(arguments)
    if chosen.passes < 1 or (chosen.frames is not None and chosen.frames < 2):
        parser.error("at least 1 pass over at least 2 frames")
    pipeline = open_pipeline(open_bundle(chosen.models), chosen.variants)
    find_libraries()
    passes = []
    for _ in range(chosen.passes):
        frames, clocks = measured(pipeline, chosen.clip, chosen.format, chosen.frames)
        passes.append(clocks.seconds)
    print(f"{chosen.clip.name}, {pipeline.bundle.meta.name}, {chosen.format}: {frames} frames, CPU time of each")
    print("\n".join(lines(frames, passes)))
    return 0
