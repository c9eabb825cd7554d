"""A study has every clip of its folders once, whatever the order and the number of processes, and says what is odd."""

from __future__ import annotations

import numpy as np
import pytest

from auparity.dataset.build import Wish, build
from auparity.dataset.progress import QuietProgress
from auparity.errors import AuparityError, FileFormatError
from auparity.extraction.failure_recorder import FailureRecorder
from auparity.extraction.jobs import Job
from auparity.extraction.progress import QuietReporter
from auparity.extraction.types import ExtractionSettings, Outcome
from auparity.parity_tests.unit.helpers.result_folders import write_result
from auparity.reports.clips.measures import measures
from auparity.reports.clips.sidecar import CHANGED
from auparity.reports.clips.table import read_result_table
from auparity.study.datasets import is_data_set, study_of_data_set
from auparity.study.gather import study_of_folders


class Told(QuietProgress):
    def __init__(self):
        self.total = self.rows = 0

    def started(self, rows):
        self.total = rows

    def rows_done(self, rows):
        self.rows += rows


@pytest.fixture
def out(tmp_path):
    """Two subjects in folders of their own, an image, and a clip that is not whole."""
    folder = tmp_path / "out"
    for number, subject in enumerate(("P01", "P02")):
        write_result(folder, f"{subject}/face", 30, seed=number, table_format="csv", labels={"subject": subject})
    write_result(folder, "group", 12, seed=5, table_format="csv", faces="all", lost=0, persons=[0, 1, 2] * 4)
    write_result(folder, "photo", 2, seed=3, kind="photograph", table_format="csv")
    write_result(folder, "warned", 6, seed=7, table_format="csv")
    write_result(folder, "broken", 9, seed=4, table_format="csv", complete=False)
    return folder


def gathered(*folders, processes=1):
    progress = Told()
    return study_of_folders({folder: str(folder) for folder in folders}, progress, processes), progress


def by_name(study):
    return {row.name: row for row in study.rows}


def test_each_clip_and_person_has_a_row_with_its_labels_and_figures(out):
    study, progress = gathered(out)
    rows = by_name(study)
    people = [f"group, person {number}" for number in range(3)]
    assert [*rows] == ["P01/face", "P02/face", "broken", *people, "photo", "warned"]
    assert rows["P02/face"].labels == {"subject": "P02"}
    assert rows["P01/face"].figures == measures(read_result_table(out / "P01" / "face.csv", ()))
    assert rows["P01/face"].share == pytest.approx(20 / 30)
    assert rows["group, person 1"].share == pytest.approx(4 / 12)
    assert (rows["photo"].kind, rows["photo"].share, rows["photo"].figures.rows) == ("image", None, 2)
    assert (rows["broken"].status, rows["broken"].warnings) == ("incomplete", ["not whole: interrupted"])
    assert rows["warned"].warnings == ["only <rendered> faces"]
    assert rows["P01/face"].page == out / "P01" / "face.html"
    assert progress.rows == progress.total == 2 * 30 + 12 + 2 + 6 + 9
    assert study.failures == study.problems == []
    assert any("1 images" in note for note in study.notes)


def test_processes_change_nothing(out):
    one, _ = gathered(out)
    several, progress = gathered(out, processes=2)
    assert [(row.name, row.figures) for row in several.rows] == [(row.name, row.figures) for row in one.rows]
    assert progress.rows == progress.total


def test_a_failed_input_is_in_the_study_until_it_is_measured(out, tmp_path):
    job = Job("clip", tmp_path / "bad.mp4", "bad")
    with FailureRecorder(QuietReporter(), ExtractionSettings(out), [job]) as recorder:
        recorder.job_done(Outcome(job.shown, "failed", "no frame can be decoded"))
    (failed,) = gathered(out)[0].failures
    assert (failed.input, failed.status) == (str(tmp_path / "bad.mp4"), "failed")
    assert failed.reason == "no frame can be decoded"
    sidecar = write_result(out, "bad", 3, seed=9, table_format="csv").with_name("bad.csv.json")
    sidecar.write_text(sidecar.read_text().replace('"date": "20', '"date": "21'))  # later than it failed
    assert gathered(out)[0].failures == []


@pytest.mark.parametrize("damage", [b"frame,success\n1\n", b"\xff\xfe", b"", b"a,b\n1,2\n"])
def test_a_table_that_cannot_be_used_costs_only_itself(out, damage):
    (out / "warned.csv").write_bytes(damage)
    study, _ = gathered(out)
    assert "warned" not in by_name(study)
    assert len(study.rows) == 7
    assert ["warned.csv" in problem for problem in study.problems] == [True]
    (failed,) = study.failures
    assert failed.status == "not usable"
    assert failed.input.endswith("warned.csv")


def test_a_table_that_was_changed_is_shown_with_a_warning(out):
    table = out / "warned.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join(lines[:-2]) + "\n")
    row = by_name(gathered(out)[0])["warned"]
    assert row.figures.rows == 4
    assert CHANGED in row.warnings


def test_a_data_set_gives_the_same_study_as_its_tables(out, tmp_path):
    pytest.importorskip("pyarrow")
    build([out], tmp_path / "data", Wish(incomplete=True, rows=40), QuietProgress())
    assert is_data_set(tmp_path / "data")
    assert not is_data_set(out)
    of_tables, progress = gathered(out)[0], Told()
    study = study_of_data_set(tmp_path / "data", "data", progress, 1)
    assert progress.rows == progress.total
    assert [*by_name(study)] == [*by_name(of_tables)]
    for row, same in zip(study.rows, of_tables.rows, strict=True):
        assert (row.labels, row.status, row.kind, row.frames) == (same.labels, same.status, same.kind, same.frames)
        assert (row.warnings, row.page) == (same.warnings, same.page)
        assert row.figures.tracked == same.figures.tracked
        means = [au.mean for au in row.figures.aus.values() if au.mean is not None]
        assert means == pytest.approx([au.mean for au in same.figures.aus.values() if au.mean is not None], rel=1e-14)
        assert len(means) == 17


def test_clips_of_a_data_set_may_have_other_columns(tmp_path):
    pytest.importorskip("pyarrow")
    write_result(tmp_path / "out", "a", 5, seed=1, columns=("aus",))
    write_result(tmp_path / "out", "b", 5, seed=2, columns=("pose",))
    build([tmp_path / "out"], tmp_path / "data", Wish(), QuietProgress())
    rows = by_name(study_of_data_set(tmp_path / "data", "data", QuietProgress(), 1))
    assert len(rows["a"].figures.aus) == 18
    assert rows["b"].figures.aus == {}


def test_rows_of_a_data_set_that_are_gone_are_named(out, tmp_path):
    pytest.importorskip("pyarrow")
    build([out], tmp_path / "data", Wish(), QuietProgress())
    (file,) = (tmp_path / "data" / "frames").glob("*.parquet")
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(FileFormatError, match="--overwrite"):
        study_of_data_set(tmp_path / "data", "data", QuietProgress(), 1)
    file.unlink()
    with pytest.raises(FileFormatError, match="--overwrite"):
        study_of_data_set(tmp_path / "data", "data", QuietProgress(), 1)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(AuparityError, match="not a directory"):
        gathered(tmp_path / "nowhere")


def test_figures_are_finite_or_missing(out):
    for row in gathered(out)[0].rows:
        values = [row.share, row.figures.confidence, row.seconds]
        values += [value for au in row.figures.aus.values() for value in (au.mean, au.largest, au.present)]
        assert all(value is None or np.isfinite(value) for value in values)
