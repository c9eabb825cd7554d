"""The page in a real browser, with a rendered clip as the camera, measured by the embedded models."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from auparity.extraction.tables import COLUMNS
from auparity.models.synthetic.clips import render_clip
from auparity.models.synthetic.groups import make_group, render_group, still_scene
from auparity.parity_tests.unit.helpers.browser import CHROMIUM, Browser
from auparity.parity_tests.unit.helpers.documentation import ROOT
from auparity.reports.clips.table import read_result_table

for name in ("starlette", "uvicorn", "websockets"):
    pytest.importorskip(name, reason=f"the extra live is not installed: {name}")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
    pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent as POSIX sends it"),
]

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/[\w-]{32}/")


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


def start(*words: str | Path) -> tuple[subprocess.Popen[str], str]:
    """The program and the address that it prints."""
    paths = os.pathsep.join(filter(None, [str(ROOT / "dev"), os.environ.get("PYTHONPATH", "")]))
    program = subprocess.Popen(
        [sys.executable, "-m", "auparity", "live", *map(str, words), "--models", "embedded", "--quiet"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
    )
    assert program.stdout is not None
    address = ADDRESS.search(program.stdout.readline())
    assert address is not None
    return program, address[0]


def test_the_page_shows_landmarks_and_action_units_and_records(face, tmp_path):
    program, address = start(face, "--loop", "-o", tmp_path / "out")
    try:
        with Browser(tmp_path / "browser") as browser:
            browser.open(address, 1280, 900)
            browser.wait_for("document.getElementById('picture').dataset.landmarks === '68'")
            browser.wait_for(
                "[...document.querySelectorAll('.track i')].some((bar) => parseFloat(bar.style.width) > 1)"
            )
            assert browser.evaluate("document.querySelectorAll('.unit').length") == 18
            browser.evaluate("document.getElementById('record').click()")
            browser.wait_for("/^Recording: ([3-9]|\\d\\d)/.test(document.getElementById('message').textContent)")
            browser.evaluate("document.getElementById('record').click()")
            browser.wait_for("/frames recorded/.test(document.getElementById('message').textContent)")
            browser.open(address, 390, 844)
            browser.wait_for("document.getElementById('picture').dataset.landmarks === '68'")
            assert browser.evaluate("document.documentElement.scrollWidth") <= 390
            if shots := os.environ.get("AUPARITY_SCREENSHOTS"):
                take_screenshots(browser, address, Path(shots))
            program.send_signal(signal.SIGINT)
            assert program.wait(30) == 0
            browser.wait_for("/^Stopped/.test(document.getElementById('message').textContent)")
            assert browser.complaints == []
    finally:
        program.kill()
        program.wait()
    (table,) = (tmp_path / "out").glob("*.csv")
    assert len(read_result_table(table)) >= 3
    assert table.read_text(encoding="ascii").splitlines()[0] == ",".join(column.name for column in COLUMNS["clip"])


CHIPS = "[...document.querySelectorAll('#faces button')]"
CHOSEN = f"{CHIPS}.filter((chip) => chip.ariaPressed === 'true').map((chip) => chip.textContent).join()"


def test_a_face_of_several_is_chosen_by_button_or_by_clicking_it(group, tmp_path):
    program, address = start(group, "--loop", "--faces", "all", "-o", tmp_path / "out")
    try:
        with Browser(tmp_path / "browser") as browser:
            browser.open(address, 1280, 900)
            browser.wait_for(f"document.getElementById('picture').dataset.landmarks === '204' && {CHIPS}.length === 3")
            assert browser.evaluate("document.getElementById('there').textContent") == "3"
            assert browser.evaluate(f"{CHIPS}.map((chip) => chip.textContent).join()") == "Face 0,Face 1,Face 2"
            assert browser.evaluate(CHOSEN) == "Face 0"
            confidences = "frame.faces.map((face) => face.confidence.toFixed(2))[1]"
            browser.evaluate(f"{CHIPS}[1].click()")
            assert browser.evaluate(CHOSEN) == "Face 1"
            browser.wait_for(f"document.getElementById('confidence').textContent === {confidences}")
            browser.wait_for(
                "(() => { const unit = units.find((unit) => unit.bar), face = frame.faces[1];"
                "return unit.value.textContent === Math.min(5, Math.max(0, face.intensity[unit.intensity])).toFixed(1);"
                "})()"
            )
            for slot in (2, 0):
                place = f"boxOf(frame.faces[{slot}])"
                x, y = (
                    browser.evaluate(
                        f"(() => {{ const box = {place}, at = picture.getBoundingClientRect();"
                        f"return at.{edge} + (box[{k}] + box[{k + 2}]) / 2 * picture.clientWidth / frame.width; }})()"
                    )
                    for k, edge in enumerate(("left", "top"))
                )
                for kind in ("mousePressed", "mouseReleased"):
                    browser.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
                assert browser.evaluate(CHOSEN) == f"Face {slot}"
            browser.evaluate("document.getElementById('record').click()")
            browser.wait_for("/^Recording: ([2-9]|\\d\\d)/.test(document.getElementById('message').textContent)")
            browser.evaluate("document.getElementById('record').click()")
            browser.wait_for("/frames recorded/.test(document.getElementById('message').textContent)")
            browser.open(address, 390, 844)
            browser.wait_for("document.getElementById('picture').dataset.landmarks === '204'")
            assert browser.evaluate("document.documentElement.scrollWidth") <= 390
            if shots := os.environ.get("AUPARITY_SCREENSHOTS"):
                take_screenshots(browser, address, Path(shots), "live-group", 204)
            program.send_signal(signal.SIGINT)
            assert program.wait(30) == 0
            assert browser.complaints == []
    finally:
        program.kill()
        program.wait()
    (table,) = (tmp_path / "out").glob("*.csv")
    assert table.read_text(encoding="ascii").splitlines()[0].split(",") == [column.name for column in COLUMNS["faces"]]
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["face_id"] for row in rows} == {row["person_id"] for row in rows} == {"0", "1", "2"}


def test_the_end_of_a_file_is_told_and_ends_the_program(face, tmp_path):
    program, address = start(face)
    try:
        with Browser(tmp_path / "browser") as browser:
            browser.open(address, 1280, 900)
            browser.wait_for("/has ended/.test(document.getElementById('message').textContent)")
            assert program.wait(30) == 0
            assert browser.complaints == []
    finally:
        program.kill()
        program.wait()


def take_screenshots(browser: Browser, address: str, folder: Path, name: str = "live", landmarks: int = 68) -> None:
    """Pictures of the page, for people who change it."""
    for width, height in ((1280, 900), (390, 844)):
        browser.open(address, width, height)
        browser.wait_for(f"document.getElementById('picture').dataset.landmarks === '{landmarks}'")
        for dark in (False, True):
            browser.screenshot(folder / f"{name}-{width}-{'dark' if dark else 'light'}.png", dark=dark)
