"""Lines of progress on stderr, for commands that measure clip after clip."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

PROGRESS_EVERY = 5.0  #: s between two lines
#: Called with what is counted, how many are done, and of how many.
Progress = Callable[[str, int, int], None]


def reporter() -> Progress:
    """Prints a line at most every `PROGRESS_EVERY` seconds, and one for the last of each count."""
    last = time.monotonic()

    def report(what: str, done: int, of: int) -> None:
        nonlocal last
        if done == of or time.monotonic() - last > PROGRESS_EVERY:
            last = time.monotonic()
            print(f"  {what}: {done} of {of}", file=sys.stderr, flush=True)

    return report
