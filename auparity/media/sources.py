"""Clips as users open them: video files, folders of images, single images. Files are decoded in a child process."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from auparity.errors import ContractError, VideoError
from auparity.media.complaints import Complaints
from auparity.media.content import identify, require_file
from auparity.media.decoder import RemoteReader, decode_in_child
from auparity.media.folders import names_of, survey, without_images
from auparity.media.names import printable
from auparity.media.readers import ImagesRequest, Reader, Request, VideoRequest, open_reader
from auparity.media.seeking import SeekPoint, VideoIndex
from auparity.media.types import MAX_PIXELS, Closing, Encoding, Frame, Image, Notes, Timestamps


def open_clip(
    path: str | os.PathLike[str],
    *,
    timestamps: Timestamps = "container",
    fps: float | None = None,
    max_pixels: int = MAX_PIXELS,
    isolate: bool = True,
    pixels: bool = True,
) -> VideoFile | ImageSequence:
    """Open a video file or a folder of images as one clip.

    Parameters
    ----------
    timestamps : of videos: "container" for the file's presentation times, in seconds since the first frame; "index" for
        OpenFace's rule, frame number / rate, which is wrong where the rate varies.
    fps : frames a second of a folder of images, whose time stamps are number / fps, or 0 without it, as OpenFace's; and
        of videos under "index", in place of the rate that the file states.
    max_pixels : pictures that declare more pixels are refused before they are decoded.
    isolate : decode in a child process, so that a crash of the decoder makes only this clip fail. False (or
        ``AUPARITY_DECODE=inline`` in the environment) decodes in this process, for debugging: the messages of
        decoders about damage are not collected then.
    pixels : False for who needs only times and sizes of a video: its frames are decoded, so that everything that is
        wrong with it is found, but come black and without memory of their own. Folders of images have no such way.

    Raises
    ------
    VideoError : it cannot be opened. ContractError : an argument is invalid.
    """
    if timestamps not in get_args(Timestamps):
        raise ContractError("media", "timestamps", " or ".join(map(repr, get_args(Timestamps))), repr(timestamps))
    if fps is not None and not (0 < fps < float("inf")):
        raise ContractError("media", "fps", "a positive number of frames a second", str(fps))
    if max_pixels < 1:
        raise ContractError("media", "max_pixels", "1 or more pixels", str(max_pixels))
    path = Path(path)
    if path.is_dir():
        return ImageSequence(path, fps=fps, max_pixels=max_pixels, isolate=isolate)
    return VideoFile(path, timestamps=timestamps, fps=fps, max_pixels=max_pixels, isolate=isolate, pixels=pixels)


def read_image(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS, isolate: bool = True) -> Image:
    """Decode one image file to (H, W, 3) uint8 BGR.

    Gray images are repeated in the three channels, transparency is dropped, the orientation that the file states is
    applied, 16-bit values keep their upper byte. Arguments as of `open_clip`.

    Raises
    ------
    VideoError : missing, empty, damaged, too large, animated, not an image, or of a depth other than 8 or 16 bits.
    """
    return read_photograph(path, max_pixels=max_pixels, isolate=isolate)[0]


def read_photograph(
    path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS, isolate: bool = True
) -> tuple[Image, list[str]]:
    """`read_image`, and warnings about a file whose picture is whole."""
    require_file(Path(path))
    reader = _open(ImagesRequest([os.fspath(path)], max_pixels), isolate)
    try:
        frame = next(iter(reader.frames(0)))
        return frame.image, list(reader.notes.warnings)
    finally:
        reader.close()


def is_image(path: Path) -> bool:
    """Whether the content of a file is an image (of any kind, supported or not); raises `VideoError`."""
    return identify(path).kind == "image"


class _Decoded(Closing):
    """What videos and folders of images have in common: a reader, in a child process or in this one."""

    live = False

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = str(path), name
        self._notes = Notes()
        self._reader: Reader | None = None

    @property
    def warnings(self) -> list[str]:
        """What the user should know; grows while reading."""
        return self._notes.warnings

    @property
    def problems(self) -> list[str]:
        """Why the clip is not whole although reading went on; grows while reading."""
        return self._notes.problems

    @property
    def damaged_frames(self) -> list[int]:
        """Numbers (from 0) of the frames that decoded with errors, the first 1,000; grows while reading."""
        return self._notes.damaged_frames

    def close(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _frames(self, first: int, point: SeekPoint | None = None) -> Generator[Frame]:
        if self._reader is None:
            raise VideoError(f"{printable(self.path)}: was closed.")
        return self._reader.frames(first, point)


class VideoFile(_Decoded):
    """A video file, decoded frame after frame.

    A video whose end is missing raises `VideoError` after its last good frame; frames that decoded with errors are
    counted in `problems` and `damaged_frames` (`auparity.media.video` has the rules).
    """

    kind = "video"

    def __init__(
        self,
        path: Path,
        *,
        timestamps: Timestamps = "container",
        fps: float | None = None,
        max_pixels: int = MAX_PIXELS,
        isolate: bool = True,
        pixels: bool = True,
    ) -> None:
        self.size_bytes: int | None = require_file(path)
        super().__init__(path, path.stem)
        self.timestamps: str = timestamps
        self._arguments: dict[str, Any] = {
            "timestamps": timestamps,
            "fps": fps,
            "max_pixels": max_pixels,
            "isolate": isolate,
        }
        self._request = VideoRequest(str(path), timestamps, fps if timestamps == "index" else None, max_pixels, pixels)
        self._reader = _open(self._request, isolate)
        self._notes = self._reader.notes
        self.fps: float | None = self._reader.fps
        self.n_frames: int | None = self._reader.n_frames
        self.encoding: Encoding | None = self._reader.encoding

    def again(self) -> VideoFile:
        """The same clip opened once more, to be read from its beginning; raises `VideoError`."""
        return VideoFile(Path(self.path), **self._arguments)

    def __iter__(self) -> Iterator[Frame]:
        return self.frames_from(0)

    def frames_from(self, first: int, point: SeekPoint | None = None) -> Iterator[Frame]:
        """Iterate from frame `first` on. Earlier frames are decoded as well, from the beginning of the file or from
        `point`, a place of `index` that is not after `first`."""
        return self._frames(first, point)

    def index(self) -> VideoIndex:
        """Where decoding may begin in the middle of the file. All of it is read, nothing is decoded; raises
        `VideoError`."""
        reader = _open(replace(self._request, indexed=True), self._arguments["isolate"])
        try:
            assert reader.index is not None
            return reader.index
        finally:
            reader.close()


class ImageSequence(_Decoded):
    """The images of a folder as one clip, sorted by name; time stamps are number / fps, or 0 (spec 00).

    A broken link and an empty file are `problems`, because an image of the clip is missing.
    """

    kind = "images"

    def __init__(
        self, folder: Path, *, fps: float | None = None, max_pixels: int = MAX_PIXELS, isolate: bool = True
    ) -> None:
        content = survey(folder)
        if not content.images:
            raise without_images(content)
        self.files = content.images
        # A folder has no suffix: "subject.01" is its whole name.
        super().__init__(folder, folder.resolve().name)
        self.fps, self.timestamps = fps, "none" if fps is None else "index"
        self.n_frames: int | None = len(self.files)
        self.size_bytes: int | None = sum(file.stat().st_size for file in self.files)
        self._arguments: dict[str, Any] = {"fps": fps, "max_pixels": max_pixels, "isolate": isolate}
        self._request, self._isolate = ImagesRequest([str(file) for file in self.files], max_pixels), isolate
        self.problems.extend(text for _, text in content.unreadable)
        if content.others or content.videos:
            self.warnings.append(f"left out, being no images: {names_of(content.videos + content.others)}")
        if [file.name for file in self.files] != sorted((file.name for file in self.files), key=_natural_key):
            self.warnings.append(
                "the images are taken in the order of their names, which is not the order of the numbers in them "
                "(10 comes before 2); rename them with leading zeros"
            )

    def again(self) -> ImageSequence:
        """The same clip opened once more, to be read from its beginning; raises `VideoError`."""
        return ImageSequence(Path(self.path), **self._arguments)

    def __iter__(self) -> Iterator[Frame]:
        return self.frames_from(0)

    def frames_from(self, first: int, point: SeekPoint | None = None) -> Iterator[Frame]:
        """Iterate from image `first` on; `point` is for videos."""
        self._reader = _open(self._request, self._isolate)
        size: tuple[int, int] | None = None
        told = 0
        for index, (image, _) in enumerate(self._frames(first), first):
            height, width = image.shape[:2]
            size = size or (height, width)
            if size != (height, width):
                raise VideoError(
                    f"{printable(self.files[index])}: is {width}x{height} pixels, the images before it are "
                    f"{size[1]}x{size[0]}. One clip has one size: move it out of the folder, or, if the images "
                    "are not a sequence, use `auparity extract --photographs` or FaceLandmarkImg."
                )
            news = self._reader.notes.warnings[told:]
            told += len(news)
            self.warnings.extend(news)
            yield Frame(image, 0.0 if self.fps is None else index / self.fps)
        self.close()


def _open(request: Request, isolate: bool) -> Reader:
    return RemoteReader(request) if decode_in_child(isolate) else open_reader(request, Complaints())


def _natural_key(name: str) -> list[tuple[int, str]]:
    """Sort key in which the numbers in a name count as numbers: frame2 before frame10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
