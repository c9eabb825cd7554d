"""One clip over several threads: order, errors, how far threads go ahead, and what is left when somebody leaves."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest

from auparity.accelerated.parallel import streams
from auparity.accelerated.parallel.streams import results_of
from auparity.accelerated.pipeline import Pipeline
from auparity.errors import ContractError, VideoError
from auparity.media import Frame
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip

IMAGE = np.zeros((4, 4, 3), np.uint8)


class Steps:
    """A session whose results are the numbers of the frames; raises where it is told to."""

    def __init__(self, *, track_fails=None, measure_fails=None):
        self.track_fails, self.measure_fails = track_fails, measure_fails
        self.tracked, self.measured, self.threads = 0, 0, set()

    def process_frame(self, image, timestamp):
        found = self.track(image, timestamp)
        return self.measure(found, self.describe(image, found))

    def track(self, image, timestamp):
        self.threads.add(threading.current_thread().name)
        if self.tracked == self.track_fails:
            raise ContractError("test", "track", "another frame", str(self.tracked))
        self.tracked += 1
        return self.tracked - 1

    def describe(self, image, tracked):
        return 10 * tracked

    def measure(self, tracked, described):
        self.threads.add(threading.current_thread().name)
        if tracked == self.measure_fails:
            raise ContractError("test", "measure", "another frame", str(tracked))
        self.measured += 1
        return tracked, described


def frames(count, then=None):
    for k in range(count):
        yield Frame(IMAGE, k / 30)
    if then is not None:
        raise then


@pytest.fixture(autouse=True, params=[1, 2], ids=["one core", "two cores"])
def cores(request, monkeypatch):
    monkeypatch.setattr(streams, "usable_cores", lambda: request.param)
    return request.param


def until_error(session, source, error, match):
    """The results before an error."""
    done = []

    def collect():
        with closing(results_of(session, source)) as results:
            for _, result in results:
                done.append(result[0])

    with pytest.raises(error, match=match):
        collect()
    return done


def test_each_frame_comes_with_its_result_in_order(cores):
    session, given = Steps(), list(frames(20))
    found = list(results_of(session, given))
    assert [result for _, result in found] == [(k, 10 * k) for k in range(20)]
    assert all(frame is own for (frame, _), own in zip(found, given, strict=True))
    own = {threading.current_thread().name}
    assert session.threads == (own if cores == 1 else {"auparity-tracking", "auparity-measuring"})


def test_threads_are_not_used_where_other_work_takes_the_cores():
    session = Steps()
    assert len(list(results_of(session, frames(3), overlap=False))) == 3
    assert session.threads == {threading.current_thread().name}


@pytest.mark.parametrize("fails", [0, 1, 7])
def test_an_error_comes_after_the_results_before_it_wherever_it_is_from(fails):
    error = VideoError("broken")
    assert until_error(Steps(track_fails=fails), frames(9), ContractError, "track") == list(range(fails))
    assert until_error(Steps(measure_fails=fails), frames(9), ContractError, "measure") == list(range(fails))
    assert until_error(Steps(), frames(fails, error), VideoError, "broken") == list(range(fails))
    both = Steps(track_fails=fails + 1, measure_fails=fails)
    assert until_error(both, frames(9), ContractError, "measure") == list(range(fails))


def test_a_keyboard_interrupt_of_the_source_reaches_the_caller():
    assert until_error(Steps(), frames(3, KeyboardInterrupt()), KeyboardInterrupt, "") == [0, 1, 2]


def test_frames_are_taken_a_few_ahead_and_no_more():
    """Two wait between two threads, and each thread has one in its hands."""
    session, taken = Steps(), 0

    def counted():
        nonlocal taken
        for frame in frames(100):
            taken += 1
            yield frame

    with closing(results_of(session, counted(), waiting=2)) as results:
        for number, _ in enumerate(results):
            assert taken - number <= 1 + 2 * (2 + 1)
            if number == 10:
                break
    assert taken <= 11 + 2 * (2 + 1)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("auparity-m")]


def test_a_result_does_not_wait_for_the_next_frame():
    shown = threading.Semaphore(0)

    def camera():
        for k in range(3):
            if k:
                assert shown.acquire(timeout=30), "the result before was never handed out"
            yield Frame(IMAGE, float(k))

    done = []
    for _, (number, _) in results_of(Steps(), camera(), waiting=1):
        done.append(number)
        shown.release()
    assert done == [0, 1, 2]


CLIPS = [[picture.image for picture in render_clip(3_441_000 + k, 6, canvas=(120, 120))] for k in range(3)]


def test_threads_that_share_a_pipeline_get_the_numbers_of_one():
    """Clips of one and of several people, and images, all at once on one pipeline of the fastest variants."""
    pipeline = Pipeline.best(Bundle.embedded(networks=False))

    def of_clip(number):
        session = pipeline.start_video()
        found = [result for _, result in results_of(session, as_clip(CLIPS[number]))]
        return [*map(bits, found), session.finish().intensity.tobytes()]

    def of_faces(number):
        session = pipeline.start_video(faces="all", aus="calibrated")
        found = [bits(face) for _, faces in results_of(session, as_clip(CLIPS[number])) for face in faces]
        return [*found, *(stretch.aus.intensity.tobytes() for stretch in session.finish())]

    def of_image(number):
        return [bits(face) for face in pipeline.process_image(CLIPS[number][0])]

    tasks = [(task, number) for number in range(len(CLIPS)) for task in (of_clip, of_faces, of_image)]
    alone = [task(number) for task, number in tasks]
    with ThreadPoolExecutor(len(tasks)) as pool:
        together = list(pool.map(lambda each: each[0](each[1]), tasks))
    assert together == alone
    assert all(alone)


def as_clip(images):
    return (Frame(image, k / 30) for k, image in enumerate(images))


def bits(result):
    arrays = (result.landmarks, result.landmarks_3d, result.pose, result.gaze, result.au_intensity, result.au_presence)
    return (result.index, result.success, *(array.tobytes() for array in arrays))


def test_a_thread_keeps_what_it_looked_up_while_another_empties_the_cache():
    numba_network = pytest.importorskip("auparity.accelerated.numba.convnet", reason="Numba is not installed").Network

    class Emptied(dict):
        """Emptied as soon as something is in it, as by another thread."""

        def __setitem__(self, key, value):
            super().__setitem__(key, value)
            self.clear()

    network = numba_network.__new__(numba_network)
    network._offsets = Emptied()
    assert network._taps(1, 2, 2, 3, 3).tolist() == [0, 1, 3, 4]
