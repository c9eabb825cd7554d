"""`auparity completion SHELL`: a script that completes commands, options, choices and files at the tab key.

The scripts are made by shtab from the parsers. They hold all names, so that completing starts no Python; argcomplete
would start ours at every press of the key. A new version of auparity therefore needs its script written again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

#: Arguments whose values are files or folders, by what the help calls them.
FILES = ("FILE", "CLIP", "IMAGE", "INPUT", "RESULT", "RESULTS", "SOURCE", "VIDEO", "PATH")
FOLDERS = ("DIR", "FOLDER", "DATASET")
SHELLS = ("bash", "zsh", "fish", "tcsh")
_DESCRIPTION = """\
Print a script for your shell that completes commands, options, their choices, and names of files when you press the tab
key. Print it again after an update of auparity, because it holds the names of all options.

  bash   auparity completion bash > ~/.local/share/bash-completion/completions/auparity
  zsh    auparity completion zsh > DIR/_auparity      DIR is a folder of $fpath
  fish   auparity completion fish > ~/.config/fish/completions/auparity.fish
  tcsh   auparity completion tcsh > FILE              `source FILE` in ~/.tcshrc

It takes effect in shells that are started afterwards."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `completion` command."""
    parser = subparsers.add_parser(
        "completion",
        help="a script that completes commands and options in your shell",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell that runs the script")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carry out `auparity completion`; returns the exit code."""
    import shtab

    from auparity.cli import build_parser

    program = build_parser()  # of all commands
    complete_files(program)
    print(shtab.complete(program, arguments.shell))
    return 0


def complete_files(parser: argparse.ArgumentParser) -> None:
    """Mark the arguments of a parser, and of its commands, whose values are names of files or folders."""
    import shtab

    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in set(action.choices.values()):
                complete_files(command)
        elif action.choices is None and (kind := _kind_of(action)) is not None:
            vars(action)["complete"] = shtab.FILE if kind == "file" else shtab.DIRECTORY


def _kind_of(action: argparse.Action) -> str | None:
    """ "file", "folder" or None: what the value of an argument is the name of."""
    name: Any = action.metavar if action.metavar is not None else action.dest.upper()
    if name in FOLDERS:
        return "folder"
    return "file" if name in FILES or action.type is Path else None
