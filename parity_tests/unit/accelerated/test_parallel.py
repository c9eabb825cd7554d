"""Processes and threads: the same numbers, in order, and nothing left behind."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from auparity.accelerated.parallel.chunks import process_in_parts
from auparity.accelerated.parallel.parts import LONGEST_PART, parts_of_clip
from auparity.accelerated.parallel.shared_object import SharedObject
from auparity.accelerated.parallel.streams import process_frames
from auparity.accelerated.parallel.workers import Failed, Interrupted, WorkerDied, Workers
from auparity.accelerated.pipeline import Pipeline
from auparity.errors import AuparityError, AuparityWarning, ContractError
from auparity.media import Frame, open_clip
from auparity.parity_tests.unit.helpers import factories

BUNDLE = factories.make_bundle(0)
SPEC = Pipeline.from_spec({}, BUNDLE).variants


def names_of_stages(worker, item):
    worker.frame_done()
    return item, worker.pipeline.bundle.content_hash


def fails_on_three(worker, item):
    if item == 3:
        raise ContractError("test", "item", "not 3", "3")
    return item


def dies_on_two(worker, item):
    if item == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def starts_no_process(bundle, spec, answer):
    try:
        Workers(bundle, spec, 1)
    except AuparityError as error:
        answer.put(str(error))


def never_ends(worker, item):
    while True:
        worker.check()
        time.sleep(0.01)


@pytest.fixture(scope="module")
def workers():
    with Workers(BUNDLE, SPEC, 2) as pool:
        yield pool


@pytest.fixture
def clip(tmp_path) -> Path:
    rng = np.random.default_rng(1)
    for k in range(13):
        cv2.imwrite(str(tmp_path / f"{k:03}.png"), rng.integers(0, 256, (90, 120, 3), dtype=np.uint8))
    return tmp_path


def test_a_bundle_in_shared_memory_is_the_same_and_read_only():
    shared, block = SharedObject.share(BUNDLE)
    try:
        found, view = shared.open()
        assert found.content_hash == BUNDLE.content_hash
        assert not found.face.main.pdm.mean.flags.writeable
        assert len(shared.pickled) < block.size / 5  # the arrays are not in the pickle
        del found
        view.close()
    finally:
        block.close()
        block.unlink()


def test_results_come_in_order_and_frames_are_counted(workers):
    before = workers.frames
    results = list(workers.map(names_of_stages, range(7)))
    assert results == [(k, BUNDLE.content_hash) for k in range(7)]
    assert workers.frames - before == 7


def test_the_first_failure_is_raised_after_the_results_before_it(workers):
    results = workers.map(fails_on_three, range(50))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ContractError, match="not 3"):
        next(results)
    assert list(workers.map(fails_on_three, [1, 2])) == [1, 2]  # the pool goes on


def test_a_worker_that_dies_costs_its_task_alone(workers):
    results = dict(workers.as_completed(dies_on_two, range(6)))
    died = results.pop(2)
    assert results == {0: 0, 1: 1, 3: 3, 4: 4, 5: 5}
    assert isinstance(died, Failed)
    assert isinstance(died.error, WorkerDied)
    assert "signal 9, SIGKILL" in str(died.error)
    with pytest.raises(WorkerDied, match="SIGKILL"):
        list(workers.map(dies_on_two, [2]))
    assert list(workers.map(dies_on_two, [0, 1])) == [0, 1]  # the pool goes on


def test_a_daemonic_process_is_told_that_it_cannot_have_workers():
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=starts_no_process, args=(BUNDLE, SPEC, answer), daemon=True)
    process.start()
    assert "this process is daemonic" in answer.get(timeout=60)
    process.join()


_PARENT = """
import sys
from pathlib import Path
from auparity.accelerated.parallel.workers import Workers
from auparity.parity_tests.unit.helpers import factories
from auparity.parity_tests.unit.accelerated.test_parallel import SPEC, tells_and_goes_on

if __name__ == "__main__":
    with Workers(factories.make_bundle(0), SPEC, 2) as workers:
        print(workers._block.name, flush=True)
        list(workers.map(tells_and_goes_on, [Path(sys.argv[1]) / name for name in "ab"]))
"""


def tells_and_goes_on(worker, path):
    path.write_text(str(os.getpid()))
    while True:
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_workers_end_and_shared_memory_is_freed_when_the_parent_is_killed(tmp_path):
    (tmp_path / "parent.py").write_text(_PARENT)
    command = [sys.executable, str(tmp_path / "parent.py"), str(tmp_path)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    block = parent.stdout.readline().strip()
    pids = [int(wait_for(tmp_path / name)) for name in "ab"]
    assert all(map(is_running, pids))
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while any(map(is_running, pids)) or Path("/dev/shm", block).exists():
        assert time.monotonic() < deadline, "workers or their memory outlive their parent"
        time.sleep(0.05)


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 60
    while not (path.is_file() and path.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return path.read_text()


def test_stopping_ends_running_tasks():
    pool = Workers(BUNDLE, SPEC, 1)
    results = pool.map(never_ends, [0])
    pool.stop()
    with pytest.raises(Interrupted):
        next(results)
    pool.close()


def test_at_least_one_process():
    with pytest.raises(ContractError, match="processes"):
        Workers(BUNDLE, SPEC, 0)


@pytest.mark.parametrize(
    ("frames", "processes", "count"), [(1000, 4, 4), (121, 8, 1), (10, 2, 1), (0, 2, 1), (480, 8, 4), (100_003, 3, 102)]
)
def test_parts_cover_a_clip_once(frames, processes, count):
    parts = parts_of_clip(frames, processes, 30)
    assert [part.number for part in parts] == list(range(count))
    assert parts[0].start == parts[0].warm_up == parts[-1].shared == 0
    assert parts[-1].stop is None
    for one, two in itertools.pairwise(parts):
        assert one.stop == two.start
        assert two.warm_up == one.shared == 30
        assert one.stop - one.start <= LONGEST_PART


def test_a_clip_in_one_part_is_the_clip(workers, clip):
    pipeline = Pipeline.from_spec({}, BUNDLE)
    told = []
    results, session = process_in_parts(pipeline, clip, workers, progress=lambda *p: told.append(p))
    whole = pipeline.start_video()
    with open_clip(clip) as source:
        expected = [whole.process_frame(frame.image, frame.timestamp) for frame in source]
    assert [r.index for r in results] == list(range(13))
    for ours, theirs in zip(results, expected, strict=True):
        np.testing.assert_array_equal(ours.landmarks, theirs.landmarks)
        np.testing.assert_array_equal(ours.au_intensity, theirs.au_intensity)
    np.testing.assert_array_equal(session.finish().intensity, whole.finish().intensity)
    assert told[-1] == (13, 13)


def test_a_clip_in_several_parts_has_every_frame_once(workers, clip, monkeypatch):
    monkeypatch.setattr("auparity.accelerated.parallel.parts.SHORTEST_PART", 4)
    results, session = process_in_parts(Pipeline.from_spec({}, BUNDLE), clip, workers, warm_up=2)
    assert [r.index for r in results] == list(range(13))
    assert session.finish().intensity.shape == (13, 17)


def test_what_is_wrong_with_a_clip_in_parts_is_said(workers, clip):
    (clip / "012.png").unlink()
    (clip / "012.png").symlink_to(clip / "gone.png")
    with pytest.warns(AuparityWarning, match=r"012\.png: is a broken link"):
        results, _ = process_in_parts(Pipeline.from_spec({}, BUNDLE), clip, workers)
    assert len(results) == 12


def test_a_negative_warm_up_is_refused(workers, clip):
    with pytest.raises(ContractError, match="warm_up"):
        process_in_parts(Pipeline.from_spec({}, BUNDLE), clip, workers, warm_up=-1)


def test_two_threads_give_the_numbers_of_one(clip):
    pipeline = Pipeline.from_spec({}, BUNDLE)
    one, two = pipeline.start_video(), pipeline.start_video()
    with open_clip(clip) as source:
        frames = [Frame(frame.image, k / 25) for k, frame in enumerate(source)]
    expected = [one.process_frame(frame.image, frame.timestamp) for frame in frames]
    for ours, theirs in zip(process_frames(two, frames), expected, strict=True):
        assert (ours.index, ours.timestamp) == (theirs.index, theirs.timestamp)
        np.testing.assert_array_equal(ours.landmarks, theirs.landmarks)
        np.testing.assert_array_equal(ours.au_intensity, theirs.au_intensity)
    np.testing.assert_array_equal(one.finish().intensity, two.finish().intensity)


def test_an_error_in_a_thread_reaches_the_caller(clip):
    session = Pipeline.from_spec({}, BUNDLE).start_video()
    frames = [Frame(np.zeros((60, 80, 3), np.uint8), 0.0), Frame(np.zeros((61, 80, 3), np.uint8), 0.0)]
    with pytest.raises(ContractError, match="size of the first frame"):
        list(process_frames(session, frames))
