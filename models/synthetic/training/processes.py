"""Two processes for training steps whose tasks store what they make: the rest is dropped when one of them fails."""

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
    """Call `task` with each tuple of arguments, in fresh processes; says after every so many how far it is.

    Raises
    ------
    Exception : that of the first task that fails; tasks that have not begun are then not begun.
    """
    if not arguments:
        return
    # Fresh processes: a forked one cannot use PyTorch after its parent did.
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
