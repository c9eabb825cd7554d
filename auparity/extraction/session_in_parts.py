"""The session of a clip that was tracked in parts: frames come tracked, and are measured in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Self, cast

from auparity.accelerated.parallel.parts import PartFrame
from auparity.media import Frame, Image
from auparity.reference.analysis import Descriptors
from auparity.reference.results import FrameResult, OfflineAUs
from auparity.reference.video_pipeline import ClipSession, FacesSession, TrackedFrame

if TYPE_CHECKING:
    from auparity.accelerated.parallel.chunks import ClipInParts


class SessionInParts:
    """Iterate over it for the frames of the clip; each is then given to `process_frame`.

    Parameters
    ----------
    cut : the clip.
    """

    def __init__(self, cut: ClipInParts) -> None:
        self._cut = cut
        self._at_hand: PartFrame | None = None
        self._session: ClipSession | None = None

    def __iter__(self) -> Iterator[Frame]:
        for frame, of_part in self._cut.frames():
            self._at_hand = of_part
            yield frame

    def measured_by(self, session: ClipSession | FacesSession) -> Self:
        """Let a session of one face compute what needs the frames before; returns this object, now a session."""
        self._session = cast("ClipSession", session)
        return self

    def process_frame(self, image: Image, timestamp: float) -> FrameResult:
        """Measure the frame that was iterated last."""
        tracked = self.track(image, timestamp)
        return self.measure(tracked, self.describe(image, tracked))

    def track(self, image: Image, timestamp: float) -> TrackedFrame:
        """What a worker has tracked, at the time of the whole clip."""
        return replace(self._frame.tracked, timestamp=timestamp)

    def describe(self, image: Image, tracked: TrackedFrame) -> Descriptors:
        """What a worker has computed."""
        return self._frame.described

    def measure(self, tracked: TrackedFrame, described: Descriptors) -> FrameResult:
        """Medians, AUs, pose and gaze."""
        return self._measuring.measure(tracked, described)

    def finish(self) -> OfflineAUs:
        """AUs of all frames so far after post-processing."""
        return self._measuring.finish()

    def close(self) -> None:
        """Give back what the measuring session holds."""
        self._measuring.close()

    @property
    def _frame(self) -> PartFrame:
        assert self._at_hand is not None  # a frame was iterated
        return self._at_hand

    @property
    def _measuring(self) -> ClipSession:
        assert self._session is not None  # `measured_by` was called
        return self._session
