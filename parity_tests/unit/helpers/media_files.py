"""Small videos of every container and codec that the PyAV wheel can write, and ways to damage them."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

RATE = 25
#: File name, encoder, pixel format, encoder of the sound.
FORMATS: tuple[tuple[str, str, str, str], ...] = (
    ("h264.mp4", "libx264", "yuv420p", "aac"),
    ("h264.mov", "libx264", "yuv420p", "aac"),
    ("h264.3gp", "libx264", "yuv420p", "aac"),
    ("h264.mkv", "libx264", "yuv420p", "aac"),
    ("h264.flv", "libx264", "yuv420p", "aac"),
    ("h264.ts", "libx264", "yuv420p", "aac"),
    ("h264.m2ts", "libx264", "yuv420p", "ac3"),
    ("h264.avi", "libx264", "yuv420p", "libmp3lame"),
    ("h264_full.mp4", "libx264", "yuvj420p", "aac"),
    ("h264_422.mkv", "libx264", "yuv422p", "aac"),
    ("h264_444.mkv", "libx264", "yuv444p", "aac"),
    ("h265.mp4", "libx265", "yuv420p", "aac"),
    ("h265_10.mkv", "libx265", "yuv420p10le", "aac"),
    ("h265.ts", "libx265", "yuv420p", "aac"),
    ("vp8.webm", "libvpx", "yuv420p", "libopus"),
    ("vp9.webm", "libvpx-vp9", "yuv420p", "libopus"),
    ("av1.mp4", "libsvtav1", "yuv420p", "aac"),
    ("mpeg4.avi", "mpeg4", "yuv420p", "libmp3lame"),
    ("mpeg4.mp4", "mpeg4", "yuv420p", "aac"),
    ("mjpeg.avi", "mjpeg", "yuvj420p", "pcm_s16le"),
    ("mjpeg.mov", "mjpeg", "yuvj422p", "pcm_s16le"),
    ("mpeg1.mpg", "mpeg1video", "yuv420p", "mp2"),
    ("mpeg2.mpg", "mpeg2video", "yuv420p", "mp2"),
    ("mpeg2.ts", "mpeg2video", "yuv420p", "mp2"),
    ("mpeg2.mxf", "mpeg2video", "yuv422p", ""),
    ("wmv2.wmv", "wmv2", "yuv420p", ""),
    ("raw.avi", "rawvideo", "bgr24", "pcm_s16le"),
    ("ffv1.mkv", "ffv1", "yuv420p", "flac"),
    ("gray.mkv", "ffv1", "gray", "flac"),
    ("huffyuv.avi", "huffyuv", "yuv422p", "pcm_s16le"),
    ("prores.mov", "prores_ks", "yuv422p10le", "pcm_s16le"),
    ("png.mov", "png", "rgb24", "pcm_s16le"),
)
_OPTIONS = {
    "libx264": {"preset": "veryfast"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    "libsvtav1": {"preset": "12", "svtav1-params": "lp=1"},
    "mpeg2video": {"bf": "2"},
    "mpeg4": {"bf": "2"},
}


def available(codec: str) -> bool:
    """Whether this build of FFmpeg can encode it."""
    try:
        av.Codec(codec, "w")
    except (av.FFmpegError, ValueError):
        return False
    return True


def pictures(count: int, size: tuple[int, int] = (160, 120)) -> list[np.ndarray]:
    """Moving, textured pictures of `size` (width, height), so that every frame costs bytes and differs."""
    width, height = size
    rng = np.random.default_rng(5)
    noise = rng.integers(0, 256, (height, width + 4 * count, 3)).astype(np.float32)
    smooth = sum(np.roll(noise, k, axis=1) for k in range(4)) / 4
    return [np.ascontiguousarray(smooth[:, 4 * k : 4 * k + width]).astype(np.uint8) for k in range(count)]


def write_coded(
    path: Path,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    *,
    images: Sequence[np.ndarray] | None = None,
    times: Sequence[float] | None = None,
    sound: str = "",
    sound_seconds: float | None = None,
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
) -> Path:
    """Write a video with PyAV.

    Parameters
    ----------
    times : presentation times in seconds, to the millisecond; number / 25 unless given.
    sound : an encoder for a tone beside the pictures, which lasts `sound_seconds` (as long as the pictures).
    container : options of the muxer.
    """
    images = pictures(40) if images is None else images
    with _kept_priority(), av.open(str(path), "w", options=container or {}) as output:
        stream: Any = output.add_stream(codec, rate=RATE)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt, stream.options = pixels, {**_OPTIONS.get(codec, {}), **(options or {})}
        base = Fraction(1, RATE) if times is None else Fraction(1, 1000)
        stream.codec_context.time_base = base
        tone: Any = _sound_stream(output, sound)
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, "bgr24")
            frame.time_base, frame.pts = base, index if times is None else round(1000 * times[index])
            output.mux(stream.encode(frame))
            if tone and sound_seconds is None:
                _mux_sound(output, tone, index, 1)
        output.mux(stream.encode())
        if tone:
            if sound_seconds is not None:
                _mux_sound(output, tone, 0, round(RATE * sound_seconds))
            output.mux(tone.encode())
    return path


@contextmanager
def _kept_priority() -> Iterator[None]:
    """SVT-AV1 gives the thread that calls it real-time priority where the user is root, and children inherit that: on
    two cores, tests and browsers at that priority leave nothing for what they wait for.
    """
    before = (os.sched_getscheduler(0), os.sched_getparam(0)) if hasattr(os, "sched_getscheduler") else None
    try:
        yield
    finally:
        if before is not None and os.sched_getscheduler(0) != before[0]:
            os.sched_setscheduler(0, *before)


def write_format(path: Path, name: str, *, sound: bool = False, **arguments: Any) -> Path:
    """Write the format of `FORMATS` with this name."""
    _, codec, pixels, tone = next(entry for entry in FORMATS if entry[0] == name)
    return write_coded(path / name, codec, pixels, sound=tone if sound else "", **arguments)


def cut(path: Path, share: float) -> Path:
    """Keep only the first part of the file's bytes; transport streams are not cut just between two packets."""
    data = path.read_bytes()
    length = int(share * len(data))
    path.write_bytes(data[: length - (length % 188 == 0)])
    return path


def overwrite(path: Path, start: int, content: bytes) -> Path:
    """Put other bytes at a place in the file."""
    data = bytearray(path.read_bytes())
    data[start : start + len(content)] = content
    path.write_bytes(data)
    return path


def turn(path: Path, degrees: int) -> Path:
    """Set the display matrix of an MP4's first track to a clockwise rotation by 0, 90, 180 or 270 degrees."""
    cosine, sine = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    one = 1 << 16
    matrix = (cosine * one, sine * one, 0, -sine * one, cosine * one, 0, 0, 0, 1 << 30)
    start = path.read_bytes().index(b"tkhd") + 4 + 40  # version 0: the matrix follows 40 bytes of the box's content
    return overwrite(path, start, struct.pack(">9i", *matrix))


def _sound_stream(output: Any, codec: str) -> Any:
    if not codec:
        return None
    stream = output.add_stream(codec, rate=48000)
    stream.layout = "mono"
    return stream


def _mux_sound(output: Any, stream: Any, first: int, frames: int) -> None:
    samples = stream.rate // RATE
    for k in range(first, first + frames):
        wave = (8000 * np.sin(np.arange(k * samples, (k + 1) * samples) / 20)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(wave[None], "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = stream.rate, k * samples, Fraction(1, stream.rate)
        output.mux(stream.encode(frame))
