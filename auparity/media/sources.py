"""Where frames come from: video files, folders of images, single images and cameras (spec 00, "Data flow").

Everything is decoded with OpenCV into what the stages expect: (H, W, 3) uint8, blue-green-red, C-contiguous, with the
time stamp that the reference program would give the frame: index / fps for video files, 0 for image sequences and
photographs, wall-clock seconds for cameras. Whatever cannot be read ends in a `VideoError` that names the file and
says what to do; a damaged image or a video that ends early is never passed on as if it were whole.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from auparity.errors import VideoError
from auparity.media.folders import images_in
from auparity.media.types import MAX_PIXELS, Closing, Frame, Image, Timestamps

#: File names that are taken for images; every other file is opened as a video.
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".jp2"})
#: Only to word the advice for a folder without images.
VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".wmv", ".m4v", ".mpg", ".mpeg", ".flv", ".mts"})

#: Frames per second taken for a video file that states none, as the reference program does.
ASSUMED_FPS = 30.0
#: Frame counts of containers can be estimates (duration x rate) that are off by the first or last frame.
FRAME_COUNT_SLACK = 2
#: A video is damaged, not just miscounted, when its end is missing by more than this (seconds, share of its length):
#: containers without a frame count give the longest stream, and sound may outlast the picture.
MISSING_END_SECONDS = 1.0
MISSING_END_SHARE = 0.02
#: In clips of a few seconds a second is much: there it is damaged when more than this share is missing.
MISSING_SHARE_OF_SHORT_CLIPS = 0.25
#: 16-bit images are divided by this, rounded half to even as OpenCV rounds, and limited to 255 (spec 00).
SIXTEEN_BIT_LEVELS = 256.0


def is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def read_image(path: Path) -> Image:
    """Decode one image file to (H, W, 3) uint8 BGR.

    Gray images are repeated in the three channels, transparency is dropped, EXIF orientation is applied, 16-bit values
    keep their upper byte. Decoding from memory refuses a truncated file, which decoding from disk would fill with gray.

    Raises
    ------
    VideoError : missing, empty, damaged, not an image, or of a depth other than 8 or 16 bits.
    """
    _require_file(path)
    try:
        image: npt.NDArray[Any] | None = cv2.imdecode(
            np.fromfile(path, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
        )
    except cv2.error as error:
        raise VideoError(f"{path}: cannot be decoded as an image ({error.err}).") from error
    except OSError as error:
        raise VideoError(f"{path}: cannot be read ({error.strerror}).") from error
    if image is None:
        raise VideoError(
            f"{path}: cannot be decoded as an image; it is truncated, damaged or of another type. "
            "Open it in an image viewer, and copy or export it again."
        )
    if image.dtype == np.uint16:
        image = np.minimum(np.rint(image / SIXTEEN_BIT_LEVELS), 255).astype(np.uint8)
    if image.dtype != np.uint8:
        raise VideoError(f"{path}: has {image.dtype} pixels; save it with 8 or 16 bits a channel.")
    return np.ascontiguousarray(image)


class VideoFile(Closing):
    """A video file, decoded frame after frame; time stamps are index / fps.

    `n_frames` is what the container declares. A video whose end is missing raises `VideoError` after its last frame;
    single frames that the decoder had to leave out are reported in `warnings`.
    """

    kind = "video"
    timestamps = "index"
    live = False

    def __init__(self, path: Path) -> None:
        _require_file(path)
        self.path, self.name = str(path), path.stem
        self.size_bytes: int | None = path.stat().st_size
        self.warnings: list[str] = []
        self.problems: list[str] = []
        self.damaged_frames: list[int] = []
        self._capture = cv2.VideoCapture(str(path), _file_backend())
        if not self._capture.isOpened():
            raise VideoError(
                f"{path}: cannot be opened as a video; it is damaged, not finished or not a video. "
                "If a player shows it, convert it: ffmpeg -i INPUT OUTPUT.mp4"
            )
        self.fps: float | None = self._read_fps()
        declared = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        # Streams without a count report zero, a negative or an absurd number.
        self.n_frames: int | None = int(declared) if 0 < declared < 2**31 else None

    def __iter__(self) -> Iterator[Frame]:
        return self.frames_from(0)

    def frames_from(self, first: int) -> Iterator[Frame]:
        """Iterate from frame `first` on. Those before are decoded all the same: seeking is not exact in all codecs."""
        fps = self.fps or ASSUMED_FPS
        index, last_seconds = 0, 0.0
        while index < first and self._capture.grab():
            index += 1
        while True:
            image = _next_image(self._capture, self.path)
            if image is None:
                break
            last_seconds = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0
            yield Frame(image, index / fps)
            index += 1
        self._check_end(index, last_seconds, fps)

    def close(self) -> None:
        self._capture.release()

    def _read_fps(self) -> float:
        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        if np.isfinite(fps) and fps > 0:
            return fps
        self.warnings.append(f"the file states no frame rate; time stamps assume {ASSUMED_FPS:g} frames a second")
        return ASSUMED_FPS

    def _check_end(self, read: int, last_seconds: float, fps: float) -> None:
        """Tell a whole video from one whose end is missing (by count and by time, see MISSING_END_SECONDS)."""
        if read == 0:
            raise VideoError(
                f"{self.path}: opens as a video, but not one frame can be decoded. Convert or copy it again."
            )
        if self.n_frames is None or self.n_frames - read <= FRAME_COUNT_SLACK:
            return
        duration = self.n_frames / fps
        missing = duration - (last_seconds + 1.0 / fps)
        slack = max(MISSING_END_SECONDS, MISSING_END_SHARE * duration)
        if missing > min(slack, MISSING_SHARE_OF_SHORT_CLIPS * duration):
            raise VideoError(
                f"{self.path}: ends after {read} of {self.n_frames} frames, {missing:.1f} s early; it is truncated or "
                "damaged. Copy it again from its source."
            )
        self.warnings.append(
            f"{read} frames could be decoded where the file declares {self.n_frames}; if frames are damaged, the "
            "numbers and times of the frames after them are too low"
        )


class ImageSequence(Closing):
    """The images of a folder as one clip, sorted by name; every time stamp is 0 (spec 00)."""

    kind = "images"
    timestamps = "none"
    live = False
    fps: float | None = None

    def __init__(self, folder: Path) -> None:
        self.files = images_in(folder)
        # A folder has no suffix: "subject.01" is called so.
        self.path, self.name = str(folder), folder.resolve().name
        self.n_frames: int | None = len(self.files)
        self.size_bytes: int | None = sum(file.stat().st_size for file in self.files)
        self.warnings: list[str] = []
        self.problems: list[str] = []
        self.damaged_frames: list[int] = []
        if [file.name for file in self.files] != sorted((file.name for file in self.files), key=_natural_key):
            self.warnings.append(
                "the images are taken in the order of their names, which is not the order of the numbers in them "
                "(10 comes before 2); rename them with leading zeros"
            )

    def __iter__(self) -> Iterator[Frame]:
        return self.frames_from(0)

    def frames_from(self, first: int) -> Iterator[Frame]:
        """Iterate from image `first` on."""
        size: tuple[int, int] | None = None
        for file in self.files[first:]:
            image = read_image(file)
            height, width = image.shape[:2]
            if size is None:
                size = (height, width)
            if size != (height, width):
                raise VideoError(
                    f"{file}: is {width}x{height} pixels, the images before it are {size[1]}x{size[0]}. One clip has "
                    "one size: move it out of the folder, or use --photographs if the images are no sequence."
                )
            yield Frame(image, 0.0)


class CameraStream(Closing):
    """A camera; time stamps are seconds since its first frame."""

    kind = "camera"
    timestamps = "clock"
    live = True
    n_frames: int | None = None
    size_bytes: int | None = None
    fps: float | None = None

    def __init__(self, index: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = f"camera:{index}"
        self.name = f"camera{index}_{time.strftime('%Y%m%d-%H%M%S')}"
        self.warnings: list[str] = []
        self.problems: list[str] = []
        self.damaged_frames: list[int] = []
        self._clock = clock
        self._capture = cv2.VideoCapture(index)
        if not self._capture.isOpened():
            raise VideoError(
                f"camera {index}: cannot be opened. Check that it is connected, that no other program uses it and that "
                "this one may; cameras are numbered from 0."
            )

    def __iter__(self) -> Iterator[Frame]:
        start: float | None = None
        while True:
            image = _next_image(self._capture, self.path)
            if image is None:
                raise VideoError(f"{self.path}: gives no more frames; it was disconnected or taken by another program.")
            now = self._clock()
            start = now if start is None else start
            yield Frame(image, now - start)

    def close(self) -> None:
        self._capture.release()


def open_clip(
    path: str | os.PathLike[str],
    *,
    timestamps: Timestamps = "container",
    fps: float | None = None,
    max_pixels: int = MAX_PIXELS,
    isolate: bool = True,
) -> VideoFile | ImageSequence:
    """Open a video file or a folder of images as one clip; raises `VideoError`."""
    path = Path(path)
    return ImageSequence(path) if path.is_dir() else VideoFile(path)


def _require_file(path: Path) -> None:
    if not path.exists():
        raise VideoError(f"{path}: does not exist.")
    if not path.is_file():
        raise VideoError(f"{path}: is no file.")
    if path.stat().st_size == 0:
        raise VideoError(f"{path}: is empty (0 bytes). Copy it again from its source.")


def _next_image(capture: cv2.VideoCapture, path: str) -> Image | None:
    """The next frame as (H, W, 3) uint8 BGR, or None at the end."""
    try:
        good, image = capture.read()
    except cv2.error as error:
        raise VideoError(f"{path}: decoding failed ({error.err}).") from error
    if not good:
        return None
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise VideoError(f"{path}: decodes to {image.dtype} {image.shape}, not to 8-bit colour. Convert it to H.264.")
    return np.ascontiguousarray(image)


def _file_backend() -> int:
    """FFmpeg where OpenCV has it.

    The platform's own decoders give other pixels, and the fallback for image sequences opens any file that has digits
    in its name.
    """
    return cv2.CAP_FFMPEG if cv2.videoio_registry.hasBackend(cv2.CAP_FFMPEG) else cv2.CAP_ANY


def _natural_key(name: str) -> list[tuple[int, str]]:
    """Sort key in which the numbers in a name count as numbers: frame2 before frame10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
