"""One long clip over several processes: each tracks a part, starting some frames early; AUs follow in order.

Only tracking depends on earlier frames in such a way that a cut changes it: each part finds the face anew and tracks it
through `warm_up` frames that are discarded. After them its landmarks agree with those of an uncut run to the platform
floor (docs/parallel.md has the measurement). The following steps do not depend on the parts: descriptors belong to
single frames, and the caller's process computes running medians, AUs and post-processing in order.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from auparity.accelerated.parallel.workers import Worker, Workers
from auparity.errors import AuparityWarning, ContractError
from auparity.media import open_clip
from auparity.reference.analysis import Descriptors
from auparity.reference.head_pose import Camera
from auparity.reference.results import FrameResult
from auparity.reference.video_pipeline import ClipSession, TrackedFrame

if TYPE_CHECKING:
    from auparity.accelerated.pipeline import Pipeline

#: Frames of a part that are tracked before its first result. A face found anew is within the platform floor after 10 to
#: 15.
WARM_UP = 30
#: In a shorter part finding the face would take longer than the part saves.
SHORTEST_PART = 4 * WARM_UP

Tracked = tuple[TrackedFrame, Descriptors]


@dataclass(frozen=True)
class Part:
    """Frames from `start` up to `stop` (not included; None: to the end) of a clip."""

    path: Path
    start: int
    stop: int | None
    warm_up: int
    camera: Camera | None


def parts_of_clip(path: Path, frames: int, processes: int, warm_up: int, camera: Camera | None) -> list[Part]:
    """Equal parts, one for each process, fewer for a short clip."""
    count = max(1, min(processes, frames // max(SHORTEST_PART, 1)))
    bounds = [round(k * frames / count) for k in range(count + 1)]
    ends = [*bounds[1:-1], None]  # a file may hold another number of frames than it declares
    return [Part(path, start, stop, min(warm_up, start), camera) for start, stop in zip(bounds[:-1], ends, strict=True)]


def track_part(worker: Worker, part: Part) -> tuple[list[Tracked], list[str]]:
    """The work on a part that needs its images, and the notes of its reader about the clip up to its end."""
    session, tracked_frames = worker.pipeline.start_video(camera=part.camera), []
    first = part.start - part.warm_up
    with open_clip(part.path) as source:
        for index, frame in enumerate(source.frames_from(first), first):
            if index == part.stop:
                break
            worker.check()
            tracked = session.track(frame.image, frame.timestamp)
            if index >= part.start:
                tracked_frames.append((replace(tracked, index=index), session.describe(frame.image, tracked)))
                worker.frame_done()
        return tracked_frames, [*source.problems, *source.warnings]


def process_in_parts(
    pipeline: Pipeline,
    path: Path,
    workers: Workers,
    *,
    camera: Camera | None = None,
    warm_up: int = WARM_UP,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[FrameResult], ClipSession]:
    """Process one clip with several processes.

    Parameters
    ----------
    pipeline : with the bundle and spec of `workers`; computes medians and AUs.
    path : a video file or a folder of images, of known length.
    workers : the processes.
    camera : None for OpenFace's guess.
    warm_up : number of frames by which a part starts early.
    progress : called with (frames done, number of frames) a few times a second.

    Returns
    -------
    Results of all frames in order, and the session, whose `finish()` gives the AUs after post-processing.

    Raises
    ------
    ContractError : the warm-up is negative, or the length of the clip is unknown.
    VideoError : the clip cannot be read.

    Warns about problems of a clip that could be read, as `Pipeline.process_video` does.
    """
    if warm_up < 0:
        raise ContractError("parallel", "warm_up", "0 or more frames", str(warm_up))
    frames = _length(path)
    parts = parts_of_clip(path, frames, workers.processes, warm_up, camera)
    session, results = pipeline.start_video(camera=camera), []
    before = workers.frames

    def tell() -> None:
        if progress:
            progress(workers.frames - before, frames)

    notes: list[str] = []
    for tracked_frames, part_notes in workers.map(track_part, parts, meanwhile=tell):
        results += [session.measure(tracked, described) for tracked, described in tracked_frames]
        notes = part_notes  # the reader of the last part has decoded everything before it
    tell()
    for text in notes:
        warnings.warn(f"{path}: {text}", AuparityWarning, stacklevel=2)
    return results, session


def _length(path: Path) -> int:
    with open_clip(path) as source:
        if source.n_frames is None:
            raise ContractError("parallel", "path", "a clip of known length", f"{path}, whose length is unknown")
        return int(source.n_frames)
