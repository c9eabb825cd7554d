"""``auparity figure``: a figure for a paper from tables of ``auparity extract``, as PDF, SVG or PNG.

A row for each measurement over time, a line for each table or, of clips of several people, for each person. Drawn by
matplotlib (extra ``figures``).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

ASSUMED_FPS = 30.0
_EPILOG = """\
examples:
  auparity figure out/face.csv -o face.pdf                            the six AUs with the largest means
  auparity figure out/group.csv --rows AU06,AU12 --person 0 2 -o smiles.svg
  auparity figure out/before.csv out/after.csv --rows AU04,yaw --from 10 --to 25 -o both.png"""


def add_parser(subparsers: Any) -> None:
    """Add ``figure`` to the command line."""
    parser = subparsers.add_parser(
        "figure", help="a figure for a paper from tables: PDF, SVG or PNG", description=__doc__, epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("tables", nargs="+", type=Path, metavar="TABLE", help="tables of clips (CSV, Parquet)")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FIGURE", help="the figure: .pdf, .svg or .png"
    )
    parser.add_argument(
        "--rows", metavar="NAMES", help="AUs, pitch, yaw, roll, gaze_x, gaze_y and confidence, with commas; default: "
        "the six AUs with the largest means",
    )  # fmt: skip
    parser.add_argument("--person", type=int, nargs="+", metavar="N", help="persons who are shown; default: all")
    parser.add_argument("--from", type=float, dest="start", metavar="S", help="first second that is shown")
    parser.add_argument("--to", type=float, dest="end", metavar="S", help="last second that is shown")
    parser.add_argument("--width", type=float, default=7.0, metavar="INCHES", help="width of the figure; default 7")
    parser.add_argument(
        "--fps", type=float, default=ASSUMED_FPS, help="frames a second of tables without time stamps; default 30"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the figure.

    Raises
    ------
    AuparityError : a table cannot be read, or has not what is to be shown.
    VariantUnavailable : matplotlib is not installed.
    """
    from auparity.errors import AuparityError
    from auparity.reports.clips.table import IN_SPACE, read_result_table
    from auparity.reports.clips.traces_figure import traces_of, write_traces

    if not arguments.width > 0 or not arguments.fps > 0:
        raise AuparityError("--width and --fps are positive numbers.")
    tables = [read_result_table(path, needed=("frame",), left_out=IN_SPACE) for path in arguments.tables]
    traces = traces_of(tables, arguments.person, arguments.fps)
    start, end = arguments.start, arguments.end
    span = None
    if start is not None or end is not None:
        first = min(float(trace.seconds[0]) for trace in traces) if start is None else start
        last = max(float(trace.seconds[-1]) for trace in traces) if end is None else end
        if first >= last:
            raise AuparityError(f"--from {first:g} --to {last:g}: nothing lies between these times.")
        span = first, last
    names = None if arguments.rows is None else [name.strip() for name in arguments.rows.split(",") if name.strip()]
    rows = write_traces(traces, arguments.output, rows=names, span=span, width=arguments.width)
    print(f"Look at {arguments.output}: {', '.join(rows)}")
    return 0
