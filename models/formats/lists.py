"""The text lists that name model files (spec 10.2, 10.11): lines "KEY rest".

A list is kept as its entries in file order, unknown keys included (OpenFace ignores them), so that it can be written
back. The functions below interpret entries. Paths are relative to the folder of the list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np

from auparity.errors import ModelFormatError
from auparity.models.formats.files import StrPath, read_bytes
from auparity.models.types import I32

_LINE = re.compile(rb"[^\n]+")
_INDEX = re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True)
class Entry:
    """One line: "key value"."""

    key: str
    value: str
    offset: int = field(default=0, compare=False)  # byte offset of the line, for errors


@dataclass(frozen=True)
class EntryList:
    """A list file."""

    label: str = field(compare=False)
    entries: tuple[Entry, ...]

    def all(self, key: str) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.key == key)

    def optional(self, key: str) -> Entry | None:
        """The line with this key; None without one; ModelFormatError with several."""
        entries = self.all(key)
        if len(entries) > 1:
            self.fail(f"one line {key!r}", f"{len(entries)} of them", entries[1])
        return entries[0] if entries else None

    def one(self, key: str) -> Entry:
        """The only line with this key; ModelFormatError without one, or with several."""
        entry = self.optional(key)
        if entry is None:
            self.fail(f"a line {key!r}", f"lines {sorted({e.key for e in self.entries})[:10]}")
        return entry

    def fail(self, expected: str, found: str, entry: Entry | None = None) -> NoReturn:
        raise ModelFormatError(self.label, None if entry is None else entry.offset, expected, found)

    def path(self, entry: Entry) -> Path:
        """The file that an entry names: everything after the key."""
        if not entry.value:
            self.fail(f"a path after {entry.key!r}", "nothing", entry)
        return Path(self.label).parent / entry.value


def parse_list(data: bytes, label: StrPath = "<bytes>") -> EntryList:
    """Parse a list of lines "KEY rest"; carriage returns and empty lines are dropped.

    Raises
    ------
    ModelFormatError : the file is empty or not text (spec 10: several ".txt" files are binary).
    """
    entries = []
    for match in _LINE.finditer(data):
        try:
            line = match.group().decode("utf-8").strip(" \t\r")
        except UnicodeDecodeError:
            raise ModelFormatError(label, match.start(), "a line of UTF-8 text", "other bytes") from None
        if not line.replace("\t", " ").isprintable():
            raise ModelFormatError(label, match.start(), "a line of text", "control characters")
        if line:
            key, _, value = line.partition(" ")
            entries.append(Entry(key, value.strip(), match.start()))
    if not entries:
        raise ModelFormatError(label, None, 'lines "KEY path"', "no line at all")
    return EntryList(str(label), tuple(entries))


def read_list(path: StrPath, named_by: StrPath | None = None) -> EntryList:
    return parse_list(read_bytes(path, named_by), path)


def write_list(entries: Iterable[Entry]) -> bytes:
    """The text of a list, without a newline after the last line (as in OpenFace's own)."""
    return "\n".join(f"{entry.key} {entry.value}".rstrip() for entry in entries).encode("utf-8")


@dataclass(frozen=True, eq=False)
class PartEntry:
    """A line "LandmarkDetector_part path name pairs" of a main list."""

    path: Path
    name: str
    mapping: I32  # (K, 2): index in the main model, index in the part


def part_entry(main: EntryList, entry: Entry) -> PartEntry:
    """Parse the value of a "LandmarkDetector_part" line; ModelFormatError if it is not one."""
    words = entry.value.split()
    if len(words) < 4 or len(words) % 2:
        main.fail("path, part name, and pairs of indices", f"{len(words)} words", entry)
    wrong = [word for word in words[2:] if not _INDEX.fullmatch(word)]
    if wrong:
        main.fail("pairs of indices", repr(wrong[0][:40]), entry)
    mapping = np.array([int(word) for word in words[2:]], np.int32).reshape(-1, 2)
    mapping.flags.writeable = False
    return PartEntry(Path(main.label).parent / words[0], words[1], mapping)


def part_value(path: str, name: str, mapping: I32) -> str:
    """The value of a "LandmarkDetector_part" line; no space at its end (spec 10.2)."""
    return " ".join([path, name, *(str(index) for index in mapping.ravel().tolist())])


def au_names_of(models: EntryList, entry: Entry) -> tuple[str, ...]:
    """The AUs of a line "path AUname[,AUname...]" of an AU list (the path is the entry's key)."""
    names = tuple(entry.value.split(","))
    if not all(names) or any(" " in name for name in names):
        models.fail("a path and names of AUs", repr(f"{entry.key} {entry.value}"[:80]), entry)
    return names
