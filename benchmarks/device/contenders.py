"""The contenders that take turns in the GPU benchmark: streams and images, on the host and on the GPU."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.pipeline import DevicePipeline
from auparity.reference.clip_options import ClipOptions, FacesOptions
from auparity.reference.results import FrameResult
from auparity.reference.video_pipeline import VideoPipeline

Image = npt.NDArray[np.uint8]

#: Frames between the starts of streams of one clip.
APART = 7


@dataclass(frozen=True, eq=False)
class Film:
    """Some clips of one size as any number of streams, each from another frame on, and forwards and backwards in turns,
    so that faces do not jump. Stream 0 begins with the first frame of the first clip. Streams share the memory of
    frames."""

    clips: Sequence[Sequence[Image]]
    faces: int = 0  #: followed in each frame by a slot each; 0 for the program for one face

    def start(self, pipeline: VideoPipeline) -> Any:
        """A session for a stream."""
        return pipeline.start_faces(FacesOptions(self.faces)) if self.faces else pipeline.start_clip(ClipOptions())

    def image(self, stream: int, k: int) -> Image:
        """The k-th frame of a stream."""
        clip = self.clips[stream % len(self.clips)]
        last = len(clip) - 1
        at = (k + APART * (stream // len(self.clips))) % max(2 * last, 1)
        return clip[at if at <= last else 2 * last - at]


class Contender(ABC):
    """One contender.

    Attributes
    ----------
    frames : number in a step. steps : number in a round. whole_rounds : its turn is a whole round, and only then is it
        open.
    by_mean : ratios to it are taken of means, because its steps differ in kind or cannot be timed separately.
    """

    frames = 1
    whole_rounds = False
    by_mean = False

    def __init__(self, name: str, variants: dict[str, str], steps: int) -> None:
        self.name, self.variants, self.steps = name, variants, steps

    def begin(self) -> None:  # noqa: B027 - most have nothing to prepare
        """Before a round."""

    @abstractmethod
    def step(self, k: int) -> list[FrameResult]:
        """Do the k-th step; the results of the first stream (none for images: `Pictures.faces` has them)."""

    def run(self, start: int, stop: int) -> tuple[list[float], list[FrameResult]]:
        """Do some steps; ms of each, and their results."""
        taken, results = [], []
        for k in range(start, stop):
            begin = time.perf_counter()
            result = self.step(k)
            taken.append(1000 * (time.perf_counter() - begin))
            results += result
        return taken, results

    def end(self) -> None:  # noqa: B027
        """After a round."""

    @property
    def about(self) -> str:
        """A remark about its steps."""
        return ""


class OneStream(Contender):
    """A pipeline of the host on the first stream of a film."""

    def __init__(self, name: str, pipeline: VideoPipeline, variants: dict[str, str], film: Film, steps: int) -> None:
        super().__init__(name, variants, steps)
        self._pipeline, self._film = pipeline, film
        self._session: Any = None

    def begin(self) -> None:
        self._session = self._film.start(self._pipeline)

    def step(self, k: int) -> list[FrameResult]:
        return _faces_of(self._session.process_frame(self._film.image(0, k), k / 30))

    def end(self) -> None:
        self._session = None


class StepByStep(Contender):
    """Latency of the GPU pipeline on some streams: each step has its results before the next begins. A single stream
    runs like a session of a user, and takes turns like the pipelines of the host."""

    def __init__(self, pipeline: DevicePipeline, film: Film, streams: int, steps: int) -> None:
        name = f"gpu, {streams} streams, step by step" if streams > 1 else "gpu, 1 stream"
        super().__init__(name, pipeline.variants, steps)
        # With several sets of open streams a step would no longer be one batch.
        self.frames, self.whole_rounds = streams, streams > 1
        self._pipeline, self._film = pipeline, film
        self._sessions: list[Any] = []

    def begin(self) -> None:
        self._sessions = [self._film.start(self._pipeline) for _ in range(self.frames)]

    def step(self, k: int) -> list[FrameResult]:
        if self.frames == 1:
            return _faces_of(self._sessions[0].process_frame(self._film.image(0, k), k / 30))
        return _faces_of(self._pipeline.advance(self._sessions, *self._round(k))[0])

    def end(self) -> None:
        for session in reversed(self._sessions):  # the next round's streams get the same rows of the batch
            session.close()
        self._sessions = []

    def _round(self, k: int) -> tuple[list[Image], list[float]]:
        return [self._film.image(s, k) for s in range(self.frames)], [k / 30] * self.frames


class Overlapped(StepByStep):
    """Throughput of the GPU pipeline: meanwhile the next frames are copied to it and the last results are made."""

    by_mean = True

    def __init__(self, pipeline: DevicePipeline, film: Film, streams: int, steps: int) -> None:
        super().__init__(pipeline, film, streams, steps)
        self.name = f"gpu, {streams} streams"

    def run(self, start: int, stop: int) -> tuple[list[float], list[FrameResult]]:
        taken, results = super().run(start, start + 1)  # the first step of a round is timed by itself
        rounds = (self._round(k) for k in range(start + 1, stop))
        before = time.perf_counter()
        for result in self._pipeline.stream(self._sessions, rounds):
            now = time.perf_counter()
            taken.append(1000 * (now - before))
            before = now
            results += _faces_of(result[0])
        return taken, results

    @property
    def about(self) -> str:
        return "steps overlap, so the latency of a result is longer than the time between results"


def _faces_of(result: FrameResult | list[FrameResult]) -> list[FrameResult]:
    return result if isinstance(result, list) else [result]


class Pictures(Contender):
    """Images, `frames` of them in a step; on the GPU a step is one batch."""

    by_mean = True

    def __init__(
        self, name: str, pipeline: VideoPipeline, variants: dict[str, str], images: Sequence[Image], frames: int,
        steps: int,
    ) -> None:  # fmt: skip
        super().__init__(name, variants, steps)
        self.frames = frames
        self._pipeline, self._images = pipeline, images
        #: Faces of every picture, in the last round.
        self.faces: list[list[FrameResult]] = []

    def begin(self) -> None:
        self.faces = []

    def step(self, k: int) -> list[FrameResult]:
        some = [self._images[i % len(self._images)] for i in range(k * self.frames, (k + 1) * self.frames)]
        self.faces += self._pipeline.process_images(some)
        return []
