"""The tutorial is true: its commands, one after the other, do what it says."""

from __future__ import annotations

import json
import shlex
import sys

import pytest

from auparity.parity_tests.unit.helpers.documentation import ROOT, commands, run

pytestmark = pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="installed without its documentation")

#: Runs command lines in one process. The reference's part of the parity suite is computed for the first of them only,
#: and `profile` times other variants once: how steady its advice is, is no statement of the tutorial.
ONE_AFTER_THE_OTHER = """
import functools, json, sys
from auparity import cli
from auparity.benchmarks import profiler
from auparity.parity_tests.suite import run, workloads

profiler.TURNS, profiler.KEPT_FRAMES = 1, 2
workloads.embedded = functools.cache(workloads.embedded)
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


def test_the_tutorial_is_true(tmp_path):
    lines = [shlex.split(line) for line in commands(ROOT / "docs" / "tutorial.md") if line.startswith("auparity ")]
    assert len(lines) >= 9
    done = run([sys.executable, "-c", ONE_AFTER_THE_OTHER, json.dumps([line[1:] for line in lines])], tmp_path)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stdout.count("\n$ auparity") + 1 == len(lines)
    for made in ("out/clip.csv", "out/clip.html", "results/parity.html", "results/report.html", "results/profile.svg"):
        assert (tmp_path / made).stat().st_size > 1000, made
    assert list((tmp_path / "baselines").glob("*.json"))
