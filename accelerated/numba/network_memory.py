"""Where the maps of a network lie in its arena, which is as long as what is needed at the same time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from auparity.accelerated.numba.network_nodes import whole
from auparity.accelerated.numba.vectors import LANES

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Maps:
    """Where maps are in the arena: (blocks, height, width, 16)."""

    start: int
    height: int
    width: int
    blocks: int

    @property
    def fields(self) -> tuple[int, int, int, int]:
        return self.start, self.height, self.width, self.blocks

    @property
    def plane(self) -> int:
        """Floats of a block."""
        return self.height * self.width * LANES

    def of(self, arena: Array, first: int, channels: int) -> Array:
        """Some channels as (height, width, channels)."""
        blocks = arena[self.start : self.start + self.blocks * self.plane].reshape(-1, self.height, self.width, LANES)
        return blocks.transpose(1, 2, 0, 3).reshape(self.height, self.width, -1)[..., first : first + channels]


@dataclass
class Room:
    """Which floats of the arena are taken."""

    taken: list[tuple[int, int]] = field(default_factory=list)
    size: int = 0

    def take(self, length: int) -> int:
        """The first free place, which begins with a line of the cache, as long as the arena does."""
        length, start = whole(length), 0
        for begin, end in sorted(self.taken):
            if begin - start >= length:
                break
            start = max(start, end)
        self.taken.append((start, start + length))
        self.size = max(self.size, start + length)
        return start

    def give_back(self, start: int) -> None:
        self.taken = [place for place in self.taken if place[0] != start]
