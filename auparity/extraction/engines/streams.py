"""Many inputs at once on one GPU pipeline (``auparity extract --streams N``): clips advance together, frame by frame.

Every input is a job in a thread of its own; the pipeline's sessions see to it that frames which wait at the same time
go into one batch (accelerated/cupy/sessions.py). The tables are those of one input after the other. Inputs are
reported when they are done. Ctrl-C finishes what is done, a second one stops after the frames that are under way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from auparity.extraction.engines import STREAMS
from auparity.extraction.jobs import Job, Reporter, run_job
from auparity.extraction.types import ClipProgress, ExtractionSettings, Outcome
from auparity.reference.video_pipeline import VideoPipeline


class _Counting:
    """Frames of all inputs, told to the reporter."""

    def __init__(self, told: ClipProgress) -> None:
        self._told = told
        self._lock = threading.Lock()

    def started(self, n_frames: int | None) -> None:
        """Inputs are counted, not frames."""

    def frame_done(self) -> None:
        with self._lock:
            self._told.frame_done()

    def finishing(self) -> None:
        """Nothing to count."""


class StreamEngine:
    """Runs some jobs at a time, each in a thread of its own, on one pipeline that serves several sessions.

    Parameters
    ----------
    pipeline : one whose sessions may be used by several threads, e.g. the one that stays on a GPU.
    streams : how many at most; no more than there are jobs run at a time.
    """

    name = STREAMS

    def __init__(self, pipeline: VideoPipeline, streams: int) -> None:
        self._pipeline, self._streams = pipeline, streams

    def run(
        self,
        jobs: Sequence[Job],
        settings: ExtractionSettings,
        reporter: Reporter,
        stop: Callable[[], bool],
    ) -> list[Outcome]:
        """Run the jobs until all are done or `stop` says so, see `Engine.run`."""
        if not jobs:
            return []
        streams = min(self._streams, len(jobs))
        halted, told = threading.Event(), reporter.batch_started(len(jobs), streams)
        told.started(None)
        counting = _Counting(told)

        def stopped() -> bool:
            return stop() or halted.is_set()

        def run(job: Job) -> Outcome | None:
            return None if stopped() else run_job(
                self._pipeline, job, settings, counting, stopped, overlap=False  # the other jobs are what overlaps
            )  # fmt: skip

        outcomes: dict[int, Outcome] = {}
        with ThreadPoolExecutor(streams, thread_name_prefix="auparity-stream") as pool:
            index_of = {pool.submit(run, job): index for index, job in enumerate(jobs)}
            try:
                for future in as_completed(index_of):
                    outcome = future.result()
                    if outcome is not None:
                        outcomes[index_of[future]] = outcome
                        reporter.job_done(outcome)
            except BaseException:
                halted.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return [outcomes[index] for index in sorted(outcomes)]
