"""The tables and the records of failures in output folders of `auparity extract`, of any engine and machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from auparity.dataset.clips import Clip, read_clip
from auparity.errors import AuparityError
from auparity.extraction import failures, stores
from auparity.extraction.failures import Failure, as_text, read_failures
from auparity.media.names import printable

SUFFIXES = (".csv", ".parquet")
#: Ends the name of the folder with the aligned faces of a table, in which there is nothing to find.
ALIGNED = "_aligned"


@dataclass
class Found:
    """What output folders hold."""

    clips: dict[str, Clip] = field(default_factory=dict)  #: by name
    failures: list[Failure] = field(default_factory=list)  #: the name is that of the clip
    problems: list[str] = field(default_factory=list)  #: sentences: tables that cannot be used
    notes: list[str] = field(default_factory=list)  #: sentences
    without_sidecar: int = 0  #: CSV and Parquet files that nothing describes


def find(
    results: Sequence[Path],
    data_set: Path | None = None,
    *,
    addresses: Mapping[Path, str] = MappingProxyType({}),
    told: Callable[[int], None] = lambda count: None,
) -> Found:
    """Everything in and below some output folders.

    A clip that was measured twice is there once: a whole table before one that is not, of equal inputs Parquet before
    CSV, then the newer one.

    Parameters
    ----------
    data_set : left out where it lies in one of the folders; None for none.
    addresses : of folders that are copies.
    told : gets the number of tables found so far, now and then.

    Raises
    ------
    AuparityError : a folder does not exist, or two different inputs have tables of one name.
    """
    found = Found()
    for folder in results:
        if not folder.is_dir():
            raise AuparityError(f"{printable(folder)}: is not a directory; name output folders of `auparity extract`.")
        for path, names in _walk(folder, None if data_set is None else data_set.resolve()):
            _look(folder, path, names, found, addresses.get(folder, ""))
            told(len(found.clips))
    _drop_settled(found)
    return found


def described_tables(folder: Path) -> list[Path]:
    """The tables in and below a folder that have a file beside them which may be their sidecar, in order of names.

    Raises
    ------
    AuparityError : a folder cannot be read.
    """
    return [
        path / name
        for path, names in _walk(folder, None)
        for name in names
        if os.path.splitext(name)[1] in SUFFIXES and f"{name}.json" in names and (path / name).is_file()
    ]


def _walk(folder: Path, data_set: Path | None) -> Iterator[tuple[Path, list[str]]]:
    """Every folder with the names of its files and, at the end, of the records of failures; in order of names."""
    for where, folders, files in os.walk(folder, onerror=_raise):
        path = Path(where)
        present = set(files)
        recorded = [failures.FOLDER] if failures.FOLDER in folders else []
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and not (name.endswith(ALIGNED) and any(_sidecar(name[: -len(ALIGNED)], s) in present for s in SUFFIXES))
            and (path / name).resolve() != data_set
        )
        yield path, sorted(files) + recorded


def _raise(error: OSError) -> None:
    raise AuparityError(f"{printable(str(error.filename))}: cannot be read ({error.strerror}).") from error


def _sidecar(stem: str, suffix: str) -> str:
    return f"{stem}{suffix}.json"


def _look(root: Path, folder: Path, names: list[str], found: Found, address: str) -> None:
    """Add what one folder holds."""
    present = set(names)
    below = folder.relative_to(root)
    for name in names:
        if name == failures.FOLDER:
            _add_failures(root, folder, found)
            continue
        stem, suffix = os.path.splitext(name)
        if suffix not in SUFFIXES:
            continue
        if f"{name}.json" not in present:
            found.without_sidecar += 1
            continue
        try:
            shown = stores.join(address, (below / name).as_posix()) if address else ""
            clip = read_clip(folder / name, (below / stem).as_posix(), shown)
        except AuparityError as error:
            found.problems.append(str(error))
            continue
        if clip is None:
            found.without_sidecar += 1
        else:
            _add(clip, found)


def _add(clip: Clip, found: Found) -> None:
    other = found.clips.setdefault(clip.clip, clip)
    if other is clip:
        return
    if clip.whole and other.whole and clip.input_sha256 != other.input_sha256:
        raise AuparityError(
            f"two different inputs have tables called {printable(clip.clip)}: {printable(other.table)} of "
            f"{printable(str(other.input))}, and {printable(clip.table)} of {printable(str(clip.input))}. A clip is "
            "called after its table's place in the output folder: put the output folders into one folder and name that."
        )
    better, worse = sorted((clip, other), key=_preference, reverse=True)
    found.clips[clip.clip] = better
    if worse.whole:
        found.notes.append(f"{printable(clip.clip)} was measured twice: {printable(better.table)} is taken, "
                           f"{printable(worse.table)} is not.")  # fmt: skip


def _preference(clip: Clip) -> tuple[bool, bool, str]:
    return clip.whole, not clip.rounded, clip.extracted or ""


def _add_failures(root: Path, folder: Path, found: Found) -> None:
    try:
        lines = read_failures(folder)
    except AuparityError as error:
        found.problems.append(str(error))
        return
    below = folder.relative_to(root)
    for line in lines:
        name = as_text((below / line["name"]).as_posix()) if line["name"] else ""
        found.failures.append({**line, "name": name})


def _drop_settled(found: Found) -> None:
    """Leave out failures of clips that were measured later, by whatever means."""

    def is_open(failure: Failure) -> bool:
        clip = found.clips.get(failure["name"])
        return clip is None or not clip.whole or (clip.extracted or "") < failure["date"]

    found.failures = sorted(filter(is_open, found.failures), key=lambda line: (line["input"], line["date"]))
