"""Many inputs one after the other: when a run goes on, when it ends, and what its exit status says."""

from __future__ import annotations

from pathlib import Path

import pytest

from auparity.extraction.jobs import EXIT_FAILED, EXIT_GOOD, EXIT_INTERRUPTED, Job, exit_code, run_jobs, summary
from auparity.extraction.progress import QuietReporter
from auparity.extraction.types import ExtractionSettings, Outcome, never
from auparity.parity_tests.unit.helpers.fake_pipeline import FakePipeline, write_video

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


@pytest.fixture
def jobs(tmp_path):
    return [Job("clip", write_video(tmp_path / f"{name}.avi", 3), name) for name in ("a", "b", "c")]


def test_an_interruption_inside_an_input_ends_the_run(jobs, tmp_path):
    """Without a signal handler, as in a thread: only the KeyboardInterrupt itself says that it was pressed."""
    pipeline = FakePipeline(fail_at=1, failure=KeyboardInterrupt())
    done = run_jobs(pipeline, jobs, ExtractionSettings(tmp_path / "out"), QuietReporter(), never)
    assert [outcome.status for outcome in done] == ["interrupted"]
    assert exit_code(jobs, done) == EXIT_INTERRUPTED


def test_a_stop_between_two_inputs_begins_no_other(jobs, tmp_path):
    out = tmp_path / "out"
    stop = (out / "a.csv").is_file  # pressed when the first table has just been put in place
    done = run_jobs(FakePipeline(), jobs, ExtractionSettings(out), QuietReporter(), stop)
    assert [outcome.status for outcome in done] == ["done"]
    assert exit_code(jobs, done) == EXIT_INTERRUPTED


def test_an_input_that_fails_does_not_cost_those_after_it(jobs, tmp_path):
    jobs[0].path.write_bytes(b"no video")
    done = run_jobs(FakePipeline(), jobs, ExtractionSettings(tmp_path / "out"), QuietReporter(), never)
    assert [outcome.status for outcome in done] == ["failed", "done", "done"]
    assert exit_code(jobs, done) == EXIT_FAILED
