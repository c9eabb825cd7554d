"""What is written beside a table: bytes, names, columns, and that it is there whole, as incomplete, or not at all."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from auparity.accelerated.cupy.models import DeviceModels
from auparity.cli import extract as cli_extract
from auparity.cli import pipeline_options, repeat_commands
from auparity.errors import AuparityError, VariantUnavailable
from auparity.extraction.clips import extract_clip
from auparity.extraction.outputs import writers
from auparity.extraction.outputs.clip_outputs import check_pipeline, face_crops
from auparity.extraction.outputs.settings import AlignedFaces, OutputSettings, check_collisions
from auparity.extraction.photographs import extract_photograph
from auparity.extraction.tables import check_groups, header
from auparity.extraction.types import ExtractionSettings
from auparity.media import open_clip
from auparity.models.formats.fhog_file import read_fhog
from auparity.parity_tests.unit.cli.test_extract import parse
from auparity.parity_tests.unit.helpers import factories
from auparity.parity_tests.unit.helpers.fake_pipeline import (
    FakePipeline,
    FakeSession,
    result,
    write_images,
    write_video,
)
from auparity.reference.alignment import Crop, align_faces, scale_for
from auparity.reference.face_crops import FaceCrops
from auparity.reference.landmarks import CECLM, CECLM_SIGMA
from auparity.reference.numerics import FLOAT32
from auparity.reference.options import PipelineOptions
from auparity.reference.pipeline import ReferencePipeline
from auparity.reports.clips.summary import summarise
from auparity.reports.clips.table import read_result_table
from auparity.tables.columns import COLUMNS, GROUPS, group_of

STAGED = ReferencePipeline(factories.make_bundle(0))
RNG = np.random.default_rng(5)
LANDMARKS = (np.array([32, 24]) + RNG.normal(0, 8, (68, 2))).astype(np.float32)
#: Bytes of a record: three sizes, a flag, and 12 x 12 cells of 31 numbers (spec 10.12).
RECORD = 16 + 4 * 12 * 12 * 31
EVERYTHING = OutputSettings(hog=True, aligned=AlignedFaces(), details=True, tracked=True)


class FacePipeline(FakePipeline):
    """The fake one with landmarks that are a face's, and stages that align it. Every other frame fails."""

    staged = STAGED

    def start_video(self, *, camera=None, online=False):
        return FaceSession(self)

    def process_image(self, image, *, camera=None, multi_view=None):
        faces = super().process_image(image, camera=camera, multi_view=multi_view)
        return [replace(face, landmarks=LANDMARKS + face.face_id) for face in faces]


class FaceSession(FakeSession):
    def measure(self, tracked, described):
        return replace(super().measure(tracked, described), landmarks=LANDMARKS)


@pytest.fixture
def clip(tmp_path):
    return write_video(tmp_path / "face.avi", 4)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def run(path, out, outputs=EVERYTHING, pipeline=None, **settings):
    with open_clip(path) as source:
        return extract_clip(
            pipeline or FacePipeline(), source, ExtractionSettings(out, outputs=outputs, **settings), name="face"
        )


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def content(table: Path) -> dict:
    return json.loads(table.with_name(f"{table.name}.json").read_text(encoding="utf-8"))


def frames_of(path) -> list[np.ndarray]:
    with open_clip(path) as source:
        return [frame.image for frame in source]


def test_every_output_stands_beside_the_table_and_the_sidecar_describes_it(clip, out):
    assert run(clip, out).status == "done"
    files = ["face.csv", "face.csv.json", "face.hog", "face.tracked.webm", "face_aligned", "face_of_details.txt"]
    assert names(out) == files
    described = content(out / "face.csv")["outputs"]
    assert set(described) == {"hog", "aligned", "details", "tracked"}
    for output in ("hog", "details", "tracked"):
        path = out / described[output]["name"]
        assert described[output]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert described["aligned"] == {"name": "face_aligned", "files": 4}
    assert (described["hog"]["records"], described["tracked"]["frames"]) == (4, 4)


def test_without_outputs_nothing_but_table_and_sidecar_is_written(clip, out):
    run(clip, out, OutputSettings(), FakePipeline())
    assert names(out) == ["face.csv", "face.csv.json"]
    assert "outputs" not in content(out / "face.csv")


def test_the_hog_file_has_a_record_for_every_frame_and_marks_failed_ones(clip, out):
    run(clip, out, OutputSettings(hog=True))
    data = (out / "face.hog").read_bytes()
    assert len(data) == 4 * RECORD
    heads = [np.frombuffer(data, "<i4", 3, k * RECORD).tolist() for k in range(4)]
    assert heads == [[12, 12, 31]] * 4  # columns, rows, channels
    assert [np.frombuffer(data, "<f4", 1, k * RECORD + 12)[0] for k in range(4)] == [1, -1, 1, -1]
    records = read_fhog(out / "face.hog")
    black, _ = STAGED.start_video().analyser.describer.describe_no_face()
    np.testing.assert_array_equal(records.descriptors[1].ravel(), black)


def test_descriptors_are_those_that_the_au_models_looked_at(clip, out):
    run(clip, out, OutputSettings(hog=True))
    image = frames_of(clip)[0]
    g, p = STAGED.fit_video_shape(LANDMARKS[None])
    described = STAGED.start_video().analyser.describe(image, LANDMARKS, g[0], p[0])
    np.testing.assert_array_equal(read_fhog(out / "face.hog").descriptors[0].ravel(), described.hog)


def test_aligned_faces_are_named_by_face_and_frame_and_failed_ones_are_black(clip, out):
    run(clip, out, OutputSettings(aligned=AlignedFaces()))
    assert names(out / "face_aligned") == [f"frame_det_00_{k:06d}.bmp" for k in range(1, 5)]
    pictures = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted((out / "face_aligned").iterdir())]
    assert [picture.shape for picture in pictures] == [(112, 112, 3)] * 4
    assert [bool(picture.any()) for picture in pictures] == [True, False, True, False]
    g, _ = STAGED.fit_video_shape(LANDMARKS[None])
    aus = STAGED.bundle.video_aus
    image = frames_of(clip)[2]
    expected = align_faces(image[None], LANDMARKS[None], g, aus.pdm, aus.triangulation)[0]
    np.testing.assert_array_equal(pictures[2], expected)


def test_aligned_faces_may_be_larger_gray_unmasked_png_and_without_failed_frames(clip, out):
    crop = Crop(150, 0.9, masked=False)
    run(clip, out, OutputSettings(aligned=AlignedFaces("png", crop, gray=True, skip_failed=True)))
    assert names(out / "face_aligned") == ["frame_det_00_000001.png", "frame_det_00_000003.png"]
    picture = cv2.imread(str(out / "face_aligned" / "frame_det_00_000001.png"), cv2.IMREAD_UNCHANGED)
    assert picture.shape == (150, 150)
    made = content(out / "face.csv")["request"]["aligned"]
    assert made == {
        "file_format": "png", "crop": {"size": 150, "scale": 0.9, "masked": False}, "gray": True, "skip_failed": True
    }  # fmt: skip


def test_another_crop_shows_the_same_face_and_the_mask_grows_with_it():
    faces = FaceCrops(STAGED.bundle.video_aus, STAGED.stages, FLOAT32)
    image = RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8)
    usual = faces.aligned(image, LANDMARKS)
    np.testing.assert_array_equal(faces.aligned(image, LANDMARKS, Crop()), usual)
    double = faces.aligned(image, LANDMARKS, Crop(224, scale_for(224)))
    share, other = (float(picture.any(axis=2).mean()) for picture in (usual, double))
    assert other == pytest.approx(share, rel=0.05)
    assert not faces.aligned(image, None, Crop(30)).any()


def test_the_overlay_video_has_every_frame(clip, out):
    run(clip, out, OutputSettings(tracked=True))
    with av.open(str(out / "face.tracked.webm")) as container:
        shapes = {frame.to_ndarray(format="bgr24").shape for frame in container.decode(video=0)}
    assert len(shapes) == 1
    assert len(frames_of(out / "face.tracked.webm")) == 4


def test_the_details_are_openfaces_lines(clip, out):
    run(clip, out, replace(EVERYTHING, tracked=False, columns=("gaze", "2d")))
    assert (out / "face_of_details.txt").read_text().splitlines() == [
        f"Input:{clip}", f"Input full path:{clip.resolve()}", "Camera parameters:50,50,32,24", "Output HOG:face.hog",
        "Output aligned directory:face_aligned", "Output csv:face.csv", "Gaze: 1", "AUs: 0", "Landmarks 2D: 1",
        "Landmarks 3D: 0", "Pose: 0", "Shape parameters: 0",
    ]  # fmt: skip


def test_the_outputs_of_an_image_have_its_faces(tmp_path, out):
    image = tmp_path / "two.png"
    cv2.imwrite(str(image), RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    assert extract_photograph(FacePipeline(), image, ExtractionSettings(out, outputs=EVERYTHING)).status == "done"
    assert names(out / "two_aligned") == ["face_det_000000.bmp", "face_det_000001.bmp"]
    assert read_fhog(out / "two.hog").good.tolist() == [True, False]
    assert cv2.imread(str(out / "two.tracked.jpg")) is not None
    assert "Output image:two.tracked.jpg" in (out / "two_of_details.txt").read_text()


@pytest.mark.parametrize("layout", ["clip", "faces", "photograph"])
def test_static_aus_look_at_rejected_faces_too(layout, tmp_path):
    image = np.random.default_rng(3_470_000).integers(0, 255, (200, 240, 3), dtype=np.uint8)
    rejected = result(success=False, landmarks=LANDMARKS)
    described = []
    for face in (rejected, replace(rejected, success=True, detection_success=True)):
        writer = writers.HogWriter(tmp_path / "a.hog", face_crops(FacePipeline(), layout), layout)
        writer.append(image, [face])
        writer.finish(1)
        writer.put(tmp_path / "a.hog")
        described.append(read_fhog(tmp_path / "a.hog").descriptors[0])
    assert np.array_equal(*described) == (layout != "clip")


@pytest.mark.parametrize("layout", ["clip", "photograph"])
def test_the_groups_divide_the_columns_in_the_order_of_the_table(layout):
    every = [column.name for column in COLUMNS[layout]]
    first = [name for name in every if group_of(name) is None]
    parts = [header(layout, (group,)).split(",") for group in GROUPS]
    assert all(part[: len(first)] == first for part in parts)
    assert first + [name for part in parts for name in part[len(first) :]] == every
    assert [len(part) - len(first) for part in parts] == [288, 6, 136, 204, 40, 35]  # spec 80.1
    assert header(layout, check_groups(["aus", "pose"])) == header(layout, ("pose", "aus"))


@pytest.mark.parametrize("table_format", ["csv", "parquet"])
def test_a_table_of_some_groups_has_the_cells_of_the_whole_one(clip, out, table_format):
    if table_format == "parquet":
        pytest.importorskip("pyarrow")
    run(clip, out / "all", OutputSettings(), table_format=table_format)
    whole = read_result_table(out / "all" / f"face.{table_format}").columns
    for groups in (("pose",), ("2d", "aus")):
        folder = out / "-".join(groups)
        run(clip, folder, OutputSettings(groups), table_format=table_format)
        part = read_result_table(folder / f"face.{table_format}", needed=()).columns
        assert list(part) == header("clip", groups).split(",")
        for name, values in part.items():
            np.testing.assert_array_equal(values, whole[name])
    assert set(whole["AU12_r"]) == {0.25, 0.5, 0.75, 1}  # post-processed


def test_readers_say_which_groups_a_table_lacks(clip, out):
    run(clip, out, OutputSettings(("pose",)))
    with pytest.raises(AuparityError, match=r"written without the columns of 2d.*--columns"):
        read_result_table(out / "face.csv")
    with pytest.raises(AuparityError, match="written without the columns of aus"):
        summarise(out / "face.csv")


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (OutputSettings(), OutputSettings(("pose",)), "with all columns"),
        (OutputSettings(("pose", "aus")), OutputSettings(), "with the columns of pose, aus only"),
        (OutputSettings(), OutputSettings(hog=True), "made without face.hog"),
        (
            OutputSettings(aligned=AlignedFaces()), OutputSettings(aligned=AlignedFaces(gray=True)),
            "another choice of aligned faces",
        ),
        (EVERYTHING, OutputSettings(), None),
        (EVERYTHING, EVERYTHING, None),
    ],
)  # fmt: skip
def test_a_run_is_resumed_only_where_columns_and_outputs_are_those_asked_for(clip, out, first, second, reason):
    run(clip, out, first)
    outcome = run(clip, out, second)
    if reason is None:
        assert outcome.status == "skipped"
    else:
        assert outcome.status == "failed"
        assert reason in outcome.message
        assert run(clip, out, second, overwrite=True).status == "done"
        assert run(clip, out, second).status == "skipped"


def test_static_aus_and_settings_of_the_fit_are_part_of_what_is_resumed(clip, out):
    run(clip, out, OutputSettings())
    pipeline = FacePipeline()
    pipeline.options = PipelineOptions(static_aus=True)
    assert "without --static-aus" in run(clip, out, OutputSettings(), pipeline).message
    pipeline.options = PipelineOptions(landmarks=STAGED.landmark_detector.parameters)
    assert "other settings of landmark detection" in run(clip, out, OutputSettings(), pipeline).message
    assert run(clip, out, OutputSettings(), pipeline, overwrite=True).status == "done"
    assert run(clip, out, OutputSettings(), pipeline).status == "skipped"


def test_outputs_that_were_changed_or_lost_are_noticed(clip, out):
    run(clip, out)
    next((out / "face_aligned").iterdir()).unlink()
    (out / "face.hog").write_bytes(b"other")
    (out / "face.tracked.webm").unlink()
    message = run(clip, out).message
    for part in ("face.hog was changed", "face.tracked.webm is no longer there", "face_aligned no longer holds"):
        assert part in message
    assert run(clip, out, overwrite=True).status == "done"
    assert len(names(out / "face_aligned")) == 4


def test_an_interrupted_clip_keeps_its_outputs_as_incomplete_until_it_is_whole(clip, out):
    pipeline = FacePipeline(fail_at=2, failure=KeyboardInterrupt())
    assert run(clip, out, pipeline=pipeline).status == "interrupted"
    stem = "face.incomplete"
    assert names(out) == [
        f"{stem}.csv", f"{stem}.csv.json", f"{stem}.hog", f"{stem}.tracked.webm", f"{stem}_aligned",
        f"{stem}_of_details.txt",
    ]  # fmt: skip
    assert (out / f"{stem}.hog").stat().st_size == 2 * RECORD
    assert len(names(out / f"{stem}_aligned")) == 2
    assert run(clip, out).status == "done"
    assert [name for name in names(out) if "incomplete" in name] == []


def test_outputs_are_cut_to_the_rows_that_the_table_has(clip, out, monkeypatch):
    """An interruption between an output and the table leaves one more of it than there are rows."""
    append, calls = writers.AlignedWriter.append, []

    def interrupted(self, image, results):
        append(self, image, results)
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(writers.AlignedWriter, "append", interrupted)
    assert run(clip, out, replace(EVERYTHING, tracked=False)).rows == 2
    assert (out / "face.incomplete.hog").stat().st_size == 2 * RECORD
    assert len(names(out / "face.incomplete_aligned")) == 2


def test_an_internal_error_keeps_what_is_done_and_the_next_run_removes_it(clip, out, monkeypatch):
    append, calls = writers.HogWriter.append, []

    def broken(self, image, results):
        append(self, image, results)
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(writers.HogWriter, "append", broken)
        with pytest.raises(RuntimeError, match="broken"):
            run(clip, out)
    left = sorted(re.sub(r"\.[0-9a-f]{12}", "", name) for name in names(out))
    assert left == [
        "face.csv.part", "face.hog.part", "face.tracked.webm.part.webm", "face_aligned.lock", "face_aligned.part"
    ]  # fmt: skip
    assert run(clip, out).status == "done"
    assert [name for name in names(out) if ".part" in name or name.endswith(".lock")] == []


def test_a_run_that_was_killed_before_its_table_is_measured_again(clip, out):
    run(clip, out)
    (out / "face.csv").unlink()
    assert run(clip, out).status == "done"


def test_files_of_others_are_not_replaced(clip, out):
    out.mkdir()
    (out / "face.hog").write_bytes(b"of OpenFace")
    with pytest.raises(AuparityError, match=r"face\.hog.*--overwrite"):
        run(clip, out)
    assert run(clip, out, overwrite=True).status == "done"


def test_folders_of_others_are_never_replaced(clip, out):
    (out / "face_aligned").mkdir(parents=True)
    (out / "face_aligned" / "mine.txt").write_text("mine")
    with pytest.raises(AuparityError, match="left alone"):
        run(clip, out, overwrite=True)
    assert names(out) == ["face_aligned"]
    assert names(out / "face_aligned") == ["mine.txt"]


def test_outputs_that_would_collide_are_refused(tmp_path):
    check_collisions([("a", "clip"), ("b", "clip"), ("a_aligned", "clip")], EVERYTHING, tmp_path)
    for named in ([("a", "clip"), ("a_aligned/b", "clip")], [("A", "clip"), ("a.hog/b", "photograph")]):
        with pytest.raises(AuparityError, match="also a name that"):
            check_collisions(named, EVERYTHING, tmp_path)
        check_collisions(named, OutputSettings(), tmp_path)
    with pytest.raises(AuparityError, match="is an input"):
        check_collisions([("a", "clip")], EVERYTHING, tmp_path, [tmp_path / "a_aligned"])


def test_a_pipeline_that_keeps_faces_elsewhere_is_refused_before_anything_is_begun(clip, out):
    for outputs in (OutputSettings(hog=True), OutputSettings(aligned=AlignedFaces())):
        with pytest.raises(VariantUnavailable, match="stage by stage"):
            check_pipeline(FakePipeline(), outputs)
        with pytest.raises(VariantUnavailable):
            run(clip, out, outputs, FakePipeline())
    assert not out.exists()
    check_pipeline(FakePipeline(), OutputSettings(details=True, tracked=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--aligned", "--aligned-size", "0"], "whole number of at least 1"),
        (["--aligned-size", "50"], "--aligned-size needs --aligned"),
        (["--columns", "pose,mouth"], "no group of columns 'mouth'; there are gaze, pose, 2d, 3d, params, aus"),
        (["--columns", ""], "no group of columns ''"),
        (["--sigma", "-1"], "at least 0"),
    ],
)
def test_options_without_sense_are_wrong_usage(clip, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)

    def extract() -> None:
        namespace = parse(clip, *arguments)
        namespace.run(namespace)

    with pytest.raises(SystemExit, match="2"):
        extract()
    assert message in capsys.readouterr().err
    assert names(tmp_path) == ["face.avi"]


def test_the_command_line_passes_every_option_on(clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli_extract, "build_pipeline", lambda _: (FacePipeline(), []))
    options = "--columns aus,gaze --hog --details --tracked --aligned --aligned-size 56 --aligned-no-mask"
    namespace = parse(clip, *options.split(), "--aligned-gray", "--aligned-skip-failed", "--aligned-format", "png")
    assert namespace.run(namespace) == 0
    request = content(tmp_path / "processed" / "face.csv")["request"]
    assert request["columns"] == ["gaze", "aus"]
    assert request["aligned"] == {
        "file_format": "png", "crop": {"size": 56, "scale": 0.35, "masked": False}, "gray": True, "skip_failed": True
    }  # fmt: skip


def test_settings_of_the_fit_reach_the_pipeline():
    bundle = STAGED.bundle
    plain = pipeline_options._pipeline_options(parse("x"), bundle)
    assert (plain.landmarks, plain.static_aus) == (None, False)
    options = "--wild --no-validate --iterations 7 --sigma 1.75 --reg 30 --w-reg 2 --static-aus"
    given = pipeline_options._pipeline_options(parse("x", *options.split()), bundle)
    assert given.static_aus
    assert given.landmarks is not None
    assert not given.landmarks.validate
    assert given.landmarks.init_windows == (15, 13, 11, 11)
    fitting = given.landmarks.fitting
    ceclm = CECLM_SIGMA if bundle.face.name == CECLM else 1
    assert (fitting.iterations, fitting.sigma, fitting.weight_factor) == (7, 1.75 * ceclm, 2)


def test_a_report_names_the_options_that_make_the_table_again():
    options = "--wild --no-validate --iterations 7 --sigma 1.75 --reg 30 --w-reg 2"
    for kind in ("clnf", "ceclm"):
        bundle = factories.make_bundle(0, kind)
        given = pipeline_options._pipeline_options(parse("x", *options.split()), bundle)
        assert given.landmarks is not None
        stored = json.loads(json.dumps(asdict(given.landmarks)))
        words = repeat_commands._landmark_options(stored, bundle.face.name)
        assert words.split() == options.split()
    assert repeat_commands._landmark_options(None, None) == ""


def test_static_aus_of_a_clip_are_those_of_an_image_before_smoothing():
    image = RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8)
    session = ReferencePipeline(factories.make_bundle(0), options=PipelineOptions(static_aus=True)).start_video()
    assert not session.analyser.dynamic
    assert not session.analyser.models.needs_medians
    g, p = STAGED.fit_image_shape(LANDMARKS[None])
    first = session.analyser.step(image, LANDMARKS, g[0], p[0])
    session.analyser.step(RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8), LANDMARKS + 1, g[0], p[0])
    again = session.analyser.step(image, LANDMARKS, g[0], p[0])
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)  # nothing of the frames before is left in it


def test_the_pipeline_on_a_gpu_refuses_static_aus_before_it_uses_the_device():
    with pytest.raises(VariantUnavailable, match="no static AUs"):
        DeviceModels(STAGED.bundle, None, PipelineOptions(static_aus=True))


def test_a_folder_of_images_is_a_clip_with_outputs_too(tmp_path, out):
    folder = write_images(tmp_path / "frames", 3)
    assert run(folder, out).status == "done"
    assert read_fhog(out / "face.hog").good.tolist() == [True, False, True]
