"""`auparity live`: a camera or a video measured while it runs, on a page in the browser."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from auparity.cli.pipeline_options import add_face_options, add_pipeline_options, build_pipeline, check_face_options
from auparity.cli.types import whole
from auparity.errors import VideoError

_DESCRIPTION = """\
Show a camera, or a video as if it were one, on a local page: the picture with landmarks, action units as bars and as
traces of the last ten seconds, frames a second, latency and dropped frames. A frame that comes before the one ahead of
it could be measured replaces it, so what is shown is always the newest. The page records to the table that `auparity
extract` writes, of the frames that were measured.

The source starts when the page is first opened. The page is served on 127.0.0.1 only, at an address with a random
token. Needs the extra `live`."""
_EPILOG = """\
examples:
  auparity live --camera 0 --open
  auparity live face.mp4 --loop -o recordings/
  auparity live --faces all

exit status: 0 the source ended or Ctrl-C, 1 a problem or a recording that is not whole, 2 usage, 130 Ctrl-C twice"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `live` command; its `run` default takes the parsed arguments and returns the exit code."""
    parser = subparsers.add_parser(
        "live",
        help="a camera measured while it runs, on a page in the browser",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="a video or a folder of images, in real time"
    )
    parser.add_argument("--camera", type=whole(0), metavar="N", help="the first camera is 0, the default")
    parser.add_argument("--loop", action="store_true", help="begin the file again when it has ended")
    parser.add_argument("--port", type=whole(0), default=0, metavar="N", help="default: a free one")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("processed"),
        metavar="DIR",
        help="of recordings; default: ./processed",
    )
    parser.add_argument("--format", choices=("csv", "parquet"), default="csv", help="of recordings; default: csv")
    parser.add_argument("--quiet", action="store_true", help="print the address and warnings only")
    add_face_options(add_pipeline_options(parser))
    parser.set_defaults(run=partial(run, parser=parser), streams=None)


def run(arguments: argparse.Namespace, *, parser: argparse.ArgumentParser) -> int:
    """Carry out `auparity live`; returns the exit code."""
    from auparity.accelerated.one_thread import find_libraries, one_blas_thread
    from auparity.extraction.jobs import StopSwitch
    from auparity.extraction.types import ExtractionSettings
    from auparity.live.measure import Origin
    from auparity.live.run import Live, run_live
    from auparity.live.server import require_live
    from auparity.media import ASSUMED_FPS, CameraStream, FrameSource, open_clip, printable
    from auparity.reference.face_choice import PersonChoice
    from auparity.tables.arrow import require_pyarrow

    if arguments.file is not None and arguments.camera is not None:
        parser.error("a camera cannot be combined with a file")
    if arguments.loop and arguments.file is None:
        parser.error("--loop is for files")
    check_face_options(arguments, parser)
    if isinstance(arguments.face, PersonChoice):
        parser.error(
            f"--face {arguments.face}: who is who is known at the end of a clip alone. Live, choose largest, central "
            "or box:x,y,w,h, or follow several with --faces N"
        )
    if arguments.output.exists() and not arguments.output.is_dir():
        parser.error(f"-o {arguments.output}: is not a directory")
    require_live()
    if arguments.format == "parquet":
        require_pyarrow()
    file: Path | None = arguments.file
    source: FrameSource
    number = arguments.camera or 0
    if file is None:
        source = CameraStream(number)
        name, again = f"camera{number}", None
    else:
        if not file.exists():
            raise VideoError(f"{file}: does not exist.")
        clip = partial(open_clip, file, fps=ASSUMED_FPS if file.is_dir() else None)
        source = clip()
        name, again = source.name, clip if arguments.loop else None
    try:
        pipeline, warnings = build_pipeline(arguments)
    except BaseException:
        source.close()
        raise
    settings = ExtractionSettings(
        output_dir=arguments.output, table_format=arguments.format, faces=arguments.faces, face=arguments.face,
        aus=arguments.aus, warnings=tuple(warnings),
    )  # fmt: skip
    find_libraries()
    live = Live(pipeline, source, Origin(name, source.path, source.kind), settings, again=again)
    with StopSwitch() as stop, one_blas_thread():
        return run_live(
            live,
            f"camera {number}" if file is None else printable(file.name),
            settings,
            port=arguments.port,
            open_page=arguments.open,
            say=_say,
            stop=stop,
        )


def _say(line: str) -> None:
    print(line, flush=True)
