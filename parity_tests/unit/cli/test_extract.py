"""`auparity extract` over many inputs: exit codes, summaries, and what it refuses before it starts."""

from __future__ import annotations

import argparse
import io
import json
import re
import signal
import sys

import cv2
import numpy as np
import pytest
from rich.console import Console

from auparity.accelerated.parallel import streams
from auparity.cli import extract as cli_extract
from auparity.cli import main
from auparity.errors import AuparityError, VariantUnavailable
from auparity.extraction.inputs import find_inputs
from auparity.extraction.jobs import Job, plan_jobs
from auparity.extraction.progress import LineReporter, QuietReporter
from auparity.extraction.progress_bars import BarReporter
from auparity.extraction.reporters import choose_reporter
from auparity.extraction.types import Outcome
from auparity.models.sources import EMBEDDED_NOTICE
from auparity.parity_tests.unit.helpers.fake_pipeline import FakePipeline, write_images, write_video


def parse(*arguments) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="auparity")
    cli_extract.add_parser(parser.add_subparsers())
    return parser.parse_args(["extract", *map(str, arguments)])


@pytest.fixture
def extract(tmp_path, monkeypatch):
    """Run the command in `tmp_path` with a fake pipeline; returns the exit code."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, pipeline=None) -> int:
        monkeypatch.setattr(cli_extract, "build_pipeline", lambda _: (pipeline or FakePipeline(), []))
        namespace = parse(*arguments)
        return namespace.run(namespace)

    return run


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_shares_do_all_inputs_together_and_agree_on_names(extract, tmp_path):
    for number in range(5):
        folder = tmp_path / f"sub{number}"
        folder.mkdir()
        write_video(folder / "face.avi", 2)
    for own in (1, 2, 3):
        assert extract("sub0", "sub1", "sub2", "sub3", "sub4", "--recursive", "--share", f"{own}/3", "-o", "out") == 0
        assert len(list((tmp_path / "out").rglob("*.csv"))) == (2, 4, 5)[own - 1]
    assert names(tmp_path / "out") == [f"sub{number}" for number in range(5)]
    write_video(tmp_path / "a.avi", 2)
    assert extract("a.avi", "--share", "2/2", "-o", "nothing") == 0  # nothing is left for it


def test_all_good_is_exit_code_0_and_writes_to_processed(extract, tmp_path, capsys):
    write_video(tmp_path / "a.avi", 3)
    write_images(tmp_path / "b", 2)
    assert extract("a.avi", "b") == 0
    assert names(tmp_path / "processed") == ["a.csv", "a.csv.json", "b.csv", "b.csv.json"]
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "[2/2] b" in printed.err
    assert "a.avi: 3 frames, 2 with a face" in printed.err
    assert printed.err.endswith("2 inputs: 2 done\n")


def test_unreadable_inputs_are_reported_the_rest_goes_on_and_the_code_is_1(extract, tmp_path, capsys):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    (tmp_path / "nothing").mkdir()
    cut = write_video(tmp_path / "cut.avi", 100)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    sequence = write_images(tmp_path / "sequence", 4)
    (sequence / "002.png").write_bytes(b"damaged")
    write_video(tmp_path / "good.avi", 3)
    inputs = ["missing.mp4", "empty.mp4", "text.mp4", "broken.jpg", "nothing", "cut.avi", "sequence", "good.avi"]
    assert extract(*inputs, "-o", "out", "--quiet") == 1
    assert names(tmp_path / "out") == [
        ".auparity-failures",
        "cut.incomplete.csv",
        "cut.incomplete.csv.json",
        "good.csv",
        "good.csv.json",
        "sequence.incomplete.csv",
        "sequence.incomplete.csv.json",
    ]
    reported = capsys.readouterr().err
    assert "missing.mp4: does not exist" in reported
    assert "empty.mp4: is empty" in reported
    assert "text.mp4: cannot be opened as a video" in reported
    assert "broken.jpg: cannot be decoded" in reported
    assert "nothing: holds no images" in reported
    assert "cut.avi: ends after" in reported
    assert "002.png: cannot be decoded" in reported


def test_a_run_is_resumed_by_the_same_command(extract, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(streams, "usable_cores", lambda: 1)  # threads could be done before the signal is handled
    for name in "abc":
        write_video(tmp_path / f"{name}.avi", 3)
    inputs = ["a.avi", "b.avi", "c.avi"]
    interrupted = FakePipeline(
        before_frame=lambda k: len(interrupted.sessions) == 2 and signal.raise_signal(signal.SIGINT)
    )
    assert extract(*inputs, pipeline=interrupted) == 130
    assert names(tmp_path / "processed") == ["a.csv", "a.csv.json", "b.incomplete.csv", "b.incomplete.csv.json"]
    assert "3 inputs: 1 done, 1 interrupted, 1 not started" in capsys.readouterr().err
    assert extract(*inputs) == 0
    assert names(tmp_path / "processed") == [f"{name}.{suffix}" for name in "abc" for suffix in ("csv", "csv.json")]
    assert "3 inputs: 2 done, 1 skipped" in capsys.readouterr().err


def test_stopping_at_once_is_exit_code_130_and_names_the_part_file(extract, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(streams, "usable_cores", lambda: 1)  # in one thread: two signals sent by another count as one
    write_video(tmp_path / "a.avi", 5)

    def press_twice(k):
        if k == 2:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    assert extract("a.avi", pipeline=FakePipeline(before_frame=press_twice)) == 130
    assert re.fullmatch(r"a\.csv\.[0-9a-f]+\.part", *names(tmp_path / "processed"))
    assert "the file that ends in .part" in capsys.readouterr().err


def test_an_interrupted_photograph_ends_the_run(extract, tmp_path):
    folder = write_images(tmp_path / "album", 3)
    assert extract(folder, "--photographs", pipeline=FakePipeline(failure=KeyboardInterrupt())) == 130


def test_a_defect_is_reported_with_its_traceback_and_the_rest_goes_on(extract, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "photo.png"), np.zeros((8, 8, 3), np.uint8))
    write_video(tmp_path / "good.avi", 3)
    assert extract("photo.png", "good.avi", pipeline=FakePipeline(failure=ZeroDivisionError("ours"))) == 1
    reported = capsys.readouterr().err
    assert "photo.png: internal error; please report it" in reported
    assert "ZeroDivisionError: ours" in reported
    assert "good.csv" in names(tmp_path / "processed")


def test_a_folder_is_a_clip_or_photographs_as_asked(extract, tmp_path):
    write_images(tmp_path / "album", 2)
    assert extract("album", "-o", "clip") == 0
    assert extract("album", "-o", "photographs", "--photographs") == 0
    assert names(tmp_path / "clip") == ["album.csv", "album.csv.json"]
    assert names(tmp_path / "photographs") == ["000.csv", "000.csv.json", "001.csv", "001.csv.json"]


def test_parquet_is_asked_for_before_anything_starts(extract, tmp_path, monkeypatch):
    write_video(tmp_path / "a.avi", 3)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(VariantUnavailable, match="pyarrow"):
        extract("a.avi", "--format", "parquet")
    assert names(tmp_path) == ["a.avi"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no input"),
        (["a.avi", "--camera", "0"], "cannot be combined"),
        (["camera:0", "a.avi"], "cannot be combined"),
        (["camera:0", "camera:1"], "one camera at a time"),
        (["a.avi", "--seconds", "3"], "--seconds is for cameras"),
        (["a.avi", "--fy", "500"], "--fy needs --fx"),
        (["a.avi", "--cx", "320"], "--cx and --cy go together"),
        (["a.avi", "--fx", "0"], "not a number above 0"),
        (["a.avi", "--fx", "wide"], "not a number above 0"),
        (["a.avi", "--max-frames", "0"], "not a whole number of at least 1"),
        (["a.avi", "a.incomplete.avi"], "would both be written"),
        (["a.avi", "--output-name", "{name"], "--output-name {name"),
        (["a.avi", "--output-name", "../{stem}"], "not a name inside the output folder"),
        (["a.avi", "-o", "file"], "is not a directory"),
        (["a.avi", "--engine", "serial", "--processes", "4"], "--engine serial does not go with --processes 4"),
        (["a.avi", "--engine", "streams"], "--engine streams needs --streams N"),
        (["a.avi", "--engine", "parallel"], "there is no engine 'parallel'"),
        (["a.avi", "--face", "left"], "'left' is not largest, central, track:K or box:x,y,w,h"),
        (["a.avi", "--face", "track:-1"], "a whole number of at least 0"),
        (["a.avi", "--face", "largest", "--faces", "2"], "take one of them"),
        (["a.avi", "--face", "largest", "--aus", "calibrated"], "--aus is for several faces"),
        (["a.avi", "--face", "track:0", "--static-aus"], "leave --static-aus out"),
        (["--camera", "0", "--face", "track:0", "--hog"], "record a video and measure that"),
        (["a.avi", "a.png", "--face", "largest"], "--face is for clips"),
    ],
)
def test_wrong_usage_is_exit_code_2_with_the_reason(extract, tmp_path, capsys, arguments, words):
    (tmp_path / "file").touch()
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    for name in ("a.avi", "a.incomplete.avi"):
        write_video(tmp_path / name, 2)
    with pytest.raises(SystemExit) as exit_info:
        extract(*arguments)
    assert exit_info.value.code == 2
    assert words in capsys.readouterr().err


def test_intrinsics_reach_the_pipeline_with_fy_as_fx_and_the_centre_of_the_image(extract, tmp_path):
    write_video(tmp_path / "a.avi", 2)
    pipeline = FakePipeline()
    assert extract("a.avi", "--fx", "700", pipeline=pipeline) == 0
    camera = pipeline.sessions[0]["camera"]
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (700, 700, 32, 24)


def test_an_input_named_twice_is_one_job(tmp_path):
    write_images(tmp_path / "album", 2)
    photo, clip = tmp_path / "album" / "000.png", write_video(tmp_path / "x.avi", 2)
    named = [str(photo), str(photo), str(clip), str(tmp_path / "album" / ".." / "x.avi")]
    assert plan_jobs(find_inputs(named)) == ([Job("photograph", photo, "000"), Job("clip", clip, "x")], [])
    assert len(plan_jobs(find_inputs([str(photo), str(tmp_path / "album")], photographs=True))[0]) == 2


def test_clips_of_one_name_in_several_folders_keep_their_folders(extract, tmp_path):
    for subject in ("sub-01", "sub-02"):
        (tmp_path / subject).mkdir()
        write_video(tmp_path / subject / "face.avi", 2 + int(subject[-1]))
    assert extract("sub-01/face.avi", "sub-02/face.avi", "-o", "out") == 0
    assert names(tmp_path / "out") == ["sub-01", "sub-02"]
    for subject, frames in (("sub-01", 3), ("sub-02", 4)):
        assert (tmp_path / "out" / subject / "face.csv").read_text().count("\n") == 1 + frames
    assert extract("sub-01/face.avi", "sub-02/face.avi", "-o", "flat", "--output-name", "{parent}_{stem}") == 0
    assert names(tmp_path / "flat") == [
        "sub-01_face.csv", "sub-01_face.csv.json", "sub-02_face.csv", "sub-02_face.csv.json",
    ]  # fmt: skip


def test_an_input_that_cannot_be_measured_fails_by_name_and_the_rest_goes_on(extract, tmp_path, capsys):
    write_video(tmp_path / "good.avi", 3)
    (tmp_path / "good.csv").mkdir()
    (tmp_path / "link.avi").symlink_to("nowhere")
    (tmp_path / "odd\x1b[31m.avi").write_bytes(b"no video")
    write_video(tmp_path / "other.avi", 3)
    inputs = ["good.avi", "link.avi", "odd\x1b[31m.avi", "*.nothing", "other.avi"]
    assert extract(*inputs, "-o", ".") == 1
    reported = capsys.readouterr().err
    assert "good.csv: is a directory" in reported
    assert "link.avi" in reported
    assert "odd\\x1b[31m.avi" in reported
    assert "\x1b" not in reported
    assert "5 inputs: 1 done, 4 failed" in reported
    assert (tmp_path / "other.csv").is_file()


def test_a_clip_without_a_face_is_said_in_summary_and_sidecar(extract, tmp_path, capsys):
    write_video(tmp_path / "a.avi", 3)
    pipeline = FakePipeline()
    pipeline.success = False
    assert extract("a.avi", pipeline=pipeline) == 0
    assert "1 input: 1 done; no face found in 1 of them" in capsys.readouterr().err
    sidecar = json.loads((tmp_path / "processed" / "a.csv.json").read_text())
    assert sidecar["warnings"] == ["no face was found in any frame"]
    assert extract("a.avi", "--quiet", "--overwrite", pipeline=pipeline) == 0
    assert "a.avi: warning: no face was found" in capsys.readouterr().err


def test_measuring_with_models_for_rendered_faces_unasked_is_said_always(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("OPENFACE_MODELS_DIR", str(tmp_path / "none"))
    write_images(tmp_path / "clip", 2)
    common = ["extract", str(tmp_path / "clip"), "--variants", "reference", "--quiet", "-o"]
    assert main([*common, str(tmp_path / "out")]) == 0
    assert f"warning: {EMBEDDED_NOTICE}" in capsys.readouterr().err
    assert EMBEDDED_NOTICE in json.loads((tmp_path / "out" / "clip.csv.json").read_text())["warnings"]
    assert main([*common, str(tmp_path / "asked"), "--models", "embedded"]) == 0
    assert EMBEDDED_NOTICE not in capsys.readouterr().err


def test_lines_tell_rate_and_time_left_every_ten_seconds(capsys, tmp_path):
    now = [0.0]
    reporter = LineReporter(clock=lambda: now[0])
    progress = reporter.job_started(1, 2, Job("clip", tmp_path / "a.mp4"))
    progress.started(100)
    now[0] += 40  # compiling, which tells nothing of how long the clip takes
    progress.frame_done()
    for _ in range(50):
        now[0] += 0.5
        progress.frame_done()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"[1/2] {tmp_path / 'a.mp4'}"
    assert [line.partition(": ")[2] for line in lines[1:]] == [
        "prepared in 40 s",
        "21 of 100 frames, 2.0 frames/s, 40 s left",
        "41 of 100 frames, 2.0 frames/s, 30 s left",
    ]


def test_quiet_still_reports_problems_and_warnings(capsys):
    reporter = choose_reporter(quiet=True)
    assert type(reporter) is QuietReporter
    reporter.job_done(Outcome("a", "done", "not said"))
    reporter.job_done(Outcome("b", "failed", "b: broken"))
    reporter.job_done(Outcome("c", "done", "not said", warnings=("no frame rate",)))
    reporter.finished("not said")
    assert capsys.readouterr().err.splitlines() == ["b: broken", "c: warning: no frame rate"]


def test_bars_show_the_clip_its_rate_and_the_inputs():
    text = io.StringIO()
    with BarReporter(Console(file=text, force_terminal=True, width=120)) as reporter:
        progress = reporter.job_started(1, 2, Job("clip", cli_extract.Path("x/face[1].mp4")))
        progress.started(30)
        for _ in range(30):
            progress.frame_done()
        progress.finishing()
        reporter.job_done(Outcome("x/face[1].mp4", "done", "x/face[1].mp4: 30 frames"))
    shown = text.getvalue()
    assert "inputs" in shown
    assert "face[1].mp4: 30 frames" in shown


def test_where_stderr_is_no_terminal_there_are_lines():
    assert type(choose_reporter(quiet=False)) is LineReporter


def test_an_engine_that_cannot_carry_the_pipeline_is_an_error_not_another_engine(extract, tmp_path):
    write_video(tmp_path / "a.avi", 3)
    with pytest.raises(AuparityError, match="--processes needs --precision float32"):
        extract("a.avi", "--engine", "processes")
    with pytest.raises(AuparityError, match="--processes needs --precision float32"):
        extract("a.avi", "a.avi", write_video(tmp_path / "b.avi", 3), "--processes", "2")


def test_inputs_in_processes_make_the_tables_of_one_process(tmp_path, capsys):
    clips = [str(write_images(tmp_path / name, 3)) for name in ("a", "b", "c")]
    common = ["--models", "embedded", "--variants", "reference", "--quiet"]
    assert main(["extract", *clips, "-o", str(tmp_path / "one"), *common]) == 0
    assert main(["extract", *clips, "-o", str(tmp_path / "many"), *common, "--processes", "2"]) == 0
    for name in ("a", "b", "c"):
        assert (tmp_path / "many" / f"{name}.csv").read_bytes() == (tmp_path / "one" / f"{name}.csv").read_bytes()
    # A named engine is taken for a single clip, too.
    assert main(["extract", clips[0], "-o", str(tmp_path / "named"), *common, "--engine", "processes"]) == 0
    assert (tmp_path / "named" / "a.csv").read_bytes() == (tmp_path / "one" / "a.csv").read_bytes()
    # One bad input costs only itself.
    bad = tmp_path / "bad.avi"
    bad.write_bytes(b"no video")
    assert main(["extract", str(bad), *clips, "-o", str(tmp_path / "some"), *common, "--processes", "2"]) == 1
    assert len(list((tmp_path / "some").glob("*.csv"))) == 3
    assert "bad.avi" in capsys.readouterr().err
