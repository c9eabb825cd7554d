"""One interface for decoding in the child or in the calling process: a video, or image files one after the other."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from auparity.media.complaints import Complaints
from auparity.media.seeking import SeekPoint, VideoIndex
from auparity.media.types import Encoding, Frame, Notes, Timestamps


@dataclass(frozen=True)
class VideoRequest:
    """A video file to be decoded, with the arguments of `open_clip`."""

    path: str
    timestamps: Timestamps
    fps: float | None
    max_pixels: int
    pixels: bool = True  #: False: frames are black, see `open_clip`
    indexed: bool = False  #: read the index in place of frames


@dataclass(frozen=True)
class ImagesRequest:
    """Image files to be decoded one after the other; sizes may differ, time stamps are 0."""

    paths: Sequence[str]
    max_pixels: int


Request = VideoRequest | ImagesRequest


class Reader(Protocol):
    """Decoded frames. The image of a frame may have any strides, and is valid until the next one is asked for."""

    notes: Notes
    fps: float | None
    n_frames: int | None
    encoding: Encoding | None  #: of videos
    index: VideoIndex | None  #: where it was asked for

    def frames(self, first: int, point: SeekPoint | None = None) -> Generator[Frame]: ...
    def close(self) -> None: ...


class ImagesReader:
    """Image files, decoded one after the other."""

    fps: float | None = None
    encoding: Encoding | None = None
    index: VideoIndex | None = None

    def __init__(self, request: ImagesRequest, complaints: Complaints) -> None:
        self.notes = Notes()
        self.n_frames: int | None = len(request.paths)
        self._request, self._complaints = request, complaints

    def frames(self, first: int, point: SeekPoint | None = None) -> Generator[Frame]:
        from auparity.media.images import decode_image

        for path in self._request.paths[first:]:
            image, warnings = decode_image(Path(path), self._request.max_pixels, self._complaints)
            self.notes.warnings += warnings
            yield Frame(image, 0.0)

    def close(self) -> None:
        """Do nothing: no file is held open."""


def open_reader(request: Request, complaints: Complaints) -> Reader:
    """Open what is requested, in this process; raises `VideoError`."""
    if isinstance(request, ImagesRequest):
        return ImagesReader(request, complaints)
    from auparity.media.video import VideoReader  # loads FFmpeg

    return VideoReader(
        Path(request.path),
        timestamps=request.timestamps,
        fps=request.fps,
        max_pixels=request.max_pixels,
        complaints=complaints,
        pixels=request.pixels,
        indexed=request.indexed,
    )
