"""The page of results in a browser: nothing is cut off, words and cells explain themselves, everybody can use it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from auparity.parity_tests.unit.helpers import synthetic_results as made
from auparity.parity_tests.unit.helpers.chromium import chromium, opened
from auparity.reports.results.page import write_results_page
from auparity.reports.results.records import Results

READY = "main#results"
MANY = [made.error(stage, f"technology-{k}", 1e-7, 2e-7) for k in range(14) for stage in ("fhog", "geometry")]
DRIFTED = replace(made.FAILING, error=1.9e-5, problem="DRIFTED, 3.1 times")
RUNS = {
    "passed": [made.parity(), made.benchmark()],
    "failed": [made.parity(made.FAILING, DRIFTED), made.benchmark()],
    "many": [made.parity(*MANY)],
    "nothing": [Results("parity", made.provenance())],
}


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A page of each kind."""
    folder = tmp_path_factory.mktemp("pages")
    for name, results in RUNS.items():
        write_results_page(results, [made.parity(day=1), made.benchmark(day=2)], folder / f"{name}.html")
    return folder


def unfolded(page):
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("kind", RUNS)
def test_nothing_is_cut_off(browser, pages, kind, width):
    """Neither the page nor a table scrolls sideways, folded or unfolded, and every cell ends on the screen."""
    with opened(browser, pages / f"{kind}.html", width, ready=READY) as page:
        for _ in range(2):
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            wider = "[...document.querySelectorAll('.scroll')].filter((each) => each.scrollWidth > each.clientWidth)"
            assert page.evaluate(f"{wider}.map((each) => each.ariaLabel)") == []
            ends = page.locator("tbody :is(td, th, button)").evaluate_all(
                "(all) => all.map((each) => each.getBoundingClientRect().right)"
            )
            assert max(ends, default=0) <= width
            unfolded(page)


@pytest.mark.parametrize("width", [1280, 390])
def test_a_cell_says_which_figure_it_stands_for(browser, pages, width):
    with opened(browser, pages / "failed.html", width, ready=READY) as page:
        cell = page.locator("table.matrix button.failed")
        assert cell.inner_text().replace("\N{NO-BREAK SPACE}", " ").endswith("160 % failed")
        about = page.locator(f"[id='{cell.get_attribute('popovertarget')}']")
        assert not about.is_visible()
        cell.focus()
        page.keyboard.press("Enter")
        assert about.is_visible()
        assert "out of tolerance" in about.inner_text()
        box = about.bounding_box()
        assert 0 <= box["x"] <= box["x"] + box["width"] <= width
        page.keyboard.press("Escape")
        assert not about.is_visible()


def test_a_word_is_explained_by_keyboard_alone(browser, pages):
    with opened(browser, pages / "passed.html", ready=READY) as page:
        for _ in range(10):  # after the link that skips to the results
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.className") == "term":
                break
        page.keyboard.press("Enter")
        shown = page.locator("[popover]:popover-open")
        assert shown.locator("h3").inner_text() == "Reference"
        assert "decides what every variant must compute" in shown.inner_text()
        page.keyboard.press("Escape")
        assert shown.count() == 0


def test_rows_become_cards_on_a_telephone(browser, pages):
    with opened(browser, pages / "passed.html", 390, ready=READY) as page:
        cell = page.locator("#compared td").first
        assert cell.evaluate("(each) => getComputedStyle(each, '::before').content").startswith('"of what"')
        assert page.locator("#compared [role=rowheader]").first.inner_text().startswith("Stage by stage")


def test_paper_gets_tables_and_colours_and_no_links(browser, pages):
    with opened(browser, pages / "failed.html", ready=READY) as page:
        page.emulate_media(media="print")
        assert not page.locator("nav").is_visible()
        assert page.locator("#compared thead").is_visible()
        assert page.locator(".verdict").evaluate("(each) => getComputedStyle(each).printColorAdjust") == "exact"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("kind", ["passed", "failed", "many"])
def test_everybody_can_use_the_page(browser, pages, kind, width, scheme):
    """By the rules of axe-core, which include contrast, names, roles and keyboard access; all folds are open."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    with opened(browser, pages / f"{kind}.html", width, ready=READY, color_scheme=scheme) as page:
        unfolded(page)
        found = axe.Axe().run(page).response["violations"]
        serious = [each for each in found if each["impact"] in ("serious", "critical")]
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in serious] == []
