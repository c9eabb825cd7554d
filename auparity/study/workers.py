"""Reads the tables of a study, over processes where that pays: a task in, what it gives and its rows out, in order of
completion.

Ctrl-C reaches this process only. It tells the others, which look before each batch of rows, so none of them goes on
for longer than one batch.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice
from typing import Any, TypeVar

from auparity.accelerated.hardware import usable_cores
from auparity.child_processes import follow_parent, require_may_start_processes

Task = TypeVar("Task")
Result = TypeVar("Result")

#: Bytes of tables for which starting a further process pays.
BYTES_A_PROCESS = 32 << 20
#: s between two looks at how many rows were read.
_LOOK = 0.5


class _Shared:
    """What the processes share; set once in each of them."""

    stop: Any = None
    rows: Any = None


def results(
    read: Callable[[Task, Callable[[], bool], Callable[[int], None]], Result],
    tasks: Sequence[Task],
    told: Callable[[int], None],
    *,
    processes: int | None,
    size: int,
) -> Iterator[tuple[Task, Result]]:
    """Each task with what `read(task, stopped, told)` gives of it; `read` can be imported by its name.

    Parameters
    ----------
    told : gets the number of further rows that were read, now and then.
    processes : None for as many as pay, by the `size` of all tables in bytes.
    """
    at_once = min(processes or max(1, min(usable_cores(), size // BYTES_A_PROCESS)), max(len(tasks), 1))
    if at_once == 1:
        for task in tasks:
            yield task, read(task, lambda: False, told)
        return
    require_may_start_processes()
    context = multiprocessing.get_context("spawn")
    stop, rows = context.Event(), context.Value("q", 0)
    with ProcessPoolExecutor(at_once, context, _start, (stop, rows)) as pool:
        try:
            yield from _collected(pool, read, tasks, told, rows, 2 * at_once)
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _collected(
    pool: ProcessPoolExecutor, read: Any, tasks: Sequence[Task], told: Callable[[int], None], rows: Any, ahead: int
) -> Iterator[tuple[Task, Any]]:
    tasks_of: dict[Future[Any], Task] = {}
    left, seen = iter(tasks), 0
    while True:
        for task in islice(left, ahead - len(tasks_of)):
            tasks_of[pool.submit(_carry_out, read, task)] = task
        if not tasks_of:
            return
        ready, _ = wait(tasks_of, timeout=_LOOK, return_when=FIRST_COMPLETED)
        now = rows.value
        told(now - seen)
        seen = now
        for future in ready:
            yield tasks_of.pop(future), future.result()


def _start(stop: Any, rows: Any) -> None:
    follow_parent()
    _Shared.stop, _Shared.rows = stop, rows


def _carry_out(read: Any, task: Any) -> Any:
    def told(count: int) -> None:
        with _Shared.rows.get_lock():
            _Shared.rows.value += count

    return read(task, _Shared.stop.is_set, told)
