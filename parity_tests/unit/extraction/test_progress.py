"""What is said while a clip is measured, by a clock that is set by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from auparity.extraction.jobs import Job
from auparity.extraction.progress import LINE_SECONDS, LineReporter


@pytest.mark.parametrize(("seconds", "said"), [(LINE_SECONDS - 0.5, False), (LINE_SECONDS, True)])
def test_a_preparation_of_ten_seconds_is_told(capsys, seconds, said):
    now = [0.0]
    reporter = LineReporter(lambda: now[0])
    progress = reporter.job_started(1, 1, Job("clip", Path("face.mp4")))
    progress.started(100)
    now[0] = seconds
    progress.frame_done()
    assert ("face.mp4: prepared in 10 s" in capsys.readouterr().err) is said


def test_more_frames_than_were_announced_leave_no_time_and_not_less_than_none(capsys):
    now = [0.0]
    reporter = LineReporter(lambda: now[0])
    progress = reporter.job_started(1, 1, Job("clip", Path("face.mp4")))
    progress.started(2)  # containers guess
    for seconds in (0, 1, 2, LINE_SECONDS):
        now[0] = seconds
        progress.frame_done()
    assert "face.mp4: 4 of 2 frames, 0.3 frames/s, 0 s left" in capsys.readouterr().err
