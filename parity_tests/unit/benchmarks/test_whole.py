"""Whole processes in turns: what is taken from each run, and what is computed from two lengths of a clip."""

from __future__ import annotations

import json
import os
import sys

import numpy as np
import pytest

from auparity import cli
from auparity.benchmarks import whole
from auparity.benchmarks.whole import Run, speed_of, timed
from auparity.errors import AuparityError
from auparity.reports.results.records import WorkloadRecord, load

WORK = WorkloadRecord("clip", "bundle", "hash", "clm", "stream", 11, 4, 3)


def test_a_further_frame_is_the_difference_of_two_lengths():
    short, long = [Run(0.5, 0.4, 100.0), Run(0.4, 0.3, 90.0)], [Run(0.6, 0.6, 120.0), Run(0.7, 0.5, 110.0)]
    speed = speed_of(WORK, "ours", short, long)
    assert speed.ms_median == pytest.approx(20)  # the best runs: (0.6 - 0.4) s over 10 frames
    assert speed.repeats == pytest.approx([10, 30])
    assert (speed.start_s, speed.start_cpu_s, speed.cpu_ms, speed.peak_mib) == pytest.approx((0.4, 0.3, 20, 110))
    assert "first result after 0.40 s, a further frame 20.00 ms" in speed.note


def test_where_the_system_says_no_cpu_time_there_is_none():
    speed = speed_of(WORK, "ours", [Run(0.5, None, None)], [Run(0.6, None, None)])
    assert (speed.start_cpu_s, speed.cpu_ms, speed.peak_mib) == (None, None, None)
    assert "CPU" not in speed.note


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="this system does not say what a process used")
def test_cpu_time_and_memory_are_those_of_the_process(tmp_path):
    code = "import time; block = bytes(range(256)) * 400_000\nwhile time.process_time() < 0.2: pass"
    run = timed([sys.executable, "-c", code], tmp_path)
    assert 0.2 <= run.cpu_s <= run.wall_s + 0.1
    assert run.peak_mib > 100


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="this system does not say what a process used")
def test_memory_of_the_program_that_measures_does_not_count(tmp_path):
    held = np.ones(200 * 2**20, np.uint8)  # as it holds the frames of a clip
    assert timed([sys.executable, "-c", "pass"], tmp_path).peak_mib < 100
    assert held[-1] == 1


def test_a_program_that_fails_is_an_error_with_its_last_line(tmp_path):
    with pytest.raises(AuparityError, match="status 3: no models"):
        timed([sys.executable, "-c", "import sys; print('first'); print('no models'); sys.exit(3)"], tmp_path)
    with pytest.raises(AuparityError, match="cannot be started"):
        timed([str(tmp_path / "absent")], tmp_path)


@pytest.fixture
def clip(tmp_path):
    cv2 = pytest.importorskip("cv2")
    folder = tmp_path / "clip"
    folder.mkdir()
    for k in range(3):
        cv2.imwrite(str(folder / f"{k}.png"), np.full((48, 64, 3), 50 * k, np.uint8))
    return folder


def test_programs_take_turns_on_one_frame_and_on_all(tmp_path, clip, monkeypatch, capsys):
    counts = []

    def counted(command, folder):
        counts.append(len(list(command[1].iterdir())))
        return Run(float(counts[-1]), 1.0, 10.0)

    monkeypatch.setattr(whole, "our_command", lambda options: lambda frames, out: ["ours", frames, out])
    monkeypatch.setattr(whole, "timed", counted)
    monkeypatch.delenv("OPENFACE_BIN", raising=False)
    result = tmp_path / "whole.json"
    assert cli.main(["bench", "--whole", str(clip), "--models", "embedded", "--passes", "2", "-o", str(result)]) == 0
    assert counts == 3 * [1, 3]
    (speed,) = load(result).speeds
    assert (speed.start_s, speed.ms_median, speed.peak_mib) == (1.0, 1000.0, 10.0)
    assert "OPENFACE_BIN" in load(result).skipped[0].why
    assert json.loads(result.read_text())["workloads"][0]["frames"] == 3
    assert "first result after 1.00 s" in capsys.readouterr().out


def test_whole_processes_need_clips(capsys):
    assert cli.main(["bench", "--whole"]) == 1
    assert "clips of your own" in capsys.readouterr().err
