"""The command line: ``auparity`` with its subcommands, each of which loads what it needs when it runs."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from typing import TextIO

from auparity.cli import (
    bench,
    convert,
    dev,
    doctor,
    extract,
    live,
    models,
    openface,
    parity,
    pictures,
    profile,
    report,
    summary,
)
from auparity.errors import AuparityError, AuparityWarning
from auparity.version import __version__

EXIT_PROBLEM, EXIT_INTERRUPTED = 1, 130
#: In the order of `auparity --help`.
COMMANDS = (extract, openface, live, pictures, summary, models, report, convert, doctor, parity, bench, profile, dev)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; each subcommand sets ``run``."""
    parser = argparse.ArgumentParser(
        prog="auparity", description="Facial action units, landmarks, pose and gaze, faithful to OpenFace 2.2."
    )
    parser.add_argument("--version", action="version", version=f"auparity {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status is 0 good, 1 a problem, 2 usage, 130 interrupted."""
    words = sys.argv[1:] if argv is None else list(argv)
    arguments = build_parser().parse_args(words)
    arguments.words = words[1:]  # as typed after the command: results store the command that repeats them
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            return int(arguments.run(arguments))
    except AuparityError as error:
        from auparity.media import printable_lines

        print(printable_lines(f"auparity: error: {error}"), file=sys.stderr)
        return EXIT_PROBLEM
    except KeyboardInterrupt:
        print("auparity: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output has closed it: `auparity doctor | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the interpreter would complain at its end
        return EXIT_PROBLEM


_show_elsewhere = warnings.showwarning


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show our warnings in one line without their place in the source, others as usual."""
    if issubclass(category, AuparityWarning):
        print(f"auparity: warning: {message}", file=sys.stderr)
    else:
        _show_elsewhere(message, category, filename, lineno, file, line)
