"""Many inputs at once, each in a process of its own (``auparity extract --processes N``): the same tables, sooner.

Inputs are reported when they are done. Ctrl-C works as with one process: running clips are finished up to the frame
that they are at, a second one stops at once. An input whose process dies fails by name, the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from auparity.accelerated.hardware import usable_cores
from auparity.accelerated.parallel.workers import Failed, Interrupted, Worker, Workers
from auparity.accelerated.pipeline import Pipeline
from auparity.extraction.engines import PROCESSES
from auparity.extraction.jobs import Job, Reporter, failure, run_job
from auparity.extraction.types import ClipProgress, ExtractionSettings, Outcome


class _Counting:
    """Progress of a clip in a worker: its frames are counted for all workers together."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def started(self, n_frames: int | None) -> None:
        """The parent counts inputs."""

    def frame_done(self) -> None:
        self._worker.frame_done()

    def finishing(self) -> None:
        """Nothing to count."""


def _extract(worker: Worker, item: tuple[Job, ExtractionSettings, bool]) -> Outcome:
    job, settings, overlap = item
    return run_job(worker.pipeline, job, settings, _Counting(worker), lambda: worker.stopped, overlap=overlap)


class ProcessEngine:
    """Runs some jobs at a time, each in a process of its own.

    Parameters
    ----------
    pipeline : its bundle and its variants make the pipelines of the processes.
    processes : how many at most; no more than there are jobs are started.
    """

    name = PROCESSES

    def __init__(self, pipeline: Pipeline, processes: int) -> None:
        self._pipeline, self._processes = pipeline, processes

    def run(
        self,
        jobs: Sequence[Job],
        settings: ExtractionSettings,
        reporter: Reporter,
        stop: Callable[[], bool],
    ) -> list[Outcome]:
        """Run the jobs until all are done or `stop` says so, see `Engine.run`.

        Raises
        ------
        AuparityError : the processes cannot be started.
        """
        if not jobs:
            return []
        outcomes: dict[int, Outcome] = {}
        pipeline, processes = self._pipeline, min(self._processes, len(jobs))
        with Workers(pipeline.bundle, pipeline.variants, processes, pipeline.options) as workers:
            told = _Told(reporter.batch_started(len(jobs), processes), workers, stop)
            overlap = usable_cores() >= 2 * processes  # threads that share a core with another process gain nothing
            items = [(job, settings, overlap) for job in jobs]
            try:
                for index, result in workers.as_completed(_extract, items, meanwhile=told.look):
                    if isinstance(result, Failed):
                        if isinstance(result.error, Interrupted):  # it had not begun
                            continue
                        result = failure(jobs[index], result.error)
                    outcomes[index] = result
                    reporter.job_done(result)
            except Interrupted:
                told.look()
        return [outcomes[index] for index in sorted(outcomes)]


class _Told:
    """Frames of all workers, told to the reporter; passes Ctrl-C on."""

    def __init__(self, progress: ClipProgress, workers: Workers, stop: Callable[[], bool]) -> None:
        self._progress, self._workers, self._stop = progress, workers, stop
        self._frames = 0
        progress.started(None)

    def look(self) -> None:
        if self._stop():
            self._workers.stop()
        frames = self._workers.frames
        for _ in range(frames - self._frames):
            self._progress.frame_done()
        self._frames = frames
