"""Many inputs at once, each in a process of its own (``auparity extract --processes N``): the same tables, sooner.

Reported in the order of the inputs. Ctrl-C works as with one process: running clips are finished up to the frame that
they are at, a second one stops at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from auparity.accelerated.parallel.workers import Interrupted, Worker, Workers
from auparity.accelerated.pipeline import Pipeline
from auparity.extraction_jobs import Job, Reporter, run_job
from auparity.extraction_types import ClipProgress, ExtractionSettings, NoProgress, Outcome


class _Counting:
    """Progress of a clip in a worker: its frames are counted for all workers together."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def started(self, n_frames: int | None) -> None:
        """The parent says which input it waits for."""

    def frame_done(self) -> None:
        self._worker.frame_done()

    def finishing(self) -> None:
        """Nothing to count."""


def _extract(worker: Worker, item: tuple[Job, ExtractionSettings]) -> Outcome:
    job, settings = item
    return run_job(worker.pipeline, job, settings, _Counting(worker), lambda: worker.stopped)


def run_jobs_in_processes(
    pipeline: Pipeline,
    jobs: Sequence[Job],
    settings: ExtractionSettings,
    reporter: Reporter,
    stop: Callable[[], bool],
    processes: int,
) -> list[Outcome]:
    """`extraction_jobs.run_jobs` with some processes; arguments and result are the same.

    Raises
    ------
    AuparityError : a process died; what was written before is whole.
    """
    outcomes: list[Outcome] = []
    told = _Told(stop)
    parameters = pipeline.landmark_detector.parameters
    with Workers(pipeline.bundle, pipeline.variants, min(processes, len(jobs)), parameters) as workers:
        results = workers.map(_extract, [(job, settings) for job in jobs], meanwhile=lambda: told.look(workers))
        for number, job in enumerate(jobs, 1):
            told.progress = reporter.job_started(number, len(jobs), job)
            told.progress.started(None)
            try:
                outcome = next(results)
            except Interrupted:  # it had not begun
                break
            outcomes.append(outcome)
            reporter.job_done(outcome)
    return outcomes


class _Told:
    """Frames of all workers, told to whoever reports the input that is waited for; passes Ctrl-C on."""

    def __init__(self, stop: Callable[[], bool]) -> None:
        self.progress: ClipProgress = NoProgress()
        self._stop = stop
        self._frames = 0

    def look(self, workers: Workers) -> None:
        if self._stop():
            workers.stop()
        frames = workers.frames
        for _ in range(frames - self._frames):
            self.progress.frame_done()
        self._frames = frames
