"""What failed is known afterwards, until it is measured."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from auparity.cli import main
from auparity.errors import FileFormatError
from auparity.extraction.failure_recorder import FailureRecorder
from auparity.extraction.failures import FOLDER, read_failures
from auparity.extraction.jobs import Job, camera_job
from auparity.extraction.progress import QuietReporter
from auparity.extraction.types import ExtractionSettings, Outcome


class Said(QuietReporter):
    def __init__(self):
        self.texts, self.outcomes = [], []

    def say(self, text):
        self.texts.append(text)

    def job_done(self, outcome):
        self.outcomes.append(outcome)


def run(folder, *outcomes, reporter=None):
    """A run in which inputs end so: (path, status) or (path, status, message)."""
    jobs = [Job("clip", Path(path), Path(path).stem) for path, *_ in outcomes]
    with FailureRecorder(reporter or Said(), ExtractionSettings(folder), jobs) as recorder:
        for path, status, *message in outcomes:
            recorder.job_done(Outcome(path, status, message[0] if message else "why"))


def files(folder):
    return sorted((folder / FOLDER).iterdir()) if (folder / FOLDER).exists() else []


def test_a_run_in_which_nothing_fails_leaves_nothing(tmp_path):
    run(tmp_path, ("a.mp4", "done"), ("b.mp4", "skipped"), ("c.mp4", "interrupted"))
    assert files(tmp_path) == []
    assert read_failures(tmp_path) == []


def test_the_last_word_on_an_input_counts(tmp_path):
    run(tmp_path, ("/v/a.mp4", "failed", "no frames"), ("/v/b.mp4", "incomplete", "cut off"), ("/v/c.mp4", "done"))
    assert [(f["input"], f["name"], f["status"], f["reason"]) for f in read_failures(tmp_path)] == [
        (os.path.abspath("/v/a.mp4"), "a", "failed", "no frames"),
        (os.path.abspath("/v/b.mp4"), "b", "incomplete", "cut off"),
    ]
    run(tmp_path, ("/v/a.mp4", "failed", "still none"), ("/v/b.mp4", "done"))
    assert [f["reason"] for f in read_failures(tmp_path)] == ["still none"]


def test_records_do_not_pile_up(tmp_path):
    for _ in range(4):
        run(tmp_path, ("a.mp4", "failed"))
    assert len(files(tmp_path)) == 1
    run(tmp_path, ("b.mp4", "failed"))
    assert len(files(tmp_path)) == 2
    run(tmp_path, ("a.mp4", "done"))  # its failure is in one file, that it is settled in another: both can go
    assert [f["name"] for f in read_failures(tmp_path)] == ["b"]
    run(tmp_path, ("b.mp4", "skipped"))
    assert files(tmp_path) == []


def test_a_record_that_another_run_still_writes_stays(tmp_path):
    with FailureRecorder(Said(), ExtractionSettings(tmp_path), []) as other:
        other.job_done(Outcome("a.mp4", "failed", "no"))
        run(tmp_path, ("a.mp4", "done"))
        assert any(line["status"] == "failed" for line in map(json.loads, files(tmp_path)[0].read_text().splitlines()))
        other.job_done(Outcome("b.mp4", "failed", "no"))
    assert [Path(f["input"]).name for f in read_failures(tmp_path)] == ["b.mp4"]


def test_an_address_stays_as_it_is_and_a_camera_is_not_recorded(tmp_path):
    with FailureRecorder(Said(), ExtractionSettings(tmp_path), [camera_job(0)]) as recorder:
        recorder.job_done(Outcome("s3://bucket/a b.mp4", "failed", "no"))
        recorder.job_done(Outcome("camera:0", "failed", "no camera"))
    assert [f["input"] for f in read_failures(tmp_path)] == ["s3://bucket/a b.mp4"]


def test_records_of_outputs_at_an_address_are_there(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    settings = ExtractionSettings(output_address="memory://failures-out", scratch=tmp_path)
    jobs = [Job("clip", Path("a.mp4"), "a")]
    for status, records in (("failed", 1), ("failed", 1), ("done", 0)):
        with FailureRecorder(Said(), settings, jobs) as recorder:
            recorder.job_done(Outcome("a.mp4", status, "why"))
        folder = f"/failures-out/{FOLDER}"
        system = fsspec.filesystem("memory")
        assert len(system.ls(folder) if system.exists(folder) else []) == records
    assert list(tmp_path.iterdir()) == []


def test_records_at_an_address_are_there_before_the_run_ends(tmp_path, monkeypatch):
    fsspec = pytest.importorskip("fsspec")
    from auparity.extraction import failure_recorder

    settings = ExtractionSettings(output_address="memory://failures-killed", scratch=tmp_path)
    jobs = [Job("clip", Path(f"{name}.mp4"), name) for name in "abc"]
    system, folder = fsspec.filesystem("memory"), f"/failures-killed/{FOLDER}"
    monkeypatch.setattr(failure_recorder, "PUT_SECONDS", 1000.0)
    killed = FailureRecorder(Said(), settings, jobs)
    killed.__enter__()  # and it never ends
    killed.job_done(Outcome("a.mp4", "failed", "why"))
    (record,) = system.ls(folder, detail=False)
    assert system.cat_file(record).count(b"\n") == 1
    killed.job_done(Outcome("b.mp4", "failed", "why"))  # so soon after the first that it is not put
    assert system.cat_file(record).count(b"\n") == 1
    monkeypatch.setattr(failure_recorder, "PUT_SECONDS", 0.0)
    killed.job_done(Outcome("c.mp4", "done", ""))  # any later input has it put
    assert system.cat_file(record).count(b"\n") == 2
    with FailureRecorder(Said(), settings, jobs) as recorder:
        recorder.job_done(Outcome("a.mp4", "done", ""))
        recorder.job_done(Outcome("b.mp4", "done", ""))
        assert len(system.ls(folder)) == 2
    assert system.ls(folder) == []


def test_a_name_that_is_not_utf_8_is_kept_as_text(tmp_path):
    run(tmp_path, ("caf\udce9.mp4", "failed", "caf\udce9.mp4: no"))
    (failure,) = read_failures(tmp_path)
    assert (failure["name"], failure["reason"]) == ("caf\\udce9", "caf\\udce9.mp4: no")


def test_the_line_that_a_killed_run_began_is_left_out(tmp_path):
    run(tmp_path, ("a.mp4", "failed"))
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes() + b'{"input": "/x')
    assert len(read_failures(tmp_path)) == 1
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(FileFormatError, match="line 2"):
        read_failures(tmp_path)


def test_a_damaged_record_does_not_stop_a_run(tmp_path):
    run(tmp_path, ("a.mp4", "failed"))
    files(tmp_path)[0].write_text("{}\n")
    said = Said()
    run(tmp_path, ("b.mp4", "failed"), reporter=said)
    assert "line 1" in said.texts[0]
    assert len(files(tmp_path)) == 2


def test_where_nothing_can_be_written_the_user_is_told_once(tmp_path):
    (tmp_path / FOLDER).write_text("in the way")
    said = Said()
    run(tmp_path, ("a.mp4", "failed"), ("b.mp4", "failed"), reporter=said)
    assert len(said.outcomes) == 2
    assert ["not written down" in text for text in said.texts] == [True]


@pytest.mark.parametrize("options", [(), ("--processes", "2")], ids=["serial", "processes"])
def test_the_command_writes_down_what_failed(tmp_path, monkeypatch, options):
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "b.mp4"):
        Path(name).write_bytes(b"no video at all" * 100)
    assert main(["extract", "a.mp4", "b.mp4", "gone.mp4", "--models", "embedded", "-o", "out", *options]) == 1
    failures = read_failures(Path("out"))
    assert {(Path(f["input"]).name, f["name"]) for f in failures} == {("a.mp4", "a"), ("b.mp4", "b"), ("gone.mp4", "")}
    assert all(f["reason"] and f["date"] for f in failures)
