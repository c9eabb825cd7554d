"""The GPU benchmark measures what it says, on kernels run on the host: what is counted is right, no time is judged."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from auparity.accelerated.cupy import hypotheses as device_hypotheses
from auparity.benchmarks.device import command, parts, workloads
from auparity.benchmarks.device.contenders import Film, Overlapped, StepByStep
from auparity.benchmarks.device.rates import Rates
from auparity.benchmarks.device.runs import CPU, take_turns
from auparity.errors import AuparityError, DeviceError, VariantUnavailable
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.parity_tests.cuda_on_host import host_device
from auparity.reference import hypotheses as reference_hypotheses
from auparity.reports.results.page import results_page
from auparity.reports.results.records import Provenance, load

WHERE = Provenance("2026-11-21T09:00:00+0000", "bench", "abc", "0.1.0", {"id": "some-cpu"}, 100.0, 20.0)
RATES = Rates(1000.0, 100.0, 10.0, 20.0, 5.0, 4.0)
TINY = workloads.Settings(
    streams=(2,), frames=3, rounds=1, reference_frames=2, clips=1, photographs=2, format="tiny", canvas=(200, 150),
    face=90.0,
)  # fmt: skip
NO_MEMORY = "the GPU is out of memory: 3.000 GiB more was asked for"


@pytest.fixture(scope="module")
def device():
    return host_device(both_orders=False, strict=True)


@pytest.fixture(scope="module")
def models():
    return [workloads.Models("embedded", Bundle.embedded(networks=False), "the embedded bundle")]


@pytest.fixture(scope="module", autouse=True)
def _few_hypotheses():
    """Three rotations of a face to begin with instead of eleven, which on the host take most of the time."""
    with pytest.MonkeyPatch.context() as patched:
        for module in (device_hypotheses, reference_hypotheses):
            patched.setattr(module, "MULTI_VIEW", reference_hypotheses.MULTI_VIEW[:3])
        yield


@pytest.fixture(scope="module")
def results(device, models, tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "device.json"
    found = command.measure(models, device, TINY, WHERE, RATES, path)
    return found, path


# ---- What is written -------------------------------------------------------------------------------------------------


def test_every_part_is_in_the_result_file_and_on_its_page(results):
    found, path = results
    assert load(path) == found
    works = ["embedded-tiny-2", "embedded-tiny-2-stages", "embedded-photographs", "embedded-photographs-stages"]
    assert [(w.name, w.frames) for w in found.workloads] == list(zip(works, (6, 6, 2, 2), strict=True))
    by_workload = {name: [s.pipeline for s in found.speeds if s.workload == name] for name in works}
    assert list(by_workload.values()) == [
        ["the reference", CPU, "gpu, 2 streams, step by step", "gpu, 2 streams"],
        ["gpu, 2 streams, every stage waited for"],
        ["the reference", CPU, "gpu, 2 at a time"],
        ["gpu, 2 at a time, every stage waited for"],
    ]
    assert found.provenance.machine["gpu_used"] == "host (emulated)"
    assert found.skipped == []
    page = results_page([found])
    assert "gpu, 2 streams" in page
    assert "running_median" in page
    assert " Passed<" in page


def test_ratios_stand_beside_the_reference_and_the_cpu(results):
    found, _ = results
    for speed in found.speeds:
        if "waited for" not in speed.pipeline:
            assert len(speed.repeats) == len(speed.golden_ratios) == 1
            assert speed.ms_p95 >= speed.ms_median > 0
        assert ("times as many as" in speed.note) == (speed.pipeline.startswith("gpu") and speed.stages == [])
    together = next(s for s in found.speeds if s.pipeline == "gpu, 2 streams")
    assert together.first_frame_ms > 0
    assert "a step of 2 every" in together.note
    assert "steps overlap" in together.note


def test_the_timed_run_is_held_against_the_reference_and_batches_against_each_other(results):
    found, _ = results
    assert found.passed
    figures = {(e.workload, e.variant, e.figure) for e in found.errors}
    assert ("embedded-tiny-2", "gpu, 2 streams", "landmarks_mean") in figures
    assert ("embedded-photographs", "gpu, 2 at a time", "faces") in figures
    exact = [e for e in found.errors if e.figure.startswith("values that differ")]
    assert [e.figure for e in exact] == ["values that differ in a second run", "values that differ in a batch of 2"]
    assert all(e.error == e.tolerance == 0 for e in exact)


def test_stages_are_timed_counted_and_have_floors(results):
    found, _ = results
    speed = next(s for s in found.speeds if s.pipeline == "gpu, 2 streams, every stage waited for")
    stages = {stage.stage: stage for stage in speed.stages}
    always = {"grayscale", "patch_experts", "fitting", "validation", "fit_shape", "alignment", "fhog", "geometry"}
    assert always | {"running_median", "action_units", "upload", "download", "tracking", "results"} <= set(stages)
    assert "detection" not in stages, "the first step does not count"
    assert stages["grayscale"].calls == 0.5, "one for both streams"
    assert stages["results"].calls == 1
    pixels = 200 * 150
    assert stages["grayscale"].floor_ms == pytest.approx(1000 * 4 * pixels / 100e9, rel=1e-3)
    for name in always | {"upload", "download"}:
        assert stages[name].floor_ms > 0
    assert stages["tracking"].floor_ms is None
    assert sum(stage.ms for stage in speed.stages) <= 1.001 * speed.ms_mean
    assert "launches of our kernels a step" in speed.note
    photographs = next(s for s in found.speeds if s.workload == "embedded-photographs-stages")
    assert next(s for s in photographs.stages if s.stage == "detection").floor_ms > 0


def test_frames_go_up_once_and_little_comes_down(results):
    found, _ = results
    note = next(s for s in found.speeds if s.pipeline == "gpu, 2 streams, every stage waited for").note
    up, down = (float(note.split(f" kB {way}")[0].split()[-1]) for way in ("up", "down"))
    frame = 200 * 150 * 3 / 1e3
    assert frame <= up < 1.1 * frame
    assert 0 < down < 10


# ---- What may go wrong -----------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_skipped_and_the_smaller_stays(results, device, models, tmp_path, monkeypatch):
    path, speed = tmp_path / "device.json", results[0].speeds[0]

    def fits_once(models, device, film, settings, streams, progress):
        if streams == 1:
            return parts.Part(workloads.stream_workload(models, settings, 1), [replace(speed, workload="small")])
        assert load(path).speeds, "what was done before is written by now"
        return no_memory()

    monkeypatch.setattr(command, "stream_part", fits_once)
    monkeypatch.setattr(command, "stage_part", no_memory)
    monkeypatch.setattr(command, "repeat_part", no_memory)
    two = replace(TINY, streams=(2, 1), photographs=0)
    found = command.measure(models, device, two, WHERE, RATES, path)
    assert [s.workload for s in found.speeds] == ["small"]
    assert {entry.why for entry in found.skipped} == {NO_MEMORY}
    assert "gpu on embedded, 2 streams" in [entry.what for entry in found.skipped]
    assert len(found.skipped) == 4
    assert load(path) == found
    monkeypatch.setattr(command, "stream_part", no_memory)
    with pytest.raises(AuparityError, match=r"nothing could be measured.*out of memory"):
        command.measure(models, device, two, WHERE, RATES, path)


def no_memory(*_):
    raise DeviceError(NO_MEMORY)


class FullDevice:
    """A device whose memory is used up after so many arrays."""

    def __init__(self, device, left: int) -> None:
        self._device, self.left = device, left

    def __getattr__(self, name):
        return getattr(self._device, name)

    def empty(self, shape, dtype):
        self.left -= 1
        if self.left < 0:
            raise DeviceError(NO_MEMORY)
        return self._device.empty(shape, dtype)


def test_memory_that_runs_out_in_the_middle_of_a_step_is_an_error_of_that_part(device, models):
    film = workloads.render_film(TINY)
    with pytest.raises(DeviceError, match="out of memory"):
        parts.stream_part(models[0], FullDevice(device, 50), film, TINY, 1, lambda *_: None)


def test_several_people_are_a_workload_of_their_own(device, models):
    clip = render_clip(3_300_000, 2, canvas=(200, 150))
    film = Film([[np.hstack([each.image, each.image[:, ::-1]]) for each in clip]], faces=2)
    settings = replace(TINY, canvas=(400, 150), frames=2)
    part = parts.stream_part(models[0], device, film, settings, 2, lambda *_: None)
    assert (part.workload.name, part.workload.frames) == ("embedded-tiny-2-faces-2", 4)
    assert "2 people in each frame" in part.workload.description
    names = ["the reference", CPU, "gpu, 2 streams, step by step", "gpu, 2 streams"]
    assert [speed.pipeline for speed in part.speeds] == names
    assert len(part.errors) == 9, "landmarks, AUs and flags of three pipelines"
    assert not any(error.problem for error in part.errors)


def test_people_of_a_group_stand_beside_each_other():
    film = workloads.render_group_film(replace(TINY, faces=2, frames=2, canvas=(160, 90)))
    assert (film.faces, len(film.clips[0])) == (2, 2)
    assert film.clips[0][0].shape == (90, 160, 3)


def test_an_interrupt_loses_one_part(results, device, models, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    part = parts.Part(results[0].workloads[0], results[0].speeds[:1])
    monkeypatch.setattr(command, "stream_part", lambda *_: part)
    monkeypatch.setattr(command, "stage_part", interrupted)
    with pytest.raises(KeyboardInterrupt):
        command.measure(models, device, TINY, WHERE, RATES, tmp_path / "device.json")
    assert load(tmp_path / "device.json").speeds


def test_without_a_gpu_the_command_says_why(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(command, "no_gpu_reason", lambda: "no NVIDIA driver is installed")
    assert command.main(["-o", str(tmp_path / "x.json")]) == command.EXIT_NOTHING
    assert "no NVIDIA driver is installed" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(command, "no_gpu_reason", lambda: None)

    def busy():
        raise VariantUnavailable("the driver is too old")

    monkeypatch.setattr(command, "shared_device", busy)
    assert command.main([]) == command.EXIT_NOTHING
    assert command.main(["--frames", "1"]) == command.EXIT_FAILED
    assert "--frames 1: at least 2" in capsys.readouterr().err


def test_the_command_writes_what_it_was_asked_for(results, device, monkeypatch, capsys, tmp_path):
    asked, faces = [], []

    def part(m, d, film, settings, *rest):
        asked.append((m.name, settings))
        faces.append(film.faces)
        return parts.Part(results[0].workloads[0], results[0].speeds[-1:])

    monkeypatch.setattr(command, "no_gpu_reason", lambda: None)
    monkeypatch.setattr(command, "shared_device", lambda: device)
    monkeypatch.setattr(command, "measure_rates", lambda d: RATES)
    monkeypatch.setattr(command, "provenance", lambda text, yardstick: replace(WHERE, command=text))
    for name in ("stream_part", "stage_part", "repeat_part"):
        monkeypatch.setattr(command, name, part)
    path = tmp_path / "out" / "device.json"
    words = ["--streams", "4", "1", "--frames", "2", "--clips", "1", "--format", "240p", "--widen", "--faces", "1"]
    assert command.main([*words, "-o", str(path)]) == command.EXIT_GOOD
    assert asked[0] == (
        "widened",
        workloads.Settings((1, 4), frames=2, clips=1, format="240p", canvas=(320, 240), face=110.0, faces=1),
    )
    assert faces == [0, 0, 1, 0, 0, 1, 0]
    typed = " ".join([*words, "-o", "FOLDER/device.json"])
    assert load(path).provenance.command == f"auparity dev bench-device {typed}"
    said = capsys.readouterr().out
    assert "detection" in said
    assert "auparity report" in said


# ---- Streams ---------------------------------------------------------------------------------------------------------


def test_streams_play_clips_forwards_and_backwards_and_none_jumps():
    clips = [[np.full((1, 1, 3), 10 * c + k, np.uint8) for k in range(5)] for c in range(2)]
    film = Film(clips)
    shown = [[int(film.image(s, k)[0, 0, 0]) for k in range(20)] for s in range(12)]
    assert shown[0][:9] == [0, 1, 2, 3, 4, 3, 2, 1, 0]
    assert all(abs(a - b) == 1 for frames in shown for a, b in pairwise(frames))
    assert len({tuple(frames) for frames in shown}) == 12
    assert Film([clips[0][:1]]).image(3, 9) is clips[0][0]


class Sessions:
    """A pipeline that does nothing, or fails, and remembers how many of its streams were open at once."""

    def __init__(self, fails=False) -> None:
        self.variants: dict[str, str] = {}
        self.rounds: list[float] = []
        self.fails, self.open, self.most_open = fails, 0, 0

    def start_clip(self, clip):
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        return SimpleNamespace(close=self._close)

    def _close(self):
        self.open -= 1

    def advance(self, sessions, images, timestamps):
        if self.fails:
            raise DeviceError(NO_MEMORY)
        self.rounds.append(timestamps[0])
        return list(images)

    def stream(self, sessions, rounds):
        for images, timestamps in rounds:
            yield self.advance(sessions, images, timestamps)


FILM = Film([[np.full((1, 1, 3), k, np.uint8) for k in range(4)]])


@pytest.mark.parametrize("kind", [StepByStep, Overlapped])
def test_every_stream_of_a_round_is_closed_also_when_it_fails(kind):
    pipeline = Sessions(fails=True)
    with pytest.raises(DeviceError):
        take_turns([kind(pipeline, FILM, 3, 2)], 2)
    assert (pipeline.open, pipeline.most_open) == (0, 3)


def test_both_ways_take_every_step_and_are_never_open_together():
    pipeline = Sessions()
    times = take_turns([kind(pipeline, FILM, 3, 4) for kind in (StepByStep, Overlapped)], 2)
    assert (pipeline.open, pipeline.most_open) == (0, 3), "more would not be one batch"
    assert pipeline.rounds == [k / 30 for k in range(4)] * 6
    for each in times:
        assert [len(steps) for steps in each.rounds] == [4, 4]
        assert [int(image[0, 0, 0]) for image in each.results] == [0, 1, 2, 3]
