"""Runs that are stored for the drift charts: result files without series, one for each run, in reports/history.

`record` writes one; `history` reads those of one kind of hardware, oldest first. They are small and hold one entry on
each line, so that a pull request shows what a run added.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from auparity.errors import AuparityError
from auparity.reports.results.records import Results, load, save

HISTORY = Path("reports") / "history"


def record(results: Results, folder: Path = HISTORY) -> Path:
    """Keep a run: its figures without the series. Returns the file.

    Raises
    ------
    AuparityError : the run comes from files that are in no commit, so that it could not be repeated.
    """
    where = results.provenance
    if where.commit.endswith("-dirty"):
        raise AuparityError("not recorded: tracked files differ from the commit; commit them first.")
    stamp = re.sub(r"[^0-9T]", "", where.date[:19])
    path = folder / str(where.machine.get("id", "unknown")) / f"{stamp}-{results.kind}.json"
    save(replace(results, series=[]), path)
    return path


def history(hardware: str, folder: Path = HISTORY) -> list[Results]:
    """All kept runs of one kind of hardware, oldest first.

    Raises
    ------
    AuparityError : a file is damaged.
    """
    return [load(path) for path in sorted((folder / hardware).glob("*.json"))]
