"""The page of a clip in a browser: charts, video, overlay and face follow one playhead, and charts become files."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from auparity.parity_tests.unit.helpers.chromium import chromium, opened
from auparity.parity_tests.unit.helpers.people import pictures as group_pictures
from auparity.parity_tests.unit.helpers.people import write_people
from auparity.parity_tests.unit.helpers.rendered_truth import (
    SIZE,
    pictures,
    write_clip_truth,
    write_results,
    write_small_video,
)
from auparity.reports.clips.page import write_page, write_people_page
from auparity.reports.clips.photograph_page import write_photograph_page
from auparity.reports.clips.table import ResultTable, read_result_table

FRAMES, FPS = 60, 30
HOUR = 108_000


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A clip of two seconds with its truth, in which AU12 rises and frame 20 has no face."""
    folder = tmp_path_factory.mktemp("clip")
    table = read_result_table(write_results(folder / "clip.csv", shift=0.4, lost=20, frames=FRAMES))
    truth = write_clip_truth(folder / "truth", FRAMES)
    video = write_small_video(pictures(FRAMES), folder / "clip.webm")
    write_page(table, folder / "clip.html", fps=FPS, truth=truth, video=video)
    return folder / "clip.html", table


@pytest.fixture(scope="module")
def hour(tmp_path_factory):
    """An hour of made-up measurements, in which AU12 has one peak, of a single frame, and the face is lost once."""
    frames, rng = np.arange(HOUR), np.random.default_rng(7)
    columns = {"frame": frames + 1.0, "timestamp": frames / FPS, "confidence": np.full(HOUR, 0.98)}
    columns["success"] = np.where((frames > 50_000) & (frames < 50_400), 0.0, 1.0)
    for name in ("AU01", "AU12", "AU25"):
        columns[f"{name}_r"] = np.round(np.clip(rng.normal(size=HOUR) * 0.2 + 0.3, 0, 1), 2)
        columns[f"{name}_c"] = (columns[f"{name}_r"] > 0.4) * 1.0
    columns["AU12_r"][70_000] = 4.75
    for name in ("pose_Rx", "pose_Ry", "pose_Rz", "gaze_angle_x", "gaze_angle_y"):
        columns[name] = np.round(np.sin(frames / 300) * 0.2, 3)
    places = rng.uniform(40, 120, size=(136, 1)) + np.cumsum(rng.normal(size=HOUR) * 0.05)
    columns |= {f"{axis}_{k}": places[68 * (axis == "y") + k] for axis in "xy" for k in range(68)}
    table = ResultTable(Path("hour.csv"), photograph=False, columns=columns)
    page = tmp_path_factory.mktemp("hour") / "hour.html"
    write_page(table, page, fps=FPS)
    return page, table


def chart(page, name):
    return page.locator(f'figure[data-chart="{name}"]')


def now(page, name):
    """What the heading of a chart says the value is."""
    return chart(page, name).locator(".now").inner_text()


def time_of(page):
    return float(page.locator("#time").inner_text().removesuffix(" s"))


def point(page, name, share):
    """A place in a chart, by its share of the width."""
    over = chart(page, name).locator(".u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    return box["x"] + share * box["width"], box["y"] + box["height"] / 2


def seek(page, place):
    page.locator("#seek").evaluate(f"(bar) => {{ bar.value = {place}; bar.dispatchEvent(new Event('input')); }}")


def saved(page, name, kind):
    """The bytes of a chart that is saved as a file."""
    chart(page, name).locator("summary").click()
    with page.expect_download() as waiting:
        chart(page, name).get_by_role("button", name=kind, exact=True).click()
    assert waiting.value.suggested_filename.endswith(f"-{name}.{kind.lower()}")
    return Path(waiting.value.path()).read_bytes()


def test_hovering_tells_the_values_of_all_charts_at_that_time(browser, clip):
    page_file, table = clip
    with opened(browser, page_file, policy=True) as page:
        page.mouse.move(*point(page, "AU12", 0.5))
        page.wait_for_selector("#hover:has-text('under the cursor')")
        seconds = float(page.locator("#hover").inner_text().split()[0])
        frame = round(seconds * FPS)
        assert abs(frame - (FRAMES - 1) / 2) <= 1
        assert now(page, "AU12") == f"{table.columns['AU12_r'][frame]:.2f}"
        assert now(page, "Confidence") == f"{table.columns['confidence'][frame]:.2f}"
        yaw = np.degrees(table.columns["pose_Ry"][frame])
        assert float(now(page, "Yaw").replace("−", "-")) == pytest.approx(yaw, abs=0.051)
        assert time_of(page) == 0  # hovering moves nothing
        told = page.locator(".plot").evaluate_all("(plots) => plots.map((plot) => plot.getAttribute('aria-label'))")
        assert len(told) == 1 + 18 + 3 + 2 + 1
        assert all(len(text) > 20 for text in told)
        page.mouse.move(5, 5)
        page.wait_for_selector("#hover:empty", state="attached")
        assert now(page, "AU12") == "0.00"


def test_a_click_moves_the_video_the_playhead_and_the_overlay(browser, clip):
    page_file, table = clip
    with opened(browser, page_file) as page:
        page.wait_for_function("document.getElementById('video').readyState >= 2")  # on a busy machine it takes a while
        page.mouse.click(*point(page, "AU12", 0.75))
        page.wait_for_function("document.getElementById('frame').textContent !== 'frame 1'")
        page.wait_for_function("!document.getElementById('video').seeking")
        frame = round(time_of(page) * FPS)
        assert abs(frame - 0.75 * (FRAMES - 1)) <= 1
        assert page.evaluate("document.getElementById('video').currentTime") == pytest.approx(frame / FPS, abs=0.02)
        assert page.locator("#frame").inner_text() == f"frame {frame + 1}"
        left = page.evaluate("new DOMMatrix(document.querySelector('#units .playhead').style.transform).e")
        width = chart(page, "AU12").locator(".u-over").bounding_box()["width"]
        assert left / width == pytest.approx(frame / (FRAMES - 1), abs=0.005)
        # The landmark at the corner of an eye is where the table has it.
        x, y = table.landmarks[frame, 36]
        colours = page.evaluate(
            "([x, y, width, height]) => { const canvas = document.getElementById('overlay');"
            "const at = [(x + .5) / width * canvas.width, (y + .5) / height * canvas.height].map(Math.round);"
            "return [...canvas.getContext('2d').getImageData(at[0] - 1, at[1] - 1, 3, 3).data]; }",
            [float(x), float(y), *SIZE],
        )
        assert max(colours[3::4]) > 200
        assert max(colours[1::4]) > 150
        # What the video shows at that time is the picture of that frame, whose gray is 90 + its number.
        gray = page.evaluate(
            "() => { const canvas = document.createElement('canvas'); canvas.width = canvas.height = 1;"
            "const pen = canvas.getContext('2d'); pen.drawImage(document.getElementById('video'), 0, 0, 1, 1);"
            "return pen.getImageData(0, 0, 1, 1).data[1]; }"
        )
        assert abs(gray - (90 + frame)) <= 4


def test_dragging_zooms_every_chart_and_a_double_click_goes_back(browser, clip):
    page_file, _ = clip
    with opened(browser, page_file) as page:
        page.mouse.move(*point(page, "AU12", 0.25))
        page.mouse.down()
        page.mouse.move(*point(page, "AU12", 0.4))
        page.mouse.move(*point(page, "AU12", 0.5))
        page.mouse.up()
        start, end = (float(text.split()[0]) for text in page.locator("#span").inner_text().split(" to "))
        assert (start, end) == (pytest.approx(0.25 * 59 / FPS, abs=0.02), pytest.approx(0.5 * 59 / FPS, abs=0.02))
        # Another chart has the same view: its left end is the same time.
        page.mouse.move(*point(page, "Yaw", 0.001))
        assert float(page.locator("#hover").inner_text().split()[0]) == pytest.approx(start, abs=0.034)
        assert page.locator("#whole").is_enabled()
        page.mouse.dblclick(*point(page, "Yaw", 0.5))
        assert page.locator("#span").inner_text() == ""
        assert page.locator("#whole").is_disabled()


def test_keys_play_step_and_zoom(browser, clip):
    page_file, _ = clip
    with opened(browser, page_file) as page:
        page.locator(".screen").focus()
        for key, frame in (
            ("ArrowRight", 2),
            ("ArrowRight", 3),
            ("ArrowLeft", 2),
            ("Shift+ArrowRight", 32),
            ("End", 60),
        ):
            page.keyboard.press(key)
            assert page.locator("#frame").inner_text() == f"frame {frame}"
        page.keyboard.press("Home")
        page.keyboard.press("+")
        assert page.locator("#span").inner_text() != ""
        page.keyboard.press("0")
        assert page.locator("#span").inner_text() == ""
        page.keyboard.press(" ")
        page.wait_for_function("document.getElementById('play').textContent === 'Pause'")
        page.wait_for_function("parseFloat(document.getElementById('time').textContent) > .2")
        page.keyboard.press(" ")
        page.wait_for_function("document.getElementById('play').textContent === 'Play'")
        page.wait_for_selector("#spoken:has-text('seconds.')", state="attached")


def test_the_peak_of_an_action_unit_is_played_from_a_second_before(browser, clip):
    page_file, table = clip
    peak = int(np.argmax(np.where(table.success, table.columns["AU12_r"], -1)))
    with opened(browser, page_file) as page:
        page.evaluate(
            "() => { document.getElementById('video').onseeking = ({target}) => { window.went = target.currentTime; } }"
        )
        chart(page, "AU12").get_by_role("button", name="Play the peak of AU12").click()
        page.wait_for_function("window.went !== undefined")
        assert page.evaluate("window.went") == pytest.approx(peak / FPS - 1, abs=0.05)
        page.wait_for_function("!document.getElementById('video').paused || document.getElementById('video').ended")


def test_a_video_stops_after_the_last_measured_frame(browser, tmp_path):
    table = read_result_table(write_results(tmp_path / "clip.csv", frames=12))
    video = write_small_video(15 * pictures(FRAMES), tmp_path / "clip.webm")  # 30 s, of which 0.4 s are measured
    write_page(table, tmp_path / "clip.html", fps=FPS, video=video)
    with opened(browser, tmp_path / "clip.html") as page:
        page.locator("#play").click()
        page.wait_for_function("document.getElementById('video').currentTime > .35")
        page.wait_for_function("document.getElementById('video').paused")
        assert page.evaluate("document.getElementById('video').ended") is False
        assert page.locator("#frame").inner_text() == "frame 12"


def test_a_large_video_is_played_from_beside_the_page(browser, tmp_path, monkeypatch):
    monkeypatch.setattr("auparity.reports.clips.page.LARGEST_EMBEDDED", 10)
    (tmp_path / "a #1").mkdir()
    table = read_result_table(write_results(tmp_path / "clip.csv"))
    write_page(
        table, tmp_path / "clip.html", fps=FPS, video=write_small_video(pictures(), tmp_path / "a #1" / "b%.webm")
    )
    with opened(browser, tmp_path / "clip.html", policy=True) as page:
        loaded = "new Promise((done) => { video.onloadeddata = () => done(true); video.onerror = () => done(false); })"
        assert page.evaluate(
            f"() => {{ const video = document.getElementById('video'); video.load(); return {loaded}; }}"
        )


def test_charts_become_files(browser, clip):
    page_file, table = clip
    with opened(browser, page_file, policy=True, accept_downloads=True) as page:
        rows = list(csv.DictReader(io.StringIO(saved(page, "AU12", "CSV").decode())))
        assert list(rows[0]) == ["frame", "seconds", "AU12", "AU12_present", "AU12_truth"]
        assert len(rows) == FRAMES
        assert rows[20]["AU12"] == ""  # no face
        for row, value, present in zip(rows, table.columns["AU12_r"], table.columns["AU12_c"], strict=True):
            assert row["AU12"] in (f"{value:.2f}", "")
            assert row["AU12_present"] in (f"{present:.0f}", "")
        drawing = ElementTree.fromstring(saved(page, "AU12", "SVG"))
        texts = [each.text for each in drawing.iter("{http://www.w3.org/2000/svg}text")]
        assert {"time, s", "AU12, intensity"} <= set(texts)
        strokes = [each.get("stroke") for each in drawing.iter("{http://www.w3.org/2000/svg}path")]
        assert {"#0b7d74", "#b01fc0"} <= set(strokes)  # measured and truth, in the colours of white paper
        picture = cv2.imdecode(np.frombuffer(saved(page, "Yaw", "PNG"), np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape == (600, 1800, 3)
        assert np.count_nonzero(np.abs(picture.astype(int) - (0x74, 0x7D, 0x0B)).max(axis=2) < 40) > 300


def test_charts_are_put_in_order_and_scaled(browser, clip):
    page_file, table = clip
    with opened(browser, page_file, accept_downloads=True) as page:
        names = "[...document.querySelectorAll('#units figure')].map((each) => each.dataset.chart)"
        assert page.evaluate(names) == sorted(page.evaluate(names))
        page.select_option("#sort", "activity")
        means = {name: values[table.success].mean() for name, values in table.aus("r").items()}
        assert page.evaluate(names)[0] == max(means, key=means.get) == "AU12"
        labels = re.compile(r">(\d+(?:\.\d+)?)</text>")
        shared = {float(text) for text in labels.findall(saved(page, "AU01", "SVG").decode())}
        page.select_option("#scale", "own")
        own = {float(text) for text in labels.findall(saved(page, "AU01", "SVG").decode())}
        assert max(shared) == 5
        assert max(own) == pytest.approx(table.columns["AU01_r"].max(), abs=0.5)


def test_the_face_is_warm_where_an_action_unit_is_strong(browser, clip):
    page_file, table = clip
    with opened(browser, page_file) as page:
        seek(page, 50)
        for name in ("AU12", "AU45"):
            share = page.locator(f'#face [data-au="{name}"]').first.evaluate(
                "(each) => each.style.getPropertyValue('--share')"
            )
            assert float(share) == pytest.approx(table.columns[f"{name}_r"][50] / 5, abs=0.002)
        seek(page, 20)  # no face
        assert (
            page.locator('#face [data-au="AU12"]').first.evaluate("(each) => each.style.getPropertyValue('--share')")
            == "0.000"
        )


def test_an_hour_is_drawn_with_its_peaks_and_can_be_searched(browser, hour):
    page_file, _ = hour
    assert page_file.stat().st_size < 5e6
    with opened(browser, page_file, accept_downloads=True) as page:
        # The peak of one frame is in the drawing of the whole hour ...
        drawing = saved(page, "AU12", "SVG").decode()
        lines = re.findall(r'<path d="([^"]*)" fill="none" stroke="#0b7d74"', drawing)
        heights = [float(y) for line in lines for y in re.findall(r"[ML][\d.-]+ ([\d.-]+)", line)]
        points = sum(len(re.findall("[ML]", line)) for line in lines)
        assert points < 4 * 900
        steps = sorted(heights)
        assert steps[1] - steps[0] > 3 * (steps[-1] - steps[1])  # 4.75 above, and all others below 1
        # ... and zooming in shows every frame.
        share = 70_000 / (HOUR - 1)
        page.mouse.move(*point(page, "AU12", share - 0.01))
        page.mouse.down()
        page.mouse.move(*point(page, "AU12", share))
        page.mouse.move(*point(page, "AU12", share + 0.01))
        page.mouse.up()
        for _ in range(6):
            page.locator("#closer").click()
        chart(page, "AU12").get_by_role("button", name="Play the peak of AU12").click()
        page.wait_for_function("document.getElementById('play').textContent === 'Pause'")
        page.locator("#play").click()
        assert 70_000 / FPS - 1.01 <= time_of(page) < 70_000 / FPS + 120
        seek(page, 70_000)
        assert now(page, "AU12") == "4.75"
        assert page.locator("#overlay").get_attribute("data-faces") == "1"
        rows = list(csv.DictReader(io.StringIO(saved(page, "AU12", "CSV").decode())))
        assert 0 < len(rows) < 2000
        seek(page, 50_200)
        assert now(page, "AU12") == "–"


def test_people_are_chosen_and_drawn_together(browser, tmp_path):
    visits = {0: [*range(10), *range(20, 30)], 3: range(40), 7: [14, 15]}
    table = read_result_table(write_people(tmp_path / "group.csv", visits))
    video = write_small_video(group_pictures(40), tmp_path / "group.webm")
    write_people_page(table, tmp_path / "group.html", fps=FPS, video=video)
    with opened(browser, tmp_path / "group.html", accept_downloads=True) as page:
        page.wait_for_selector("canvas.portrait:not([hidden]) >> nth=2")
        assert "Person 3" in chart(page, "AU12").locator(".plot").get_attribute("aria-label")
        seek(page, 14)
        assert page.locator("#overlay").get_attribute("data-faces") == "2"
        assert now(page, "AU12") == "3.00"
        page.locator("#choose-3").focus()
        page.keyboard.press("ArrowRight")  # to person 7
        assert now(page, "AU12") == "2.00"
        rows = list(csv.DictReader(io.StringIO(saved(page, "AU12", "CSV").decode())))
        assert [row["frame"] for row in rows if row["AU12 (Person 7)"]] == ["15", "16"]
        page.locator("#choose-all").check(force=True)
        assert now(page, "AU12").split() == ["–", "3.00", "2.00"]
        drawing = saved(page, "AU12", "SVG").decode()
        assert all(colour in drawing for colour in ("#0b7d74", "#9a6700", "#6d43d9"))


@pytest.fixture(scope="module")
def pages(clip, tmp_path_factory):
    """A page of each kind."""
    folder = tmp_path_factory.mktemp("pages")
    group = read_result_table(write_people(folder / "group.csv", {0: range(10), 3: range(4, 20)}))
    write_people_page(group, folder / "group.html", fps=FPS)
    table = read_result_table(write_results(folder / "image.csv", frames=1))
    faces = {
        "face": np.zeros(1),
        **{name: values for name, values in table.columns.items() if name not in ("frame", "success")},
    }
    image = ResultTable(folder / "image.csv", photograph=True, columns=faces)
    write_photograph_page(image, pictures(1)[0], folder / "image.html")
    return {"clip": clip[0], "people": folder / "group.html", "image": folder / "image.html"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("kind", ["clip", "people", "image"])
def test_everybody_can_use_the_pages(browser, pages, kind, width, scheme):
    """By the rules of axe-core, which include contrast, names, roles and keyboard access; nothing is wider than the
    screen."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    with opened(browser, pages[kind], width, color_scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        found = axe.Axe().run(page).response["violations"]
        serious = [each for each in found if each["impact"] in ("serious", "critical")]
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in serious] == []
