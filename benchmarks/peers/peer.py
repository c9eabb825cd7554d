"""The interface of a peer, its input and its output.

In: a `Clip`, T frames decoded before any clock starts. Out: a `PeerRun`, plain arrays with the frames as their first
axis, None for what the peer does not measure: 68 landmarks in px, AU intensities 0 to 5 by name ("AU01"), success
flags, the box of the widest face, and the time it took, for each frame if the peer can be timed by frame, else in
total.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from auparity.errors import AuparityError, ContractError
from auparity.media import open_clip

Array = npt.NDArray[Any]
Image = npt.NDArray[np.uint8]
Result = TypeVar("Result")

#: Frames that a peer processes before the clock starts: the first (detection) and a few more, so that kernels are
#: compiled and memory is allocated.
WARM_UP = 5


@dataclass(frozen=True, eq=False)
class Clip:
    """The frames that peers are run on; make it by `read_clip`."""

    path: Path  #: a video or a folder of images
    images: list[Image]  #: (H, W, 3) uint8 BGR, of one size
    whole: bool  #: `images` is all that `path` holds, not its beginning

    def __len__(self) -> int:
        return len(self.images)


def read_clip(path: Path, max_frames: int | None = None) -> Clip:
    """Decode a video or a folder of images, or its first `max_frames` frames.

    Raises
    ------
    VideoError : it cannot be read.
    ContractError : `max_frames` below 1.
    """
    if max_frames is not None and max_frames < 1:
        raise ContractError("peers", "max_frames", "1 or more", str(max_frames))
    images: list[Image] = []
    with open_clip(path) as source:
        for frame in source:
            if len(images) == max_frames:  # there is at least this one more
                return Clip(path, images, whole=False)
            images.append(frame.image)
    return Clip(path, images, whole=True)


@dataclass(frozen=True, eq=False)
class PeerRun:
    """The results of a peer on a clip of T frames, and how long it took."""

    version: str  #: of the peer; the hash of a program that has no option for its version
    seconds: float  #: for `frames_timed` frames; `note` says what is in it
    frames_timed: int
    ms: Array | None = None  #: (T,) of every frame; None where frames cannot be told apart
    landmarks: Array | None = None  #: (T, 68, 2) px; NaN where the peer gives none
    aus: dict[str, Array] | None = None  #: intensities by name, each (T,), post-processed as the peer's own tables are
    success: Array | None = None  #: (T,) bool
    boxes: Array | None = None  #: (T, 4) x, y, width, height px of the widest face; NaN without one
    note: str = ""

    @property
    def ms_a_frame(self) -> float:
        """Median of the frames after the first (detection) where each was timed, else the mean of all timed."""
        if self.ms is not None:
            return float(np.median(self.ms[1:] if len(self.ms) > 1 else self.ms))
        return 1000 * self.seconds / self.frames_timed


class Peer(Protocol):
    """Another program or package."""

    @property
    def name(self) -> str:
        """Its name in tables."""

    @property
    def measures(self) -> str:
        """What it measures, in a few words."""

    def unavailable_reason(self) -> str | None:
        """Why it cannot run here, and what to install or set; None when it can."""

    def run(self, clip: Clip) -> PeerRun:
        """Measure a clip.

        Raises
        ------
        VariantUnavailable : it cannot run here; the message is that of `unavailable_reason`.
        AuparityError : it failed, or its output differs from its documentation.
        """


def timed(step: Callable[[Image], Result], images: Sequence[Image]) -> tuple[list[Result], Array]:
    """The results of `step` for every image, and milliseconds (T,) of each."""
    results, ms = [], np.empty(len(images))
    for k, image in enumerate(images):
        start = time.perf_counter()
        results.append(step(image))
        ms[k] = 1000 * (time.perf_counter() - start)
    return results, ms


def as_array(value: Any, shape: tuple[int | None, ...], what: str) -> Array:
    """A peer's output as float64, of exactly this shape (None for any length).

    Raises
    ------
    AuparityError : it has another shape, or holds no numbers: the adapter was written for another version.
    """
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError) as error:
        raise AuparityError(f"{what} are no numbers ({error}); is it a version with another interface?") from error
    fits = array.ndim == len(shape) and all(n is None or n == m for n, m in zip(shape, array.shape, strict=True))
    if not fits:
        expected = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
        raise AuparityError(
            f"{what} are of shape {array.shape}, expected {expected}; is it a version with another interface?"
        )
    return array
