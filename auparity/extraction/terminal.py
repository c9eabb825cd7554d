"""Lines on stderr, for all that reports on its work there."""

from __future__ import annotations

import sys
from contextlib import suppress
from types import TracebackType
from typing import Self

from auparity.media.names import printable_lines


class Terminal:
    """Prints lines on stderr; a context manager, because bars have to be opened and closed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""

    def say(self, text: str) -> None:
        # If the terminal was closed, what is done must not be lost.
        with suppress(OSError):
            print(printable_lines(text), file=sys.stderr, flush=True)
