"""`auparity dataset RESULTS... -o DATASET`: the tables of many clips as one set of Parquet files (docs/dataset.md)."""

from __future__ import annotations

import argparse
from pathlib import Path

from auparity.cli.types import whole

_DESCRIPTION = """\
Put the tables of many clips together: one data set for pandas, Polars, DuckDB, R and Spark.

  DATASET/frames/            the rows of all whole clips, Parquet files of one schema, with columns for clip and labels
  DATASET/clips.parquet      a row for each clip: status, frames, seconds, confidence, warnings, models, hashes, file
  DATASET/failures.parquet   a row for each input that failed: name, reason, date

RESULTS are output folders of `auparity extract`, from any number of machines; they are searched with the folders below
them. They and DATASET may be addresses such as s3://bucket/results. Nothing is measured. Run the same command again to
bring a data set up to date: only files in which something has changed are written. A run that is stopped or killed
leaves the data set as it was, and the next one goes on.
Exit status: 0 all good, 1 some tables cannot be used, 2 wrong usage, 130 interrupted."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `dataset` command."""
    parser = subparsers.add_parser(
        "dataset",
        help="the tables of many clips as one set of Parquet files",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", nargs="+", metavar="RESULTS", help="an output folder of `auparity extract`")
    parser.add_argument(
        "-o", "--output", required=True, metavar="DATASET", help="folder of the data set, or its address"
    )
    parser.add_argument(
        "--partition",
        metavar="NAME",
        help="a folder for each clip (clip) or each value of a label (subject, ...), or none; default: as before, at "
        "first none",
    )
    parser.add_argument(
        "--rows", type=whole(1), metavar="N", help="rows of a file, about; a clip is never divided; default: 250000"
    )
    parser.add_argument(
        "--incomplete",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="take the rows of clips that are not whole, too; default: only their row in clips.parquet",
    )
    parser.add_argument("--overwrite", action="store_true", help="write every file anew, as these options say")
    parser.add_argument(
        "--scratch", type=Path, metavar="DIR",
        help="folder in which copies of what is at addresses are kept, so that the next run fetches what has changed; "
        "default: the system's temporary folder, and nothing is kept",
    )  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="report problems and warnings only")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry out `auparity dataset`; returns the exit code.

    Raises
    ------
    AuparityError : there is nothing to make a data set of, or it cannot be written.
    """
    from auparity.dataset.build import Wish, build
    from auparity.dataset.mirrors import on_this_machine
    from auparity.dataset.progress import choose_progress

    wish = Wish(arguments.partition, arguments.rows, arguments.incomplete, arguments.overwrite)
    with (
        choose_progress(arguments.quiet) as progress,
        on_this_machine(arguments.results, arguments.output, arguments.scratch, progress.copied) as places,
    ):
        built = build(places.results, places.data_set, wish, progress, places.addresses)
    if not arguments.quiet:
        print(built)
    return 1 if built.problems else 0
