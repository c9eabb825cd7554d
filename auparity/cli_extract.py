"""`auparity extract`: videos, image folders, photographs and cameras to OpenFace-compatible tables (spec 80)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from auparity.cli_types import positive, whole
from auparity.errors import AuparityError

if TYPE_CHECKING:
    from auparity.extraction_jobs import Job, Reporter
    from auparity.extraction_types import ExtractionSettings, Outcome, Pipeline

_DESCRIPTION = """\
Measure faces: head pose, gaze, 68 landmarks, shape parameters and facial action units, in OpenFace 2.2's table layout.

  a video file, or a folder of images (one clip, sorted by name)   one row a frame, AUs calibrated to the person
  an image file, or --photographs FOLDER                          one row a face, AUs of the static models
  --camera 0                                                      until Ctrl-C, --max-frames or --seconds

Writes DIR/NAME.csv and DIR/NAME.json, which says what it was made from and how. A table under that name is whole;
clips that were interrupted or damaged go to NAME.incomplete.csv. Inputs whose table exists are skipped, so the same
command resumes a run over many files. Ctrl-C once finishes the frames that are done, twice stops at once (the rows so
far stay in NAME.csv.part). Exit code: 0 all good, 1 some inputs failed, 2 wrong usage, 130 interrupted."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `extract` command; its `run` default takes the parsed arguments and returns the exit code."""
    parser = subparsers.add_parser(
        "extract",
        help="videos, photographs and cameras to tables of landmarks, pose, gaze and AUs",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "inputs", nargs="*", metavar="INPUT", help="video file, image file, folder of images or camera:N"
    )
    _add_input_options(parser)
    _add_model_options(parser)
    _add_output_options(parser)
    parser.set_defaults(run=partial(run, parser=parser))


def run(arguments: argparse.Namespace, *, parser: argparse.ArgumentParser) -> int:
    """Carry out `auparity extract`; returns the exit code. `AuparityError` means that nothing was begun."""
    from auparity.accelerated.one_thread import find_libraries, one_blas_thread
    from auparity.extraction_jobs import EXIT_INTERRUPTED, StopSwitch, exit_code, run_jobs, summary
    from auparity.extraction_progress import choose_reporter
    from auparity.table_writers import require_pyarrow

    jobs = _plan(arguments, parser)
    settings = _settings(arguments, parser)
    if settings.table_format == "parquet":
        require_pyarrow()
    reporter = choose_reporter(arguments.quiet)
    try:
        pipeline = build_pipeline(arguments)
        find_libraries()
        with one_blas_thread(), StopSwitch() as stop, reporter:
            if max(arguments.processes, arguments.streams) > 1 and len(jobs) > 1:
                outcomes = _side_by_side(pipeline, arguments, jobs, settings, reporter, stop)
            else:
                outcomes = run_jobs(pipeline, jobs, settings, reporter, stop)
    except KeyboardInterrupt:
        reporter.say(
            f"Stopped. Rows of an unfinished clip are in {settings.output_dir}, in the file that ends in .part."
        )
        return EXIT_INTERRUPTED
    reporter.finished(summary(jobs, outcomes))
    return exit_code(jobs, outcomes)


def _side_by_side(
    pipeline: Pipeline,
    arguments: argparse.Namespace,
    jobs: list[Job],
    settings: ExtractionSettings,
    reporter: Reporter,
    stop: Callable[[], bool],
) -> list[Outcome]:
    """Several inputs at a time: in processes, or together on a GPU."""
    from auparity.accelerated import pipeline as accelerated
    from auparity.extraction_parallel import run_jobs_in_processes
    from auparity.extraction_streams import run_jobs_in_streams

    if not isinstance(pipeline, accelerated.Pipeline):
        raise AuparityError("--processes needs --precision float32.")
    if arguments.processes > 1:
        if pipeline.advances_together:
            raise AuparityError("--processes is for processors; on a GPU clips advance together: --streams N.")
        return run_jobs_in_processes(pipeline, jobs, settings, reporter, stop, arguments.processes)
    if not pipeline.advances_together:
        raise AuparityError("--streams is for the GPU (--variants gpu); on processors --processes does the same.")
    return run_jobs_in_streams(pipeline, jobs, settings, reporter, stop, min(arguments.streams, len(jobs)))


def build_pipeline(arguments: argparse.Namespace) -> Pipeline:
    """The pipeline that the arguments name; raises `AuparityError`."""
    from auparity.accelerated.pipeline import BEST, open_pipeline
    from auparity.models.sources import EMBEDDED_NOTICE, is_embedded, open_bundle
    from auparity.reference.pipeline import ReferencePipeline

    bundle = open_bundle(arguments.models, arguments.landmark_model)
    if not arguments.quiet:
        source = bundle.meta.source
        place = source.get("directory", bundle.meta.name)
        print(f"Models: {place}, {source['landmark_model']} ({source['reason']})", file=sys.stderr)
        if arguments.models is None and is_embedded(bundle):
            print(EMBEDDED_NOTICE, file=sys.stderr)
    if arguments.precision != "float32":
        if arguments.variants not in (None, "reference"):
            raise AuparityError(f"--precision {arguments.precision} is the reference's: leave --variants out.")
        return ReferencePipeline(bundle, precision=arguments.precision)
    chosen = open_pipeline(bundle, arguments.variants or BEST, streams=arguments.streams)
    if not arguments.quiet:
        used = ", ".join(sorted(set(chosen.variants.values())))
        print(f"Variants: {used} (`auparity doctor` says which and why)", file=sys.stderr)
    return chosen


def _add_input_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("input")
    group.add_argument(
        "--photographs", action="store_true", help="a folder holds photographs, not the frames of a clip"
    )
    group.add_argument("--camera", type=whole(0), metavar="N", help="record from camera N (the first is 0)")
    group.add_argument("--max-frames", type=whole(1), metavar="N", help="stop each clip after N frames")
    group.add_argument("--seconds", type=positive, metavar="S", help="stop the camera after S seconds")
    for name, meaning in (
        ("fx", "focal length"),
        ("fy", "focal length (default: fx)"),
        ("cx", "image centre"),
        ("cy", "image centre"),
    ):
        group.add_argument(f"--{name}", type=positive, metavar="PX", help=f"{meaning} in pixels; guessed if not given")


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("models")
    group.add_argument(
        "--models",
        metavar="SOURCE",
        help='folder of OpenFace 2.2\'s models, "openface" for those fetched by `auparity models`, or "embedded" for '
        "those that come with auparity (for rendered faces only); default: OpenFace's where they were fetched",
    )
    group.add_argument("--landmark-model", choices=("auto", "ceclm", "clnf"), default="auto")
    group.add_argument(
        "--processes", type=whole(1), default=1, metavar="N", help="inputs at a time, each in a process of its own"
    )
    group.add_argument(
        "--streams", type=whole(1), default=1, metavar="N", help="inputs that advance together on a GPU (docs/gpu.md)"
    )
    group.add_argument(
        "--variants",
        metavar="SPEC",
        help='implementations of the stages: "best" (default: the fastest that run here), "reference" (the golden '
        'one), "gpu" (all of it on an NVIDIA GPU), another name for all stages that have it, or single ones: '
        '"numba,fhog=reference"',
    )
    group.add_argument(
        "--precision",
        choices=("float32", "float64"),
        default="float32",
        help="float64 tells rounding from error (the reference only)",
    )


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument(
        "-o", "--output", type=Path, default=Path("processed"), metavar="DIR", help="default: ./processed"
    )
    group.add_argument(
        "--format", choices=("csv", "parquet"), default="csv", help="csv as OpenFace writes it; parquet is unrounded"
    )
    group.add_argument("--overwrite", action="store_true", help="do inputs again whose table exists")
    group.add_argument("--quiet", action="store_true", help="report problems only")


def _plan(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> list[Job]:
    """The jobs; ends the program with the usage where the arguments make none or contradict each other."""
    from auparity.extraction_jobs import plan_jobs

    paths: list[Path] = []
    camera: int | None = arguments.camera
    for name in arguments.inputs:
        number = name.removeprefix("camera:")
        if number != name and number.isdigit():
            if camera is not None:
                parser.error("one camera at a time")
            camera = int(number)
        else:
            paths.append(Path(name))
    if camera is not None and paths:
        parser.error("a camera cannot be combined with other inputs")
    if camera is None and not paths:
        parser.error("no input: name a video, an image, a folder of images or --camera 0")
    if arguments.seconds is not None and camera is None:
        parser.error("--seconds is for cameras; use --max-frames")
    try:
        return plan_jobs(paths, camera=camera, photographs=arguments.photographs)
    except AuparityError as error:
        parser.error(str(error))


def _settings(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> ExtractionSettings:
    from auparity.extraction_types import ExtractionSettings
    from auparity.sidecars import Intrinsics

    fx, fy, cx, cy = arguments.fx, arguments.fy, arguments.cx, arguments.cy
    if fx is None and fy is not None:
        parser.error("--fy needs --fx")
    if (cx is None) != (cy is None):
        parser.error("--cx and --cy go together")
    if arguments.output.exists() and not arguments.output.is_dir():
        parser.error(f"-o {arguments.output}: is no folder")
    return ExtractionSettings(
        output_dir=arguments.output,
        table_format=arguments.format,
        intrinsics=Intrinsics(fx, fx if fy is None else fy, cx, cy),
        max_frames=arguments.max_frames,
        max_seconds=arguments.seconds,
        overwrite=arguments.overwrite,
    )
