"""One processor's part of a comparison in turns (in_turns.py): a process that times passes over clips when asked.

It reads the names of workloads, a line each, and answers each with a line of JSON: CPU time and the bits of a pass.
Frames are made once for all processors, because NumPy draws them with other last bits on others.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.choices import parse_spec
from auparity.accelerated.one_thread import find_libraries, one_blas_thread
from auparity.benchmarks import workloads
from auparity.benchmarks.runner import shared_stages
from auparity.benchmarks.stage_timer import StageTimes, timed_stages
from auparity.errors import AuparityError
from auparity.reference.numerics import FLOAT32
from auparity.reference.pipeline import StagedPipeline
from auparity.reference.results import FrameResult

Array = npt.NDArray[Any]
MEASURED = ("landmarks", "pose", "gaze", "au_intensity", "au_presence")
VARIANTS, RECORDED = "numba", "recorded"


@dataclass(frozen=True)
class Pass:
    """A pass over a workload."""

    ms: float  #: of CPU time a steady frame, median
    first_ms: float  #: of the first frame
    stages: dict[str, float]  #: ms of CPU time a steady frame
    bits: dict[str, str]  #: of the results of all frames, a hash for each kind
    landmarks: list[float]  #: of the last frame, px
    success: int  #: frames with a face
    width: int
    height: int


class Timed:
    """A pipeline of Numba's variants over the frames of a workload."""

    def __init__(self, work: workloads.TimedWorkload, frames: Sequence[Array]) -> None:
        stages, self.clocks = shared_stages(parse_spec(work.bundle, VARIANTS)), StageTimes(clock=time.process_time)
        self.pipeline = StagedPipeline(work.bundle, timed_stages(stages, self.clocks), FLOAT32)
        self.frames = frames

    def run(self) -> Pass:
        session, results, taken = self.pipeline.start_video(), list[FrameResult](), list[float]()
        for index, image in enumerate(self.frames):
            if index == 1:
                self.clocks.reset()
            begin = time.process_time()
            results.append(session.process_frame(image, index / 30))
            taken.append(1000 * (time.process_time() - begin))
        self.clocks.events.clear()
        steady = len(taken) - 1
        height, width = self.frames[0].shape[:2]
        return Pass(
            float(np.median(taken[1:])), taken[0],
            {stage: 1000 * seconds / steady for stage, seconds in self.clocks.seconds.items()},
            bits_of(results), [float(value) for value in results[-1].landmarks.ravel()],
            sum(result.success for result in results), width, height,
        )  # fmt: skip


def bits_of(results: list[FrameResult]) -> dict[str, str]:
    """Hashes of what was measured, by kind: equal only if every bit is."""
    hashes = {}
    for kind in MEASURED:
        digest = hashlib.sha256()
        for result in results:
            digest.update(np.ascontiguousarray(getattr(result, kind)).tobytes())
        hashes[kind] = digest.hexdigest()[:16]
    return hashes


def work_of(name: str, frames: int) -> workloads.TimedWorkload:
    """A workload of `auparity bench`, or the first recorded clip.

    Raises
    ------
    AuparityError : there is none of this name.
    """
    if name != RECORDED:
        return workloads.named([name], frames)[0]
    found = workloads.recorded(frames)
    if not found:
        raise AuparityError("there are no recordings: set AUPARITY_SHARED to their folder.")
    return found[0]


def keep_frames(folder: Path, name: str, frames: int) -> None:
    """Make the frames of a workload for all processors; errors as `work_of`."""
    np.save(folder / f"{name}.npy", np.stack(work_of(name, frames).clips[0]))


@cache
def timed(folder: Path, name: str) -> Timed:
    """The pipeline of a workload, over the frames that were kept."""
    return Timed(work_of(name, 1), np.load(folder / f"{name}.npy"))


def main() -> int:
    """``python -m auparity.parity_tests.processors.timed FOLDER``, which `in_turns` starts."""
    answers, folder = os.fdopen(os.dup(1), "w"), Path(sys.argv[1])
    os.dup2(2, 1)  # whatever else prints does not get into the answers
    find_libraries()
    with one_blas_thread():
        for line in sys.stdin:
            print(json.dumps(timed(folder, line.strip()).run().__dict__), file=answers, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
