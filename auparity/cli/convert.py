"""``auparity convert``: write a bundle's models as files for other runtimes, and describe such files."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from auparity.cli.pipeline_options import add_model_options, open_chosen
from auparity.cli.types import whole
from auparity.errors import AuparityError

LINE_SECONDS = 10.0  #: between two lines of progress where there is no terminal

_DESCRIPTION = """\
Write every network and model of a bundle as files of another runtime: detector, patch experts (all of a view in one
graph, and one file for each landmark and scale of the frontal view), landmark validator, action units, and the half
from aligned faces to action units. manifest.json beside them states the inputs, outputs, hash and size of each.
An interrupted export resumes. With --verify every file is read back, run, and compared with the reference. TensorRT
engines run only on the kind of GPU that they were built on; on another machine the same command builds them again."""
_EPILOG = """\
examples:
  auparity convert --to onnx -o exported/                       the models that auparity extract would take
  auparity convert --to onnx --models DIR -o exported/ --verify
  auparity convert --to onnx --models embedded --widen -o exported/ --only "patch_experts/main/*/view_0"
  auparity convert --to coreml --precision float16 --models embedded -o packages/ --verify
  auparity convert --to tensorrt --models embedded -o engines --verify      on the GPU that they are for
  auparity convert --inspect exported/detection/pnet.onnx

exit status: 0 good, 1 a file failed its verification or a problem, 2 usage, 130 interrupted"""


def add_parser(subparsers: Any) -> None:
    """Add ``convert`` to the command line."""
    parser = subparsers.add_parser(
        "convert", help="models as ONNX files, Core ML packages or TensorRT engines", description=_DESCRIPTION,
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--to", choices=("onnx", "coreml", "tensorrt"), help="the target format")
    parser.add_argument(
        "--precision", choices=("float32", "float16"), default="float32",
        help="precision of weights and layers; default: float32",
    )  # fmt: skip
    add_model_options(parser)
    parser.add_argument("--widen", action="store_true", help="CE-CLM layers of OpenFace's sizes (embedded bundle)")
    parser.add_argument(
        "--jobs", type=whole(1), metavar="N",
        help="number of processes; default: one for each core, for TensorRT one, because it times kernels on the GPU",
    )  # fmt: skip
    parser.add_argument("--only", action="append", metavar="PATTERN", help="names of items; may be given again")
    parser.add_argument("--verify", action="store_true", help="run every file and compare it with the reference")
    parser.add_argument("--inspect", type=Path, metavar="FILE", help="describe an exported file and exit")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder of the export")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry out ``auparity convert``; returns the exit code."""
    from auparity.accelerated.hardware import usable_cores
    from auparity.conversion.export import TARGETS, export, inspect
    from auparity.version import __version__

    if arguments.inspect is not None:
        print(json.dumps(inspect(arguments.inspect), indent=1))
        return 0
    if arguments.to is None or arguments.output is None:
        raise AuparityError("say what to write and where: --to onnx|coreml|tensorrt -o DIR (or --inspect FILE).")
    bundle = open_chosen(arguments)
    bundle = bundle.widen() if arguments.widen else bundle
    jobs = arguments.jobs or TARGETS[arguments.to].jobs or usable_cores()
    done = export(
        bundle, arguments.to, arguments.output, version=__version__, precision=arguments.precision,
        only=arguments.only or (), verify=arguments.verify, jobs=jobs, progress=_Progress(),
    )  # fmt: skip
    for name, why in done.wrong.items():
        print(f"{name}: {why}", file=sys.stderr)
    summary = f"{len(done.written)} files written, {len(done.kept)} were there"
    summary += (
        f", {len(done.wrong)} FAILED verification" if done.wrong else ", all verified" if arguments.verify else ""
    )
    what = f"{bundle.meta.name} {bundle.short_hash} as {arguments.to} ({arguments.precision})"
    print(f"{what}: {summary}. See {done.folder / 'manifest.json'}")
    return 0 if done.passed else 1


class _Progress:
    """One line that is written over on a terminal; elsewhere a line every `LINE_SECONDS`."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, name: str, done: int, total: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{done} of {total} {name}".ljust(78)[:78], end="\n" if done == total else "", file=sys.stderr)
        elif time.monotonic() - self._last >= LINE_SECONDS:
            self._last = time.monotonic()
            print(f"{done} of {total}", file=sys.stderr, flush=True)
