"""The store: OpenFace's model files in the cache that this ecosystem shares, fetched once, verified, found again.

The folder is ``OPENFACE_MODELS_DIR`` where that is set, else the platform's place for application data,
``OpenFaceModels/2.2.0/originals``. What belongs in it, from where and with which SHA-256, is in
``openface_manifest.toml``.
"""

from __future__ import annotations

import json
import os
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

from auparity.errors import AuparityError, ModelFormatError
from auparity.models.download import download, safe_target, sha256_of

DIRECTORY_VARIABLE = "OPENFACE_MODELS_DIR"
RECORD = "store.json"  # hashes of files whose hash the manifest does not know, as first downloaded

Verdict = Literal["ok", "missing", "differs", "not recorded"]
#: Called with (file entry, its number from 1, number of files, bytes so far, bytes in all or None).
FetchProgress = Callable[["ManifestFile", int, int, int, int | None], None]


@dataclass(frozen=True)
class ManifestFile:
    """One file of a manifest. `sha256` is "" where it is not known."""

    path: str
    url: str
    size: int
    sha256: str
    text: bool = False


@dataclass(frozen=True)
class Manifest:
    """What belongs to one set of models."""

    name: str
    version: str
    licence: str
    licence_url: str
    files: tuple[ManifestFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def parse_manifest(text: str) -> Manifest:
    """A manifest from TOML; AuparityError when it does not hold what it must."""
    try:
        table = tomllib.loads(text)
        files = tuple(ManifestFile(**entry) for entry in table["file"])
        return Manifest(table["name"], table["version"], table["licence"], table["licence_url"], files)
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise AuparityError(f"The manifest of models cannot be read: {error}. Install auparity anew.") from error


def openface_manifest() -> Manifest:
    """The manifest of OpenFace 2.2.0 that comes with auparity."""
    return parse_manifest((resources.files(__package__) / "openface_manifest.toml").read_text(encoding="utf-8"))


def default_directory() -> Path:
    """Where OpenFace's model files are kept on this machine; see the module's first paragraph."""
    if named := os.environ.get(DIRECTORY_VARIABLE):
        return Path(named)
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "OpenFaceModels" / "2.2.0" / "originals"


def has_openface() -> bool:
    """Are OpenFace's models in the store?"""
    store = default_directory()
    return (store / "model").is_dir() and (store / "AU_predictors").is_dir()


def find_openface(models: str | os.PathLike[str] | None = None) -> Path:
    """The folder of OpenFace's models: the one named, else the store.

    Raises
    ------
    ModelFormatError : there is none; says where was looked and how to get one.
    """
    if models is not None:
        return Path(models)
    store = default_directory()
    if has_openface():
        return store
    raise ModelFormatError(
        store, None, "OpenFace's model files (folders model and AU_predictors)", "none",
        "Get them with `auparity models fetch openface --accept-license`, or name their folder: --models DIR.",
    )  # fmt: skip


def _records(directory: Path) -> dict[str, str]:
    path = directory / RECORD
    if not path.is_file():
        return {}
    try:
        return {str(k): str(v) for k, v in json.loads(path.read_text(encoding="utf-8")).items()}
    except (json.JSONDecodeError, AttributeError, UnicodeDecodeError) as error:
        raise AuparityError(f"{path} is damaged: {error}. Delete it; the hashes in it are recorded anew.") from error


def _record(directory: Path, file: ManifestFile, sha256: str) -> None:
    records = _records(directory) | {file.path: sha256}
    part = directory / f"{RECORD}.part"
    part.write_text(json.dumps(records, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(part, directory / RECORD)


def verify(directory: Path, manifest: Manifest | None = None) -> dict[str, Verdict]:
    """Every file of the manifest held against its hash (or the hash recorded when it was downloaded)."""
    manifest = manifest or openface_manifest()
    records = _records(directory)
    return {file.path: _verdict(directory, file, records) for file in manifest.files}


def _verdict(directory: Path, file: ManifestFile, records: dict[str, str]) -> Verdict:
    path = safe_target(directory, file.path)
    if not path.is_file():
        return "missing"
    if not file.text and path.stat().st_size != file.size:
        return "differs"
    expected = file.sha256 or records.get(file.path)
    if expected is None:
        return "not recorded"
    return "ok" if sha256_of(path, text=file.text) == expected else "differs"


def fetch(
    directory: Path | None = None,
    *,
    accept_license: bool = False,
    manifest: Manifest | None = None,
    mirror: str | None = None,
    progress: FetchProgress | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Download what is missing or damaged; returns the paths of files whose hash was taken on trust.

    Parameters
    ----------
    directory : the store; None for the default one.
    accept_license : the user has read and accepts OpenFace's licence.
    mirror : an address that serves the manifest's paths, in place of the official ones.

    Raises
    ------
    AuparityError : the licence was not accepted.
    DownloadError, ChecksumError : see `auparity.models.download.download`. Files already fetched stay.
    ModelFormatError : a file without a known hash is not what it should be.
    """
    manifest, directory = manifest or openface_manifest(), directory or default_directory()
    if not accept_license:
        raise AuparityError(
            f"These models are not free software. Licence: {manifest.licence}; read {manifest.licence_url} and repeat "
            "with --accept-license if you accept it."
        )
    directory.mkdir(parents=True, exist_ok=True)
    trusted = []
    for number, file in enumerate(manifest.files, 1):
        target = safe_target(directory, file.path)
        if _verdict(directory, file, _records(directory)) == "ok":
            continue

        def report(done: int, total: int | None, file: ManifestFile = file, number: int = number) -> None:
            if progress:
                progress(file, number, len(manifest.files), done, total)

        url = file.url if mirror is None else f"{mirror.rstrip('/')}/{file.path}"
        found = download(url, target, size=file.size, sha256=file.sha256, text=file.text, progress=report, sleep=sleep)
        if not file.sha256:
            _require_cen(target)
            _record(directory, file, found)
            trusted.append(file.path)
    return trusted


def _require_cen(path: Path) -> None:
    """A file without a known hash must at least be readable as what it claims to be; a bad one is deleted."""
    from auparity.models.formats.cen import read_cen

    try:
        read_cen(path)
    except ModelFormatError:
        path.unlink()
        raise
