"""The page in a real browser, with a rendered clip as the camera, measured by the embedded models."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import pytest

from auparity.models.synthetic.clips import render_clip
from auparity.models.synthetic.groups import make_group, render_group, still_scene
from auparity.parity_tests.unit.helpers.chromium import OWN, chromium, opened, wait_until
from auparity.parity_tests.unit.helpers.documentation import ROOT
from auparity.reports.clips.table import read_result_table
from auparity.tables.columns import COLUMNS

for name in ("starlette", "uvicorn", "websockets"):
    pytest.importorskip(name, reason=f"the extra live is not installed: {name}")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent as POSIX sends it")

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/[\w-]{32}/")


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def face(tmp_path_factory):
    return written(
        tmp_path_factory.mktemp("face") / "face.mp4", [picture.image for picture in render_clip(3_440_000, 12)]
    )


def written(path, frames):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, frames[0].shape[1::-1])
    assert writer.isOpened()
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    """Three people beside each other."""
    pictures = [picture.image for picture in render_group(make_group(still_scene(3, 8, (640, 360)), 3_480_000))]
    return written(tmp_path_factory.mktemp("group") / "group.mp4", pictures)


@contextmanager
def running(*words: str | Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The program and the address that it prints; it is killed at the end."""
    paths = os.pathsep.join(filter(None, [str(ROOT / "dev"), os.environ.get("PYTHONPATH", "")]))
    program = subprocess.Popen(
        [sys.executable, "-m", "auparity", "live", *map(str, words), "--models", "embedded", "--quiet"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
    )
    try:
        assert program.stdout is not None
        address = ADDRESS.search(program.stdout.readline())
        assert address is not None
        yield program, address[0]
    finally:
        program.kill()
        program.wait()


@contextmanager
def live_page(browser: Any, address: str) -> Iterator[Any]:
    """The page under its own policy."""
    with opened(browser, address, policy=True, ready="#picture", own=(*OWN, address)) as page:
        yield page


def landmarks(page: Any, number: int) -> None:
    """Wait until the picture has so many landmarks."""
    page.locator(f'#picture[data-landmarks="{number}"]').wait_for()


def message(page: Any, pattern: str) -> None:
    """Wait until the page says something that matches."""
    wait_until(page, f"/{pattern}/.test(document.getElementById('message').textContent)")


def fits_a_telephone(page: Any, address: str, number: int) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(address)
    landmarks(page, number)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390


def test_the_page_shows_landmarks_and_action_units_and_records(browser, face, tmp_path):
    with running(face, "--loop", "-o", tmp_path / "out") as (program, address), live_page(browser, address) as page:
        landmarks(page, 68)
        wait_until(page, "[...document.querySelectorAll('.track i')].some((bar) => parseFloat(bar.style.width) > 1)")
        assert page.locator(".unit").count() == 18
        page.locator("#record").click()
        message(page, r"^Recording: ([3-9]|\d\d)")
        page.locator("#record").click()
        message(page, "frames recorded")
        fits_a_telephone(page, address, 68)
        if shots := os.environ.get("AUPARITY_SCREENSHOTS"):
            take_screenshots(page, address, Path(shots))
        program.send_signal(signal.SIGINT)
        assert program.wait(30) == 0
        message(page, "^Stopped")
    (table,) = (tmp_path / "out").glob("*.csv")
    assert len(read_result_table(table)) >= 3
    assert table.read_text(encoding="ascii").splitlines()[0] == ",".join(column.name for column in COLUMNS["clip"])


def chosen(page: Any) -> list[str]:
    """The names of the faces whose buttons are pressed."""
    return page.locator('#faces button[aria-pressed="true"]').all_inner_texts()


def test_a_face_of_several_is_chosen_by_button_or_by_clicking_it(browser, group, tmp_path):
    words = (group, "--loop", "--faces", "all", "-o", tmp_path / "out")
    with running(*words) as (program, address), live_page(browser, address) as page:
        landmarks(page, 204)
        buttons = page.locator("#faces button")
        wait_until(page, "document.querySelectorAll('#faces button').length === 3")
        assert page.locator("#there").inner_text() == "3"
        assert buttons.all_inner_texts() == ["Face 0", "Face 1", "Face 2"]
        assert chosen(page) == ["Face 0"]
        buttons.nth(1).click()
        assert chosen(page) == ["Face 1"]
        confidences = "frame.faces.map((face) => face.confidence.toFixed(2))[1]"
        wait_until(page, f"document.getElementById('confidence').textContent === {confidences}")
        wait_until(
            page,
            "(() => { const unit = units.find((unit) => unit.bar), face = frame.faces[1];"
            "return unit.value.textContent === Math.min(5, Math.max(0, face.intensity[unit.intensity])).toFixed(1);"
            "})()",
        )
        for slot in (2, 0):
            x, y = page.evaluate(
                f"() => {{ const box = boxOf(frame.faces[{slot}]), at = picture.getBoundingClientRect();"
                "const scale = picture.clientWidth / frame.width / 2;"
                "return [at.left + (box[0] + box[2]) * scale, at.top + (box[1] + box[3]) * scale]; }"
            )
            page.mouse.click(x, y)
            assert chosen(page) == [f"Face {slot}"]
        page.locator("#record").click()
        message(page, r"^Recording: ([2-9]|\d\d)")
        page.locator("#record").click()
        message(page, "frames recorded")
        fits_a_telephone(page, address, 204)
        if shots := os.environ.get("AUPARITY_SCREENSHOTS"):
            take_screenshots(page, address, Path(shots), "live-group", 204)
        program.send_signal(signal.SIGINT)
        assert program.wait(30) == 0
    (table,) = (tmp_path / "out").glob("*.csv")
    assert table.read_text(encoding="ascii").splitlines()[0].split(",") == [column.name for column in COLUMNS["faces"]]
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["face_id"] for row in rows} == {"0", "1", "2"}
    # A slot that loses its face for a frame has no person there.
    assert {row["person_id"] for row in rows if row["success"] == "1"} == {"0", "1", "2"}


def test_the_end_of_a_file_is_told_and_ends_the_program(browser, face):
    with running(face) as (program, address), live_page(browser, address) as page:
        message(page, "has ended")
        assert program.wait(30) == 0


def take_screenshots(page: Any, address: str, folder: Path, name: str = "live", number: int = 68) -> None:
    """Pictures of the page, for people who change it."""
    for width, height in ((1280, 900), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        page.goto(address)
        landmarks(page, number)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=folder / f"{name}-{width}-{scheme}.png", full_page=True)
