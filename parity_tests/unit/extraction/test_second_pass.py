"""Files of faces of one person of several: those that the same rows have where everybody is measured."""

from __future__ import annotations

import csv
import json
import signal

import cv2
import numpy as np
import pytest

from auparity import cli
from auparity.accelerated.pipeline import open_pipeline
from auparity.errors import ContractError
from auparity.extraction.clips import extract_clip
from auparity.extraction.jobs import StopSwitch
from auparity.extraction.outputs.settings import AlignedFaces, OutputSettings
from auparity.extraction.second_pass import spool_for
from auparity.extraction.types import ExtractionSettings
from auparity.media import ImageSequence, open_clip
from auparity.models.bundle import Bundle
from auparity.models.formats.fhog_file import read_fhog
from auparity.models.synthetic.clips import render_clip
from auparity.parity_tests.unit.helpers.fake_pipeline import FakePipeline, result, write_images
from auparity.parity_tests.unit.live.test_source import Source
from auparity.reference.face_choice import PersonChoice

FRAMES, SHOWN = 7, 3
FILES = ("--hog", "--aligned", "--tracked", "--details")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two people, of whom the one on the right is there in the first frames alone, and everything of both."""
    folder = tmp_path_factory.mktemp("leaves") / "leaves"
    folder.mkdir()
    left, right = (list(render_clip(seed, FRAMES, canvas=(240, 200))) for seed in (3_460_000, 3_460_003))
    for k, (a, b) in enumerate(zip(left, right, strict=True)):
        shown = b.image if k < SHOWN else np.full_like(b.image, 96)
        cv2.imwrite(str(folder / f"{k:03}.png"), np.hstack([a.image, shown]))
    assert extract(folder, folder.parent / "all", "--faces", "all", "--aus", "calibrated", "--hog", "--aligned") == 0
    return folder.parent


def extract(clip, out, *more) -> int:
    return cli.main(["extract", str(clip), "--models", "embedded", "--quiet", "-o", str(out), *more])


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("person", ["0", "1"])
def test_the_files_of_a_person_are_those_of_the_rows_of_this_person(place, tmp_path, person):
    assert extract(place / "leaves", tmp_path, "--face", f"track:{person}", *FILES) == 0
    stems = [".csv", ".csv.json", ".hog", ".tracked.webm", "_aligned", "_of_details.txt"]
    assert names(tmp_path) == [f"leaves{stem}" for stem in stems]
    everybody = rows_of(place / "all" / "leaves.csv")
    of_frame = {int(row["frame"]): k for k, row in enumerate(everybody) if row["person_id"] == person}
    assert 0 < len(of_frame) <= FRAMES
    theirs, all_of_them = read_fhog(tmp_path / "leaves.hog"), read_fhog(place / "all" / "leaves.hog")
    assert len(theirs.good) == FRAMES
    black = set()
    for frame in range(1, FRAMES + 1):
        picture = (tmp_path / "leaves_aligned" / f"frame_det_00_{frame:06}.bmp").read_bytes()
        descriptor = theirs.descriptors[frame - 1]
        if frame in of_frame:
            k = of_frame[frame]
            slot = int(everybody[k]["face_id"])
            assert picture == (place / "all" / "leaves_aligned" / f"frame_det_{slot:02}_{frame:06}.bmp").read_bytes()
            np.testing.assert_array_equal(descriptor, all_of_them.descriptors[k])
            assert theirs.good[frame - 1] == all_of_them.good[k]
        else:
            assert not theirs.good[frame - 1]
            black.add(picture)
    assert len(black) == (len(of_frame) < FRAMES)
    with open_clip(tmp_path / "leaves.tracked.webm") as video:
        assert len(list(video)) == FRAMES
    described = json.loads((tmp_path / "leaves.csv.json").read_text())["outputs"]
    assert (described["hog"]["records"], described["aligned"]["files"], described["tracked"]["frames"]) == (FRAMES,) * 3


@pytest.fixture(scope="module")
def pipeline():
    with open_pipeline(Bundle.embedded(networks=False), "best") as made:
        yield made


def who_stays(place) -> PersonChoice:
    """The person on the left."""
    rows = rows_of(place / "all" / "leaves.csv")
    return PersonChoice(int(next(row["person_id"] for row in rows if float(row["x_30"]) < 240)))


def measure(pipeline, place, out, source=None, **more):
    outputs = OutputSettings(hog=True, aligned=AlignedFaces(), details=True, tracked=True)
    settings = ExtractionSettings(out, face=who_stays(place), outputs=outputs)
    with source or open_clip(place / "leaves") as clip:
        return extract_clip(pipeline, clip, settings, name="leaves", **more)


def test_ctrl_c_keeps_what_is_done_and_says_whose_it_is(place, tmp_path, pipeline):
    def press(faces):
        if faces[0].index == 3:
            signal.raise_signal(signal.SIGINT)

    with StopSwitch() as stop:
        outcome = measure(pipeline, place, tmp_path, stop=stop, observer=press, overlap=False)  # no frames ahead
    assert outcome.status == "interrupted"
    assert "interrupted after 4 of 7 frames" in outcome.message
    assert f"INCOMPLETE ({who_stays(place)} of the people so far)" in outcome.message
    stem = "leaves.incomplete"
    stems = [".csv", ".csv.json", ".hog", ".tracked.webm", "_aligned", "_of_details.txt"]
    assert names(tmp_path) == [f"{stem}{end}" for end in stems]
    rows = rows_of(tmp_path / f"{stem}.csv")
    assert [row["frame"] for row in rows] == ["1", "2", "3", "4"]
    assert {row["success"] for row in rows} == {"1"}
    assert len(read_fhog(tmp_path / f"{stem}.hog").good) == len(names(tmp_path / f"{stem}_aligned")) == 4
    sidecar = json.loads((tmp_path / f"{stem}.csv.json").read_text())
    assert (sidecar["complete"], sidecar["reason"]) == (False, "interrupted")
    assert sidecar["request"]["face"] == str(who_stays(place))
    assert measure(pipeline, place, tmp_path).status == "done"
    assert not [name for name in names(tmp_path) if "incomplete" in name]


def test_ctrl_c_twice_stops_at_once_and_the_rows_of_everybody_stay_in_the_part_file(place, tmp_path, pipeline):
    def press(faces):
        if faces[0].index == 3:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with StopSwitch() as stop, pytest.raises(KeyboardInterrupt):
        measure(pipeline, place, tmp_path, stop=stop, observer=press)
    (part,) = tmp_path.iterdir()
    assert part.suffix == ".part"
    assert len(part.read_text().splitlines()) == 1 + 4 * 3  # each frame without a face, and two people


class Shorter(ImageSequence):
    """Gives fewer frames when it is read once more."""

    def again(self):
        clip = super().again()
        del clip._request.paths[4:]
        return clip


def test_a_clip_that_has_become_shorter_is_not_whole(place, tmp_path, pipeline):
    outcome = measure(pipeline, place, tmp_path, Shorter(place / "leaves"))
    assert outcome.status == "incomplete"
    assert "gave 7 frames when it was measured, but 4 when it was read once more" in outcome.message
    assert names(tmp_path) == ["leaves.incomplete.csv", "leaves.incomplete.csv.json"]
    assert len(rows_of(tmp_path / "leaves.incomplete.csv")) == FRAMES


def test_a_camera_cannot_be_read_twice(place, tmp_path):
    pipeline = FakePipeline()
    settings = ExtractionSettings(tmp_path, face=PersonChoice(0), outputs=OutputSettings(tracked=True))
    with pytest.raises(ContractError, match="one person of a camera"):
        extract_clip(pipeline, Source(2, live=True), settings)
    assert (pipeline.sessions, names(tmp_path)) == ([], [])


def test_rows_come_back_as_they_were_and_leave_nothing_in_the_folder(tmp_path):
    clip = open_clip(write_images(tmp_path / "clip", 1))
    (tmp_path / "out").mkdir()
    spool = spool_for(clip, tmp_path / "out")
    written = [result(k, timestamp=k / 3) for k in range(5)]
    spool.append(np.zeros((2, 2, 3), np.uint8), written[:2])
    spool.append(np.zeros((2, 2, 3), np.uint8), written[2:])
    for k in (3, 0, 4):
        back = spool.read(k)
        assert (back.index, back.timestamp, back.success) == (k, k / 3, written[k].success)
        assert back.landmarks.dtype == np.float32
        np.testing.assert_array_equal(back.landmarks, written[k].landmarks)
    spool.close()
    assert names(tmp_path / "out") == []


def test_sources_can_be_opened_once_more_with_their_arguments(tmp_path):
    clip = open_clip(write_images(tmp_path / "clip", 3), fps=10)
    times = [frame.timestamp for frame in clip]
    with clip.again() as again:
        assert [frame.timestamp for frame in again] == times == [0.0, 0.1, 0.2]
    (tmp_path / "clip" / "000.png").unlink()
    with clip.again() as again:
        assert len(list(again)) == 2
