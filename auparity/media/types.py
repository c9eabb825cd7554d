"""What the readers of this package return: frames, their source, and notes about them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

#: Where the time stamps of a video come from: the container's presentation times, or OpenFace's rule index / fps.
Timestamps = Literal["container", "index"]

#: Pixels a picture may declare unless the caller says otherwise: 300 MB in memory, above any camera for faces.
MAX_PIXELS = 100_000_000
#: Frames a second assumed for a video file that states none, as in the C++ program.
ASSUMED_FPS = 30.0


class Encoding(NamedTuple):
    """How a video file is encoded, by FFmpeg's names."""

    container: str  #: e.g. "mov,mp4,m4a,3gp,3g2,mj2"
    codec: str  #: e.g. "h264"
    pixels: str  #: format of the pixels, e.g. "yuv420p"


class Frame(NamedTuple):
    image: Image  #: (H, W, 3) uint8 BGR
    timestamp: float  #: seconds

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        return f"<Frame of {width}x{height} px at {self.timestamp:.3f} s>"


def black(height: int, width: int) -> Image:
    """(H, W, 3) uint8 zeros without memory of their own; read-only, and not contiguous."""
    return np.broadcast_to(np.uint8(0), (height, width, 3))


@dataclass
class Notes:
    """What a reader found besides frames; grows while reading."""

    #: Warnings for the user about a clip that is whole.
    warnings: list[str] = field(default_factory=list)
    #: Why the clip is not whole although reading went on, e.g. frames that decoded with errors.
    problems: list[str] = field(default_factory=list)
    #: Numbers (from 0) of the frames that decoded with errors; their pixels are partly invented by the decoder.
    damaged_frames: list[int] = field(default_factory=list)


class FrameSource(Protocol):
    """The frames of one clip, in order. Iterate once; raises `VideoError` where the clip cannot be read further."""

    name: str  #: its name in messages and output names (no suffix)
    path: str  #: where it is, as recorded beside the results
    kind: str  #: "video", "images" or "camera"
    n_frames: int | None  #: as declared; None when unknown
    size_bytes: int | None  #: of the file, or of all files together; None for cameras
    fps: float | None  #: frames a second of the rule index / fps; None where there is no rate
    timestamps: str  #: "container", "index", "none" (all are 0) or "clock" (cameras)
    live: bool  #: frames arrive in wall-clock time and have no natural end

    @property
    def warnings(self) -> list[str]:
        """What the user should know; grows while reading."""

    @property
    def problems(self) -> list[str]:
        """Why the clip is not whole although reading went on; grows while reading."""

    @property
    def damaged_frames(self) -> list[int]:
        """Numbers (from 0) of frames that decoded with errors; grows while reading."""

    def __iter__(self) -> Iterator[Frame]: ...
    def close(self) -> None: ...


class Closing:
    """A context that closes what it holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what is held open; by default nothing is."""
