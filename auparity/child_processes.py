"""Processes that this one starts: whether it may, and what they do when it ends.

A worker of a process pool waits for its next task in a queue that its siblings hold open as well, so it does not notice
when the process that sends the tasks is killed, and would run forever. Our workers watch their parent instead.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing import connection, parent_process

from auparity.errors import AuparityError

#: Signals that end a run; the parent decides how.
IGNORED_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
EXIT_ORPHANED = 3


def end_with_parent() -> None:
    """End this process as soon as the one that started it has ended, in whatever way; call it once, at the start."""
    threading.Thread(target=_wait_for_parent, name="auparity-parent", daemon=True).start()


def follow_parent() -> None:
    """For workers whose parent tells them when to stop: end with the parent, and ignore Ctrl-C, SIGTERM and SIGHUP."""
    for name in IGNORED_SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    end_with_parent()


def require_may_start_processes() -> None:
    """Raise `AuparityError` where Python does not let this process start others."""
    if multiprocessing.current_process().daemon:
        raise AuparityError(
            "this process is daemonic (a worker of multiprocessing.Pool or of Celery's prefork pool), and Python does "
            "not let such a process start others. Use one process here, and let the outer pool be the parallelism; or "
            "start it with daemon=False (celery: --pool=threads or solo)."
        )


def _wait_for_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(EXIT_ORPHANED)
