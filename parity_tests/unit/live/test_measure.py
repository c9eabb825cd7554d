"""Measuring and recording, with scripted frames and a pipeline whose numbers are known; no clocks, no threads."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from auparity.accelerated.parallel import streams
from auparity.errors import ContractError, VideoError
from auparity.extraction.types import ExtractionSettings
from auparity.live.measure import Measurer, Origin
from auparity.live.messages import FrameMessage, frame_fields, hello
from auparity.live.source import Counts, LiveFrame, NewestFrame
from auparity.parity_tests.unit.helpers.fake_pipeline import FakePipeline, FakeSession
from auparity.reference.face_choice import FaceChoice, PersonChoice
from auparity.reference.results import OfflineAUs
from auparity.reference.stretches import FaceStretch
from auparity.reports.clips.table import read_result_table


@pytest.fixture(autouse=True)
def one_core(monkeypatch):
    """A script puts several frames at once, of which a thread that waits would take the first, sometimes."""
    monkeypatch.setattr(streams, "usable_cores", lambda: 1)


class Session(FakeSession):
    def close(self):
        self.owner.closed += 1


class Pipeline(FakePipeline):
    closed = 0

    def start_video(self, *, camera=None, online=False):
        super().start_video(camera=camera, online=online)
        return Session(self)


class FacesSession(Session):
    """Frame k has k % 3 faces."""

    def measure(self, tracked, described):
        found = super().measure(tracked, described)
        return [replace(found, face_id=slot) for slot in range(found.index % 3)]

    def finish(self):
        slots = range(2)
        frames = [np.array([k for k in range(self.frames) if k % 3 > slot]) for slot in slots]
        of_frames = [
            OfflineAUs(np.full((len(n), 17), 1.0 + slot), np.ones((len(n), 18))) for slot, n in enumerate(frames)
        ]
        return [FaceStretch(slot, 1 - slot, frames[slot], of_frames[slot]) for slot in slots]


class FacesPipeline(Pipeline):
    def start_video(self, *, faces=None, aus=None, face=None, **more):
        super().start_video(**more)
        self.sessions[-1] |= {"faces": faces, "aus": aus, "face": face}
        return Session(self) if faces is None else FacesSession(self)


class Script:
    """Puts the next frames into the slot whenever one was measured, and presses buttons between them.

    Parameters
    ----------
    steps : after the k-th result: a number of frames to put, "record", "stop", or an error with which the source ends.
    """

    def __init__(self, folder, steps, *, pipeline=None, **settings):
        self.slot, self.updates, self.steps, self.put = NewestFrame(), [], list(steps), 0
        self.now = 0.0
        self.pipeline = pipeline or Pipeline()
        settings = ExtractionSettings(output_dir=folder, **settings)
        origin = Origin("camera0", "camera:0", "camera")
        self.measurer = Measurer(self.pipeline, self.slot, origin, settings, self.publish, clock=lambda: self.now)

    def publish(self, update):
        self.updates.append(update)
        self.go_on()

    def go_on(self):
        while self.steps:
            step = self.steps.pop(0)
            if step == "record":
                self.measurer.record()
            elif step == "stop":
                self.measurer.stop_recording()
            elif isinstance(step, Exception):
                self.slot.end(step)
            else:
                for _ in range(step):
                    self.slot.put(LiveFrame(np.full((48, 64, 3), self.put, np.uint8), self.put / 10, self.now))
                    self.put += 1
                self.now += 0.5
                return
        self.slot.end()

    def run(self):
        self.go_on()
        self.measurer.run()
        return self


def shown(script):
    return [int(update.image[0, 0, 0]) for update in script.updates]


def tables(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_frame_is_measured_and_the_counters_say_what_was_dropped(tmp_path):
    script = Script(tmp_path, [1, 3, 1]).run()
    assert shown(script) == [0, 3, 4]
    assert [update.counts for update in script.updates] == [Counts(1, 0), Counts(4, 2), Counts(5, 2)]
    assert [update.measured for update in script.updates] == [1, 2, 3]
    assert [update.latency for update in script.updates] == [0.5] * 3
    assert [update.rate for update in script.updates] == [0.0, 2.0, 2.0]
    assert script.pipeline.sessions == [{"camera": script.pipeline.sessions[0]["camera"], "online": True}]
    assert script.pipeline.closed == 1
    assert tables(tmp_path) == []


@pytest.mark.parametrize("table_format", ["csv", "parquet"])
def test_a_recording_is_the_table_that_extract_writes(tmp_path, table_format):
    script = Script(tmp_path, [1, "record", 1, 2, 1, "stop", 1, 1], table_format=table_format).run()
    assert shown(script) == [0, 1, 3, 4, 5, 6]
    assert [update.recording.running for update in script.updates] == [False, True, True, True, False, False]
    assert [update.recording.frames for update in script.updates] == [0, 1, 2, 3, 3, 3]
    (table, sidecar) = sorted(tmp_path.iterdir(), key=lambda path: len(path.name))
    assert script.updates[-1].recording.message == f"3 frames recorded: {table}"
    read = read_result_table(table)
    assert read.columns["frame"].tolist() == [1, 2, 3]
    assert read.columns["timestamp"] == pytest.approx([0.0, 0.2, 0.3])
    assert read.columns["AU12_r"] == pytest.approx([0.25, 0.5, 0.75])  # post-processed, not as predicted
    facts = json.loads(sidecar.read_text(encoding="utf-8"))
    assert facts["complete"] is True
    assert facts["input"]["kind"] == "camera"
    assert facts["input"]["path"] == "camera:0"
    assert facts["warnings"] == ["1 of 4 frames were dropped: they came faster than they could be measured"]
    assert not script.measurer.any_failed


def test_several_faces_are_shown_by_their_slots_and_recorded_with_their_persons(tmp_path):
    script = Script(
        tmp_path, [1, 1, 1, "record", 1, 1, 1, 1], pipeline=FacesPipeline(), faces="all", aus="calibrated"
    ).run()
    assert [len(update.faces) for update in script.updates] == [0, 1, 2, 0, 1, 2, 0]
    assert [face["id"] for face in frame_fields(script.updates[2])["faces"]] == [0, 1]
    assert frame_fields(script.updates[0])["faces"] == []
    assert [update.recording.frames for update in script.updates] == [0, 0, 0, 1, 2, 3, 4]
    for session in script.pipeline.sessions:
        assert (session["online"], session["faces"], session["aus"]) == (True, "all", "calibrated")
    assert len(script.pipeline.sessions) == 2
    (table,) = tmp_path.glob("*.csv")
    with table.open(newline="") as file:
        rows = [(row["frame"], row["face_id"], row["person_id"], row["AU12_r"]) for row in csv.DictReader(file)]
    assert rows == [("2", "0", "1", "1.00"), ("3", "0", "1", "1.00"), ("3", "1", "0", "2.00")]
    facts = json.loads(table.with_name(f"{table.name}.json").read_text())
    assert (facts["frames"], facts["request"]["faces"], facts["request"]["aus"]) == (4, "all", "calibrated")


def test_one_face_of_several_is_shown_and_recorded_as_chosen(tmp_path):
    choice = FaceChoice("central")
    script = Script(tmp_path, [1, "record", 1, 1], pipeline=FacesPipeline(), face=choice).run()
    assert [session["face"] for session in script.pipeline.sessions] == [choice, choice]
    (sidecar,) = tmp_path.glob("*.json")
    assert json.loads(sidecar.read_text())["request"]["face"] == "central"


def test_one_person_of_several_is_known_too_late(tmp_path):
    with pytest.raises(ContractError, match="FaceChoice or None, got track:1"):
        Script(tmp_path, [1], face=PersonChoice(1))


def test_two_recordings_have_two_names(tmp_path):
    script = Script(tmp_path, ["record", 1, "stop", 1, "record", 1, "stop", 1]).run()
    assert len(list(tmp_path.glob("camera0_*.csv"))) == 2
    assert not script.measurer.any_failed


def test_a_recording_is_finished_when_the_source_ends(tmp_path):
    script = Script(tmp_path, ["record", 1, 1]).run()
    (table,) = tmp_path.glob("*.csv")
    assert len(read_result_table(table)) == 2
    assert script.measurer.recording.message == f"2 frames recorded: {table}"


def test_a_recording_of_a_camera_that_is_unplugged_is_kept_as_incomplete(tmp_path):
    script = Script(tmp_path, ["record", 1, 1, VideoError("camera:0: disconnected.")]).run()
    (table,) = tmp_path.glob("*.csv")
    assert table.name.endswith(".incomplete.csv")
    assert len(read_result_table(table)) == 2
    assert script.measurer.any_failed
    assert script.measurer.recording.message.startswith("camera:0: disconnected.")


def test_a_folder_that_cannot_be_written_to_ends_the_recording_only(tmp_path):
    (tmp_path / "file").write_text("")
    script = Script(tmp_path / "file", ["record", 1, 1, 1]).run()
    assert script.measurer.any_failed
    assert "file" in script.updates[-1].recording.message
    assert not script.updates[-1].recording.running
    assert shown(script)


def test_what_the_pipeline_raises_is_raised(tmp_path):
    script = Script(tmp_path, [1, 1], pipeline=Pipeline(fail_at=1, failure=RuntimeError("broken")))
    with pytest.raises(RuntimeError, match="broken"):
        script.run()
    assert script.pipeline.closed == 1


def test_messages_are_json_and_landmarks_are_left_out_without_a_face(tmp_path):
    script = Script(tmp_path, [1, 1]).run()  # the second frame has no face
    face, none = (frame_fields(update) for update in script.updates)
    assert (face["width"], face["height"]) == (64, 48)
    ((face,), (none,)) = face["faces"], none["faces"]
    assert (face["id"], face["success"], none["success"]) == (0, True, False)
    assert len(face["landmarks"]) == 136
    assert face["landmarks"][:4] == [0.0, 100.0, 1.0, 101.0]
    assert none["landmarks"] == none["eyes"] == none["pose"] == []
    fields, picture = FrameMessage(script.updates[0]).encoded()
    assert json.loads(json.dumps(fields, allow_nan=False)) == fields
    assert picture[:2] == b"\xff\xd8"


def test_numbers_that_json_cannot_represent_are_null(tmp_path):
    script = Script(tmp_path, [1]).run()
    script.updates[0].faces[0].au_intensity[3] = np.nan
    assert frame_fields(script.updates[0])["faces"][0]["intensity"][3] is None


def test_the_page_learns_whether_there_are_several_faces():
    assert [hello("camera 0", "out", several=several)["several"] for several in (False, True)] == [False, True]


def test_the_page_learns_the_order_of_the_action_units():
    units = {unit["code"]: unit for unit in hello("camera 0", "out")["units"]}
    assert len(units) == 18
    assert (units["AU12"]["intensity"], units["AU12"]["presence"]) == (8, 8)
    assert (units["AU28"]["intensity"], units["AU28"]["presence"]) == (None, 16)
    assert (units["AU45"]["intensity"], units["AU45"]["presence"]) == (16, 17)


def test_with_threads_each_frame_is_shown_with_its_own_result_and_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "usable_cores", lambda: 2)
    script = Script(tmp_path, [1, 1, "record", 1, 1, 1, "stop", 1]).run()
    assert shown(script) == list(range(len(script.updates)))
    assert [update.faces[0].index for update in script.updates] == [0, 1, 0, 1, 2, 0]
    assert script.updates[-1].recording.frames == 3
    (table,) = tmp_path.glob("*.csv")
    assert len(read_result_table(table)) == 3
