"""Labels of clips from a list (CSV, TSV, Parquet), as of subject and condition, joined to the rows of a study.

A column names the clip: `path`, the file that was measured, or `clip` or `name`, the clip's or the table's name. A
column `person_id` gives labels to one person of a clip. All other columns are labels; where a sidecar has the same
label, the list counts.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from auparity.errors import AuparityError
from auparity.extraction.lists import PATH, Listed, read_list
from auparity.media.names import printable
from auparity.reports.study.records import FaceRow

#: Columns that may name a clip; the first that a list has counts.
NAMES = (PATH, "clip", "name")
PERSON = "person_id"
#: Names that a sentence shows.
_SHOWN = 3


def with_labels(rows: Sequence[FaceRow], inputs: dict[str, str | None], source: str) -> tuple[list[FaceRow], list[str]]:
    """The rows with the labels of a list, and sentences on what did not match.

    An entry of `path` is of the clip that was measured from this file or address; if none was, because files have
    moved since, of the clip of this name. A name is that of the clip (``sub-01/face``) or its last part (``face``),
    with or without a suffix, if only one clip has it.

    Parameters
    ----------
    inputs : the path or address of each clip's input, by the clip's name; None where it is not known.
    source : path or address of the list.

    Raises
    ------
    AuparityError : the list cannot be read, no entry is of any clip, an entry could be of several clips, two entries
        are of one, or `person_id` is no number.
    """
    entries, index = read_list(source, NAMES), _Index(inputs)
    labels: dict[tuple[str, int | None], dict[str, str]] = {}
    unknown = []
    for entry in entries:
        clips = index.clips_of(entry, source)
        if not clips:
            unknown.append(entry.name)
        own = dict(entry.labels)
        person = _person(own.pop(PERSON, None), entry, source)
        for clip in clips:
            if (clip, person) in labels:
                raise AuparityError(f"{printable(source)}: two entries are of {printable(clip)}; keep one of them.")
            labels[clip, person] = own
    if entries and not labels:
        raise AuparityError(
            f"{printable(source)}: none of its {len(entries)} entries is of a clip here. The column "
            f"`{entries[0].column}` has {_some(unknown)}; clips are called {_some(inputs)}."
        )
    joined = [
        replace(row, labels={**row.labels, **labels.get((row.clip, None), {}), **_of_person(labels, row)})
        for row in rows
    ]
    without = {row.clip for row in rows} - {clip for clip, _ in labels}
    notes = []
    if unknown:
        notes.append(f"{len(unknown)} of {len(entries)} entries of the labels are of no clip here: {_some(unknown)}.")
    if without:
        notes.append(f"{len(without)} of {len(inputs)} clips are not in the list of labels: {_some(sorted(without))}.")
    return joined, notes


def _of_person(labels: dict[tuple[str, int | None], dict[str, str]], row: FaceRow) -> dict[str, str]:
    return {} if row.person is None else labels.get((row.clip, row.person), {})


def _person(text: str | None, entry: Listed, source: str) -> int | None:
    if text is None:
        return None
    if not text.isdecimal():
        raise AuparityError(
            f"{printable(source)}: {printable(entry.name)} has the {PERSON} {printable(text)}, which is no number."
        )
    return int(text)


def _some(names: Iterable[str]) -> str:
    names = list(names)
    shown = ", ".join(printable(name) for name in names[:_SHOWN])
    return shown + (", ..." if len(names) > _SHOWN else "")


class _Index:
    """Clips by their inputs and by their names."""

    def __init__(self, inputs: dict[str, str | None]) -> None:
        self._by_input: dict[str, list[str]] = {}
        self._by_name: dict[str, list[str]] = {}
        for clip, source in inputs.items():
            if source is not None:
                self._by_input.setdefault(_same(source), []).append(clip)
            whole, last = clip, PurePosixPath(clip).name
            file = PurePosixPath(source).name if source is not None else last
            for name in dict.fromkeys((whole, last, file, _stem(file))):
                self._by_name.setdefault(name, []).append(clip)

    def clips_of(self, entry: Listed, source: str) -> list[str]:
        """The clips of an entry: all of this input, or the one of this name; AuparityError for several of one name."""
        if entry.column == PATH and (clips := self._by_input.get(_same(entry.name))):
            return clips
        name = PurePosixPath(entry.name).name if entry.column == PATH else entry.name
        clips = self._by_name.get(name) or self._by_name.get(_stem(name), [])
        if len(clips) > 1:
            raise AuparityError(
                f"{printable(source)}: {printable(entry.name)} could be each of {_some(clips)}. Name clips by the "
                "column `clip`, with the folders before their names."
            )
        return clips


def _same(path: str) -> str:
    """One spelling of a path; addresses stay as they are."""
    return path if "://" in path else os.path.abspath(path)


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]
