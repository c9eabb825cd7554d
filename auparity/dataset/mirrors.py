"""Copies on this machine of output folders and of data sets that are at addresses, brought up to date before a run.

A copy is fetched file by file; what its store calls unchanged since the last time is not fetched again. With a folder
for scratch the copies are kept there, so that bringing a data set up to date fetches what is new; without one they are
removed at the end. A data set is put back file by file: new files of rows first, then the small tables, then the
description, and only then files that do not belong to it any more are removed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from auparity.atomic_files import write_text_atomically, writing
from auparity.dataset.find import ALIGNED, SUFFIXES
from auparity.dataset.lists import CLIPS, FAILURES
from auparity.dataset.plan import FRAMES
from auparity.dataset.store import FACTS
from auparity.errors import AddressError, AuparityError
from auparity.extraction import failures, stores
from auparity.extraction.remote_jobs import scratch_folder
from auparity.json_files import load_json
from auparity.models.file_lock import locked

#: Begins the names of folders of copies, beside which a file says what is in them, by path: size and version.
KEPT, MANIFEST, LOCK = "auparity-copy-", ".json", "auparity-copies.lock"
#: Files between two times that it is written down what is there.
NOTE_EVERY = 200
SMALL = (FAILURES, CLIPS, FACTS)  #: in the order in which they are put in place

Told = Callable[[int, int], None]
Copied = dict[str, list[int | str | None]]


@dataclass(frozen=True)
class Places:
    """Where results and a data set are on this machine, and where they are said to be."""

    results: list[Path]
    data_set: Path
    addresses: dict[Path, str]  #: of the folders that are copies


@contextmanager
def on_this_machine(results: list[str], data_set: str, scratch: Path | None, told: Told) -> Iterator[Places]:
    """Folders of this machine for results and a data set, some of which are at addresses; at the end the data set is
    put back, unless the block raised.

    Parameters
    ----------
    scratch : folder in which copies are kept.
    told : gets how many files of how many were copied.

    Raises
    ------
    AddressError : something cannot be fetched or put in place. AuparityError : another program uses the copies.
    """
    if not any(map(stores.is_address, (*results, data_set))):
        yield Places([Path(name) for name in results], Path(data_set), {})
        return
    if stores.is_address(data_set):
        stores.check_writable(data_set)
    with _parent(scratch) as parent:
        mirrors = {name: Mirror(name, parent) for name in {*results, data_set} if stores.is_address(name)}
        folders = {name: mirrors[name].folder if name in mirrors else Path(name) for name in (*results, data_set)}
        addresses = {mirror.folder: name for name, mirror in mirrors.items()}
        with locked(parent / LOCK):
            for name in dict.fromkeys(results):
                if name in mirrors:
                    mirrors[name].fetch(partial(_of_results, name), told, without=data_set)
            if data_set in mirrors:
                mirrors[data_set].fetch(partial(_of_data_set, data_set), told)
            yield Places([folders[name] for name in results], folders[data_set], addresses)
            if data_set in mirrors:
                mirrors[data_set].put_back(told)


@contextmanager
def read_here(folders: Sequence[str], scratch: Path | None, told: Told) -> Iterator[dict[Path, str]]:
    """Folders of this machine, each with how it was named: copies of those at addresses, which are output folders of
    `auparity extract` or data sets. Nothing is put back.

    Parameters
    ----------
    scratch, told : as for `on_this_machine`.

    Raises
    ------
    AddressError : something cannot be fetched. AuparityError : another program uses the copies.
    """
    if not any(map(stores.is_address, folders)):
        yield {Path(name): name for name in folders}
        return
    with _parent(scratch) as parent, locked(parent / LOCK):
        places = {}
        for name in dict.fromkeys(folders):
            if stores.is_address(name):
                mirror = Mirror(name, parent)
                mirror.fetch(partial(_of_either, name), told)
                places[mirror.folder] = name
            else:
                places[Path(name)] = name
        yield places


@contextmanager
def _parent(scratch: Path | None) -> Iterator[Path]:
    if scratch is None:
        with scratch_folder() as folder:
            yield folder
    else:
        yield scratch


class Mirror:
    """The copy of a folder at an address, below `parent`."""

    def __init__(self, address: str, parent: Path) -> None:
        self._address = address.rstrip("/")
        self.folder = parent / f"{KEPT}{hashlib.sha256(self._address.encode()).hexdigest()[:16]}"
        self._list = self.folder.with_name(f"{self.folder.name}{MANIFEST}")

    def fetch(self, wanted: Callable[[Collection[str]], list[str]], told: Told, *, without: str = "") -> None:
        """Have the files that `wanted` takes of all paths in the folder, as the store has them now, and no others.

        Parameters
        ----------
        without : an address; what is below it is left out.
        """
        there = self._there(without)
        names, had = wanted(there.keys()), self._manifest()
        stay = set(names)
        for path in [path for path in self.folder.rglob("*") if path.is_file()]:
            if path.relative_to(self.folder).as_posix() not in stay:
                path.unlink()
        missing = [name for name in names if not self._is_here(name, there[name], had)]
        noted = {name: [there[name].size, there[name].version] for name in stay - set(missing)}
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                for number, name in enumerate(missing, 1):
                    stores.fetch(stores.join(self._address, name), self.folder / name)
                    noted[name] = [there[name].size, there[name].version]
                    told(number, len(missing))
                    if number % NOTE_EVERY == 0:
                        self._note(noted)
            finally:
                self._note(noted)

    def _there(self, without: str = "") -> dict[str, stores.Remote]:
        """What the store has, by path in the folder."""
        if stores.is_web(self._address):
            raise AddressError(self._address, "a web server has no folders", "Copy the results to this machine first.")
        found = stores.described_below(self._address)
        if without.rstrip("/") == self._address:
            raise AuparityError(f"{without}: the data set needs a folder of its own.")
        inside = f"{without.rstrip('/')}/" if without else ""
        paths = {address: path for address, path in found.items() if not (inside and address.startswith(inside))}
        return {address.removeprefix(f"{self._address}/"): remote for address, remote in paths.items()}

    def _is_here(self, name: str, remote: stores.Remote, had: Copied) -> bool:
        path = self.folder / name
        same = bool(remote.version) and had.get(name) == [remote.size, remote.version]
        return same and path.is_file() and path.stat().st_size == remote.size

    def _manifest(self) -> Copied:
        try:
            return load_json(self._list, "a list of copies", Copied) if self._list.exists() else {}
        except AuparityError:  # cut off: everything is fetched once more
            return {}

    def _note(self, noted: Copied) -> None:
        write_text_atomically(self._list, json.dumps(noted))

    def put_back(self, told: Told) -> None:
        """Have the folder at the address hold the data set that is in the copy."""
        before = set(self._manifest())
        frames = [path for path in (self.folder / FRAMES).rglob("*") if path.is_file()]
        here = [*sorted(frames), *(self.folder / name for name in SMALL)]
        paths = [path.relative_to(self.folder).as_posix() for path in here]
        # Files of rows are named by what is in them.
        changed = [path for path in paths if path in SMALL or path not in before]
        for number, path in enumerate(changed, 1):
            stores.put(self.folder / path, stores.join(self._address, path))
            told(number, len(changed))
        there = self._there()
        for path in filter(_is_ours, there.keys() - set(paths)):
            stores.remove(stores.join(self._address, path))
        self._note({path: [there[path].size, there[path].version] for path in paths if path in there})


def _of_results(address: str, paths: Collection[str]) -> list[str]:
    """Tables with their descriptions, and the records of failures."""
    if not paths:
        raise AddressError(address, "there is no such folder", "Name output folders of `auparity extract`.")
    present, wanted = set(paths), []
    for path in sorted(present):
        place = PurePosixPath(path)
        if failures.FOLDER in place.parts:
            wanted += [path] if place.suffix == failures.SUFFIX else []
        elif any(part.startswith(".") or part.endswith(ALIGNED) for part in place.parts[:-1]):
            continue
        elif place.suffix in SUFFIXES and f"{path}.json" in present:
            wanted += [path, f"{path}.json"]
    return wanted


def _of_either(address: str, paths: Collection[str]) -> list[str]:
    """What a data set or an output folder is read from."""
    return _of_data_set(address, paths) if FACTS in paths else _of_results(address, paths)


def _of_data_set(address: str, paths: Collection[str]) -> list[str]:
    """Everything of a data set; nothing of one whose first run was killed before it was whole."""
    ours = sorted(filter(_is_ours, paths))
    if paths and not ours:
        raise AddressError(address, "holds other things and no data set", "Choose a new or an empty folder.")
    return ours if FACTS in ours else []


def _is_ours(path: str) -> bool:
    return path in SMALL or path.startswith(f"{FRAMES}/")
