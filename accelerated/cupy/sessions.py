"""Sessions: a clip each, used like any other pipeline's; their frames meet in batches (batches.py)."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.analysis import StreamHistory
from auparity.accelerated.cupy.batches import Batch, Shape, W
from auparity.accelerated.cupy.many_faces import CalibratedStretch, ManyFaces, MeasuredFaces
from auparity.accelerated.cupy.models import DeviceModels
from auparity.accelerated.cupy.one_face import Measured, OneFace
from auparity.errors import ContractError
from auparity.reference.action_units import OnlineCorrection
from auparity.reference.clip_frames import ClipFrames
from auparity.reference.clip_options import ClipOptions, FacesOptions
from auparity.reference.face_aus import AsMeasured
from auparity.reference.head_pose import Camera
from auparity.reference.many_sessions import FacesRecord
from auparity.reference.results import FrameResult, OfflineAUs
from auparity.reference.stretches import FaceStretch
from auparity.reference.video_pipeline import TrackedFaces, TrackedFrame

Array = npt.NDArray[Any]
R = TypeVar("R")


class BatchSession(ABC, Generic[W, R]):
    """A clip with a row of a batch. Frames must come in order and be of one size.

    `close` gives the row back; leaving a session to the garbage collector does the same.

    Parameters
    ----------
    streams : where the batches are. clip : what the clip is begun with.
    ended : called once, when the session ends.
    """

    def __init__(self, streams: Streams[W], clip: ClipOptions | FacesOptions, ended: Callable[[], None]) -> None:
        self.streams, self._options, self._ended = streams, clip, ended
        self._clip = ClipFrames(clip.camera)
        self._camera: Camera | None = None
        self.batch: Batch[W] | None = None
        self.row = -1
        self._closed = False

    def process_frame(self, image: Array, timestamp: float) -> R:
        """Track and measure the next frame; arguments and errors as of other pipelines' sessions.

        Raises
        ------
        DeviceError : the device failed; the frames before it are done.
        """
        return self.result(self._submit(image, timestamp), timestamp)

    def prepare(self, image: Array, timestamp: float) -> None:
        """Check a frame; the first one says which batch the session belongs to."""
        if self._closed:
            raise ContractError("pipeline", "session", "one that is open", "one that was closed")
        _, self._camera = self._clip.accept(image, timestamp)
        if self.batch is None:
            self.batch, self.row = self.streams.place_for(image.shape, self._options)

    def _submit(self, image: Array, timestamp: float) -> Any:
        self.prepare(image, timestamp)
        assert self.batch is not None
        return self.batch.submit(self.row, image)

    @abstractmethod
    def result(self, measured: Any, timestamp: float) -> R:
        """What is made on the host of what came down for a frame; calls follow the frames."""

    def close(self) -> None:
        """Give the place on the device back. `finish` still works, further frames do not."""
        self._leave()

    def _leave(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self.batch is not None:
            batch, self.batch = self.batch, None
            batch.leave(self.row)
        self._ended()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self._leave()


class DeviceSession(BatchSession[OneFace, FrameResult]):
    """One clip of one face on a device, see `reference.pipeline.VideoSession`."""

    def __init__(self, streams: Streams[OneFace], clip: ClipOptions, ended: Callable[[], None] = lambda: None) -> None:
        super().__init__(streams, clip, ended)
        self._frames = 0
        self._medians: Array | None = None
        self.history = StreamHistory(correction=OnlineCorrection() if clip.online else None)

    def result(self, measured: Measured, timestamp: float) -> FrameResult:
        """Pose and gaze of what came down, with everything else that a result holds."""
        assert self._camera is not None
        state = measured.state
        intensity, presence = self.history.take(state.detection_success, measured.values, measured.plain)
        self._frames += 1
        return self.streams.models.results.of_frame(
            state, self._camera, measured.success, index=self._frames - 1, timestamp=timestamp, au_intensity=intensity,
            au_presence=presence,
        )  # fmt: skip

    def track(self, image: Array, timestamp: float) -> TrackedFrame:
        """With `measure`, what `process_frame` does, for code that takes the steps of other sessions apart."""
        measured: Measured = self._submit(image, timestamp)
        assert self._camera is not None
        return _Tracked(self._frames, timestamp, measured.state, measured.success, self._camera, measured)

    def describe(self, image: Array, tracked: TrackedFrame) -> None:
        """Nothing: descriptors stay on the device."""

    def measure(self, tracked: TrackedFrame, described: None) -> FrameResult:
        """The result of a frame that `track` took."""
        assert isinstance(tracked, _Tracked)
        return self.result(tracked.measured, tracked.timestamp)

    def finish(self) -> OfflineAUs:
        """AUs of all frames so far after re-prediction, calibration and smoothing (spec 60.7); may be called again."""
        models = self.streams.models.video_aus
        self._look_at_medians()
        medians = np.zeros(models.weights.shape[1]) if self._medians is None else self._medians
        return self.history.finish(models, medians)

    def close(self) -> None:
        """Give the place on the device back. `finish` still works, further frames do not."""
        self._look_at_medians()
        super().close()

    def _look_at_medians(self) -> None:
        if self.batch is not None:
            self._medians = self.batch.work.final_medians(self.row)


@dataclass(frozen=True, eq=False)
class _Tracked(TrackedFrame):
    measured: Measured


class DeviceFacesSession(BatchSession[ManyFaces, list[FrameResult]]):
    """One clip of several faces on a device, see `reference.many_sessions.ManyFacesSession`."""

    def __init__(
        self, streams: Streams[ManyFaces], clip: FacesOptions, ended: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(streams, clip, ended)
        models = streams.models
        landmarker = models.host.staged.landmarker
        begin = AsMeasured if clip.aus == "static" else partial(CalibratedStretch, models, clip.online)
        self._record = FacesRecord(begin, landmarker.initial, models.results, landmarker.shape)

    def result(self, measured: MeasuredFaces, timestamp: float) -> list[FrameResult]:
        """The results of the faces of a frame, by slot."""
        return self._record.measure(self._tracked(measured, timestamp), measured.described)

    def track(self, image: Array, timestamp: float) -> TrackedFaces:
        """With `describe` and `measure`, what `process_frame` does, for code that takes the steps apart."""
        return self._tracked(self._submit(image, timestamp), timestamp)

    def _tracked(self, measured: MeasuredFaces, timestamp: float) -> _TrackedFaces:
        assert self._camera is not None
        return _TrackedFaces(measured.index, timestamp, measured.faces, self._camera, measured.described)

    def describe(self, image: Array, tracked: TrackedFaces) -> list[Any]:
        """What came down with the faces; descriptors stay on the device."""
        assert isinstance(tracked, _TrackedFaces)
        return tracked.described

    def measure(self, tracked: TrackedFaces, described: list[Any]) -> list[FrameResult]:
        """The results of a frame that `track` took."""
        return self._record.measure(tracked, described)

    def without_face(self, *, index: int, timestamp: float, camera: Camera) -> FrameResult:
        """The result that a clip of one face gives for a frame while no face was found yet; changes nothing."""
        return self._record.without_face(index=index, timestamp=timestamp, camera=camera)

    def finish(self) -> list[FaceStretch]:
        """All stretches so far in the order in which they began, with their persons; may be called again."""
        return self._record.finish()

    def close(self) -> None:
        """Give the place on the device back. `finish` still works, further frames do not."""
        self._record.end_stretches()
        super().close()


@dataclass(frozen=True, eq=False)
class _TrackedFaces(TrackedFaces):
    described: list[Any]


class Streams(Generic[W]):
    """The batches of a pipeline for clips of one kind: for each frame size one, and more when all its rows are taken.

    Parameters
    ----------
    expected : clips that are open together.
    work : makes what is done with the frames of a batch, for so many clips.
    """

    def __init__(self, models: DeviceModels, expected: int, work: Callable[[DeviceModels, int], W]) -> None:
        self.models, self._expected, self._work = models, max(expected, 1), work
        self.closed = False
        self._batches: dict[Shape, list[Batch[W]]] = {}
        self._lock = threading.Lock()

    def place_for(self, shape: Shape, clip: Any) -> tuple[Batch[W], int]:
        """A batch of a frame size, and a free row in it, in which the clip begins."""
        with self._lock:
            if self.closed:
                raise ContractError(
                    "pipeline", "session", "one of an open pipeline", "one of a pipeline that was closed"
                )
            batches = self._batches.setdefault(shape, [])
            for batch in batches:
                if (row := batch.enter(clip)) is not None:
                    return batch, row
            rows = 2 * batches[-1].rows if batches else self._expected
            batches.append(Batch(self.models, shape, rows, self._work))
            row = batches[-1].enter(clip)
            assert row is not None
            return batches[-1], row

    def close(self) -> None:
        """Let go of the memory of all batches; clips that are open keep theirs until they end."""
        with self._lock:
            self.closed = True
            self._batches.clear()
