"""The slot for the newest frame: which frames are dropped, what is counted, how a source ends."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from auparity.errors import VideoError
from auparity.live.source import Counts, LiveFrame, NewestFrame, RecordedFrames, feed
from auparity.media import Frame


def frame(k):
    return LiveFrame(np.full((4, 6, 3), k, np.uint8), k / 10, 100 + k)


def image(k):
    return np.full((4, 6, 3), k, np.uint8)


class Source:
    """Frames k at k / 10 s, and then the end or an error."""

    name, path, kind, n_frames, size_bytes, timestamps = "s", "s", "video", None, None, "container"

    def __init__(self, count, *, live=False, fps=10.0, error=None, between=None):
        self.count, self.live, self.fps, self.error, self.between = count, live, fps, error, between
        self.closed = False
        self.warnings, self.problems, self.damaged_frames = [], [], []

    def __iter__(self):
        for k in range(self.count):
            yield Frame(image(k), k / 10)
            if self.between is not None:
                self.between(k)
        if self.error is not None:
            raise self.error

    def close(self):
        self.closed = True


class Clock:
    """A clock that only waiting moves."""

    def __init__(self):
        self.now = 0.0
        self.stopped = False

    def __call__(self):
        return self.now

    def is_set(self):
        return self.stopped

    def wait(self, seconds):
        self.now += seconds
        return self.stopped


def test_a_frame_that_waits_is_replaced_by_a_newer_one_and_counted():
    slot = NewestFrame()
    first, second, third = frame(1), frame(2), frame(3)
    slot.put(first)
    assert slot.counts == Counts(received=1, dropped=0)
    slot.put(second)
    slot.put(third)
    assert slot.take() is third
    assert slot.counts == Counts(received=3, dropped=2)
    slot.put(first)
    assert slot.take() is first
    assert slot.counts == Counts(received=4, dropped=2)


def test_the_last_frame_is_still_measured_after_the_end():
    slot = NewestFrame()
    last = frame(1)
    slot.put(last)
    slot.end()
    assert not slot.finished
    assert slot.take() is last
    assert slot.finished
    assert slot.take() is None
    slot.put(frame(2))  # too late
    assert slot.take() is None
    assert slot.counts == Counts(received=2, dropped=1)


def test_a_stop_drops_the_frame_that_waits():
    slot = NewestFrame()
    slot.put(frame(1))
    slot.stop()
    assert slot.finished
    assert slot.take() is None
    assert slot.counts == Counts(received=1, dropped=1)


def test_the_first_reason_of_an_end_is_kept():
    slot, reason = NewestFrame(), VideoError("unplugged")
    slot.end(reason)
    slot.end()
    assert slot.error is reason


def test_a_wait_ends_when_it_is_asked_to_and_leaves_the_frame():
    slot, asked = NewestFrame(), threading.Event()
    taken = []
    waiting = threading.Thread(target=lambda: taken.append(slot.take(asked.is_set)))
    waiting.start()
    asked.set()
    slot.wake()
    waiting.join(60)
    assert taken == [None]
    kept = frame(1)
    slot.put(kept)
    assert slot.take(asked.is_set) is None
    assert slot.take() is kept


def test_a_measurer_that_takes_every_third_frame_leaves_the_others_dropped():
    slot, measured = NewestFrame(), []

    def between(k):
        if k % 3 == 2:
            measured.append(int(slot.take().image[0, 0, 0]))

    feed(slot, Source(10, live=True, between=between), threading.Event())
    measured.append(int(slot.take().image[0, 0, 0]))
    assert measured == [2, 5, 8, 9]
    assert slot.take() is None
    assert slot.counts == Counts(received=10, dropped=6)


def test_a_file_is_put_in_by_its_time_stamps_and_closed():
    slot, clock, source = NewestFrame(), Clock(), None
    arrived = []
    source = Source(4, between=lambda k: arrived.append(slot.take().arrived))
    feed(slot, source, clock, clock=clock)
    assert arrived == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert source.closed
    assert slot.finished
    assert slot.error is None


def test_a_camera_sets_its_own_pace():
    slot, clock = NewestFrame(), Clock()
    feed(slot, Source(4, live=True), clock, clock=clock)
    assert clock.now == 0
    assert slot.counts.received == 4


def test_time_goes_on_in_a_loop():
    slot, clock, times, opened = NewestFrame(), Clock(), [], []

    def open_source():
        opened.append(Source(3, between=lambda k: times.append(slot.take().timestamp)))
        if len(opened) == 3:
            clock.stopped = True
        return opened[-1]

    feed(slot, open_source(), clock, again=open_source, clock=clock)
    assert times == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert all(source.closed for source in opened)
    assert slot.finished


def test_a_source_that_fails_ends_the_slot_with_its_error():
    slot, error = NewestFrame(), VideoError("camera:0: gives no more frames")
    source = Source(2, live=True, error=error)
    feed(slot, source, threading.Event())
    assert slot.error is error
    assert source.closed
    assert slot.take() is not None  # the last one is measured
    assert slot.finished


def recorded(slot, until=lambda: False):
    return RecordedFrames(slot, until, name="r", path="camera:0", kind="camera")


def test_a_recording_begins_at_time_zero_and_says_how_many_frames_were_dropped():
    slot = NewestFrame()
    slot.put(frame(0))
    slot.put(frame(1))  # dropped before the recording: not counted in it
    frames = recorded(slot)
    times = []
    for one in frames:
        times.append(one.timestamp)
        assert frames.measured().image is one.image
        if len(times) == 2:
            slot.end()
        else:
            slot.put(frame(2))
            slot.put(frame(3))
    assert times == pytest.approx([0.0, 0.2])
    assert frames.warnings == ["1 of 2 frames were dropped: they came faster than they could be measured"]


def test_a_recording_of_a_damaged_file_says_so():
    slot, source = NewestFrame(), Source(2, live=True)
    source.problems, source.warnings = ["frame 1 decoded with errors"], ["no rate is stated"]
    feed(slot, source, threading.Event())
    frames = recorded(slot)
    assert len(list(frames)) == 1
    assert frames.problems == ["frame 1 decoded with errors"]
    assert frames.warnings == ["no rate is stated"]


def test_a_recording_of_a_camera_that_fails_raises_its_error():
    slot = NewestFrame()
    slot.put(frame(0))
    slot.end(VideoError("unplugged"))
    with pytest.raises(VideoError, match="unplugged"):
        list(recorded(slot))
