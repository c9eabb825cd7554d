"""Sessions: a clip each, used like any other pipeline's; their frames meet in batches (batches.py)."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.batched.action_units import BatchedActionUnits
from auparity.accelerated.cupy.analysis import StreamHistory
from auparity.accelerated.cupy.batches import Batch, Measured, Shape
from auparity.accelerated.cupy.models import DeviceModels
from auparity.accelerated.cupy.upload import Uploaded
from auparity.errors import ContractError
from auparity.reference.action_units import OnlineCorrection
from auparity.reference.clip_options import ClipOptions
from auparity.reference.contracts import check_image, check_timestamp
from auparity.reference.head_pose import Camera
from auparity.reference.results import FrameResult, OfflineAUs
from auparity.reference.video_pipeline import TrackedFrame

Array = npt.NDArray[Any]


class DeviceSession:
    """One clip on a device, see `reference.pipeline.VideoSession`. Frames must come in order and be of one size.

    `close` gives the stream's place back; leaving a session to the garbage collector does the same.
    """

    def __init__(self, streams: Streams, clip: ClipOptions, ended: Callable[[], None] = lambda: None) -> None:
        self.streams, self._camera, self._ended = streams, clip.camera, ended
        self._frames = 0
        self._seconds: float | None = None  # time stamp of the frame before
        self._medians: Array | None = None
        self.history = StreamHistory(correction=OnlineCorrection() if clip.online else None)
        self.batch: Batch | None = None
        self.row = -1

    def process_frame(self, image: Array, timestamp: float) -> FrameResult:
        """Track and measure the next frame; arguments and errors as of `VideoSession.process_frame`.

        Raises
        ------
        DeviceError : the device failed; the frames before it are done.
        """
        self.prepare(image, timestamp)
        assert self.batch is not None
        return self.result(self.batch.submit(self.row, image), timestamp)

    def prepare(self, image: Array, timestamp: float) -> None:
        """Check a frame; the first one says which batch the session belongs to."""
        check_image("pipeline", image)
        if self.batch is None:
            if self._medians is not None:
                raise ContractError("pipeline", "session", "one that is open", "one that was closed")
            self.batch, self.row = self.streams.place_for(image.shape)
            self._camera = self._camera or Camera.for_image(image.shape[1], image.shape[0])
        if image.shape != self.batch.shape:
            raise ContractError(
                "pipeline", "image", f"the size of the first frame, {self.batch.shape}", f"{image.shape}"
            )
        self._seconds = check_timestamp("pipeline", timestamp, self._seconds)

    def result(self, measured: Measured, timestamp: float) -> FrameResult:
        """Pose and gaze of what came down, with everything else that a result holds; calls follow the frames."""
        assert self._camera is not None
        state = measured.state
        intensity, presence = self.history.take(state.detection_success, measured.values, measured.plain)
        self._frames += 1
        return self.streams.device_models.results.of_frame(
            state, self._camera, measured.success, index=self._frames - 1, timestamp=timestamp, au_intensity=intensity,
            au_presence=presence,
        )  # fmt: skip

    def track(self, image: Array, timestamp: float) -> TrackedFrame:
        """With `measure`, what `process_frame` does, for code that takes the steps of other sessions apart."""
        self.prepare(image, timestamp)
        assert self.batch is not None
        assert self._camera is not None
        measured = self.batch.submit(self.row, image)
        return _Tracked(self._frames, timestamp, measured.state, measured.success, self._camera, measured)

    def describe(self, image: Array, tracked: TrackedFrame) -> None:
        """Nothing: descriptors stay on the device."""

    def measure(self, tracked: TrackedFrame, described: None) -> FrameResult:
        """The result of a frame that `track` took."""
        assert isinstance(tracked, _Tracked)
        return self.result(tracked.measured, tracked.timestamp)

    def finish(self) -> OfflineAUs:
        """AUs of all frames so far after re-prediction, calibration and smoothing (spec 60.7); may be called again."""
        models = self.streams.models
        if self.batch is not None:
            self._medians = self.batch.final_medians(self.row)
        medians = np.zeros(models.weights.shape[1]) if self._medians is None else self._medians
        return self.history.finish(models, medians)

    def close(self) -> None:
        """Give the place on the device back. `finish` still works, further frames do not."""
        if self.batch is not None:
            batch, self.batch = self.batch, None
            self._medians = batch.final_medians(self.row)
            batch.leave(self.row)
            self._ended()

    def __del__(self) -> None:
        batch = getattr(self, "batch", None)
        if batch is not None:
            batch.leave(self.row)
            self._ended()


@dataclass(frozen=True, eq=False)
class _Tracked(TrackedFrame):
    measured: Measured


class Streams:
    """The batches of a pipeline: for each frame size one, and more when all their rows are taken."""

    def __init__(self, models: DeviceModels, expected: int) -> None:
        self.device_models, self._expected = models, max(expected, 1)
        self.closed = False
        self.models = BatchedActionUnits(models.bundle.video_aus)  #: on the host, for the end of clips
        self._batches: dict[Shape, list[Batch]] = {}
        self._lock = threading.Lock()

    def place_for(self, shape: Shape) -> tuple[Batch, int]:
        """A batch of a frame size, and a free row in it."""
        with self._lock:
            if self.closed:
                raise ContractError(
                    "pipeline", "session", "one of an open pipeline", "one of a pipeline that was closed"
                )
            batches = self._batches.setdefault(shape, [])
            for batch in batches:
                if (row := batch.enter()) is not None:
                    return batch, row
            rows = 2 * batches[-1].rows if batches else self._expected
            batches.append(Batch(self.device_models, shape, rows))
            row = batches[-1].enter()
            assert row is not None
            return batches[-1], row

    def close(self) -> None:
        """Let go of the memory of all batches; clips that are open keep theirs until they end."""
        with self._lock:
            self.closed = True
            self._batches.clear()

    def advance(
        self, sessions: Sequence[DeviceSession], images: Sequence[Array], timestamps: Sequence[float]
    ) -> list[FrameResult]:
        """See `DevicePipeline.advance`."""
        for session, image, timestamp in zip(sessions, images, timestamps, strict=True):
            session.prepare(image, timestamp)
        if len(set(map(id, sessions))) != len(sessions):
            raise ContractError("pipeline", "sessions", "different ones", "one of them twice")
        measured: dict[int, Measured] = {}
        for batch in {id(session.batch): session.batch for session in sessions}.values():
            assert batch is not None
            own = [k for k, session in enumerate(sessions) if session.batch is batch]
            found = batch.run([sessions[k].row for k in own], batch.send([images[k] for k in own]))
            measured |= dict(zip(own, found, strict=True))
        return [session.result(measured[k], timestamps[k]) for k, session in enumerate(sessions)]

    def stream(
        self, sessions: Sequence[DeviceSession], rounds: Iterable[tuple[Sequence[Array], Sequence[float]]]
    ) -> Iterator[list[FrameResult]]:
        """See `DevicePipeline.stream`."""
        with ThreadPoolExecutor(1) as feeder, ThreadPoolExecutor(1) as describer:
            sent: deque[tuple[Future[Uploaded], Sequence[float]]] = deque()
            results: deque[Future[list[FrameResult]]] = deque()
            batch: Batch | None = None
            for images, timestamps in rounds:
                for session, image, timestamp in zip(sessions, images, timestamps, strict=True):
                    session.prepare(image, timestamp)
                batch = self._one_batch(sessions)
                sent.append((feeder.submit(batch.send, images), timestamps))
                if len(sent) > 1:
                    results.append(self._run_next(batch, sessions, sent, describer))
                if len(results) > 1:
                    yield results.popleft().result()
            while batch is not None and sent:
                results.append(self._run_next(batch, sessions, sent, describer))
            while results:
                yield results.popleft().result()

    @staticmethod
    def _run_next(
        batch: Batch, sessions: Sequence[DeviceSession], sent: deque[tuple[Future[Uploaded], Sequence[float]]],
        describer: ThreadPoolExecutor,
    ) -> Future[list[FrameResult]]:  # fmt: skip
        uploaded, timestamps = sent.popleft()
        measured = batch.run([session.row for session in sessions], uploaded.result())
        return describer.submit(
            lambda: [s.result(m, t) for s, m, t in zip(sessions, measured, timestamps, strict=True)]
        )  # fmt: skip

    @staticmethod
    def _one_batch(sessions: Sequence[DeviceSession]) -> Batch:
        batches = {id(session.batch): session.batch for session in sessions}
        (batch, *more) = batches.values()
        if more or batch is None or len(set(map(id, sessions))) != len(sessions):
            expected = "different ones that fit into one batch (streams=... of the pipeline), with frames of one size"
            raise ContractError("pipeline", "sessions", expected, f"{len(sessions)} in {len(batches)} batches")
        return batch
