"""The end that `auparity extract` and `auparity openface` have in common: planned jobs through a pipeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auparity.extraction.engines.types import Engine
    from auparity.extraction.jobs import Job
    from auparity.extraction.progress import QuietReporter
    from auparity.extraction.types import ExtractionSettings
    from auparity.reference.video_pipeline import VideoPipeline


def measure(
    jobs: list[Job],
    settings: ExtractionSettings,
    reporter: QuietReporter,
    build: Callable[[], tuple[VideoPipeline, list[str]]],
    engine: Callable[[VideoPipeline], Engine],
    *,
    decode_here: bool = True,
) -> int:
    """Measure the inputs and report what becomes of them.

    Parameters
    ----------
    build : makes the pipeline, with what readers of its results must know.
    engine : makes what carries the jobs.
    decode_here : start the process that decodes while models are read.

    Returns
    -------
    The exit code: 0 all good, 1 some inputs failed or are not whole, 130 interrupted.

    Raises
    ------
    AuparityError : nothing was begun.
    """
    from auparity.accelerated.one_thread import find_libraries, one_blas_thread
    from auparity.extraction.failure_recorder import FailureRecorder
    from auparity.extraction.jobs import EXIT_INTERRUPTED, StopSwitch, exit_code, summary
    from auparity.extraction.outputs.clip_outputs import check_pipeline
    from auparity.media import prestart, printable

    try:
        if decode_here:
            prestart()
        # A first Ctrl-C while models are loaded or kernels compiled ends the run without a traceback.
        with StopSwitch() as stop, reporter:
            pipeline, warnings = build()
            check_pipeline(pipeline, settings.outputs)
            settings = replace(settings, warnings=tuple(warnings))
            find_libraries()
            runner = engine(pipeline)
            with one_blas_thread(), FailureRecorder(reporter, settings, jobs) as recorder:
                outcomes = runner.run(jobs, settings, recorder, stop)
    except KeyboardInterrupt:
        reporter.say(
            f"Stopped. Rows of an unfinished clip are in {printable(settings.output_dir)}, in the file that ends in "
            ".part."
        )
        return EXIT_INTERRUPTED
    reporter.finished(summary(jobs, outcomes))
    return exit_code(jobs, outcomes)
