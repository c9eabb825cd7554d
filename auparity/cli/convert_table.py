"""`auparity convert-table IN OUT`: a table as another table, or as episodes for ELAN, subtitles and BIDS."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from auparity.cli.types import not_negative, positive

if TYPE_CHECKING:
    from auparity.tables.table import FaceTable

_DESCRIPTION = """\
Convert a table of faces: of `auparity extract`, or of OpenFace's own programs. What OUT is follows from its suffix:

  .csv, .parquet, .arrow   a table, with the columns and rows that the options choose
  .eaf                     ELAN: a tier for each AU and person, an annotation for each episode
  .srt, .vtt               subtitles that name the AUs that are present
  .tsv                     events as in BIDS, described by a .json of the same name

An episode is the time in which an AU is present in a person's face, from onset to offset. Several people keep their
person_id, or face_id where the table has no other. Frames in which no face was tracked have no episodes.
"""
_EPILOG = """\
examples:
  auparity convert-table out/face.csv out/face.parquet
  auparity convert-table out/face.csv pose.csv --columns pose --missing nan --min-confidence 0.8
  auparity convert-table out/face.csv long.csv --long --missing drop
  auparity convert-table out/face.csv face-10hz.csv --rate 10
  auparity convert-table out/face.csv face.eaf --media face.mp4 --join 0.1 --min-duration 0.2
  auparity convert-table out/face.csv sub-01_task-talk_events.tsv --aus AU06,AU12
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `convert-table` command."""
    parser = subparsers.add_parser(
        "convert-table",
        help="a table as CSV, Parquet, Arrow, in long form or at another rate; as ELAN, SRT, WebVTT, BIDS events",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("table", type=Path, metavar="IN", help="a CSV or Parquet table")
    parser.add_argument("output", type=Path, metavar="OUT", help="the file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    parser.add_argument("--fps", type=positive, metavar="N", help="frames a second of a table without time stamps")
    parser.add_argument(
        "--min-confidence", type=_share, metavar="C", help="frames of less confidence (0 to 1) count as failed, too"
    )
    tables = parser.add_argument_group("tables")
    tables.add_argument(
        "--columns",
        type=_names,
        metavar="NAME,...",
        help="these columns, AUs (AU12) or groups (gaze, pose, 2d, 3d, params, aus) only; the first columns stay",
    )
    tables.add_argument(
        "--missing",
        choices=("keep", "nan", "drop"),
        help="failed frames as they are, with empty cells, or left out; default: keep, with --min-confidence nan",
    )
    tables.add_argument("--long", action="store_true", help="a row for each face, frame and AU")
    tables.add_argument("--rate", type=positive, metavar="HZ", help="at equal steps, so many samples a second")
    tables.add_argument(
        "--how",
        choices=("auto", "linear", "nearest", "mean"),
        help="with --rate: between the frames around a moment, the nearest frame, or the mean of the frames around it; "
        "default: mean for rates below the table's, else linear",
    )
    episodes = parser.add_argument_group("episodes")
    episodes.add_argument("--aus", type=_names, metavar="AU,...", help="these AUs only")
    episodes.add_argument(
        "--threshold",
        type=positive,
        metavar="I",
        help="present from this intensity on, up to 5; default: where OpenFace's presence is 1",
    )
    episodes.add_argument("--min-duration", type=not_negative, metavar="S", help="leave out shorter episodes, seconds")
    episodes.add_argument("--join", type=not_negative, metavar="S", help="join episodes that are no farther apart")
    episodes.add_argument("--media", type=Path, metavar="VIDEO", help="the video that ELAN is to open")
    parser.set_defaults(run=run)


#: Options that only one of the two kinds of outputs has.
_OF_TABLES = ("columns", "missing", "long", "rate", "how")
_OF_EPISODES = ("aus", "threshold", "min_duration", "join", "media")


def run(arguments: argparse.Namespace) -> int:
    """Convert a table; 0.

    Raises
    ------
    AuparityError : the table cannot be read or has not what is asked for; the output exists; the options do not go with
        each other.
    """
    from auparity.errors import AuparityError
    from auparity.media.names import printable
    from auparity.tables.episode_files.write import EPISODE_FILES, sidecar_of
    from auparity.tables.reading import read_table
    from auparity.tables.writers import TABLE_FILES

    source: Path = arguments.table
    output: Path = arguments.output
    suffix = output.suffix.lower()
    if suffix not in {**TABLE_FILES, **EPISODE_FILES}:
        known = ", ".join(f"{name} ({what})" for name, what in {**TABLE_FILES, **EPISODE_FILES}.items())
        raise AuparityError(f"{printable(output)}: its suffix says none of {known}.")
    _refuse(arguments, _OF_EPISODES if suffix in TABLE_FILES else _OF_TABLES, printable(output))
    if suffix != ".eaf" and arguments.media is not None:
        raise AuparityError("--media goes with ELAN's .eaf only: no other format names the video.")
    made = [output, sidecar_of(output)] if suffix == ".tsv" else [output]
    for file in made:
        if file.exists() and source.exists() and file.samefile(source):
            raise AuparityError(f"{printable(output)} would be written over the table that is read.")
        if file.exists() and not arguments.overwrite:
            raise AuparityError(f"{printable(file)} exists. Use --overwrite to replace it.")
    if suffix in TABLE_FILES:
        result = _table(read_table(source, arguments.columns), arguments)
        result.write(output)
        print(f"{printable(output)}: {len(result)} rows, {len(result.columns)} columns")
        return 0
    episodes = read_table(source, arguments.aus or ["aus"]).episodes(
        arguments.aus,
        threshold=arguments.threshold,
        min_duration=arguments.min_duration or 0.0,
        join=arguments.join or 0.0,
        min_confidence=arguments.min_confidence,
        fps=arguments.fps,
    )
    files = episodes.write(output, media=arguments.media)
    number = "1 episode" if len(episodes) == 1 else f"{len(episodes)} episodes"
    print(f"{' and '.join(printable(file) for file in files)}: {number}")
    return 0


def _table(table: FaceTable, arguments: argparse.Namespace) -> FaceTable:
    from auparity.errors import AuparityError

    if arguments.rate is None:
        if arguments.how or arguments.fps:
            raise AuparityError(f"--{'how' if arguments.how else 'fps'} goes with --rate only, or with episodes.")
        table = table.masked(arguments.missing, arguments.min_confidence)
    else:
        if arguments.missing == "keep":
            raise AuparityError("--missing keep does not go with --rate, which takes tracked frames only.")
        table = table.resampled(
            arguments.rate, arguments.how or "auto", min_confidence=arguments.min_confidence, fps=arguments.fps
        )
        if arguments.missing == "drop":
            table = table.masked("drop")
    return table.long() if arguments.long else table


def _refuse(arguments: argparse.Namespace, names: tuple[str, ...], output: str) -> None:
    """Raise where an option is given that the output has no use for."""
    from auparity.errors import AuparityError

    given = [name for name in names if getattr(arguments, name) is not None and getattr(arguments, name) is not False]
    if given:
        kind = "a table" if names is _OF_EPISODES else "episodes"
        raise AuparityError(f"--{given[0].replace('_', '-')} has no meaning for {output}, which is {kind}.")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _share(text: str) -> float:
    value = not_negative(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value
