"""The summary page of a folder of results."""

from __future__ import annotations

import pytest

from auparity.cli import main
from auparity.errors import AuparityError
from auparity.parity_tests.unit.helpers.rendered_truth import describe
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS
from auparity.reports.clips.summary import summarise


def write(path, rows):
    """A clip's CSV of (success, intensity of every AU) rows with the columns that the summary reads."""
    names = ["frame", "success", "confidence", "pose_Rx", "pose_Ry", "pose_Rz"]
    names += [f"{au}_r" for au in INTENSITY_AUS] + [f"{au}_c" for au in PRESENCE_AUS]
    lines = [",".join(names)]
    for frame, (success, intensity) in enumerate(rows, 1):
        values = [frame, success, 0.9, 0, 0.5, 0, *[intensity] * 17, *[int(intensity > 1)] * 18]
        lines.append(",".join(str(v) for v in values))
    path.write_text("\n".join(lines) + "\n")


def test_means_are_over_the_frames_in_which_the_face_was_tracked(tmp_path):
    write(tmp_path / "clip.csv", [(1, 2.0), (1, 4.0), (0, 0.0), (0, 0.0)])
    text = summarise(tmp_path / "clip.csv")
    assert "4 frames, face tracked in 50.0%" in text
    assert "| AU12 | 3.00 | 4.00 | 100% |" in text
    assert "| AU28 | no intensity model | | 100% |" in text
    assert "29 (29 to 29)" in text  # 0.5 rad of yaw


def test_a_clip_without_a_face_says_so(tmp_path):
    write(tmp_path / "empty.csv", [(0, 0.0)])
    assert "tracked in 0.0%" in summarise(tmp_path / "empty.csv")
    assert "No face was found in this clip" in summarise(tmp_path / "empty.csv")


def test_another_table_is_refused(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(AuparityError, match="not a table written by"):
        summarise(tmp_path / "other.csv")


def test_a_table_that_cannot_be_read_does_not_hide_the_others(tmp_path, capsys):
    write(tmp_path / "good.csv", [(1, 2.0)])
    (tmp_path / "a|b`c.csv").write_text("a,b\n1,2\n")
    assert main(["summary", str(tmp_path)]) == 1
    text = (tmp_path / "summary.md").read_text()
    assert "## a\\|b\\`c\n\nCannot be read: " in text
    assert "| AU12 | 2.00 |" in text


def test_warnings_of_the_extraction_stand_above_the_figures(tmp_path):
    write(tmp_path / "clip.csv", [(1, 2.0)])
    describe(tmp_path / "clip.csv", warnings=["only <rendered> faces"])
    assert "**Warning:** only \\<rendered\\> faces" in summarise(tmp_path / "clip.csv")


def test_the_page_is_written_beside_the_tables(tmp_path, capsys):
    assert main(["summary", str(tmp_path)]) == 1  # nothing to summarise
    assert main(["summary", str(tmp_path / "gone")]) == 1
    write(tmp_path / "clip.csv", [(1, 2.0)])
    assert main(["summary", str(tmp_path)]) == 0
    assert "## clip" in (tmp_path / "summary.md").read_text()
    assert "summary.md" in capsys.readouterr().out
