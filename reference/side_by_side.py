"""Computations that do not depend on each other, such as fits from several head orientations. The reference does one
after the other; a pipeline whose stages release the interpreter lock may have threads do them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")


class SideBySide(Protocol):
    """Does tasks that do not depend on each other."""

    @property
    def at_once(self) -> int:
        """How many are done at the same time."""

    def __call__(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        """The results of the tasks, in their order; the first error of a task is raised."""


class OneAfterTheOther:
    """In the caller's thread."""

    at_once = 1

    def __call__(self, tasks: Sequence[Callable[[], T]]) -> list[T]:
        return [task() for task in tasks]


ONE_AFTER_THE_OTHER: SideBySide = OneAfterTheOther()
