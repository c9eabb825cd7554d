"""What failed in an output folder: a line for each input that could not be measured, or not wholly.

A failed input leaves no table, so a run writes down what became of it, in ``<output folder>/.auparity-failures``: one
file a run and machine, which is made when the first input fails and gets a line of JSON for each. A run in which such
an input succeeds adds the line that this one is settled. The last line of an input is what is known of it. Lines are
written as the outcomes come, whatever engine carries the jobs, so that a run that is killed loses none of them.
Files of ended runs that tell nothing any more are removed at the end of a run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, NotRequired, TypedDict

from auparity.atomic_files import is_abandoned
from auparity.json_files import parse_json, read_bounded
from auparity.media.names import printable

FOLDER = ".auparity-failures"
SUFFIX = ".jsonl"
#: Bytes of one file: a million inputs that fail.
MAX_BYTES = 2**29
SETTLED: Final = "settled"


class Failure(TypedDict):
    """One line."""

    input: str  #: absolute path, or address
    name: str  #: of the table that it would have, without suffix; "" for what was no input at all
    status: Literal["failed", "incomplete", "settled"]  #: incomplete: there is a table, which is not whole
    date: str  #: ISO 8601, UTC
    auparity: str  #: version
    reason: NotRequired[str]


def as_text(name: str) -> str:
    """A name as text that UTF-8 can hold: names of files may have bytes that are none."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def read_failures(folder: Path) -> list[Failure]:
    """What is known to have failed in an output folder and was not settled later, the latest line of each input, by
    date; empty where nothing failed.

    Raises
    ------
    AuparityError : a file of the records cannot be read, or is damaged.
    """
    lines = [line for path in record_files(folder / FOLDER) for line in _lines(path)]
    return sorted(
        (line for line in _latest(lines).values() if line["status"] != SETTLED), key=lambda line: line["date"]
    )


def record_files(folder: Path) -> list[Path]:
    """The files of all runs, the earliest run first."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if path.is_file())


def _lines(path: Path) -> Iterator[Failure]:
    """The lines of one file. What stands behind the last line end is left out: a run that was killed wrote it."""
    what = "a record of failed inputs"
    data = read_bounded(path, what, max_bytes=MAX_BYTES)
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        yield parse_json(line, f"{printable(path)}, line {number}", what, Failure, advice="Remove the file.")


def _latest(lines: Iterable[Failure]) -> dict[str, Failure]:
    """The last line of each input, by its date; of equal dates the later in order."""
    latest: dict[str, Failure] = {}
    for line in lines:
        if line["input"] not in latest or line["date"] >= latest[line["input"]]["date"]:
            latest[line["input"]] = line
    return latest


def tidy(folder: Path) -> None:
    """Remove files of ended runs without a line that somebody needs: a failure is needed until a later line of its
    input, and that an input is settled as long as another file says that it failed."""
    lines_of = {path: list(_lines(path)) for path in record_files(folder)}
    latest = _latest(line for lines in lines_of.values() for line in lines)
    failed_in = {
        path: {line["input"] for line in lines if line["status"] != SETTLED} for path, lines in lines_of.items()
    }
    telling = Counter(where for inputs in failed_in.values() for where in inputs)  # files, by input
    for path, lines in lines_of.items():
        last = [line for line in lines if latest[line["input"]] is line]
        needed = any(
            line["status"] != SETTLED or telling[line["input"]] > (line["input"] in failed_in[path]) for line in last
        )
        if not needed and is_abandoned(path):
            with suppress(FileNotFoundError):  # another run has just removed it
                path.unlink()
            telling.subtract(failed_in[path])
