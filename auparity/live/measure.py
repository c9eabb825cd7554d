"""Measuring the newest frame, again and again, and recording it on demand.

A `Measurer` runs in a thread of its own. It takes the newest frame out of the slot, measures it in a session for live
cameras, and hands an `Update` to whoever shows it. While a recording runs, the frames go through `extract_clip`
instead, which starts a session of its own: a recording is exactly the table that `auparity extract --camera` would
have written of the frames that were measured, with the same sidecar and the same post-processing at its end.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from glob import escape
from itertools import chain
from pathlib import Path
from typing import Any

from auparity.accelerated.parallel.streams import WAITING_LIVE, results_of
from auparity.errors import AuparityError, ContractError
from auparity.extraction.clip_run import camera_for, start_session
from auparity.extraction.clips import extract_clip
from auparity.extraction.types import ExtractionSettings
from auparity.live.source import Counts, LiveFrame, NewestFrame, RecordedFrames
from auparity.media import Image, printable
from auparity.reference.results import FrameResult
from auparity.reference.video_pipeline import VideoPipeline

#: Seconds of which the frame rate is the mean.
RATE_WINDOW = 2.0


@dataclass(frozen=True)
class Recording:
    """The state of the recording."""

    running: bool = False
    frames: int = 0
    message: str = ""  #: what became of the last one
    failed: bool = False  #: whether that one could not be written or is not whole


@dataclass(frozen=True, eq=False)
class Update:
    """A measured frame and the state of the measurement."""

    image: Image  #: (H, W, 3) uint8 BGR
    faces: list[FrameResult]  #: of the one face, found or not; where several are followed, of each that is there
    timestamp: float  #: seconds since the first frame of the source
    latency: float  #: seconds from the arrival of the frame to its result
    rate: float  #: frames measured a second, of the last two seconds; 0 before there are two
    measured: int
    counts: Counts
    recording: Recording


@dataclass(frozen=True)
class Origin:
    """Where the frames come from, as it is written beside a recording."""

    name: str  #: the start of the names of its tables
    path: str
    kind: str  #: "video", "images" or "camera"


class Measurer:
    """Measures the frames of a slot until it has ended.

    Parameters
    ----------
    settings : of the recordings; their camera intrinsics and which faces they follow also hold for what is only shown.
    publish : called with every measured frame, in the thread that runs `run`.

    Raises
    ------
    ContractError : the settings ask for one person of several, who is known at the end of a clip alone.
    """

    def __init__(
        self,
        pipeline: VideoPipeline,
        slot: NewestFrame,
        origin: Origin,
        settings: ExtractionSettings,
        publish: Callable[[Update], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if settings.person is not None:
            raise ContractError("live", "settings.face", "a FaceChoice or None", str(settings.face))
        self.recording = Recording()
        self.any_failed = False  #: whether any recording could not be written or is not whole
        self._pipeline, self._slot, self._origin = pipeline, slot, origin
        self._settings, self._publish, self._clock = settings, publish, clock
        self._wanted = threading.Event()  # whether a recording should run
        self._measured = 0
        self._times: deque[float] = deque()

    def record(self) -> None:
        """Begin a recording with the next frame; does nothing while one runs. May be called from any thread."""
        self._wanted.set()
        self._slot.wake()

    def stop_recording(self) -> None:
        """Finish the recording and write its table. May be called from any thread."""
        self._wanted.clear()
        self._slot.wake()

    def run(self) -> None:
        """Measure until the slot has ended; raises what the pipeline raises."""
        while not self._slot.finished:
            if self._wanted.is_set():
                self._record()
            else:
                self._watch()

    def _watch(self) -> None:
        """Measure and show, until a recording is wanted or the source ends."""
        frames = iter(lambda: self._slot.take(self._wanted.is_set), None)
        first = next(frames, None)
        if first is None:
            return
        camera = camera_for(self._settings.intrinsics, first.image)
        session: Any = start_session(self._pipeline, self._settings, camera, online=True)
        results = results_of(session, chain([first], frames), waiting=WAITING_LIVE)
        with closing(session), closing(results):
            for frame, measured in results:
                self._show(frame, measured if isinstance(measured, list) else [measured])

    def _record(self) -> None:
        """Measure, show and write a table, until the recording is stopped or the source ends."""
        origin = self._origin
        name = self._free_name()
        frames = RecordedFrames(
            self._slot, lambda: not self._wanted.is_set(), name=name, path=origin.path, kind=origin.kind
        )
        self.recording = Recording(running=True)

        def observe(faces: list[FrameResult]) -> None:
            self.recording = replace(self.recording, frames=self.recording.frames + 1)
            self._show(frames.measured(), faces)

        try:
            outcome = extract_clip(self._pipeline, frames, self._settings, name=name, observer=observe)
            failed = outcome.status != "done"
            table = "" if outcome.table is None else f" {printable(outcome.table)}"
            message = outcome.message if failed else f"{outcome.rows} frames recorded:{table}"
        except (AuparityError, OSError) as error:  # shown on the page; what is only shown goes on
            failed, message = True, str(error)
        self._wanted.clear()
        self.any_failed |= failed
        self.recording = Recording(False, self.recording.frames, message, failed)

    def _free_name(self) -> str:
        """A name for a table that no file in the output folder has: the origin's and the time of day."""
        stem = f"{self._origin.name}_{time.strftime('%Y%m%d-%H%M%S')}"
        name, number = stem, 1
        while any(Path(self._settings.output_dir).glob(f"{escape(name)}.*")):
            number += 1
            name = f"{stem}-{number}"
        return name

    def _show(self, frame: LiveFrame, faces: list[FrameResult]) -> None:
        now = self._clock()
        self._measured += 1
        self._times.append(now)
        while now - self._times[0] > RATE_WINDOW:
            self._times.popleft()
        elapsed = now - self._times[0]
        self._publish(
            Update(
                frame.image, faces, frame.timestamp, now - frame.arrived,
                (len(self._times) - 1) / elapsed if elapsed > 0 else 0.0,
                self._measured, self._slot.counts, self.recording,
            )
        )  # fmt: skip
