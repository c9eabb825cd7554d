"""Many inputs: what the exit status and the summary of a run say."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from auparity.extraction.jobs import EXIT_FAILED, EXIT_GOOD, EXIT_INTERRUPTED, Job, StopSwitch, exit_code, summary
from auparity.extraction.types import Outcome

JOBS = [Job("clip", Path(f"{name}.avi"), name) for name in ("a", "b", "c")]


def outcomes(*statuses):
    return [Outcome("input", status, "message") for status in statuses]


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        (("done", "skipped", "done"), EXIT_GOOD),
        (("done", "failed", "done"), EXIT_FAILED),
        (("done", "incomplete", "skipped"), EXIT_FAILED),
        (("done", "failed", "interrupted"), EXIT_INTERRUPTED),
        (("done", "done"), EXIT_INTERRUPTED),  # the third was never begun
        ((), EXIT_INTERRUPTED),
    ],
)
def test_the_exit_status_says_whether_everything_was_measured(statuses, code):
    assert exit_code(JOBS, outcomes(*statuses)) == code


def test_the_summary_counts_every_input_once():
    assert summary(JOBS, outcomes("done", "failed")) == "3 inputs: 1 done, 1 failed, 1 not started"
    assert summary(JOBS[:1], outcomes("skipped")) == "1 input: 1 skipped"


def test_a_program_without_a_stderr_is_stopped_all_the_same(monkeypatch, capfd):
    """A program without a console has none; what it was started with may still read descriptor 2."""
    monkeypatch.setattr("sys.__stderr__", None)
    with StopSwitch() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop()
    assert "Stopping after this frame" in capfd.readouterr().err
