"""Where rendered people come from: what the renderer asks of drawn heads and of those of a morphable model alike."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.scene import Light, Shot
from auparity.models.synthetic.types import Truth

Array = npt.NDArray[Any]


class Heads(Protocol):
    """A source of people."""

    def __hash__(self) -> int:
        """Of the source itself: people are cached by source and seed."""

    def person(self, seed: int) -> Any:
        """The person of a seed, as `layer` takes it."""

    def light(self, rng: np.random.Generator) -> Light:
        """Random light."""

    def background(self, rng: np.random.Generator, height: int, width: int) -> Array:
        """(H, W, 3) float32 BGR, 0 to 1: what is behind a person."""

    def asides(self, rng: np.random.Generator, frames: int) -> Array | None:
        """(T, A) movements beside the action units, one row a frame; None where there are none."""

    def hand(self, rng: np.random.Generator) -> int:
        """Seed of a hand at the face, mostly 0: none."""

    def layer(self, person: Any, shot: Shot, height: int, width: int) -> tuple[Array, Truth]:
        """(H, W, 4) float32, BGR times coverage and coverage, 0 to 1, of the person alone, and the truth."""
