"""Two processes for training steps whose tasks store their results; if a task fails, the remaining ones are dropped."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

from auparity.child_processes import end_with_parent
from auparity.models.synthetic.training.workspace import Workspace

PROCESSES = 2


def run_tasks(
    workspace: Workspace, name: str, task: Callable[..., None], arguments: Sequence[tuple[Any, ...]], every: int = 10
) -> None:
    """Call `task` with each tuple of arguments, in fresh processes, and report progress.

    Raises
    ------
    Exception : that of the first task that fails; no further tasks are started then.
    """
    if not arguments:
        return
    # Fresh processes, because a forked one cannot use PyTorch after its parent did.
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn"), end_with_parent) as pool:
        futures = [pool.submit(task, *each) for each in arguments]
        try:
            for number, future in enumerate(as_completed(futures), 1):
                future.result()
                if number % every == 0 or number == len(futures):
                    workspace.log(f"{name}: {number} of {len(futures)} done")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
