"""AArch64 under emulation, against this x86-64: ``auparity dev arm64``.

The same work is computed here and by Debian's qemu-user in a small root (arm64_root.py): every stage on captured inputs
of the reference, one tracked step, a chained clip with part models, and the extremes of the parity suite (a face that
leaves the picture, small and large ones, black and white pictures, images with large head turns). It passes if every
printed field of all tables is equal, and the stages and the step are within the suite's tolerances there. It proves
results, and says nothing about speed: emulation takes a hundred times as long as a processor of that kind would.

Needs root's rights and Debian's qemu-user-static, binfmt-support and debootstrap. Root, kernels compiled there and
finished parts are kept, and another run goes on from them.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import time
from pathlib import Path

from auparity.atomic_files import write_text_atomically
from auparity.cache import cache_folder
from auparity.errors import AuparityError
from auparity.models.bundle import Bundle
from auparity.parity_tests.compare.provenance import provenance
from auparity.parity_tests.fidelity import recordings
from auparity.parity_tests.processors import comparison, same_work
from auparity.parity_tests.processors.arm64_root import CODE, MIRROR, SOURCES, Root, missing
from auparity.reports.results.records import Results, WorkloadRecord, save

EXIT_GOOD, EXIT_FAILED, EXIT_NOTHING = 0, 1, 5
FRAMES = 30
#: The recorded clip whose faces turn, so that all views and part models are used.
RECORDED = "default"
NICENESS = 10
#: Where the work and what is made of it are in the root.
WORK, FOUND = Path("var/lib/auparity/work"), Path("var/lib/auparity/found")


def main(arguments: list[str] | None = None) -> int:
    """The command line; exit status 0: equal, 1: not, or an error, 5: this machine cannot emulate AArch64."""
    parser = argparse.ArgumentParser(
        prog="auparity dev arm64", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, metavar="DIR", help="root and results; default: arm64 in the cache")
    parser.add_argument("--frames", type=int, default=FRAMES, metavar="N", help=f"chained frames (default: {FRAMES})")
    parser.add_argument("--clip", type=Path, metavar="DIR", help="folder of images of a clip, for the chained frames")
    parser.add_argument("--models", type=Path, metavar="DIR", help="OpenFace's models, for the chained frames")
    parser.add_argument("--mirror", default=MIRROR, metavar="ADDRESS", help=f"of Debian (default: {MIRROR})")
    parser.add_argument("--check", action="store_true", help="only say whether this machine can do it")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="result file, for `auparity report`")
    chosen = parser.parse_args(arguments)
    if chosen.frames < same_work.STEP + 2:
        parser.error(f"--frames: at least {same_work.STEP + 2}, for the tracked step")
    if whys := missing():
        print("AArch64 cannot be emulated here:\n" + "\n".join(f"  {why}" for why in whys))
        return EXIT_NOTHING
    if chosen.check:
        print("AArch64 can be emulated here")
        return EXIT_GOOD
    folder = chosen.folder or cache_folder("arm64")
    if folder is None:
        raise AuparityError("nothing can be cached here: name a folder with --folder.")
    clip, models = _inputs(chosen.clip, chosen.models)
    return run(folder.absolute(), chosen.frames, clip, models, chosen.mirror, chosen.output)


def _inputs(clip: Path | None, models: Path | None) -> tuple[Path | None, Path | None]:
    """The chained clip and its models: those named, else the recordings', where they are."""
    shared = recordings.shared_dir()
    if clip is None and models is None and shared is not None:
        return shared / "clips" / RECORDED, shared / "openface"
    return clip, models


def run(folder: Path, frames: int, clip: Path | None, models: Path | None, mirror: str, output: Path | None) -> int:
    """Make the root, do the work on both processors and compare; the exit status."""
    root, work, here = Root(folder / "root"), folder / "work", folder / "x86-64"
    root.make(mirror=mirror, tell=_tell)
    _prepare(work, here, root, frames, clip, models)
    begin = time.process_time()
    same_work.compute(work, here)
    _tell(f"x86-64: done, {time.process_time() - begin:.0f} s of CPU time")
    began = time.time()
    command = ["python3", "-m", same_work.__name__, f"/{WORK}", f"/{FOUND}"]
    if status := root.run(command, niceness=NICENESS):
        raise AuparityError(f"the work under emulation ended with status {status}; what is done is kept.")
    _tell(f"AArch64: done, {time.time() - began:.0f} s in this run")
    return _report(work, here, root.folder / FOUND, output)


def _prepare(work: Path, here: Path, root: Root, frames: int, clip: Path | None, models: Path | None) -> None:
    """The work of this code and these inputs; results of any other are deleted on both sides."""
    of = f"{sources_hash(root.folder / CODE)} {frames} {clip} {models}\n"
    made_of = work / "made_of.txt"
    if not made_of.is_file() or made_of.read_text(encoding="utf-8") != of:
        _tell("the reference prepares the work (a few minutes)")
        for stale in (here, root.folder / FOUND):
            shutil.rmtree(stale, ignore_errors=True)
        same_work.prepare(work, frames=frames, clip=clip, models=models)
        write_text_atomically(made_of, of)
    shutil.rmtree(root.folder / WORK, ignore_errors=True)
    shutil.copytree(work, root.folder / WORK)


def sources_hash(code: Path) -> str:
    """SHA-256 over the Python files of a copy of the checkout, names included."""
    digest = hashlib.sha256()
    for path in sorted(path for name in SOURCES for path in (code / name).rglob("*.py")):
        digest.update(f"{path.relative_to(code)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _report(work: Path, here: Path, there: Path, output: Path | None) -> int:
    """Print what was found, and write the result file."""
    tables = comparison.compare_tables(here, there)
    stages = comparison.errors_of_stages(there)
    step, same_bits = comparison.step_compared(here, there)
    print("AArch64 under emulation against this x86-64:")
    print("\n".join(table.sentence for table in tables))
    print(f"all: {sum(len(t.differing) for t in tables)} of {sum(t.fields for t in tables)} printed fields differ")
    how = "the same bits" if same_bits else f"{step.error} {step.unit} apart, allowed {step.tolerance:g}"
    print(f"one tracked step: {how}")
    print(comparison.stages_text(stages))
    errors = [*comparison.errors_of_tables(tables), step, *stages]
    failed = [error for error in errors if error.problem]
    if output is not None:
        save(
            Results("parity", provenance("auparity dev arm64", yardstick=False), _workloads(work), errors=errors),
            output,
        )
        print(f"Written: {output}")
    print(f"FAILED: {len(failed)} of {len(errors)} figures" if failed else f"PASSED: {len(errors)} figures hold")
    return EXIT_FAILED if failed else EXIT_GOOD


def _workloads(work: Path) -> list[WorkloadRecord]:
    """What was measured."""
    own, embedded = same_work.bundle_of(work), Bundle.embedded(networks=False)
    records = []
    for folder in (*sorted((work / "clips").iterdir()), work / same_work.PHOTOGRAPHS):
        bundle = own if folder.name == same_work.CHAINED else embedded
        images = same_work.read_images(folder, 10_000)
        height, width = images[0].shape[:2]
        kind = "photographs" if folder.name == same_work.PHOTOGRAPHS else "stream"
        records.append(
            WorkloadRecord(
                folder.name, bundle.meta.name, bundle.content_hash, bundle.landmarker_name, kind, len(images), width,
                height,
            )
        )  # fmt: skip
    return records


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
