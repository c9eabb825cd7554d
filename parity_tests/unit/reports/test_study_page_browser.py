"""The page of a study of a thousand clips in a browser: filters, order, groups and files follow each other."""

from __future__ import annotations

import csv
import io
import statistics
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from auparity.parity_tests.unit.helpers.chromium import chromium, opened
from auparity.reports.action_units import ACTION_UNITS, WITH_INTENSITY
from auparity.reports.clips.measures import AUMeasures, Measures
from auparity.reports.study.page import write_study_page
from auparity.reports.study.records import FaceRow, Failed, Study

CLIPS, FRAMES = 1000, 300
CONDITIONS = ("frown", "rest", "smile", "talk")
#: Clips that are made to stand out: AU12 of one, the share of frames of another.
LAUGHING, LOST = "sub-100/rest", "sub-200/talk"
SVG = "{http://www.w3.org/2000/svg}"


def made_up_study(clips: int = CLIPS) -> Study:
    """A study of made-up figures: people in four conditions, of which "smile" has the strongest AU12."""
    rng, study = np.random.default_rng(11), Study("laughter", within="condition")
    for number in range(clips):
        subject, condition = number // 4, CONDITIONS[number % 4]
        name = f"sub-{subject:03d}/{condition}"
        aus = {}
        for unit in ACTION_UNITS:
            mean = float(rng.gamma(4, 0.1)) + (1.5 if (unit, condition) == ("AU12", "smile") else 0)
            mean = 4.6 if (name, unit) == (LAUGHING, "AU12") else mean
            known = unit in WITH_INTENSITY
            aus[unit] = AUMeasures(mean if known else None, min(2 * mean, 5.0) if known else None, float(rng.random()))
        tracked = 12 if name == LOST else FRAMES - int(rng.integers(0, 6))
        figures = Measures(FRAMES, tracked, float(rng.normal(0.95, 0.01)), aus)
        warnings = ["the video ends before its time"] if number % 50 == 7 else []
        study.rows.append(
            FaceRow(
                clip=name, person=None, kind="clip", labels={"subject": f"P{subject:03d}", "condition": condition},
                status="incomplete" if number % 200 == 3 else "done", frames=FRAMES, seconds=10.0, figures=figures,
                warnings=warnings,
            )
        )  # fmt: skip
    study.failures = [Failed(f"/videos/bad{k}.mp4", "failed", "no frame can be decoded", "2026") for k in range(3)]
    study.notes = ["The clips were measured with different settings (fps)."]
    return study


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    page, made = tmp_path_factory.mktemp("study") / "study.html", made_up_study()
    write_study_page(made, page, commands=["auparity report laughter"])
    return page, made


def names(page, table="clips"):
    """The first column of what a table shows."""
    return page.locator(f"#{table} tbody th").all_inner_texts()


def heading(page, key, table="clips"):
    return page.locator(f'#{table} thead th[data-key="{key}"]')


def saved(page, button):
    with page.expect_download() as waiting:
        page.locator(f"#{button}").click()
    rows = list(csv.DictReader(io.StringIO(Path(waiting.value.path()).read_text())))
    return waiting.value.suggested_filename, rows


def test_the_page_is_small_and_begins_with_what_to_look_at(browser, study):
    page_file, _ = study
    assert page_file.stat().st_size < 5_000_000
    with opened(browser, page_file, policy=True) as page:
        assert "3 inputs failed" in page.locator(".verdict").inner_text()
        standing = page.locator(".standing tbody tr").all_inner_texts()
        assert {standing[0].split("\t")[0], standing[1].split("\t")[0]} == {LAUGHING, LOST}
        assert any("AU12 mean 4.60" in text for text in standing)
        assert any("frames with the face 4" in text for text in standing)
        assert page.locator(".failures").first.locator("tbody tr").count() == 3
        assert "different settings" in page.locator(".warnings").inner_text()
        # In the table, too, what stands out comes first.
        assert set(names(page)[:2]) == {LAUGHING, LOST}
        assert heading(page, "distance").get_attribute("aria-sort") == "descending"
        assert page.locator("#count").inner_text() == "1,000 of 1,000 clips"
        assert page.locator("#clips .pages").inner_text().split() == ["Back", "1", "to", "100", "of", "1,000", "On"]


def test_a_heading_sorts_and_sorts_the_other_way(browser, study):
    page_file, made = study
    with opened(browser, page_file) as page:
        page.locator("#columns").select_option("mean")
        button = heading(page, "AU12").get_by_role("button")
        button.click()
        strongest = sorted(made.rows, key=lambda row: -row.figures.aus["AU12"].mean)
        assert names(page)[:5] == [row.clip for row in strongest[:5]]
        assert heading(page, "AU12").get_attribute("aria-sort") == "descending"
        button.press("Enter")  # the focus has stayed on it
        assert names(page)[:5] == [row.clip for row in strongest[:-6:-1]]
        assert heading(page, "AU12").get_attribute("aria-sort") == "ascending"
        heading(page, "clip").get_by_role("button").click()
        assert names(page)[:2] == ["sub-000/frown", "sub-000/rest"]
        page.get_by_role("button", name="On: All clips").click()
        assert names(page)[0] == "sub-025/frown"
        assert len(names(page)) == 100


def test_filters_reach_table_charts_and_groups(browser, study):
    page_file, _ = study
    with opened(browser, page_file) as page:
        page.locator('select[data-label="condition"]').select_option("smile")
        assert page.locator("#count").inner_text() == "250 of 1,000 clips"
        assert all(name.endswith("/smile") for name in names(page))
        assert names(page, "groups") == ["smile"]
        assert (
            page.locator("#quality .plot")
            .first.get_attribute("aria-label")
            .startswith("Share of frames with the face: 250 values")
        )
        page.locator("#find").fill("SUB-10 p100")
        page.wait_for_selector("#count:has-text('1 of 1,000 clips')")
        assert names(page) == ["sub-100/smile"]
        page.locator("#find").fill("nothing like this")
        page.wait_for_selector("#count:has-text('0 of 1,000 clips')")
        assert names(page) == []
        page.locator("#show-all").click()
        assert page.locator("#count").inner_text() == "1,000 of 1,000 clips"
        page.locator("#only").select_option("warnings")
        assert page.locator("#count").inner_text() == "20 of 1,000 clips"
        page.locator("#only").select_option("unfinished")
        assert page.locator("#count").inner_text() == "5 of 1,000 clips"


def test_groups_are_means_over_their_clips(browser, study):
    page_file, made = study
    with opened(browser, page_file) as page:
        assert page.locator("#group").input_value() == "condition"  # of subjects there are too many for a chart
        assert names(page, "groups") == list(CONDITIONS)
        name, rows = saved(page, "save-groups")
        assert name == "laughter-groups-mean.csv"
        for row in rows:
            means = [
                each.figures.aus["AU12"].mean for each in made.rows if each.labels["condition"] == row["condition"]
            ]
            # Values on the page have three decimals.
            assert float(row["AU12"]) == pytest.approx(statistics.fmean(means), abs=6e-4)
            assert int(row["faces"]) == 250
        told = page.locator("#strips .plot").get_attribute("aria-label")
        assert told.startswith("AU12, mean intensity, mean of each group: frown 0.4")
        page.locator("#group-two").select_option("subject")
        page.locator("#measure").select_option("present")
        _, rows = saved(page, "save-groups")
        assert len(rows) == CLIPS
        assert (rows[0]["condition"], rows[0]["subject"], rows[0]["faces"]) == ("frown", "P000", "1")
        assert float(rows[0]["AU28"]) == pytest.approx(made.rows[0].figures.aus["AU28"].present, abs=6e-4)


def test_what_is_shown_is_saved_in_its_order(browser, study):
    page_file, made = study
    with opened(browser, page_file) as page:
        page.locator('select[data-label="condition"]').select_option("rest")
        page.locator("#columns").select_option("largest")
        heading(page, "AU04").get_by_role("button").click()
        name, rows = saved(page, "save-clips")
        assert name == "laughter-largest.csv"
        rest = [row for row in made.rows if row.labels["condition"] == "rest"]
        assert len(rows) == len(rest)
        values = [float(row["AU04"]) for row in rows]
        assert values == sorted(values, reverse=True)
        of = {row.clip: row for row in rest}
        assert all(float(row["AU01"]) == pytest.approx(of[row["clip"]].figures.aus["AU01"].largest, abs=6e-4)
                   for row in rows)  # fmt: skip
        assert list(rows[0])[:3] == ["clip", "subject", "condition"]
        page.locator("#columns").select_option("quality")
        _, rows = saved(page, "save-clips")
        assert {row["status"] for row in rows} == {"done"}
        assert float(rows[0]["share"]) <= 1


def chart_file(page, place, kind):
    """The name and the bytes of a chart that is saved as a file."""
    figure = page.locator(f"#{place} figure").first
    figure.locator("summary").click()
    with page.expect_download() as waiting:
        figure.get_by_role("button", name=kind, exact=True).click()
    return waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes()


def test_charts_are_saved_as_drawings_pictures_and_tables(browser, study):
    page_file, made = study
    with opened(browser, page_file, policy=True, color_scheme="dark") as page:
        name, data = chart_file(page, "strips", "SVG")
        assert name == "laughter-AU12-mean-intensity.svg"
        drawing = ElementTree.fromstring(data)
        texts = [each.text for each in drawing.iter(f"{SVG}text")]
        assert {"condition", "AU12, mean intensity", *CONDITIONS} <= set(texts)
        fills = [each for each in drawing.iter(f"{SVG}path") if each.get("fill") == "#0b7d74"]
        assert [each.get("fill-opacity") for each in fills] == ["0.5"]  # all dots are one path
        assert fills[0].get("d").count("A") == 2 * CLIPS
        lines = [each for each in drawing.iter(f"{SVG}path") if each.get("stroke") == "#b4490f"]
        assert len(lines) == len(CONDITIONS)
        smile = lines[CONDITIONS.index("smile")].get("d")  # M x y L x y; down is positive
        assert min(lines, key=lambda each: float(each.get("d").split("L")[1].split()[1])).get("d") == smile

        name, data = chart_file(page, "strips", "CSV")
        rows = list(csv.DictReader(io.StringIO(data.decode())))
        assert (name, len(rows)) == ("laughter-AU12-mean-intensity.csv", CLIPS)
        of = {row.clip: row for row in made.rows}
        assert all(row["condition"] == of[row["clip"]].labels["condition"] for row in rows)
        assert all(float(row["AU12"]) == pytest.approx(of[row["clip"]].figures.aus["AU12"].mean, abs=6e-4)
                   for row in rows)  # fmt: skip

        name, data = chart_file(page, "quality", "PNG")
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert name == "laughter-Share-of-frames-with-the-face.png"
        assert picture.shape == (600, 1800, 3)
        assert picture[0, 0].tolist() == [255, 255, 255]  # white, also where the page is dark
        assert (picture == (116, 125, 11)).all(axis=2).mean() > 0.01  # the bars, in blue, green, red
        _, data = chart_file(page, "quality", "CSV")
        bins = list(csv.DictReader(io.StringIO(data.decode())))
        assert (len(bins), sum(int(each["clips"]) for each in bins)) == (25, CLIPS)
        low = next(each for each in bins if float(each["from"]) <= 12 / FRAMES < float(each["to"]))
        assert low["clips"] == "1"

        # What the filters let through is what is saved.
        page.locator("#find").fill("sub-10 smile")
        page.locator("#find").press("Enter")
        page.locator("#count", has_text="10 of 1,000 clips").wait_for()
        _, data = chart_file(page, "strips", "CSV")
        assert len(list(csv.DictReader(io.StringIO(data.decode())))) == 10


def test_the_menu_of_files_closes_by_escape_and_by_a_click_elsewhere(browser, study):
    with opened(browser, study[0]) as page:
        menu = page.locator("#quality details.save").first
        for close in (lambda: page.keyboard.press("Escape"), lambda: page.locator("h1").click()):
            menu.locator("summary").click()
            assert menu.get_attribute("open") is not None
            close()
            assert menu.get_attribute("open") is None


def test_a_study_without_action_units_or_labels_has_a_page(browser, tmp_path):
    rows = [FaceRow(f"c{k}", None, "clip", {}, "done", 10, None, Measures(10, 10 - k, 0.5, {})) for k in range(3)]
    group = [FaceRow("g", k, "clip", {}, "done", 10, 1.0, Measures(5, 5, 0.9, {"AU12": AUMeasures(1, 2, 0.5)}))
             for k in (0, 2)]  # fmt: skip
    for name, study in (("plain", Study("plain", rows)), ("people", Study("people", [*rows, *group]))):
        write_study_page(study, tmp_path / f"{name}.html")
        with opened(browser, tmp_path / f"{name}.html") as page:
            assert "fewer than 8 clips" in page.locator("main").inner_text()
            assert page.locator("#groups-section").is_visible() == (name == "people")
            assert page.locator("#count").inner_text() == (
                "3 of 3 clips" if name == "plain" else "4 of 4 clips, 5 faces"
            )
    write_study_page(Study("failed", failures=[Failed("/x.mp4", "failed", "broken")]), tmp_path / "failed.html")
    assert "1 input failed" in (tmp_path / "failed.html").read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_everybody_can_use_the_page(browser, study, width, scheme):
    """By the rules of axe-core, which include contrast, names, roles and keyboard access; nothing is wider than the
    screen."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    with opened(browser, study[0], width, color_scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.locator("#columns").select_option("mean")
        found = axe.Axe().run(page).response["violations"]
        serious = [each for each in found if each["impact"] in ("serious", "critical")]
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in serious] == []
