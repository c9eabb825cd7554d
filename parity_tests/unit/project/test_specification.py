"""Every section that code, comments and documents cite ("spec 50.3") is a heading of docs/specification/."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

import auparity

ROOT = Path(auparity.__file__).resolve().parents[1]
INDEX = ROOT / "docs" / "specification.md"
CHAPTERS = sorted((ROOT / "docs" / "specification").glob("*.md"))
FOLDERS = (
    "auparity", "reference", "accelerated", "models", "conversion", "parity_tests", "benchmarks", "reports", "docs",
)  # fmt: skip
SOURCES = ("*.py", "*.cu", "*.cuh", "*.h", "*.md", "*.toml")

#: A section of a chapter of two digits, as 50.3 or 50.2.5.
SECTION = r"\d\d(?:\.\d{1,2}){1,2}(?!\d)"
#: The word, then a chapter or a section, then further sections: "spec 30", "spec 20.3, 50.8" or "spec 50.1 to 50.5".
#: The number may stand in the next line of a comment.
CITATION = re.compile(rf"\b[Ss]pec[\s#/]+(\d\d(?:\.\d{{1,2}}){{0,2}}(?!\d)(?:(?:[,;]| and| to| or)\s+{SECTION})*)")
HEADING = re.compile(rf"^#{{1,4}} (\d\d|{SECTION})(?: |$)", re.MULTILINE)
ANCHOR = re.compile(r'<a id="([\d.]+)"></a>\n+#{1,4} ([\d.]+)')
LINK = re.compile(r"\]\(([^)#\s]+\.md)?(?:#([\d.]+))?\)")

pytestmark = pytest.mark.skipif(not INDEX.is_file(), reason="installed without its documentation")


def cited_sections(text: str) -> set[str]:
    """The numbers that a text cites, those within a range such as "50.1 to 50.5" included."""
    sections: set[str] = set()
    for match in CITATION.finditer(text):
        words = re.split(r"[,;\s#/]+", match.group(1))
        numbers = [word for word in words if word[0].isdigit()]
        sections.update(numbers)
        for first, word, last in zip(words, words[1:], words[2:], strict=False):
            if word == "to":
                sections.update(_range(first, last))
    return sections


def _range(first: str, last: str) -> list[str]:
    """The sections of one chapter from the first to the last."""
    chapter, start = first.split(".")
    assert last.startswith(f"{chapter}."), f"{first} to {last} are sections of two chapters"
    return [f"{chapter}.{number}" for number in range(int(start), int(last.split(".")[1]) + 1)]


def unknown_citations(text: str, headings: set[str]) -> set[str]:
    """What a text cites and no heading has."""
    return cited_sections(text) - headings


def headings_of(chapters: list[Path]) -> list[str]:
    return [number for page in chapters for number in HEADING.findall(page.read_text(encoding="utf-8"))]


def source_files() -> list[Path]:
    """Python, CUDA, Markdown and TOML files of the project, each once (symbolic links are not followed)."""
    files = [path for pattern in SOURCES for path in ROOT.glob(pattern)]
    files += [path for folder in FOLDERS for pattern in SOURCES for path in (ROOT / folder).rglob(pattern)]
    return [path for path in files if path != Path(__file__).resolve()]


def test_every_cited_section_has_a_heading() -> None:
    headings = set(headings_of(CHAPTERS))
    unknown = {
        str(path.relative_to(ROOT)): sorted(missing)
        for path in source_files()
        if (missing := unknown_citations(path.read_text(encoding="utf-8"), headings))
    }
    assert not unknown


def test_the_project_cites_its_specification() -> None:
    """The search sees the files: without it the test above would pass on nothing."""
    texts = [path.read_text(encoding="utf-8") for path in source_files()]
    assert {"00", "20.5", "30.7", "50.2.5", "60.7", "90.10"} <= set().union(*map(cited_sections, texts))
    assert sum(bool(CITATION.search(text)) for text in texts) > 100


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        ("see spec 50.3", {"50.3"}),
        ("(spec 20)", {"20"}),
        ("(spec 50.2.5)", {"50.2.5"}),
        ("Spec 20.3, 10.5: layers", {"20.3", "10.5"}),
        ("spec 60.5; 60.1 steps 6 and 7", {"60.5", "60.1"}),
        ("spec 70.1 to 70.3", {"70.1", "70.2", "70.3"}),
        ("spec 50.9 and 50.10", {"50.9", "50.10"}),
        ("# rounding of spec\n# 90.5 as ever", {"90.5"}),
        ("spec 20.5, 4 and 6", {"20.5"}),
        ("spec 60.6, 17 intensities", {"60.6"}),
        ("from_spec 30 of specs 40, (SPEC, 0)", set()),
    ],
)
def test_citations_are_found_as_they_are_written(text: str, sections: set[str]) -> None:
    assert cited_sections(text) == sections


@pytest.mark.parametrize("planted", ["50.99", "50.2.7", "55", "30.7, 30.70", "60.1 to 60.30"])
def test_a_citation_of_an_unknown_section_is_reported(planted: str) -> None:
    headings = set(headings_of(CHAPTERS))
    assert not unknown_citations("spec 50.3", headings)
    assert unknown_citations(f"as in spec {planted}.", headings)


def test_headings_are_unique_and_stand_in_the_page_of_their_chapter() -> None:
    repeated = [number for number, times in Counter(headings_of(CHAPTERS)).items() if times > 1]
    assert not repeated
    for page in CHAPTERS:
        chapters = {number.split(".")[0] for number in headings_of([page])}
        assert chapters == {page.name[:2]}, page.name


@pytest.mark.parametrize("page", CHAPTERS, ids=lambda page: page.stem)
def test_every_heading_has_an_anchor_of_its_number(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    anchors = ANCHOR.findall(text)
    assert [number for _, number in anchors] == headings_of([page])
    assert all(anchor == number for anchor, number in anchors)


@pytest.mark.parametrize("page", [INDEX, *CHAPTERS], ids=lambda page: page.stem)
def test_links_between_chapters_lead_somewhere(page: Path) -> None:
    for name, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        target = (page.parent / name).resolve() if name else page
        assert target.is_file(), f"{page.name} links {name}"
        if anchor:
            assert anchor in headings_of([target]), f"{page.name} links section {anchor} of {target.name}"


def test_the_index_links_every_chapter() -> None:
    links = {name for name, _ in LINK.findall(INDEX.read_text(encoding="utf-8"))}
    assert {f"specification/{page.name}" for page in CHAPTERS} <= links
