"""BLAS computes with one thread in calls of ours, and with the caller's number as soon as they have ended."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from auparity import Pipeline, cli
from auparity.accelerated import one_thread
from auparity.accelerated.one_thread import OneThreadSession, in_one_thread, one_blas_thread
from auparity.accelerated.processor import ProcessorPipeline
from auparity.errors import ContractError
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.reference.face_results import FaceResults
from auparity.reference.locator import MtcnnLocator
from auparity.reference.pipeline import StagedPipeline, VideoSession


class Blas:
    """A library with a number of threads, as threadpoolctl shows it."""

    def __init__(self, threads):
        self.threads, self.set = threads, []

    def get_num_threads(self):
        return self.threads

    def set_num_threads(self, number):
        self.set.append(number)
        self.threads = number


@pytest.fixture
def blas(monkeypatch):
    """A BLAS of four threads and one of one, which stay the ones that are found."""
    libraries = [Blas(4), Blas(1)]
    limit = one_thread._Limit()
    limit._libraries = libraries
    monkeypatch.setattr(limit, "find_libraries", lambda: None)
    monkeypatch.setattr(one_thread, "_limit", limit)
    return libraries


def threads(libraries):
    return [library.threads for library in libraries]


def test_calls_within_calls_put_back_what_the_first_one_found(blas):
    with one_blas_thread():
        with one_blas_thread():
            assert threads(blas) == [1, 1]
        assert threads(blas) == [1, 1]
    assert threads(blas) == [4, 1]
    assert [library.set for library in blas] == [[1, 4], []]


def test_an_error_puts_back_too(blas):
    with pytest.raises(ZeroDivisionError):
        in_one_thread(lambda: 1 // 0)()
    assert threads(blas) == [4, 1]


def test_calls_of_several_threads_that_overlap_put_back_once(blas):
    inside, leave = threading.Barrier(3), [threading.Event(), threading.Event()]

    def call(number):
        with one_blas_thread():
            inside.wait(10)
            leave[number].wait(10)

    workers = [threading.Thread(target=call, args=(number,)) for number in range(2)]
    for worker in workers:
        worker.start()
    inside.wait(10)
    leave[0].set()
    workers[0].join()
    assert threads(blas) == [1, 1]
    leave[1].set()
    workers[1].join()
    assert threads(blas) == [4, 1]


@pytest.fixture
def seen(blas, monkeypatch):
    """Threads that every step of the pipeline below found."""
    found = []

    def watched(owner, name):
        real = getattr(owner, name)

        def step(*arguments, **options):
            found.append((name, threads(blas)))
            return real(*arguments, **options)

        monkeypatch.setattr(owner, name, step)

    watched(MtcnnLocator, "locate")
    watched(FaceResults, "_result")
    return found


IMAGES = [picture.image for picture in render_clip(3_300_000, 2, canvas=(200, 150))]


def test_every_call_into_a_pipeline_computes_with_one_thread(blas, seen):
    pipeline = Pipeline.from_spec({}, Bundle.embedded(networks=False))
    assert threads(blas) == [4, 1]
    session = pipeline.start_video()
    for number, image in enumerate(IMAGES):
        session.process_frame(image, number / 30)
        assert threads(blas) == [4, 1]
    session.finish()
    pipeline.process_image(IMAGES[0])
    assert threads(blas) == [4, 1]
    assert {name for name, _ in seen} == {"locate", "_result"}
    assert all(found == [1, 1] for _, found in seen)
    with pytest.raises(ContractError):
        session.process_frame(np.zeros((3, 3), np.uint8), 1.0)
    assert threads(blas) == [4, 1]


def test_every_public_step_of_a_session_is_limited():
    steps = {name for name in vars(VideoSession) if not name.startswith("_")}
    assert steps <= set(vars(OneThreadSession))
    assert {name for name in vars(StagedPipeline) if name.startswith("process_")} <= set(vars(ProcessorPipeline))


def test_extract_takes_it_once_for_the_whole_run(blas, tmp_path, monkeypatch):
    import cv2

    from auparity.extraction.photographs import extract_photograph

    found = []

    def watched(*arguments, **options):
        found.append(threads(blas))
        return extract_photograph(*arguments, **options)

    monkeypatch.setattr("auparity.extraction.jobs.extract_photograph", watched)
    cv2.imwrite(str(tmp_path / "face.png"), IMAGES[0])
    arguments = ["extract", str(tmp_path / "face.png"), "--models", "embedded", "--quiet", "-o", str(tmp_path / "out")]
    assert cli.main(arguments) == 0
    assert found == [[1, 1]]
    assert threads(blas) == [4, 1]


REAL = """
import numpy as np
from threadpoolctl import threadpool_info
from auparity.accelerated.one_thread import find_libraries, one_blas_thread
def threads(): return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}
find_libraries()
before = threads()
with one_blas_thread(): print(threads())
print(threads() == before)
"""


def test_the_real_blas_is_limited():
    done = subprocess.run(
        [sys.executable, "-c", REAL], env=os.environ | {"OPENBLAS_NUM_THREADS": "2"}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    if done.stdout.startswith("set()"):
        pytest.skip("threadpoolctl does not know this machine's BLAS")
    assert done.stdout.split() == ["{1}", "True"]
