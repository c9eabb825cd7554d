"""What the scripts of a page read is what the tables hold, rounded as the tables are, in few bytes."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path

import numpy as np
import pytest

from auparity.parity_tests.unit.helpers.people import write_people
from auparity.parity_tests.unit.helpers.rendered_truth import FRAMES, write_results
from auparity.reference.pdm import rotation_from_euler
from auparity.reports.clips.overlay_face import AXIS_LENGTH, NOSE_TIP
from auparity.reports.clips.packing import LARGEST, Packer
from auparity.reports.clips.page_data import MOST_FACES, Subject, clip_data
from auparity.reports.clips.page_parts import Verdict
from auparity.reports.clips.people import people_of
from auparity.reports.clips.table import ResultTable, read_result_table
from auparity.reports.clips.templates import json_inside, rendered


def unpacked(text, packed):
    """(count, columns) as `reports/clips/web/data.js` reads them."""
    data = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    total = packed["count"] * packed["columns"]
    planes = (
        data[packed["at"] : packed["at"] + total * packed["planes"]].reshape(packed["planes"], total).astype(object)
    )
    unsigned = sum(plane * 256**k for k, plane in enumerate(planes))
    difference = np.array([-(each + 1) // 2 if each % 2 else each // 2 for each in unsigned], np.float64)
    return np.cumsum(difference.reshape(packed["columns"], -1), axis=1).T * packed["step"]


@pytest.mark.parametrize(
    ("values", "step", "planes"),
    [
        ([[0.0, 1.0], [0.5, 0.25], [-3.0, 2.0]], 0.25, 1),
        ([127.0, 0.0, -128.0, 127.0], 1, 2),
        ([1e12, 1e12 + 1, 1.0], 1, 6),
        ([float(2 * LARGEST)], 1, 6),  # kept within what JavaScript counts exactly
        (np.zeros((0, 3)), 1, 1),
    ],
)
def test_arrays_come_back_rounded_to_their_step(values, step, planes):
    packer = Packer()
    packer.add(np.arange(5), 1)  # what is before it does not matter
    packed = packer.add(np.array(values), step)
    assert packed["planes"] == planes
    found = unpacked(packer.text(), packed)
    expected = np.minimum(np.array(values, np.float64).reshape(found.shape), LARGEST * step)
    np.testing.assert_array_equal(found, expected)


def subject(table):
    return Subject(None, "clip", ("#2dd4bf", "#0b7d74"), table, np.arange(len(table)))


def data_of(table):
    return clip_data("clip", [subject(table)], table.columns["frame"], table.seconds(30.0), None)


def test_measurements_are_those_of_the_table(tmp_path):
    table = read_result_table(write_results(tmp_path / "clip.csv", lost=5))
    document, text = data_of(table)
    (person,) = document["people"]
    channels = person["channels"]
    np.testing.assert_array_equal(unpacked(text, channels["state"])[:, 0], np.where(table.success, 2, 1))
    np.testing.assert_allclose(unpacked(text, channels["AU12_r"])[:, 0], table.columns["AU12_r"], atol=1e-9)
    np.testing.assert_array_equal(unpacked(text, channels["AU12_c"])[:, 0], table.columns["AU12_c"])
    yaw = np.degrees(table.columns["pose_Ry"])
    np.testing.assert_allclose(unpacked(text, channels["yaw"])[:, 0], yaw, atol=1e-9)  # thousandths of a radian
    np.testing.assert_allclose(unpacked(text, document["frames"])[:, 0], np.arange(1, FRAMES + 1))
    charts = {chart["name"]: chart for chart in document["charts"]}
    assert len(charts) == 18 + 3 + 2
    assert (charts["AU28"]["channel"], charts["AU28"]["strip"]) == (None, "AU28_c")


def test_points_are_those_of_the_table_and_axes_begin_at_the_nose(tmp_path):
    table = read_result_table(write_results(tmp_path / "clip.csv"))
    document, text = data_of(table)
    points = document["people"][0]["points"]
    values = unpacked(text, points["values"]).reshape(FRAMES, -1, 2)
    assert points["layout"] == {"face": [0, 68], "eyes": [68, 124], "axes": [124, 127], "gaze": [127, 129]}
    np.testing.assert_allclose(values[:, :68], table.landmarks, atol=0.1251)  # half of a quarter px
    rotation = rotation_from_euler(table.pose[:, 3:])
    forward = table.landmarks[:, NOSE_TIP] - AXIS_LENGTH * table.params_global[:, :1] * rotation[:, :2, 2]
    np.testing.assert_allclose(values[:, 126], forward, atol=0.1251)


def test_of_long_clips_some_landmarks_and_all_measurements_are_kept():
    rows = 2 * MOST_FACES + 1
    columns = {
        "frame": np.arange(1.0, rows + 1),
        "success": np.ones(rows),
        "AU12_r": np.round(np.arange(rows) % 7 / 2, 2),
    }
    columns |= {f"{axis}_{k}": 100 + np.arange(rows) / rows for axis in "xy" for k in range(68)}
    document, text = data_of(ResultTable(Path("long.csv"), photograph=False, columns=columns))
    (person,) = document["people"]
    assert person["points"]["every"] == 3
    assert person["points"]["values"]["count"] == -(-rows // 3)
    np.testing.assert_allclose(unpacked(text, person["channels"]["AU12_r"])[:, 0], columns["AU12_r"], atol=1e-9)


def test_a_person_is_absent_where_it_has_no_row(tmp_path):
    table = read_result_table(write_people(tmp_path / "x.csv", {0: [0, 1, 8], 4: range(4, 9)}, lost=[(4, 6)]))
    people = people_of(table, 12, 30.0)
    subjects = [Subject(each.number, each.name, each.colours, each.table, each.places) for each in people.persons]
    document, text = clip_data("x", subjects, people.grid + 1, people.times, None)
    grid = people.grid.tolist()
    for person, rows, lost in zip(document["people"], ([0, 1, 8], [4, 5, 6, 7, 8]), ([], [6]), strict=True):
        state = unpacked(text, person["channels"]["state"])[:, 0]
        frames = [grid[person["start"] + k] for k in range(person["count"])]
        assert [frame for frame, value in zip(frames, state, strict=True) if value > 0] == rows
        assert [frame for frame, value in zip(frames, state, strict=True) if value == 1] == lost


def test_no_name_ends_a_script_or_becomes_markup():
    text = str(json_inside({"name": "</script><!-- <b>"}))
    assert "<" not in text
    assert json.loads(text) == {"name": "</script><!-- <b>"}
    person = {"number": 1, "name": "<i>\x07"}
    page = rendered(
        "photograph.html.j2", document="{}", size=(1, 1), picture="data:,", name="<b>", drawn="x", layers=(),
        people=[person], chosen=1, comparison=[], face="", units=True, title="", about="", verdict=Verdict(""),
        warnings=[], tiles=[], style="", facts=[], commands=[], arrays="", script="",
    )  # fmt: skip
    assert "&lt;b&gt;" in page
    assert "&lt;i&gt;?" in page
