"""Pages of the site that are made from code: the command line from its parsers, Python's names from docstrings."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

#: Sections of numpydoc whose entries are written on one line here, ``name : what it is``.
LISTS = ("Parameters", "Returns", "Yields", "Raises", "Attributes", "Warns")

FEW_OPTIONS = 10  # in a usage; a longer one is a block of text in which nobody finds anything


def commands(parser: argparse.ArgumentParser, names: tuple[str, ...] = ()) -> Iterator[tuple[str, str, Any]]:
    """Every command with its line in the list of its siblings and its parser, outer ones first."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, child in action.choices.items():
                yield " ".join((*names, name)), helps.get(name, ""), child
                yield from commands(child, (*names, name))


def command_line() -> str:
    """Markdown: a section for each command, with its usage, its description and a table of its options."""
    from auparity.cli import build_parser

    parts = []
    for name, line, parser in commands(build_parser()):
        level = "##" if " " not in name else "###"
        parts.append(f"\n{level} auparity {name}\n\n{_sentence(line)}\n")
        parts.append(f"\n```text\n{_usage(parser)}\n```\n")
        if parser.description:
            parts.append(_free_text(parser.description))
        for group in parser._action_groups:
            shown = [a for a in group._group_actions if a.help is not argparse.SUPPRESS and not _is_commands(a)]
            shown = [action for action in shown if action.dest != "help"]
            if shown:
                title = {"positional arguments": "Arguments", "options": "Options"}.get(group.title, group.title)
                parts.append(f"\n**{title[0].upper()}{title[1:]}**\n\n")
                parts.extend(_definition(action, parser) for action in shown)
        if parser.epilog:
            parts.append(_free_text(parser.epilog))
    return "".join(parts)


def _is_commands(action: argparse.Action) -> bool:
    return isinstance(action, argparse._SubParsersAction)


def _sentence(line: str) -> str:
    return line[:1].upper() + line[1:] + "." if line else ""


def _free_text(text: str) -> str:
    """Paragraphs as prose; those that begin with blanks or have columns (examples, lists) as they are in a terminal."""
    paragraphs = [part for part in re.split(r"\n\s*\n", text.strip("\n")) if part.strip()]
    return "".join(
        f"\n```text\n{part}\n```\n" if re.search(r"^ |\S {2,}\S", part, re.MULTILINE) else f"\n{_plain(part)}\n"
        for part in paragraphs
    )


def _definition(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    """One option: how it is written, then what it does."""
    formatter = parser._get_formatter()
    name = action.metavar or (action.dest.upper() if action.option_strings else action.dest)
    if action.choices is not None and action.metavar is None:
        name = "|".join(map(str, action.choices))
    value = "" if action.nargs == 0 else formatter._format_args(action, str(name))
    written = [f"`{' '.join(filter(None, (option, value)))}`" for option in action.option_strings] or [f"`{value}`"]
    text = formatter._expand_help(action) if action.help else ""
    return f"{', '.join(written)}\n: {_plain(text)}\n\n"


def _usage(parser: argparse.ArgumentParser) -> str:
    """The usage; of commands with many options without naming them, because they follow."""
    many = sum(bool(action.option_strings) for action in parser._actions) > FEW_OPTIONS
    if not many:
        return parser.format_usage().strip()
    formatter = parser._get_formatter()
    formatter.add_usage(None, [a for a in parser._actions if not a.option_strings], [], prefix="")
    words = formatter.format_help().split()
    own = parser.prog.split()
    return " ".join(("usage:", *own, "[options]", *words[len(own) :]))


def _plain(text: str) -> str:
    """Help texts are no Markdown: what would be read as such stands for itself; pages that they name are links."""
    text = re.sub(r"(?<!`)([*_<>\[\]|])", r"\\\1", text)
    return re.sub(r"\bdocs/([\w-]+)\.md", r"[\1](\1.md)", text)


#: What the page of Python's names shows, in its order; names of `auparity` that stand in none are shown last.
NAMES: dict[str, tuple[str, ...]] = {
    "Measure": ("auparity.Bundle", "auparity.Pipeline", "auparity.ReferencePipeline", "auparity.PipelineOptions"),
    "Read clips and images": ("auparity.media.open_clip",),
    "Verify": ("auparity.validate_acceleration",),
    "Names for code written against other ports": (
        "auparity.AcceleratedAUPipeline", "auparity.BatchedAUPredictor", "auparity.PatchExpertBackend",
        "auparity.benchmark_backends", "auparity.select_best_backend",
    ),
    "Errors": (
        "auparity.AuparityError", "auparity.ChecksumError", "auparity.ContractError", "auparity.DownloadError",
        "auparity.ModelFormatError", "auparity.VariantUnavailable", "auparity.VideoError",
    ),
}  # fmt: skip


def api() -> str:
    """Markdown: every public name with its docstring."""
    import auparity

    listed = {name for names in NAMES.values() for name in names}
    others = tuple(f"auparity.{name}" for name in auparity.__all__ if not name.startswith("__"))
    sections = NAMES | {"Results and tables": tuple(name for name in others if name not in listed)}
    return "".join(f"\n## {title}\n\n" + "".join(map(_entry, names)) for title, names in sections.items() if names)


def _entry(name: str) -> str:
    module, _, attribute = name.rpartition(".")
    what = getattr(import_module(module), attribute)
    if not isinstance(what, type):
        directive = f".. autofunction:: {name}" if callable(what) else f".. autodata:: {name}"
    elif issubclass(what, Exception):
        directive = f".. autoexception:: {name}"
    else:
        directive = f".. autoclass:: {name}\n   :members:\n   :inherited-members: tuple, dict, list, Protocol"
    return f"```{{eval-rst}}\n{directive}\n```\n\n"


def numpydoc_of(_app: Any, _kind: str, _name: str, _what: Any, _options: Any, lines: list[str]) -> None:
    """Bring ``name : what it is`` into the form in which numpydoc shows the text as text, and not as a type."""
    lines[:] = [re.sub(r"\bdocs/([\w-]+)\.md", r":doc:`\1`", line) for line in numpydoc_lines(lines)]


def numpydoc_lines(lines: list[str]) -> list[str]:
    """The lines of a docstring, with the text of every entry of a list below its name."""
    result: list[str] = []
    section = ""
    for number, line in enumerate(lines):
        following = lines[number + 1].strip() if number + 1 < len(lines) else ""
        if following and set(following) == {"-"} and line.strip():
            section = line.strip()
        entry = re.match(r"(\w[\w\s,.*]*?) : (.+)$", line)
        if section in LISTS and entry and not line.startswith(" "):
            result += [entry[1], f"    {entry[2]}"]
        else:
            result.append(line)
    return result
