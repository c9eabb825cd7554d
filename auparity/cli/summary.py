"""`auparity summary FOLDER`: a page of figures for every table (CSV, Parquet) that ``auparity extract`` wrote there.

For each clip, and for each person of a clip of several: the share of tracked frames, their confidence, the head
position, and each AU's mean, largest value and share of frames present. Reads the tables; writes ``summary.md`` beside
them and prints it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from auparity.errors import AuparityError


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `summary` command."""
    parser = subparsers.add_parser(
        "summary",
        help="a page of figures for every table in a folder",
        description="The share of tracked frames, confidence, head position and AUs of each clip: writes "
        "FOLDER/summary.md and prints it.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a folder that `auparity extract -o` wrote")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Summarise a folder; the exit status is 1 when a table cannot be read.

    Raises
    ------
    AuparityError : there is nothing to summarise.
    """
    from auparity.atomic_files import write_text_atomically
    from auparity.media.names import printable
    from auparity.reports.clips.summary import summarise
    from auparity.reports.markdown import plain
    from auparity.tables.files import shown_name, tables_in

    folder: Path = arguments.folder
    if not folder.is_dir():
        raise AuparityError(f"{printable(folder)} is not a directory.")
    tables = tables_in(folder)
    if not tables:
        raise AuparityError(f"no table (CSV, Parquet) in {printable(folder)}")
    parts, failed = [], 0
    for path in tables:
        try:
            parts.append(summarise(path))
        except AuparityError as error:
            print(f"summary: {error}", file=sys.stderr)
            parts.append(f"## {plain(shown_name(path))}\n\nCannot be read: {plain(error)}\n")
            failed += 1
    text = "# What was measured\n\n" + "\n".join(parts)
    write_text_atomically(folder / "summary.md", text)
    print(text)
    print(f"Look at {folder / 'summary.md'} and at {', '.join(str(path) for path in tables)}.")
    return 1 if failed else 0
