"""The files of a data set on disk, and how a new state takes the place of an earlier one.

::

    DATASET/frames/...           the rows
    DATASET/clips.parquet        a row for each clip
    DATASET/failures.parquet     a row for each input that failed
    DATASET/dataset.json         what the data set is
    DATASET/.next/               the state that is being made

A new state is made in ``.next``, where files of the earlier one that stay are links to the same data. Its
``dataset.json`` is written when everything else is there, and only then does ``.next/frames`` take the place of
``frames``, and then each of the small files. A program that is killed before leaves the earlier state untouched, and
its finished files are used by the next run; one that is killed later is finished by the next run. So rows are never in
``frames`` twice, and never in part: at worst there is no such folder, between two renames.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

from auparity.atomic_files import flush_folder, writing
from auparity.dataset.lists import CLIPS, FAILURES
from auparity.dataset.plan import FRAMES
from auparity.errors import AuparityError
from auparity.json_files import load_json
from auparity.media.names import printable
from auparity.models.file_lock import locked

FACTS = "dataset.json"
NEXT, OLD, LOCK = ".next", ".old", ".lock"
FORMAT = 1  #: changes when a data set of an earlier version cannot be continued


class Facts(TypedDict):
    """What `FACTS` says."""

    auparity: str  #: version
    dataset: int  #: `FORMAT`
    partition: str  #: "none", "clip" or a label
    rows_per_file: int
    incomplete: bool  #: whether rows of clips that are not whole are in it
    columns: list[str]
    labels: dict[str, str]  #: label to column
    clips: int
    rows: int
    files: int
    bundles: dict[str, str]  #: content hash to name and version
    date: str


class Store:
    """A data set's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.next = folder, folder / NEXT

    @contextmanager
    def held(self, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Nobody else changes the data set inside the block, and a state that a killed program had finished is in
        place. `waiting` is called if another program works on it.

        Raises
        ------
        AuparityError : the folder holds something else, or another program works on it.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise AuparityError(f"{printable(self.folder)}: is not a directory.")
        ours = {FACTS, NEXT, OLD, LOCK}
        if self.folder.is_dir() and (names := {path.name for path in self.folder.iterdir()}) and not ours & names:
            raise AuparityError(
                f"{printable(self.folder)}: holds other things and no data set; choose a new or an empty folder."
            )
        with locked(self.folder / LOCK, waiting=waiting):
            if (self.next / FACTS).exists():
                self.switch()
            shutil.rmtree(self.folder / OLD, ignore_errors=True)
            yield

    def facts(self) -> Facts | None:
        """What the data set is; None where there is none.

        Raises
        ------
        FileFormatError : the file is damaged. AuparityError : another version of auparity wrote it.
        """
        path = self.folder / FACTS
        if not path.exists():
            return None
        facts = load_json(
            path, "the description of a data set", Facts, advice="Make the data set anew with --overwrite."
        )
        if facts["dataset"] != FORMAT:
            raise AuparityError(
                f"{printable(path)}: is of another version of data sets ({facts['dataset']}, this is {FORMAT}); make "
                "it anew with --overwrite."
            )
        return facts

    def stage(self, path: str, current: Collection[str]) -> bool:
        """Have a file of the next state in place if it is there already, made by this run, by one that was killed, or
        in the data set as it is (`current`).

        Raises
        ------
        WriteError : it cannot be written.
        """
        target, source = self.next / path, self.folder / path
        if target.exists():
            return True
        if path not in current or not source.exists():
            return False
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source, target)
            except OSError:  # a file system without links
                shutil.copyfile(source, target)
        return True

    def clean(self, wanted: Collection[str]) -> None:
        """Remove from the next state what is not wanted: what killed runs left, for other clips or in part."""
        if not self.next.exists():
            return
        keep = {self.next / path for path in wanted}
        with writing(self.next):
            for where, folders, files in os.walk(self.next, topdown=False):
                for name in files:
                    if Path(where, name) not in keep:
                        Path(where, name).unlink()
                for name in folders:
                    if not any(Path(where, name).iterdir()):
                        Path(where, name).rmdir()

    def switch(self) -> None:
        """The next state, whose `FACTS` are written, becomes the data set; a switch that was cut off goes on.

        Raises
        ------
        WriteError : a file cannot be moved; another program may have it open.
        """
        with writing(self.folder):
            flush_folder(self.next)
            frames, old = self.folder / FRAMES, self.folder / OLD
            if (self.next / FRAMES).exists():
                shutil.rmtree(old, ignore_errors=True)
                try:
                    if frames.exists():
                        os.replace(frames, old)
                    os.replace(self.next / FRAMES, frames)
                except BaseException:  # also Ctrl-C
                    if old.exists() and not frames.exists():
                        os.replace(old, frames)
                    raise
            for name in (CLIPS, FAILURES, FACTS):
                if (self.next / name).exists():
                    os.replace(self.next / name, self.folder / name)
            flush_folder(self.folder)
            shutil.rmtree(old, ignore_errors=True)
            shutil.rmtree(self.next, ignore_errors=True)
