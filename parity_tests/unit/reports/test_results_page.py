"""The page of result files: verdict first, no contradiction, nothing from elsewhere, every chart in words too."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations, pairwise
from pathlib import Path

import pytest

from auparity import cli
from auparity.parity_tests.unit.helpers import synthetic_results as made
from auparity.reports.results.figures import verdict
from auparity.reports.results.outcomes import Outcome
from auparity.reports.results.page import results_page, write_results_page
from auparity.reports.results.records import MeasuredError, Results, Skipped, save
from auparity.reports.results.svg import round_up
from auparity.reports.results.words import pieces, words

VOID = {"meta", "link", "br", "img", "input", "hr", "path", "circle", "line", "rect", "polyline", "use", "stop"}


class Page(HTMLParser):
    """Tags, ids and text of a page; fails on tags that are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        about = dict(attrs)
        self.tags.append((tag, about))
        if about.get("id"):
            self.ids.append(about["id"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


FULL = [made.parity(), made.benchmark()]


def test_the_verdict_comes_first_and_what_did_not_pass_second():
    page = Page(results_page([made.parity(made.FAILING), made.benchmark()]))
    order = ["Failed", "1 of 15 figures is out of tolerance", "3.2e−5 rad", "Fast implementations", "6 speeds"]
    places = [page.text.index(words, page.text.index("Skip to the results")) for words in order]
    assert places == sorted(places)


def coloured(text):
    """The outcomes that a page shows by colour: of its verdict, and of all cells."""
    styles = {outcome.style for outcome in Outcome}
    tags = [(about, set((about.get("class") or "").split())) for _, about in Page(text).tags]
    (judged,) = [classes & styles for about, classes in tags if about.get("aria-label") == "Verdict"]
    return judged.pop(), {style for _, classes in tags if "outcome" in classes for style in classes & styles}


PROBLEMS = {
    "passed": MeasuredError("clip", "stage", "gaze", "numba", "gaze", 1e-5, 2e-5),
    "drifted": replace(made.FAILING, error=1.9e-5, problem="DRIFTED, 3.1 times"),
    "failed": made.FAILING,
    "silent": replace(made.FAILING, problem=""),
    "not finite": replace(made.FAILING, error=None, problem=""),
    "pipeline": made.error("", "best", 0.04, 0.02, "landmarks", way="chained"),
    "timed": made.error("", "best", 0.04, 0.02, "landmarks", way="timed run", problem="OUT OF TOLERANCE"),
    "missing": MeasuredError("", "baseline", "", "", "quick/x: y", None, None, problem="NO LONGER MEASURED"),
    "drifted and wrong": replace(made.FAILING, problem="DRIFTED, 3.1 times"),
}
ORDER = ["skipped", "passed", "drifted", "failed"]


@pytest.mark.parametrize("names", [some for n in (0, 1, 2) for some in combinations(PROBLEMS, n)])
def test_the_verdict_is_as_grave_as_the_gravest_cell(names):
    errors = [PROBLEMS[name] for name in names]
    bench = replace(made.benchmark(), errors=[error for error in errors if error.way == "timed run"])
    parity = replace(made.parity(), errors=[error for error in errors if error.way != "timed run"])
    judged, cells = coloured(results_page([parity, bench], [made.parity(made.FAILING, day=1)]))
    assert judged == max(cells - {"skipped"}, key=ORDER.index, default="skipped")
    expected = verdict([parity, bench])
    assert (judged == "passed") == (expected.word == "PASSED"), "the page and Markdown agree"


def test_a_skipped_variant_is_gray_and_says_why():
    run = replace(made.parity(), errors=[], skipped=[Skipped("fhog onnx", "needs the package onnx")])
    text = results_page([run])
    assert coloured(text) == ("skipped", {"skipped"})
    page = Page(text)
    assert page.text.count("needs the package onnx") == 2, "in the cell, and in the list of what was not run"


def test_words_are_defined_as_in_the_glossary():
    glossary = (Path(__file__).parents[3] / "docs" / "glossary.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^### (.+?)\n(.+?)(?=\n\n|\Z)", glossary, re.MULTILINE | re.DOTALL))
    assert len(words()) > 15
    for word in words().values():
        paragraph = " ".join(sections[word.title].split())
        without_pages = re.sub(r" \(\[[^\]]*\]\([^)]*\)\)", "", paragraph)
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", without_pages)
        assert word.text == plain.replace("`", "").replace("*", "")


def test_every_word_is_one_click_away():
    page = Page(results_page(FULL, [made.parity(day=1)]))
    asked = {about["popovertarget"] for tag, about in page.tags if tag == "button"}
    assert asked >= {f"word-{key}" for key in ("reference", "tolerance", "platform-floor", "floor-of-a-stage")}
    assert asked <= {about.get("id") for _, about in page.tags if "popover" in about}


def test_pieces_mark_a_word_once_with_what_follows_it():
    assert pieces("The stages, and stage one. One step.") == [
        ("The ", "stage", "stages", ","), (" and stage one. ", "one-step", "One step", "."), ("", "", "", ""),
    ]  # fmt: skip
    assert pieces("a stagehand's re-stage") == [("a stagehand's re-stage", "", "", "")]


def test_an_error_above_its_tolerance_fails_even_if_the_file_says_nothing():
    silent = replace(made.FAILING, problem="")
    assert verdict([made.parity(silent)]).word == "FAILED"


@pytest.mark.parametrize("results", [FULL, [made.parity(made.FAILING)], [], [Results("benchmark", made.provenance())]])
def test_the_page_stands_alone_and_can_be_read_by_everybody(results):
    text = results_page(results, [made.parity(day=1), made.benchmark(day=2)])
    page = Page(text)
    assert len(text) < 5e6
    assert "<script" not in text
    assert "@media (prefers-color-scheme: dark)" in text
    assert "@media print" in text
    for _, about in page.tags:
        for name in ("src", "href", "xlink:href", "data", "action"):
            assert not re.match(r"(https?:)?//", about.get(name) or ""), about
    assert "url(" not in text
    assert not re.search(r"\bnan\b|\binf\b|None\b", page.text), re.search(r".{40}\b(nan|inf|None)\b.{40}", page.text)
    assert len(page.ids) == len(set(page.ids))
    assert ("html", {"lang": "en"}) in page.tags
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    for tag, about in page.tags:
        if tag == "th":
            assert about.get("scope") in ("col", "row", "colgroup", "rowgroup")
        if tag == "svg":
            assert about.get("role") == "img"
            named = (about.get("aria-labelledby") or "").split()
            assert len(named) == 2, "a title and a description"
            assert set(named) <= set(page.ids)
        if tag == "div" and about.get("class") == "scroll":
            assert about.get("tabindex") == "0"
            assert about.get("aria-label")
    drawings = sum(tag == "svg" for tag, _ in page.tags)
    assert drawings == sum(tag == "desc" for tag, _ in page.tags)
    labels = [about["aria-label"] for _, about in page.tags if about.get("aria-label")]
    assert len(labels) == len(set(labels))


def test_everything_that_was_asked_for_is_on_it():
    page = Page(results_page(FULL, [made.parity(day=1), made.benchmark(day=2)]))
    for phrase in (
        "Stages and their variants", "Whole pipelines", "Bland-Altman", "px", "ms a frame", "times the reference",
    ):  # fmt: skip
        assert phrase in page.text, phrase
    assert sum(tag == "svg" for tag, _ in page.tags) > 17  # three pictures an AU at least, in cards of several
    for run in FULL:
        assert run.provenance.command in page.text
        for entry in run.skipped:
            assert entry.why in page.text
    assert "OpenBLAS 0.3.30" in page.text


def test_names_in_files_do_no_harm():
    nasty = '<script>alert("1")</script>&"\x00'
    run = made.parity(replace(made.FAILING, variant=nasty, reason=nasty))
    run = replace(run, skipped=[Skipped(nasty, nasty)], provenance=replace(run.provenance, command=nasty))
    text = results_page([run])
    assert "<script" not in text
    assert "\x00" not in text
    assert "&lt;script&gt;" in text
    Page(text)


def test_it_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "page.html"
    write_results_page(FULL, [], path)
    assert [p.name for p in path.parent.iterdir()] == ["page.html"]
    before = path.read_text(encoding="utf-8")
    monkeypatch.setattr("os.replace", lambda *a: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        write_results_page([], [], path)
    assert path.read_text(encoding="utf-8") == before


def test_the_command_makes_page_markdown_junit_and_plots(tmp_path, capsys):
    files = []
    for run in FULL:
        files.append(tmp_path / f"{run.kind}.json")
        save(run, files[-1])
    page = tmp_path / "out" / "report.html"
    assert cli.main(["report", *map(str, files), "-o", str(page)]) == 0
    assert f"Look at {page}" in capsys.readouterr().out
    names = {p.relative_to(page.parent).as_posix() for p in page.parent.rglob("*") if p.is_file()}
    assert {
        "report.html",
        "report.md",
        "report.junit.xml",
        "report-plots/speed.png",
        "report-plots/parity.png",
    } <= names
    assert cli.main(["report", str(files[0])]) == 0
    assert files[0].with_suffix(".html").is_file()
    (tmp_path / "other.json").write_text("{}")
    assert cli.main(["report", str(tmp_path / "other.json")]) == 1
    assert "expected a result file" in capsys.readouterr().err
    assert cli.main(["report", str(files[0]), str(tmp_path)]) == 1
    assert "one kind at a time" in capsys.readouterr().err


@pytest.mark.parametrize("value", [5e-324, 1e-310, 1e-300, 0.3, 1.0, 1e300, 1.7e308])
def test_an_axis_has_round_steps_for_every_number(value):
    assert round_up(value) >= value * (1 - 1e-9)
