"""A run of the tests in which nothing ends any more says what is running, and stops.

A test that takes too long is interrupted in its own process (pytest-timeout, in ``nox -s tests``). A process that is
stopped, or gone without its pipe being closed, cannot do that, and pytest-xdist would wait for it for ever; so the
process that gives out the tests watches as well.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable

import pytest

#: Seconds without the end of any test after which a run is stopped; no test takes half of that, even on a busy machine.
LIMIT = 1500.0
#: Seconds that pytest has to write its summary then.
SUMMARY_WITHIN = 60.0
CHECK_EVERY = 10.0


class Stuck:
    """Plugin of the process that reports.

    Parameters
    ----------
    limit : in seconds. clock : of the same. interrupt : stops the run, after the message has been written.
    """

    def __init__(
        self,
        limit: float = LIMIT,
        clock: Callable[[], float] = time.monotonic,
        interrupt: Callable[[], None] | None = None,
    ) -> None:
        self._limit, self._clock, self._interrupt = limit, clock, interrupt or _interrupt
        self._lock = threading.Lock()
        self._running: dict[str, float] = {}
        self._last_end = clock()
        self._over = threading.Event()

    def pytest_sessionstart(self) -> None:
        threading.Thread(target=self._watch, name="stuck tests", daemon=True).start()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        with self._lock:
            if not self._running:
                self._last_end = self._clock()
            self._running[nodeid] = self._clock()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        with self._lock:
            self._running.pop(nodeid, None)
            self._last_end = self._clock()

    def pytest_sessionfinish(self) -> None:
        self._over.set()

    def complaint(self) -> str:
        """What is running, where nothing has ended for longer than the limit; else empty."""
        with self._lock:
            now = self._clock()
            if not self._running or now - self._last_end < self._limit:
                return ""
            lines = [f"No test has ended for {now - self._last_end:.0f} s. Running:"]
            return "\n".join(lines + [f"  {name}, for {now - begun:.0f} s" for name, begun in self._running.items()])

    def _watch(self) -> None:
        while not self._over.wait(CHECK_EVERY):
            if complaint := self.complaint():
                print(f"\n{complaint}", file=sys.__stderr__, flush=True)
                self._interrupt()
                return


def _interrupt() -> None:
    """As Ctrl-C, and the end if that does not suffice."""
    signal.raise_signal(signal.SIGINT)
    time.sleep(SUMMARY_WITHIN)
    os._exit(pytest.ExitCode.INTERRUPTED)
