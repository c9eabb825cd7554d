"""Videos decode to OpenCV's pixels and the container's times; what is not whole, or not a video, is said so."""

from __future__ import annotations

import os
import re
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from auparity.errors import ContractError, VideoError
from auparity.media import VideoFile, open_clip
from auparity.parity_tests.unit.helpers.media_files import (
    FORMATS,
    available,
    cut,
    overwrite,
    pictures,
    turn,
    write_coded,
    write_format,
)

NAMES = [pytest.param(name, id=name) for name, codec, *_ in FORMATS if available(codec)]


def decoded(path, **arguments):
    """All frames, and the closed source with what it says."""
    with open_clip(path, **arguments) as source:
        frames = list(source)
    return frames, source


def opencv(path):
    """All frames as OpenCV's FFmpeg backend gives them, and the rate that it states."""
    capture, images = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), []
    rate = capture.get(cv2.CAP_PROP_FPS)
    while True:
        good, image = capture.read()
        if not good:
            return images, rate
        images.append(image)


@pytest.mark.parametrize("name", NAMES)
def test_pixels_and_rates_are_those_of_opencv(tmp_path, name):
    path = write_format(tmp_path, name, images=pictures(8))
    frames, source = decoded(path)
    expected, rate = opencv(path)
    assert source.fps == rate
    np.testing.assert_array_equal([frame.image for frame in frames], expected)


def read_on(path):
    """The frames up to an error, and its message."""
    frames = []
    try:
        with open_clip(path) as source:
            frames.extend(source)
    except VideoError as error:
        return frames, str(error)
    return frames, ""


@pytest.mark.parametrize("size", [(161, 121), (98, 50), (17, 16)])
def test_odd_sizes_decode_as_with_opencv(tmp_path, size):
    path = write_coded(tmp_path / "a.mp4", pixels="yuv444p", images=pictures(4, size))
    np.testing.assert_array_equal([frame.image for frame in decoded(path)[0]], opencv(path)[0])


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_phones_video_is_turned_upright_as_opencv_does(tmp_path, degrees):
    path = turn(write_coded(tmp_path / "a.mp4", images=pictures(3)), degrees)
    frames, _ = decoded(path)
    assert frames[0].image.shape[:2] == ((160, 120) if degrees % 180 else (120, 160))
    assert frames[0].image.flags.c_contiguous
    np.testing.assert_array_equal([frame.image for frame in frames], opencv(path)[0])


# Whole or not


@pytest.mark.parametrize("sound", [False, True], ids=["silent", "with sound"])
@pytest.mark.parametrize("name", NAMES)
def test_a_whole_video_raises_no_alarm(tmp_path, name, sound):
    frames, source = decoded(write_format(tmp_path, name, sound=sound))
    assert len(frames) == 40
    assert (source.warnings, source.problems, source.damaged_frames) == ([], [], [])
    np.testing.assert_allclose([frame.timestamp for frame in frames], np.arange(40) / 25, atol=1e-3)


@pytest.mark.parametrize("share", [0.35, 0.6, 0.9])
@pytest.mark.parametrize("sound", [False, True], ids=["silent", "with sound"])
@pytest.mark.parametrize("name", NAMES)
def test_a_video_cut_short_is_not_whole_and_its_good_frames_are_kept(tmp_path, name, sound, share):
    path = write_format(tmp_path, name, sound=sound, container={"movflags": "faststart"})
    whole = [frame.image for frame in decoded(path)[0]]
    frames, message = read_on(cut(path, share))
    assert re.search("truncated or damaged|cannot be opened|not one frame", message)
    assert len(frames) < len(whole)
    for frame, expected in zip(frames[:-4], whole, strict=False):  # reordered pictures near the cut may be missing
        np.testing.assert_array_equal(frame.image, expected)


def test_sound_that_outlasts_the_picture_is_no_loss(tmp_path):
    frames, source = decoded(write_coded(tmp_path / "a.mkv", sound="aac", sound_seconds=6.0))
    assert len(frames) == 40
    assert source.warnings == source.problems == []


def test_a_clip_trimmed_by_copying_packets_is_whole(tmp_path):
    """The edit list of the MP4 hides the stored pictures before the cut."""
    path = write_coded(tmp_path / "a.mp4", images=pictures(60), options={"g": "60", "bf": "0"})
    hide_first(path, 48, 60)
    frames, source = decoded(path)
    assert len(frames) == len(opencv(path)[0]) == 12
    assert source.problems == []


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts", "flv"])
@pytest.mark.parametrize("kept", [slice(20, None), slice(None, 20)], ids=["without its beginning", "without its end"])
def test_a_copy_of_some_packets_is_whole(tmp_path, container, kept):
    """As programs trim that do not encode anew: begun at a key picture, ended anywhere, reordered pictures or not."""
    source = write_coded(tmp_path / "a.mp4", options={"g": "20"})
    with av.open(str(source)) as whole, av.open(str(tmp_path / f"b.{container}"), "w") as part:
        stream = part.add_stream_from_template(whole.streams.video[0])
        for packet in [packet for packet in whole.demux(video=0) if packet.size][kept]:
            packet.stream = stream
            part.mux(packet)
    frames, clip = decoded(tmp_path / f"b.{container}")
    assert 18 <= len(frames) <= 20
    assert clip.problems == []


def hide_first(path, hidden, total):
    """Let an MP4's edit list begin at a later picture."""
    data = bytearray(path.read_bytes())
    entry = data.index(b"elst") + 12
    durations = int.from_bytes(data[entry : entry + 4], "big")
    media = data.index(b"mdhd") + 4
    scale = int.from_bytes(data[media + 12 : media + 16], "big")
    data[entry : entry + 4] = (durations * (total - hidden) // total).to_bytes(4, "big")
    data[entry + 4 : entry + 8] = (hidden * scale // 25).to_bytes(4, "big")
    path.write_bytes(data)


def test_pictures_that_decode_with_errors_make_the_clip_damaged_and_are_named(tmp_path):
    path = write_coded(tmp_path / "a.mp4", options={"bf": "0", "g": "20"})
    with av.open(str(path)) as container:
        packet = next(p for p in container.demux(video=0) if p.pts is not None and float(p.pts * p.time_base) == 1.0)
        place, size = packet.pos, packet.size
    overwrite(path, place + size // 3, bytes(size // 2))
    frames, source = decoded(path)
    assert len(frames) in (39, 40)  # the decoder invents the rest of the picture, or leaves it out
    assert any(abs(index - 25) <= 4 for index in source.damaged_frames)
    assert any("decoded with errors" in problem for problem in source.problems)


def test_a_lost_sector_inside_an_avi_is_a_problem(tmp_path):
    path = write_format(tmp_path, "mjpeg.avi")
    overwrite(path, path.stat().st_size // 2, bytes(4096))
    frames, source = decoded(path)
    assert len(frames) >= 36
    assert source.problems
    assert source.damaged_frames


def test_a_stream_that_changes_its_size_is_refused_from_that_frame_on(tmp_path):
    first, second = (
        write_coded(tmp_path / f"{k}.ts", images=pictures(10, size)) for k, size in enumerate(((160, 120), (128, 96)))
    )
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    frames = []
    with open_clip(joined) as source, pytest.raises(VideoError, match=r"frame 10 is 128x96 pixels.*160x120"):
        frames.extend(source)
    assert len(frames) == 10


# Times


def test_a_variable_rate_gives_true_seconds_and_says_how_far_the_rule_is_off(tmp_path):
    times = [k / 25 + (2.0 if k >= 20 else 0.0) for k in range(40)]
    path = write_coded(tmp_path / "a.mp4", times=times, options={"bf": "0"})
    frames, source = decoded(path)
    np.testing.assert_allclose([frame.timestamp for frame in frames], times, atol=1.1e-3)
    assert "differ by up to" in source.warnings[0]
    by_rule, source = decoded(path, timestamps="index")
    assert [frame.timestamp for frame in by_rule] == [k / source.fps for k in range(40)]
    assert "as OpenFace has them" in source.warnings[0]
    assert source.timestamps == "index"


def test_the_rate_of_the_rule_can_be_given(tmp_path):
    frames, source = decoded(write_coded(tmp_path / "a.mp4"), timestamps="index", fps=50)
    assert [frame.timestamp for frame in frames[:3]] == [0.0, 0.02, 0.04]
    assert source.fps == 50


@pytest.mark.parametrize("arguments", [{"timestamps": "clock"}, {"fps": 0.0}, {"fps": float("nan")}, {"max_pixels": 0}])
def test_arguments_that_make_no_sense_are_refused(tmp_path, arguments):
    with pytest.raises(ContractError, match=next(iter(arguments))):
        open_clip(tmp_path, **arguments)


# What is opened


@pytest.mark.parametrize("name", ["2026-11-29T10:00:00.mp4", "clip%03d.mp4", "-x.mp4", "a b#?.mp4", "file:x.mp4"])
def test_any_name_will_do(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.mp4").write_bytes(write_coded(tmp_path / "plain.mp4").read_bytes())
    (tmp_path / "a.mp4").rename(name)
    assert len(decoded(name)[0]) == 40


def test_a_name_that_is_not_utf8_will_do(tmp_path):
    plain = write_coded(tmp_path / "plain.mp4")
    odd = tmp_path / "caf\udce9.mp4"
    try:
        plain.rename(odd)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    assert len(decoded(odd)[0]) == 40
    cut(odd, 0.5)
    with pytest.raises(VideoError, match=r"caf\\udce9\.mp4"):
        decoded(odd)


@pytest.mark.parametrize(
    "listing", ["#EXTM3U\n#EXTINF:1,\n{path}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile {path}\n"]
)
def test_a_playlist_cannot_make_the_decoder_open_other_files(tmp_path, listing):
    other = write_coded(tmp_path / "other.ts")
    (tmp_path / "list.mp4").write_text(listing.format(path=other))
    with pytest.raises(VideoError, match=r"list\.mp4: cannot be opened as a video"):
        decoded(tmp_path / "list.mp4")


def test_sound_alone_is_refused(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as output:
        stream = output.add_stream("pcm_s16le", rate=48000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), "s16", "mono")
        frame.sample_rate, frame.time_base = 48000, Fraction(1, 48000)
        output.mux(stream.encode(frame))
        output.mux(stream.encode())
    with pytest.raises(VideoError, match="holds no moving picture"):
        VideoFile(tmp_path / "a.mkv")


def test_a_picture_larger_than_allowed_is_refused_before_it_is_decoded(tmp_path):
    path = write_coded(tmp_path / "a.mp4")
    with pytest.raises(VideoError, match=r"is 160 x 120 pixels, 0\.0192 megapixels, above.*--max-pixels 19200"):
        open_clip(path, max_pixels=19199)
    assert len(decoded(path, max_pixels=19200)[0]) == 40


def test_an_image_is_no_video(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(VideoError, match="is an image, not a video"):
        VideoFile(tmp_path / "a.png")


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="this system has no scheduling classes")
def test_no_encoder_leaves_the_tests_at_real_time_priority(tmp_path):
    write_format(tmp_path, "av1.mp4", images=pictures(2))
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
