"""``auparity dev truth``: compares a bundle with rendered faces whose truth is known.

The reference pipeline runs with the bundle on clips, images and images without a face that no training has seen (seeds
from 3,000,000 on); the figures are compared with `targets.toml`, written to a JSON file and, with ``--page
docs/embedded.md``, into the documentation. Every finished task is kept under ``--work``, so that the same command
resumes an interrupted run; results of other weights, another renderer or another pipeline are never mixed in. The exit
status is 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import auparity
from auparity.atomic_files import write_text_atomically
from auparity.child_processes import end_with_parent
from auparity.errors import AuparityError
from auparity.models.synthetic.clip_folder import renderer_version
from auparity.models.synthetic.training.workspace import Workspace
from auparity.parity_tests.fidelity import page as fidelity_page
from auparity.parity_tests.fidelity.run import environment
from auparity.parity_tests.truth import runs as truth_runs
from auparity.parity_tests.truth import tables as truth_tables
from auparity.parity_tests.truth.summary import Arrays, concatenated, summarise

#: 17 clips of 120 frames are the 2,000 frames on which AUs are judged.
CLIPS, CLIP_FRAMES, PHOTOGRAPHS = 17, 120, 300
#: Pictures of one task, which an interrupted run loses at most.
PICTURES_IN_A_TASK, SLOW_IN_A_TASK = 50, 10
#: Images measured whole, and fits for the validator, take a second each, so a quarter of them is used.
SLOW_SHARE = 4
#: Least seconds between two lines of progress.
PROGRESS_EVERY = 10.0


@dataclass(frozen=True)
class Task:
    """One call of a function of `truth.runs` and the name under which its arrays are kept."""

    name: str
    kind: str
    function: Callable[..., Arrays]  #: of source, seed and count, and `faces` where a run names them
    seed: int
    count: int


def plan(clips: int, photographs: int) -> list[Task]:
    """All tasks of a run, the longest first."""
    tasks = [
        Task(f"clip_{seed}_{CLIP_FRAMES}", "clips", truth_runs.track_clip, seed, CLIP_FRAMES)
        for seed in range(truth_runs.CLIP_SEEDS, truth_runs.CLIP_SEEDS + clips)
    ]
    slow = max(1, photographs // SLOW_SHARE)
    for kind, function, first, total, size in (
        ("photographs", truth_runs.measure_photographs, truth_runs.PHOTOGRAPH_SEEDS, slow, SLOW_IN_A_TASK),
        ("fits", truth_runs.fit_good_and_bad, truth_runs.FIT_SEEDS, slow, SLOW_IN_A_TASK),
        ("detection", truth_runs.detect_in_photographs, truth_runs.DETECTION_SEEDS, photographs, PICTURES_IN_A_TASK),
        ("backgrounds", truth_runs.detect_in_backgrounds, truth_runs.BACKGROUND_SEEDS, photographs, PICTURES_IN_A_TASK),
    ):
        for start in range(0, total, size):
            count = min(size, total - start)
            tasks.append(Task(f"{kind}_{first + start}_{count}", kind, function, first + start, count))
    return tasks


def code_version(faces: Path | None = None) -> str:
    """A digest (12 hexadecimal digits) of what decides a result besides the weights: pipeline, renderer and tasks."""
    return code_digest(renderer_version(morphable=faces is not None), Path(truth_runs.__file__))


def code_digest(start: str, *files: Path) -> str:
    """A digest (12 hexadecimal digits) of a text, the reference pipeline and further files of code."""
    digest = hashlib.sha256(start.encode())
    package = Path(auparity.__file__).parent
    for path in [*sorted((package / "reference").rglob("*.py")), *files]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def run(
    source: str, tasks: Sequence[Task], workspace: Workspace, jobs: int, faces: str | None = None
) -> dict[str, list[Arrays]]:
    """Run the tasks that are not finished; the arrays of all tasks by kind, in the order of `tasks`."""
    missing = [task for task in tasks if not workspace.has(task.name)]
    named = {} if faces is None else {"faces": faces}
    if missing:
        workspace.log(f"{len(missing)} of {len(tasks)} tasks to do, {jobs} at a time; Ctrl-C keeps what is done")
        # One BLAS thread in each fresh process: tasks run side by side, and sums must not depend on the cores.
        os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
        start = last_report = time.monotonic()
        with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), end_with_parent) as pool:
            futures = {pool.submit(task.function, source, task.seed, task.count, **named): task for task in missing}
            try:
                for done, future in enumerate(as_completed(futures), 1):
                    workspace.save(futures[future].name, **future.result())
                    now = time.monotonic()
                    if now - last_report > PROGRESS_EVERY or done == len(missing):
                        last_report, left = now, (now - start) / done * (len(missing) - done)
                        workspace.log(f"{done} of {len(missing)} tasks, about {left:.0f} s left")
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    results: dict[str, list[Arrays]] = {}
    for task in tasks:
        results.setdefault(task.kind, []).append(workspace.load(task.name))
    return results


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see the module's first paragraph."""
    arguments = _parser().parse_args(argv)
    try:
        return _measure(arguments)
    except AuparityError as error:
        print(f"truth: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("truth: interrupted; the same command resumes.", file=sys.stderr)
        return 130


def _measure(arguments: argparse.Namespace) -> int:
    bundle = truth_runs.load_bundle(arguments.models)
    tasks = plan(arguments.clips, arguments.photographs)
    faces = None if arguments.faces is None else str(arguments.faces)
    workspace = Workspace(arguments.work / f"{bundle.short_hash}-{code_version(arguments.faces)}", arguments.faces)
    arrays = run(arguments.models, tasks, workspace, arguments.jobs, faces)
    seeds = [task.seed for task in tasks if task.kind == "clips"]
    figures = summarise(
        dict(zip(seeds, arrays["clips"], strict=True)),
        [concatenated(arrays["detection"]), concatenated(arrays["backgrounds"])],
        concatenated(arrays["photographs"]),
        concatenated(arrays["fits"]),
    )
    described = environment(bundle) | {"renderer": renderer_version(morphable=faces is not None)}
    if faces is not None:
        described["faces"] = "of the morphable model"
    asked: dict[str, Any] = {f"clips of {CLIP_FRAMES} frames": arguments.clips}
    names = {
        "photographs": "photographs measured whole",
        "fits": "photographs for fits",
        "detection": "photographs for detection",
        "backgrounds": "pictures without a face",
    }
    for kind, what in names.items():
        asked[what] = sum(task.count for task in tasks if task.kind == kind)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    result = {"environment": described, "asked": asked, "figures": figures}
    write_text_atomically(arguments.output, json.dumps(result, indent=1) + "\n")
    text = truth_tables.render(described, asked, figures)
    if arguments.page is not None:
        fidelity_page.replace_figures(arguments.page, text)
    print(text)
    missed = [verdict["title"] for verdict in figures["verdicts"] if not verdict["reached"]]
    print("\n".join(f"MISSED {title}" for title in missed) or "every target reached")
    return 1 if missed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="auparity dev truth", description=__doc__)
    parser.add_argument(
        "--models", default="embedded", metavar="SOURCE", help='"embedded" or a folder (DIR or DIR:clnf)'
    )
    parser.add_argument("--clips", type=_count, default=CLIPS, metavar="N", help="default: %(default)s")
    parser.add_argument("--photographs", type=_count, default=PHOTOGRAPHS, metavar="M", help="default: %(default)s")
    parser.add_argument("--jobs", type=_count, default=min(2, os.cpu_count() or 1), help="processes (default: up to 2)")
    parser.add_argument("-o", "--output", type=Path, default=Path("results/truth.json"), help="JSON file")
    parser.add_argument("--faces", type=Path, metavar="MODEL", help="people of this morphable model (docs/embedded.md)")
    parser.add_argument("--page", type=Path, help="page whose figures are replaced, e.g. docs/embedded.md")
    parser.add_argument("--work", type=Path, default=Path("results/truth"), help="where finished tasks are kept")
    return parser


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)
