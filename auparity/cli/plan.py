"""`auparity plan`: how long `auparity extract` will take over the same inputs, here and on more machines."""

from __future__ import annotations

import argparse
from functools import partial

from auparity.cli.extract import add_measuring_options, choose_engine_of, jobs_of, settings_of
from auparity.cli.pipeline_options import build_pipeline
from auparity.cli.types import not_negative, whole

_DESCRIPTION = """\
Write `plan` in place of `extract`: the same inputs and options, and instead of measuring everything it says how many
frames there are, how long they take on this machine, and how long on more machines like it. Frames are those that files
declare (of 200 clips; the others by their size). A few clips are measured to 20 and to 120 frames, with the same
models, engine and outputs; that takes about a minute, and its tables are thrown away."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `plan` command."""
    parser = subparsers.add_parser(
        "plan", help="how long `extract` will take over the same inputs, here and on more machines",
        description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add_measuring_options(parser)
    group = parser.add_argument_group("plan")
    group.add_argument(
        "--nodes", type=whole(1), nargs="+", default=[1, 10, 100], metavar="N", help="machines (default: 1 10 100)"
    )
    group.add_argument(
        "--dispatch-ms", type=not_negative, default=0.0, metavar="MS",
        help="what one program spends on each input when it hands them out to all machines (docs/parallel.md has what "
        "was measured of Ray); default: 0, for machines with lists of their own",
    )  # fmt: skip
    group.add_argument("--sample", type=whole(1), metavar="N", help="clips to measure; default: 6, two for each worker")
    parser.set_defaults(run=partial(run, parser=parser))


def run(arguments: argparse.Namespace, *, parser: argparse.ArgumentParser) -> int:
    """Carry out `auparity plan`; returns the exit code."""
    from auparity.accelerated.hardware import usable_cores
    from auparity.accelerated.one_thread import find_libraries, one_blas_thread
    from auparity.extraction.jobs import StopSwitch
    from auparity.extraction.plan import SAMPLE, count, described, estimate, measure
    from auparity.extraction.progress import QuietReporter

    jobs, notices = jobs_of(arguments, parser)
    if any(job.kind == "camera" for job in jobs):
        parser.error("a camera has no end that could be foreseen")
    if arguments.split is not None:
        parser.error("what --split gains is not estimated: leave it out to plan a run of whole clips")
    settings = settings_of(arguments, parser)
    choice = choose_engine_of(arguments, parser, jobs, settings)
    reporter = QuietReporter()
    for notice in notices:
        reporter.say(f"note: {notice}")
    with StopSwitch() as stop, reporter:
        work = count(jobs, settings)
        pipeline, _ = build_pipeline(arguments)
        find_libraries()
        with one_blas_thread():
            sample = arguments.sample or SAMPLE
            at_a_time = choice.at_a_time or usable_cores()  # 0 where a cluster decides
            cost = measure(jobs, settings, choice.engine(pipeline), at_a_time, reporter, stop, sample)
    estimates = [estimate(work, cost, nodes, arguments.dispatch_ms / 1000) for nodes in arguments.nodes]
    print(described(work, cost, estimates, usable_cores()))
    return 0
