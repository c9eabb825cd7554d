"""An export of a bundle into a folder: every item of the catalogue as a file of the target format, with a manifest.

Stopped at any moment, the export goes on where it was; files that are there and agree with the manifest are kept. With
`verify`, every file is read back from the disk, run, and held against the reference; what was found goes into the
manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from typing import Any

from auparity.conversion import manifest as manifests
from auparity.conversion.catalogue import Item, items
from auparity.conversion.manifest import Entry, Manifest
from auparity.errors import AuparityError
from auparity.models.bundle import Bundle

#: Modules that write a target: each has SUFFIX, `write`, `verify` and `inspect`.
TARGETS = {"onnx": "auparity.conversion.to_onnx"}
Progress = Callable[[str, int, int], None]


@dataclass
class Exported:
    """What an export did."""

    folder: Path
    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)  #: were there already
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
    return import_module(TARGETS[target])


def export(
    bundle: Bundle,
    target: str,
    folder: Path,
    *,
    version: str,
    only: Sequence[str] = (),
    verify: bool = False,
    progress: Progress = lambda name, done, total: None,
) -> Exported:
    """Write a bundle's items.

    Parameters
    ----------
    version : of auparity, for the manifest.
    only : names or patterns (``patch_experts/main/*/view_0``) of items; empty for all.

    Raises
    ------
    AuparityError : the folder holds another bundle's or another target's export; nothing is of these names.
    VariantUnavailable : what the target needs is not installed.
    """
    module = target_module(target)
    chosen = [item for item in items(bundle) if not only or any(fnmatch(item.name, pattern) for pattern in only)]
    if not chosen:
        raise AuparityError(f"nothing in bundle {bundle.meta.name} is called {' or '.join(only)}.")
    folder.mkdir(parents=True, exist_ok=True)
    known = manifests.load(folder)
    if known is not None and (known.bundle_hash, known.target) != (bundle.content_hash, target):
        raise AuparityError(
            f"{folder}: holds the {known.target} export of bundle {known.bundle} {known.bundle_hash[:12]}; choose "
            "another folder, or delete it."
        )
    held = known or Manifest(target, bundle.meta.name, bundle.content_hash, version)
    done = Exported(folder)
    for number, item in enumerate(chosen):
        progress(item.name, number, len(chosen))
        name = item.name + module.SUFFIX
        path, entry = folder / name, held.entries.get(name)
        if entry is None or not path.exists() or manifests.digest(path) != (entry.sha256, entry.bytes):
            module.write(item, path, bundle.content_hash, bundle.meta.licence)
            sha256, size = manifests.digest(path)
            entry = held.entries[name] = Entry(item.stage, item.contract, sha256, size, item.note)
            done.written.append(name)
            manifests.save(held, folder)
        else:
            done.kept.append(name)
        if verify:
            _verify(module, item, path, entry, done)
    manifests.save(held, folder)
    progress("", len(chosen), len(chosen))
    return done


def _verify(module: Any, item: Item, path: Path, entry: Entry, done: Exported) -> None:
    name = item.name + module.SUFFIX
    try:
        entry.error, entry.tolerance = module.verify(item, path)
    except AuparityError as error:
        done.wrong[name] = str(error)
        return
    if not entry.error <= entry.tolerance:
        done.wrong[name] = f"differs from the reference by {entry.error:.3g}, tolerance {entry.tolerance:.3g}"


def inspect(path: Path) -> dict[str, Any]:
    """What an exported file or package holds.

    Raises
    ------
    AuparityError : no target writes files of this suffix; it is damaged; it differs from the manifest beside it.
    """
    for target in TARGETS:
        module = target_module(target)
        if path.name.endswith(module.SUFFIX):
            if not path.exists():
                raise AuparityError(f"{path}: does not exist.")
            found: dict[str, Any] = module.inspect(path)
            return found | {"manifest": _said(path)}
    raise AuparityError(f"{path}: is of no format that can be inspected ({', '.join(TARGETS)}).")


def _said(path: Path) -> str:
    """What the manifest of the export says of a file."""
    for folder in path.resolve().parents:
        held = manifests.load(folder)
        if held is None:
            continue
        entry = held.entries.get(path.resolve().relative_to(folder).as_posix())
        if entry is None:
            return f"{folder / manifests.NAME} does not name it"
        if manifests.digest(path) != (entry.sha256, entry.bytes):
            return f"CHANGED since it was exported: its hash is not that of {folder / manifests.NAME}"
        checked = "not verified" if entry.error is None else f"verified, {entry.error:.2g} from the reference"
        return f"as exported from bundle {held.bundle} {held.bundle_hash[:12]}; {checked}"
    return "no manifest is beside it"
