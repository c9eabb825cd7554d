"""`auparity extract`: videos, image folders, photographs and cameras to OpenFace-compatible tables (spec 80)."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from auparity.cli.pipeline_options import add_face_options, add_pipeline_options, build_pipeline, check_face_options
from auparity.cli.types import output_place, positive, share, whole
from auparity.errors import AuparityError
from auparity.extraction.engines import BUILT_IN, PROCESSES, RAY, SERIAL, STREAMS

if TYPE_CHECKING:
    from auparity.extraction.engines.choose import EngineChoice
    from auparity.extraction.jobs import Job
    from auparity.extraction.outputs.settings import OutputSettings
    from auparity.extraction.types import ExtractionSettings

_DESCRIPTION = """\
Measure faces: head pose, gaze, 68 landmarks, shape parameters and facial action units, in OpenFace 2.2's table layout.

  a video file, or a folder of images (one clip, sorted by name)   one row a frame, AUs calibrated to the person
  an image file, or --photographs FOLDER                          one row a face, AUs of the static models
  --recursive FOLDER                                              every video and every folder of images below it
  --camera 0                                                      until Ctrl-C, --max-frames or --seconds

Writes DIR/NAME.csv and DIR/NAME.csv.json, which says what it was made from and how; on request also HOG descriptors
(NAME.hog), aligned faces (NAME_aligned), NAME_of_details.txt and an overlay video (NAME.tracked.webm). A table under
that name is whole; clips that were interrupted or damaged go to NAME.incomplete.csv. Inputs whose table exists are
skipped when the content of the input and the settings are the same, so the same command resumes a run over many files.
Ctrl-C once (or SIGTERM, SIGHUP) finishes the frames that are done, Ctrl-C twice stops at once (the rows so far stay in
a file NAME.csv.*.part). Exit status: 0 all good, 1 some inputs failed or are not whole, 2 wrong usage,
130 interrupted."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `extract` command; its `run` default takes the parsed arguments and returns the exit code."""
    parser = subparsers.add_parser(
        "extract",
        help="videos, photographs and cameras to tables of landmarks, pose, gaze and AUs",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_measuring_options(parser)
    parser.set_defaults(run=partial(run, parser=parser))


def add_measuring_options(parser: argparse.ArgumentParser) -> None:
    """Inputs, and all options that say how they are measured."""
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="INPUT",
        help="video, image, folder of images, quoted wildcard or camera:N; also addresses such as s3://bucket/*.mp4",
    )
    _add_input_options(parser)
    _add_model_options(parser)
    _add_engine_options(parser)
    _add_output_options(parser)


def run(arguments: argparse.Namespace, *, parser: argparse.ArgumentParser) -> int:
    """Carry out `auparity extract`; returns the exit code. `AuparityError` means that nothing was begun."""
    from auparity.cli.measure import measure
    from auparity.extraction.reporters import choose_reporter
    from auparity.tables.arrow import require_pyarrow

    jobs, notices = jobs_of(arguments, parser)
    settings = settings_of(arguments, parser)
    check_jobs(jobs, settings, parser)
    choice = choose_engine_of(arguments, parser, jobs, settings)
    if settings.table_format == "parquet":
        require_pyarrow()
    reporter = choose_reporter(arguments.quiet)
    for notice in notices:
        reporter.say(f"note: {notice}")
    return measure(
        jobs, settings, reporter, lambda: build_pipeline(arguments), choice.engine,
        decode_here=choice.spec.option != "--processes",  # processes of jobs each start their own
    )  # fmt: skip


def _add_input_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("input")
    group.add_argument(
        "--list",
        action="append",
        default=[],
        metavar="FILE",
        help="inputs that a file lists: one a line, or a table (.csv, .tsv, .parquet) with a column path; its other "
        "columns (subject, session, ...) go into the sidecars and may name tables; again for more lists",
    )
    group.add_argument(
        "--photographs", action="store_true", help="a folder holds photographs, not the frames of a clip"
    )
    group.add_argument(
        "--recursive", action="store_true", help="look into the folders below a folder: every video there is a clip"
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
    group.add_argument(
        "--timestamps",
        choices=("container", "index"),
        default="container",
        help="times of a video's frames: the presentation times in the file, in seconds from the first frame, or "
        "frame number / frame rate, as OpenFace writes them; default: container",
    )
    group.add_argument(
        "--fps",
        type=positive,
        metavar="F",
        help="frames a second of a folder of images (without it all times are 0), or of a video with --timestamps "
        "index",
    )
    group.add_argument(
        "--max-pixels",
        type=whole(1),
        metavar="N",
        help="refuse pictures of more pixels than this before they are decoded (default: 100 million)",
    )


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    group = add_pipeline_options(parser)
    group.add_argument(
        "--multi-view",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="photographs: fit each face from eleven head orientations and keep the likeliest (default), or from the "
        "frontal one alone, as OpenFace's FaceLandmarkImg does without -multi_view 1",
    )
    add_face_options(
        group,
        ", or track:K (the person_id K of --faces all --aus calibrated; frames without this person have success 0)",
    )


def _add_engine_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("many inputs")
    names = "; ".join(f"{name}: {meaning}" for name, meaning in BUILT_IN.items())
    group.add_argument(
        "--engine",
        metavar="NAME",
        help=f"what carries the inputs; {names}; or the name of an engine that another package adds "
        f"(docs/parallel.md). Default: {PROCESSES} or {STREAMS} where more than one is asked for, else {SERIAL}",
    )
    group.add_argument(
        "--processes",
        type=whole(1),
        metavar="N",
        help=f"inputs at a time, each in a process of its own; with --engine {PROCESSES} as many as cores may be used "
        f"unless given, with --engine {RAY} as many as the cluster has CPUs (GPUs), else 1",
    )
    group.add_argument(
        "--split",
        nargs="?",
        type=whole(1),
        const=0,
        metavar="N",
        help="one clip after the other, each over N processes (without N over all cores): parts that begin "
        "some frames early; what the seams change is measured (docs/parallel.md). Write it after the inputs",
    )
    group.add_argument(
        "--streams", type=whole(1), metavar="N", help="inputs that advance together on a GPU (docs/gpu.md); default: 1"
    )
    group.add_argument(
        "--share",
        type=share,
        metavar="K/N",
        help="only every N-th input, from the K-th (1 to N): machines that are given the same inputs and another K "
        "each do all of them together (docs/clusters.md)",
    )
    group.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help=f"with --engine {RAY}: the cluster, HOST:PORT or ray://HOST:PORT, auto for the one that runs on this "
        "machine, or local for a new one here; default: RAY_ADDRESS of the environment, else local",
    )


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument(
        "-o", "--output", type=output_place, default=Path("processed"), metavar="DIR",
        help="folder, or address such as s3://bucket/results; default: ./processed",
    )  # fmt: skip
    group.add_argument(
        "--scratch", type=Path, metavar="DIR",
        help="folder for what is fetched from addresses, one input at a time; default: the system's temporary folder",
    )  # fmt: skip
    group.add_argument(
        "--format", choices=("csv", "parquet"), default="csv", help="csv as OpenFace writes it; parquet is unrounded"
    )
    group.add_argument(
        "--keep-tree",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="keep the inputs' folders below the one that they have in common; default: where names collide",
    )
    group.add_argument(
        "--output-name",
        metavar="TEMPLATE",
        help='name of each table, without suffix, e.g. "{parent}_{stem}"; fields: {stem} (name without suffix), '
        "{name} (with suffix), {parent} (the folder's name), {tree} (folders below the common one), {number} (from 1), "
        "and the columns of a --list",
    )
    group.add_argument(
        "--columns",
        metavar="GROUPS",
        help="groups of columns after the first ones, separated by commas: gaze (with eye landmarks), pose, 2d, 3d, "
        "params, aus; default: all",
    )
    group.add_argument("--hog", action="store_true", help="write the faces' FHOG descriptors to NAME.hog")
    group.add_argument("--aligned", action="store_true", help="write the aligned faces to the folder NAME_aligned")
    group.add_argument("--aligned-format", choices=("bmp", "png"), help="default: bmp, as OpenFace")
    group.add_argument("--aligned-size", type=whole(1), metavar="PX", help="side of an aligned face; default: 112")
    group.add_argument(
        "--aligned-scale",
        type=positive,
        metavar="S",
        help="px per mm of the mean face; default: 0.7 at 112 px, and in proportion at other sizes",
    )
    group.add_argument("--aligned-gray", action="store_true", help="gray pictures")
    group.add_argument("--aligned-no-mask", action="store_true", help="keep what is around the face")
    group.add_argument(
        "--aligned-skip-failed", action="store_true", help="write no picture of frames in which tracking failed"
    )
    group.add_argument("--details", action="store_true", help="write OpenFace's NAME_of_details.txt")
    group.add_argument(
        "--tracked",
        action="store_true",
        help="write a video with the measurements drawn over it, NAME.tracked.webm; of an image NAME.tracked.jpg",
    )
    group.add_argument("--overwrite", action="store_true", help="do inputs again whose table exists")
    group.add_argument("--quiet", action="store_true", help="report problems and warnings only")


def jobs_of(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> tuple[list[Job], list[str]]:
    """Jobs and notices; ends the program with the usage where the arguments make none or contradict each other."""
    from auparity.extraction.inputs import find_inputs
    from auparity.extraction.jobs import camera_job, plan_jobs
    from auparity.extraction.lists import read_list

    names: list[str] = []
    camera: int | None = arguments.camera
    for name in arguments.inputs:
        number = name.removeprefix("camera:")
        if number != name and number.isdigit():
            if camera is not None:
                parser.error("one camera at a time")
            camera = int(number)
        else:
            names.append(name)
    if camera is not None and (names or arguments.list):
        parser.error("a camera cannot be combined with other inputs")
    if arguments.seconds is not None and camera is None:
        parser.error("--seconds is for cameras; use --max-frames")
    if camera is not None:
        return [camera_job(camera)], []
    if not names and not arguments.list:
        parser.error("no input: name a video, an image, a folder of images, --list FILE or --camera 0")
    try:
        listed = [entry for source in arguments.list for entry in read_list(source)]
        inputs = find_inputs(
            names, listed=listed, photographs=arguments.photographs, recursive=arguments.recursive
        )  # fmt: skip
        # Tables are named before the inputs are shared, so that no two machines give one name to two of them.
        jobs, notices = plan_jobs(inputs, keep_tree=arguments.keep_tree, template=arguments.output_name)
        first, step = arguments.share or (0, 1)
        return jobs[first::step], notices
    except AuparityError as error:
        parser.error(str(error))


def choose_engine_of(
    arguments: argparse.Namespace, parser: argparse.ArgumentParser, jobs: list[Job], settings: ExtractionSettings
) -> EngineChoice:
    """The engine that the arguments name; ends the program with the usage where they contradict each other."""
    from auparity.extraction.engines.choose import choose_engine
    from auparity.extraction.engines.split import unsplittable_reason

    if arguments.split is not None and (reason := unsplittable_reason(jobs, settings)):
        parser.error(f"--split: {reason}")
    try:
        return choose_engine(
            arguments.engine, processes=arguments.processes, streams=arguments.streams, split=arguments.split,
            ray_address=arguments.ray_address, jobs=len(jobs),
        )  # fmt: skip
    except AuparityError as error:
        parser.error(str(error))


def settings_of(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> ExtractionSettings:
    """The settings that the arguments name; ends the program with the usage where they contradict each other."""
    from auparity.extraction.sidecars import Intrinsics
    from auparity.extraction.types import ExtractionSettings
    from auparity.media import MAX_PIXELS
    from auparity.reference.face_choice import PersonChoice

    fx, fy, cx, cy = arguments.fx, arguments.fy, arguments.cx, arguments.cy
    if fx is None and fy is not None:
        parser.error("--fy needs --fx")
    check_face_options(arguments, parser)
    if isinstance(arguments.face, PersonChoice) and arguments.static_aus:
        parser.error(f"--face {arguments.face} has AUs calibrated to the person: leave --static-aus out")
    if (cx is None) != (cy is None):
        parser.error("--cx and --cy go together")
    remote = isinstance(arguments.output, str)
    if not remote and arguments.output.exists() and not arguments.output.is_dir():
        parser.error(f"-o {arguments.output}: is not a directory")
    return ExtractionSettings(
        output_dir=Path("processed") if remote else arguments.output,
        output_address=arguments.output if remote else "",
        scratch=arguments.scratch,
        table_format=arguments.format,
        intrinsics=Intrinsics(fx, fx if fy is None else fy, cx, cy),
        max_frames=arguments.max_frames,
        max_seconds=arguments.seconds,
        overwrite=arguments.overwrite,
        timestamps=arguments.timestamps,
        fps=arguments.fps,
        max_pixels=MAX_PIXELS if arguments.max_pixels is None else arguments.max_pixels,
        multi_view=arguments.multi_view,
        split=arguments.split is not None,
        faces=arguments.faces,
        face=arguments.face,
        aus=arguments.aus,
        outputs=_outputs(arguments, parser),
    )


def _outputs(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> OutputSettings:
    """Columns and files beside the table; ends the program with the usage where the options make no sense."""
    from auparity.extraction.outputs.settings import AlignedFaces, OutputSettings
    from auparity.extraction.tables import check_groups
    from auparity.reference.alignment import SIZE, Crop, scale_for

    columns, aligned = None, None
    if arguments.columns is not None:
        try:
            columns = check_groups([name.strip() for name in arguments.columns.split(",")])
        except AuparityError as error:
            parser.error(f"--columns {arguments.columns}: {error}")
    if arguments.aligned:
        size = arguments.aligned_size or SIZE
        crop = Crop(size, arguments.aligned_scale or scale_for(size), not arguments.aligned_no_mask)
        aligned = AlignedFaces(
            arguments.aligned_format or "bmp", crop, arguments.aligned_gray, arguments.aligned_skip_failed
        )
    else:
        asked = vars(arguments).items()
        if names := [name for name, value in asked if name.startswith("aligned_") and value]:
            parser.error(f"--{names[0].replace('_', '-')} needs --aligned")
    return OutputSettings(columns, arguments.hog, aligned, arguments.details, arguments.tracked)


def check_jobs(jobs: list[Job], settings: ExtractionSettings, parser: argparse.ArgumentParser) -> None:
    """End the program with the usage where an output would be written over another one or over an input, or where one
    face is chosen in an image, all of whose faces are measured."""
    from auparity.extraction.outputs.settings import check_collisions

    images = [job.path for job in jobs if job.kind == "photograph"]
    if settings.face is not None and images:
        parser.error(f"--face is for clips: all faces of an image are measured ({images[0]})")
    if settings.person is not None and settings.outputs.drawn and any(job.kind == "camera" for job in jobs):
        parser.error(
            f"--face {settings.face} is known at the end, when the frames of a camera are gone: leave --hog, --aligned "
            "and --tracked out, or record a video and measure that"
        )
    named = [(job.name, job.kind, job.path) for job in jobs if job.kind in ("clip", "photograph")]
    try:
        check_collisions(
            [(name, "photograph" if kind == "photograph" else "clip") for name, kind, _ in named],
            settings.outputs, settings.output_dir, [path for *_, path in named], settings.option_names,
        )  # fmt: skip
    except AuparityError as error:
        parser.error(str(error))
