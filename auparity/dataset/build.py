"""From output folders of `auparity extract` to a data set, or to the next state of one that exists already."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from auparity.atomic_files import write_text_atomically, writing
from auparity.dataset.clips import Clip
from auparity.dataset.differences import differences
from auparity.dataset.find import Found, find
from auparity.dataset.lists import CLIPS, FAILURES, FIELDS, Earlier, read_earlier, write_clips, write_failures
from auparity.dataset.plan import FRAMES, NO_VALUE, Layout, RowFile, plan
from auparity.dataset.rows import NEED, Figures, RowSchema, TableChanged, read_figures, write_rows
from auparity.dataset.store import FACTS, FORMAT, Facts, Store
from auparity.errors import AuparityError
from auparity.extraction.failures import Failure
from auparity.media.names import printable
from auparity.tables.arrow import require_pyarrow
from auparity.version import __version__

#: Rows of a file: about 0.8 GB where there are all columns.
ROWS_PER_FILE = 250_000


@dataclass(frozen=True)
class Wish:
    """What is asked of a data set; None is as it was before, and at first the value in brackets."""

    partition: str | None = None  #: "none" (the default), "clip" or the name of a label
    rows: int | None = None  #: of a file (`ROWS_PER_FILE`)
    incomplete: bool | None = None  #: take the rows of clips that are not whole, too (False)
    overwrite: bool = False  #: write every file anew


class Progress(Protocol):
    """Told what happens."""

    def say(self, text: str) -> None: ...
    def copied(self, files: int, total: int) -> None: ...
    def found(self, clips: int) -> None: ...
    def started(self, rows: int) -> None: ...
    def rows_done(self, rows: int) -> None: ...


@dataclass
class Built:
    """What became of a data set."""

    folder: Path
    shown: str = ""  #: its address or path
    clips: int = 0
    rows: int = 0
    written: int = 0  #: files
    kept: int = 0  #: files that were there
    gone: int = 0  #: clips whose rows were there
    not_whole: int = 0  #: clips
    failures: int = 0
    problems: list[str] = field(default_factory=list)  #: tables that could not be used

    def __str__(self) -> str:
        files = self.written + self.kept
        parts = [
            f"{printable(self.shown)}: {self.rows:,} rows of {_count(self.clips, 'clip')} in {_count(files, 'file')} "
            f"({self.written} written, {self.kept} kept)",
            f"{_count(self.gone, 'clip')} removed" if self.gone else "",
            f"{self.not_whole} not whole" if self.not_whole else "",
            f"{_count(self.failures, 'failure')}" if self.failures else "",
            f"{len(self.problems)} not usable" if self.problems else "",
        ]
        return "; ".join(filter(None, parts)) + "."


def build(
    results: Sequence[Path],
    folder: Path,
    wish: Wish,
    progress: Progress,
    addresses: Mapping[Path, str] = MappingProxyType({}),
) -> Built:
    """Make a data set of all tables in some output folders, or bring an earlier one up to date.

    Afterwards the data set has the rows of exactly the clips that the folders hold. Files whose clips, tables and
    columns are as before stay as they are.

    Parameters
    ----------
    addresses : of the folders that are copies (`dataset.mirrors`), which tables and messages are to name.

    Raises
    ------
    AuparityError : there is nothing to make it of, the folder holds something else, or a label is not known.
    VariantUnavailable : pyarrow is not installed. WriteError : something cannot be written; an earlier state stays.
    """
    require_pyarrow(NEED, "")
    store = Store(folder)
    with store.held(lambda: progress.say(f"waiting: another program works on {printable(folder)}")):
        facts = None if wish.overwrite else store.facts()
        earlier = Earlier({}, {}) if facts is None else read_earlier(folder / CLIPS)
        if facts is not None:
            wish = Wish(
                facts["partition"] if wish.partition is None else wish.partition,
                facts["rows_per_file"] if wish.rows is None else wish.rows,
                facts["incomplete"] if wish.incomplete is None else wish.incomplete,
            )
        found = find(results, folder, addresses=addresses, told=progress.found)
        built = _Building(store, wish, earlier, found, progress).run()
    built.shown = addresses.get(folder, str(folder))
    return built


class _Building:
    """The way from what was found to the next state of a data set."""

    def __init__(self, store: Store, wish: Wish, earlier: Earlier, found: Found, progress: Progress) -> None:
        self._store, self._earlier, self._progress = store, earlier, progress
        self._overwrite, self._incomplete = wish.overwrite, bool(wish.incomplete)
        self._built = Built(store.folder)
        self._clips, self._failures = dict(sorted(found.clips.items())), list(found.failures)
        for problem in found.problems:
            self._problem(problem)
        for note in found.notes:
            progress.say(f"note: {note}")
        taken = [clip for clip in self._clips.values() if clip.rows and (clip.whole or self._incomplete)]
        if not taken:
            raise AuparityError(
                "no whole table with rows is in these folders. Name output folders of `auparity extract`: a table "
                "(NAME.csv, NAME.parquet) is taken together with its description (NAME.csv.json)."
            )
        self._rows = RowSchema.of(taken, self._clips.values(), FIELDS)
        self._layout = Layout(self._rows.signature, wish.partition or "none", wish.rows or ROWS_PER_FILE)
        _check_partition(self._layout.partition, taken, progress)
        for text in differences(taken):
            progress.say(f"warning: {text}")
        self._files = plan(taken, self._layout, earlier.files)

    def run(self) -> Built:
        store, built, current = self._store, self._built, self._earlier.files
        wanted = {file.path for file in self._files}
        store.clean(() if self._overwrite else wanted)
        if wanted != set(current) or not all((store.folder / path).exists() for path in wanted):
            self._progress.started(sum(file.rows for file in self._files if file.path not in current))
            self._files = [file for file in map(self._in_place, self._files) if file is not None]
        self._fill_in()
        built.clips = sum(len(file.clips) for file in self._files)
        built.rows = sum(file.rows for file in self._files)
        built.kept = sum(file.path in current for file in self._files)
        built.written = len(self._files) - built.kept
        built.gone = len({name for names in current.values() for name in names} - self._clips.keys())
        built.not_whole = sum(not clip.whole for clip in self._clips.values())
        built.failures = len(self._failures)
        self._describe()
        store.switch()
        return built

    def _in_place(self, file: RowFile) -> RowFile | None:
        """Have a file in the next state, without the clips whose tables have changed; None without any other."""
        while not self._store.stage(file.path, self._earlier.files):
            try:
                write_rows(self._store.next / file.path, file.clips, self._rows, self._progress.rows_done)
            except TableChanged as error:
                self._leave_out(error)
                rest = [clip for clip in file.clips if clip is not error.clip]
                if not rest:
                    return None
                file = self._layout.file(rest)
        return file

    def _leave_out(self, error: TableChanged) -> None:
        clip = self._clips.pop(error.clip.clip)
        self._problem(str(error))
        self._failures.append(
            Failure(
                input=clip.input or "", name=clip.clip, status="failed", date=_now(), auparity=__version__,
                reason=str(error),
            )
        )  # fmt: skip

    def _problem(self, text: str) -> None:
        self._built.problems.append(text)
        self._progress.say(text)

    def _fill_in(self) -> None:
        """Where the rows of each clip are, and what they say of it."""
        for file in self._files:
            known = [self._earlier.figures.get((clip.clip, clip.table_sha256)) for clip in file.clips]
            figures: Sequence[Figures]
            if file.path in self._earlier.files and all(known):
                figures = [each for each in known if each is not None]
            else:
                staged = self._store.next / file.path
                figures = read_figures(staged if staged.exists() else self._store.folder / file.path, file.clips)
            for clip, figure in zip(file.clips, figures, strict=True):
                clip.file = file.path
                clip.mean_confidence, clip.footage_seconds = figure.mean_confidence, figure.footage_seconds

    def _describe(self) -> None:
        """Write the small files of the next state, the last of which says that it is complete."""
        clips, place, built = list(self._clips.values()), self._store.next, self._built
        write_clips(place / CLIPS, clips, self._rows.labels)
        write_failures(place / FAILURES, self._failures)
        facts = Facts(
            auparity=__version__,
            dataset=FORMAT,
            partition=self._layout.partition,
            rows_per_file=self._layout.rows,
            incomplete=self._incomplete,
            columns=[name for name, *_ in self._rows.columns],
            labels=dict(self._rows.labels),
            clips=built.clips,
            rows=built.rows,
            files=len(self._files),
            bundles={str(clip.bundle): f"{clip.bundle_name} {clip.bundle_version}" for clip in clips},
            date=_now(),
        )
        with writing(place / FACTS):
            write_text_atomically(place / FACTS, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")


def _check_partition(partition: str, clips: Sequence[Clip], progress: Progress) -> None:
    if partition in ("none", "clip"):
        return
    without = [clip for clip in clips if not clip.labels.get(partition)]
    if len(without) == len(clips):
        labels = sorted({label for clip in clips for label in clip.labels})
        raise AuparityError(
            f"--partition {printable(partition)}: no clip has this label; "
            + (f"there are {', '.join(map(printable, labels))}. " if labels else "these clips have none at all. ")
            + "Labels are the further columns of a list of inputs: `auparity extract --list clips.csv`."
        )
    if without:
        progress.say(
            f"warning: {_count(len(without), 'clip')} of {len(clips)} without the label {printable(partition)}, "
            f"{printable(without[0].clip)} for one; see `{FRAMES}` for the partition {NO_VALUE}."
        )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
