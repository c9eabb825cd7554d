"""The tutorial and the study are true: their commands, one after the other, do what the pages say."""

from __future__ import annotations

import json
import re
import shlex
import sys

import pytest

from auparity.parity_tests.unit.helpers.documentation import ROOT, blocks, commands, run

pytestmark = pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="installed without its documentation")

#: Runs command lines in one process. The reference's part of the parity suite is computed for the first of them only,
#: and `profile` times other variants once: how steady its advice is, is no statement of the tutorial.
ONE_AFTER_THE_OTHER = """
import functools, json, sys
from auparity import cli
from auparity.benchmarks import profiler
from auparity.parity_tests.suite import run, workloads

profiler.TURNS, profiler.KEPT_FRAMES = 1, 2
workloads.rendered = functools.cache(workloads.rendered)
capture, captures = run.capture, {}

def captured(bundle, clips, photographs):
    if id(clips) not in captures:
        captures[id(clips)] = capture(bundle, clips, photographs)
    return captures[id(clips)]

run.capture = captured
for words in json.loads(sys.argv[1]):
    print("$ auparity", *words, flush=True)
    if status := cli.main(words):
        sys.exit(f"exit status {status} of auparity {' '.join(words)}")
"""


def command_lines(page):
    """The arguments of every call of auparity on a page, in order."""
    return [shlex.split(line)[1:] for line in commands(page) if line.startswith("auparity ")]


def test_the_tutorial_is_true(tmp_path):
    lines = command_lines(ROOT / "docs" / "tutorial.md")
    assert len(lines) >= 9
    done = run([sys.executable, "-c", ONE_AFTER_THE_OTHER, json.dumps(lines)], tmp_path)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stdout.count("\n$ auparity") + 1 == len(lines)
    for made in ("out/clip.csv", "out/clip.html", "results/parity.html", "results/report.html", "results/profile.svg"):
        assert (tmp_path / made).stat().st_size > 1000, made
    assert list((tmp_path / "baselines").glob("*.json"))


def test_the_first_commands_of_the_readme_print_what_it_says(tmp_path):
    page = ROOT / "README.md"
    lines = [line for line in command_lines(page) if line[0] in ("models", "extract", "report")]
    first = [next(line for line in lines if line[0] == word) for word in ("models", "extract")]
    done = run([sys.executable, "-c", ONE_AFTER_THE_OTHER, json.dumps(first)], tmp_path)
    assert done.returncode == 0, done.stderr
    printed = without_times(done.stdout + done.stderr)
    (promised,) = blocks(page, "text")
    for line in without_times(promised).splitlines():
        assert line in printed


def without_times(text):
    """A text with the seconds that something took left out."""
    return re.sub(r"\d+\.\d s", "... s", text)


def test_the_study_is_true(tmp_path):
    pytest.importorskip("pyarrow")
    pytest.importorskip("pandas")
    pytest.importorskip("matplotlib")
    page = ROOT / "docs" / "study.md"
    (tmp_path / "clips.csv").write_text(*blocks(page, "csv"), encoding="utf-8")
    # Clips of a third of the length, which makes no difference to what happens.
    lines = [["20" if word == "60" else word for word in line] for line in command_lines(page)]
    assert len(lines) == 8
    done = run([sys.executable, "-c", ONE_AFTER_THE_OTHER, json.dumps(lines)], tmp_path)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    (figure,) = blocks(page, "python")
    done = run([sys.executable, "-c", figure], tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line.split()[-1] for line in done.stdout.splitlines()[-4:]] == ["20"] * 4, "frames with a face of each clip"
    for made in ("results/study.html", "results/P01/rest.html", "study/clips.parquet", "figure.pdf"):
        assert (tmp_path / made).stat().st_size > 1000, made
