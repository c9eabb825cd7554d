"""`auparity dev real-faces` on made-up recordings: what the embedded models measured of rendered people is taken for
OpenFace's, so the same models agree with it to the decimals of a table.
"""

from __future__ import annotations

import csv
import gzip
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from auparity.accelerated.pipeline import Pipeline
from auparity.cli import main as command_line
from auparity.errors import FileFormatError
from auparity.models import embedded
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.models.synthetic.render import render_photograph
from auparity.parity_tests.fidelity.page import BEGIN, END
from auparity.parity_tests.real import measure as measuring
from auparity.parity_tests.real import run as real
from auparity.parity_tests.real.recorded import RecordedClip, find_recordings
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS

#: No training has seen these.
CLIP_SEED, PHOTOGRAPH_SEEDS = 3_450_000, (6_450_001, 6_450_002)
AS_OPENFACE = ("--models", "embedded", "--detector", "mtcnn", "--start", "none")
FRAMES = 10  # so that two of them are searched for faces


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A folder of recordings: `video01`, the same frames as a clip of several, and two photographs."""
    folder = tmp_path_factory.mktemp("shared")
    for name in ("video01", "several", "images"):
        (folder / "clips" / name).mkdir(parents=True)
        (folder / "golden" / name).mkdir(parents=True)
    for k, picture in enumerate(render_clip(CLIP_SEED, FRAMES)):
        for name in ("video01", "several"):
            cv2.imwrite(str(folder / "clips" / name / f"{k:06}.png"), picture.image)
    extract = ["extract", *AS_OPENFACE, "--quiet"]
    out = folder / "out"
    assert command_line([*extract, str(folder / "clips" / "video01"), "-o", str(out)]) == 0
    (folder / "golden" / "video01" / "offline.csv").write_bytes((out / "video01.csv").read_bytes())
    assert command_line([*extract, str(folder / "clips" / "several"), "--faces", "4", "-o", str(out)]) == 0
    packed = gzip.compress((out / "several.csv").read_bytes())
    (folder / "golden" / "several" / "multi.csv.gz").write_bytes(packed)
    with Pipeline.best(Bundle.embedded(networks=False)) as pipeline:
        for seed in PHOTOGRAPH_SEEDS:
            image = render_photograph(seed, canvas=(240, 240)).image
            cv2.imwrite(str(folder / "clips" / "images" / f"{seed}.png"), image)
            record = record_of(pipeline.process_image(image))
            np.savez(folder / "golden" / "images" / f"{seed}.png.npz", **record)
    return folder


def record_of(faces):
    """A record of a photograph, named as the recordings name it."""
    record = {}
    for k, face in enumerate(faces):
        record |= {
            f"face{k}.success": np.array([[float(face.success)]]),
            f"face{k}.certainty": np.array([[face.confidence]]),
            f"face{k}.landmarks": face.landmarks.T.reshape(-1, 1),
            f"face{k}.pglobal": face.params_global,
            f"face{k}.plocal": face.params_local,
            f"face{k}.AU_r:{','.join(INTENSITY_AUS)},": face.au_intensity[None],
            f"face{k}.AU_c:{','.join(PRESENCE_AUS)},": face.au_presence[None],
        }
    return record


@pytest.fixture(scope="module")
def openface(tmp_path_factory):
    """A folder of models in OpenFace's formats: the embedded ones."""
    folder = tmp_path_factory.mktemp("models")
    Bundle.embedded(networks=False).to_openface(folder)
    return folder


@pytest.fixture
def arguments(shared, openface, tmp_path):
    return [
        *AS_OPENFACE, "--recordings", str(shared), "--openface", str(openface),
        "-o", str(tmp_path / "real.json"), "--work", str(tmp_path / "work"),
    ]  # fmt: skip


def figures(arguments):
    return json.loads(Path(arguments[arguments.index("-o") + 1]).read_text(encoding="utf-8"))


class TestRecordings:
    def test_clips_come_first_then_those_of_several_then_photographs(self, shared):
        found = find_recordings(shared)
        assert list(found) == ["video01", "several", "images"]
        assert isinstance(found["video01"], RecordedClip)
        assert found["video01"].landmarks.shape == (FRAMES, 68, 2)
        assert [found[name].kind for name in ("several", "images")] == ["clip of several", "photographs"]
        assert set(found["several"].picture) <= set(range(FRAMES))

    def test_a_folder_without_recordings_has_none(self, tmp_path):
        (tmp_path / "golden").mkdir()
        assert find_recordings(tmp_path) == {}

    @pytest.fixture
    def copy(self, shared, tmp_path):
        return shutil.copytree(shared, tmp_path / "copy")

    def test_a_table_of_another_clip_is_refused(self, copy):
        (copy / "clips" / "video01" / "000003.png").unlink()
        with pytest.raises(FileFormatError, match=r"offline\.csv.*a row for each of the 9 frames"):
            find_recordings(copy)

    def test_a_table_without_landmarks_is_refused(self, copy):
        path = copy / "golden" / "video01" / "offline.csv"
        with path.open(newline="") as file:
            rows = [row[:5] for row in csv.reader(file)]
        with path.open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        with pytest.raises(FileFormatError, match="all groups of columns"):
            find_recordings(copy)

    def test_rows_of_frames_that_are_not_there_are_refused(self, copy):
        for k in range(3):
            (copy / "clips" / "several" / f"{k + 7:06}.png").unlink()
        with pytest.raises(FileFormatError, match="numbers from 1 to 7"):
            find_recordings(copy)

    @pytest.mark.parametrize("name", ["golden/several/multi.csv.gz", f"golden/images/{PHOTOGRAPH_SEEDS[0]}.png.npz"])
    def test_damaged_files_are_named(self, copy, name):
        (copy / name).write_bytes((copy / name).read_bytes()[:60])
        with pytest.raises(FileFormatError, match=name.rsplit("/", 1)[1]):
            find_recordings(copy)

    def test_photographs_without_a_record_are_left_out(self, copy):
        (copy / "golden" / "images" / f"{PHOTOGRAPH_SEEDS[0]}.png.npz").unlink()
        assert len(find_recordings(copy)["images"].frames) == 1


def test_models_agree_with_what_they_recorded(arguments, capsys):
    status = real.main([*arguments, "--exchange", "detector"])
    result = figures(arguments)
    clip, said = result["clips"]["video01"], capsys.readouterr().out
    assert (clip["tracked"], clip["frames"]) == (1, FRAMES)
    # Landmarks of tables have one decimal: 0.025 px in the mean of a coordinate, of more than 40 px between the eyes.
    assert clip["footage"]["eyes_px"] > 40
    assert clip["landmarks"]["mean"] < 0.002
    assert clip["mean_mae"] < 0.005
    assert all(entry["found"] == entry["faces"] > 0 and entry["beside"] == 0 for entry in result["faces"].values())
    assert result["faces"]["several"]["boxes"] == {"faces": 2, "found": 2, "false": 0}
    goals = {goal["name"]: goal for goal in result["goals"]}
    assert {"faces_found", "false_boxes", "tracked_video01", "aus_video01", "size"} <= set(goals)
    assert "tracked_default" not in goals
    assert goals["landmarks_video01"]["reached"]
    assert status == (0 if all(goal["reached"] for goal in goals.values()) else 1)
    assert "### Against the goals" in said
    # The other detector is the same one.
    assert result["exchanged"]["detector"]["clips"] == result["clips"]
    assert "| `video01` | detector |" in said


def test_pictures_may_be_made_smaller(arguments):
    real.main([*arguments, "--clips", "video01", "--scale", "0.75"])
    result = figures(arguments)
    clip = result["clips"]["video01"]
    assert result["environment"]["pictures"] == "0.75 times as large"
    assert result["faces"] == {}
    assert clip["tracked"] == 1
    # Coordinates are those of the pictures as they were recorded, and the landmarks are others.
    assert 0.002 < clip["landmarks"]["mean"] < 0.05


def test_coordinates_count_from_the_middle_of_the_first_pixel():
    np.testing.assert_array_equal(measuring.full_size(np.array([[0.0, 9.5]]), 0.5), [[0.5, 19.5]])
    np.testing.assert_array_equal(measuring.full_size(np.array([[0.0, 9.5]]), 1), [[0, 9.5]])


def test_what_is_measured_is_not_measured_again(arguments, monkeypatch, capsys):
    chosen = [*arguments, "--clips", "video01"]
    status = real.main(chosen)
    first = figures(arguments)
    capsys.readouterr()
    monkeypatch.setattr(measuring, "measure", None)  # a call would fail
    assert real.main(chosen) == status
    assert figures(arguments) == first
    assert "frames:" not in capsys.readouterr().err


def test_an_interruption_says_that_the_command_resumes(arguments, monkeypatch, capsys):
    def interrupted(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(measuring, "measure", interrupted)
    assert real.main(arguments) == real.EXIT_INTERRUPTED
    assert "the same command resumes" in capsys.readouterr().err


def test_a_clip_in_which_nothing_is_found_misses_its_goals(arguments, shared, tmp_path, monkeypatch):
    def nothing(pipeline, recorded, scale, progress):
        frames = len(recorded.frames)
        shapes = {"landmarks": (68, 2), "rotation": (3,), "gaze_angles": (2,), "au_intensity": (17,)}
        arrays = {name: np.zeros((frames, *shape)) for name, shape in shapes.items()}
        return arrays | {"success": np.zeros(frames, bool), "au_presence": np.zeros((frames, 18))}

    monkeypatch.setattr(measuring, "measure", nothing)
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nsuperseded\n{END}\nafter\n", encoding="utf-8")
    assert real.main([*arguments, "--clips", "video01", "--page", str(page)]) == real.EXIT_MISSED
    assert figures(arguments)["clips"]["video01"]["tracked"] == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "superseded" not in text
    assert "| `video01` | 10 | 0 % of 10 |" in text


def test_without_recordings_there_is_nothing_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(real, "shared_dir", lambda: None)
    assert real.main(["--models", "embedded"]) == real.EXIT_NOTHING
    assert real.main(["--models", "embedded", "--recordings", str(tmp_path)]) == real.EXIT_NOTHING
    assert "AUPARITY_SHARED" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--clips", "video02"], "no recording video02; there are video01, several, images"),
        (["--exchange", "nose"], "no 'nose'"),
        (["--openface", "nowhere"], "OpenFace's models"),
        (["--models", "nowhere"], "nowhere"),
        (["--exchange", "experts", "--landmarks", "pfld"], "leave --landmarks out"),
    ],
)
def test_what_cannot_be_done_is_an_error_in_words(arguments, capsys, wrong, message):
    assert real.main([*arguments, *wrong]) == real.EXIT_ERROR
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("scale", ["0", "2", "half", "nan"])
def test_pictures_are_only_made_smaller(arguments, scale, capsys):
    with pytest.raises(SystemExit) as stopped:
        real.main([*arguments, "--scale", scale])
    assert stopped.value.code == 2
    assert "above 0 and up to 1" in capsys.readouterr().err


def test_boxes_are_compared_only_where_openface_s_models_are(arguments, shared, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OPENFACE_MODELS_DIR", str(tmp_path / "none"))
    where = arguments.index("--openface")
    real.main([*arguments[:where], *arguments[where + 2 :], "--clips", "images"])
    result = figures(arguments)
    assert result["faces"]["images"]["boxes"] is None
    assert "faces_found" not in {goal["name"] for goal in result["goals"]}
    assert "boxes are not compared" in capsys.readouterr().err


def test_the_size_is_asked_of_what_is_embedded_and_of_no_other_file():
    nothing = {"clips": {}, "faces": {}}
    (size,) = real.goals_of(nothing, Bundle.embedded(networks=False))
    assert (size["name"], size["unit"], size["reached"]) == ("size", "MB", True)
    files = [embedded.path(), *map(embedded.network_path, embedded.NETWORKS)]
    assert size["value"] == pytest.approx(sum(file.stat().st_size for file in files) / 1e6)
    assert real.goals_of(nothing, Bundle.from_archive(embedded.path())) == []


def test_the_command_that_repeats_a_run_names_models_clips_and_changes():
    words = ["--models", "embedded", "--detector", "my face.pth", "--clips", "a", "b", "--exchange", "all"]
    parsed = real._parser().parse_args([*words, "--scale", "0.5", "--recordings", "/private", "-o", "x"])
    assert real.command_of(parsed) == (
        "auparity dev real-faces --models embedded --detector 'my face.pth' --clips a b --scale 0.5 --exchange all"
    )


def test_every_goal_has_a_reason():
    goals = real.targets(real.GOALS)
    assert all(goal.reason for goal in goals.values())
    clips = {name.rpartition("_")[2] for name in goals if name not in ("faces_found", "false_boxes", "size")}
    assert clips == {"video01", "default"}
