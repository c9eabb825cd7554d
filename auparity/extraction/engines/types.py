"""What an engine is: the interface that all of them share, and how one is described before it is built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from auparity.errors import AuparityError
from auparity.extraction.jobs import Job, Reporter
from auparity.extraction.types import ExtractionSettings, Outcome
from auparity.reference.video_pipeline import VideoPipeline


class Engine(Protocol):
    """Carries jobs through a pipeline. It holds what it needs for that, and may be run more than once."""

    @property
    def name(self) -> str:
        """The name under which it is chosen."""

    def run(
        self,
        jobs: Sequence[Job],
        settings: ExtractionSettings,
        reporter: Reporter,
        stop: Callable[[], bool],
    ) -> list[Outcome]:
        """Run the jobs until all are done or `stop` says so.

        Parameters
        ----------
        jobs : one clip, image or camera each, as of `auparity.extraction.jobs.plan_jobs`.
        settings : the same for all of them.
        reporter : told of every job (`job_started`), or once of all where several run at a time (`batch_started`), and
            of every outcome as soon as it is there (`job_done`, in the thread that called `run`).
        stop : asked between jobs and, by way of `run_job`, between frames; once true, no other job is begun.

        Returns
        -------
        One outcome for each job that was begun, in the order of the jobs. An error in a job, also an internal one, is
        the outcome of that job (`run_job` sees to it) and does not cost the others.

        Raises
        ------
        KeyboardInterrupt : the user stopped the run at once. AuparityError : nothing could be begun.
        """


@dataclass(frozen=True)
class EngineSpec:
    """How an engine is chosen and built.

    Parameters
    ----------
    name : on the command line, `--engine NAME`.
    help : what it does, in one line.
    build : the engine for a pipeline and a number of jobs at a time.
    check : why it cannot carry jobs of a pipeline at that number; None when it can.
    option : the option that says how many jobs run at a time; None for an engine that takes no such number.
    other_options : options that go with it besides, because they say something to its pipelines.
    default_at_a_time : the number where the option is not given, 0 where the engine finds one when it runs; None when
        the option must be given.
    provider : distribution that registered it.
    """

    name: str
    help: str
    build: Callable[[VideoPipeline, int], Engine]
    check: Callable[[VideoPipeline, int], str | None] | None = None
    option: Literal["--processes", "--streams"] | None = None
    other_options: tuple[str, ...] = ()
    default_at_a_time: Callable[[], int] | None = lambda: 1
    provider: str = "auparity"

    def unavailable_reason(self, pipeline: VideoPipeline, at_a_time: int) -> str | None:
        """Why it cannot carry jobs of this pipeline, so many at a time; None when it can."""
        return self.check(pipeline, at_a_time) if self.check else None

    def engine(self, pipeline: VideoPipeline, at_a_time: int) -> Engine:
        """The engine for a pipeline.

        Raises
        ------
        AuparityError : it cannot carry jobs of this pipeline; the message is the reason.
        """
        reason = self.unavailable_reason(pipeline, at_a_time)
        if reason is not None:
            raise AuparityError(reason)
        return self.build(pipeline, at_a_time)
