"""The cache of everything that is slow to make: compiled kernels, TensorRT engines, Core ML packages, verdicts.

The cache holds code that is executed, so its folder must be private: it belongs to this user, and no other user can
write to it. The first of these folders that is private and writable is used: the folder that ``AUPARITY_CACHE`` names,
the user's folder for caches, a folder of this user in the system's temporary folder; else nothing is kept. A warning
lists folders that were passed over, once, and so does ``auparity doctor``. Everything in the cache can be deleted.

A file that is used is dated, once a day, so that what no version uses any longer can be told and deleted
(cache_upkeep.py). An entry that is damaged or belongs to another user counts as missing: `seal` writes its SHA-256
beside it, `intact` checks it. (Kernels of Numba contain theirs: accelerated/numba/stored.py.)
"""

from __future__ import annotations

import hashlib
import mmap
import os
import shutil
import stat
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, TypeVar

from auparity.errors import AuparityWarning

Content = TypeVar("Content")

CACHE_VARIABLE = "AUPARITY_CACHE"
NUMBA_VARIABLE = "NUMBA_CACHE_DIR"
SEAL = ".sha256"
LOCK = ".lock"  # lock file of a folder whose entries take long to make
UNFINISHED = ".unfinished-"  # begins the names of files that are being written
DAY = 24 * 3600.0  # s
FOREIGN_WRITE = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True)
class CacheRoot:
    """The folder in use, and why it was chosen."""

    path: Path | None  #: None: nothing is kept
    origin: str
    passed: tuple[str, ...]  #: earlier folders, each with the reason why it is not used

    def __str__(self) -> str:
        return f"{self.path or 'none'} ({'; '.join([self.origin, *self.passed])})"


def cache_root() -> CacheRoot:
    """The folder of the cache; see the module's first paragraphs. Warns once if it is not the usual one."""
    variables = (CACHE_VARIABLE, "XDG_CACHE_HOME", "LOCALAPPDATA", "HOME", "USERPROFILE")
    return _root(tuple(os.environ.get(name) for name in variables), _temporary_folder())


@lru_cache(maxsize=8)
def _root(environment: tuple[str | None, ...], temporary: Path | None) -> CacheRoot:
    """The first usable folder; decided once for each environment."""
    passed: list[str] = []
    for origin, path in _candidates(temporary):
        if why := _made(path):
            passed.append(f"{path} is not used: {why}")
        else:
            root = CacheRoot(path, origin, tuple(passed))
            break
    else:
        root = CacheRoot(None, "nothing is kept, kernels are compiled at every start", tuple(passed))
    if passed:
        instead = f"{root.path} is used" if root.path else root.origin
        warnings.warn(f"Cache: {'; '.join(passed)}. {instead}.", AuparityWarning, stacklevel=2)
    return root


def _candidates(temporary: Path | None) -> Iterator[tuple[str, Path]]:
    if named := os.environ.get(CACHE_VARIABLE):
        yield f"{CACHE_VARIABLE} names it", Path(named)
    if (users := _users_folder()) is not None:
        yield "the user's folder for caches", users / "auparity"
    if temporary is not None:
        yield "temporary: the system may delete it", temporary / own_name()


def _temporary_folder() -> Path | None:
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:  # there is none that can be written to
        return None


def _users_folder() -> Path | None:
    """The platform's folder for a user's caches; None for a user without a home."""
    try:
        if sys.platform == "win32":
            local = os.environ.get("LOCALAPPDATA")
            return Path(local) if local else Path.home() / "AppData" / "Local"
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches"
        named = os.environ.get("XDG_CACHE_HOME", "")
        return Path(named) if os.path.isabs(named) else Path.home() / ".cache"
    except RuntimeError:
        return None


def own_name() -> str:
    """Name of this user's cache in a folder that all users share."""
    return f"auparity-cache-{os.getuid()}" if hasattr(os, "getuid") else "auparity-cache"


def cache_folder(kind: str) -> Path | None:
    """The private folder of one kind of entries, created if necessary; None if nothing is kept."""
    root = cache_root().path
    return None if root is None else private_folder(root / kind)


def private_folder(path: Path) -> Path | None:
    """`path`, private and created if necessary, or None, with a warning that says why it cannot be used."""
    if why := _made(path):
        _warn_once(f"Cache: {path} is not used: {why}.")
        return None
    return path


def kernels_folder() -> Path | None:
    """The folder of compiled kernels: below NUMBA_CACHE_DIR if that is set, else in our cache; None without one."""
    return _kernels_folder(os.environ.get(NUMBA_VARIABLE), cache_root().path)


@lru_cache(maxsize=8)
def _kernels_folder(named: str | None, root: Path | None) -> Path | None:
    """Decided once, because every kernel asks."""
    own = private_folder(Path(named) / own_name()) if named else None
    return own or (None if root is None else private_folder(root / "numba"))


@lru_cache(maxsize=64)
def _warn_once(message: str) -> None:
    warnings.warn(message, AuparityWarning, stacklevel=3)


def _made(path: Path) -> str | None:
    """Make a private folder if it does not exist; why it cannot be used, or None."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if why := _why_foreign(path.lstat() if path.is_symlink() else path.stat()):
            return f"{why}; it holds code that is executed"
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        return f"it cannot be written to ({error.strerror or error})"
    return None


def _why_foreign(about: os.stat_result) -> str | None:
    """Why other users may have written a file or folder; None if only this user can have.

    Windows has no such modes; a user's folders are private there by default.
    """
    if not hasattr(os, "getuid"):
        return None
    if about.st_uid != os.geteuid():
        return f"it belongs to user {about.st_uid}, not to {os.geteuid()}"
    if about.st_mode & FOREIGN_WRITE and not stat.S_ISLNK(about.st_mode):
        return f"others may write to it (mode {stat.S_IMODE(about.st_mode):04o}; chmod go-w)"
    return None


def read_own(path: Path) -> bytes | None:
    """Content of a file of the cache; None if there is none, or if others may have written it."""
    return _taken(path, lambda file: file.read())


def map_own(path: Path) -> memoryview | None:
    """As `read_own`, of a large file: mapped into memory, read-only, in place of being copied there."""
    return _taken(path, lambda file: memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))


def _taken(path: Path, take: Callable[[BinaryIO], Content]) -> Content | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode) or _why_foreign(about):
            return None
        if time.time() - about.st_mtime > DAY:
            _date(path)
        try:
            return take(file)
        except (OSError, ValueError):  # a failing disk loses only an entry; an empty file cannot be mapped
            return None


def _date(path: Path) -> None:
    with suppress(OSError):  # a file system that is read only keeps its entries anyway
        os.utime(path)


def write_own(path: Path, content: bytes) -> None:
    """Write a file into the cache, completely or not at all; OSError if that fails."""
    descriptor, name = tempfile.mkstemp(prefix=UNFINISHED, dir=path.parent)  # readable and writable for this user only
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def seal(path: Path) -> None:
    """Write the SHA-256 of a complete file or folder beside it; OSError if that fails."""
    write_own(seal_of(path), _digest(path).encode("ascii"))


def entries(folder: Path) -> list[Path]:
    """The entries of a folder, without seals, locks, and what is not finished."""
    return sorted(path for path in folder.iterdir() if path.suffix != SEAL and not is_passing(path))


def is_passing(path: Path) -> bool:
    """Whether a file of the cache is a lock, or one that is being written: needed as long as a process runs."""
    return path.name.endswith(LOCK) or path.name.startswith(UNFINISHED)


def intact(path: Path) -> bool:
    """Whether a file or folder of the cache exists, belongs to this user, and is unchanged since it was sealed."""
    sealed = read_own(seal_of(path))
    try:
        return sealed is not None and path.exists() and sealed.decode("ascii", "replace") == _digest(path)
    except OSError:
        return False


def discard(path: Path) -> None:
    """Delete an entry, file or folder, and its seal, if they exist."""
    seal_of(path).unlink(missing_ok=True)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def seal_of(path: Path) -> Path:
    """Where the SHA-256 of an entry is, if it is sealed."""
    return path.with_name(path.name + SEAL)


def _digest(path: Path) -> str:
    """SHA-256 over a file, or over names and contents of all files in a folder.

    Raises
    ------
    OSError : it cannot be read, or does not belong to this user alone.
    """
    whole = hashlib.sha256()
    for part in [path] if path.is_file() else sorted(each for each in path.rglob("*") if not each.is_dir()):
        content = read_own(part)
        if content is None:
            raise OSError(f"{part}: not a file of this user's alone")
        whole.update(f"{part.relative_to(path).as_posix()}\0{len(content)}\0".encode())
        whole.update(content)
    return whole.hexdigest()
