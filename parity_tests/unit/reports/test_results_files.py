"""Markdown, JUnit and pictures of result files say what the page says."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import cv2
import numpy as np
import pytest

from auparity.parity_tests.unit.helpers import synthetic_results as made
from auparity.reports.results.junit import write_junit
from auparity.reports.results.markdown import results_markdown
from auparity.reports.results.png import bars, face, write_plots
from auparity.reports.results.records import Results, Skipped


def test_markdown_has_the_verdict_the_failures_and_a_row_a_pipeline():
    run = made.parity(made.FAILING)
    text = results_markdown(run)
    assert text.startswith("### auparity parity: FAILED")
    failed = [line for line in text.splitlines() if line.startswith("| clip") and "gaze" in line]
    assert len(failed) == 1
    assert "3.2e−5 | 2e−5" in failed[0]
    assert "### auparity parity: PASSED" in results_markdown(made.parity())
    speeds = results_markdown(made.benchmark())
    for speed in made.speeds():
        assert f"| {speed.pipeline} |" in speeds
    tables = [line for line in speeds.splitlines() if line.startswith("|")]
    assert all(line.count("|") - line.count("\\|") in (5, 6) for line in tables)
    assert "NOTHING MEASURED" in results_markdown(Results("parity", made.provenance()))


def test_markdown_cells_stay_in_their_cells():
    run = made.parity(replace(made.FAILING, variant="onnx|numba <b>\nx"))
    line = next(line for line in results_markdown(run).splitlines() if "onnx" in line and "3.2" in line)
    assert "onnx\\|numba \\<b\\> x" in line


def test_junit_is_xml_whatever_the_run_says_of_itself(tmp_path):
    odd = made.parity(replace(made.FAILING, variant="a\x00\x1b]b", figure="\uffff<&>", reason="\ud800"))
    odd = replace(odd, kind="k\x01", provenance=replace(odd.provenance, date="\x00\x08"))
    write_junit([odd], tmp_path / "out.xml")
    assert next(ET.parse(tmp_path / "out.xml").getroot().iter("testsuite")).get("timestamp") == "??"


def test_junit_counts_and_names_what_failed(tmp_path):
    path = tmp_path / "deep" / "out.xml"
    run = replace(made.parity(made.FAILING), skipped=[Skipped("torch", "not \x01 installed")])
    write_junit([run, made.benchmark()], path)
    root = ET.parse(path).getroot()
    cases = list(root.iter("testcase"))
    failures = [case for case in cases if case.find("failure") is not None]
    assert len(failures) == 1 == int(root.get("failures"))
    assert failures[0].get("classname") == "stage.gaze.numba"
    assert "tolerance 2e−5" in failures[0].find("failure").get("message")
    assert int(root.get("tests")) == len(cases)
    skipped = [case for case in cases if case.find("skipped") is not None]
    assert {"torch"} <= {case.get("name") for case in skipped}
    assert len(skipped) == int(root.get("skipped"))
    assert [p.name for p in path.parent.iterdir()] == ["out.xml"]


def test_pictures_are_drawn_of_what_there_is(tmp_path):
    pytest.importorskip("matplotlib")
    paths = write_plots([made.parity(), made.benchmark()], tmp_path / "plots")
    assert {"speed", "parity", "landmarks-1"} <= {path.stem for path in paths}
    for path in paths:
        image = cv2.imread(str(path))
        assert image.shape[1] >= 640
        assert 1 < image.std() < 120, "neither empty nor full"
    assert write_plots([Results("parity", made.provenance())], tmp_path / "none") == []


def test_a_bar_ends_at_its_value_on_a_logarithmic_axis():
    pytest.importorskip("matplotlib")
    figure = bars("title", "unit", [("a", 11.0, False), ("b", 0.5, True)], least=1.0, limit=20.0)
    (axis,) = figure.axes
    ends = [bar.get_x() + bar.get_width() for bar in axis.patches]
    assert (axis.get_xscale(), ends) == ("log", [11.0, 1.0])
    assert [text.get_text() for text in axis.texts] == [" 11", " 0.5 FAILED"]


def test_the_largest_error_is_the_largest_mark():
    pytest.importorskip("matplotlib")
    series = made.series()
    errors = [0.001] * 68
    errors[30] = 1.0
    marks = face(replace(series, landmark_error=errors)).axes[0].collections[0]
    assert int(np.argmax(marks.get_sizes())) == 30
    np.testing.assert_array_equal(marks.get_offsets(), series.face)
    assert face(replace(series, face=[], landmark_error=[])) is None
