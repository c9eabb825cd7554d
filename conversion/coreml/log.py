"""Keeps coremltools' log quiet while it is imported and used, without changing its settings for others."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_log() -> Iterator[None]:
    """Leave out warnings about versions not tested with coremltools, and that models run only on a Mac."""
    logger = logging.getLogger("coremltools")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
