"""`auparity dev`: tools for developing, training, measuring and attacking auparity, by name.

Each tool is a module with a function `main(arguments)`, which is imported when the tool is called. A tool that is not
part of a wheel, because it needs the repository's tests, raises an error that says so.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple

from auparity.errors import AuparityError


class Tool(NamedTuple):
    """One tool."""

    module: str
    purpose: str


TOOLS = {
    "fidelity": Tool("parity_tests.fidelity.run", "the reference against the C++ program on all recordings"),
    "truth": Tool("parity_tests.truth.run", "the embedded bundle against rendered ground truth"),
    "truth-networks": Tool("parity_tests.truth.networks", "networks, MTCNN and local models against rendered truth"),
    "real-faces": Tool("parity_tests.real.run", "a bundle against recordings of OpenFace on real footage"),
    "multi-view": Tool("parity_tests.truth.multi_view", "images: eleven starting orientations against one"),
    "persons": Tool("parity_tests.truth.persons", "person_id of rendered clips of several people"),
    "parallel": Tool("parity_tests.suite.parallel", "processes and threads against one process"),
    "engines": Tool("parity_tests.suite.engines", "tables and time of short clips in processes and on a local Ray"),
    "processors": Tool("parity_tests.processors.in_turns", "parity and speed on AVX2 without AVX-512, and without AVX"),
    "arm64": Tool("parity_tests.processors.arm64", "AArch64 under emulation, against this x86-64"),
    "shares": Tool("parity_tests.suite.shares", "what reading, tracking, measuring and writing take of an extraction"),
    "mutants": Tool("parity_tests.mutants", "change the code in small ways and see whether its tests notice"),
    "fuzz": Tool("parity_tests.fuzz.command", "give damaged files and arguments to everything that reads them"),
    "kills": Tool("parity_tests.kills", "kill extractions at random moments and check what they leave behind"),
    "bench-device": Tool("benchmarks.device.command", "the pipeline that stays on a GPU: streams, stages, floors"),
    "several-faces": Tool("benchmarks.several_faces", "time of one, two and four faces a frame, and of twelve"),
    "throughput": Tool("benchmarks.throughput", "frames a second of processes, and of one stream over two threads"),
    "runtimes": Tool("benchmarks.runtimes", "time exported models in the installed runtimes"),
    "peers": Tool("benchmarks.peers.command", "time OpenFace and its Python ports beside auparity"),
    "face-api": Tool(
        "benchmarks.peers.face_api_package", "face-api's points beside those of its npm package (Node.js)"
    ),
    "networks": Tool("benchmarks.networks", "what network detectors, landmarks and starts do to results and time"),
    "cold-start": Tool("benchmarks.cold", "import, first result and memory of a fresh process"),
    "train": Tool("models.synthetic.training.run", "train the embedded bundle anew"),
    "truth-groups": Tool("parity_tests.truth.by_group", "rendered people by skin tone, age, sex, light, turn and size"),
    "seen-landmarks": Tool(
        "parity_tests.truth.seen", "what OpenFace's models find in rendered clips of a morphable model"
    ),
    "fit-landmarks": Tool(
        "models.synthetic.morphable.calibration", "rendered landmarks of a morphable model against a PDM's convention"
    ),
    "train-networks": Tool("models.synthetic.training.networks", "train the embedded networks on rendered faces"),
}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `dev` command."""
    listing = "\n".join(f"  {name:<16}{tool.purpose}" for name, tool in TOOLS.items())
    parser = subparsers.add_parser(
        "dev",
        help="tools for developing auparity: fidelity, truth, fuzzing, training, peers ...",
        description=f"Tools for developing auparity; `auparity dev TOOL --help` says more.\n\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("tool", choices=list(TOOLS), metavar="TOOL", help="which one; they are listed above")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="arguments of the tool")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry out `auparity dev TOOL`; the exit status is the tool's.

    Raises
    ------
    AuparityError : the tool is not part of this installation.
    """
    module = f"auparity.{TOOLS[arguments.tool].module}"
    try:
        here = find_spec(module) is not None
    except ModuleNotFoundError:  # the package above it
        here = False
    if not here:
        raise AuparityError(f"`auparity dev {arguments.tool}` needs a checkout of auparity; wheels leave tests out.")
    return int(import_module(module).main(arguments.arguments))
