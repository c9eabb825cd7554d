"""What one clip or photograph becomes: whole, limited, interrupted, damaged, or left alone because it is there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import threading
from itertools import count
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from auparity import __version__
from auparity.accelerated.parallel import streams
from auparity.errors import AuparityError, ContractError, VideoError, WriteError
from auparity.extraction import table_writers
from auparity.extraction.clip_run import camera_for
from auparity.extraction.clips import extract_clip
from auparity.extraction.jobs import StopSwitch
from auparity.extraction.photographs import extract_photograph
from auparity.extraction.sidecars import Intrinsics
from auparity.extraction.table_writers import CSVTable, ParquetTable
from auparity.extraction.tables import header
from auparity.extraction.types import ExtractionSettings, NoProgress
from auparity.media import Frame, open_clip
from auparity.parity_tests.unit.helpers.fake_pipeline import FakePipeline, write_images, write_video
from auparity.parity_tests.unit.live.test_measure import FacesPipeline


@pytest.fixture
def clip(tmp_path):
    return write_video(tmp_path / "face.avi", 8)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def run(path, out, pipeline=None, stop=None, **settings):
    """In one thread where tests stop the clip or press keys while a frame is measured, and count the rows."""
    overlap = stop is None and (pipeline is None or pipeline.before_frame is None)
    with open_clip(path) as source:
        return extract_clip(
            pipeline or FakePipeline(), source, ExtractionSettings(out, **settings), stop=stop or (lambda: False),
            overlap=overlap,
        )  # fmt: skip


def rows(path) -> list[dict[str, str]]:
    lines = path.read_text().splitlines()
    return [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]


class Progress(NoProgress):
    """Remembers what it is told."""

    def __init__(self):
        self.announced, self.frames = [], 0

    def started(self, n_frames):
        self.announced.append(n_frames)

    def frame_done(self):
        self.frames += 1


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def part_of(out):
    """The one file of rows of an unfinished clip."""
    (part,) = out.glob("face.csv.*.part")
    return part


def sidecar(path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def test_a_clip_becomes_a_table_with_post_processed_aus(clip, out):
    outcome = run(clip, out)
    assert (outcome.status, outcome.rows, outcome.table) == ("done", 8, out / "face.csv")
    assert names(out) == ["face.csv", "face.csv.json"]
    table = rows(out / "face.csv")
    assert [row["frame"] for row in table] == [str(k) for k in range(1, 9)]
    assert [row["timestamp"] for row in table] == [f"{k / 25:.3f}" for k in range(8)]
    assert [row["AU12_r"] for row in table] == [f"{(k + 1) / 4:.2f}" for k in range(8)]
    assert {row["AU45_c"] for row in table} == {"1.00"}
    assert [row["success"] for row in table] == ["1", "0"] * 4


def test_the_part_file_holds_the_online_aus_of_every_frame_so_far(clip, out):
    seen = []

    def look(index):
        seen.append([row["AU01_r"] for row in rows(part_of(out))])

    run(clip, out, FakePipeline(before_frame=look))
    assert seen[3] == ["0.00", "-0.12", "-0.25"]
    assert [len(values) for values in seen] == list(range(8))


def test_the_sidecar_says_what_was_made_of_what_by_what_and_how(clip, out):
    pipeline = FakePipeline()
    pipeline.precision = "float64"
    run(clip, out, pipeline)
    content = sidecar(out / "face.csv.json")
    assert content["auparity"] == __version__
    assert content["complete"] is True
    assert content["reason"] is None
    assert (content["frames"], content["frames_with_success"]) == (8, 4)
    assert content["table"] == {
        "name": "face.csv",
        "rows": 8,
        "bytes": (out / "face.csv").stat().st_size,
        "sha256": hashlib.sha256((out / "face.csv").read_bytes()).hexdigest(),
        "replaces": None,
    }
    assert content["input"] == {
        "path": str(clip.resolve()),
        "kind": "video",
        "bytes": clip.stat().st_size,
        "sha256": hashlib.sha256(clip.read_bytes()).hexdigest(),
        "frames_declared": 8,
        "fps": 25.0,
        "height": 48,
        "width": 64,
    }
    assert content["bundle"]["content_hash"] == "0123456789abcdef"
    assert content["bundle"]["source"]["reason"] == "there are no CE-CLM files"
    assert content["request"]["precision"] == "float64"
    assert content["variants"] == {"fhog": "fake"}
    assert content["camera"] == {"fx": 50.0, "fy": 50.0, "cx": 32.0, "cy": 24.0}
    assert content["seconds"] >= 0
    assert content["date"].endswith("+00:00")


def test_the_camera_is_guessed_from_the_image_where_it_is_not_given(clip, out):
    image = np.zeros((480, 640, 3), np.uint8)
    assert (camera_for(Intrinsics(), image).fx, camera_for(Intrinsics(), image).cx) == (500.0, 320.0)
    given = camera_for(Intrinsics(fx=700, fy=710), image)
    assert (given.fx, given.fy, given.cx, given.cy) == (700, 710, 320.0, 240.0)
    pipeline = FakePipeline()
    run(clip, out, pipeline, intrinsics=Intrinsics(700, 710, 30, 20))
    assert (pipeline.sessions[0]["camera"].cy, pipeline.sessions[0]["online"]) == (20, False)


@pytest.mark.parametrize(("max_frames", "expected"), [(None, 8), (3, 3), (8, 8), (20, 8)])
def test_progress_is_told_the_frames_that_will_be_measured(clip, out, max_frames, expected):
    progress = Progress()
    with open_clip(clip) as source:
        extract_clip(FakePipeline(), source, ExtractionSettings(out, max_frames=max_frames), progress=progress)
    assert progress.announced == [expected]
    assert progress.frames == expected


def test_an_image_sequence_is_a_clip_without_times(tmp_path, out):
    run(write_images(tmp_path / "subject.01", 3), out)
    assert [row["timestamp"] for row in rows(out / "subject.01.csv")] == ["0.000"] * 3


def test_frames_per_second_are_recorded_where_they_were_used(clip, tmp_path, out):
    run(clip, out, fps=10.0)  # the container knows better
    assert sidecar(out / "face.csv.json")["request"]["fps"] is None
    with open_clip(write_images(tmp_path / "folder", 3), fps=10.0) as source:
        extract_clip(FakePipeline(), source, ExtractionSettings(out, fps=10.0))
    assert sidecar(out / "folder.csv.json")["request"]["fps"] == 10.0
    assert [row["timestamp"] for row in rows(out / "folder.csv")] == ["0.000", "0.100", "0.200"]


# --- interruption ---------------------------------------------------------------------------------------------------


def assert_incomplete(outcome, out, n):
    assert (outcome.status, outcome.rows) == ("interrupted", n)
    assert f"INCOMPLETE, interrupted after {n} of 8 frames" in outcome.message
    assert str(out / "face.incomplete.csv") in outcome.message
    assert names(out) == ["face.incomplete.csv", "face.incomplete.csv.json"]
    assert [row["AU12_r"] for row in rows(out / "face.incomplete.csv")] == [f"{(k + 1) / 4:.2f}" for k in range(n)]
    content = sidecar(out / "face.incomplete.csv.json")
    assert (content["complete"], content["reason"], content["frames"]) == (False, "interrupted", n)


def test_a_clip_interrupted_inside_a_frame_is_finished_up_to_it(clip, out):
    assert_incomplete(run(clip, out, FakePipeline(fail_at=5, failure=KeyboardInterrupt())), out, 5)


def test_a_clip_stopped_between_frames_is_finished_up_to_there(clip, out):
    pipeline = FakePipeline()
    assert_incomplete(run(clip, out, pipeline, stop=lambda: part_of(out).read_text().count("\n") == 4), out, 3)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_the_first_ctrl_c_finishes_what_is_done_and_so_does_the_end_of_a_scheduled_job(clip, out, name):
    number = getattr(signal, name, None)
    if number is None:
        pytest.skip(f"this system has no {name}")
    before = signal.getsignal(number)
    if before is signal.SIG_IGN:
        pytest.skip(f"{name} is ignored here, as under nohup, and stays so")
    with StopSwitch() as stop:
        pressing = FakePipeline(before_frame=lambda k: signal.raise_signal(number) if k == 2 else None)
        assert_incomplete(run(clip, out, pressing, stop=stop), out, 3)
    assert signal.getsignal(number) is before


def test_the_second_ctrl_c_stops_at_once_and_leaves_the_part_file(clip, out):
    def press_twice(k):
        if k == 2:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with StopSwitch() as stop, pytest.raises(KeyboardInterrupt):
        run(clip, out, FakePipeline(before_frame=press_twice), stop=stop)
    assert names(out) == [part_of(out).name]
    assert len(rows(part_of(out))) == 2


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_with_threads_the_first_ctrl_c_keeps_the_frames_that_were_begun(tmp_path, out, monkeypatch, name):
    monkeypatch.setattr(streams, "usable_cores", lambda: 2)
    number, seen = getattr(signal, name), []

    def observe(faces):
        seen.extend(face.index for face in faces)
        if len(seen) == 3:
            signal.raise_signal(number)

    with open_clip(write_video(tmp_path / "face.avi", 60)) as source, StopSwitch() as stop:
        outcome = extract_clip(FakePipeline(), source, ExtractionSettings(out), stop=stop, observer=observe)
    ahead = 2 * (streams.WAITING + 1) + 1  # in each thread, and between them
    assert outcome.status == "interrupted"
    assert seen == list(range(outcome.rows))
    assert 3 <= outcome.rows <= 3 + ahead
    assert len(rows(out / "face.incomplete.csv")) == outcome.rows


def test_with_threads_the_second_ctrl_c_leaves_the_part_file_and_nothing_that_runs(clip, out, monkeypatch):
    monkeypatch.setattr(streams, "usable_cores", lambda: 2)

    def press_twice(faces):
        if faces[0].index == 2:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with StopSwitch() as stop, open_clip(clip) as source, pytest.raises(KeyboardInterrupt):
        extract_clip(FakePipeline(), source, ExtractionSettings(out), stop=stop, observer=press_twice)
    assert len(rows(part_of(out))) == 3
    assert not [thread for thread in threading.enumerate() if thread.name == "auparity-measuring"]


def test_an_interruption_before_the_first_frame_writes_nothing(clip, out):
    outcome = run(clip, out, FakePipeline(fail_at=0, failure=KeyboardInterrupt()))
    assert (outcome.status, outcome.table) == ("interrupted", None)
    assert names(out) == []


def test_an_interrupted_clip_is_not_taken_for_done_and_is_replaced_by_the_whole_one(clip, out):
    run(clip, out, FakePipeline(fail_at=5, failure=KeyboardInterrupt()))
    assert run(clip, out).status == "done"
    assert names(out) == ["face.csv", "face.csv.json"]


# --- damage ---------------------------------------------------------------------------------------------------------


def test_a_truncated_video_keeps_its_frames_as_incomplete(tmp_path, out):
    file = write_video(tmp_path / "cut.avi", 100)
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    outcome = run(file, out)
    assert outcome.status == "incomplete"
    assert f"The {outcome.rows} frames before that are in {out / 'cut.incomplete.csv'}" in outcome.message
    assert len(rows(out / "cut.incomplete.csv")) == outcome.rows > 40
    assert "truncated" in sidecar(out / "cut.incomplete.csv.json")["reason"]


def test_a_damaged_image_ends_its_sequence_there(tmp_path, out):
    folder = write_images(tmp_path / "clip", 5)
    (folder / "003.png").write_bytes(b"damaged")
    outcome = run(folder, out)
    assert (outcome.status, outcome.rows) == ("incomplete", 3)
    assert "003.png: cannot be decoded" in outcome.message


def test_a_clip_without_a_readable_frame_is_an_error_and_writes_nothing(tmp_path, out):
    folder = write_images(tmp_path / "clip", 2)
    (folder / "000.png").write_bytes(b"damaged")
    with pytest.raises(VideoError, match=r"000\.png"):
        run(folder, out)
    assert names(out) == []


def test_a_pipeline_that_fails_leaves_the_rows_so_far(clip, out):
    failure = ContractError("fhog", "aligned", "a", "b")
    with pytest.raises(ContractError):
        run(clip, out, FakePipeline(fail_at=4, failure=failure))
    assert names(out) == [part_of(out).name]
    assert len(rows(part_of(out))) == 4


# --- runs that follow -----------------------------------------------------------------------------------------------


def test_a_table_that_exists_is_skipped_unless_it_is_to_be_overwritten(clip, out):
    run(clip, out)
    pipeline = FakePipeline()
    outcome = run(clip, out, pipeline)
    assert (outcome.status, pipeline.sessions) == ("skipped", [])
    assert "skipped" in outcome.message
    assert run(clip, out, pipeline, overwrite=True).status == "done"
    assert len(pipeline.sessions) == 1


def test_a_table_of_another_program_is_left_alone_and_not_taken_for_ours(clip, out):
    out.mkdir()
    (out / "face.csv").write_text("theirs")
    outcome = run(clip, out)
    assert outcome.status == "failed"
    assert "nothing beside it says what it was made from" in outcome.message
    assert (out / "face.csv").read_text() == "theirs"


def test_a_table_that_was_changed_is_neither_skipped_nor_replaced(clip, out):
    run(clip, out)
    with (out / "face.csv").open("a") as file:
        file.write("a note\n")
    outcome = run(clip, out)
    assert (outcome.status, "it is not the table that face.csv.json describes" in outcome.message) == ("failed", True)
    assert run(clip, out, overwrite=True).status == "done"


def test_an_input_of_the_same_name_and_size_is_told_by_its_content(tmp_path, out):
    one = write_images(tmp_path / "one" / "face", 2)
    two = shutil.copytree(one, tmp_path / "two" / "face")
    image = bytearray((two / "001.png").read_bytes())
    cv2.imwrite(str(two / "001.png"), np.full((48, 64, 3), 7, np.uint8), [cv2.IMWRITE_PNG_COMPRESSION, 0])
    cv2.imwrite(str(one / "001.png"), np.full((48, 64, 3), 8, np.uint8), [cv2.IMWRITE_PNG_COMPRESSION, 0])
    assert (one / "001.png").stat().st_size == (two / "001.png").stat().st_size != len(image)
    run(one, out)
    outcome = run(two, out)
    assert outcome.status == "failed"
    assert "made from another input" in outcome.message
    assert run(shutil.copytree(one, tmp_path / "three" / "face"), out).status == "skipped"


def test_tables_of_two_formats_do_not_vouch_for_each_other(clip, out):
    pytest.importorskip("pyarrow")
    run(clip, out)
    (out / "face.parquet").write_bytes((out / "face.csv").read_bytes())
    assert run(clip, out, table_format="parquet").status == "failed"
    assert run(clip, out, table_format="parquet", overwrite=True).status == "done"
    assert names(out) == ["face.csv", "face.csv.json", "face.parquet", "face.parquet.json"]


@pytest.mark.parametrize("earlier", [False, True])
def test_a_run_killed_between_sidecar_and_table_is_done_again(clip, out, monkeypatch, earlier):
    if earlier:
        run(clip, out, max_frames=3)

    def killed(self, table):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("auparity.extraction.table_writers.Finished.put", killed)
        patch.setattr("auparity.extraction.table_writers.Finished.discard", lambda self: self.held.close())
        with pytest.raises(KeyboardInterrupt):
            run(clip, out, overwrite=True)
    assert run(clip, out).status == "done"
    assert names(out) == ["face.csv", "face.csv.json"]
    assert len(rows(out / "face.csv")) == 8


def test_two_runs_into_one_folder_do_not_touch_each_other(clip, out):
    """The second begins when the first is in its fifth frame, and ends before it."""
    inner = []
    first = FakePipeline(before_frame=lambda k: inner.append(run(clip, out)) if k == 4 else None)
    assert run(clip, out, first).status == "done"
    assert inner[0].status == "done"
    assert names(out) == ["face.csv", "face.csv.json"]
    assert [row["frame"] for row in rows(out / "face.csv")] == [str(k) for k in range(1, 9)]
    assert run(clip, out).status == "skipped"


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_link_that_lies_in_wait_is_not_followed(clip, out, tmp_path):
    out.mkdir()
    (tmp_path / "precious").write_text("precious")
    for name in ("face.csv.part", "face.csv.tmp", "face.csv.json.tmp"):
        (out / name).symlink_to(tmp_path / "precious")
    run(clip, out)
    assert (tmp_path / "precious").read_text() == "precious"
    assert (out / "face.csv").is_file()
    assert not (out / "face.csv").is_symlink()


def test_part_files_of_killed_runs_go_when_the_clip_is_done_and_those_of_others_stay(clip, out):
    out.mkdir()
    left, beside = out / "face.csv.0123456789ab.part", out / "face.csv.notes.part"
    left.write_text("rows")
    beside.write_text("of the user")
    run(clip, out)
    assert names(out) == ["face.csv", "face.csv.json", "face.csv.notes.part"]


def test_an_input_that_is_still_being_written_is_not_whole(clip, out):
    def grow(k):
        if k == 6:
            os.utime(clip, ns=(1, 1))

    outcome = run(clip, out, FakePipeline(before_frame=grow))
    assert outcome.status == "incomplete"
    assert "changed while it was measured" in outcome.message
    assert names(out) == ["face.incomplete.csv", "face.incomplete.csv.json"]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"intrinsics": Intrinsics(fx=700, fy=700)}, "with other camera intrinsics"),
        ({"max_frames": 5}, "of the whole clip"),
    ],
)
def test_a_table_that_was_made_otherwise_is_not_taken_for_the_one_asked_for(clip, out, changed, words):
    run(clip, out)
    outcome = run(clip, out, **changed)
    assert outcome.status == "failed"
    assert words in outcome.message
    assert "--overwrite" in outcome.message


def test_a_table_by_other_models_or_of_another_file_is_not_taken_for_the_one_asked_for(clip, tmp_path, out):
    run(clip, out)
    other = FakePipeline()
    other.bundle.content_hash = "fedcba"
    assert "with other models (fake, 0123456789ab)" in run(clip, out, other).message
    coarse = FakePipeline()
    coarse.precision = "bfloat16"
    assert "with precision float32" in run(clip, out, coarse).message
    (tmp_path / "b").mkdir()
    assert "made from another input" in run(write_video(tmp_path / "b" / "face.avi", 3), out).message


def test_a_limited_clip_is_whole_as_asked_but_not_the_whole_clip(clip, out):
    outcome = run(clip, out, max_frames=3)
    assert (outcome.status, outcome.rows) == ("done", 3)
    assert sidecar(out / "face.csv.json")["reason"] == "limit"
    assert run(clip, out, max_frames=3).status == "skipped"
    assert "of its first 3 frames only" in run(clip, out).message


def test_a_limit_beyond_the_end_changes_nothing(clip, out):
    run(clip, out, max_frames=8)
    assert sidecar(out / "face.csv.json")["reason"] is None
    assert run(clip, out).status == "skipped"
    assert run(clip, out, max_frames=20).status == "skipped"


def test_a_json_file_of_the_user_is_never_overwritten(clip, out):
    out.mkdir()
    (out / "face.csv.json").write_text('{"annotations": []}')
    with pytest.raises(AuparityError, match=r"face\.csv\.json: exists and was not written by auparity"):
        run(clip, out, overwrite=True)
    assert (out / "face.csv.json").read_text() == '{"annotations": []}'


# --- cameras --------------------------------------------------------------------------------------------------------


class EndlessCamera:
    name, path, kind, timestamps, live = "camera0", "camera:0", "camera", "clock", True
    n_frames = size_bytes = fps = None

    def __init__(self):
        self.warnings, self.problems, self.damaged_frames = [], [], []

    def __iter__(self):
        k = 0
        while True:
            yield Frame(np.zeros((48, 64, 3), np.uint8), k * 0.1)
            k += 1

    def close(self):
        """Nothing is open."""


@pytest.mark.parametrize("settings", [{"max_frames": 6}, {"max_seconds": 0.55}])
def test_a_camera_runs_to_its_limit_in_online_mode(out, settings):
    pipeline = FakePipeline()
    outcome = extract_clip(pipeline, EndlessCamera(), ExtractionSettings(out, **settings))
    assert (outcome.status, outcome.rows) == ("done", 6)
    assert pipeline.sessions[0]["online"] is True
    assert rows(out / "camera0.csv")[5]["timestamp"] == "0.500"


def test_a_frame_at_exactly_the_last_second_is_not_measured(out):
    outcome = extract_clip(FakePipeline(), EndlessCamera(), ExtractionSettings(out, max_seconds=0.5))
    assert (outcome.status, outcome.rows) == ("done", 5)
    assert rows(out / "camera0.csv")[-1]["timestamp"] == "0.400"


def test_a_camera_has_as_many_frames_as_are_asked_for_or_nobody_knows(out):
    for max_frames, expected in ((6, 6), (None, None)):
        progress = Progress()
        settings = ExtractionSettings(out, max_frames=max_frames, max_seconds=0.3, overwrite=True)
        extract_clip(FakePipeline(), EndlessCamera(), settings, progress=progress)
        assert progress.announced == [expected]


def test_damaged_frames_are_numbered_as_the_table_numbers_them(out):
    camera = EndlessCamera()
    camera.damaged_frames = [0, 2]  # as the source counts, from 0
    extract_clip(FakePipeline(), camera, ExtractionSettings(out, max_frames=4))
    assert sidecar(out / "camera0.csv.json")["damaged_frames"] == [1, 3]
    assert [row["frame"] for row in rows(out / "camera0.csv")] == ["1", "2", "3", "4"]


def test_stopping_a_camera_is_its_ordinary_end(out):
    outcome = extract_clip(
        FakePipeline(fail_at=4, failure=KeyboardInterrupt()), EndlessCamera(), ExtractionSettings(out)
    )
    assert (outcome.status, outcome.rows) == ("done", 4)
    assert sidecar(out / "camera0.csv.json")["complete"] is True


# --- photographs ----------------------------------------------------------------------------------------------------


@pytest.fixture
def photograph(tmp_path):
    cv2.imwrite(str(tmp_path / "group.png"), np.zeros((480, 640, 3), np.uint8))
    return tmp_path / "group.png"


def test_a_photograph_has_a_row_for_each_face_successful_or_not(photograph, out):
    outcome = extract_photograph(FakePipeline(), photograph, ExtractionSettings(out))
    assert (outcome.status, outcome.rows) == ("done", 2)
    assert [row["face"] for row in rows(out / "group.csv")] == ["0", "1"]
    assert sidecar(out / "group.csv.json")["faces"] == 2
    assert sidecar(out / "group.csv.json")["camera"]["fx"] == 500.0
    size = sidecar(out / "group.csv.json")["input"]
    assert (size["width"], size["height"]) == (640, 480)
    assert extract_photograph(FakePipeline(), photograph, ExtractionSettings(out)).status == "skipped"


def test_a_photograph_without_faces_is_a_table_without_rows(photograph, out):
    pipeline = FakePipeline()
    pipeline.faces_per_image = 0
    assert "no faces" in extract_photograph(pipeline, photograph, ExtractionSettings(out)).message
    assert (out / "group.csv").read_text() == header("photograph") + "\n"


def test_folders_above_a_table_are_made_if_they_are_missing_and_used_if_they_are_there(clip, photograph, out):
    settings = ExtractionSettings(out / "study")
    for name in ("sub-01/ses-1/face", "sub-01/ses-1/again"):
        with open_clip(clip) as source:
            outcome = extract_clip(FakePipeline(), source, settings, name=name)
        assert outcome.table == out / "study" / f"{name}.csv"
        assert outcome.table.is_file()
    for name in ("sub-02/ses-1/group", "sub-02/ses-1/again"):
        assert extract_photograph(FakePipeline(), photograph, settings, name=name).table.is_file()


def test_sidecars_say_how_long_it_took_to_the_millisecond(clip, photograph, out, monkeypatch):
    ticks = count(0.0, 1.23456)
    for module in ("clips", "photographs"):
        monkeypatch.setattr(f"auparity.extraction.{module}.time", SimpleNamespace(monotonic=lambda: next(ticks)))
    run(clip, out)
    extract_photograph(FakePipeline(), photograph, ExtractionSettings(out))
    assert [sidecar(out / name)["seconds"] for name in ("face.csv.json", "group.csv.json")] == [1.235, 1.235]


def test_sidecars_say_how_long_a_frame_took_where_a_few_took_longer(clip, out, monkeypatch):
    ticks = iter([0.0, 20.0, 20.25, 20.5, 33.0, 33.25, 33.5, 33.75, 0.0])  # kernels are compiled twice
    monkeypatch.setattr("auparity.extraction.clip_run.time", SimpleNamespace(monotonic=lambda: next(ticks)))
    run(clip, out)
    assert sidecar(out / "face.csv.json")["frame_ms"] == 250.0
    run(write_video(out.parent / "short.avi", 1), out)
    assert "frame_ms" not in sidecar(out / "short.csv.json")


def test_parquet_tables_are_named_so(clip, photograph, out):
    parquet = pytest.importorskip("pyarrow.parquet")
    run(clip, out, table_format="parquet")
    extract_photograph(FakePipeline(), photograph, ExtractionSettings(out, table_format="parquet"))
    assert names(out) == ["face.parquet", "face.parquet.json", "group.parquet", "group.parquet.json"]
    assert parquet.read_table(out / "face.parquet")["AU01_r"].to_pylist() == [(k + 1) / 4 for k in range(8)]
    assert parquet.read_table(out / "group.parquet")["face"].to_pylist() == [0, 1]


def test_an_interruption_between_two_faces_of_a_frame_leaves_the_frames_before_it(clip, out, monkeypatch):
    append = CSVTable.append

    def interrupted(self, face):
        append(self, face)
        if self.n_rows == 2:  # frame 0 has no face, frame 1 one, and frame 2 two
            raise KeyboardInterrupt

    monkeypatch.setattr(CSVTable, "append", interrupted)
    outcome = run(clip, out, FacesPipeline(), faces=2)
    assert (outcome.status, outcome.rows) == ("interrupted", 2)
    assert [row["frame"] for row in rows(out / "face.incomplete.csv")] == ["2"]


@pytest.mark.parametrize("table_format", ["csv", "parquet"])
@pytest.mark.parametrize("ending", ["end", "limit", "stopped", "error", "interrupt", "full disk"])
def test_threads_change_no_byte_of_a_table_however_the_clip_ends(clip, tmp_path, monkeypatch, table_format, ending):
    if table_format == "parquet":
        pytest.importorskip("pyarrow")
    tables = []
    for overlap in (False, True):
        monkeypatch.setattr(streams, "usable_cores", lambda: 2)
        outcome = ended_clip(clip, tmp_path / str(overlap), ending, monkeypatch, table_format, overlap)
        monkeypatch.undo()
        (table,) = (tmp_path / str(overlap)).glob(f"*.{table_format}")
        tables.append((table.name, table.read_bytes(), outcome.status, outcome.rows))
    one, other = tables
    assert one == other
    assert one[3] == {"end": 8, "limit": 5}.get(ending, 3)


def ended_clip(clip, out, ending, monkeypatch, table_format, overlap):
    """The outcome of a clip that ends after three frames, in one way or another."""
    pressed = []
    pipeline = FakePipeline(before_frame=lambda index: pressed.append(index) if index == 2 else None)
    settings = ExtractionSettings(out, table_format=table_format, max_frames=5 if ending == "limit" else None)
    with open_clip(clip) as source:
        if ending in ("error", "interrupt"):
            error = VideoError("cut off") if ending == "error" else KeyboardInterrupt()
            source = Ending(source, 3, error)
        if ending == "full disk":
            monkeypatch.setattr(table_writers, f"{'CSV' if table_format == 'csv' else 'Parquet'}Table", full_table)
        stop = (lambda: bool(pressed)) if ending == "stopped" else (lambda: False)
        return extract_clip(pipeline, source, settings, stop=stop, overlap=overlap)


class Ending:
    """A clip whose reading fails after some frames."""

    def __init__(self, source, count, error):
        self._source, self._count, self._error = source, count, error

    def __getattr__(self, name):
        return getattr(self._source, name)

    def __iter__(self):
        for number, frame in enumerate(self._source):
            if number == self._count:
                raise self._error
            yield frame


def full_table(table, layout, groups=None):
    """A table on a disk that is full after three rows."""
    kind = CSVTable if table.suffix == ".csv" else ParquetTable
    made = kind(table, layout, groups)
    append = made.append

    def full(row):
        if made.n_rows == 3:
            raise WriteError(table, "No space left on device")
        append(row)

    made.append = full
    return made
