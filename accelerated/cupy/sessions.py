"""Many videos in one batch: sessions, which frames meet, and the batches of one frame size.

A frame waits until every open session of its size has one, or for `PATIENCE` at most, and the thread that sees this
takes the batch through the device while the others sleep; so a slow decoder holds nobody up, and one session alone
waits for nothing. State of a stream is a row of the batch's arrays, handed on when its session ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.batched.action_units import BatchedActionUnits
from auparity.accelerated.cupy.analysis import AnalysisBatch, StreamHistory
from auparity.accelerated.cupy.imaging import to_gray
from auparity.accelerated.cupy.landmarks import take
from auparity.accelerated.cupy.readback import pack, unpack
from auparity.accelerated.cupy.tracking import TrackerBatch
from auparity.errors import ContractError
from auparity.reference.action_units import OnlineCorrection
from auparity.reference.contracts import check_image
from auparity.reference.head_pose import Camera
from auparity.reference.landmarks import FaceState
from auparity.reference.pipeline import TrackedFrame
from auparity.reference.results import FrameResult, OfflineAUs

if TYPE_CHECKING:
    from auparity.accelerated.cupy.pipeline import DevicePipeline

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

PATIENCE = 0.004  #: seconds that a frame waits for those of other sessions


@dataclass(eq=False)
class _Waiting:
    """A frame on its way."""

    session: DeviceSession
    image: Array
    done: bool = False
    measured: Measured | None = None
    error: BaseException | None = None


@dataclass(frozen=True, eq=False)
class Measured:
    """What came down for one frame."""

    state: FaceState
    success: bool  #: what the tracker returned
    values: Array  #: (35,) as predicted
    plain: Array  #: (35,) without medians


class DeviceSession:
    """One clip on a device, see `reference.pipeline.VideoSession`. Frames must come in order and be of one size.

    `close` gives the stream's place back; leaving a session to the garbage collector does the same.
    """

    def __init__(
        self, streams: Streams, camera: Camera | None, online: bool, ended: Callable[[], None] = lambda: None
    ) -> None:
        self.streams, self._camera, self._ended = streams, camera, ended
        self._frames = 0
        self._medians: Array | None = None
        self.history = StreamHistory(correction=OnlineCorrection() if online else None)
        self.batch: Batch | None = None
        self.row = -1

    def process_frame(self, image: Array, timestamp: float) -> FrameResult:
        """Track and measure the next frame; arguments and errors as of `VideoSession.process_frame`.

        Raises
        ------
        DeviceError : the device failed; the frames before it are done.
        """
        self.prepare(image)
        assert self.batch is not None
        return self.result(self.batch.submit(self, image), timestamp)

    def prepare(self, image: Array) -> None:
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

    def result(self, measured: Measured, timestamp: float) -> FrameResult:
        """Pose and gaze of what came down, with everything else that a result holds; calls follow the frames."""
        assert self._camera is not None
        state = measured.state
        intensity, presence = self.history.take(state.detection_success, measured.values, measured.plain)
        self._frames += 1
        return self.streams.pipeline.describe(
            state, self._camera, measured.success, with_gaze=measured.success, index=self._frames - 1, face_id=0,
            timestamp=timestamp, au_intensity=intensity, au_presence=presence,
        )  # fmt: skip

    def track(self, image: Array, timestamp: float) -> TrackedFrame:
        """With `measure`, what `process_frame` does, for code that takes the steps of other sessions apart."""
        self.prepare(image)
        assert self.batch is not None
        assert self._camera is not None
        measured = self.batch.submit(self, image)
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

    def __init__(self, pipeline: DevicePipeline, expected: int) -> None:
        self.pipeline, self._expected = pipeline, max(expected, 1)
        self.models = BatchedActionUnits(pipeline.bundle.video_aus)  #: on the host, for the end of clips
        self._batches: dict[Shape, list[Batch]] = {}
        self._lock = threading.Lock()

    def place_for(self, shape: Shape) -> tuple[Batch, int]:
        """A batch of a frame size, and a free row in it."""
        with self._lock:
            batches = self._batches.setdefault(shape, [])
            for batch in batches:
                if (row := batch.enter()) is not None:
                    return batch, row
            rows = 2 * batches[-1].rows if batches else self._expected
            batches.append(Batch(self.pipeline, shape, rows))
            row = batches[-1].enter()
            assert row is not None
            return batches[-1], row

    def advance(
        self, sessions: Sequence[DeviceSession], images: Sequence[Array], timestamps: Sequence[float]
    ) -> list[FrameResult]:
        """See `DevicePipeline.advance`."""
        for session, image in zip(sessions, images, strict=True):
            session.prepare(image)
        if len(set(map(id, sessions))) != len(sessions):
            raise ContractError("pipeline", "sessions", "different ones", "one of them twice")
        measured: dict[int, Measured] = {}
        for batch in {id(session.batch): session.batch for session in sessions}.values():
            assert batch is not None
            own = [k for k, session in enumerate(sessions) if session.batch is batch]
            found = batch.run([sessions[k].row for k in own], [images[k] for k in own])
            measured |= dict(zip(own, found, strict=True))
        return [session.result(measured[k], timestamps[k]) for k, session in enumerate(sessions)]


class Batch:
    """Streams of one frame size, a row each."""

    def __init__(self, pipeline: DevicePipeline, shape: Shape, rows: int) -> None:
        self.shape, self.rows = shape, rows
        self._pipeline, self._device = pipeline, pipeline.device
        self._free = list(range(rows))[::-1]
        self._waiting: list[_Waiting] = []
        self._running = False
        self._changed = threading.Condition()
        with pipeline.lock, self._device.active():
            self._tracker = TrackerBatch(pipeline.detector, pipeline.find_faces, rows)
            self._analysis = AnalysisBatch(self._device, pipeline.bundle.video_aus, rows)

    def enter(self) -> int | None:
        """A free row, as of a clip that has not begun; None when there is none."""
        with self._changed:
            row = self._free.pop() if self._free else None
        if row is not None:
            with self._pipeline.lock, self._device.active():
                self._tracker.reset(row)
                self._analysis.reset(row)
        return row

    def leave(self, row: int) -> None:
        """Give a row back; frames that waited for its session need not any more."""
        with self._changed:
            self._free.append(row)
            self._changed.notify_all()

    def submit(self, session: DeviceSession, image: Array) -> Measured:
        """A frame of a session, with those of other sessions that come meanwhile."""
        own = _Waiting(session, image)
        deadline = time.monotonic() + PATIENCE
        with self._changed:
            self._waiting.append(own)
            self._changed.notify_all()
            while not own.done:
                left = deadline - time.monotonic()
                if not self._running and (len(self._waiting) >= self.rows - len(self._free) or left <= 0):
                    together, self._waiting, self._running = self._waiting, [], True
                    break
                self._changed.wait(None if self._running else left)
            else:
                together = []
        if together:
            self._lead(together)
        if own.error is not None:
            raise own.error
        assert own.measured is not None
        return own.measured

    def _lead(self, together: list[_Waiting]) -> None:
        error: BaseException | None = None
        measured: list[Measured] = []
        try:
            measured = self.run([each.session.row for each in together], [each.image for each in together])
        except BaseException as caught:  # an interrupt too: whoever waits must learn of it
            error = caught
        with self._changed:
            for k, each in enumerate(together):
                each.measured = None if error else measured[k]
                each.error, each.done = error, True
            self._running = False
            self._changed.notify_all()

    def run(self, rows: Sequence[int], images: Sequence[Array]) -> list[Measured]:
        """A frame of each of some rows through the device."""
        device = self._device
        with self._pipeline.lock, device.active():
            stack = device.upload(np.stack(images))
            gray = to_gray(device, stack)
            returned = self._tracker.track(stack, gray, rows)
            places = device.upload(np.asarray(rows, np.int32))
            faces = take(self._tracker.faces, places)
            values, plain = self._analysis(stack, faces.landmarks, faces.detection_success, places)
            eyes = self._pipeline.eyes
            states = unpack(device.download(pack(device, faces, eyes)), faces, eyes)
            numbers = device.download(device.xp.concatenate([values, plain], axis=1))
        split = numbers.shape[1] // 2
        return [
            Measured(state, bool(success), line[:split].copy(), line[split:].copy())
            for state, success, line in zip(states, returned, numbers, strict=True)
        ]

    def final_medians(self, row: int) -> Array:
        """Of the stream in a row."""
        with self._pipeline.lock, self._device.active():
            return self._analysis.final_medians(row)
