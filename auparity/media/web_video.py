"""Videos that browsers play: which files are such, and a small WebM video of a clip that is not.

The small video is VP8, which every browser plays and every build of FFmpeg in PyAV's wheels writes, in the encoder's
fastest setting for live use: 2 ms a frame of 480x360 on one core. It has a key frame in every second, so that seeking
in it is quick.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy.typing as npt

from auparity.atomic_files import atomic_file
from auparity.errors import VideoError
from auparity.media.types import Encoding, Frame

SUFFIX = ".webm"
#: Containers by their files' suffixes, and codecs that Chrome, Firefox and Safari play in them.
_PLAYED = {
    ".mp4": {"h264", "vp9", "av1"},
    ".m4v": {"h264"},
    ".mov": {"h264"},
    ".webm": {"vp8", "vp9", "av1"},
}
#: 8 bits a channel, halved colours: other formats have no decoders in hardware, and some none at all.
_PIXELS = {"yuv420p", "yuvj420p"}
#: Width and height in px that the small video has at most: enough to look at, and cheap.
WIDEST, HIGHEST = 640, 640
#: Bits a second of the small video.
RATE = 1_500_000


def played_by_browsers(path: Path, encoding: Encoding | None) -> bool:
    """Whether browsers play a video file as it is; False where its encoding is not known."""
    return (
        encoding is not None and encoding.codec in _PLAYED.get(path.suffix.lower(), ()) and encoding.pixels in _PIXELS
    )


def write_web_video(frames: Iterable[Frame], out_path: Path, fps: float) -> int:
    """Write a small WebM video of a clip, atomically; the number of frames.

    Parameters
    ----------
    frames : in order, with the times at which they are shown; pictures larger than `WIDEST` x `HIGHEST` are reduced.
    fps : about how many there are in a second.

    Raises
    ------
    VideoError : there are no frames. OSError : the file cannot be written.
    """
    import av  # loads FFmpeg

    count, last = 0, -1
    with atomic_file(out_path, suffix=SUFFIX) as part, av.open(str(part), "w", format="webm") as container:
        stream = None
        for frame in frames:
            count += 1
            height, width = frame.image.shape[:2]
            if stream is None:
                scale = min(1.0, WIDEST / width, HIGHEST / height)
                size = max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))
                stream = container.add_stream("libvpx", rate=Fraction(fps).limit_denominator(1000))
                stream.width, stream.height, stream.pix_fmt, stream.bit_rate = *size, "yuv420p", RATE
                stream.codec_context.time_base = Fraction(1, 1000)
                stream.options = {
                    "deadline": "realtime", "cpu-used": "8", "g": str(max(1, round(fps))), "threads": "1"
                }  # fmt: skip
            image: npt.NDArray[Any] = frame.image
            if size != (width, height):
                image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            picture = av.VideoFrame.from_ndarray(image, "bgr24")
            picture.time_base = Fraction(1, 1000)
            last = picture.pts = max(round(1000 * frame.timestamp), last + 1)  # times have to rise
            container.mux(stream.encode(picture))
        if stream is None:
            raise VideoError(f"{out_path}: there are no frames to make a video of.")
        container.mux(stream.encode())
    return count
