"""The words that a page of results explains where they stand: definitions of the glossary, and where a text has them.

The definitions are in `web/words.toml` and are those of docs/glossary.md, which is not part of the package.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache

from auparity.reports.results.templates import web_file


@dataclass(frozen=True)
class Word:
    """A word with its definition."""

    key: str
    title: str
    text: str


@cache
def words() -> dict[str, Word]:
    """All words by their keys, in the order of the page."""
    return {key: Word(key, entry["title"], entry["text"]) for key, entry in _entries().items()}


def pieces(text: str) -> list[tuple[str, str, str, str]]:
    """A text in pieces: plain text, the key of a word, the word as it stands there, and the punctuation after it.

    A word is marked where it first comes. The last piece has plain text only.
    """
    marked: list[tuple[str, str, str, str]] = []
    end, seen = 0, set()
    for match in _pattern().finditer(text):
        key = _keys()[match["word"].lower()]
        if key not in seen:
            seen.add(key)
            marked.append((text[end : match.start()], key, match["word"], match["after"]))
            end = match.end()
    return [*marked, (text[end:], "", "", "")]


@cache
def _entries() -> dict[str, dict[str, str]]:
    return tomllib.loads(web_file("words.toml"))


@cache
def _keys() -> dict[str, str]:
    return {phrase.lower(): key for key, entry in _entries().items() for phrase in entry["phrases"]}


@cache
def _pattern() -> re.Pattern[str]:
    longest_first = sorted(_keys(), key=len, reverse=True)
    return re.compile(
        rf"(?<![\w-])(?P<word>{'|'.join(map(re.escape, longest_first))})(?![\w-])(?P<after>[,.;:]?)", re.IGNORECASE
    )
