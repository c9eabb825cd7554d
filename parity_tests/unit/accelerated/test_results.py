"""What `Pipeline` returns for clips and images: the tables of `auparity extract`, under names."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

import auparity
from auparity.accelerated.pipeline import Pipeline
from auparity.accelerated.results import ClipResult, FacesResult, ImageResult
from auparity.cli import main
from auparity.errors import ContractError
from auparity.models.bundle import Bundle
from auparity.models.synthetic.groups import make_group, render_group, still_scene
from auparity.parity_tests.unit.helpers.fake_pipeline import result
from auparity.reference.results import OfflineAUs
from auparity.reference.stretches import FaceStretch
from auparity.tables.reading import read_table

FRAMES = 6


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a video of two people."""
    folder = tmp_path_factory.mktemp("two")
    group = make_group(still_scene(2, FRAMES, (640, 360)), 3)
    writer = cv2.VideoWriter(str(folder / "two.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (640, 360))
    for picture in render_group(group):
        writer.write(picture.image)
    writer.release()
    return folder


@pytest.fixture(scope="module")
def pipeline():
    with Pipeline.best(Bundle.embedded()) as best:
        yield best


def extracted(place, *options):
    """The Parquet table that `auparity extract` writes of the video."""
    pytest.importorskip("pyarrow")
    folder = place / "-".join(["out", *options])
    words = ["extract", str(place / "two.avi"), "--models", "embedded", "-o", str(folder), "--format", "parquet"]
    assert main([*words, "--quiet", *options]) == 0
    return read_table(folder / "two.parquet").columns


def assert_equal_columns(ours, theirs):
    assert [*ours] == [*theirs]
    for name, values in ours.items():
        np.testing.assert_array_equal(values, theirs[name], err_msg=name)
        assert values.dtype == theirs[name].dtype, name


def test_a_clip_is_the_table_that_extract_writes(place, pipeline):
    told = []
    clip = pipeline.process_video(place / "two.avi", progress=lambda done, of: told.append((done, of)))
    assert isinstance(clip, ClipResult)
    assert told == [(k + 1, FRAMES) for k in range(FRAMES)]
    assert_equal_columns(clip.table().columns, extracted(place))
    np.testing.assert_array_equal(clip.table().aus["AU12"], clip.aus["AU12"])
    np.testing.assert_array_equal(clip.presences["AU28"], clip.aus.presence_of("AU28"))
    np.testing.assert_array_equal(clip.table()["timestamp"], clip.timestamps)
    assert len(clip) == FRAMES


@pytest.mark.parametrize("aus", ["static", "calibrated"])
def test_a_clip_of_several_people_is_the_table_that_extract_writes(place, pipeline, aus):
    told = []
    clip = pipeline.process_video(place / "two.avi", faces=2, aus=aus, progress=lambda *numbers: told.append(numbers))
    assert isinstance(clip, FacesResult)
    assert told[-1] == (FRAMES, FRAMES)
    assert_equal_columns(clip.table().columns, extracted(place, "--faces", "2", "--aus", aus))
    assert clip.people == [0, 1]
    assert [len(clip.person(number)) for number in clip.people] == [FRAMES, FRAMES]
    with pytest.raises(KeyError, match="no person 2; there are 0, 1"):
        clip.person(2)
    assert repr(clip).startswith(f"<FacesResult: {FRAMES} frames, 2 people, {2 * FRAMES} rows;")
    assert "person 1" in clip._repr_html_()


def test_an_image_is_a_list_and_a_table(place, pipeline):
    pandas = pytest.importorskip("pandas")
    image = cv2.VideoCapture(str(place / "two.avi")).read()[1]
    faces = pipeline.process_image(image)
    assert isinstance(faces, list)
    assert len(faces) == 2
    assert faces[0].aus["AU12"] == faces.table()["AU12_r"][0]
    frame = faces.to_dataframe(["aus"])
    assert isinstance(frame, pandas.DataFrame)
    assert [*frame.columns][:3] == ["face", "confidence", "AU01_r"]
    assert repr(faces).startswith("<ImageResult: 2 faces;")
    assert "<table>" in faces._repr_html_()
    assert [type(each) for each in pipeline.process_images([image])] == [ImageResult]


def test_what_a_clip_is_told_is_checked_before_it_is_read(pipeline):
    with pytest.raises(ContractError, match="faces"):
        pipeline.process_video("no such file", faces=0)
    with pytest.raises(ContractError, match="aus"):
        pipeline.process_video("no such file", aus="static")


def test_an_error_of_the_progress_callback_ends_the_clip(place, pipeline):
    def stop(done, of):
        raise InterruptedError(f"stopped after {done}")

    with pytest.raises(InterruptedError, match="stopped after 1"):
        pipeline.process_video(place / "two.avi", progress=stop)


def test_rows_of_nobody_belong_to_no_person():
    frames = [[result(k, face_id=0, success=k < 2)] for k in range(4)]
    aus = OfflineAUs(np.ones((2, 17)), np.ones((2, 18)))
    stretches = [FaceStretch(0, 0, np.array([0, 1]), aus), FaceStretch(0, -1, np.array([2, 3]), aus)]
    clip = FacesResult(frames, stretches)
    assert clip.people == [0]
    assert clip.table()["person_id"].tolist() == [0, 0, -1, -1]
    assert {episode.person for episode in clip.episodes(fps=10)} == {0}


def test_a_clip_prints_shortly_however_long_it_is():
    rows = 3000
    results = [result(k, timestamp=k / 30) for k in range(rows)]
    clip = ClipResult(results, OfflineAUs(np.random.default_rng(0).random((rows, 17)), np.zeros((rows, 18))))
    assert len(repr(clip)) < 120
    assert len(clip._repr_html_()) < 6000


def test_the_package_lists_what_it_has():
    names = dir(auparity)
    assert set(auparity.__all__) <= set(names)
    assert {"Pipeline", "read_table", "columns", "FaceTable"} <= set(names)
    assert not {"import_module", "Any", "Path"} & set(names)
    for name in auparity.__all__:
        assert getattr(auparity, name) is not None
