"""A disk that is full, or a file that may not grow: what is kept, what is removed, and what is said."""

from __future__ import annotations

import errno
import json
import os
import pickle
from contextlib import contextmanager
from importlib import import_module

import cv2
import numpy as np
import pytest

from auparity.atomic_files import close_quietly, writing
from auparity.errors import WriteError
from auparity.extraction import table_writers
from auparity.extraction.clips import extract_clip
from auparity.extraction.engines.serial import SerialEngine
from auparity.extraction.jobs import Job
from auparity.extraction.outputs import writers
from auparity.extraction.outputs.files import PartFolder
from auparity.extraction.outputs.settings import AlignedFaces, OutputSettings
from auparity.extraction.photographs import extract_photograph
from auparity.extraction.progress import QuietReporter
from auparity.extraction.types import ExtractionSettings
from auparity.media import open_clip
from auparity.parity_tests.unit.extraction.test_outputs import FacePipeline
from auparity.parity_tests.unit.helpers.fake_pipeline import result, write_video
from auparity.reports.clips.table import read_result_table

FRAMES = 6
SINGLE = {
    "hog": OutputSettings(hog=True),
    "aligned": OutputSettings(aligned=AlignedFaces()),
    "tracked": OutputSettings(tracked=True),
}
EVERYTHING = OutputSettings(hog=True, aligned=AlignedFaces(), details=True)  # but the overlay, which takes a while
FILES = {"hog": "face.hog", "aligned": "face_aligned", "tracked": "face.tracked.webm"}
posix = pytest.mark.skipif(os.name != "posix", reason="limits of file sizes are POSIX's")


@pytest.fixture
def clip(tmp_path):
    return write_video(tmp_path / "face.avi", FRAMES)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def run(path, out, outputs, **settings):
    # Decoded here: a process that decodes would inherit the limits below, and outlive them.
    with open_clip(path, isolate=False) as source:
        return extract_clip(FacePipeline(), source, ExtractionSettings(out, outputs=outputs, **settings), name="face")


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@contextmanager
def files_of_at_most(n_bytes):
    """No file of this process grows beyond so many bytes; a write beyond them fails as one to a full disk does."""
    resource = import_module("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@posix
@pytest.mark.parametrize(
    ("output", "limit", "rows", "cause"),
    [
        # A descriptor has 18 kB, a row of the table 5 kB, an aligned face 38 kB, and the video about 500 kB.
        ("hog", 60_000, 3, os.strerror(errno.EFBIG)),
        ("aligned", 30_000, 0, os.strerror(errno.EFBIG)),
        ("tracked", 200_000, FRAMES, "the disk may be full"),
    ],
)
def test_a_file_that_cannot_grow_ends_the_clip_and_its_rows_are_kept(clip, out, output, limit, rows, cause):
    with files_of_at_most(limit):
        if rows:
            outcome = run(clip, out, SINGLE[output])
        else:
            with pytest.raises(WriteError, match=cause):
                run(clip, out, SINGLE[output])
    if rows == 0:
        assert names(out) == []
        return
    assert outcome.status == "incomplete"
    assert f"{out / FILES[output]}: cannot be written (" in outcome.message
    assert cause in outcome.message
    assert names(out) == ["face.incomplete.csv", "face.incomplete.csv.json"]
    table = read_result_table(out / "face.incomplete.csv")
    assert len(table) == outcome.rows == rows
    assert table.columns["AU12_r"][0] == 0.25, "post-processed"
    sidecar = json.loads((out / "face.incomplete.csv.json").read_text())
    assert (sidecar["complete"], "outputs" in sidecar) == (False, False)
    assert cause in sidecar["reason"]
    assert run(clip, out, SINGLE[output]).status == "done"
    assert names(out) == sorted(["face.csv", "face.csv.json", FILES[output]])


class Full:
    """From the n-th call on a method fails as on a full disk."""

    def __init__(self, monkeypatch, owner, name, calls):
        real, self.left = getattr(owner, name), calls

        def method(this, *arguments):
            self.left -= 1
            if self.left < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(this, *arguments)

        monkeypatch.setattr(owner, name, method)


@pytest.mark.parametrize("table_format", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("owner", "name", "file"),
    [(writers.HogWriter, "append", "face.hog"), (PartFolder, "write", "face_aligned")],
)
def test_a_full_disk_keeps_the_rows_and_removes_every_other_file(
    clip, out, monkeypatch, owner, name, file, table_format
):
    if table_format == "parquet":
        pytest.importorskip("pyarrow")
    with monkeypatch.context() as patch:
        Full(patch, owner, name, 3)
        outcome = run(clip, out, EVERYTHING, table_format=table_format)
    assert f"{out / file}: cannot be written ({os.strerror(errno.ENOSPC)})." in outcome.message
    table = f"face.incomplete.{table_format}"
    assert names(out) == [table, f"{table}.json"]
    assert len(read_result_table(out / table)) == 3


@pytest.mark.parametrize("name", ["put", "finish"])
def test_a_disk_that_is_full_at_the_end_of_a_clip_keeps_no_half_of_it(clip, out, monkeypatch, name):
    with monkeypatch.context() as patch:
        Full(patch, writers.HogWriter, name, 0)
        if name == "finish":
            assert run(clip, out, EVERYTHING).rows == FRAMES
            assert names(out) == ["face.incomplete.csv", "face.incomplete.csv.json"]
        else:
            with pytest.raises(WriteError, match=r"face\.hog: cannot be written .*The 6 rows so far are in .*\.part"):
                run(clip, out, EVERYTHING)
    assert run(clip, out, EVERYTHING).status == "done"
    assert len(names(out)) == 5


def test_outputs_of_an_earlier_run_that_was_cut_off_do_not_stay_beside_another_table(clip, out, monkeypatch):
    pipeline = FacePipeline(fail_at=2, failure=KeyboardInterrupt())
    with open_clip(clip) as source:
        extract_clip(pipeline, source, ExtractionSettings(out, outputs=EVERYTHING), name="face")
    assert len(names(out)) == 5
    with monkeypatch.context() as patch:
        Full(patch, writers.HogWriter, "append", 3)
        assert run(clip, out, EVERYTHING).rows == 3
    assert names(out) == ["face.incomplete.csv", "face.incomplete.csv.json"]
    assert run(clip, out, EVERYTHING).status == "done"


@posix
def test_a_table_that_cannot_grow_is_finished_with_the_rows_that_it_has(clip, out):
    with files_of_at_most(20_000):
        outcome = run(clip, out, OutputSettings())
    assert outcome.status == "incomplete"
    assert f"{out / 'face.csv'}: cannot be written (" in outcome.message
    assert names(out) == ["face.incomplete.csv", "face.incomplete.csv.json"]
    assert 2 < len(read_result_table(out / "face.incomplete.csv")) < FRAMES


@posix
def test_a_disk_without_any_room_is_noticed_before_anything_is_measured(clip, out):
    with files_of_at_most(10), pytest.raises(WriteError, match=r"face\.csv: cannot be written"):
        run(clip, out, EVERYTHING)
    assert names(out) == []


def test_a_table_without_rows_has_its_header(out):
    out.mkdir()
    table = table_writers.open_table(out / "face.csv", "photograph", "csv")
    assert table.finish(None).rows == 0
    assert table.part.read_bytes().startswith(b"face,confidence,")


@pytest.mark.parametrize("table_format", ["csv", "parquet"])
def test_where_there_is_no_room_for_the_table_its_rows_stay_in_the_part_file(clip, out, table_format, monkeypatch):
    if table_format == "parquet":
        pytest.importorskip("pyarrow")

    def full(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(table_writers, "flush_to_disk", full)
        with pytest.raises(WriteError) as raised:
            run(clip, out, EVERYTHING, table_format=table_format)
    (part,) = out.iterdir()
    table = out / f"face.{table_format}"
    assert str(raised.value) == (
        f"{table}: cannot be written ({os.strerror(errno.ENOSPC)}). The {FRAMES} rows so far are in {part}."
    )
    assert part.stat().st_size > 10_000
    assert run(clip, out, OutputSettings(), table_format=table_format).status == "done"
    assert names(out) == [table.name, f"{table.name}.json"]


@posix
def test_a_parquet_table_that_had_no_room_for_a_moment_is_whole_afterwards(out, monkeypatch):
    pytest.importorskip("pyarrow")
    monkeypatch.setattr(table_writers, "ROWS_PER_BATCH", 2)
    out.mkdir()
    table = table_writers.open_table(out / "face.parquet", "clip", "parquet")
    for k in range(5):
        table.append(result(k))
    with files_of_at_most(table.part.stat().st_size + 100), pytest.raises(WriteError):
        table.append(result(5))
    table.finish(None).put(out / "face.parquet")
    table.discard_part()
    columns = import_module("pyarrow.parquet").read_table(str(out / "face.parquet"))
    assert columns["frame"].to_pylist() == [1, 2, 3, 4, 5, 6]
    assert columns["x_0"].to_pylist() == [0, 1, 2, 3, 4, 5]


def test_the_other_clips_of_a_batch_go_on(tmp_path, out, monkeypatch):
    clips = [write_video(tmp_path / f"{name}.avi", 4) for name in "abc"]
    append = writers.HogWriter.append

    def full(self, image, results):
        append(self, image, results)
        if self._part.path.name.startswith("b.hog") and results[0].index == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writers.HogWriter, "append", full)
    jobs = [Job("clip", path, path.stem) for path in clips]
    settings = ExtractionSettings(out, outputs=OutputSettings(hog=True))
    outcomes = SerialEngine(FacePipeline()).run(jobs, settings, QuietReporter(), lambda: False)
    assert [(outcome.status, outcome.rows) for outcome in outcomes] == [("done", 4), ("incomplete", 2), ("done", 4)]
    whole = [f"{name}{end}" for name in "ac" for end in (".csv", ".csv.json", ".hog")]
    assert names(out) == sorted([*whole, "b.incomplete.csv", "b.incomplete.csv.json"])


def test_an_image_says_which_file_had_no_room_and_leaves_nothing(tmp_path, out, monkeypatch):
    image = tmp_path / "two.png"
    cv2.imwrite(str(image), np.zeros((48, 64, 3), np.uint8))
    Full(monkeypatch, PartFolder, "write", 1)
    with pytest.raises(WriteError, match=r"two_aligned: cannot be written \(No space left on device\)"):
        extract_photograph(FacePipeline(), image, ExtractionSettings(out, outputs=EVERYTHING))
    assert names(out) == []


def test_errors_of_writing_name_the_file_and_travel_between_processes(tmp_path):
    with pytest.raises(WriteError) as raised, writing(tmp_path / "a.hog"):
        raise OSError(errno.ENOSPC, "No space left on device")
    error = pickle.loads(pickle.dumps(raised.value))
    assert str(error) == f"{tmp_path / 'a.hog'}: cannot be written (No space left on device)."
    assert isinstance(error, OSError)
    with pytest.raises(WriteError) as again, writing(tmp_path / "b"):
        raise error
    assert again.value is error


@posix
def test_a_file_that_had_no_room_can_still_be_closed(tmp_path):
    with (tmp_path / "a").open("wb") as file, files_of_at_most(10):
        file.write(b"x" * 100)
        close_quietly(file)
        assert file.closed
