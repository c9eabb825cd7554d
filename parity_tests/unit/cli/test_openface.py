"""OpenFace's three programs by name (`auparity openface`): what they accept, refuse and write."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from auparity import cli
from auparity.errors import AuparityError, VideoError
from auparity.extraction.openface import translation
from auparity.extraction.openface.locators import HaarCascade, HaarLocator, corrected, read_boxes
from auparity.extraction.openface.options import (
    GROUP_OPTIONS,
    OPTIONS,
    PROGRAMS,
    VIDEO,
    UsageError,
    help_of,
    options_of,
    parse,
)
from auparity.extraction.option_names import EXTRACT, OPENFACE
from auparity.extraction.outputs.settings import AlignedFaces
from auparity.extraction.tables import header, select
from auparity.media.images import check_pixels
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.parity_tests.unit.helpers.documentation import ROOT
from auparity.reference.alignment import Crop

FRAMES = 4
#: The options of spec 87, and the programs that have them.
SPECIFIED = {
    "-f -fdir -root -inroot -out_dir -of -fx -fy -cx -cy -mloc -fdloc -wild -multi_view -validate_detections -n_iter "
    "-sigma -reg -w_reg -2Dfp -3Dfp -pdmparams -pose -aus -gaze -hogalign -simalign -simsize -simscale -g -nomask "
    "-nobadaligned -tracked -q -verbose -vis-track -vis-align -vis-hog -vis-aus": PROGRAMS,
    "-device -cam_width -cam_height -au_static": VIDEO,
    "-bboxdir": ("FaceLandmarkImg",),
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A clip as video and as folder, images, and the embedded models in OpenFace's formats."""
    folder = tmp_path_factory.mktemp("openface")
    (folder / "clip").mkdir()
    frames = [picture.image for picture in render_clip(3_460_000, FRAMES, canvas=(240, 200))]
    writer = cv2.VideoWriter(str(folder / "face.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, frames[0].shape[1::-1])
    assert writer.isOpened()
    for k, frame in enumerate(frames):
        cv2.imwrite(str(folder / "clip" / f"{k:03}.png"), frame)
        writer.write(frame)
    writer.release()
    (folder / "images").mkdir()
    for name in ("a.png", "b.bmp"):
        cv2.imwrite(str(folder / "images" / name), frames[0])
    (folder / "images" / "notes.txt").write_text("no image")
    Bundle.embedded(networks=False).to_openface(folder / "OpenFace")
    return folder


def run(place: Path, program: str, *options: object) -> int:
    main = next((place / "OpenFace" / "model").glob("main_ceclm*.txt"))
    return cli.main(["openface", program, *map(str, options), "-q", "-mloc", str(main)])


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def value_for(name: str) -> str:
    return {"-multi_view": "1", "-validate_detections": "0"}.get(name, "3")


def test_the_options_are_those_of_the_specification():
    specified = {
        (name, program) for names, programs in SPECIFIED.items() for name in names.split() for program in programs
    }
    assert {(option.name, program) for option in OPTIONS for program in option.programs} == specified


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_option_of_a_program_is_accepted_with_its_value(program):
    for name, option in options_of(program).items():
        given = parse(program, [name] if option.read is None else [name, value_for(name)])
        assert given.has(name)
        assert not given.unknown
        assert name in help_of(program)


@pytest.mark.parametrize("program", PROGRAMS)
def test_unknown_words_and_options_of_other_programs_are_kept_apart(program):
    other = "-bboxdir" if program in VIDEO else "-device"
    given = parse(program, ["-f", "a.mp4", "-nosuch", "7", other, "-q"])
    assert given.unknown == ["-nosuch", "7", other]
    assert given.all("-f") == ["a.mp4"]
    assert given.has("-q")


@pytest.mark.parametrize(
    ("program", "line", "message"),
    [
        ("FeatureExtraction", "", "no input"),
        ("FeatureExtraction", "-f", "-f needs a value"),
        ("FeatureExtraction", "-f -out_dir out", "-f needs a value"),
        ("FeatureExtraction", "-f a.mp4 -fdir b", "-f and -fdir exclude each other"),
        ("FeatureExtraction", "-f a.mp4 -device 0", "-f and -device exclude each other"),
        ("FeatureExtraction", "-fdir a -fdir b", "-fdir is given twice"),
        ("FeatureExtraction", "-f x/a.mp4 -f y/a.avi", "both be written to a"),
        ("FeatureExtraction", "-f a.mp4 -f b.mp4 -of c", "-of is given 1 times for 2 inputs"),
        ("FeatureExtraction", "-f a.mp4 -f b.mp4 -of c -of C.csv", "both be written to C"),
        ("FeatureExtraction", "-f a.mp4 -of ..", "is not a name"),
        ("FeatureExtraction", "-f a.mp4 -fx wide", "-fx wide: expected a positive number"),
        ("FeatureExtraction", "-f a.mp4 -fy 500", "-fy needs -fx"),
        ("FeatureExtraction", "-f a.mp4 -cx 500", "-cx and -cy go together"),
        ("FeatureExtraction", "-f a.mp4 -multi_view 2", "expected 0 or 1"),
        ("FeatureExtraction", "-f a.mp4 -n_iter 2.5", "expected a whole number"),
        ("FeatureExtraction", "-f a.mp4 -sigma nan", "not negative"),
        ("FeatureExtraction", "-f a.mp4 -cam_width 640", "-cam_width needs -device"),
        ("FeatureExtraction", "-f a.mp4 -root r -inroot s", "-root and -inroot exclude each other"),
        ("FaceLandmarkImg", "-f a.png -bboxdir b", "-bboxdir needs -fdir"),
        ("FaceLandmarkImg", "-fdir nowhere", "is not a directory"),
        ("FaceLandmarkImg", "-fdir a -bboxdir b -fdloc c", "-bboxdir and -fdloc exclude each other"),
    ],
)
def test_a_line_that_makes_no_sense_ends_with_exit_status_2(program, line, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["openface", program, *line.split()])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def settings(program: str, line: str = ""):
    return translation.settings_of(parse(program, line.split()))


def test_without_an_output_option_everything_is_written_and_with_one_only_that():
    outputs = settings("FeatureExtraction").outputs
    assert (outputs.columns, outputs.hog, outputs.aligned, outputs.tracked) == (None, True, AlignedFaces(), True)
    for option, group in GROUP_OPTIONS.items():
        outputs = settings("FeatureExtraction", option).outputs
        assert (outputs.columns, outputs.hog, outputs.aligned, outputs.tracked) == ((group,), False, None, False)
    outputs = settings("FaceLandmarkImg", "-hogalign").outputs
    assert (outputs.columns, outputs.hog, outputs.aligned, outputs.tracked) == ((), True, None, False)
    assert header("clip", ()) == "frame,face_id,timestamp,confidence,success"
    assert select("photograph", ()).indices == (0, 1)
    assert all(settings(program).outputs.details for program in PROGRAMS)


def test_aligned_faces_keep_the_scale_of_openface_at_another_size():
    aligned = settings("FeatureExtraction", "-simalign -simsize 160 -g -nomask -nobadaligned").outputs.aligned
    assert aligned == AlignedFaces("bmp", Crop(160, 0.7, masked=False), gray=True, skip_failed=True)


def test_images_are_fitted_from_one_orientation_unless_asked_for_more():
    asked = {"": False, "-wild": True, "-multi_view 1": True, "-wild -multi_view 0": False}
    for line, multi_view in asked.items():
        assert settings("FaceLandmarkImg", line).multi_view is multi_view


def test_the_settings_of_the_fit_and_of_aus_reach_the_pipeline():
    bundle = Bundle.embedded(networks=False)

    def options(program, line):
        return translation.pipeline_options_of(parse(program, line.split()), bundle)

    assert options("FeatureExtraction", "").landmarks is None
    fit = options("FeatureExtraction", "-n_iter 7 -sigma 1.75 -reg 30 -w_reg 2 -validate_detections 0").landmarks
    assert fit is not None
    assert (fit.fitting.iterations, fit.fitting.weight_factor, fit.validate) == (7, 2.0, False)
    wild = options("FeatureExtraction", "-wild").landmarks
    assert wild is not None
    assert wild.init_windows == (15, 13, 11, 11)
    assert options("FeatureExtraction", "-au_static").static_aus
    assert not options("FaceLandmarkVidMulti", "-au_static").static_aus, "it has static AUs by itself"


def test_a_camera_has_the_size_and_the_name_that_are_asked_for():
    (job,) = translation.inputs_of(parse("FeatureExtraction", ["-device", "1", "-cam_width", "800", "-of", "me"])).jobs
    assert (job.kind, job.camera, job.camera_size, job.name) == ("camera", 1, (800, 480), "me")
    (job,) = translation.inputs_of(parse("FeatureExtraction", ["-device", "0"])).jobs
    assert (job.camera, job.camera_size, job.name) == (0, None, "")


def test_names_are_those_of_the_inputs_below_the_root_or_the_given_ones(tmp_path):
    def jobs(line):
        return translation.inputs_of(parse("FeatureExtraction", line.split())).jobs

    assert [(job.path, job.name) for job in jobs("-f x/a.b.mp4 -f c.avi -root r")] == [
        (Path("r/x/a.b.mp4"), "a.b"), (Path("r/c.avi"), "c"),
    ]  # fmt: skip
    assert [job.name for job in jobs("-of s.01/one.csv -f x/a.mp4 -of two.x -f y/a.mp4")] == ["s.01/one", "two.x"]
    (tmp_path / "subject.01").mkdir()
    assert [job.name for job in jobs(f"-fdir {tmp_path / 'subject.01'}")] == ["subject.01"]


def test_feature_extraction_writes_the_files_of_openface(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(place, "FeatureExtraction", "-f", place / "face.avi", "-nosuch", "-vis-track") == 0
    assert "FeatureExtraction has no option -nosuch; it is ignored" in capsys.readouterr().err
    written = ["face.csv", "face.csv.json", "face.hog", "face.tracked.webm", "face_aligned", "face_of_details.txt"]
    assert names(tmp_path / "processed") == written
    assert names(tmp_path / "processed" / "face_aligned")[0] == "frame_det_00_000001.bmp"
    rows = rows_of(tmp_path / "processed" / "face.csv")
    assert ",".join(rows[0]) == header("clip")
    assert [row["timestamp"] for row in rows] == ["0.000", "0.040", "0.080", "0.120"]
    assert rows[0]["AU12_c"] in ("0.00", "1.00"), "AUs are written again at the end (spec 80.2)"
    # OpenFace replaces what an earlier run wrote.
    assert run(place, "FeatureExtraction", "-f", place / "face.avi", "-pose") == 0
    assert list(rows_of(tmp_path / "processed" / "face.csv")[0])[5:] == [f"pose_{a}{b}" for a in "TR" for b in "xyz"]


def test_several_inputs_have_the_names_given_in_order(place, tmp_path):
    line = ["-of", "one", "-f", place / "face.avi", "-pose", "-of", "below/two", "-f", place / "face.avi"]
    assert run(place, "FeatureExtraction", *line, "-fx", "600", "-out_dir", tmp_path) == 0
    assert rows_of(tmp_path / "one.csv") == rows_of(tmp_path / "below" / "two.csv")
    details = (tmp_path / "one_of_details.txt").read_text()
    assert "Camera parameters:600,600,120,100" in details


def test_the_program_for_several_faces_has_the_columns_of_openface(place, tmp_path):
    assert run(place, "FaceLandmarkVidMulti", "-fdir", place / "clip", "-out_dir", tmp_path) == 0
    written = ["clip.csv", "clip.csv.json", "clip.hog", "clip.tracked.webm", "clip_aligned", "clip_of_details.txt"]
    assert names(tmp_path) == written
    rows = rows_of(tmp_path / "clip.csv")
    assert ",".join(rows[0]) == header("clip")
    assert [(row["frame"], row["face_id"]) for row in rows] == [(str(k + 1), "0") for k in range(FRAMES)]
    assert rows[0]["AU12_c"] in ("0.0", "1.0"), "static AUs are not written again (spec 85.2 step 4)"
    request = json.loads((tmp_path / "clip.csv.json").read_text())["request"]
    assert (request["faces"], request["person_ids"]) == (4, False)


def test_frames_without_a_face_have_no_row_among_several(place, tmp_path):
    late = tmp_path / "late"
    late.mkdir()
    faces = [cv2.imread(str(path)) for path in sorted((place / "clip").iterdir())[:2]]
    for k, frame in enumerate([np.zeros_like(faces[0])] * 8 + faces):
        cv2.imwrite(str(late / f"{k:03}.png"), frame)
    assert run(place, "FaceLandmarkVidMulti", "-fdir", late, "-out_dir", tmp_path / "out") == 0
    assert [row["frame"] for row in rows_of(tmp_path / "out" / "late.csv")] == ["9", "10"]
    assert names(tmp_path / "out" / "late_aligned") == ["frame_det_00_000009.bmp", "frame_det_00_000010.bmp"]
    outputs = json.loads((tmp_path / "out" / "late.csv.json").read_text())["outputs"]
    assert (outputs["hog"]["records"], outputs["tracked"]["frames"]) == (2, 10)


def test_images_are_measured_one_by_one(place, tmp_path):
    assert run(place, "FaceLandmarkImg", "-fdir", place / "images", "-out_dir", tmp_path) == 0
    written = [f"{name}{end}" for name in "ab" for end in (".csv", ".csv.json", ".hog", ".tracked.jpg")]
    written += [f"{name}{end}" for name in "ab" for end in ("_aligned", "_of_details.txt")]
    assert names(tmp_path) == sorted(written)
    assert names(tmp_path / "a_aligned") == ["face_det_000000.bmp"]
    rows = rows_of(tmp_path / "a.csv")
    assert ",".join(rows[0]) == header("photograph")
    assert rows == rows_of(tmp_path / "b.csv")


def test_an_image_without_a_face_has_outputs_without_rows(place, tmp_path):
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((200, 240, 3), np.uint8))
    assert run(place, "FaceLandmarkImg", "-f", tmp_path / "black.png", "-out_dir", tmp_path / "out") == 0
    assert (tmp_path / "out" / "black.csv").read_text() == header("photograph") + "\n"
    assert (tmp_path / "out" / "black.hog").read_bytes() == b""
    assert cv2.imread(str(tmp_path / "out" / "black.tracked.jpg")) is not None


def test_boxes_from_files_take_the_place_of_the_detector(place, tmp_path, capsys):
    boxes, out = tmp_path / "boxes", tmp_path / "out"
    boxes.mkdir()
    assert run(place, "FaceLandmarkImg", "-f", place / "images" / "a.png", "-2Dfp", "-out_dir", out) == 0
    (free,) = rows_of(out / "a.csv")
    points = np.array([[float(free[f"{axis}_{k}"]) for axis in "xy"] for k in range(68)])
    box = " ".join(str(value) for value in (*points.min(axis=0), *points.max(axis=0)))
    (boxes / "a.txt").write_text(f"{box}\n{box}\n")
    line = ["-fdir", place / "images", "-bboxdir", boxes, "-2Dfp", "-out_dir", out]
    assert run(place, "FaceLandmarkImg", *line) == 1
    assert re.search(r"b\.bmp: .*b\.txt: the boxes cannot be read", capsys.readouterr().err)
    first, second = rows_of(out / "a.csv")
    assert (first["face"], second["face"]) == ("0", "1")
    del first["face"], second["face"]
    assert first == second
    found = np.array([[float(first[f"{axis}_{k}"]) for axis in "xy"] for k in range(68)])
    assert 0 < np.abs(found - points).mean() < 2
    (boxes / "b.txt").write_text("")
    assert run(place, "FaceLandmarkImg", *line) == 0
    assert (out / "b.csv").read_text().count("\n") == 1, "no box, no face"


@pytest.mark.parametrize("text", ["1 2 3", "1 2 3 4 5", "a 2 3 4", "5 2 3 9", "1 9 3 4", "nan 2 3 4"])
def test_a_line_that_is_not_a_box_is_named(tmp_path, text):
    path = tmp_path / "a.txt"
    path.write_text(f"1 2 11 22\n{text}\n")
    with pytest.raises(AuparityError, match=r"a\.txt, line 2: expected x_min"):
        read_boxes(path)
    path.write_text("1 2 11 22\n\n1,2,3,4\n")
    np.testing.assert_array_equal(read_boxes(path), np.array([[1, 2, 10, 20], [1, 2, 2, 2]], np.float32))


def test_boxes_of_a_cascade_are_made_tight_around_the_landmarks():
    np.testing.assert_allclose(
        corrected(np.array([[10, 20, 100, 200]])), [[10 + 5.78, 20 + 43.32, 89.24, 173.52]], rtol=1e-6
    )


def test_a_haar_cascade_finds_faces_in_place_of_the_detector(place, tmp_path, capsys):
    cascade = Path(cv2.data.haarcascades) / "haarcascade_frontalface_alt.xml"
    image = cv2.imread(str(place / "images" / "a.png"))
    assert image is not None
    located = HaarLocator(HaarCascade(cascade.read_text()))
    (detections,) = located.locate([np.zeros_like(image)])
    assert detections.boxes.shape == (0, 4)
    line = ["-f", place / "images" / "a.png", "-pose", "-out_dir", tmp_path]
    assert run(place, "FaceLandmarkImg", *line, "-fdloc", cascade) == 0
    (detections,) = located.locate([image])
    assert len(rows_of(tmp_path / "a.csv")) == len(detections)
    haar = json.loads((tmp_path / "a.csv.json").read_text())["request"]["bundle"]
    assert run(place, "FaceLandmarkImg", *line) == 0
    assert json.loads((tmp_path / "a.csv.json").read_text())["request"]["bundle"] != haar
    (tmp_path / "bad.xml").write_text("<no cascade>")
    assert run(place, "FaceLandmarkImg", *line, "-fdloc", tmp_path / "bad.xml") == 1
    assert "OpenCV cannot read the cascade" in capsys.readouterr().err


def test_a_landmark_model_is_found_with_its_installation_or_in_the_store(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = place / "OpenFace" / "model"
    main = next(model.glob("main_ceclm*.txt")).name

    def bundle(path):
        return translation.bundle_of(parse("FeatureExtraction", ["-mloc", str(path)]))

    expected = bundle(model / main)
    assert expected.content_hash == Bundle.from_openface(place / "OpenFace").content_hash
    monkeypatch.setenv("OPENFACE_MODELS_DIR", str(tmp_path / "empty"))
    with pytest.raises(AuparityError, match="the file of -mloc"):
        bundle(f"model/{main}")
    monkeypatch.setenv("OPENFACE_MODELS_DIR", str(place / "OpenFace"))
    for relative in (f"model/{main}", main):
        assert bundle(relative).content_hash == expected.content_hash
    tree = tmp_path / "repository" / "lib" / "local"
    for folder, original in (("LandmarkDetector/model", "model"), ("FaceAnalyser/AU_predictors", "AU_predictors")):
        (tree / folder).parent.mkdir(parents=True)
        (tree / folder).symlink_to(place / "OpenFace" / original, target_is_directory=True)
    assert bundle(tree / "LandmarkDetector" / "model" / main).content_hash == expected.content_hash


def test_help_lists_the_options_of_the_program(capsys):
    assert cli.main(["openface", "FaceLandmarkImg", "-h"]) == 0
    text = capsys.readouterr().out
    assert "-bboxdir DIR" in text
    assert "-au_static" not in text


def test_the_page_lists_every_option():
    page = (ROOT / "docs" / "openface.md").read_text(encoding="utf-8")
    table = page[page.index("## Options") : page.index("## What is different")]
    listed = re.findall(r"`(-[^ `]+)[^`]*`", "".join(line.split("|")[1] for line in table.splitlines() if "|" in line))
    assert sorted(listed) == sorted(option.name for option in OPTIONS)


def test_usage_errors_are_errors_of_auparity():
    assert issubclass(UsageError, AuparityError)


def foreign(word: str) -> list[str]:
    """Options of `auparity extract` in a message, but for those of a whole command that the message names."""
    return re.findall(r"(?<!\S)\(?(--[a-z-]+|-o)\b", re.sub(r"`auparity [^`]*`", "", word))


def a_folder_of_aligned_faces(place, out):
    (out / "face_aligned").mkdir(parents=True)
    return ["-f", place / "face.avi", "-simalign"]


def a_folder_with_the_name_of_the_table(place, out):
    (out / "face.csv").mkdir(parents=True)
    return ["-f", place / "face.avi", "-pose"]


def a_sidecar_of_somebody_else(place, out):
    out.mkdir()
    (out / "face.csv.json").write_text("{}")
    return ["-f", place / "face.avi", "-pose"]


def a_sidecar_that_is_none(place, out):
    out.mkdir()
    (out / "face.csv.json").write_text("mine")
    return ["-f", place / "face.avi", "-pose"]


def outputs_with_one_name(place, out):
    return ["-f", place / "face.avi", "-f", place / "clip", "-of", "a", "-of", "a_aligned/b", "-simalign"]


def an_output_over_an_input(place, out):
    (out / "face_aligned").mkdir(parents=True)
    cv2.imwrite(str(out / "face_aligned" / "0.png"), np.zeros((9, 9, 3), np.uint8))
    return ["-fdir", out / "face_aligned", "-of", "face", "-simalign"]


@pytest.mark.parametrize(
    ("arrange", "named"),
    [
        (a_folder_of_aligned_faces, "another folder (-out_dir)"),
        (a_folder_with_the_name_of_the_table, "another folder (-out_dir)"),
        (a_sidecar_of_somebody_else, "another folder (-out_dir)"),
        (a_sidecar_that_is_none, "another folder (-out_dir)"),
        (
            outputs_with_one_name,
            "other names with -of, or extract in two runs with different output folders (-out_dir)",
        ),
        (an_output_over_an_input, "another folder (-out_dir)"),
    ],
)
def test_refusals_name_the_options_of_openface(place, tmp_path, capsys, arrange, named):
    arguments = arrange(place, tmp_path / "out")
    try:
        code = run(place, "FeatureExtraction", *arguments, "-out_dir", tmp_path / "out")
    except SystemExit as stopped:
        code = stopped.code
    assert code in (1, 2)
    message = capsys.readouterr().err
    assert named in message
    assert foreign(message) == []


def images_of_two_sizes(folder):
    for name, size in (("a", 9), ("b", 12)):
        cv2.imwrite(str(folder / f"{name}.png"), np.zeros((size, size, 3), np.uint8))
    return "FaceLandmarkImg"


def a_video(folder):
    (folder / "a.avi").write_bytes(b"RIFF\0\0\0\0AVI LIST")
    return "`auparity extract --recursive`"


def a_folder(folder):
    (folder / "inside").mkdir()
    return "`auparity extract --recursive`"


@pytest.mark.parametrize("fill", [images_of_two_sizes, a_video, a_folder])
def test_folders_that_are_no_clip_are_refused_without_options_that_openface_lacks(place, tmp_path, capsys, fill):
    folder = tmp_path / "clip"
    folder.mkdir()
    named = fill(folder)
    assert run(place, "FeatureExtraction", "-fdir", folder, "-out_dir", tmp_path / "out", "-pose") == 1
    message = capsys.readouterr().err
    assert named in message
    assert foreign(message) == []


def test_a_missing_model_names_the_option_of_openface(place, tmp_path, capsys):
    arguments = ["openface", "FeatureExtraction", "-f", str(place / "face.avi"), "-mloc", "none.txt", "-q"]
    assert cli.main([*arguments, "-out_dir", str(tmp_path)]) == 1
    message = capsys.readouterr().err
    assert "or name another file with -mloc." in message
    assert foreign(message) == []


def test_an_image_that_is_too_large_names_a_program_that_can_be_told_so():
    with pytest.raises(VideoError) as raised:
        check_pixels("a.png", 20_000, 20_000, 100_000_000)
    assert "`auparity extract --max-pixels 400000000`" in str(raised.value)
    assert foreign(str(raised.value)) == []
    assert foreign("Use --overwrite to replace it, or another folder (-o).") == ["--overwrite", "-o"]


def test_a_program_that_always_replaces_offers_no_option_for_it():
    assert EXTRACT.replace_or("-x") == "Use --overwrite to replace it, or -x."
    assert OPENFACE.replace_or(OPENFACE.another_folder) == "Use another folder (-out_dir)."
    assert {OPENFACE.folder, OPENFACE.name} <= {option.name for option in OPTIONS}
