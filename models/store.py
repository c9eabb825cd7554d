"""The store: OpenFace's model files in the cache that this ecosystem shares, fetched once and verified.

pyfaceau, pyclnf and pymtcnn use the same folder, so that none downloads files that another has::

    <OPENFACE_MODELS_DIR, else the user's folder for data/OpenFaceModels>/2.2.0/
        .lock                                        held while files are written
        originals/lib/local/LandmarkDetector/model/  each file at its path in OpenFace's repository
        originals/lib/local/FaceAnalyser/AU_predictors/

Earlier versions of auparity kept `model` and `AU_predictors` directly in `originals`, or in the folder that
OPENFACE_MODELS_DIR names; such a store is still found, and a fetch takes over its files. ``openface_manifest.toml``
lists the files of the store with their addresses and SHA-256.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Literal

from auparity.errors import AuparityError, DownloadError, ModelFormatError
from auparity.models.formats import layout
from auparity.models.manifest import Manifest, ManifestFile, openface_manifest
from auparity.models.verified_files import is_file, safe_target

DIRECTORY_VARIABLE = "OPENFACE_MODELS_DIR"
ORIGINALS = "originals"
LOCK = ".lock"

Verdict = Literal["ok", "missing", "differs", "unreadable"]
#: Called with (file entry, its number from 1, number of files, bytes so far, total bytes).
FetchProgress = Callable[[ManifestFile, int, int, int, int], None]


def default_directory() -> Path:
    """Where OpenFace's model files are kept on this machine; see the module's first paragraph.

    Raises
    ------
    AuparityError : this user has no home, and the variable names no folder.
    """
    return base() / "2.2.0" / ORIGINALS


def base() -> Path:
    """The folder that OpenFace's models and networks are kept below; errors as of `default_directory`."""
    named = os.environ.get(DIRECTORY_VARIABLE, "").strip()
    if named:
        return Path(os.path.expanduser(named))
    if sys.platform == "darwin":
        return _home() / "Library" / "Application Support" / "OpenFaceModels"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else _home() / "AppData" / "Local") / "OpenFaceModels"
    named = os.environ.get("XDG_DATA_HOME", "")
    return (Path(named) if os.path.isabs(named) else _home() / ".local" / "share") / "OpenFaceModels"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError as error:
        raise AuparityError(f"This user has no home folder. Set {DIRECTORY_VARIABLE} to a folder.") from error


def _candidates() -> list[Path]:
    """Folders in which OpenFace's models may be, the shared cache first."""
    try:
        folders = [default_directory()]
    except AuparityError:  # without a home there is no such folder
        return []
    if named := os.environ.get(DIRECTORY_VARIABLE, "").strip():
        folders.append(Path(os.path.expanduser(named)))
    return folders


def installed_openface() -> Path | None:
    """The folder of OpenFace's models on this machine, as `Bundle.from_openface` takes it; None without one.

    Packages that share the cache fetch only some of the files, so the folder must have the main lists of a bundle.
    """
    return next((folder for folder in _candidates() if layout.has_lists(folder)), None)


def place() -> str:
    """The store as messages name it."""
    try:
        return str(default_directory())
    except AuparityError:
        return f"a folder of this user, who has no home, and {DIRECTORY_VARIABLE} is not set"


def find_openface(models: str | os.PathLike[str] | None = None) -> Path:
    """The folder of OpenFace's models: the one named, else the store.

    Raises
    ------
    ModelFormatError : there is none; names the searched places and says how to get one.
    """
    if models is not None:
        return Path(models)
    if folder := installed_openface():
        return folder
    raise ModelFormatError(default_directory(), None, "OpenFace's model files", _what_is_there(), layout.ADVICE)


def _what_is_there() -> str:
    files = openface_manifest().files
    present = sum(_place(default_directory(), file) is not None for file in files)
    return f"{present} of {len(files)} files" if present else "none"


def _place(directory: Path, file: ManifestFile) -> Path | None:
    """A manifest's file below a folder: at its path in OpenFace's repository, or in the earlier layout."""
    for path in (safe_target(directory, file.path), safe_target(directory, _short(file.path))):
        if path.is_file():
            return path
    return None


def _short(path: str) -> str:
    """A path in OpenFace's repository as it is below a folder that holds `model` and `AU_predictors`."""
    parts = PurePosixPath(path).parts
    return "/".join(parts[3:] if parts[:2] == ("lib", "local") and len(parts) > 3 else parts)


def missing_files(directory: Path, manifest: Manifest | None = None) -> list[str]:
    """Paths of the manifest's files that are not below a folder."""
    return [file.path for file in (manifest or openface_manifest()).files if _place(directory, file) is None]


def verify(directory: Path, manifest: Manifest | None = None) -> dict[str, Verdict]:
    """Verify the checksum of every file of the manifest."""
    return {
        file.path: _verdict(_place(directory, file), file) for file in (manifest or openface_manifest()).files
    }  # fmt: skip


def _verdict(path: Path | None, file: ManifestFile) -> Verdict:
    if path is None:
        return "missing"
    try:
        return "ok" if is_file(path, file.size, file.sha256, text=file.text) else "differs"
    except OSError:
        return "unreadable"


def fetch(
    directory: Path | None = None,
    *,
    accept_license: bool = False,
    manifest: Manifest | None = None,
    mirror: str | None = None,
    progress: FetchProgress | None = None,
    waiting: Callable[[], None] = lambda: None,
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Download missing and damaged files; returns the paths of the downloaded files.

    Parameters
    ----------
    directory : the store; None for the default one.
    accept_license : the user has read and accepts OpenFace's licence.
    mirror : another server with the paths of the manifest, instead of the official addresses.
    waiting : called once if another process is writing to the store, before waiting for it.

    Raises
    ------
    AuparityError : the licence was not accepted, or another process does not stop writing to the store.
    DownloadError, ChecksumError : see `auparity.models.download.download`. Files already fetched stay.
    """
    from auparity.models.download import download
    from auparity.models.file_lock import locked

    manifest, shared = manifest or openface_manifest(), directory is None
    directory = directory or default_directory()
    if not accept_license:
        raise AuparityError(
            f"These models are not free software. Licence: {manifest.licence}; read {manifest.licence_url} and repeat "
            "with --accept-license if you accept it."
        )
    fetched = []
    # The lock of the shared cache is beside `originals`; another folder has its lock inside.
    with locked((directory.parent if shared else directory) / LOCK, waiting=waiting):
        for number, file in enumerate(manifest.files, 1):
            target = safe_target(directory, file.path)
            if _verdict(target if target.is_file() else None, file) == "ok" or _taken_over(directory, file, target):
                continue

            def report(done: int, total: int, file: ManifestFile = file, number: int = number) -> None:
                if progress:
                    progress(file, number, len(manifest.files), done, total)

            urls = file.urls if mirror is None else (f"{mirror.rstrip('/')}/{file.path}",)
            download(
                urls, target, size=file.size, sha256=file.sha256, text=file.text, progress=report, sleep=sleep
            )  # fmt: skip
            fetched.append(file.path)
    return fetched


def _taken_over(directory: Path, file: ManifestFile, target: Path) -> bool:
    """Link or copy a good file of the earlier layout to its present place; whether there was one."""
    old = safe_target(directory, _short(file.path))
    if old == target or _verdict(old if old.is_file() else None, file) != "ok":
        return False
    part = target.with_name(f"{target.name}.part-{os.getpid()}-old")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        try:
            os.link(old, part)  # the same bytes under two names, if the file system has hard links
        except OSError:
            shutil.copyfile(old, part)
        os.replace(part, target)
    except OSError as error:
        raise DownloadError(f"{target} cannot be written: {error}. Free space or choose another folder.") from error
    return True
