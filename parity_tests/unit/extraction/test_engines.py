"""Engines: what all of them have in common, how one is chosen, and how another package adds one.

One body of tests runs over every engine, the toy of docs/examples included. The fake pipeline serves all but processes
and Ray, which build real pipelines of their own from a bundle.
"""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from auparity.accelerated.hardware import usable_cores
from auparity.accelerated.parallel.workers import Failed, Interrupted
from auparity.accelerated.pipeline import Pipeline, open_pipeline
from auparity.cli import extract as cli_extract
from auparity.cli import main
from auparity.errors import AuparityError, ContractError
from auparity.extraction.engines import BUILT_IN, PROCESSES, RAY, SERIAL, STREAMS, choose
from auparity.extraction.engines.choose import EngineTable, built_in, choose_engine
from auparity.extraction.engines.processes import ProcessEngine
from auparity.extraction.engines.serial import SerialEngine
from auparity.extraction.engines.streams import StreamEngine
from auparity.extraction.engines.types import Engine, EngineSpec
from auparity.extraction.jobs import EXIT_FAILED, EXIT_INTERRUPTED, Job, exit_code
from auparity.extraction.progress import QuietReporter
from auparity.extraction.types import ExtractionSettings, NoProgress, Outcome, never
from auparity.models.bundle import Bundle
from auparity.parity_tests.unit.helpers.fake_pipeline import FakePipeline, write_images, write_video
from auparity.reference.options import PipelineOptions

EXAMPLES = Path(__file__).resolve().parents[3] / "docs" / "examples"
TOY = "toy"
ENGINES = (*BUILT_IN, TOY)


class Recorder(QuietReporter):
    """Keeps what it is told, and counts the frames of all jobs."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.threads: set[int] = set()
        self.frames = 0

    def job_started(self, number, total, job):
        return self.progress()

    def batch_started(self, total, at_a_time):
        return self.progress()

    def job_done(self, outcome):
        self.outcomes.append(outcome)
        self.threads.add(threading.get_ident())

    def progress(self):
        recorder = self

        class Counting(NoProgress):
            def frame_done(self) -> None:
                recorder.frames += 1

        return Counting()


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The shared table where two other packages are installed: the toy of docs/examples and one that is broken."""
    site = tmp_path_factory.mktemp("site")
    (about := site / "my_package-1.0.dist-info").mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    points = "[auparity.engines]\nbroken = no_such_module_at_all\ntoy = engine\n"
    (about / "entry_points.txt").write_text(points)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        patch.syspath_prepend(EXAMPLES)
        patch.setattr(choose, "_shared", None)
        patch.delitem(sys.modules, "engine", raising=False)
        yield choose.engine_table()
        sys.modules.pop("engine", None)


@pytest.fixture(scope="module", params=ENGINES)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def pipeline(name, request):
    if name == RAY:
        request.getfixturevalue("local_ray")
    return open_pipeline(Bundle.embedded(networks=False), "reference") if name in (PROCESSES, RAY) else FakePipeline()


def engine_of(table: EngineTable, name: str, pipeline, at_a_time: int) -> Engine:
    """Built without the question whether it suits the pipeline: streams are for GPUs, which the fake is none of."""
    return table.get(name).build(pipeline, at_a_time)


@dataclass
class Run:
    """A mixed bag of jobs, carried by an engine, and its tables beside those of the serial one."""

    jobs: list[Job]
    outcomes: list[Outcome]
    recorder: Recorder
    tables: dict[str, bytes]
    serial_tables: dict[str, bytes]


@pytest.fixture(scope="module")
def run(table, name, pipeline, tmp_path_factory) -> Run:
    place = tmp_path_factory.mktemp(name)
    (broken := place / "broken.avi").write_bytes(b"no video")
    jobs = [
        Job("clip", write_video(place / "a.avi", 3), "a"),
        Job("clip", broken, "broken"),
        Job("clip", place / "a.avi", "no name of a file: \0"),  # a ValueError, which nobody expects
        Job("problem", place / "missing.avi", problem="missing.avi: does not exist"),
        Job("clip", write_images(place / "b", 2), "b"),
        Job("photograph", place / "b" / "000.png", "photograph"),
    ]
    recorder = Recorder()
    out, serial = place / "out", place / "serial"
    outcomes = engine_of(table, name, pipeline, 2).run(jobs, ExtractionSettings(out), recorder, never)
    SerialEngine(pipeline).run(jobs, ExtractionSettings(serial), Recorder(), never)
    return Run(jobs, outcomes, recorder, tables(out), tables(serial))


def tables(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.csv")}


def test_the_engine_knows_its_name(table, name, pipeline):
    assert engine_of(table, name, pipeline, 1).name == name


def test_tables_are_those_of_one_job_after_the_other_byte_for_byte(run):
    assert sorted(run.tables) == ["a.csv", "b.csv", "photograph.csv"]
    assert run.tables == run.serial_tables


def test_outcomes_are_in_the_order_of_the_jobs(run):
    assert [outcome.input for outcome in run.outcomes] == [str(job.path) for job in run.jobs]


def test_a_job_that_fails_does_not_cost_the_others(run):
    assert [outcome.status for outcome in run.outcomes] == ["done", "failed", "failed", "failed", "done", "done"]
    assert "broken.avi" in run.outcomes[1].message
    assert run.outcomes[3].message == "missing.avi: does not exist"
    assert exit_code(run.jobs, run.outcomes) == EXIT_FAILED


def test_an_internal_error_is_reported_with_its_traceback(run):
    message = run.outcomes[2].message
    assert "a.avi: internal error; please report it." in message
    assert "Traceback" in message
    assert "ValueError" in message


def test_every_outcome_is_told_once_in_the_thread_of_the_caller(run):
    told = sorted(run.recorder.outcomes, key=lambda outcome: run.outcomes.index(outcome))
    assert told == run.outcomes
    assert run.recorder.threads == {threading.get_ident()}


def test_frames_are_counted_while_they_are_done(run):
    assert 1 <= run.recorder.frames <= 5


def test_a_stop_between_two_jobs_begins_no_other(table, name, pipeline, tmp_path):
    jobs = [Job("clip", write_video(tmp_path / f"{letter}.avi", 3), letter) for letter in "abc"]
    out = tmp_path / "out"
    recorder = Recorder()

    def stop() -> bool:  # pressed when the first table has just been put in place
        return bool(tables(out))

    done = engine_of(table, name, pipeline, 1).run(jobs, ExtractionSettings(out), recorder, stop)
    assert [outcome.status for outcome in done] == ["done"]
    assert recorder.outcomes == done
    assert exit_code(jobs, done) == EXIT_INTERRUPTED


def test_without_jobs_there_are_no_outcomes(table, name, pipeline, tmp_path):
    assert engine_of(table, name, pipeline, 2).run([], ExtractionSettings(tmp_path), Recorder(), never) == []


def test_an_interruption_inside_an_input_ends_a_serial_run(tmp_path):
    """Without a signal handler, as in a thread: only the KeyboardInterrupt itself says that it was pressed."""
    jobs = [Job("clip", write_video(tmp_path / f"{letter}.avi", 3), letter) for letter in "abc"]
    pipeline = FakePipeline(fail_at=1, failure=KeyboardInterrupt())
    done = SerialEngine(pipeline).run(jobs, ExtractionSettings(tmp_path / "out"), Recorder(), never)
    assert [outcome.status for outcome in done] == ["interrupted"]
    assert exit_code(jobs, done) == EXIT_INTERRUPTED


def test_a_job_whose_process_died_has_failed_and_one_that_had_not_begun_has_no_outcome(monkeypatch, tmp_path):
    class Scripted:
        """Stands for the workers of two processes: one dies, one is stopped before its job begins."""

        frames = 0

        def __init__(self, bundle, variants, count, options):
            assert count == 2

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def as_completed(self, function, items, meanwhile):
            yield 1, Failed(Interrupted())
            yield 0, Failed(AuparityError("the process died"))

    monkeypatch.setattr("auparity.extraction.engines.processes.Workers", Scripted)
    jobs = [Job("clip", tmp_path / f"{letter}.avi", letter) for letter in "ab"]
    pipeline = SimpleNamespace(bundle=None, variants={}, options=None)
    recorder = Recorder()
    done = ProcessEngine(pipeline, 5).run(jobs, ExtractionSettings(tmp_path), recorder, never)
    assert [(outcome.input, outcome.status) for outcome in done] == [(str(jobs[0].path), "failed")]
    assert "the process died" in done[0].message
    assert recorder.outcomes == done


def test_an_interruption_at_once_halts_the_streams_that_are_under_way_and_begins_no_other(tmp_path):
    jobs = [Job("clip", write_video(tmp_path / f"{letter}.avi", 8), letter) for letter in "abc"]
    begun, raised, out = threading.Event(), threading.Event(), tmp_path / "out"
    pipeline = FakePipeline()

    class Impatient(Recorder):
        def job_done(self, outcome):
            begun.wait(10.0)
            raised.set()
            raise KeyboardInterrupt

    def wait_in_the_second_clip(_):
        if len(pipeline.sessions) == 2:
            begun.set()
            raised.wait(10.0)
            time.sleep(0.05)  # the caller needs a moment to halt the streams

    pipeline.before_frame = wait_in_the_second_clip
    with pytest.raises(KeyboardInterrupt):
        StreamEngine(pipeline, 1).run(jobs, ExtractionSettings(out), Impatient(), never)
    assert sorted(tables(out)) == ["a.csv", "b.incomplete.csv"]
    assert len(pipeline.sessions) == 2


@pytest.mark.parametrize(
    ("options", "jobs", "chosen"),
    [
        ({}, 5, (SERIAL, 1)),
        ({"processes": 1, "streams": 1}, 5, (SERIAL, 1)),
        ({"processes": 4}, 5, (PROCESSES, 4)),
        ({"processes": 4}, 1, (SERIAL, 1)),
        ({"processes": 4}, 0, (SERIAL, 1)),
        ({"streams": 8}, 5, (STREAMS, 8)),
        ({"streams": 8}, 1, (SERIAL, 1)),
        ({"processes": 4, "streams": 8}, 5, (PROCESSES, 4)),
        ({"name": SERIAL}, 5, (SERIAL, 1)),
        ({"name": SERIAL, "processes": 1}, 5, (SERIAL, 1)),
        ({"name": PROCESSES}, 5, (PROCESSES, usable_cores())),
        ({"name": PROCESSES, "processes": 1}, 5, (PROCESSES, 1)),
        ({"name": PROCESSES, "processes": 3}, 1, (PROCESSES, 3)),
        ({"name": STREAMS, "streams": 8}, 5, (STREAMS, 8)),
        ({"name": RAY}, 5, (RAY, 0)),
        ({"name": RAY, "processes": 3, "streams": 8}, 5, (RAY, 3)),
        ({"name": RAY, "ray_address": "auto"}, 5, (RAY, 0)),
        ({"name": TOY}, 5, (TOY, 1)),
    ],
)
def test_the_options_say_which_engine_and_how_many_jobs_at_a_time(table, options, jobs, chosen):
    choice = choose_engine(**options, jobs=jobs)
    assert (choice.spec.name, choice.at_a_time) == chosen


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": SERIAL, "processes": 4}, "--engine serial does not go with --processes 4: it takes no number"),
        ({"name": SERIAL, "streams": 4}, "--engine serial does not go with --streams 4"),
        ({"name": PROCESSES, "streams": 4}, "does not go with --streams 4: it takes --processes N"),
        ({"name": STREAMS, "processes": 4}, "does not go with --processes 4: it takes --streams N"),
        ({"name": STREAMS, "processes": 4, "streams": 4}, "does not go with --processes 4"),
        ({"name": STREAMS}, "--engine streams needs --streams N"),
        ({"name": TOY, "processes": 4}, "--engine toy does not go with --processes 4"),
        ({"name": PROCESSES, "ray_address": "auto"}, "--ray-address auto goes with --engine ray"),
        ({"processes": 4, "ray_address": "auto"}, "--ray-address auto goes with --engine ray"),
        ({"split": 4, "ray_address": "auto"}, "--split has .* does not go with --ray-address auto"),
    ],
)
def test_options_that_contradict_each_other_are_refused(table, options, words):
    with pytest.raises(AuparityError, match=words):
        choose_engine(**options, jobs=5)


def test_an_engine_that_is_not_there_is_answered_with_those_that_are(table):
    with pytest.raises(AuparityError) as refused:
        choose_engine("slurm", jobs=5)
    message = str(refused.value)
    assert "there is no engine 'slurm'" in message
    assert all(f"{spec.name:<10} {spec.help}" in message for spec in table)
    assert "package broken (no_such_module_at_all) could not be loaded: ModuleNotFoundError" in message


class OnGpu(Pipeline):
    """A pipeline whose sessions advance together."""

    advances_together = True
    options = PipelineOptions(streams=8)


class OnProcessor(Pipeline):
    """Stands for a pipeline whose clips are measured one by one, without one."""

    advances_together = False
    options = PipelineOptions()


class WithStreams(OnProcessor):
    """The same, told of several streams."""

    options = PipelineOptions(streams=8)


ON_PROCESSOR, ON_GPU = OnProcessor.__new__(OnProcessor), OnGpu.__new__(OnGpu)


@pytest.mark.parametrize(
    ("name", "pipeline", "reason"),
    [
        (SERIAL, FakePipeline(), None),
        (SERIAL, ON_GPU, None),
        (TOY, FakePipeline(), None),
        (PROCESSES, ON_PROCESSOR, None),
        (PROCESSES, FakePipeline(), "--processes needs --precision float32."),
        (PROCESSES, ON_GPU, "--processes is for processors; on a GPU clips advance together: --streams N."),
        (STREAMS, ON_GPU, None),
        (STREAMS, FakePipeline(), "--streams needs --precision float32."),
        (
            STREAMS,
            ON_PROCESSOR,
            "--streams is for the GPU (--variants gpu); on processors --processes does the same.",
        ),
        (RAY, ON_PROCESSOR, None),
        (RAY, ON_GPU, None),
        (RAY, FakePipeline(), "--engine ray needs --precision float32."),
        (
            RAY,
            WithStreams.__new__(WithStreams),
            "--streams is for the GPU (--variants gpu); on processors every Ray actor measures one clip at a time.",
        ),
    ],
)
def test_an_engine_says_why_it_cannot_carry_the_jobs_of_a_pipeline(table, name, pipeline, reason, monkeypatch):
    monkeypatch.setattr(choose, "find_spec", lambda package: package)  # Ray need not be installed
    spec = table.get(name)
    assert spec.unavailable_reason(pipeline, 2) == reason
    if reason is not None:
        with pytest.raises(AuparityError) as refused:
            spec.engine(pipeline, 2)
        assert str(refused.value) == reason


def test_a_name_is_taken_once():
    ours = built_in()
    with pytest.raises(ContractError, match="auparity has registered it"):
        ours.add(EngineSpec(SERIAL, "again", lambda pipeline, at_a_time: SerialEngine(pipeline)))


def test_the_engines_of_the_help_are_those_of_the_table():
    assert {spec.name: spec.help for spec in built_in()} == BUILT_IN


def test_an_engine_of_another_package_is_chosen_by_its_name(table, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cli_extract, "build_pipeline", lambda _: (FakePipeline(), []))
    clips = [str(write_video(tmp_path / f"{letter}.avi", 3)) for letter in "abc"]
    assert main(["extract", *clips, "-o", str(tmp_path / "one")]) == 0
    capsys.readouterr()
    assert main(["extract", *clips, "-o", str(tmp_path / "toy"), "--engine", TOY]) == 0
    assert "3 inputs: 3 done" in capsys.readouterr().err
    assert tables(tmp_path / "toy") == tables(tmp_path / "one")
    assert len(tables(tmp_path / "toy")) == 3


def test_doctor_lists_engines_and_packages_that_could_not_be_loaded(table, capsys):
    assert main(["doctor", "--models", "embedded"]) == 0
    shown = capsys.readouterr().out
    assert "  toy             one input after the other, in a shuffled order\n" in shown
    assert "  package broken (no_such_module_at_all) could not be loaded: ModuleNotFoundError" in shown
