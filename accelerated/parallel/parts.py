"""The parts of a clip that is tracked by several processes: where they lie, the work on one, and what their seams show.

Only tracking depends on earlier frames in such a way that a cut changes it: each part finds the face anew and tracks it
through `warm_up` frames before its first result. These frames are tracked by the part before, too, so that both can be
compared where one part ends and the next begins (`Seam`).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from auparity.accelerated.parallel.workers import Worker
from auparity.errors import VideoError
from auparity.media import Image, ImageSequence, SeekPoint, VideoFile
from auparity.reference.analysis import Descriptors
from auparity.reference.video_pipeline import ClipSession, TrackedFrame

if TYPE_CHECKING:
    from auparity.accelerated.pipeline import Pipeline

#: Frames of a part that are tracked before its first result. A face found anew is within the platform floor after 10 to
#: 15.
WARM_UP = 30
#: In a shorter part finding the face would take longer than the part saves.
SHORTEST_PART = 4 * WARM_UP
#: A longer part would keep more in memory, and gain little: its warm-up is 3 % of it.
LONGEST_PART = 1000
#: Frames before a cut in which both parts are compared; before them the later one may still approach the face.
COMPARED = 10


@dataclass(frozen=True)
class ClipRecipe:
    """How a worker opens a clip and begins it, functions that can be sent to processes.

    Parameters
    ----------
    open_clip : opens the clip.
    begin : begins a session for a clip with such images.
    """

    open_clip: Callable[[], VideoFile | ImageSequence]
    begin: Callable[[Pipeline, Image], ClipSession]


@dataclass(frozen=True)
class Part:
    """Frames from `start` up to `stop` (not included; None: to the end) of a clip."""

    number: int
    start: int
    stop: int | None
    warm_up: int
    shared: int  #: frames at its end that the next part tracks as well
    point: SeekPoint | None = None  #: where decoding begins; None for the beginning of the file

    @property
    def first(self) -> int:
        """Number of the first frame that is tracked."""
        return self.start - self.warm_up


class Check(NamedTuple):
    """What two parts that track the same frame must agree in: the first two exactly."""

    timestamp: float  #: seconds
    pixels: int  #: checksum
    success: bool
    landmarks: npt.NDArray[Any]  #: (68, 2) px


class PartFrame(NamedTuple):
    """A frame of a part, without what needs the frames before."""

    tracked: TrackedFrame
    described: Descriptors
    check: Check | None  #: of frames that the next part tracks as well


@dataclass
class TrackedPart:
    """The work on a part."""

    frames: list[PartFrame] = field(default_factory=list)
    overlap: list[Check] = field(default_factory=list)  #: the frames of the warm-up
    image_size: tuple[int, int] = (0, 0)  #: height, width
    stopped: bool = False  #: the work was stopped before the end of the part
    error: VideoError | None = None  #: after the frames
    warnings: list[str] = field(default_factory=list)  #: of the reader


@dataclass(frozen=True)
class Seam:
    """How far apart two parts are in the last frames that both have tracked.

    Attributes
    ----------
    frame : number from 0 of the first frame of the later part.
    largest, mean : distance in px of a landmark, the largest and the mean over landmarks and frames; None if there is
        no frame in which both see a face.
    disagreements : frames in which one sees a face and the other none.
    """

    frame: int
    largest: float | None
    mean: float | None
    disagreements: int


def parts_of_clip(frames: int, processes: int, warm_up: int = WARM_UP) -> list[Part]:
    """Equal parts: one for each process, fewer for a short clip, several for a long one. The last goes to the end,
    because a file may hold another number of frames than it declares."""
    count = max(1, min(processes, frames // max(SHORTEST_PART, 1)))
    if frames > count * LONGEST_PART:
        count = processes * math.ceil(frames / LONGEST_PART / processes)
    bounds = [round(k * frames / count) for k in range(count + 1)]
    lengths = [stop - start for start, stop in pairwise(bounds)]
    warm_ups = [0, *(min(warm_up, length) for length in lengths[:-1]), 0]
    return [
        Part(k, bounds[k], bounds[k + 1] if k + 1 < count else None, warm_ups[k], warm_ups[k + 1]) for k in range(count)
    ]


def track_part(worker: Worker, work: tuple[ClipRecipe, Part]) -> TrackedPart:
    """The work on a part that needs its images. Once the work is stopped it returns what it has."""
    (recipe, part), done, session = work, TrackedPart(), None
    shared_from = math.inf if part.stop is None else part.stop - part.shared
    try:
        with recipe.open_clip() as source:
            try:
                for index, frame in enumerate(source.frames_from(part.first, part.point), part.first):
                    if index == part.stop:
                        break
                    if worker.stopped:
                        done.stopped = True
                        break
                    if session is None:
                        session, done.image_size = recipe.begin(worker.pipeline, frame.image), frame.image.shape[:2]
                    tracked = replace(session.track(frame.image, frame.timestamp), index=index)
                    if index < part.start:
                        done.overlap.append(_check(frame.image, tracked))
                        continue
                    check = _check(frame.image, tracked) if index >= shared_from else None
                    done.frames.append(PartFrame(tracked, session.describe(frame.image, tracked), check))
                    worker.frame_done()
            finally:
                done.warnings = list(source.warnings)
    except VideoError as error:
        done.error = error
    return done


def compare(frame: int, before: Sequence[Check], after: Sequence[Check]) -> Seam:
    """The seam before a frame, of what both parts have of the frames before it, in order."""
    pairs = list(zip(before, after, strict=True))[-COMPARED:]
    both = [(a.landmarks, b.landmarks) for a, b in pairs if a.success and b.success]
    disagreements = sum(a.success != b.success for a, b in pairs)
    if not both:
        return Seam(frame, None, None, disagreements)
    distances = np.stack([np.linalg.norm(np.float64(a) - np.float64(b), axis=1) for a, b in both])
    return Seam(frame, float(distances.max()), float(distances.mean()), disagreements)


def _check(image: Image, tracked: TrackedFrame) -> Check:
    return Check(
        tracked.timestamp, zlib.crc32(np.ascontiguousarray(image).data), tracked.success, tracked.state.landmarks
    )
