"""The command line: ``auparity`` with its subcommands, each of which loads what it needs when it runs."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, TextIO

from auparity.cli.parser import Parser
from auparity.errors import AuparityError, AuparityWarning
from auparity.version import __version__

if TYPE_CHECKING:  # for whoever follows imports: each is imported when its command is called (completion imports this)
    from auparity.cli import (  # noqa: F401
        bench,
        cache,
        columns,
        convert,
        convert_table,
        dataset,
        dev,
        doctor,
        extract,
        figure,
        live,
        models,
        openface,
        parity,
        pictures,
        plan,
        profile,
        report,
        summary,
    )

EXIT_PROBLEM, EXIT_INTERRUPTED = 1, 130
#: Modules of this package by the commands that they add, in the order of `auparity --help`.
COMMANDS = {
    "extract": ("extract",), "plan": ("plan",), "openface": ("openface",), "live": ("live",),
    "pictures": ("detect", "landmarks"), "summary": ("summary",), "convert_table": ("convert-table",),
    "columns": ("columns",), "dataset": ("dataset",), "models": ("models",), "report": ("report",),
    "figure": ("figure",), "convert": ("convert",), "doctor": ("doctor",), "parity": ("parity",), "bench": ("bench",),
    "profile": ("profile",), "cache": ("cache",), "completion": ("completion",), "dev": ("dev",),
}  # fmt: skip


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """The parser of the command line; each subcommand sets ``run``.

    Parameters
    ----------
    command : the only subcommand that is needed, so that no module of another one is imported; None or another word
        for all.
    """
    parser: argparse.ArgumentParser = Parser(
        prog="auparity", description="Facial action units, landmarks, pose and gaze, faithful to OpenFace 2.2."
    )
    parser.add_argument("--version", action="version", version=f"auparity {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    modules = [module for module, commands in COMMANDS.items() if command in commands] or COMMANDS
    for module in modules:
        import_module(f"auparity.cli.{module}").add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status is 0 good, 1 a problem, 2 usage, 130 interrupted."""
    words = sys.argv[1:] if argv is None else list(argv)
    arguments = build_parser(next(iter(words), None)).parse_args(words)
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
