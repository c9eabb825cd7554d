"""An export of a bundle into a folder: every item of the catalogue as a file of the target format, with a manifest.

An interrupted export resumes: files that exist and agree with the manifest are kept. With `verify`, every file is read
back from the disk, run, and compared with the reference; the manifest stores the error.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from fnmatch import fnmatch
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from auparity.child_processes import follow_parent, require_may_start_processes
from auparity.conversion import manifest as manifests
from auparity.conversion.catalogue import About, Item, Precision, items
from auparity.conversion.manifest import Entry, Manifest
from auparity.errors import AuparityError
from auparity.models.bundle import Bundle


@dataclass(frozen=True)
class Target:
    """A format."""

    module: str  #: it has SUFFIX, `write`, `verify` and `inspect`
    precisions: tuple[Precision, ...]
    beside: str = ""  #: suffix, after the whole name, of a second file of each item; the hash covers both
    bound: bool = False  #: files run only on machines like the one that wrote them; `fits` of the module checks that
    jobs: int | None = None  #: suitable number of processes; None for one for each core
    fixed_sizes: bool = False  #: files take images of one size


TARGETS = {
    "onnx": Target("auparity.conversion.onnx.export", ("float32",)),
    "coreml": Target("auparity.conversion.coreml.export", ("float32", "float16"), fixed_sizes=True),
    # TensorRT times kernels on the GPU, and other processes would disturb the times.
    "tensorrt": Target(
        "auparity.conversion.tensorrt.export", ("float32", "float16"), beside=".json", bound=True, jobs=1
    ),
}
#: Called with the name of the last finished item, the number of finished items, and the number of all.
Progress = Callable[[str, int, int], None]


@dataclass
class Exported:
    """The result of an export."""

    folder: Path
    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)  #: existed already
    wrong: dict[str, str] = field(default_factory=dict)  #: failed verification, and how

    @property
    def passed(self) -> bool:
        """No file failed its verification."""
        return not self.wrong


def target_module(target: str) -> Any:
    """The module of a target.

    Raises
    ------
    AuparityError : there is no such target.
    """
    if target not in TARGETS:
        raise AuparityError(f"no target {target!r}; there are {', '.join(TARGETS)}.")
    return import_module(TARGETS[target].module)


def export(
    bundle: Bundle,
    target: str,
    folder: Path,
    *,
    version: str,
    precision: Precision = "float32",
    only: Sequence[str] = (),
    verify: bool = False,
    jobs: int = 1,
    progress: Progress = lambda name, done, total: None,
) -> Exported:
    """Write a bundle's items.

    Parameters
    ----------
    version : of auparity, for the manifest.
    precision : of weights and layers.
    only : names or patterns (``patch_experts/main/*/view_0``) of items; empty for all.
    jobs : number of processes that write items.

    Raises
    ------
    AuparityError : the folder holds another bundle's or another target's export; no item has these names; the target
        does not have the precision.
    VariantUnavailable : a package that the target needs is not installed.
    """
    module = target_module(target)
    if precision not in TARGETS[target].precisions:
        raise AuparityError(f"{target} is written in {' and '.join(TARGETS[target].precisions)}, not in {precision}.")
    every = items(bundle, fixed_sizes=TARGETS[target].fixed_sizes)
    chosen = [item for item in every if not only or any(fnmatch(item.name, pattern) for pattern in only)]
    if not chosen:
        raise AuparityError(f"nothing in bundle {bundle.meta.name} is called {' or '.join(only)}.")
    folder.mkdir(parents=True, exist_ok=True)
    manifest = manifests.load(folder)
    if manifest is not None and (manifest.bundle_hash, manifest.target, manifest.precision) != (
        bundle.content_hash, target, precision,
    ):  # fmt: skip
        raise AuparityError(
            f"{folder}: holds the {manifest.target} export ({manifest.precision}) of bundle {manifest.bundle} "
            f"{manifest.bundle_hash[:12]}; choose another folder, or delete it."
        )
    about = About(bundle.content_hash, bundle.meta.licence, version, precision)
    held = manifest or Manifest(target, precision, bundle.meta.name, bundle.content_hash, version)
    done = Exported(folder)
    progress("", 0, len(chosen))
    tasks = []
    for item in chosen:
        entry = held.entries.get(item.name + module.SUFFIX)
        tasks.append(_Task(target, item, folder, about, entry, verify))
    for count, (name, result) in enumerate(_carried_out(tasks, jobs), 1):
        held.entries[name] = result.entry
        (done.written if result.written else done.kept).append(name)
        if result.wrong:
            done.wrong[name] = result.wrong
        manifests.save(held, folder)
        progress(name, count, len(chosen))
    return done


@dataclass(frozen=True)
class _Task:
    """One item to be written, or kept if it is the file that the manifest describes."""

    target: str
    item: Item
    folder: Path
    about: About
    entry: Entry | None
    verify: bool


@dataclass(frozen=True)
class _Result:
    entry: Entry
    written: bool
    wrong: str = ""


def _carried_out(tasks: Sequence[_Task], jobs: int) -> Iterator[tuple[str, _Result]]:
    """Results in the order in which they are finished; if stopped, the processes finish their current items."""
    if jobs == 1 or len(tasks) == 1:
        yield from map(_carry_out, tasks)
        return
    require_may_start_processes()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(tasks)), context, follow_parent) as pool:
        try:
            # A few at a time: an item contains its weights, and waiting items would be copies of the whole bundle.
            waiting, left = set[Future[tuple[str, _Result]]](), iter(tasks)
            while True:
                waiting |= {pool.submit(_carry_out, task) for task in islice(left, 2 * jobs - len(waiting))}
                if not waiting:
                    return
                ready, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in ready:
                    yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _carry_out(task: _Task) -> tuple[str, _Result]:
    module = target_module(task.target)
    name = task.item.name + module.SUFFIX
    path, entry = task.folder / name, task.entry
    target = TARGETS[task.target]
    written = entry is None or not path.exists() or _digest(target, path) != (entry.sha256, entry.bytes)
    if not written and target.bound:
        written = not module.fits(path)
    if written or entry is None:
        module.write(task.item, path, task.about)
        sha256, size = _digest(target, path)
        entry = Entry(task.item.stage, task.item.contract, sha256, size, task.item.note)
    return name, _Result(entry, written, _verified(module, task, path, entry) if task.verify else "")


def _digest(target: Target, path: Path) -> tuple[str, int]:
    """Hash and size of what a target wrote under a name."""
    return (
        manifests.digest(path, path.with_name(path.name + target.beside)) if target.beside else manifests.digest(path)
    )


def _verified(module: Any, task: _Task, path: Path, entry: Entry) -> str:
    """The fault of a file, empty if it is good; its error is stored in the entry."""
    try:
        entry.error, entry.tolerance = module.verify(task.item, path, task.about)
    except AuparityError as error:
        return str(error)
    if not entry.error <= entry.tolerance:
        return f"differs from the reference by {entry.error:.3g}, tolerance {entry.tolerance:.3g}"
    return ""


def inspect(path: Path) -> dict[str, Any]:
    """A description of an exported file or package.

    Raises
    ------
    AuparityError : no target writes files with this suffix; the file is damaged or differs from its manifest.
    """
    for target in TARGETS:
        module = target_module(target)
        if path.name.endswith(module.SUFFIX):
            if not path.exists():
                raise AuparityError(f"{path}: does not exist.")
            description: dict[str, Any] = module.inspect(path)
            return description | {"manifest": _said(path)}
    raise AuparityError(f"{path}: is of no format that can be inspected ({', '.join(TARGETS)}).")


def _said(path: Path) -> str:
    """What the manifest of the export says about a file."""
    for folder in path.resolve().parents:
        held = manifests.load(folder)
        if held is None:
            continue
        entry = held.entries.get(path.resolve().relative_to(folder).as_posix())
        if entry is None:
            return f"{folder / manifests.NAME} does not name it"
        if held.target not in TARGETS:
            raise AuparityError(f"{folder / manifests.NAME}: is of the unknown target {held.target!r}.")
        if _digest(TARGETS[held.target], path) != (entry.sha256, entry.bytes):
            return f"CHANGED since it was exported: its hash is not that of {folder / manifests.NAME}"
        checked = "not verified" if entry.error is None else f"verified, {entry.error:.2g} from the reference"
        return f"as exported from bundle {held.bundle} {held.bundle_hash[:12]}; {checked}"
    return "no manifest is beside it"
