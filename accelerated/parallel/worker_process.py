"""The code of a worker process: it builds the pipeline once, then does one task after the other.

The parent handles Ctrl-C, SIGTERM and SIGHUP, so a worker ignores them. It watches its parent instead and ends at once
when that has ended in any way, because its results could no longer be used. The memory that it shares with the parent
(`Board`) has no locks, because a process that is killed while it holds one would stop all others.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.shared_memory import SharedMemory
from multiprocessing.sharedctypes import RawArray
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from auparity.accelerated.parallel.shared_object import SharedObject
from auparity.accelerated.parallel.side_by_side import in_one_thread
from auparity.accelerated.pipeline import Pipeline
from auparity.child_processes import follow_parent
from auparity.errors import AuparityError, AuparityWarning

if TYPE_CHECKING:
    from auparity.reference.options import PipelineOptions


class Interrupted(AuparityError):
    """The work was stopped; raised in a worker that notices it."""


class Board:
    """Memory through which parent and workers communicate while a task runs: a stop flag, and the numbers of frames
    done.

    Every element has one writer (the flag the parent, each count its worker), so that none needs a lock.
    """

    def __init__(self, workers: int) -> None:
        self._stop: Any = RawArray("b", 1)
        self._frames: Any = RawArray("q", workers)

    @property
    def stopped(self) -> bool:
        """Has the work been stopped?"""
        return bool(self._stop[0])

    def stop(self) -> None:
        """Ask running tasks to end at their next frame."""
        self._stop[0] = 1

    @property
    def frames(self) -> int:
        """Frames that all workers have counted."""
        return sum(self._frames)

    def frame_done(self, number: int) -> None:
        """Count a frame of worker `number`."""
        self._frames[number] += 1


@dataclass
class Worker:
    """The environment of a task in its process."""

    pipeline: Pipeline
    number: int
    _board: Board

    @property
    def stopped(self) -> bool:
        """Has the work been stopped?"""
        return self._board.stopped

    def check(self) -> None:
        """Raise `Interrupted` when the work was stopped; call it between frames."""
        if self.stopped:
            raise Interrupted("stopped")

    def frame_done(self) -> None:
        """Count a frame for the progress of all workers together."""
        self._board.frame_done(self.number)


@dataclass(frozen=True)
class Recipe:
    """The parts from which a worker builds its pipeline."""

    bundle: SharedObject
    spec: dict[str, str]
    options: PipelineOptions | None

    def build(self) -> tuple[Pipeline, SharedMemory]:
        """The pipeline, and the memory that must stay open as long as it is used."""
        bundle, memory = self.bundle.open()
        return Pipeline.from_spec(self.spec, bundle, options=self.options), memory


class Answer(NamedTuple):
    """A message from a worker to its parent."""

    kind: Literal["ready", "not started", "done", "raised"]
    value: Any = None  #: result of the task, or the error


def serve(line: connection.Connection, recipe: Recipe, board: Board, number: int) -> None:
    """The main function of a worker process: tasks come and answers go through `line`."""
    follow_parent()
    in_one_thread()  # workers are the parallelism
    warnings.simplefilter("ignore", AuparityWarning)  # the parent has shown them
    try:
        pipeline, memory = recipe.build()
    except Exception as error:
        _send(line, Answer("not started", error))
        return
    worker = Worker(pipeline, number, board)
    _send(line, Answer("ready"))
    while (message := _receive(line)) is not None:
        _send(line, _carry_out(worker, *message))
    del worker, pipeline
    memory.close()


def _carry_out(worker: Worker, task: Callable[[Worker, Any], Any], item: Any) -> Answer:
    try:
        worker.check()
        return Answer("done", task(worker, item))
    except Exception as error:
        return Answer("raised", error)


def _receive(line: connection.Connection) -> Any:
    """The next task, or None if there will be no more."""
    try:
        return line.recv()
    except (EOFError, OSError):
        return None


def _send(line: connection.Connection, answer: Answer) -> None:
    try:
        data = pickle.dumps(answer)
        pickle.loads(data)  # errors of other packages may pickle but not unpickle
    except Exception as error:
        data = pickle.dumps(Answer("raised", AuparityError(f"{answer.value!r} cannot be sent back ({error})")))
    line.send_bytes(data)
