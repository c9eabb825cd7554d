"""Several faces on the command line and in tables (`auparity extract --faces`), and one of several (`--face`)."""

from __future__ import annotations

import csv
import dataclasses
import json

import cv2
import numpy as np
import pytest

from auparity import cli
from auparity.errors import ContractError
from auparity.extraction.outputs.settings import OutputSettings
from auparity.extraction.sidecars import Intrinsics, Request, differences
from auparity.extraction.types import ExtractionSettings
from auparity.models.synthetic.clips import render_clip
from auparity.reference.face_choice import FaceChoice, PersonChoice
from auparity.reports.clips.summary import summarise

FRAMES = 10


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Two people side by side."""
    folder = tmp_path_factory.mktemp("two") / "pair"
    folder.mkdir()
    left, right = (list(render_clip(seed, FRAMES, canvas=(240, 200))) for seed in (3_460_000, 3_460_003))
    for k, (a, b) in enumerate(zip(left, right, strict=True)):
        cv2.imwrite(str(folder / f"{k:03}.png"), np.hstack([a.image, b.image]))
    return folder


def extract(clip, out, *more) -> int:
    return cli.main(["extract", str(clip), "--models", "embedded", "--quiet", "-o", str(out), *more])


@pytest.fixture(scope="module")
def tables(clip, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    assert extract(clip, out / "static", "--faces", "2") == 0
    assert extract(clip, out / "calibrated", "--faces", "all", "--aus", "calibrated", "--format", "parquet") == 0
    return out


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_face_of_a_frame_has_a_row_and_a_person(tables):
    rows = rows_of(tables / "static" / "pair.csv")
    assert list(rows[0])[-2:] == ["AU45_c", "person_id"]
    assert [(row["frame"], row["face_id"]) for row in rows] == [
        (str(frame), face) for frame in range(1, FRAMES + 1) for face in ("0", "1")
    ]
    persons = {face: {row["person_id"] for row in rows if row["face_id"] == face} for face in ("0", "1")}
    assert sorted(map(tuple, persons.values())) == [("0",), ("1",)]
    sides = {face: {float(row["x_30"]) > 240 for row in rows if row["face_id"] == face} for face in ("0", "1")}
    assert [len(side) for side in sides.values()] == [1, 1], "each slot stays with its person"
    assert sides["0"] != sides["1"]
    assert rows[0]["AU12_c"] in ("0.0", "1.0"), "static AUs are not written again (spec 85.2 step 4)"


def test_calibrated_aus_are_written_at_the_end_for_each_stretch(tables):
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(str(tables / "calibrated" / "pair.parquet"))
    assert table.num_rows == 2 * FRAMES
    assert set(table["person_id"].to_pylist()) == {0, 1}
    intensity = np.array(table["AU12_r"].to_pylist())
    assert intensity.min() >= 0
    static = [float(row["AU12_r"]) for row in rows_of(tables / "static" / "pair.csv")]
    assert np.abs(intensity - static).max() > 0.01
    sidecar = json.loads((tables / "calibrated" / "pair.parquet.json").read_text())
    assert (sidecar["frames"], sidecar["frames_with_success"]) == (FRAMES, FRAMES)


def test_another_number_of_faces_is_another_table(tables, clip, capsys):
    assert extract(clip, tables / "static", "--faces", "2") == 0
    for more, reason in (
        (["--faces", "3"], "with --faces 2"),
        ([], "with --faces 2"),
        (["--faces", "2", "--aus", "calibrated"], "with static AUs of several faces"),
    ):
        assert extract(clip, tables / "static", *more) == 1
        assert reason in capsys.readouterr().err


OTHERS = {
    "input_sha256": "1", "bundle": "b", "precision": "float64", "intrinsics": Intrinsics(fx=5.0), "max_frames": 3,
    "timestamps": "index", "fps": 25.0, "multi_view": True, "columns": ("pose",), "landmarks": {"validate": False},
    "static_aus": True, "faces": 2, "aus": "calibrated", "face": "largest", "person_ids": False,
    "aligned": {"size": 10}, "split": True,
}  # fmt: skip


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Request)])
def test_a_resumed_run_compares_everything_that_decides_a_table(name):
    request = Request("0", "a", "float32", Intrinsics(), aligned={"size": 112})
    assert differences(sidecar_of(request), request) == []
    assert differences(sidecar_of(dataclasses.replace(request, **{name: OTHERS[name]})), request) != []


def sidecar_of(request):
    return {"request": json.loads(json.dumps(dataclasses.asdict(request))), "frames": 9}


def test_a_table_of_one_piece_does_where_parts_are_asked_for():
    request = Request("0", "a", "float32", Intrinsics())
    assert differences(sidecar_of(request), dataclasses.replace(request, split=True)) == []


def test_frames_are_counted_not_rows(clip, tmp_path):
    assert extract(clip, tmp_path, "--faces", "2", "--max-frames", "3") == 0
    assert len(rows_of(tmp_path / "pair.csv")) == 6


def test_processes_give_the_same_table(tables, clip, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for file in clip.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    arguments = ["extract", str(clip), str(other), "--models", "embedded", "--quiet", "-o", str(tmp_path / "out")]
    assert cli.main([*arguments, "--faces", "2", "--processes", "2"]) == 0
    expected = (tables / "static" / "pair.csv").read_bytes()
    for name in ("pair", "other"):
        assert (tmp_path / "out" / f"{name}.csv").read_bytes() == expected


def test_rows_before_and_after_a_face_is_seen_are_of_nobody(comings_and_goings):
    clip, everybody = comings_and_goings
    nobody = [row for row in everybody if row["person_id"] == "-1"]
    assert nobody
    assert {row["success"] for row in nobody} == {"0"}
    assert all(int(row["frame"]) > 3 and float(row["x_30"]) > 240 for row in nobody)
    text = summarise(clip.parent / "all" / "leaves.csv")
    assert text.count("### Person") == 2
    assert "Person -1" not in text


def test_summary_and_page_are_by_person(tables):
    text = summarise(tables / "static" / "pair.csv")
    assert text.index("### Person 0") < text.index("### Person 1")
    assert text.count("face tracked in 100.0%") == 2
    for table in (tables / "static" / "pair.csv", tables / "calibrated" / "pair.parquet"):
        assert cli.main(["report", str(table)]) == 0
        page = table.with_suffix(".html").read_text()
        assert "2 people tracked, up to 2 at once" in page
        assert ("calibrated to each face" in page) == (table.suffix == ".parquet")
        assert ("by the static models" in page) == (table.suffix == ".csv")


@pytest.mark.parametrize("wrong", [["--faces", "0"], ["--faces", "some"], ["--aus", "calibrated"]])
def test_wrong_arguments_are_refused_before_anything_is_begun(clip, tmp_path, wrong):
    with pytest.raises(SystemExit) as stopped:
        extract(clip, tmp_path / "out", *wrong)
    assert stopped.value.code == 2
    assert not (tmp_path / "out").exists()


def test_one_face_of_several_is_followed_as_chosen(clip, tmp_path):
    """The usual table of one face, of the person on that side."""
    for choice, on_the_right in (("box:0,0,240,200", False), ("box:240,0,240,200", True)):
        out = tmp_path / str(on_the_right)
        assert extract(clip, out, "--face", choice, "--max-frames", "3") == 0
        rows = rows_of(out / "pair.csv")
        assert len(rows[0]) == 714
        assert [(row["frame"], row["face_id"], row["success"]) for row in rows] == [
            (str(k), "0", "1") for k in (1, 2, 3)
        ]
        assert {float(row["x_30"]) > 240 for row in rows} == {on_the_right}
        request = json.loads((out / "pair.csv.json").read_text())["request"]
        assert (request["face"], request["faces"]) == (choice, None)


def test_a_box_in_which_nobody_is_finds_no_face(clip, tmp_path, capsys):
    assert extract(clip, tmp_path, "--face", "box:0,190,5,5", "--max-frames", "2") == 0
    assert {row["success"] for row in rows_of(tmp_path / "pair.csv")} == {"0"}
    assert json.loads((tmp_path / "pair.csv.json").read_text())["warnings"] == ["no face was found in any frame"]


def test_another_choice_of_face_is_another_table(clip, tmp_path, capsys):
    short = ["--max-frames", "1"]
    assert extract(clip, tmp_path, *short, "--face", "largest") == 0
    assert extract(clip, tmp_path, *short, "--face", "largest") == 0
    for more in ([], ["--face", "central"]):
        assert extract(clip, tmp_path, *short, *more) == 1
        assert "with --face largest" in capsys.readouterr().err
    assert extract(clip, tmp_path / "plain", *short) == 0
    assert extract(clip, tmp_path / "plain", *short, "--face", "largest") == 1
    assert "without --face" in capsys.readouterr().err


@pytest.fixture(scope="module")
def comings_and_goings(tmp_path_factory):
    """Two people, of whom the one on the right is there in the first three frames alone; and the table of both."""
    folder = tmp_path_factory.mktemp("leaves") / "leaves"
    folder.mkdir()
    left, right = (list(render_clip(seed, FRAMES, canvas=(240, 200))) for seed in (3_460_000, 3_460_003))
    for k, (a, b) in enumerate(zip(left, right, strict=True)):
        shown = b.image if k < 3 else np.full_like(b.image, 96)
        cv2.imwrite(str(folder / f"{k:03}.png"), np.hstack([a.image, shown]))
    out = folder.parent / "all"
    assert extract(folder, out, "--faces", "all", "--aus", "calibrated") == 0
    return folder, rows_of(out / "leaves.csv")


@pytest.mark.parametrize("person", ["0", "1"])
def test_the_table_of_a_person_has_the_rows_of_this_person_and_one_for_every_other_frame(
    comings_and_goings, tmp_path, person
):
    clip, everybody = comings_and_goings
    assert extract(clip, tmp_path, "--face", f"track:{person}") == 0
    rows = rows_of(tmp_path / "leaves.csv")
    assert [row["frame"] for row in rows] == [str(k + 1) for k in range(FRAMES)]
    assert len(rows[0]) == 714
    expected = {row["frame"]: row for row in everybody if row["person_id"] == person}
    for row in rows:
        if row["frame"] in expected:
            assert row == {**{name: expected[row["frame"]][name] for name in row}, "face_id": "0"}
        else:
            assert (row["success"], row["face_id"], float(row["confidence"])) == ("0", "0", 0)
            assert {float(row[name]) for name in row if name.startswith("AU")} == {0}
    right = any(float(row["x_30"]) > 240 for row in expected.values())
    assert (len(expected) < FRAMES) == right, "the person on the right is lost before the end"
    sidecar = json.loads((tmp_path / "leaves.csv.json").read_text())
    successes = sum(row["success"] == "1" for row in rows)
    assert (sidecar["frames"], sidecar["frames_with_success"], sidecar["table"]["rows"]) == (FRAMES, successes, FRAMES)
    assert (sidecar["request"]["face"], sidecar["warnings"]) == (f"track:{person}", [])


def test_a_frame_without_the_person_has_the_row_of_a_frame_without_a_face(comings_and_goings, tmp_path, capsys):
    clip, _ = comings_and_goings
    assert extract(clip, tmp_path / "nobody", "--face", "track:7", "--max-frames", "2") == 0
    message = "nobody in this clip has person_id 7; the highest is 1"
    assert message in capsys.readouterr().err
    assert json.loads((tmp_path / "nobody" / "leaves.csv.json").read_text())["warnings"] == [message]
    assert extract(clip, tmp_path / "none", "--face", "box:0,190,5,5", "--max-frames", "2") == 0
    assert rows_of(tmp_path / "nobody" / "leaves.csv") == rows_of(tmp_path / "none" / "leaves.csv")


def test_the_table_of_a_person_in_parquet_is_the_same(comings_and_goings, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    clip, everybody = comings_and_goings
    assert extract(clip, tmp_path, "--face", "track:0", "--format", "parquet", "--columns", "aus") == 0
    table = parquet.read_table(str(tmp_path / "leaves.parquet"))
    assert table["frame"].to_pylist() == list(range(1, FRAMES + 1))
    of_frame = {int(row["frame"]): float(row["AU12_r"]) for row in everybody if row["person_id"] == "0"}
    expected = [of_frame.get(frame, 0.0) for frame in range(1, FRAMES + 1)]
    np.testing.assert_allclose(table["AU12_r"].to_pylist(), expected, atol=0.0051)  # which CSV rounds
    assert max(expected) > 0


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(ContractError, match="None where `faces` is given"):
        ExtractionSettings(faces=2, face=FaceChoice("largest"))
    assert ExtractionSettings(face=PersonChoice(0), outputs=OutputSettings(hog=True)).person == 0
    assert ExtractionSettings(face=FaceChoice("largest"), outputs=OutputSettings(hog=True)).person is None
