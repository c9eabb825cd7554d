"""`run_live`: the thread that reads, the thread that measures and the page, from the first page to the end."""

from __future__ import annotations

import threading
import webbrowser
from collections.abc import Callable

from auparity.errors import AuparityError
from auparity.extraction.types import ExtractionSettings
from auparity.live.measure import Measurer, Origin
from auparity.live.messages import End, FrameMessage, hello
from auparity.live.server import FAREWELL, Broadcast, Server
from auparity.live.source import NewestFrame, feed
from auparity.media import FrameSource, printable
from auparity.reference.video_pipeline import VideoPipeline

#: Seconds that a frame in the making may take after the end was asked for; a recording may take longer.
PATIENCE = 2.0


class Live:
    """A source that is measured while it runs.

    The source begins to run when the first page opens, so nothing of a file is missed.

    Parameters
    ----------
    source : closed when it has ended.
    again : opens the source once more at its end (a file in a loop); None ends there.
    """

    def __init__(
        self,
        pipeline: VideoPipeline,
        source: FrameSource,
        origin: Origin,
        settings: ExtractionSettings,
        *,
        again: Callable[[], FrameSource] | None = None,
    ) -> None:
        self.broadcast = Broadcast()
        self.done = threading.Event()  #: everything was measured and the pages were told
        self.error: BaseException | None = None  #: why nothing more is measured; None while all is well
        self._slot = NewestFrame()
        self._stop = threading.Event()
        self._source, self._again, self._origin = source, again, origin
        self._measurer = Measurer(
            pipeline, self._slot, origin, settings, lambda update: self.broadcast.publish(FrameMessage(update))
        )
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, name="live source", daemon=True)
        self._worker = threading.Thread(target=self._measure, name="live measurement", daemon=True)
        self._reading = False

    def opened(self) -> None:
        """A page is there: begin, unless it has begun."""
        with self._lock:
            if not self._reading and not self._stop.is_set():
                self._reading = True
                self._reader.start()
                self._worker.start()

    def record(self) -> None:
        self._measurer.record()

    def stop_recording(self) -> None:
        self._measurer.stop_recording()

    @property
    def recording_failed(self) -> bool:
        """Whether a recording could not be written or is not whole."""
        return self._measurer.any_failed

    def close(self) -> None:
        """End now: a recording is finished first, a frame in the making is waited for `PATIENCE` seconds."""
        with self._lock:
            self._stop.set()
        self._slot.stop()
        if not self._reading:
            self._source.close()
            return
        while self._measurer.recording.running and self._worker.is_alive():
            self._worker.join(0.1)  # so that a second Ctrl-C is heard
        for thread in (self._worker, self._reader):
            thread.join(PATIENCE)

    def _read(self) -> None:
        feed(self._slot, self._source, self._stop, again=self._again)

    def _measure(self) -> None:
        try:
            self._measurer.run()
            self.error = self._slot.error
        except BaseException as error:  # raised again by the main thread; a thread has nobody to tell
            self.error = error
            self._stop.set()
            self._slot.stop()
        self.broadcast.publish(self._last_words())
        self.broadcast.wait_until_pages_left(FAREWELL)
        self.done.set()

    def _last_words(self) -> End:
        recorded = self._measurer.recording.message
        if isinstance(self.error, AuparityError):
            message = str(self.error)
        elif self.error is not None:
            message = "Internal error; please report what the terminal shows."
        elif self._stop.is_set():
            message = "Stopped."
        else:
            message = f"{printable(self._origin.path)} has ended."
        failed = self.error is not None or self.recording_failed
        return End(f"{message} {recorded}".strip(), failed)


def run_live(
    live: Live,
    source_name: str,
    settings: ExtractionSettings,
    *,
    port: int,
    open_page: bool,
    say: Callable[[str], None],
    stop: Callable[[], bool],
) -> int:
    """Serve the page until the source has ended or `stop` is true; returns the exit code.

    Parameters
    ----------
    port : on 127.0.0.1; 0 for a free one.
    open_page : open the address in the user's browser.
    say : shows a line to the user.
    stop : asked ten times a second, in the calling thread.

    Returns
    -------
    int : 0 after the end of the source or `stop`, 1 if a recording could not be written or is not whole.

    Raises
    ------
    AuparityError : the port cannot be used, the source failed (`VideoError`) or the pipeline did.
    """
    server = Server(
        port, hello(source_name, str(settings.output_dir), several=settings.faces is not None), live.broadcast, live
    )
    try:
        server.start()
        say(f"Live: {server.address}")
        say("Whoever has this address can see the picture, on this machine only. Ctrl-C ends.")
        if open_page and not webbrowser.open(server.address):
            say("No browser could be opened; open the address yourself.")
        while not stop() and not live.done.wait(0.1):
            if not server.running:
                raise AuparityError("the page's server ended; its message is above.")
    finally:
        live.close()
        server.stop()
    if live.error is not None:
        raise live.error
    return 1 if live.recording_failed else 0
