"""Fits in threads: order, errors, who has them, and the same bits as one after the other."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest

from auparity.accelerated.parallel import side_by_side
from auparity.accelerated.parallel.side_by_side import Threads, in_one_thread
from auparity.accelerated.pipeline import Pipeline
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.reference.side_by_side import ONE_AFTER_THE_OTHER


@pytest.fixture
def threads(monkeypatch):
    monkeypatch.setattr(side_by_side, "usable_cores", lambda: 3)
    monkeypatch.setattr(side_by_side, "_pool", None)
    monkeypatch.setattr(side_by_side, "_alone", False)
    yield Threads()
    if side_by_side._pool is not None:
        side_by_side._pool.shutdown()


def test_results_are_in_the_order_of_the_tasks_and_come_from_other_threads(threads):
    meeting = threading.Barrier(3)  # all three are under way at once, or it breaks

    def task(k):
        meeting.wait(10)
        return k, threading.current_thread().name

    found = threads([lambda k=k: task(k) for k in range(3)])
    assert [k for k, _ in found] == [0, 1, 2]
    assert all(name.startswith("auparity-fits") for _, name in found)


def test_an_error_of_a_task_is_raised(threads):
    with pytest.raises(ZeroDivisionError):
        threads([lambda: 1, lambda: 1 // 0])


def test_one_task_and_one_core_need_no_threads(threads, monkeypatch):
    here = threading.current_thread().name
    assert threads([lambda: threading.current_thread().name]) == [here]
    monkeypatch.setattr(side_by_side, "usable_cores", lambda: 1)
    assert threads([lambda: threading.current_thread().name] * 2) == [here] * 2


def test_a_process_that_is_one_of_several_uses_its_own_thread_alone(threads):
    in_one_thread()  # the fixture takes it back
    assert threads.at_once == 1
    assert threads([lambda: threading.current_thread().name] * 2) == [threading.current_thread().name] * 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_starts_threads_of_its_own(threads):
    assert threads([lambda: 1, lambda: 2]) == [1, 2]
    pid = os.fork()
    if pid == 0:
        os._exit(0 if threads([lambda: 3, lambda: 4]) == [3, 4] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_pipelines_whose_fits_release_the_interpreter_lock_have_them():
    pytest.importorskip("numba", reason="the extra numba is not installed")
    bundle = Bundle.embedded(networks=False)
    assert isinstance(Pipeline.best(bundle).staged.clm.detector.side_by_side, Threads)
    mixed = Pipeline.from_spec({"fitting": "reference"}, bundle)
    assert mixed.staged.clm.detector.side_by_side is ONE_AFTER_THE_OTHER


def test_results_are_those_of_one_thread_bit_for_bit(threads, monkeypatch):
    pytest.importorskip("numba", reason="the extra numba is not installed")
    image = next(iter(render_clip(3_600_000, 1))).image
    group = np.concatenate([image, image[:, ::-1]], axis=1)
    pipeline = Pipeline.best(Bundle.embedded(networks=False))

    def results():
        session = pipeline.start_video(faces=2)
        faces = [face for _ in range(4) for face in session.process_frame(group, 0.0)]
        faces += pipeline.process_image(group)
        arrays = [(face.landmarks, face.params_local, face.au_intensity) for face in faces]
        return [[array.tobytes() for array in of_face] for of_face in arrays], [face.confidence for face in faces]

    together = results()
    assert len(together[1]) > 6
    monkeypatch.setattr(side_by_side, "_alone", True)
    assert results() == together
