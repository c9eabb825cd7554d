"""From the first page to the end: end of file, a camera that is unplugged, errors, Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading

import pytest

from auparity import cli
from auparity.errors import VideoError
from auparity.extraction.types import ExtractionSettings
from auparity.live import run, server
from auparity.live.measure import Origin
from auparity.live.run import Live, run_live
from auparity.parity_tests.unit.helpers.documentation import ROOT
from auparity.parity_tests.unit.helpers.fake_pipeline import write_video
from auparity.parity_tests.unit.live.test_measure import Pipeline
from auparity.parity_tests.unit.live.test_source import Source
from auparity.reports.clips.table import read_result_table

ADDRESS = re.compile(r"http://(127\.0\.0\.1:\d+)(/[\w-]{32}/)")


def needs_live():
    for name in ("starlette", "uvicorn", "websockets"):
        pytest.importorskip(name, reason=f"the extra live is not installed: {name}")


def live(source, folder, pipeline=None):
    settings = ExtractionSettings(output_dir=folder)
    return Live(pipeline or Pipeline(), source, Origin("s", "face.mp4", "video"), settings)


def measured_to_its_end(view):
    view.opened()
    view.opened()  # a second page
    assert view.done.wait(60)
    return view.broadcast._newest


def test_nothing_is_read_before_a_page_opens(tmp_path):
    source = Source(2)
    view = live(source, tmp_path)
    view.close()
    assert source.closed
    view.opened()  # too late
    assert not view.done.is_set()


def test_the_end_of_a_file_is_told(tmp_path):
    view = live(Source(3), tmp_path)
    last = measured_to_its_end(view)
    assert (last.message, last.failed) == ("face.mp4 has ended.", False)
    assert view.error is None
    view.close()


def test_a_camera_that_is_unplugged_is_told_and_raised(tmp_path):
    error = VideoError("camera:0: gives no more frames; it was disconnected or taken by another program.")
    view = live(Source(2, live=True, error=error), tmp_path)
    last = measured_to_its_end(view)
    assert last.failed
    assert last.message == str(error)
    assert view.error is error
    view.close()


def test_an_internal_error_ends_everything(tmp_path):
    error = RuntimeError("broken")
    view = live(Source(3), tmp_path, Pipeline(fail_at=0, failure=error))
    last = measured_to_its_end(view)
    assert last.failed
    assert "please report" in last.message
    assert view.error is error
    view.close()


def test_a_recording_is_finished_before_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "PATIENCE", 0)  # which is for frames, not for recordings
    view = live(None, tmp_path)
    seen = threading.Event()
    publish = view.broadcast.publish

    def look(message):
        publish(message)
        if view._measurer.recording.frames >= 2:
            seen.set()

    view.broadcast.publish = look
    view._source = Source(100_000, live=True, between=lambda k: seen.wait(0.01))
    view.record()
    view.opened()
    assert seen.wait(60)
    view.close()
    (table,) = tmp_path.glob("*.csv")
    assert len(read_result_table(table)) >= 2
    assert not view.recording_failed


def test_the_program_ends_when_it_is_stopped_or_the_source_has_ended(tmp_path):
    needs_live()
    settings = ExtractionSettings(output_dir=tmp_path)
    options = {"port": 0, "open_page": False}
    lines = []
    assert run_live(live(Source(1), tmp_path), "s", settings, say=lines.append, stop=lambda: True, **options) == 0
    assert ADDRESS.search(lines[0])
    view = live(Source(1, live=True, error=VideoError("unplugged")), tmp_path)
    view.opened()
    with pytest.raises(VideoError, match="unplugged"):
        run_live(view, "s", settings, say=lines.append, stop=lambda: False, **options)


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent as POSIX sends it")
def test_ctrl_c_finishes_the_recording_and_ends_with_zero(tmp_path):
    needs_live()
    from websockets.sync.client import connect

    video = write_video(tmp_path / "noise.avi", 25)
    paths = os.pathsep.join(filter(None, [str(ROOT / "dev"), os.environ.get("PYTHONPATH", "")]))
    words = ["live", video, "--loop", "-o", tmp_path / "out", "--models", "embedded", "--variants", "reference"]
    program = subprocess.Popen(
        [sys.executable, "-m", "auparity", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
    )
    try:
        found = ADDRESS.search(program.stdout.readline())
        with connect(f"ws://{found[1]}{found[2]}socket", origin=f"http://{found[1]}") as page:
            page.recv(timeout=120)  # hello
            page.send("record")
            rows = 0
            while rows < 2:
                message = page.recv(timeout=120)
                if isinstance(message, bytes):
                    page.send("ready")
                else:
                    rows = json.loads(message)["recording"]["frames"]
            program.send_signal(signal.SIGINT)
            assert program.wait(60) == 0
    finally:
        program.kill()
        _, errors = program.communicate()
    assert "Traceback" not in errors
    (table,) = (tmp_path / "out").glob("noise_*.csv")
    assert len(read_result_table(table)) >= 2


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["face.mp4", "--camera", "0"], "cannot be combined"),
        (["--loop"], "--loop is for files"),
        (["--camera", "-1"], "whole number"),
        (["--face", "track:1"], "who is who is known at the end of a clip alone"),
        (["--face", "largest", "--faces", "2"], "take one of them"),
        (["--aus", "calibrated"], "add --faces N"),
    ],
)
def test_options_that_contradict_each_other_are_usage_errors(words, complaint, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["live", *words])
    assert stopped.value.code == 2
    assert complaint in capsys.readouterr().err


def test_a_file_that_does_not_exist_is_an_error(tmp_path, capsys):
    needs_live()
    assert cli.main(["live", str(tmp_path / "none.mp4")]) == 1
    assert "does not exist" in capsys.readouterr().err


def test_without_the_extra_nothing_begins(monkeypatch, capsys):
    def absent(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(server, "import_module", absent)
    assert cli.main(["live", "face.mp4"]) == 1
    assert 'pip install "auparity[live]"' in capsys.readouterr().err
