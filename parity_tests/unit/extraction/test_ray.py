"""Ray: actors that die, runs that are stopped, clusters that cannot be used. That its tables are those of one input
after the other is among the tests of all engines (test_engines.py).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from auparity.accelerated.pipeline import open_pipeline
from auparity.errors import AuparityError, VariantUnavailable
from auparity.extraction.engines.choose import engine_table
from auparity.extraction.engines.ray import actor, cluster, engine, seats
from auparity.extraction.engines.ray.actor import Assignment, Carrier, PipelineRecipe
from auparity.extraction.engines.ray.engine import RayEngine
from auparity.extraction.engines.serial import SerialEngine
from auparity.extraction.jobs import EXIT_INTERRUPTED, Job, camera_job
from auparity.extraction.types import ExtractionSettings, Origin, never
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clip_folder import write_clip
from auparity.parity_tests.unit.extraction.test_engines import Recorder, tables
from auparity.parity_tests.unit.helpers.fake_pipeline import FakePipeline, write_video
from auparity.parity_tests.unit.helpers.ray_recipes import (
    DEADLY,
    DEADLY_ONCE,
    ORDINARY,
    SLOW,
    TOGETHER,
    NothingInstalled,
    fake_recipe,
)
from auparity.reference.options import PipelineOptions

#: Seconds after a kill within which a process has ended, on a busy machine.
GONE_WITHIN = 30.0


def jobs_of(folder: Path, **widths: int) -> list[Job]:
    """Clips of three frames, by name, of these widths."""
    return [
        Job("clip", write_video(folder / f"{name}.avi", 3, size=(width, 48)), name) for name, width in widths.items()
    ]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def pids(place: Path) -> list[int]:
    """Of the actors that have had a frame."""
    return [int(note.stem) for note in place.glob("*.json")]


@pytest.fixture
def most_under_way(monkeypatch) -> list[int]:
    """How many jobs an actor has had at a time, after each that it was given."""
    counts = []
    give = seats.Seat.give

    def counted(seat, *arguments, **options):
        give(seat, *arguments, **options)
        counts.append(len(seat.jobs))

    monkeypatch.setattr(seats.Seat, "give", counted)
    return counts


def test_the_clip_of_a_killed_actor_is_done_again_and_one_that_kills_twice_is_set_aside(
    local_ray, tmp_path, most_under_way
):
    jobs = jobs_of(tmp_path, a=ORDINARY, once=DEADLY_ONCE, b=ORDINARY, always=DEADLY, c=ORDINARY)
    out, recorder = tmp_path / "out", Recorder()
    outcomes = RayEngine(fake_recipe(tmp_path), 2).run(jobs, ExtractionSettings(out), recorder, never)
    assert [outcome.status for outcome in outcomes] == ["done", "done", "done", "failed", "done"]
    assert "always.avi: set aside, because 2 Ray actors died while they measured it." in outcomes[3].message
    assert "worker process has died" in outcomes[3].message
    assert sorted(recorder.outcomes, key=outcomes.index) == outcomes
    healthy = [job for job in jobs if job.name != "always"]
    SerialEngine(FakePipeline()).run(healthy, ExtractionSettings(tmp_path / "serial"), Recorder(), never)
    assert tables(out) == tables(tmp_path / "serial")
    assert sorted(path.suffix for path in out.iterdir() if path.stem.startswith("ray")) == []
    assert max(most_under_way) == 1  # nothing waits in the cluster
    notes = [json.loads(note.read_text()) for note in tmp_path.glob("*.json")]
    assert len(notes) >= 3  # two actors, and those that replaced the dead
    assert {(note["opencv"], *note["blas"], note["numba"]) for note in notes} == {(1, *notes[0]["blas"], "1")}
    assert set(notes[0]["blas"]) == {1}


def test_clips_advance_together_on_a_gpu_and_those_that_were_in_a_dead_actor_run_alone_then(local_ray, tmp_path):
    jobs = jobs_of(tmp_path, a=TOGETHER, b=TOGETHER, c=SLOW, always=DEADLY)
    recipe = fake_recipe(tmp_path, on_gpu=True, streams=2)
    outcomes = RayEngine(recipe).run(jobs, ExtractionSettings(tmp_path / "out"), Recorder(), never)
    assert [outcome.status for outcome in outcomes] == ["done", "done", "done", "failed"]
    # Had c been with the deadly one again, it would have been set aside, too.
    assert len(pids(tmp_path)) >= 2


def test_machines_that_leave_are_not_held_against_a_clip_as_deaths_are(local_ray, tmp_path, monkeypatch):
    monkeypatch.setattr(engine._Run, "_has_left", lambda run, seat: True)
    monkeypatch.setattr(engine, "MOST_DEATHS", 1)
    monkeypatch.setattr(engine, "MOST_DEPARTURES", 2)
    jobs = jobs_of(tmp_path, always=DEADLY)
    (outcome,) = RayEngine(fake_recipe(tmp_path), 1).run(jobs, ExtractionSettings(tmp_path), Recorder(), never)
    assert "set aside, because its machine was lost 2 times" in outcome.message
    assert len(pids(tmp_path)) == 2


def test_ctrl_c_finishes_running_clips_at_their_frame_and_begins_no_other(local_ray, tmp_path):
    long = Job("clip", write_video(tmp_path / "long.avi", 600, size=(SLOW, 48)), "long")
    jobs, out = [long, *jobs_of(tmp_path, a=ORDINARY)], tmp_path / "out"
    recorder = Recorder()
    outcomes = RayEngine(fake_recipe(tmp_path), 1).run(
        jobs, ExtractionSettings(out), recorder, lambda: recorder.frames >= 2
    )
    assert [outcome.status for outcome in outcomes] == ["interrupted"]
    assert list(tables(out)) == ["long.incomplete.csv"]
    assert 2 <= len(tables(out)["long.incomplete.csv"].splitlines()) - 1 < 600


def test_a_second_ctrl_c_kills_the_actors(local_ray, tmp_path):
    long = Job("clip", write_video(tmp_path / "long.avi", 600, size=(SLOW, 48)), "long")

    def pressed_twice() -> bool:
        if pids(tmp_path):
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        RayEngine(fake_recipe(tmp_path), 1).run([long], ExtractionSettings(tmp_path / "out"), Recorder(), pressed_twice)
    (pid,) = pids(tmp_path)
    deadline = time.monotonic() + GONE_WITHIN
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(pid)
    assert [path.suffix for path in (tmp_path / "out").iterdir()] == [".part"]


def test_a_pipeline_that_no_machine_can_build_is_an_error_with_the_reason(local_ray, tmp_path):
    nothing = NothingInstalled(None, {}, PipelineOptions(), False)
    with pytest.raises(AuparityError) as refused:
        RayEngine(nothing, 2).run(jobs_of(tmp_path, a=ORDINARY), ExtractionSettings(tmp_path), Recorder(), never)
    assert "No machine of the Ray cluster can measure." in str(refused.value)
    assert f"{socket.gethostname()}: numba is not installed there" in str(refused.value)


def test_machines_with_other_versions_measure_nothing(local_ray, tmp_path, monkeypatch):
    difference = seats.difference
    monkeypatch.setattr(seats, "difference", lambda here, there: difference({**here, "auparity": "99"}, there))
    with pytest.raises(AuparityError, match=r"it has auparity \S+ \(here 99\). Install the same versions"):
        RayEngine(fake_recipe(tmp_path), 1).run(
            jobs_of(tmp_path, a=ORDINARY), ExtractionSettings(tmp_path / "out"), Recorder(), never
        )
    assert pids(tmp_path) == []


def test_a_connected_process_is_not_asked_for_another_address(local_ray, tmp_path):
    jobs = jobs_of(tmp_path, a=ORDINARY)
    with pytest.raises(AuparityError, match=r"connected to Ray already: leave the address 10\.0\.0\.1:6379 out"):
        RayEngine(fake_recipe(tmp_path), 1, "10.0.0.1:6379").run(jobs, ExtractionSettings(tmp_path), Recorder(), never)


@pytest.mark.parametrize(
    ("there", "problem"),
    [
        ({"auparity": "1", "numpy": "2.4", "Python": "3.11.7"}, ""),
        ({"auparity": "1", "numpy": "2.4", "Python": "3.11.7", "jax": "0.4"}, ""),  # not needed here
        ({"auparity": "1", "Python": "3.11.7"}, ""),  # the pipeline says so, if it needs it
        ({"numpy": "2.4"}, "auparity is not installed there."),
        ({"auparity": "2", "numpy": "2.4"}, "it has auparity 2 (here 1). Install the same versions"),
        (
            {"auparity": "1", "numpy": "2.3", "Python": "3.12.0"},
            "it has numpy 2.3 (here 2.4), Python 3.12.0 (here 3.11",
        ),
    ],
)
def test_versions_that_differ_are_named(there, problem):
    found = seats.difference({"auparity": "1", "numpy": "2.4", "Python": "3.11.7"}, there)
    assert found.startswith(problem)
    assert bool(found) == bool(problem)


def test_the_reason_of_a_death_is_the_last_line_of_rays_message():
    error = RuntimeError("The actor died unexpectedly.\n\tpid: 7\nThe actor is dead because its node has died.\n")
    assert seats.reason_of(error) == "The actor is dead because its node has died."
    assert len(seats.reason_of(RuntimeError("x" * 5000))) < 500
    assert seats.reason_of(RuntimeError()) == "RuntimeError"


def test_an_actor_that_sees_another_output_folder_measures_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(actor, "SHARED_WITHIN", 0.0)
    assignment = Assignment(fake_recipe(tmp_path), ExtractionSettings(tmp_path), None, tmp_path / "ray.0.tmp")
    assert f"the output folder {tmp_path} is not the same there as here" in Carrier().begin(assignment).problem
    elsewhere = replace(assignment, folder=tmp_path / "nowhere")
    assert "nowhere, to which paths of this run are relative, cannot be entered" in Carrier().begin(elsewhere).problem


def test_a_stopped_actor_begins_no_job(tmp_path):
    carrier = Carrier()
    carrier.stop()
    assert carrier.carry(Job("clip", tmp_path / "a.avi", "a")) == (None, 0)


def test_relative_paths_are_relative_to_the_folder_of_the_driver(tmp_path):
    absolute, relative = Job("clip", tmp_path / "a.avi", "a"), Job("clip", Path("a.avi"), "a")
    assert engine._common_folder([absolute], ExtractionSettings(tmp_path)) is None
    assert engine._common_folder([absolute, relative], ExtractionSettings(tmp_path)) == Path.cwd()
    assert engine._common_folder([absolute], ExtractionSettings(Path("out"))) == Path.cwd()
    assert engine._common_folder([absolute], ExtractionSettings(tmp_path, scratch=Path("scratch"))) == Path.cwd()


def test_addresses_are_relative_to_nothing_and_need_no_shared_folder():
    fetched = Job("clip", Path("a.avi"), "a", origin=Origin("s3://study/a.avi"))
    settings = ExtractionSettings(output_address="s3://study/results")
    assert engine._common_folder([fetched], settings) is None
    with engine._token(settings) as token:
        assert token is None


def test_a_recipe_holds_the_parts_of_a_pipeline():
    made = PipelineRecipe.of(
        open_pipeline(Bundle.embedded(networks=False), "reference", PipelineOptions(static_aus=True, streams=4))
    )
    again = made.build()
    assert made.clips_at_a_time == 1
    assert (again.bundle.content_hash, again.options.static_aus) == (Bundle.embedded(networks=False).content_hash, True)
    assert again.variants == made.spec


def test_a_camera_is_refused(tmp_path):
    with pytest.raises(AuparityError, match="A camera belongs to one machine"):
        RayEngine(fake_recipe(tmp_path)).run([camera_job(0)], ExtractionSettings(tmp_path), Recorder(), never)


def test_without_ray_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(VariantUnavailable, match=r"pip install 'auparity\[ray\]'"):
        RayEngine(fake_recipe(tmp_path)).run(
            jobs_of(tmp_path, a=ORDINARY), ExtractionSettings(tmp_path), Recorder(), never
        )
    monkeypatch.setattr("auparity.extraction.engines.choose.find_spec", lambda package: None)
    with pytest.raises(AuparityError, match=r"pip install 'auparity\[ray\]'"):
        engine_table().get("ray").engine(FakePipeline(), 1)


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "[127.0.0.1]:{}"])
def test_a_cluster_that_cannot_be_reached_is_named_with_what_to_look_at(form):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = form.format(server.getsockname()[1])
        cluster._require_reachable(address)
    with pytest.raises(AuparityError, match="cannot be reached") as refused:
        cluster._require_reachable(address)
    assert address in str(refused.value)
    assert "ray status" in str(refused.value)


@pytest.mark.skipif(not hasattr(signal, "SIGTERM") or os.name != "posix", reason="signals as of POSIX")
def test_sigterm_ends_a_run_on_a_ray_of_its_own_as_ctrl_c_does(tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed (extra ray)")
    write_clip(tmp_path / "clip", 0, 60, canvas=(160, 160))
    options = ["--models", "embedded", "--variants", "reference", "--engine", "ray", "--processes", "1", "-o", "out"]
    command = [sys.executable, "-m", "auparity", "extract", "clip", *options]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        while run.poll() is None and not list(tmp_path.glob("out/*.part")):
            time.sleep(0.1)
        run.send_signal(signal.SIGTERM)
        out, err = run.communicate()
    assert run.returncode == EXIT_INTERRUPTED, err
    assert "1 input: 1 interrupted" in err
    assert "Stopping after this frame" in err
    assert out == ""  # Ray says nothing
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) in (
        [],  # before the first frame was done
        ["clip.incomplete.csv", "clip.incomplete.csv.json"],
    )
