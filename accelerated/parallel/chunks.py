"""One long clip over several processes: each tracks a part, starting some frames early; AUs follow in order.

Descriptors belong to single frames, and the caller's process computes running medians, AUs and post-processing in
order, so that nothing but tracking knows of the parts. After the warm-up of a part its landmarks agree with those of an
uncut run to the platform floor (docs/parallel.md has the measurement).

Parts are handed out in order, and not far ahead of the first that is missing, so that memory does not grow with the
clip. A part whose worker dies is tracked once more. Workers begin to decode a video at a key frame. Whether they got
the frames that they should is seen from the warm-up, whose pixels and times the part before has, too; where they
differ, the part is tracked once more with everything before it decoded.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from auparity.accelerated.parallel.parts import (
    WARM_UP,
    Check,
    ClipRecipe,
    Part,
    PartFrame,
    Seam,
    TrackedPart,
    compare,
    parts_of_clip,
    track_part,
)
from auparity.accelerated.parallel.workers import POLL, Failed, Interrupted, Tasks, WorkerDied, Workers
from auparity.errors import AuparityWarning, ContractError, VideoError
from auparity.media import Frame, Image, ImageSequence, VideoFile, VideoIndex, open_clip, printable
from auparity.media.types import black
from auparity.reference.head_pose import Camera
from auparity.reference.results import FrameResult
from auparity.reference.video_pipeline import ClipSession

if TYPE_CHECKING:
    from auparity.accelerated.pipeline import Pipeline

#: Parts that may be finished while an earlier one is missing, besides those that are worked on.
AHEAD = 2
#: Rows between two looks at the workers while rows are taken.
LOOK_EVERY = 16


class ClipInParts:
    """A clip that workers track in parts; its frames come in order.

    Parameters
    ----------
    source : the clip, opened by the caller. It is read to its end beside the workers, and says what is wrong with it
        and when frames are shown; without `pixels` (`open_clip`) that takes little time. Folders of images are not.
    recipe : how workers open and begin it.
    workers : the processes.
    warm_up : number of frames by which a part starts early.
    most : frames after which no more are wanted; None for all.
    pixels : whether the frames have to have their images.
    meanwhile : called a few times a second.

    Attributes
    ----------
    expected : number of frames that are wanted, as the file states it.
    seams : of the parts so far, in order.
    interrupted : the workers were stopped before the end; all frames before the first missing one have come.
    notes : what readers of the results must know besides.
    """

    def __init__(
        self, source: VideoFile | ImageSequence, recipe: ClipRecipe, workers: Workers, *, warm_up: int = WARM_UP,
        most: int | None = None, pixels: bool = False, meanwhile: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._source, self._recipe, self._workers, self._meanwhile = source, recipe, workers, meanwhile
        self.warm_up = warm_up
        self._pixels = pixels or isinstance(source, VideoFile)
        index = _index(source)
        self.expected = index.frames if most is None else min(most, index.frames)
        parts = parts_of_clip(self.expected, workers.processes, warm_up)
        if most is not None and index.frames > most:
            parts[-1] = replace(parts[-1], stop=most)
        self.parts = [replace(part, point=index.before(part.first)) for part in parts]
        self.seams: list[Seam] = []
        self.interrupted = False
        self.notes: list[str] = []
        self._tasks = Tasks(workers, track_part)
        self._results: dict[int, TrackedPart | Failed] = {}
        self._again: list[int] = []  # parts to be tracked once more
        self._died: set[int] = set()
        self._begun = self._due = 0  # parts handed out, parts whose frames have come
        self._tail: deque[Check] = deque(maxlen=max(warm_up, 1))
        self.image_size = (0, 0)

    def frames(self) -> Iterator[tuple[Frame, PartFrame]]:
        """Every frame as the source gives it, and what its part makes of it.

        Raises
        ------
        VideoError : the clip cannot be read further, or a part lost its worker twice. Errors of a part otherwise.
        """
        if not self._pixels:
            for of_part in self._in_order():
                yield Frame(black(*self.image_size), of_part.tracked.timestamp), of_part
            return
        with closing(self._in_order()) as tracked:
            for frame in self._source:
                tracked_frame = next(tracked, None)
                if tracked_frame is None and self.interrupted:
                    return
                if tracked_frame is None or tracked_frame.tracked.timestamp != frame.timestamp:
                    raise self._disagree()
                yield frame, tracked_frame
            if next(tracked, None) is not None:
                raise self._disagree()

    def _in_order(self) -> Generator[PartFrame]:
        while self._due < len(self.parts) and not self.interrupted:
            self._hand_out()
            if self._workers.stopped and not self._tasks.busy and self._due not in self._results:
                self.interrupted = True
                return
            self._collect(POLL)
            while (result := self._results.pop(self._due, None)) is not None and not self.interrupted:
                yield from self._of_part(self.parts[self._due], result)

    def _of_part(self, part: Part, result: TrackedPart | Failed) -> Iterator[PartFrame]:
        """The frames of the part whose turn it is, if it is whole or the work was stopped."""
        if isinstance(result, Failed):
            if isinstance(result.error, Interrupted):
                self.interrupted = True
                return
            raise result.error
        if not self._continues(part, result):
            self._track_again(replace(part, point=None))
            return
        self.image_size = self.image_size if result.image_size == (0, 0) else result.image_size
        if part.number and result.frames:
            self.seams.append(compare(part.start, self._last(len(result.overlap)), result.overlap))
        told = {*self._source.warnings, *self._source.problems}
        if isinstance(self._source, ImageSequence):  # nobody else reads these
            self._source.warnings.extend(text for text in result.warnings if text not in told)
        for k, frame in enumerate(result.frames):
            if frame.check is not None:
                self._tail.append(frame.check)
            if k % LOOK_EVERY == LOOK_EVERY - 1:
                self._collect(0)
                self._hand_out()
            yield frame
        if result.error is not None:
            raise result.error
        self.interrupted = result.stopped
        self._due += not result.stopped

    def _continues(self, part: Part, result: TrackedPart) -> bool:
        """Whether the part has read the frames that follow those of the part before."""
        before = self._last(len(result.overlap))
        same = all(a[:2] == b[:2] for a, b in zip(before, result.overlap, strict=True))
        if part.point is None or result.stopped:
            return True
        return same and (result.error is None or len(result.overlap) == part.warm_up)

    def _last(self, count: int) -> list[Check]:
        """The last `count` frames that both parts have."""
        return list(self._tail)[len(self._tail) - count :]

    def _hand_out(self) -> None:
        while self._tasks.has_room:
            if self._again:
                number = self._again.pop(0)
            elif self._begun < min(len(self.parts), self._due + self._workers.processes + AHEAD):
                number, self._begun = self._begun, self._begun + 1
            else:
                return
            self._tasks.give(number, (self._recipe, self.parts[number]))

    def _collect(self, patience: float) -> None:
        for number, result in self._tasks.collect(patience):
            if isinstance(result, Failed) and isinstance(result.error, WorkerDied):
                result = self._after_death(number, result.error)
            if result is not None:
                self._results[number] = result
        self._meanwhile()

    def _after_death(self, number: int, error: WorkerDied) -> Failed | None:
        part = self.parts[number]
        if number not in self._died:
            self._died.add(number)
            self._again.append(number)
            return None
        last = "the end" if part.stop is None else part.stop
        frames = f"frames {part.first + 1} to {last}"
        return Failed(
            VideoError(
                f"{printable(self._source.path)}: two processes that worked on {frames} died ({error.how}). Use fewer "
                "processes, or measure it in one piece."
            )
        )

    def _track_again(self, part: Part) -> None:
        """Track a part once more, decoding everything before it, and so all that have not begun."""
        self.notes.append(f"frame {part.first + 1} could not be reached directly; all frames before it were decoded")
        self.parts[part.number] = part
        for number in range(self._begun, len(self.parts)):
            self.parts[number] = replace(self.parts[number], point=None)
        self._again.append(part.number)

    def _disagree(self) -> VideoError:
        return VideoError(
            f"{printable(self._source.path)}: the parts do not give the frames of the whole clip; its times or its "
            "pictures are damaged. Measure it in one piece (without --split)."
        )


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
    ContractError : the warm-up is negative. Interrupted : the workers were stopped.
    VideoError : the clip cannot be read.

    Warns about problems of a clip that could be read, as `Pipeline.process_video` does.
    """
    if warm_up < 0:
        raise ContractError("parallel", "warm_up", "0 or more frames", str(warm_up))
    session, results, before = pipeline.start_video(camera=camera), [], workers.frames
    recipe = ClipRecipe(partial(open_clip, path), partial(_begin, camera))
    with open_clip(path, pixels=False) as source:

        def tell() -> None:
            if progress:
                progress(workers.frames - before, clip.expected)

        clip = ClipInParts(source, recipe, workers, warm_up=warm_up, meanwhile=tell)
        for _, frame in clip.frames():
            results.append(session.measure(frame.tracked, frame.described))
        if clip.interrupted:
            raise Interrupted("stopped before the end of the clip")
        tell()
        for text in [*source.problems, *source.warnings, *clip.notes]:
            warnings.warn(f"{path}: {text}", AuparityWarning, stacklevel=2)
    return results, session


def _begin(camera: Camera | None, pipeline: Pipeline, image: Image) -> ClipSession:
    return pipeline.start_video(camera=camera)


def _index(source: VideoFile | ImageSequence) -> VideoIndex:
    return source.index() if isinstance(source, VideoFile) else VideoIndex(len(source.files))
