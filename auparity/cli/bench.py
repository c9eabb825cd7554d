"""``auparity bench``: time pipelines in turns with the reference, and write a result file for `auparity report`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auparity.cli.pipeline_options import add_model_options, open_chosen
from auparity.errors import AuparityError

if TYPE_CHECKING:
    from auparity.benchmarks.workloads import TimedWorkload

_DESCRIPTION = """\
Time pipelines on rendered workloads that are the same everywhere, or on your own clips and models.

Every pipeline takes turns with the NumPy reference in one process, a few frames each, in several passes. Ratios are
taken within a pass on the same frames, so that other work on the machine hardly changes them. The parity of the timed
run is measured as well. Results go to one JSON file; `auparity report FILE` makes a page, Markdown and plots of it.

BLAS is limited to one thread unless OMP_NUM_THREADS or the like says otherwise."""
_EPILOG = """\
examples:
  auparity bench                                       the default workloads with the fastest variants
  auparity bench --workload clip-1080p --variants numba --variants "best,patch_experts=onnx"
  auparity bench face.mp4 --models DIR                 your clip, OpenFace's models
  auparity bench --photographs holiday/ --models DIR   each image of a folder by itself
  auparity bench --list                                the workloads

exit status: 0 good, 1 a timed pipeline disagrees with the reference, or an error, 2 usage, 130 interrupted (the file
holds what was finished)"""
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
DEFAULT_OUTPUT = Path("results") / "bench.json"


def add_parser(subparsers: Any) -> None:
    """Add ``bench`` to the command line."""
    parser = subparsers.add_parser(
        "bench", help="time pipelines in turns with the reference", description=_DESCRIPTION, epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("clips", nargs="*", type=Path, metavar="CLIP", help="videos or folders of frames of your own")
    parser.add_argument("--photographs", type=Path, metavar="FOLDER", help="images, each by itself")
    parser.add_argument(
        "--workload", action="append", metavar="NAME", help="a rendered workload, or `recorded`; may be given again"
    )
    parser.add_argument("--list", action="store_true", help="list the workloads and exit")
    parser.add_argument(
        "--variants", action="append", metavar="SPEC",
        help='"best" (the default), "numba", "best,fhog=onnx" ...; may be given again',
    )  # fmt: skip
    parser.add_argument(
        "--peers", nargs="?", const="", metavar="NAMES",
        help="on your own clips also OpenFace ($OPENFACE_BIN), pyfaceau, pyclnf, pymtcnn where they are installed",
    )  # fmt: skip
    add_model_options(parser)  # for clips and images of the user's own; rendered workloads have the embedded models
    parser.add_argument(
        "--emulate-coreml", action="store_true",
        help="without a Mac: interpret the Core ML packages of coreml variants in NumPy; the times mean little",
    )  # fmt: skip
    parser.add_argument("--frames", type=int, default=100, metavar="N", help="frames of each workload (default: 100)")
    parser.add_argument("--passes", type=int, default=5, metavar="N", help="interleaved repeats (default: 5)")
    parser.add_argument(
        "--reference-frames", type=int, default=20, metavar="N",
        help="frames on which the reference runs (default: 20); with 0 there are no ratios and no parity",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", type=Path, default=DEFAULT_OUTPUT, metavar="FILE", help=f"default: {DEFAULT_OUTPUT}"
    )
    parser.add_argument(
        "--record", action="store_true", help="also keep the figures in reports/history, for the drift chart"
    )
    parser.add_argument(
        "--whole", action="store_true",
        help="time whole processes on your own clips, in turns with OpenFace's program if $OPENFACE_BIN names it: from "
        "the command to the first result, a further frame, CPU time, memory",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry out ``auparity bench``; returns the exit code."""
    if "numpy" not in sys.modules:  # too late once BLAS is loaded
        for name in _THREADS:
            os.environ.setdefault(name, "1")
    from auparity.accelerated.coreml.modes import emulated
    from auparity.benchmarks.bench import bench
    from auparity.benchmarks.peers import named_peers
    from auparity.benchmarks.repeat_command import repeating
    from auparity.benchmarks.workloads import RENDERED
    from auparity.parity_tests.compare.provenance import provenance
    from auparity.reports.results.markdown import results_markdown
    from auparity.reports.results.stored import record

    if arguments.list:
        print("\n".join([*RENDERED, "recorded"]))
        return 0
    for name in ("frames", "passes"):
        if getattr(arguments, name) < 2:
            raise AuparityError(f"--{name} {getattr(arguments, name)}: at least 2, so that there is a spread.")
    if arguments.whole:
        return _run_whole(arguments)
    works = _works(arguments)
    own = works[0].bundle if arguments.clips or arguments.photographs else None
    command = repeating("auparity bench", arguments.words, own, without=["--record"])
    peers = [] if arguments.peers is None else named_peers(arguments.peers or None, works[0].bundle.landmarker_name)
    results = bench(
        works, [emulated(spec) if arguments.emulate_coreml else spec for spec in arguments.variants or ["best"]],
        provenance(command, yardstick=True), passes=arguments.passes,
        reference_frames=arguments.reference_frames, peers=peers, output=arguments.output, progress=_tell,
    )  # fmt: skip
    print(results_markdown(results), end="")
    print(f"\nWritten: {arguments.output}. To make a page of it: auparity report {arguments.output}")
    if arguments.record:
        print(f"Recorded: {record(results)}")
    return 0 if results.passed else 1


def _run_whole(arguments: argparse.Namespace) -> int:
    """``auparity bench --whole``."""
    from auparity.benchmarks.repeat_command import repeating
    from auparity.benchmarks.whole import whole
    from auparity.parity_tests.compare.provenance import provenance

    if not arguments.clips or arguments.photographs or arguments.workload or arguments.peers is not None:
        raise AuparityError("--whole is for clips of your own: name some, without --photographs, --workload, --peers.")
    bundle = open_chosen(arguments)
    models = arguments.models
    if models and Path(models).exists():  # the processes are started elsewhere
        models = str(Path(models).resolve())
    given = {
        "--models": models, "--detector": arguments.detector, "--landmarks": arguments.landmarks,
        "--start": arguments.start, "--variants": (arguments.variants or [None])[0],
    }  # fmt: skip
    options = [word for option, value in given.items() if value is not None for word in (option, str(value))]
    command = repeating("auparity bench", arguments.words, bundle, without=["--record"])
    results = whole(
        arguments.clips, bundle, options, provenance(command, yardstick=True), frames=arguments.frames,
        passes=arguments.passes, output=arguments.output, progress=_tell,
    )  # fmt: skip
    for entry in results.speeds:
        print(f"{entry.workload}, {entry.pipeline}: {entry.note}")
    for skipped in results.skipped:
        print(f"{skipped.what}: {skipped.why}")
    print(f"Written: {arguments.output}")
    return 0


def _works(arguments: argparse.Namespace) -> list[TimedWorkload]:
    from auparity.benchmarks import workloads
    from auparity.models.networks.chosen import AUTO, is_local

    works: list[TimedWorkload] = []
    if arguments.clips or arguments.photographs:
        bundle = open_chosen(arguments)
        networks = (arguments.detector, arguments.start) != (None, None) or not is_local(arguments.landmarks)
        # A cold start opens the models anew, by what names them; networks are not named so.
        opened_by = (arguments.models, arguments.landmarks or AUTO) if arguments.models and not networks else None
        works = [workloads.of_clip(clip, bundle, arguments.frames, opened_by) for clip in arguments.clips]
        if arguments.photographs:
            works.append(workloads.own_photographs(arguments.photographs, bundle))
    elif any((arguments.models, arguments.detector, arguments.landmarks, arguments.start)):
        raise AuparityError("--models, --detector, --landmarks and --start are for clips and images of your own.")
    names = arguments.workload or ([] if works else list(workloads.DEFAULT))
    if "recorded" in names:
        works += workloads.recorded(arguments.frames)
    return works + workloads.named([name for name in names if name != "recorded"], arguments.frames)


_began: dict[str, float] = {}


def _tell(name: str, done: int, total: int) -> None:
    _began.setdefault(name, time.monotonic())
    end = "\n" if done == total else "\r"
    if sys.stderr.isatty() or done == total:
        print(f"{name}: pass {done} of {total}, {time.monotonic() - _began[name]:.0f} s ", end=end, file=sys.stderr)
