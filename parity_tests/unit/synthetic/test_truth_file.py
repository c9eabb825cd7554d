"""The truth of a rendered clip survives the way to disk and back, and damage to it is named by file and line."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from auparity.errors import AuparityError, ContractError
from auparity.extraction import tables
from auparity.models.synthetic.truth_file import COLUMNS, read_truth, truth_table, write_truth
from auparity.models.synthetic.types import RenderCamera
from auparity.parity_tests.unit.helpers.rendered_truth import META, truths, write_clip_truth
from auparity.reports.clips.table import read_result_table


def test_what_is_written_is_read_back_to_six_decimals(tmp_path):
    written = write_truth(tmp_path / "truth.csv", truths(), META)
    read = read_truth(tmp_path / "truth.csv")
    assert dataclasses.asdict(read.meta) == dataclasses.asdict(META)
    for field in dataclasses.fields(read):
        if field.name != "meta":
            np.testing.assert_allclose(getattr(read, field.name), getattr(written, field.name), rtol=0, atol=5.1e-7)
    assert read.visible.dtype == bool
    assert not read.visible[3, 3]
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["truth.csv", "truth.json"]


def test_columns_have_the_names_of_openfaces_table_and_none_is_missing():
    openface = {column.name for column in tables.COLUMNS["clip"]}
    known_only_to_the_pipeline = {"face_id", "confidence", "success"}
    for name in openface - known_only_to_the_pipeline:
        of_the_model = name.startswith("p_") or (name.startswith("AU") and name.endswith("_c"))
        assert (name in COLUMNS) != of_the_model, name
    assert set(COLUMNS) - openface == {"AU28_r"} | {f"visible_{i}" for i in range(68)}


def test_a_reader_of_results_reads_the_truth_too(tmp_path):
    path = write_clip_truth(tmp_path)
    table, expected = read_result_table(path), truths()
    np.testing.assert_allclose(table.landmarks[4], expected[4].landmarks, atol=1e-6)
    np.testing.assert_allclose(table.eye_landmarks[4], expected[4].eye_landmarks, atol=1e-6)
    np.testing.assert_allclose(table.pose[4], expected[4].pose, atol=1e-6)
    np.testing.assert_allclose(table.gaze[4], expected[4].gaze, atol=1e-6)
    assert table.seconds(1.0)[6] == pytest.approx(6 / META.fps)


def test_gaze_angles_are_those_of_the_pipeline():
    table = truth_table(truths(), META)
    mean = table.gaze[0].mean(axis=0)
    np.testing.assert_allclose(table.gaze_angles[0], np.arctan2(mean[:2], -mean[2]))


def with_cell(line: str, column: int, text: str) -> str:
    cells = line.split(",")
    return ",".join([*cells[:column], text, *cells[column + 1 :]])


@pytest.mark.parametrize(
    ("line", "damage", "message"),
    [
        (1, lambda text: text.replace("pose_Tx", "pose_T"), "line 1: expected 'pose_Tx'"),
        (1, lambda text: text.rsplit(",", 1)[0], "line 1: expected 'visible_67'.*the end of the line"),
        (4, lambda text: text.rsplit(",", 1)[0], f"line 4: expected {len(COLUMNS)} values, found {len(COLUMNS) - 1}"),
        (5, lambda text: with_cell(text, 7, "oops"), "line 5: gaze_1_z is 'oops', not a number"),
        (5, lambda text: with_cell(text, 7, "nan"), "line 5: gaze_1_z is 'nan', not a number"),
        (6, lambda text: "9" + text, "line 6: expected frame 5, found 95"),
    ],
)
def test_damage_is_named_by_line(tmp_path, line, damage, message):
    path = write_clip_truth(tmp_path)
    lines = path.read_text().splitlines()
    lines[line - 1] = damage(lines[line - 1])
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(AuparityError, match=message) as raised:
        read_truth(path)
    assert str(path) in str(raised.value)


def test_a_clip_that_lost_its_end_is_not_taken_for_whole(tmp_path):
    path = write_clip_truth(tmp_path)
    path.write_text("\n".join(path.read_text().splitlines()[:-2]) + "\n")
    with pytest.raises(AuparityError, match=r"line 12: expected 12 frames as truth.json says, found 10"):
        read_truth(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{\n"seed": 3,\n"width" 4}', r"\(JSON\), found Expecting .* at line 3"),
        ("{}", "the number of frames: a whole number, found null"),
        ('{"frames": 12}', 'rendered clip: an object with the field "au_names"|"camera"'),
        ("[1]", "expected the description of a rendered clip: an object"),
        (None, r"truth.json: does not exist"),
    ],
)
def test_damaged_descriptions_are_named(tmp_path, content, message):
    path = write_clip_truth(tmp_path)
    described = path.with_suffix(".json")
    described.unlink()
    if content is not None:
        described.write_text(content)
    with pytest.raises(AuparityError, match=message):
        read_truth(path)


def test_other_aus_are_refused(tmp_path):
    path = write_clip_truth(tmp_path)
    content = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(content | {"au_names": ["AU99"]}))
    with pytest.raises(AuparityError, match='found "AU99"'):
        read_truth(path)


def test_truths_of_two_cameras_are_no_clip():
    other = dataclasses.replace(truths()[1], camera=RenderCamera(1.0, 2.0, 3.0))
    with pytest.raises(ContractError, match=r"truths\[1\].camera"):
        truth_table([truths()[0], other], META)


@pytest.mark.parametrize("landmarks", [np.zeros((67, 2)), np.full((68, 2), np.nan)])
def test_truths_must_be_whole_and_finite(landmarks):
    with pytest.raises(ContractError, match=r"truths\[0\].landmarks"):
        truth_table([dataclasses.replace(truths()[0], landmarks=landmarks)], META)


def test_a_clip_of_no_frames_is_refused():
    with pytest.raises(ContractError, match="at least one frame"):
        truth_table([], META)
