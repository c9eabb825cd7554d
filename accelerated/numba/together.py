"""The first run ever: kernels that every run needs, compiled by several processes at once, a team.

A kernel is compiled when it is first called, one after the other, which takes half a minute for a clip. The list beside
this module says which kernels, for which types, a clip and an image need; the first process that misses one of them in
the cache starts as many processes as cores may be used. Each goes through the list and compiles what neither is in the
cache nor being compiled. The caller waits for the kernel that it needs, not for all: it leaves a mark, and marked
kernels come first. Kernels of one face detector or another are compiled only while somebody waits for them.

There is one team for a user on a machine: its processes hold the lock of a file, which the system releases when the
last of them has ended. Other processes that miss a kernel meanwhile wait for it to appear in the cache. If the process
that started the team ends, so does the team, and one of those that wait starts the next.

Nobody waits forever. A process of the team that is at one kernel for too long ends itself. A caller for which nothing
has happened in the cache for too long compiles what it needs and does not wait for a team again. Nothing here needs a
thread, so a forked process lacks none; it forgets its parent's team.
"""

from __future__ import annotations

import atexit
import faulthandler
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from auparity.accelerated.numba.machine_code import machine
from auparity.cache import LOCK, kernels_folder
from auparity.errors import AuparityError, LockHeld
from auparity.models.file_lock import take

if TYPE_CHECKING:
    from auparity.accelerated.numba.stored import Code

LIST = Path(__file__).with_name("first_kernels.txt")
#: How lines of it begin that not every run needs.
SOMETIMES = "? "
#: Processes at most: each takes 200 MB and half a second before it compiles anything.
MOST_PROCESSES = 8
#: Seconds for one kernel, which takes up to 10 s of a core: after them a process of the team ends itself, and whoever
#: waits for another process, and sees it do nothing, waits no longer.
PATIENCE = 600.0
#: Seconds to wait for a team that does something. A whole list takes 40 s of a core.
MOST_PATIENCE = 3600.0
#: Seconds between two looks into the cache, and between two checks of who the parent is.
POLL, WATCH_PARENT = 0.01, 0.5
#: The file that a team locks, of machines that can use each other's code: nodes of a cluster may share the folder.
TEAM = f"team-{{}}{LOCK}"
#: Set in the processes that compile, which start no others.
INSIDE = "AUPARITY_COMPILING"
ENVIRONMENT = {INSIDE: "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
#: What the system may answer to the start of a process, also when the interpreter is about to end.
NOT_STARTED = (OSError, RuntimeError, ValueError)
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from auparity.accelerated.numba.together import serve; serve(int(sys.argv[2]))"
)

Task = tuple[str, str, str]  #: module and name of a kernel, key of its arguments


def listed() -> tuple[Task, ...]:
    """What the first runs need, the longest to compile first; then what only some of them need."""
    return tuple(task for tasks in lists() for task in tasks)


@lru_cache(maxsize=1)
def lists() -> tuple[tuple[Task, ...], tuple[Task, ...]]:
    """What every first run needs, and what some need."""
    always: list[Task] = []
    sometimes: list[Task] = []
    for line in LIST.read_text(encoding="ascii").splitlines():
        if line and not line.startswith("#"):
            module, name, key = line.removeprefix(SOMETIMES).split(" ", 2)
            (sometimes if line.startswith(SOMETIMES) else always).append((module, name, key))
    return tuple(always), tuple(sometimes)


def compiled_by_team(kernel: Any, key: str, find: Callable[[], Code | None]) -> Code | None:
    """Wait until a team has compiled a kernel; None where there is none, or it has not.

    Parameters
    ----------
    kernel : see `compile.Kernel`. key : of its arguments.
    find : the code, if it is in the cache.
    """
    task = (kernel.py_func.__module__.rpartition(".")[2], kernel.py_func.__name__, key)
    if task not in listed() or kernels_folder() is None or INSIDE in os.environ or usable_processes() < 2:
        return None
    with _marked(task):
        return _team().wait_for(find)


@contextmanager
def _marked(task: Task) -> Iterator[None]:
    """Within, a kernel is one that somebody waits for."""
    mark = _mark(task)
    if mark is not None:
        with suppress(OSError):
            mark.touch()
    try:
        yield
    finally:
        if mark is not None:
            with suppress(OSError):
                mark.unlink()


def _mark(task: Task) -> Path | None:
    """The file that says that somebody waits for a kernel; None where nothing is kept."""
    folder = kernels_folder()
    return None if folder is None else folder / f"wanted-{hashlib.sha256(repr(task).encode()).hexdigest()[:16]}{LOCK}"


def next_of(always: Sequence[Task], sometimes: Sequence[Task] = ()) -> Task | None:
    """The first for which somebody waits, else the first of those that are always needed; None if there is none."""
    waited_for = (task for task in (*always, *sometimes) if (mark := _mark(task)) is not None and mark.exists())
    return next(waited_for, next(iter(always), None))


def usable_processes() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_PROCESSES)


@lru_cache(maxsize=1)
def _team() -> _Team:
    return _Team()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_team.cache_clear)


class _Team:
    """The processes that compile, as one process of those that wait for them sees them."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        self._started = self._given_up = False
        self._lock = threading.Lock()
        self._owner = os.getpid()
        atexit.register(self.end)

    def wait_for(self, find: Callable[[], Code | None]) -> Code | None:
        """What `find` returns once it returns something; None as soon as no team is at work, or one does nothing."""
        begin = changed = time.monotonic()
        state = _state()
        while (code := find()) is None:
            if not self._at_work():
                return find()  # what was put there since
            now = time.monotonic()
            if state != (state := _state()):
                changed = now
            if now - changed >= PATIENCE or now - begin >= MOST_PATIENCE:
                self._given_up = True
                self.end()
                return None
            time.sleep(POLL)
        return code

    def _at_work(self) -> bool:
        """Whether processes are at the list, ours or another's; starts ours if there are none, once."""
        with self._lock:
            if self._given_up:
                return False
            if not self._started:
                try:
                    self._start()
                except LockHeld:
                    return True
            return any(process.poll() is None for process in self._processes)

    def _start(self) -> None:
        """Start the processes; LockHeld where another's are at work."""
        folder = kernels_folder()
        if folder is None or not sys.executable or getattr(sys, "frozen", False):  # not Python itself: another program
            self._started = True
            return
        try:
            lock: IO[bytes] | None = take(folder / TEAM.format(machine()[:16]))
        except LockHeld:
            raise
        except AuparityError:  # a file system without locks: a team for each process
            lock = None
        self._started = True
        with lock or nullcontext():  # which the processes go on holding
            # Processes of Windows inherit no files by number: a team there is one of its own process only.
            held = () if lock is None or os.name == "nt" else (lock.fileno(),)
            with suppress(*NOT_STARTED):
                for _ in range(usable_processes()):
                    self._processes.append(_process(held))
        with suppress(*NOT_STARTED):  # nobody needs it: without it, ended processes stay in the list of processes
            threading.Thread(target=_reap, args=(self._processes,), daemon=True).start()

    def end(self) -> None:
        """End the processes; what they have finished is kept."""
        if os.getpid() == self._owner:
            for process in self._processes:
                with suppress(OSError):
                    process.kill()


def _state() -> int:
    """Another number whenever a kernel was begun or finished."""
    folder = kernels_folder()
    try:
        return 0 if folder is None else folder.stat().st_mtime_ns
    except OSError:
        return 0


def _process(held: tuple[int, ...]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", _START, json.dumps(sys.path), str(os.getpid())]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, **ENVIRONMENT}, start_new_session=True, pass_fds=held,
    )  # fmt: skip


def _reap(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.wait()


def serve(parent: int) -> None:
    """Compile what is listed, but for what other processes are at; ends with its parent.

    What fails ends this process: whoever needs that kernel meets the error when it compiles it itself.
    """
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()
    always, sometimes = map(list, lists())
    while (task := next_of(always, sometimes)) is not None:
        (always if task in always else sometimes).remove(task)
        module, name, key = task
        faulthandler.dump_traceback_later(PATIENCE, exit=True)  # needs no thread of Python: LLVM may hold them all
        kernel = getattr(import_module(f"auparity.accelerated.numba.{module}"), name)
        with suppress(LockHeld):
            kernel.made(key, patience=0.0)
            if not kernel.is_kept(key):  # a full disk, on which nobody finds what is compiled here
                return


def _end_with_parent(parent: int) -> None:
    """A process that compiles must not outlive the one that asked."""
    while os.getppid() == parent:
        time.sleep(WATCH_PARENT)
    os._exit(0)
