"""One stream over two threads: while a frame is measured, the next one is already tracked.

Tracking needs the frame before, and so do medians and AUs, but they do not depend on each other: with kernels that
release the interpreter lock both run at the same time, and the numbers are those of one thread, bit for bit. Results
lag by one frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from auparity.media import Frame, Image
from auparity.reference.results import FrameResult
from auparity.reference.video_pipeline import ClipSession, TrackedFrame

#: Tracked frames that may wait to be measured; more would not help if measuring is the slower half.
WAITING = 2


def process_frames(session: ClipSession, frames: Iterable[Frame]) -> Iterator[FrameResult]:
    """Results of the frames of one clip, in order; `session.finish()` may be called after the last.

    Leaving the iterator early (an error, Ctrl-C) waits for the frames that are being measured; results that were
    already returned stay valid.

    Raises
    ------
    ContractError : as of `ClipSession.process_frame`.
    """

    def measure(image: Image, tracked: TrackedFrame) -> FrameResult:
        return session.measure(tracked, session.describe(image, tracked))

    with ThreadPoolExecutor(1, thread_name_prefix="auparity-analysis") as analysis:
        pending: deque[Future[FrameResult]] = deque()
        for frame in frames:
            tracked = session.track(frame.image, frame.timestamp)
            pending.append(analysis.submit(measure, frame.image, tracked))
            if len(pending) > WAITING:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
