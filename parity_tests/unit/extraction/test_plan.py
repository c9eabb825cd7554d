"""Estimates: frames counted and estimated, costs solved from runs whose cost is known, and what decides a plan."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import pytest

from auparity.cli import extract as cli_extract
from auparity.cli import plan as cli_plan
from auparity.errors import AuparityError
from auparity.extraction import plan
from auparity.extraction.inputs import find_inputs
from auparity.extraction.jobs import Job, plan_jobs
from auparity.extraction.progress import QuietReporter
from auparity.extraction.types import ExtractionSettings, Origin, Outcome
from auparity.parity_tests.unit.helpers.fake_pipeline import FakePipeline, write_images, write_video


def jobs_of(folder, lengths):
    for number, frames in enumerate(lengths):
        write_video(folder / f"{number:02}.avi", frames)
    return plan_jobs(find_inputs([str(folder / "*.avi")]))[0]


def test_frames_are_counted_where_there_are_few_clips(tmp_path):
    write_images(tmp_path / "frames", 7)
    jobs = jobs_of(tmp_path, [5, 9]) + plan_jobs(find_inputs([str(tmp_path / "frames")]))[0]
    work = plan.count(jobs, ExtractionSettings())
    assert (work.clips, work.frames, work.frames_error, work.longest, work.unreadable) == (3, 21, 0, 9, 0)
    assert plan.count(jobs, ExtractionSettings(max_frames=6)).frames == 17


def test_frames_of_many_clips_follow_their_sizes(tmp_path):
    jobs = jobs_of(tmp_path, range(20, 60))
    work = plan.count(jobs, ExtractionSettings(), most=10)
    assert work.counted == 10
    assert work.frames_error > 0
    assert abs(work.frames - sum(range(20, 60))) <= work.frames_error
    everything = plan.count(jobs, ExtractionSettings())
    assert everything.frames == sum(range(20, 60))


def test_clips_at_addresses_are_not_opened():
    jobs = [Job("clip", Path("s3:/a"), "a", origin=Origin("s3://bucket/a.mp4"))]
    work = plan.count(jobs, ExtractionSettings())
    assert (work.frames, work.unreadable) == (0, 1)


class Clock:
    """An engine whose runs take what they are said to take."""

    name, start, per_input, per_frame = "known", 3.0, 0.5, 0.01

    def __init__(self, monkeypatch, lengths):
        self.now, self.lengths = 0.0, lengths
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def run(self, jobs, settings, reporter, stop):
        settings.output_dir.mkdir()
        rows = [min(self.lengths[int(job.name)], settings.max_frames) for job in jobs]
        self.now += self.start + len(jobs) * self.per_input + sum(rows) * self.per_frame
        (settings.output_dir / "tables").write_bytes(bytes(100 * sum(rows)))
        return [Outcome(job.name, "done", "", rows=n) for job, n in zip(jobs, rows, strict=True)]


def test_costs_are_those_of_the_runs(monkeypatch):
    lengths = list(range(10, 210, 10))
    jobs = [Job("clip", Path(f"{number}"), str(number)) for number in range(len(lengths))]
    cost = plan.measure(jobs, ExtractionSettings(), Clock(monkeypatch, lengths), 2, QuietReporter(), lambda: False)
    assert cost.start_seconds == pytest.approx(3.0)
    assert cost.input_seconds == pytest.approx(0.5)
    assert cost.frame_seconds == pytest.approx(0.01)
    assert cost.output_bytes == pytest.approx(100)
    work = plan.Work(20, 0, 2100.0, 0.0, 70.0, 200.0, 20, 0)
    assert plan.estimate(work, cost, 1).hours * 3600 == pytest.approx(3 + 10 + 21)
    assert plan.estimate(work, cost, 1).limit == "the work"
    many = plan.estimate(work, cost, 1000)
    assert many.limit == "the longest input"
    assert many.hours * 3600 == pytest.approx(3 + 2 * (0.5 + 2))
    assert plan.estimate(work, cost, 1000, 2.0).limit == "handing out inputs"
    text = plan.described(work, cost, [many], 2)
    assert "100.0 frames/s, 500 ms more for each input, 3.0 s to start" in text
    assert "| 1000 | 0.00 | the longest input |" in text


def test_short_clips_give_a_rate_as_well(monkeypatch):
    lengths = [8, 9, 10, 8, 9, 10]
    jobs = [Job("clip", Path(f"{number}"), str(number)) for number in range(len(lengths))]
    cost = plan.measure(jobs, ExtractionSettings(), Clock(monkeypatch, lengths), 2, QuietReporter(), lambda: False)
    assert cost.frame_seconds == pytest.approx(0.01)
    assert cost.input_seconds == pytest.approx(0.5)
    assert cost.start_seconds == pytest.approx(3.0)


def test_nothing_that_can_be_measured_is_an_error(tmp_path):
    from auparity.extraction.engines.serial import SerialEngine

    (tmp_path / "a.avi").write_bytes(b"no video at all")
    jobs = [Job("clip", tmp_path / "a.avi", "a")]
    with pytest.raises(AuparityError, match=r"none of the 1 inputs"):
        plan.measure(jobs, ExtractionSettings(), SerialEngine(FakePipeline()), 1, QuietReporter(), lambda: False)
    with pytest.raises(AuparityError, match="stopped"):
        plan.measure(jobs, ExtractionSettings(), SerialEngine(FakePipeline()), 1, QuietReporter(), lambda: True)


def test_the_command_says_it_in_a_table_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli_plan, "build_pipeline", lambda _: (FakePipeline(), []))
    for number in range(3):
        write_video(tmp_path / f"{number}.avi", 30)
    parser = argparse.ArgumentParser()
    subparsers = parser.add_subparsers()
    cli_extract.add_parser(subparsers)
    cli_plan.add_parser(subparsers)
    arguments = parser.parse_args(["plan", "0.avi", "1.avi", "2.avi", "--nodes", "1", "4"])
    assert arguments.run(arguments) == 0
    printed = capsys.readouterr().out
    assert "3 clips, 0 images: 90 frames, 0.00 hours of footage; frames declared by their files." in printed
    assert printed.count("| 4 |") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.avi", "1.avi", "2.avi"]
    camera = parser.parse_args(["plan", "camera:0"])
    with pytest.raises(SystemExit):
        camera.run(camera)
