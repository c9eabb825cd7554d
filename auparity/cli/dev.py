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
    "multi-view": Tool("parity_tests.truth.multi_view", "images: eleven starting orientations against one"),
    "persons": Tool("parity_tests.truth.persons", "person_id of rendered clips of several people"),
    "parallel": Tool("parity_tests.suite.parallel", "processes and threads against one process"),
    "mutants": Tool("parity_tests.mutants", "change the code in small ways and see whether its tests notice"),
    "fuzz": Tool("parity_tests.fuzz.command", "give damaged files and arguments to everything that reads them"),
    "kills": Tool("parity_tests.kills", "kill extractions at random moments and check what they leave behind"),
    "bench-device": Tool("benchmarks.device.command", "the pipeline that stays on a GPU: streams, stages, floors"),
    "several-faces": Tool("benchmarks.several_faces", "time of one, two and four faces a frame, and of twelve"),
    "throughput": Tool("benchmarks.throughput", "frames a second of processes, and of one stream over two threads"),
    "runtimes": Tool("benchmarks.runtimes", "time exported models in the installed runtimes"),
    "peers": Tool("benchmarks.peers.command", "time OpenFace and its Python ports beside auparity"),
    "cold-start": Tool("benchmarks.cold", "import, first result and memory of a fresh process"),
    "train": Tool("models.synthetic.training.run", "train the embedded bundle anew"),
    "train-networks": Tool("models.synthetic.training.networks", "train RetinaFace and PFLD on rendered faces"),
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
    parser.add_argument("tool", choices=TOOLS, metavar="TOOL")
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
