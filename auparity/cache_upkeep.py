"""What is deleted from the cache: entries that nothing has used for long, and the least recently used of too many.

Entries of earlier versions have other names, so nothing overwrites them. Nobody knows which versions a user still has;
but a file that is read is dated once a day (auparity/cache.py), so an entry whose date is old serves none of them.

Other processes may run meanwhile. An entry that they have read or mapped stays theirs, and one that they come to need
is made again. Whatever was used within a day stays, so that processes which share a cache do not delete each other's
entries in turns.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from auparity.cache import DAY, SEAL, cache_root, discard, entries, is_passing, kernels_folder, seal_of

#: Days after which an entry that nothing has used is deleted.
UNUSED_DAYS = 60
MEBIBYTE = 1 << 20
#: Bytes of a kind that may stay: of compiled kernels those of sixty versions, of bundles a hundred, of other kinds more
#: than a machine needs.
MOST_BYTES = {"numba": 128 * MEBIBYTE, "bundles": 2048 * MEBIBYTE, "covariances": 512 * MEBIBYTE}
MOST_BYTES_OF_OTHERS = 4096 * MEBIBYTE
#: What the folders hold, for people.
KINDS = {
    "numba": "compiled kernels", "bundles": "models as they lie in memory", "covariances": "of CCNF experts",
    "cuda": "GPU binaries", "tensorrt-engines": "TensorRT engines", "coreml": "Core ML packages",
    "proofs": "verdicts of the parity suite on a GPU",
}  # fmt: skip
#: Dated when a folder was last looked through.
LOOKED_THROUGH = ".looked-through.lock"


@dataclass(frozen=True)
class Kept:
    """One entry.

    Parameters
    ----------
    path : a file or folder. size : in bytes, of all files. used : when it was last used, to a day, in s since 1970.
    """

    path: Path
    size: int
    used: float


def folders() -> dict[str, Path]:
    """The folders of the cache that exist, by kind."""
    root, kernels = cache_root().path, kernels_folder()
    inside = [] if root is None or not root.is_dir() else sorted(path for path in root.iterdir() if path.is_dir())
    return {path.name: path for path in inside} | ({} if kernels is None else {"numba": kernels})


def kept(folder: Path) -> list[Kept]:
    """The entries of a folder, the least recently used first."""
    found = []
    with suppress(FileNotFoundError):
        for path in entries(folder):
            with suppress(FileNotFoundError):  # deleted by another process
                found.append(_kept(path))
    return sorted(found, key=lambda entry: entry.used)


def _kept(path: Path) -> Kept:
    files = [path] if path.is_symlink() or not path.is_dir() else [each for each in path.rglob("*") if each.is_file()]
    seal = [each for each in (seal_of(path),) if each.is_file()]
    states = [each.lstat() for each in [*files, *seal]] or [path.lstat()]
    return Kept(path, sum(state.st_size for state in states), max(state.st_mtime for state in states))


def tidy_daily(folder: Path, kind: str) -> None:
    """`tidy` with the limit of a kind, unless somebody has done it within a day; what cannot be deleted stays."""
    mark = folder / LOOKED_THROUGH
    with suppress(OSError):
        if not mark.exists() or abs(time.time() - mark.stat().st_mtime) > DAY:
            mark.touch()
            tidy(folder, most_bytes(kind))


def most_bytes(kind: str) -> int:
    """What entries of a kind may take."""
    return MOST_BYTES.get(kind, MOST_BYTES_OF_OTHERS)


def tidy(folder: Path, limit: int, *, unused_days: float = UNUSED_DAYS) -> list[Kept]:
    """Delete what nothing has used for `unused_days`, then the least recently used as long as the rest takes more than
    `limit` bytes, but nothing that was used within a day; also what killed processes left behind. Returns the entries.
    """
    now, removed = time.time(), []
    there = kept(folder)
    total = sum(entry.size for entry in there)
    for entry in there:
        unused = now - entry.used
        if unused > unused_days * DAY or (total > limit and unused > DAY):
            with suppress(OSError):  # in use, on Windows
                discard(entry.path)
                removed.append(entry)
                total -= entry.size
    for path in _left_behind(folder):
        with suppress(OSError):
            if now - path.lstat().st_mtime > DAY:
                path.unlink()
    return removed


def _left_behind(folder: Path) -> Iterator[Path]:
    """Locks, files that were not finished, and seals of entries that are gone."""
    with suppress(FileNotFoundError):
        for path in folder.iterdir():
            if path.name != LOOKED_THROUGH and path.is_file():
                lone = path.suffix == SEAL and not path.with_name(path.name.removesuffix(SEAL)).exists()
                if is_passing(path) or lone:
                    yield path


def size_of(entries_of_kind: Collection[Kept]) -> str:
    """How many entries, and how large, for people."""
    count = len(entries_of_kind)
    mebibytes = sum(entry.size for entry in entries_of_kind) / MEBIBYTE
    return f"{count} {'entry' if count == 1 else 'entries'}, {mebibytes:.1f} MiB"
