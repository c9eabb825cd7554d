"""``python -m auparity.summary FOLDER``: a page to look at for every CSV that ``auparity extract`` wrote there.

For each clip: how much of it was tracked, how sure, where the head was, and each AU's mean, largest value and share of
frames present. Reads the CSV files; writes ``summary.md`` beside them and prints it.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from auparity.errors import AuparityError
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS

BAR = 20  # characters of a full intensity of 5


def summarise(path: Path) -> str:
    """Markdown summary of one CSV of a clip or photograph.

    Raises
    ------
    AuparityError : the file is not one that ``auparity extract`` writes.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        return f"## {path.stem}\n\nNo face in it.\n"
    if f"{INTENSITY_AUS[0]}_r" not in rows[0] or "confidence" not in rows[0]:
        raise AuparityError(f"{path} has no AU columns: it is not a table written by `auparity extract`.")

    def column(name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array([float(row[name]) for row in rows])

    found = column("success") == 1 if "success" in rows[0] else np.ones(len(rows), bool)
    what = "frames" if "frame" in rows[0] else "faces"
    lines = [f"## {path.stem}", "", f"{len(rows)} {what}, face tracked in {found.mean():.1%}."]
    if not found.any():
        return "\n".join([*lines, ""])
    rotation = [np.degrees(column(f"pose_R{axis}")[found]) for axis in "xyz"]
    lines += [
        f"Mean confidence {column('confidence')[found].mean():.3f}; head pitch, yaw, roll "
        + ", ".join(f"{angle.mean():.0f} ({angle.min():.0f} to {angle.max():.0f})" for angle in rotation)
        + " degrees.",
        "",
        "| AU | mean intensity (0 to 5) | largest | present in | |",
        "|---|---|---|---|---|",
    ]
    for name in PRESENCE_AUS:
        present = column(f"{name}_c")[found].mean()
        if name in INTENSITY_AUS:
            intensity = column(f"{name}_r")[found]
            bar = "#" * round(intensity.mean() / 5 * BAR)
            lines.append(f"| {name} | {intensity.mean():.2f} | {intensity.max():.2f} | {present:.0%} | {bar} |")
        else:
            lines.append(f"| {name} | no intensity model | | {present:.0%} | |")
    return "\n".join([*lines, ""])


def main(argv: Sequence[str] | None = None) -> int:
    """Summarise a folder; the exit status is 1 when there is nothing to summarise."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        print("usage: python -m auparity.summary FOLDER   (a folder that `auparity extract -o` wrote)", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    tables = sorted(folder.glob("*.csv"))
    if not tables:
        print(f"summary: no CSV file in {folder}", file=sys.stderr)
        return 1
    text = "# What was measured\n\n" + "\n".join(summarise(path) for path in tables)
    part = folder / "summary.md.part"
    part.write_text(text, encoding="utf-8")
    os.replace(part, folder / "summary.md")
    print(text)
    print(f"Look at {folder / 'summary.md'} and at {', '.join(str(path) for path in tables)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
