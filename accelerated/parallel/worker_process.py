"""What runs in a worker process: it builds the pipeline once, then does one task after the other.

The parent decides what Ctrl-C, SIGTERM and SIGHUP mean, so a worker ignores them. It watches its parent instead and
ends at once when that is gone, however it ended: nobody is left who could use what it computes. What it shares with
the parent (`Board`) has no locks, because a process that is killed while it holds one would stop all the others.
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
from auparity.accelerated.pipeline import Pipeline
from auparity.child_processes import follow_parent
from auparity.errors import AuparityError, AuparityWarning

if TYPE_CHECKING:
    from auparity.reference.options import PipelineOptions


class Interrupted(AuparityError):
    """The work was stopped; raised in a worker that notices it."""


class Board:
    """What parent and workers tell each other while a task runs: stop, and how many frames are done.

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
    """What a task finds in its process."""

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
    """What a worker builds its pipeline from."""

    bundle: SharedObject
    spec: dict[str, str]
    options: PipelineOptions | None

    def build(self) -> tuple[Pipeline, SharedMemory]:
        """The pipeline, and the memory that must stay open as long as it is used."""
        bundle, memory = self.bundle.open()
        return Pipeline.from_spec(self.spec, bundle, options=self.options), memory


class Answer(NamedTuple):
    """From a worker to its parent."""

    kind: Literal["ready", "not started", "done", "raised"]
    value: Any = None  #: result of the task, or the error


def serve(line: connection.Connection, recipe: Recipe, board: Board, number: int) -> None:
    """The main function of a worker process: tasks come and answers go through `line`."""
    follow_parent()
    warnings.simplefilter("ignore", AuparityWarning)  # the parent has said them
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
    """The next task, or None where there will be no more."""
    try:
        return line.recv()
    except (EOFError, OSError):
        return None


def _send(line: connection.Connection, answer: Answer) -> None:
    try:
        data = pickle.dumps(answer)
        pickle.loads(data)  # errors of other packages may pickle and not come back
    except Exception as error:
        data = pickle.dumps(Answer("raised", AuparityError(f"{answer.value!r} cannot be sent back ({error})")))
    line.send_bytes(data)
