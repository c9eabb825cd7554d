"""One clip over several processes: the table of one piece but for the seams, which are measured and reported."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from auparity import cli
from auparity.accelerated.parallel import parts as parts_module
from auparity.accelerated.parallel.chunks import AHEAD, ClipInParts, process_in_parts
from auparity.accelerated.parallel.parts import Check, ClipRecipe, Seam, compare, parts_of_clip
from auparity.accelerated.parallel.workers import Workers
from auparity.accelerated.pipeline import Pipeline
from auparity.errors import AuparityError, VideoError
from auparity.extraction.engines.choose import choose_engine
from auparity.extraction.engines.serial import SerialEngine
from auparity.extraction.engines.split import SplitEngine
from auparity.extraction.jobs import Job
from auparity.extraction.outputs.settings import AlignedFaces, OutputSettings
from auparity.extraction.progress import QuietReporter
from auparity.extraction.seams import SEAM_LIMIT, seam_notes, split_summary
from auparity.extraction.types import ExtractionSettings, NoProgress, never
from auparity.media import SeekPoint, VideoFile, VideoIndex, open_clip
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clip_folder import write_clip
from auparity.parity_tests.unit.helpers import factories
from auparity.reference.face_choice import FaceChoice, PersonChoice
from auparity.tables.columns import COLUMNS

BUNDLE = factories.make_bundle(0)
FRAMES = 23  # in parts of 6 and 5


class Recorder(QuietReporter):
    """Keeps what it is told, and calls `at_frame` with the number of every frame."""

    def __init__(self, at_frame=lambda number: None) -> None:
        self.frames, self.at_frame = 0, at_frame

    def job_started(self, number, total, job):
        recorder = self

        class Counting(NoProgress):
            def frame_done(self) -> None:
                recorder.frames += 1
                recorder.at_frame(recorder.frames)

        return Counting()

    def job_done(self, outcome):
        """`run` returns it."""


@pytest.fixture(autouse=True)
def short_parts(monkeypatch):
    monkeypatch.setattr(parts_module, "SHORTEST_PART", 5)
    monkeypatch.setattr(parts_module, "LONGEST_PART", 6)


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline.from_spec({}, BUNDLE)


def pictures(count=FRAMES):
    rng = np.random.default_rng(2)
    return [rng.integers(0, 256, (90, 120, 3), dtype=np.uint8) for _ in range(count)]


@pytest.fixture
def clip(tmp_path) -> Path:
    (folder := tmp_path / "clip").mkdir()
    for k, picture in enumerate(pictures()):
        cv2.imwrite(str(folder / f"{k:03}.png"), picture)
    return folder


@pytest.fixture
def video(tmp_path) -> Path:
    return write_video(tmp_path / "clip.mp4", 67)


def write_video(path: Path, frames: int) -> Path:
    """Key frames every 10 frames, pictures reordered, and times that are not regular."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30, options={"g": "10", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 120, 90, "yuv420p"
        for k, picture in enumerate(pictures(frames)):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts = k + k // 7
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def extract(engine, path, out, *, recorder=None, stop=never, **settings):
    jobs = [Job("clip", path, path.stem)]
    return engine.run(jobs, ExtractionSettings(out, **settings), recorder or Recorder(), stop)[0]


def sidecar(out: Path) -> dict:
    (path,) = out.glob("*.csv.json")
    return json.loads(path.read_text())


def table(out: Path) -> list[str]:
    (path,) = out.glob("*.csv")
    return path.read_text().splitlines()


def test_one_process_gives_the_table_of_one_piece(pipeline, clip, tmp_path, monkeypatch):
    monkeypatch.setattr(parts_module, "LONGEST_PART", 1000)
    done = extract(SplitEngine(pipeline, 1), clip, tmp_path / "split")
    extract(SerialEngine(pipeline), clip, tmp_path / "whole")
    assert table(tmp_path / "split") == table(tmp_path / "whole")
    assert done.message.endswith(" (in one part)")
    assert sidecar(tmp_path / "split")["split"]["seams"] == []
    assert extract(SerialEngine(pipeline), clip, tmp_path / "split").status == "skipped"


def test_on_one_core_nothing_is_cut(pipeline):
    assert isinstance(choose_engine(split=1, jobs=1).engine(pipeline), SerialEngine)
    assert isinstance(choose_engine(split=2, jobs=1).engine(pipeline), SplitEngine)


def test_parts_are_not_begun_far_ahead_of_the_first_that_is_missing(pipeline, clip, monkeypatch):
    monkeypatch.setattr(parts_module, "LONGEST_PART", 3)
    monkeypatch.setattr(parts_module, "SHORTEST_PART", 3)
    recipe = ClipRecipe(partial(open_clip, clip), begins)
    with Workers(BUNDLE, pipeline.variants, 1) as workers, open_clip(clip) as source:
        cut = ClipInParts(source, recipe, workers, warm_up=1)
        assert len(cut.parts) == 8
        ahead = [cut._begun - cut._due for _ in cut.frames()]
    assert len(ahead) == FRAMES
    assert 1 <= max(ahead) <= 1 + AHEAD


def begins(pipeline, image):
    return pipeline.start_video()


def test_a_table_in_parts_has_the_numbers_of_process_in_parts(pipeline, clip, tmp_path):
    outcome = extract(SplitEngine(pipeline, 2), clip, tmp_path / "out", fps=25.0, recorder=(told := Recorder()))
    assert (outcome.status, outcome.rows, told.frames) == ("done", FRAMES, FRAMES)
    with Workers(BUNDLE, pipeline.variants, 2) as workers:
        results, session = process_in_parts(pipeline, clip, workers)
    rows = np.array([line.split(",") for line in table(tmp_path / "out")[1:]], np.float64)
    names = [column.name for column in COLUMNS["clip"]]
    at = names.index("x_0")
    np.testing.assert_array_equal(rows[:, names.index("frame")], np.arange(FRAMES) + 1)
    np.testing.assert_allclose(rows[:, names.index("timestamp")], np.arange(FRAMES) / 25, atol=5e-4)  # three decimals
    np.testing.assert_allclose(rows[:, at : at + 68], [r.landmarks[:, 0] for r in results], atol=0.0501)  # one decimal
    first_au = names.index("AU01_r")
    np.testing.assert_allclose(rows[:, first_au : first_au + 17], session.finish().intensity, atol=0.00501)
    split = sidecar(tmp_path / "out")["split"]
    assert split["parts"] == 4
    assert [seam["frame"] for seam in split["seams"]] == [7, 13, 18]  # equal parts, rounded


def test_a_table_of_one_piece_does_for_split_and_not_the_other_way_round(pipeline, clip, tmp_path):
    extract(SerialEngine(pipeline), clip, tmp_path / "whole")
    assert extract(SplitEngine(pipeline, 1), clip, tmp_path / "whole").status == "skipped"
    extract(SplitEngine(pipeline, 1), clip, tmp_path / "split")
    assert extract(SplitEngine(pipeline, 1), clip, tmp_path / "split").status == "skipped"
    refused = extract(SerialEngine(pipeline), clip, tmp_path / "split")
    assert refused.status == "failed"
    assert "with --split, whose numbers differ where its parts meet" in refused.message


def test_seams_of_a_face_are_measured(tmp_path, monkeypatch):
    pytest.importorskip("numba")
    monkeypatch.setattr(parts_module, "LONGEST_PART", 30)
    write_clip(tmp_path / "face", 3, 47, canvas=(160, 160))
    pipeline = Pipeline.from_spec({}, Bundle.embedded(networks=False), default="best")
    done = extract(SplitEngine(pipeline, 1), tmp_path / "face", tmp_path / "out")
    (seam,) = sidecar(tmp_path / "out")["split"]["seams"]
    assert (seam["frame"], seam["disagreements"]) == (25, 0)
    assert 0 <= seam["landmarks_px"]["mean"] <= seam["landmarks_px"]["largest"] < 1
    assert "(2 parts, landmarks at the seams" in done.message


def check(x, *, success=True):
    return Check(0.0, 0, success, np.full((68, 2), x, np.float32))


def test_only_frames_with_a_face_in_both_parts_are_compared():
    before = [check(0), check(0), check(0, success=False), check(5)]
    after = [check(9, success=False), check(3), check(7, success=False), check(1)]
    seam = compare(40, before, after)
    assert (seam.frame, seam.disagreements) == (40, 1)
    assert seam.largest == pytest.approx(4 * np.sqrt(2))
    assert seam.mean == pytest.approx(3.5 * np.sqrt(2))
    assert compare(40, [check(0, success=False)], [check(0, success=False)]) == Seam(40, None, None, 0)


def test_seams_that_do_not_fit_are_warned_of_by_their_frames():
    cut = type("Cut", (), {"notes": ["a note"], "warm_up": 30, "seams": [], "parts": [1, 2]})()
    assert seam_notes(cut) == ["a note"]
    assert split_summary(cut) == ""
    cut.seams = [
        Seam(99, 0.2, SEAM_LIMIT, 0), Seam(199, 0.9, 0.4, 0), Seam(299, 0.1, 0.01, 3), Seam(399, None, None, 0),
        *(Seam(1000 * k, None, None, 0) for k in range(1, 12)),
    ]  # fmt: skip
    _, disagree, apart, faceless = seam_notes(cut)
    assert disagree.startswith("parts meet at frame 300, and in some of the 10 frames")
    assert apart.startswith("parts meet at frame 200, and their landmarks are up to 0.400 px apart")
    assert "frames 400, 1001," in faceless
    assert "8001, 9001 and 2 more, where no face is seen" in faceless
    assert split_summary(cut) == "16 parts, landmarks at the seams 0.1533 px apart, the farthest 0.900 px"


@pytest.mark.parametrize("processes", [1, 2])
def test_ctrl_c_keeps_the_rows_before_the_first_gap(pipeline, clip, tmp_path, processes):
    recorder = Recorder()
    stopped = extract(
        SplitEngine(pipeline, processes), clip, tmp_path / "out", recorder=recorder, stop=lambda: recorder.frames >= 9
    )
    assert stopped.status == "interrupted"
    incomplete = list((tmp_path / "out").glob("*.incomplete.csv"))
    if processes > 1 and stopped.rows == 0:  # the worker of the first part started too late: the gap is the beginning
        assert "interrupted before its first frame; nothing written" in stopped.message
        assert incomplete == []
        return
    assert 0 < stopped.rows < FRAMES
    assert f"interrupted after {stopped.rows} of {FRAMES} frames" in stopped.message
    extract(SplitEngine(pipeline, 2), clip, tmp_path / "whole")
    until_aus = COLUMNS["clip"].index(next(c for c in COLUMNS["clip"] if c.name == "AU01_r"))
    lines = incomplete[0].read_text().splitlines()
    assert len(incomplete) == 1
    assert len(lines) == stopped.rows + 1
    for ours, theirs in zip(lines, table(tmp_path / "whole"), strict=False):
        assert ours.split(",")[:until_aus] == theirs.split(",")[:until_aus]


def test_nothing_is_begun_once_stopped(pipeline, clip, tmp_path):
    jobs = [Job("clip", clip, "a"), Job("clip", clip, "b")]
    assert SplitEngine(pipeline, 1).run(jobs, ExtractionSettings(tmp_path / "out"), Recorder(), lambda: True) == []


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills a process by a signal")
def test_a_part_whose_worker_is_killed_is_done_again(pipeline, clip, tmp_path):
    def kill_one(number):
        if number == 3:
            os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)

    outcome = extract(SplitEngine(pipeline, 2), clip, tmp_path / "out", recorder=Recorder(kill_one))
    assert outcome.status == "done"
    extract(SplitEngine(pipeline, 2), clip, tmp_path / "whole")
    assert table(tmp_path / "out") == table(tmp_path / "whole")


def dies(pipeline, image):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills a process by a signal")
def test_a_part_that_costs_two_workers_ends_the_clip(pipeline, clip):
    with Workers(BUNDLE, pipeline.variants, 2) as workers, open_clip(clip) as source:
        cut = ClipInParts(source, ClipRecipe(partial(open_clip, clip), dies), workers)
        with pytest.raises(VideoError, match=r"two processes that worked on frames 1 to 6 died \(signal 9, SIGKILL"):
            list(cut.frames())


def test_a_damaged_image_ends_the_clip_where_it_is(pipeline, clip, tmp_path):
    (clip / "014.png").write_bytes(b"no image")
    whole = extract(SerialEngine(pipeline), clip, tmp_path / "whole")
    split = extract(SplitEngine(pipeline, 1), clip, tmp_path / "split")
    assert (split.status, split.rows) == (whole.status, whole.rows)
    assert split.message.partition("in /")[0] == whole.message.partition("in /")[0]


def test_a_video_is_read_from_key_frames_with_the_times_of_one_piece(pipeline, video, tmp_path, monkeypatch):
    monkeypatch.setattr(parts_module, "LONGEST_PART", 30)
    done = extract(SplitEngine(pipeline, 1), video, tmp_path / "split")
    extract(SerialEngine(pipeline), video, tmp_path / "whole")
    ours, theirs = table(tmp_path / "split"), table(tmp_path / "whole")
    assert [row.split(",")[:3] for row in ours] == [row.split(",")[:3] for row in theirs]
    assert len(ours) == 68
    assert all("could not be reached" not in text for text in done.warnings)
    with open_clip(video, pixels=False) as source:
        parts = parts_of_clip(67, 1, 5)
        points = [source.index().before(part.first) for part in parts]
    assert [part.first for part in parts] == [0, 17, 40]
    assert [point and point.number for point in points] == [None, None, 30]


def test_a_part_that_read_other_frames_is_done_again(pipeline, video, tmp_path, monkeypatch):
    monkeypatch.setattr(parts_module, "LONGEST_PART", 30)
    extract(SplitEngine(pipeline, 1), video, tmp_path / "whole")
    right = VideoFile.index

    def wrong(self) -> VideoIndex:
        index = right(self)
        return replace(index, points=tuple(point._replace(number=point.number + 1) for point in index.points))

    monkeypatch.setattr(VideoFile, "index", wrong)
    done = extract(SplitEngine(pipeline, 1), video, tmp_path / "out")
    assert table(tmp_path / "out") == table(tmp_path / "whole")
    assert any("could not be reached directly" in text for text in done.warnings)


def test_an_index_that_leads_nowhere_is_not_followed(video):
    with open_clip(video) as source:
        expected = list(source)[50:60]
    for point in (SeekPoint(50, 10**9, 10**9, 0), SeekPoint(50, 3, 3, 0)):
        with open_clip(video) as source:
            for (image, timestamp), frame in zip(source.frames_from(50, point), expected, strict=False):
                np.testing.assert_array_equal(image, frame.image)
                assert timestamp == frame.timestamp


def test_files_beside_the_table_are_written_in_order(pipeline, video, tmp_path, monkeypatch):
    monkeypatch.setattr(parts_module, "LONGEST_PART", 1000)
    outputs = OutputSettings(hog=True, aligned=AlignedFaces(), details=True, tracked=True)
    extract(SplitEngine(pipeline, 1), video, tmp_path / "split", outputs=outputs, max_frames=20)
    extract(SerialEngine(pipeline), video, tmp_path / "whole", outputs=outputs, max_frames=20)
    ours, theirs = sidecar(tmp_path / "split"), sidecar(tmp_path / "whole")
    assert ours["frames"] == theirs["frames"] == 20
    assert ours["outputs"].keys() == {"hog", "aligned", "details", "tracked"}
    assert ours["outputs"]["hog"] == theirs["outputs"]["hog"]
    assert ours["outputs"]["aligned"] == theirs["outputs"]["aligned"]
    assert ours["outputs"]["tracked"]["frames"] == 20
    assert ours["request"]["max_frames"] == 20


def test_a_limit_beyond_the_clip_is_none(pipeline, clip, tmp_path):
    for limit, stored in ((FRAMES, None), (FRAMES - 1, FRAMES - 1)):
        out = tmp_path / str(limit)
        assert extract(SplitEngine(pipeline, 1), clip, out, max_frames=limit).rows == limit
        assert sidecar(out)["request"]["max_frames"] == stored


def test_clips_follow_one_another_and_problems_are_reported(pipeline, clip, tmp_path):
    jobs = [Job("problem", clip, problem="gone"), Job("clip", clip, "a"), Job("clip", tmp_path / "no", "b"),
            Job("clip", clip, "c")]  # fmt: skip
    outcomes = SplitEngine(pipeline, 1).run(jobs, ExtractionSettings(tmp_path / "out"), Recorder(), never)
    assert [outcome.status for outcome in outcomes] == ["failed", "done", "failed", "done"]
    assert (tmp_path / "out" / "a.csv").read_bytes() == (tmp_path / "out" / "c.csv").read_bytes()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--processes", "2"], "does not go with --processes 2"),
        (["--engine", "serial"], "does not go with --engine serial"),
        (["--streams", "2"], "does not go with --streams 2"),
        (["--faces", "2"], "--faces follows people through the whole clip"),
        (["--face", "track:0"], "--face track:0 follows people"),
        (["--face", "box:1,2,3,4"], "says where the face is when the clip begins"),
        (["--photographs"], "is an image, which has no parts"),
    ],
)
def test_what_has_no_parts_is_refused(options, reason, clip, capsys):
    with pytest.raises(SystemExit):
        cli.main(["extract", str(clip), *options, "--split"])
    assert reason in capsys.readouterr().err


def test_a_camera_and_a_precision_of_no_workers_are_refused(clip, tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli.main(["extract", "--camera", "0", "--split"])
    assert "a camera has no parts" in capsys.readouterr().err
    arguments = ["extract", str(clip), "--models", "embedded", "--precision", "float64", "-o", str(tmp_path / "o")]
    assert cli.main([*arguments, "--split", "2"]) == 1
    assert "--split needs --precision float32" in capsys.readouterr().err


def test_the_engine_refuses_as_the_command_line_does(pipeline, clip, tmp_path):
    for face in (PersonChoice(1), FaceChoice("box", (1.0, 2.0, 3.0, 4.0))):
        with pytest.raises(AuparityError, match="leave --split out"):
            extract(SplitEngine(pipeline, 1), clip, tmp_path, face=face)
