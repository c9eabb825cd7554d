"""`auparity summary FOLDER`: a page of figures for every CSV file that ``auparity extract`` wrote there.

For each clip: the share of tracked frames, their confidence, the head position, and each AU's mean, largest value and
share of frames present. Reads the CSV files; writes ``summary.md`` beside them and prints it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from auparity.atomic_files import write_text_atomically
from auparity.errors import AuparityError
from auparity.media.names import printable
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS
from auparity.reports.clips.sidecar import read_sidecar
from auparity.reports.clips.table import read_result_table
from auparity.reports.markdown import plain

ROTATION = ("pose_Rx", "pose_Ry", "pose_Rz")
BAR = 20  # characters for an intensity of 5


def summarise(path: Path) -> str:
    """Markdown summary of one table of a clip or image.

    Raises
    ------
    FileFormatError : the file, or the one that describes it, is not one that ``auparity extract`` writes.
    """
    intensities = [f"{name}_r" for name in INTENSITY_AUS]
    needed = [*intensities, *(f"{name}_c" for name in PRESENCE_AUS), *ROTATION, "confidence"]
    table = read_result_table(path, needed)
    lines = [f"## {plain(path.stem)}", ""]
    lines += [f"**Warning:** {plain(text)}\n" for text in read_sidecar(path).get("warnings", [])]
    if not len(table):
        return "\n".join([*lines, "No face was found.", ""])
    success, column = table.success, table.columns
    lines.append(f"{len(table)} {'faces' if table.photograph else 'frames'}, face tracked in {success.mean():.1%}.")
    if not success.any():
        return "\n".join([*lines, "", "**No face was found in this clip: its rows hold no measurements.**", ""])
    rotation = [np.degrees(column[name][success]) for name in ROTATION]
    lines += [
        f"Mean confidence {column['confidence'][success].mean():.3f}; head pitch, yaw, roll "
        + ", ".join(f"{angle.mean():.0f} ({angle.min():.0f} to {angle.max():.0f})" for angle in rotation)
        + " degrees.",
        "",
        "| AU | mean intensity (0 to 5) | largest | present in | |",
        "|---|---|---|---|---|",
    ]
    for name in PRESENCE_AUS:
        present = column[f"{name}_c"][success].mean()
        if name in INTENSITY_AUS:
            intensity = column[f"{name}_r"][success]
            bar = "#" * round(min(max(intensity.mean() / 5, 0), 1) * BAR)
            lines.append(f"| {name} | {intensity.mean():.2f} | {intensity.max():.2f} | {present:.0%} | {bar} |")
        else:
            lines.append(f"| {name} | no intensity model | | {present:.0%} | |")
    return "\n".join([*lines, ""])


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
    folder: Path = arguments.folder
    if not folder.is_dir():
        raise AuparityError(f"{printable(folder)} is not a directory.")
    tables = sorted(folder.glob("*.csv"))
    if not tables:
        raise AuparityError(f"no CSV file in {printable(folder)}")
    parts, failed = [], 0
    for path in tables:
        try:
            parts.append(summarise(path))
        except AuparityError as error:
            print(f"summary: {error}", file=sys.stderr)
            parts.append(f"## {plain(path.stem)}\n\nCannot be read: {plain(error)}\n")
            failed += 1
    text = "# What was measured\n\n" + "\n".join(parts)
    write_text_atomically(folder / "summary.md", text)
    print(text)
    print(f"Look at {folder / 'summary.md'} and at {', '.join(str(path) for path in tables)}.")
    return 1 if failed else 0
