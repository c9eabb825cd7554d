"""Names of files as text that a terminal can show."""

from __future__ import annotations

import os
import unicodedata

#: Unicode categories that a terminal may act upon or that cannot be encoded: controls, formats (text direction),
#: surrogates (bytes that are not UTF-8), private use, line and paragraph separators.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def printable(text: str | os.PathLike[str]) -> str:
    """The text with escapes for everything that could control a terminal, break a line or not be encoded.

    Escapes are Python's (``\\x1b``, ``\\n``, ``\\udcff``). Ordinary names, of any script, stay as they are.
    """
    plain = os.fspath(text)
    if plain.isascii() and plain.isprintable():
        return plain
    return "".join(_escaped(c) if unicodedata.category(c) in _UNSAFE else c for c in plain)


def printable_lines(text: str) -> str:
    """A message of several lines with the same escapes inside each: names in it come from outside."""
    return "\n".join(printable(line) for line in text.split("\n"))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
