"""`auparity openface`: OpenFace's three programs by name and by flag (spec 87), as a translation to extraction."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auparity.extraction.engines.types import Engine
    from auparity.extraction.jobs import Job
    from auparity.extraction.openface.options import Given
    from auparity.extraction.openface.translation import Inputs
    from auparity.reference.video_pipeline import VideoPipeline

#: As of `auparity.extraction.openface.options`, which is imported when the command runs.
PROGRAMS = ("FeatureExtraction", "FaceLandmarkVidMulti", "FaceLandmarkImg")
HELP = ("-h", "-help", "--help")

_DESCRIPTION = """\
Run one of OpenFace 2.2's programs by its name and with its options, so that scripts that call it need no change:

  FeatureExtraction     -f VIDEO, -fdir FOLDER or -device N   one face, a table a clip, AUs calibrated to the person
  FaceLandmarkVidMulti  the same                              up to four faces, a row for each face of a frame
  FaceLandmarkImg       -f IMAGE or -fdir FOLDER              every face, a table an image

examples:
  auparity openface FeatureExtraction -f face.mp4 -out_dir out
  auparity openface FeatureExtraction -h                      the options of a program
  alias FeatureExtraction='auparity openface FeatureExtraction'

Without -2Dfp, -3Dfp, -pdmparams, -pose, -aus, -gaze, -hogalign, -simalign and -tracked everything is written. As
OpenFace does, earlier outputs of the same name are replaced. docs/openface.md has all options and what is different.
Exit status: 0 all good, 1 some inputs failed or are not whole, 2 wrong usage, 130 interrupted."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `openface` command; its `run` default takes the parsed arguments and returns the exit code."""
    parser = subparsers.add_parser(
        "openface",
        help="OpenFace's three programs by name, with their own options",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("program", choices=PROGRAMS, metavar="PROGRAM", help=", ".join(PROGRAMS))
    parser.add_argument("options", nargs=argparse.REMAINDER, metavar="...", help="the program's options")
    parser.set_defaults(run=partial(run, parser=parser))


def run(arguments: argparse.Namespace, *, parser: argparse.ArgumentParser) -> int:
    """Carry out one of the programs; returns the exit code. `AuparityError` means that nothing was begun."""
    from auparity.cli.extract import check_jobs
    from auparity.cli.measure import measure
    from auparity.extraction.openface.options import UsageError, help_of, parse
    from auparity.extraction.openface.translation import inputs_of, settings_of
    from auparity.extraction.reporters import choose_reporter
    from auparity.media import printable

    if any(word in HELP for word in arguments.options):
        print(f"usage: auparity openface {arguments.program} OPTIONS\n\n{help_of(arguments.program)}")
        return 0
    try:
        given = parse(arguments.program, arguments.options)
        inputs, settings = inputs_of(given), settings_of(given)
    except UsageError as error:
        parser.error(str(error))
    for word in given.unknown:  # also with -q: a word that is silently ignored is a trap
        print(f"warning: {given.program} has no option {printable(word)}; it is ignored.", file=sys.stderr)
    check_jobs(inputs.jobs, settings, parser)
    reporter = choose_reporter(given.has("-q"))
    return measure(inputs.jobs, settings, reporter, lambda: build_pipeline(given, inputs), engine_of)


def build_pipeline(given: Given, inputs: Inputs) -> tuple[VideoPipeline, list[str]]:
    """The pipeline of a command line, and what readers of its results must know; raises `AuparityError`.

    It is the fastest of the processor, because every program may be asked for HOG files and aligned faces, which a
    pipeline that stays on a GPU does not give.
    """
    from auparity.accelerated.pipeline import Pipeline
    from auparity.extraction.openface.translation import bundle_of, pipeline_options_of
    from auparity.models.sources import EMBEDDED_NOTICE, is_embedded

    bundle = bundle_of(given, inputs.boxes)
    warnings = []
    if not given.has("-mloc") and is_embedded(bundle):
        warnings.append(EMBEDDED_NOTICE)
        print(f"warning: {EMBEDDED_NOTICE}", file=sys.stderr)
    source = bundle.meta.source
    if not given.has("-q"):
        place = source.get("directory", bundle.meta.name)
        print(f"Models: {place}, {source['landmark_model']} ({source['reason']})", file=sys.stderr)
    options = pipeline_options_of(given, bundle)
    return Pipeline.from_spec({}, bundle, default="best", options=options), warnings


def engine_of(pipeline: VideoPipeline) -> Engine:
    """One input after the other; a locator of given boxes is told which image comes next."""
    from auparity.extraction.engines.serial import SerialEngine
    from auparity.extraction.openface.locators import BoxesLocator
    from auparity.extraction.outputs.clip_outputs import staged_pipeline

    staged = staged_pipeline(pipeline)
    locator = None if staged is None else staged.locator
    if not isinstance(locator, BoxesLocator):
        return SerialEngine(pipeline)

    def select(job: Job) -> None:
        if job.kind == "photograph":
            locator.select(job.path)

    return SerialEngine(pipeline, select)
