"""Processes that each hold a pipeline. They share the models, end with this process, and if one dies only its task
fails.

Every worker has its own connection to this process and one task at a time. So it is known which task a worker was doing
when it died (a crash in a decoder, memory used up): this task is reported as failed, the worker is replaced, and the
others are not affected. Each worker computes with one BLAS thread, because processes are the parallelism here.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import connection
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

from auparity.accelerated.hardware import THREAD_VARIABLES, usable_cores
from auparity.accelerated.parallel.shared_object import SharedObject
from auparity.accelerated.parallel.worker_process import Answer, Board, Interrupted, Recipe, Worker, serve
from auparity.child_processes import require_may_start_processes
from auparity.errors import AuparityError, ContractError

if TYPE_CHECKING:
    from auparity.models.bundle import Bundle
    from auparity.reference.options import PipelineOptions

__all__ = ["Failed", "Interrupted", "Worker", "WorkerDied", "Workers"]

Item = TypeVar("Item")
Result = TypeVar("Result")

POLL = 0.2  # s between calls while results are waited for
PATIENCE = 60.0  # s that `close` gives running tasks to reach the end of their frame


class WorkerDied(AuparityError):
    """A worker process ended in the middle of a task; `how` says by which signal or exit status."""

    def __init__(self, how: str) -> None:
        super().__init__(f"the process that worked on it died ({how}); the other inputs go on")
        self.how = how


class Failed(NamedTuple):
    """A task without a result."""

    error: BaseException


class _Seat:
    """One worker process, its connection and its task."""

    def __init__(self, number: int, recipe: Recipe, board: Board) -> None:
        self.number, self._recipe, self._board = number, recipe, board
        self.was_ready = False
        self.task: int | None = None  # number of its task; None if it is free
        self._start()

    def _start(self) -> None:
        # Fresh processes: a forked one inherits threads and locks of BLAS and of the caller in any state.
        context = multiprocessing.get_context("spawn")
        self.line, theirs = context.Pipe()
        arguments = (theirs, self._recipe, self._board, self.number)
        self.process = context.Process(target=serve, args=arguments, name=f"auparity-worker-{self.number}")
        with _one_thread_each():
            self.process.start()
        theirs.close()
        self.is_ready = False

    def give(self, number: int, task: Callable[[Worker, Any], Any], item: Any) -> None:
        """Send a task; a worker that has died in the meantime is noticed when its answer is read."""
        self.task = number
        with suppress(OSError):
            self.line.send((task, item))

    def look(self) -> Answer | None:
        """The answer of the worker to its task, None if there is none yet; a worker that died is replaced.

        Raises
        ------
        AuparityError : the worker cannot be started.
        """
        try:
            while self.line.poll():
                answer: Answer = self.line.recv()
                if answer.kind == "not started":
                    raise AuparityError(f"a worker process could not be started: {answer.value}") from answer.value
                if answer.kind == "ready":
                    self.is_ready = self.was_ready = True
                    continue
                self.task = None
                return answer
        except (EOFError, OSError):
            return self._died()
        return self._died() if not self.process.is_alive() and not self.line.poll() else None

    def _died(self) -> Answer:
        self.process.join()
        how, early = _how_it_ended(self.process.exitcode), not self.was_ready
        self.line.close()
        self.process.close()
        if early:
            raise AuparityError(f"a worker process ended before it was ready ({how}). Use fewer processes.")
        self._start()
        self.task = None
        return Answer("raised", WorkerDied(how))

    def leave(self, patience: float) -> None:
        """Ask the process to end, and kill it if it does not end within `patience` seconds."""
        with suppress(OSError):
            self.line.send(None)
        self.process.join(patience)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.line.close()
        self.process.close()


class Tasks:
    """Items that go to workers as these become free; whoever hands them out decides which is next, and when.

    Parameters
    ----------
    task : a function of a module, called as `task(worker, item)`.
    """

    def __init__(self, workers: Workers, task: Callable[[Worker, Any], Any]) -> None:
        self._workers, self._task = workers, task
        self._indices: dict[int, int] = {}  # as `give` got them, by number of the task

    @property
    def has_room(self) -> bool:
        """Whether a worker is free, and the work was not stopped."""
        return not self._workers.stopped and any(seat.task is None for seat in self._workers.seats)

    @property
    def busy(self) -> bool:
        """Whether answers will come."""
        return any(seat.task in self._indices for seat in self._workers.seats)

    def give(self, index: int, item: Any) -> None:
        """Send an item to a free worker; its answer comes with this index."""
        seat = next(seat for seat in self._workers.seats if seat.task is None)
        number = self._workers.next_number()
        self._indices[number] = index
        seat.give(number, self._task, item)

    def collect(self, patience: float) -> list[tuple[int, Any]]:
        """``(index, result or Failed)`` of tasks that have ended, after waiting for one at most `patience` s.

        Raises
        ------
        AuparityError : a process cannot be started.
        """
        busy, answers = [seat for seat in self._workers.seats if seat.task is not None], []
        connection.wait([ready for seat in busy for ready in (seat.line, seat.process.sentinel)], patience)
        for seat in busy:
            number = seat.task
            answer = seat.look()
            if answer is not None and number in self._indices:  # else to an earlier call
                value = Failed(answer.value) if answer.kind == "raised" else answer.value
                answers.append((self._indices[number], value))
        return answers


class Workers:
    """A pool of processes with one pipeline each; a context manager.

    Parameters
    ----------
    bundle : the models.
    spec : variants by stage, as of `Pipeline.spec`.
    processes : how many; None for as many as cores may be used.
    options : of the pipelines.

    Raises
    ------
    ContractError : fewer than one process. AuparityError : this process may not start others.
    """

    def __init__(
        self,
        bundle: Bundle,
        spec: Mapping[str, str],
        processes: int | None = None,
        options: PipelineOptions | None = None,
    ) -> None:
        self.processes = usable_cores() if processes is None else processes
        if self.processes < 1:
            raise ContractError("parallel", "processes", "at least 1", str(processes))
        require_may_start_processes()
        self._board = Board(self.processes)
        shared, self._block = SharedObject.share(bundle)
        self.seats: list[_Seat] = []
        self._given = 0  # number of tasks sent in all calls, so that late answers are recognised
        try:
            recipe = Recipe(shared, dict(spec), options)
            self.seats += [_Seat(number, recipe, self._board) for number in range(self.processes)]
        except BaseException:
            self.close(at_once=True)
            raise

    @property
    def frames(self) -> int:
        """Frames that the tasks have counted so far."""
        return self._board.frames

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._board.stopped

    def next_number(self) -> int:
        """A number for a task that no other has."""
        self._given += 1
        return self._given

    def as_completed(
        self,
        task: Callable[[Worker, Item], Result],
        items: Iterable[Item],
        *,
        meanwhile: Callable[[], None] | None = None,
    ) -> Iterator[tuple[int, Result | Failed]]:
        """``(index of the item, result)`` of `task(worker, item)`, in the order in which they finish.

        The result of a task that raises, or whose process dies, is a `Failed`; the others go on.

        Parameters
        ----------
        task : a function of a module, so that the processes can import it.
        meanwhile : called a few times a second while results are waited for, e.g. to show `frames`.

        Raises
        ------
        Interrupted : `stop` was called before every task had begun; results of begun tasks have been returned before.
        AuparityError : the processes cannot be started.
        """
        tasks, rest = Tasks(self, task), enumerate(items)
        following = next(rest, None)
        while True:
            while following is not None and tasks.has_room:
                tasks.give(*following)
                following = next(rest, None)
            if following is None and not tasks.busy:
                return
            if self.stopped and not tasks.busy:
                raise Interrupted("stopped before every task was begun")
            answers = tasks.collect(POLL)
            if meanwhile is not None:
                meanwhile()
            yield from answers

    def map(
        self,
        task: Callable[[Worker, Item], Result],
        items: Iterable[Item],
        *,
        meanwhile: Callable[[], None] | None = None,
    ) -> Iterator[Result]:
        """Results of `task(worker, item)` in the order of the items; arguments as of `as_completed`.

        Raises
        ------
        Whatever the first failing task raised, or `WorkerDied`.
        """
        waiting: dict[int, Result | Failed] = {}
        due = 0
        for index, result in self.as_completed(task, items, meanwhile=meanwhile):
            waiting[index] = result
            while due in waiting:
                result = waiting.pop(due)
                due += 1
                if isinstance(result, Failed):
                    raise result.error
                yield result

    def stop(self) -> None:
        """Ask running tasks to end at their next frame; they raise `Interrupted`."""
        self._board.stop()

    def close(self, *, at_once: bool = False) -> None:
        """End the processes and free the shared memory; running tasks end at their next frame, or `at_once`."""
        self.stop()
        for seat in self.seats:
            seat.leave(0 if at_once else PATIENCE)
        self.seats = []
        self._block.close()
        with suppress(FileNotFoundError):  # closed twice
            self._block.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(at_once=isinstance(value, KeyboardInterrupt))


def _how_it_ended(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    reason = ", most likely because the memory of this machine was used up" if name == "SIGKILL" else ""
    return f"signal {-code}, {name}{reason}"


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started inside inherit the limit of one BLAS thread; the caller's environment is restored."""
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
