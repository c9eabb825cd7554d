"""The middle of a video, without decoding what is before it: the same pixels and times, or the way from the start."""

from __future__ import annotations

import itertools
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from auparity.media import SeekPoint, VideoIndex, open_clip
from auparity.media.seeking import SPACING, index_of

av = pytest.importorskip("av")
FRAMES = 160
#: File name, codec, options, whether its frames can be reached: AVI has no times for pictures that are reordered.
KINDS = [
    ("reordered.mp4", "mpeg4", {"g": "40", "bf": "2"}, True),
    ("reordered.mkv", "mpeg4", {"g": "40", "bf": "2"}, True),
    ("plain.avi", "mpeg4", {"g": "40"}, True),
    ("reordered.avi", "mpeg4", {"g": "40", "bf": "2"}, False),
    ("pictures.avi", "mjpeg", {}, True),
    ("stream.ts", "mpeg2video", {"g": "15", "bf": "2"}, True),
]


@pytest.fixture(scope="module", params=KINDS, ids=[kind[0] for kind in KINDS])
def video(request, tmp_path_factory):
    name, codec, options, reachable = request.param
    path, rng = tmp_path_factory.mktemp("video") / name, np.random.default_rng(5)
    picture = rng.integers(0, 256, (96, 128, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height = 128, 96
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for k in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(np.roll(picture, 3 * k, axis=1).copy(), format="bgr24")
            if path.suffix in (".mp4", ".mkv"):  # whose times may be irregular
                frame.pts, frame.time_base = k + k // 9, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with open_clip(path) as source:
        return path, list(source), reachable


def test_the_middle_is_that_of_the_whole(video):
    path, whole, reachable = video
    with open_clip(path) as source:
        index = source.index()
    assert index.frames == len(whole)
    assert bool(index.points) == reachable
    for first in (1, 39, 40, 41, 95, 120, FRAMES - 1):
        point = index.before(first)
        assert point is None or 0 < point.number <= first
        with open_clip(path) as source:
            frames = list(itertools.islice(source.frames_from(first, point), 12))
        for frame, expected in zip(frames, whole[first : first + 12], strict=True):
            assert frame.timestamp == expected.timestamp
            np.testing.assert_array_equal(frame.image, expected.image)


@pytest.mark.parametrize("isolate", [True, False])
def test_without_pixels_everything_else_is_the_same(video, isolate):
    path, whole, _ = video
    with open_clip(path, pixels=False, isolate=isolate) as source, open_clip(path) as other:
        frames, _ = list(source), list(other)
        assert (source.warnings, source.problems, source.n_frames) == (other.warnings, other.problems, other.n_frames)
    assert [frame.timestamp for frame in frames] == [frame.timestamp for frame in whole]
    assert {frame.image.shape for frame in frames} == {(96, 128, 3)}
    assert not any(frame.image.any() for frame in frames)
    assert frames[0].image.strides == (0, 0, 0), "no memory of their own"


def packet(pts, *, key=False, dts=None, size=1, discard=False, corrupt=False):
    return SimpleNamespace(
        pts=pts, dts=dts, size=size, is_keyframe=key, is_discard=discard, is_corrupt=corrupt
    )  # fmt: skip


def test_numbers_of_key_frames_follow_the_order_of_presentation():
    packets = [packet(2 * k + 10, key=k % 20 == 0, dts=2 * k) for k in range(100)]
    packets[1], packets[2] = packets[2], packets[1]
    index = index_of([*packets, packet(7, discard=True), packet(None, size=0)])
    assert index.frames == 100
    assert [point.number for point in index.points] == [0, 40, 80], f"at least {SPACING} frames apart"
    assert index.points[1] == SeekPoint(40, 90, 80, 10)
    assert index.before(39) is None
    assert index.before(79) == index.points[1]


@pytest.mark.parametrize("odd", [packet(None), packet(14), packet(500, corrupt=True)])
def test_without_times_to_rely_on_there_is_no_way_but_from_the_start(odd):
    packets = [packet(2 * k + 10, key=k % 40 == 0) for k in range(100)]
    assert index_of([*packets, odd]) == VideoIndex(101)


def test_an_index_of_a_file_that_breaks_off_has_no_places():
    def packets():
        yield packet(0, key=True)
        raise av.error.InvalidDataError(1, "broken")

    assert index_of(packets()) == VideoIndex(1)
