"""The manifest of an export: what every file is, its hash and size, and how it was verified.

``manifest.json`` is in the folder of the export and is written again after every file, so that an interrupted export
resumes: files whose hash still agrees are kept. It names the bundle; exporting another bundle into the same folder is
refused, and so is verifying files that were changed since.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from auparity.atomic_files import write_text_atomically
from auparity.errors import AuparityError
from auparity.json_files import checked, load_json

NAME, FORMAT, VERSION = "manifest.json", "auparity-export", 1


@dataclass
class Entry:
    """One exported file or package."""

    stage: str
    contract: str
    sha256: str
    bytes: int
    note: str = ""
    error: float | None = None  #: against the reference when it was verified, relative to the largest value
    tolerance: float | None = None


@dataclass
class Manifest:
    """All files of an export."""

    target: str  #: "onnx", "coreml" ...
    precision: str  #: "float32" or "float16"
    bundle: str
    bundle_hash: str
    version: str  #: of auparity
    entries: dict[str, Entry] = field(default_factory=dict)  #: by path relative to the folder


def load(folder: Path) -> Manifest | None:
    """The manifest of a folder; None where there is none.

    Raises
    ------
    AuparityError : it is damaged, or of a later version.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    content = load_json(path, "the manifest of an export", dict, advice="Delete it and export again.")
    if (content.pop("format", None), content.pop("version_of_format", None)) != (FORMAT, VERSION):
        raise AuparityError(f"{path}: is not of format {FORMAT} {VERSION}; export into another folder.")
    return checked(content, path, "the manifest of an export", Manifest, advice="Delete it and export again.")


def save(manifest: Manifest, folder: Path) -> None:
    """Write atomically, sorted."""
    content = {"format": FORMAT, "version_of_format": VERSION, **asdict(manifest)}
    write_text_atomically(folder / NAME, json.dumps(content, indent=1, sort_keys=True) + "\n")


def digest(path: Path, *beside: Path) -> tuple[str, int]:
    """SHA-256 and size of a file, or of all files of a package (names included, in order).

    Parameters
    ----------
    beside : files of the same folder that belong to the first; they are hashed together with it, like a package.
    """
    if path.is_file() and not beside:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size
    folder = path.parent if beside else path
    together, size = hashlib.sha256(), 0
    for each in sorted(p for p in ([path, *beside] if beside else path.rglob("*")) if p.is_file()):
        data = each.read_bytes()
        together.update(each.relative_to(folder).as_posix().encode() + b"\0" + data + b"\0")
        size += len(data)
    return together.hexdigest(), size
