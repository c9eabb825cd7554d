"""Many inputs at once on one GPU pipeline (``auparity extract --streams N``): clips advance together, frame by frame.

Every input is a job in a thread of its own; the pipeline's sessions see to it that frames which wait at the same time
go into one batch (accelerated/cupy/sessions.py). The tables are those of one input after the other. Reported in the
order of the inputs. Ctrl-C finishes what is done, a second one stops after the frames that are under way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from auparity.extraction_jobs import Job, Reporter, run_job
from auparity.extraction_types import ClipProgress, ExtractionSettings, NoProgress, Outcome, Pipeline


class _Counting:
    """Frames of all inputs, told to whoever reports the input that is waited for."""

    def __init__(self) -> None:
        self.told: ClipProgress = NoProgress()
        self._lock = threading.Lock()

    def started(self, n_frames: int | None) -> None:
        """Said when the input is waited for."""

    def frame_done(self) -> None:
        with self._lock:
            self.told.frame_done()

    def finishing(self) -> None:
        """Nothing to count."""


def run_jobs_in_streams(
    pipeline: Pipeline,
    jobs: Sequence[Job],
    settings: ExtractionSettings,
    reporter: Reporter,
    stop: Callable[[], bool],
    streams: int,
) -> list[Outcome]:
    """`extraction_jobs.run_jobs` with some inputs at a time; arguments and result are the same."""
    halted, counting = threading.Event(), _Counting()

    def stopped() -> bool:
        return stop() or halted.is_set()

    def run(job: Job) -> Outcome | None:
        return None if stopped() else run_job(pipeline, job, settings, counting, stopped)

    outcomes: list[Outcome] = []
    with ThreadPoolExecutor(streams, thread_name_prefix="auparity-stream") as pool:
        waiting = [pool.submit(run, job) for job in jobs]
        try:
            for number, (job, future) in enumerate(zip(jobs, waiting, strict=True), 1):
                counting.told = reporter.job_started(number, len(jobs), job)
                counting.told.started(None)
                outcome = future.result()
                if outcome is None:
                    break
                outcomes.append(outcome)
                reporter.job_done(outcome)
        except BaseException:
            halted.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return outcomes
