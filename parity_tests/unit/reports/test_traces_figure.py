"""Figures for papers show what the tables hold: lines with gaps, presence, chosen rows, people and times."""

from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest

from auparity.cli import main
from auparity.errors import AuparityError, VariantUnavailable
from auparity.parity_tests.unit.helpers.people import write_people
from auparity.parity_tests.unit.helpers.rendered_truth import write_results
from auparity.reports.clips import traces_figure
from auparity.reports.clips.table import read_result_table
from auparity.reports.clips.traces_figure import traces_of, write_traces

pytest.importorskip("matplotlib", reason="the extra figures is not installed: matplotlib")


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are written, in place of files."""
    figures = []
    monkeypatch.setattr(traces_figure, "save_figure", lambda figure, path: figures.append(figure))
    return figures


def test_a_line_is_the_table_with_a_gap_where_no_face_is_tracked(tmp_path, drawn):
    table = read_result_table(write_results(tmp_path / "clip.csv", lost=5))
    assert write_traces(traces_of([table], None, 30.0), tmp_path / "x.pdf", rows=["AU12", "yaw"]) == ["AU12", "yaw"]
    intensity, yaw = (axis.lines[0] for axis in drawn[0].axes)
    np.testing.assert_allclose(intensity.get_xdata(), np.arange(12) / 30)
    np.testing.assert_array_equal(np.isnan(intensity.get_ydata()), np.arange(12) == 5)
    np.testing.assert_allclose(yaw.get_ydata()[6:], np.degrees(table.columns["pose_Ry"])[6:])
    assert drawn[0].axes[0].get_ylim() == (0, 5)


def test_the_usual_rows_are_the_most_active_ones(tmp_path, drawn):
    table = read_result_table(write_results(tmp_path / "clip.csv"))
    rows = write_traces(traces_of([table], None, 30.0), tmp_path / "x.pdf")
    means = {name: values.mean() for name, values in table.aus("r").items()}
    assert len(rows) == 6
    assert rows == sorted(rows)
    assert min(means[name] for name in rows) >= max(means[name] for name in set(means) - set(rows))


def test_each_person_has_a_line_with_gaps(tmp_path, drawn):
    table = read_result_table(write_people(tmp_path / "group.csv", {0: [0, 1, 2, 7, 8], 3: range(9), 7: [4]}))
    assert [trace.label for trace in traces_of([table], None, 30.0)] == ["Person 0", "Person 3", "Person 7"]
    traces = traces_of([table], [0, 3], 30.0)
    write_traces(traces, tmp_path / "x.pdf", rows=["AU12"])
    first, second = drawn[0].axes[0].lines
    assert np.isnan(first.get_ydata()).sum() == 1
    np.testing.assert_allclose(first.get_xdata()[[0, 2, 4, 5]], np.array([0, 2, 7, 8]) / 30)
    assert not np.isnan(second.get_ydata()).any()
    with pytest.raises(AuparityError, match="nobody of these numbers"):
        traces_of([table], [5], 30.0)


def test_files_are_of_the_kind_that_their_name_says_and_always_the_same(tmp_path, capsys):
    table = write_results(tmp_path / "clip.csv")
    for suffix, start in ((".pdf", b"%PDF"), (".svg", b"<?xml"), (".png", b"\x89PNG")):
        files = [tmp_path / f"{k}{suffix}" for k in (1, 2)]
        for file in files:
            assert main(["figure", str(table), "-o", str(file), "--rows", "AU12,pitch", "--from", "0.1"]) == 0
        assert files[0].read_bytes().startswith(start)
        assert files[0].read_bytes() == files[1].read_bytes()
    assert "AU12, pitch" in capsys.readouterr().out
    assert cv2.imread(str(tmp_path / "1.png")).shape[1] == 1400
    text = (tmp_path / "1.svg").read_text()
    assert "time (s)" in text  # as text, not as paths


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "x.gif"], ".pdf, .svg, .png"),
        (["-o", "x.pdf", "--rows", "AU99"], "no table has 'AU99'"),
        (["-o", "x.pdf", "--from", "3", "--to", "2"], "nothing lies between"),
        (["-o", "x.pdf", "--width", "0"], "positive numbers"),
    ],
)
def test_what_cannot_be_drawn_is_said(tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    assert main(["figure", str(write_results(tmp_path / "clip.csv")), *words]) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("x.*"))


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    traces = traces_of([read_result_table(write_results(tmp_path / "clip.csv"))], None, 30.0)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(VariantUnavailable, match=r"auparity\[figures\]"):
        write_traces(traces, tmp_path / "x.pdf")
