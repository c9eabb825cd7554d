"""Processes that each hold a pipeline: the models are shared, results come back in order, Ctrl-C leaves nothing behind.

The bundle's arrays are put into one block of shared memory (pickle protocol 5 hands its buffers out of band), so that
workers map them instead of copying; what a variant packs for itself is each worker's own. Workers compute with one
BLAS thread each: processes are the parallelism here.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from auparity.accelerated.hardware import THREAD_VARIABLES, usable_cores
from auparity.accelerated.pipeline import Pipeline
from auparity.errors import AuparityError, AuparityWarning, ContractError

if TYPE_CHECKING:
    from auparity.models.bundle import Bundle
    from auparity.reference.landmarks import DetectorParameters

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Tasks handed out ahead of the one whose result is due, for each worker: enough to keep it busy, bounded in memory.
AHEAD = 2
POLL = 0.2  # s between calls while a result is waited for
ALIGNMENT = 64  # bytes; arrays begin on cache lines


class Interrupted(AuparityError):
    """The work was stopped; raised in a worker that notices it."""


@dataclass(frozen=True)
class SharedObject:
    """A pickled object whose array buffers lie in shared memory."""

    pickled: bytes
    block: str
    spans: tuple[tuple[int, int], ...]  #: (offset, bytes) of each buffer

    @classmethod
    def share(cls, value: Any) -> tuple[SharedObject, SharedMemory]:
        """Copy the buffers of `value` to a new block; the caller closes and unlinks it."""
        buffers: list[pickle.PickleBuffer] = []
        pickled = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        views = [buffer.raw() for buffer in buffers]
        spans, size = [], 0
        for view in views:
            spans.append((size, view.nbytes))
            size += -(-view.nbytes // ALIGNMENT) * ALIGNMENT
        memory = SharedMemory(create=True, size=max(size, 1))
        block = memoryview(memory.buf or b"")
        for view, (offset, length) in zip(views, spans, strict=True):
            block[offset : offset + length] = view
        block.release()
        return cls(pickled, memory.name, tuple(spans)), memory

    def open(self) -> tuple[Any, SharedMemory]:
        """The object, its arrays read-only views of the block, which must stay open as long as it is used."""
        memory = SharedMemory(name=self.block)
        whole = memoryview(memory.buf or b"").toreadonly()
        buffers = [whole[offset : offset + length] for offset, length in self.spans]
        return pickle.loads(self.pickled, buffers=buffers), memory


@dataclass
class Worker:
    """What a task finds in its process."""

    pipeline: Pipeline
    _stop: Event
    _frames: Synchronized[int]

    @property
    def stopped(self) -> bool:
        """Has the work been stopped?"""
        return self._stop.is_set()

    def check(self) -> None:
        """Raise `Interrupted` when the work was stopped; call it between frames."""
        if self.stopped:
            raise Interrupted("stopped")

    def frame_done(self) -> None:
        """Count a frame for the progress of all workers together."""
        with self._frames.get_lock():
            self._frames.value += 1


_worker: Worker | None = None
_memory: SharedMemory | None = None  # held open as long as the process lives


def _start(
    shared: SharedObject,
    spec: dict[str, str],
    parameters: DetectorParameters | None,
    stop: Event,
    frames: Synchronized[int],
) -> None:
    global _worker, _memory
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    warnings.simplefilter("ignore", AuparityWarning)  # it has said them
    bundle, _memory = shared.open()
    _worker = Worker(Pipeline.from_spec(spec, bundle, parameters=parameters), stop, frames)


def _call(task: Callable[[Worker, Any], Any], item: Any) -> Any:
    assert _worker is not None
    _worker.check()
    return task(_worker, item)


class Workers:
    """A pool of processes with one pipeline each; a context manager.

    Parameters
    ----------
    bundle : the models.
    spec : variants by stage, as of `Pipeline.spec`.
    processes : how many; None for as many as cores may be used.
    parameters : settings of landmark detection.

    Raises
    ------
    ContractError : fewer than one process.
    """

    def __init__(
        self,
        bundle: Bundle,
        spec: Mapping[str, str],
        processes: int | None = None,
        parameters: DetectorParameters | None = None,
    ) -> None:
        self.processes = usable_cores() if processes is None else processes
        if self.processes < 1:
            raise ContractError("parallel", "processes", "at least 1", str(processes))
        # Fresh processes: a forked one inherits threads and locks of BLAS and of the caller in any state.
        context = multiprocessing.get_context("spawn")
        self._stop, self._frames = context.Event(), context.Value("q", 0)
        self._shared, self._block = SharedObject.share(bundle)
        arguments = (self._shared, dict(spec), parameters, self._stop, self._frames)
        self._pool = ProcessPoolExecutor(self.processes, context, _start, arguments)

    @property
    def frames(self) -> int:
        """Frames that the tasks have counted so far."""
        return int(self._frames.value)

    def map(
        self,
        task: Callable[[Worker, Item], Result],
        items: Iterable[Item],
        *,
        meanwhile: Callable[[], None] | None = None,
    ) -> Iterator[Result]:
        """Results of `task(worker, item)` in the order of the items.

        Parameters
        ----------
        task : a function of a module, so that the processes can import it.
        meanwhile : called a few times a second while a result is waited for, e.g. to show `frames`.

        Raises
        ------
        AuparityError : a process died. Else whatever the first failing task raised; tasks that have not begun are then
            not begun.
        """
        pending: deque[Future[Result]] = deque()
        rest = iter(items)
        try:
            while True:
                while len(pending) < AHEAD * self.processes:
                    try:
                        item = next(rest)
                    except StopIteration:
                        break
                    with _one_thread_each():  # processes are started by the first submissions
                        pending.append(self._pool.submit(_call, task, item))
                if not pending:
                    return
                while meanwhile is not None and not wait([pending[0]], POLL).done:
                    meanwhile()
                yield pending.popleft().result()
        except BrokenProcessPool as error:
            raise AuparityError(
                "a worker process died, most likely for want of memory; use fewer processes. What was finished before "
                "is not lost."
            ) from error
        finally:
            for future in pending:
                future.cancel()

    def stop(self) -> None:
        """Ask running tasks to end at their next frame; they raise `Interrupted`."""
        self._stop.set()

    def close(self) -> None:
        """End the processes and free the shared memory; running tasks end at their next frame."""
        self.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._block.close()
        self._block.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started inside inherit the limit of one BLAS thread; the caller's own environment is put back."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
