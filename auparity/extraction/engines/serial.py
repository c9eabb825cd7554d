"""One input after the other, in this thread: what `auparity extract` does unless it is asked for more."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from auparity.extraction.engines import SERIAL
from auparity.extraction.jobs import Job, Reporter, run_job
from auparity.extraction.types import ExtractionSettings, Outcome
from auparity.reference.video_pipeline import VideoPipeline


class SerialEngine:
    """Runs each job when the one before it has ended.

    Parameters
    ----------
    pipeline : goes through all jobs.
    before : called with each job before it is run.
    """

    name = SERIAL

    def __init__(self, pipeline: VideoPipeline, before: Callable[[Job], None] | None = None) -> None:
        self._pipeline, self._before = pipeline, before

    def run(
        self,
        jobs: Sequence[Job],
        settings: ExtractionSettings,
        reporter: Reporter,
        stop: Callable[[], bool],
    ) -> list[Outcome]:
        """Run the jobs until all are done or `stop` says so, see `Engine.run`; an interrupted job is the last."""
        outcomes: list[Outcome] = []
        for number, job in enumerate(jobs, 1):
            if stop():
                break
            if self._before is not None:
                self._before(job)
            outcome = run_job(self._pipeline, job, settings, reporter.job_started(number, len(jobs), job), stop)
            outcomes.append(outcome)
            reporter.job_done(outcome)
            if outcome.status == "interrupted":
                break
        return outcomes
