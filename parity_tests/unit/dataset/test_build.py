"""A data set has the rows of every whole clip once, whatever was there before."""

from __future__ import annotations

import errno
import json
import os

import numpy as np
import pytest

from auparity.dataset import rows as rows_module
from auparity.dataset.build import Wish, build
from auparity.dataset.progress import QuietProgress
from auparity.errors import AuparityError, FileFormatError, WriteError
from auparity.extraction.failure_recorder import FailureRecorder
from auparity.extraction.jobs import Job
from auparity.extraction.progress import QuietReporter
from auparity.extraction.types import ExtractionSettings, Outcome
from auparity.parity_tests.unit.helpers.result_folders import write_result

pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


class Told(QuietProgress):
    def __init__(self):
        self.texts, self.rows = [], 0

    def say(self, text):
        self.texts.append(text)

    def rows_done(self, rows):
        self.rows += rows


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def made(tmp_path, out):
    """Makes the data set of `out`; the result has what was said as `told`."""

    def make(*results, data_set="data", **wish):
        progress = Told()
        built = build(results or (out,), tmp_path / data_set, Wish(**wish), progress)
        built.told = progress
        return built

    return make


def frames(folder):
    return parquet.read_table(folder / "data" / "frames").to_pandas()


def clips(folder):
    return parquet.read_table(folder / "data" / "clips.parquet").to_pandas().set_index("clip")


def failures(folder):
    return parquet.read_table(folder / "data" / "failures.parquet").to_pylist()


def files(folder):
    return {str(path.relative_to(folder / "data")): path.stat().st_ino for path in (folder / "data").rglob("*.parquet")
            if path.parent != folder / "data"}  # fmt: skip


def test_every_row_of_every_table_is_in_it_unrounded(tmp_path, out, made):
    tables = {name: write_result(out, name, rows, seed=seed)
              for seed, (name, rows) in enumerate({"b": 3, "a": 5, "sub/c": 4}.items())}  # fmt: skip
    assert str(made()) == f"{tmp_path / 'data'}: 12 rows of 3 clips in 1 file (1 written, 0 kept)."
    rows = frames(tmp_path)
    assert list(rows.columns[:4]) == ["clip", "frame", "face_id", "timestamp"]
    assert list(rows["clip"]) == ["a"] * 5 + ["b"] * 3 + ["sub/c"] * 4
    for name, path in tables.items():
        table = parquet.read_table(path).to_pandas()
        of_clip = rows[rows["clip"] == name].drop(columns="clip").reset_index(drop=True)
        assert [c for c in of_clip if c in table] == [c for c in table if c in of_clip]
        np.testing.assert_array_equal(of_clip.to_numpy(), table.to_numpy())
        assert list(of_clip.dtypes) == list(table.dtypes)


def test_columns_in_space_have_names_that_differ_in_more_than_case(tmp_path, out, made):
    write_result(out, "a", columns=None)
    made()
    names = list(frames(tmp_path).columns)
    assert len({name.casefold() for name in names}) == len(names) == 715
    assert {"x_0", "X_3d_0", "Z_3d_67", "eye_lmk_x_0", "eye_lmk_X_3d_0", "eye_lmk_Z_3d_55", "pose_Tx"} <= set(names)
    assert not {"X_0", "eye_lmk_X_0"} & set(names)


def test_the_table_of_clips_says_how_each_was_measured(tmp_path, out, made):
    table = write_result(out, "sub/a", 6, seed=7, labels={"subject": "01", "status": "patient"})
    made()
    clip = clips(tmp_path).loc["sub/a"]
    confidence = parquet.read_table(table).to_pandas().query("success == 1")["confidence"].mean()
    assert clip["mean_confidence"] == pytest.approx(confidence, abs=1e-12)  # a mean of six, in another order
    assert clip["footage_seconds"] == pytest.approx(5 / 30)
    sidecar = json.loads(table.with_name("a.parquet.json").read_text())
    expected = {
        "subject": "01", "label_status": "patient", "status": "done", "reason": None, "kind": "video", "rows": 6,
        "frames": 6, "frames_with_face": 4, "share_with_face": 4 / 6, "computing_seconds": 1.5, "fps": 30.0,
        "width": 640, "height": 480, "rounded": False, "precision": "float32", "bundle": "b" * 64,
        "bundle_name": "openface", "input": "/videos/sub/a.mp4", "input_sha256": f"{7:064x}",
        "table_sha256": sidecar["table"]["sha256"], "extracted": sidecar["date"], "auparity": sidecar["auparity"],
    }  # fmt: skip
    assert {name: clip[name] if expected[name] is not None else None for name in expected} == expected
    assert list(clip["warnings"]) == ["only <rendered> faces"]
    assert json.loads(clip["settings"])["timestamps"] == "container"
    assert (tmp_path / "data" / clip["file"]).is_file()
    assert list(frames(tmp_path).columns[:3]) == ["clip", "label_status", "subject"]


def test_a_second_run_writes_only_what_has_changed(tmp_path, out, made):
    for seed, name in enumerate("abcdef"):
        write_result(out, name, 4, seed=seed)
    made(rows=8)
    before = files(tmp_path)
    assert len(before) == 3
    assert made().written == 0
    assert files(tmp_path) == before
    write_result(out, "c", 4, seed=20)  # measured anew
    built = made()
    assert (built.written, built.kept, built.told.rows) == (1, 2, 8)
    after = files(tmp_path)
    assert len(before.items() & after.items()) == 2  # the very files
    assert sorted(frames(tmp_path)["clip"].value_counts().items()) == [(name, 4) for name in "abcdef"]
    table = parquet.read_table(out / "c.parquet").to_pandas()
    np.testing.assert_array_equal(frames(tmp_path).query("clip == 'c'")["AU12_r"], table["AU12_r"])


def test_clips_whose_tables_are_gone_are_removed_and_small_files_put_together(tmp_path, out, made):
    for seed, name in enumerate("abcdef"):
        write_result(out, name, 4, seed=seed)
    made(rows=8)
    for name in "ac":
        (out / f"{name}.parquet").unlink()
        (out / f"{name}.parquet.json").unlink()
    built = made()
    assert (built.gone, built.clips, built.written, built.kept) == (2, 4, 1, 1)
    assert list(frames(tmp_path)["clip"].unique()) in (["b", "d", "e", "f"], ["e", "f", "b", "d"])
    write_result(out, "g", 3, seed=9)
    assert made().kept == 2
    write_result(out, "h", 4, seed=10)
    built = made()  # the file of g becomes one of g and h
    assert (built.written, built.kept) == (1, 2)


def test_labels_that_change_are_changed(tmp_path, out, made):
    write_result(out, "a", labels={"subject": "P1"})
    made()
    write_result(out, "a", labels={"subject": "P2", "session": "1"})
    made()
    assert set(frames(tmp_path)["subject"]) == {"P2"}
    assert clips(tmp_path).loc["a", "session"] == "1"


@pytest.mark.parametrize("partition", ["clip", "subject"])
def test_folders_for_each_value(tmp_path, out, made, partition):
    values = {"a": "01", "b": "01", "c d/e": "ä/..", "f": None}
    for seed, (name, value) in enumerate(values.items()):
        write_result(out, name, seed=seed, labels={"subject": value} if value else None)
    built = made(partition=partition)
    folders = {name.split("/")[1] for name in files(tmp_path)}
    if partition == "clip":
        assert folders == {"by_clip=a", "by_clip=b", "by_clip=c%20d%2Fe", "by_clip=f"}
    else:
        assert folders == {"by_subject=01", "by_subject=%C3%A4%2F.%2E", "by_subject=no_value"}
        assert "1 clip of 4 without the label subject" in built.told.texts[0]
    rows = frames(tmp_path)
    assert set(zip(rows["clip"], rows["subject"].fillna("-"), strict=True)) == {
        (clip, value or "-") for clip, value in values.items()
    }
    assert made().written == 0  # the partition is as before
    assert made(partition="none").written == 1
    assert len(frames(tmp_path)) == len(rows)


def test_a_partition_that_no_clip_has_is_refused(out, made):
    write_result(out, "a", labels={"session": "1"})
    with pytest.raises(AuparityError, match=r"no clip has this label; there are session.*--list clips\.csv"):
        made(partition="subject")


def test_a_clip_that_is_not_whole_has_no_rows_unless_they_are_asked_for(tmp_path, out, made):
    write_result(out, "a")
    write_result(out, "b", 2, seed=1, complete=False)
    assert str(made()).endswith("(1 written, 0 kept); 1 not whole.")
    assert set(frames(tmp_path)["clip"]) == {"a"}
    assert clips(tmp_path).loc["b", ["status", "reason"]].tolist() == ["incomplete", "interrupted"]
    made(incomplete=True)
    assert set(frames(tmp_path)["clip"]) == {"a", "b"}
    write_result(out, "b", 5, seed=1)  # the table that is not whole is still there
    made()
    assert clips(tmp_path)["status"].tolist() == ["done", "done"]
    assert len(frames(tmp_path)) == 8


def test_tables_of_other_columns_leave_theirs_empty(tmp_path, out, made):
    write_result(out, "all", columns=None)
    write_result(out, "group", seed=1, columns=None, faces="all")
    write_result(out, "pose", seed=2, columns=("pose",))
    write_result(out, "photo", 2, seed=3, kind="photograph", columns=None, timestamps=None, multi_view=True)
    built = made()
    rows = frames(tmp_path)
    assert list(rows.columns[:7]) == ["clip", "frame", "face_id", "face", "timestamp", "confidence", "success"]
    assert rows.columns[-1] == "person_id"
    by_clip = rows.groupby("clip").count()
    assert by_clip["pose_Tx"].to_dict() == {"all": 3, "group": 3, "photo": 2, "pose": 3}
    assert by_clip["AU12_r"].to_dict() == {"all": 3, "group": 3, "photo": 2, "pose": 0}
    assert by_clip["person_id"].to_dict() == {"all": 0, "group": 3, "photo": 0, "pose": 0}
    assert by_clip["frame"].to_dict() == {"all": 3, "group": 3, "photo": 0, "pose": 3}
    assert by_clip["face"].to_dict() == {"all": 0, "group": 0, "photo": 2, "pose": 0}
    assert clips(tmp_path).loc["photo", "mean_confidence"] == pytest.approx(
        rows.query("clip == 'photo'").confidence.mean()
    )
    assert any("different settings (columns, faces)" in text for text in built.told.texts)
    assert any("1 images are in it beside 3 clips" in text for text in built.told.texts)


def test_csv_tables_are_taken_as_they_are_rounded(tmp_path, out, made):
    write_result(out, "a", table_format="csv")
    write_result(out, "b", seed=1)
    built = made()
    assert clips(tmp_path)["rounded"].to_dict() == {"a": True, "b": False}
    assert built.told.texts == ["warning: the tables of 1 of 2 clips are rounded (CSV); see the column rounded."]
    rows = frames(tmp_path).query("clip == 'a'")
    lines = (out / "a.csv").read_text().splitlines()
    for line, row in zip(lines[1:], rows.to_numpy()[:, 1:], strict=True):
        assert [float(cell) for cell in line.split(",")] == row.tolist()


def test_of_two_tables_of_a_clip_the_better_is_taken(tmp_path, out, made):
    write_result(out / "one", "a", 4, table_format="csv")
    write_result(out / "two", "a", 4)
    built = made(out / "one", out / "two")
    assert clips(tmp_path).loc["a", "table"].endswith("a.parquet")
    assert "a was measured twice" in built.told.texts[0]
    write_result(out / "two", "a", 4, seed=1)
    with pytest.raises(AuparityError, match="two different inputs have tables called a"):
        made(out / "one", out / "two")
    made(data_set="other")  # of the folder with both
    assert set(parquet.read_table(tmp_path / "other/clips.parquet")["clip"].to_pylist()) == {"one/a", "two/a"}


def test_other_models_are_told(out, made):
    write_result(out, "a")
    write_result(out, "b", seed=1, bundle="c" * 64)
    (text,) = made().told.texts
    assert "2 sets of models (openface 2.2 (bbbbbbbbbbbb): 1; openface 2.2 (cccccccccccc): 1)" in text


def test_a_table_that_was_changed_is_left_out_and_named(tmp_path, out, made):
    for seed, name in enumerate("abc"):
        write_result(out, name, seed=seed)
    (out / "b.parquet").write_bytes((out / "a.parquet").read_bytes())
    (out / "d.parquet.json").write_text("{")
    (out / "d.parquet").write_bytes(b"x")
    built = made()
    assert [text.split(":")[0].rpartition("/")[2] for text in built.problems] == ["d.parquet.json", "b.parquet"]
    assert set(frames(tmp_path)["clip"]) == set(clips(tmp_path).index) == {"a", "c"}
    assert [(f["clip"], f["status"]) for f in failures(tmp_path)] == [("b", "failed")]
    assert "not the table that its sidecar describes" in failures(tmp_path)[0]["reason"]
    write_result(out, "b", seed=1)
    (out / "d.parquet.json").unlink()
    assert made().problems == []
    assert set(frames(tmp_path)["clip"]) == {"a", "b", "c"}


def test_what_failed_is_in_it_until_it_is_measured(tmp_path, out, made):
    write_result(out, "a")

    def fail(folder, *names):
        jobs = [Job("clip", tmp_path / f"{name}.mp4", name) for name in names]
        with FailureRecorder(QuietReporter(), ExtractionSettings(folder), jobs) as recorder:
            for job in jobs:
                recorder.job_done(Outcome(job.shown, "failed", f"{job.name} has no frames"))

    fail(out, "x", "y")
    fail(out / "below", "z")
    assert made().failures == 3
    assert [(f["clip"], f["reason"]) for f in failures(tmp_path)] == [
        ("x", "x has no frames"), ("y", "y has no frames"), ("below/z", "z has no frames"),
    ]  # fmt: skip
    table = write_result(out, "x", seed=3)
    sidecar = table.with_name("x.parquet.json")
    sidecar.write_text(sidecar.read_text().replace('"date": "20', '"date": "21'))
    assert made().failures == 2


def test_files_that_nothing_describes_are_not_taken(tmp_path, out, made):
    write_result(out, "a")
    (out / "truth.csv").write_text("frame\n1\n")
    (out / "other.csv").write_text("a\n1\n")
    (out / "other.csv.json").write_text('{"made": "by others"}')
    (out / "a_aligned").mkdir()
    write_result(out / ".hidden", "b")
    made(data_set="out/data")
    made(data_set="out/data")  # in one of the folders, and not taken for one
    assert parquet.read_table(out / "data/clips.parquet")["clip"].to_pylist() == ["a"]


def test_long_clips_are_read_in_parts(tmp_path, out, made, monkeypatch):
    monkeypatch.setattr(rows_module, "ROW_GROUP", 4)
    for seed, (name, kind) in enumerate({"a": "csv", "b": "parquet", "c": "parquet"}.items()):
        write_result(out, name, 11, seed=seed, table_format=kind)
    made(rows=5)
    assert len(files(tmp_path)) == 3
    assert frames(tmp_path)["frame"].tolist() == [*range(1, 12)] * 3
    for path in (tmp_path / "data/frames").iterdir():
        groups = parquet.ParquetFile(path).metadata
        assert [groups.row_group(k).num_rows for k in range(groups.num_row_groups)] == [4, 4, 3]
    made(rows=100)
    groups = parquet.ParquetFile(next((tmp_path / "data/frames").iterdir())).metadata
    assert [groups.row_group(k).num_rows for k in range(groups.num_row_groups)] == [4] * 8 + [1]


def test_every_file_says_what_it_was_made_with(tmp_path, out, made):
    write_result(out, "a")
    made()
    (path,) = (tmp_path / "data/frames").iterdir()
    facts = json.loads(parquet.read_schema(path).metadata[b"auparity"])
    assert facts["bundles"] == {"b" * 64: "openface 2.2"}
    assert facts["rounded"] is False
    assert json.loads((tmp_path / "data/dataset.json").read_text())["bundles"] == facts["bundles"]


def test_overwrite_writes_every_file_anew(tmp_path, out, made):
    write_result(out, "a")
    made()
    before = files(tmp_path)
    (tmp_path / "data/clips.parquet").write_bytes(b"damaged")
    with pytest.raises(FileFormatError, match="--overwrite"):
        made()
    assert made(overwrite=True).written == 1
    assert files(tmp_path).keys() == before.keys()
    assert files(tmp_path) != before


def test_a_folder_of_others_is_left_alone(tmp_path, out, made):
    write_result(out, "a")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.txt").touch()
    with pytest.raises(AuparityError, match="holds other things"):
        made()
    (tmp_path / "file").touch()
    with pytest.raises(AuparityError, match="is not a directory"):
        made(data_set="file")


def test_nothing_to_make_it_of_is_an_error_and_changes_nothing(tmp_path, out, made):
    out.mkdir()
    with pytest.raises(AuparityError, match="no whole table"):
        made()
    with pytest.raises(AuparityError, match="is not a directory"):
        made(tmp_path / "gone")
    write_result(out, "a")
    made()
    (out / "a.parquet").unlink()
    (out / "a.parquet.json").unlink()
    with pytest.raises(AuparityError, match="no whole table"):
        made()
    assert len(frames(tmp_path)) == 3


def test_a_full_disk_leaves_the_earlier_state(tmp_path, out, made, monkeypatch):
    write_result(out, "a")
    made()
    write_result(out, "b", seed=1)

    class Full:
        def __init__(self, *arguments, **options):
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(parquet, "ParquetWriter", Full)
        with pytest.raises(WriteError, match=r"part-\w+\.parquet: cannot be written \(No space left on device\)"):
            made()
    assert set(frames(tmp_path)["clip"]) == {"a"}
    assert not list((tmp_path / "data").rglob("*.tmp"))
    made()
    assert set(frames(tmp_path)["clip"]) == {"a", "b"}


def test_where_there_are_no_links_files_that_stay_are_copied(tmp_path, out, made, monkeypatch):
    write_result(out, "a")
    made(rows=3)
    write_result(out, "b", seed=1)

    def no_links(*arguments):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", no_links)
    assert (made().written, len(frames(tmp_path))) == (1, 6)
