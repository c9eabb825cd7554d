"""Small videos for pages hold every frame at its time, and files that browsers play are known by what is in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from auparity.errors import VideoError
from auparity.media import open_clip
from auparity.media.types import Encoding, Frame
from auparity.media.web_video import played_by_browsers, write_web_video
from auparity.parity_tests.unit.helpers.fake_pipeline import write_images

TIMES = (0.0, 0.04, 0.3, 0.301, 1.0)


def gray(value, size=(64, 48)):
    return np.full((size[1], size[0], 3), value, np.uint8)


def test_frames_keep_their_times_and_pictures(tmp_path):
    path = tmp_path / "small.webm"
    values = [20, 60, 100, 140, 180]
    frames = [Frame(gray(value), time) for value, time in zip(values, TIMES, strict=True)]
    assert write_web_video(frames, path, 25.0) == len(TIMES)
    with open_clip(path) as clip:
        assert played_by_browsers(path, clip.encoding)
        read = [(float(frame.image.mean()), frame.timestamp) for frame in clip]
    np.testing.assert_allclose([time for _, time in read], TIMES, atol=5e-4)
    np.testing.assert_allclose([value for value, _ in read], values, atol=6)  # VP8 at a small rate
    assert [file.name for file in tmp_path.iterdir()] == ["small.webm"]


def test_without_frames_there_is_no_video(tmp_path):
    with pytest.raises(VideoError, match="no frames"):
        write_web_video([], tmp_path / "x.webm", 25.0)
    assert not list(tmp_path.iterdir())


def test_times_that_do_not_rise_are_made_to(tmp_path):
    write_web_video([Frame(gray(9), time) for time in (0.0, 0.0, 0.0)], tmp_path / "x.webm", 25.0)
    with open_clip(tmp_path / "x.webm") as clip:
        np.testing.assert_allclose([frame.timestamp for frame in clip], [0, 0.001, 0.002], atol=1e-6)


@pytest.mark.parametrize(
    ("size", "shown"), [((1280, 960), (640, 480)), ((300, 1200), (160, 640)), ((101, 51), (100, 52)), ((2, 2), (2, 2))]
)
def test_large_pictures_are_reduced_and_sides_are_even(tmp_path, size, shown):
    write_web_video([Frame(gray(90, size), 0.0)], tmp_path / "x.webm", 25.0)
    with open_clip(tmp_path / "x.webm") as clip:
        assert next(iter(clip)).image.shape[1::-1] == shown


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "played"),
    [
        ("a.mp4", "h264", "yuv420p", True),
        ("a.MP4", "h264", "yuvj420p", True),
        ("a.mov", "h264", "yuv420p", True),
        ("a.webm", "vp9", "yuv420p", True),
        ("a.mp4", "hevc", "yuv420p", False),
        ("a.mp4", "mpeg4", "yuv420p", False),
        ("a.mp4", "h264", "yuv420p10le", False),
        ("a.mp4", "h264", "yuv444p", False),
        ("a.avi", "h264", "yuv420p", False),
        ("a.mkv", "h264", "yuv420p", False),
    ],
)
def test_files_that_browsers_play_are_known_by_container_codec_and_colours(name, codec, pixels, played):
    assert played_by_browsers(Path(name), Encoding("", codec, pixels)) is played
    assert not played_by_browsers(Path(name), None)


@pytest.mark.parametrize("isolate", [True, False])
def test_the_encoding_of_a_video_is_told_by_its_reader(tmp_path, isolate):
    write_web_video([Frame(gray(9), 0.0)], tmp_path / "x.webm", 25.0)
    with open_clip(tmp_path / "x.webm", isolate=isolate) as clip:
        assert clip.encoding == Encoding("matroska,webm", "vp8", "yuv420p")
    with open_clip(write_images(tmp_path / "in", 2, size=(16, 16)), isolate=isolate) as folder:
        assert not hasattr(folder, "encoding")
