"""The words of the docs: each has one definition, links to definitions lead somewhere, first uses are linked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
GLOSSARY = ROOT / "docs" / "glossary.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
#: Words that nobody can guess: a page that uses one links its first use.
MUST_BE_LINKED = ("platform floor", "one step", "chained", "drift gate")
HIDDEN = re.compile(
    r"^```.*?^```"  # code
    r"|<!-- figures: begin -->.*?<!-- figures: end -->"  # rewritten by a program
    r"|^#.*?$",  # headings
    re.MULTILINE | re.DOTALL,
)

pytestmark = pytest.mark.skipif(not GLOSSARY.is_file(), reason="installed without its documentation")


def headings(page: Path) -> list[str]:
    """Headings of a page, without those inside code."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"^#+ (.+)$", text, re.MULTILINE)


def anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_every_word_is_defined_once_and_in_words():
    names = headings(GLOSSARY)
    assert len(set(map(anchor, names))) == len(names)
    entries = re.split(r"^### .+$", GLOSSARY.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert len(entries) > 40
    assert all(len(entry.split("\n## ")[0].split()) >= 8 for entry in entries)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_between_pages_lead_to_a_page_and_a_heading(page):
    for target, _, part in re.findall(r"\]\(([^)#:\s]*)(#([^)\s]*))?\)", page.read_text(encoding="utf-8")):
        file = page.parent / target if target else page
        assert file.exists(), f"{page.name}: no file {target}"
        if part:
            assert part in map(anchor, headings(file)), f"{page.name}: no heading {part} in {file.name}"


@pytest.mark.parametrize("page", [page for page in PAGES if page != GLOSSARY], ids=lambda page: page.stem)
@pytest.mark.parametrize("word", MUST_BE_LINKED)
def test_a_page_links_its_first_use_of_a_word_of_ours(page, word):
    text = HIDDEN.sub("", page.read_text(encoding="utf-8"))
    first = re.search(rf"\b{word}".replace(" ", r"\s+"), text, re.IGNORECASE)
    if first is not None:
        rest = text[first.end() :]
        link = rf"\w*\]\((docs/)?glossary\.md#{anchor(word)}\)"
        assert re.match(link, rest), f"{page.name} does not link {word!r} where it is first used: ...{rest[:60]!r}"
