"""The page of result files: verdict first, nothing from elsewhere, every chart in words too, harmless names."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

from auparity import cli
from auparity.parity_tests.unit.helpers import synthetic_results as made
from auparity.reports.plots import _round_step
from auparity.reports.results.figures import verdict
from auparity.reports.results.markdown import results_markdown
from auparity.reports.results.page import results_page, write_results_page
from auparity.reports.results.records import Results, Skipped, save
from auparity.reports.results.svg import round_up

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


@pytest.mark.parametrize(
    ("results", "word"),
    [
        (FULL, "PASSED"),
        ([made.parity(made.FAILING), made.benchmark()], "FAILED"),
        ([], "NOTHING MEASURED"),
        ([Results("parity", made.provenance())], "NOTHING MEASURED"),
        ([made.parity()], "PASSED"),
        ([replace(made.benchmark(), errors=[])], "TIMED ONLY"),
        ([made.parity(), replace(made.benchmark(), errors=[])], "PASSED"),
        ([replace(made.parity(), errors=[], series=[])], "NOTHING MEASURED"),
    ],
)
def test_the_verdict_comes_first(results, word):
    page = Page(results_page(results))
    assert verdict(results).word == word
    before = page.text.index("How to repeat every number")
    assert -1 < page.text.index(word) < before
    if word == "FAILED":
        assert page.text.index("gaze") < page.text.index("Variants by stage")
        assert "1 of" in page.text


def test_what_was_not_measured_is_said_in_words():
    timed = replace(made.benchmark(), errors=[])
    assert "parity was not measured" in results_page([timed])
    assert "NOTHING" not in results_page([timed]) + results_markdown(timed)
    only_skipped = Results("parity", made.provenance(), skipped=[Skipped("fhog onnx", "needs onnx")])
    assert "everything was skipped (1)" in results_page([only_skipped])
    assert "no pipeline was timed and no figure was compared" in results_page([Results("parity", made.provenance())])


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
    for words in (
        "Variants by stage",
        "Whole pipelines by workload",
        "Bland-Altman",
        "px",
        "ms a frame",
        "times reference",
    ):
        assert words in page.text, words
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


@pytest.mark.parametrize("span", [2.0, np.nextafter(2000.0, 0), np.nextafter(2.0, 0), 1e-6, 1e15])
def test_a_time_axis_has_two_steps_at_least(span):
    assert span / _round_step(span) >= 2 * (1 - 1e-9)
