"""A study of output folders of `auparity extract`: sidecars, the figures of tables, and what failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from auparity.dataset.clips import Clip
from auparity.dataset.differences import differences
from auparity.dataset.find import find
from auparity.errors import AuparityError
from auparity.extraction.failures import Failure
from auparity.extraction.stores import is_address
from auparity.fingerprints import fingerprint_of_file
from auparity.media.names import printable
from auparity.reports.clips.sidecar import CHANGED
from auparity.reports.study.records import FaceRow, Failed, Study
from auparity.study.figures import ClipFigures, figures_of_table
from auparity.study.workers import results
from auparity.tables.files import shown_name

NOT_USABLE = "not usable"


class Progress(Protocol):
    """Told what happens."""

    def say(self, text: str) -> None: ...
    def found(self, clips: int) -> None: ...
    def started(self, rows: int) -> None: ...
    def rows_done(self, rows: int) -> None: ...


@dataclass(frozen=True)
class ReadTable:
    """What reading a table gave; it comes from another process."""

    figures: ClipFigures | None
    problem: str = ""
    changed: bool = False  #: it is not the table that its sidecar describes


def study_of_folders(folders: Mapping[Path, str], progress: Progress, processes: int | None = None) -> Study:
    """A study of everything in and below some output folders.

    Parameters
    ----------
    folders : with their names: paths, or the addresses that they are copies of (`dataset.mirrors`).
    processes : that read tables; None for as many as pay.

    Raises
    ------
    AuparityError : a folder does not exist, or two different inputs have tables of one name.
    """
    addresses = {folder: name for folder, name in folders.items() if is_address(name)}
    found = find(list(folders), addresses=addresses, told=progress.found)
    study = Study(", ".join(last_part(name) for name in folders.values()))
    study.problems += found.problems
    study.notes += found.notes
    clips = {str(clip.place): clip for clip in sorted(found.clips.values(), key=lambda clip: clip.clip)}
    progress.started(sum(clip.rows for clip in clips.values()))
    tables = [(place, clip.table_sha256) for place, clip in clips.items()]
    size = sum(clip.table_bytes for clip in clips.values())
    read: dict[str, ReadTable] = {}
    for (table, _), given in results(read_table, tables, progress.rows_done, processes=processes, size=size):
        read[table] = given
    for table, clip in clips.items():
        figures, problem = read[table].figures, read[table].problem
        if figures is None:
            study.problems.append(problem.replace(table, clip.table))
            continue
        if read[table].changed:
            clip.warnings = [*clip.warnings, CHANGED]
        study.rows += rows_of(clip, figures)
        study.inputs[clip.clip] = clip.input
    study.failures += map(_not_usable, study.problems)
    study.failures += map(failed, found.failures)
    study.notes += notes_of(list(clips.values()))
    return study


def last_part(folder: str) -> str:
    """What a folder is called, by its path or address."""
    return folder.rstrip("/").rpartition("/")[2] if is_address(folder) else Path(folder).resolve().name


def read_table(
    task: tuple[str, str], stopped: Callable[[], bool], told: Callable[[int], None]
) -> ReadTable:  # fmt: skip
    """Read a table, named with the SHA-256 that its sidecar has."""
    table, sha256 = task
    try:
        changed = fingerprint_of_file(Path(table)).sha256 != sha256
        return ReadTable(figures_of_table(Path(table), stopped, told), changed=changed)
    except OSError as error:
        return ReadTable(None, f"{printable(table)}: cannot be read ({error.strerror or error})")
    except AuparityError as error:
        return ReadTable(None, str(error))


def rows_of(clip: Clip, figures: ClipFigures) -> list[FaceRow]:
    """The rows of a clip: one, or one for each person."""
    image = clip.kind == "photograph"
    warnings = clip.warnings if clip.whole else [*clip.warnings, f"not whole: {clip.reason or 'interrupted'}"]
    page = Path(clip.table)
    return [
        FaceRow(
            clip=clip.clip,
            person=person,
            kind="image" if image else "clip",
            labels=clip.labels,
            status=clip.status,
            frames=None if image else max(clip.frames or 0, figures.last_frame),
            seconds=None if image else figures.seconds,
            figures=each,
            warnings=warnings,
            page=page.with_name(f"{shown_name(page)}.html"),
        )
        for person, each in figures.people
    ]


def failed(line: Failure) -> Failed:
    """A line of the record of failures."""
    return Failed(line["input"], line["status"], line.get("reason", ""), line["date"])


def _not_usable(problem: str) -> Failed:
    """A message about a table, which begins with its path, as a failure."""
    place, _, reason = problem.partition(": ")
    path, _, where = place.partition(", at ")
    return Failed(path, NOT_USABLE, f"{where}: {reason}" if where else reason)


def notes_of(clips: Sequence[Clip]) -> list[str]:
    """Sentences: that the clips were not all measured alike."""
    return [f"{each.what[0].upper()}{each.what[1:]}." for each in differences(clips)]
