"""Text from files inside Markdown: names, reasons and commands from outside are shown as plain text."""

from __future__ import annotations

import re

#: Characters that begin markup inside a line, or end a table cell. An underscore inside a word does not.
_MARKUP = re.compile(r"[\\`*\[\]<>|~#!&$]|(?<!\w)_|_(?!\w)")


def plain(text: object) -> str:
    """Text on one line in which nothing is markup, good for table cells; control characters become question marks."""
    return _MARKUP.sub(lambda match: f"\\{match[0]}", _one_line(text))


def code(text: object, cell: bool = False) -> str:
    """Text as inline code, in a fence longer than any inside it; `cell`: in a table, where a bar would end the cell."""
    line = _one_line(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line.replace('|', chr(92) + '|') if cell else line}{pad}{fence}"


def _one_line(text: object) -> str:
    return "".join(c if c.isprintable() else "?" for c in " ".join(str(text).split()))
