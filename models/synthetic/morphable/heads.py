"""People of the morphable model as a source of the renderer (`auparity.models.synthetic.heads.Heads`)."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.morphable.expressions import ASIDES, sample_asides
from auparity.models.synthetic.morphable.model_file import find_model, read_model
from auparity.models.synthetic.morphable.person import HeadModel, Person
from auparity.models.synthetic.morphable.photographs import background
from auparity.models.synthetic.morphable.picture import layer
from auparity.models.synthetic.scene import Light, Shot
from auparity.models.synthetic.types import Truth

Array = npt.NDArray[Any]

HANDS = 0.05  #: share of photographs with a hand at the face
ASIDE_FRAMES = 25  #: frames between two movements of a clip beside the action units


class MorphableHeads:
    """People of a morphable model."""

    def __init__(self, head: HeadModel) -> None:
        self.head = head

    def person(self, seed: int) -> Person:
        """The person of a seed."""
        return Person.sample(self.head, seed)

    def light(self, rng: np.random.Generator) -> Light:
        """One to four lights, from an overcast sky to a single lamp, exposed for a face."""
        count = int(rng.integers(1, 5))
        yaw, height = rng.normal(0, 0.8, count), rng.normal(-0.35, 0.45, count)
        yaw[1:] = rng.uniform(-2.6, 2.6, count - 1)
        directions = np.stack([np.sin(yaw), height, -np.cos(yaw)], axis=1)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        strength = np.concatenate([[1.0], rng.uniform(0.05, 0.8, count - 1)])
        hard = rng.beta(1.6, 1.4)
        warm = rng.normal(0, 0.10, (count + 1, 1)) * np.array([1.0, 0.1, -1.1])
        tint = np.exp(warm + rng.normal(0, 0.025, (count + 1, 3)))
        up = np.clip(-directions[:, 2], 0.15, 1)  # what a light gives to a face that looks at the camera
        level = float(np.exp(rng.normal(0, 0.22)))
        colours = strength[:, None] * tint[:-1] * hard / max(float((strength * up).sum()), 0.6)
        sky = (1.05 - hard) * tint[-1]
        return Light(directions, level * 1.05 * colours, level * sky * 1.1, level * sky * rng.uniform(0.3, 0.95))

    def background(self, rng: np.random.Generator, height: int, width: int) -> Array:
        """(H, W, 3) float32 BGR, 0 to 1: drawn, or a part of a public-domain picture."""
        return background(rng, height, width)

    def asides(self, rng: np.random.Generator, frames: int) -> Array | None:
        """(T, A) strengths of `ASIDES`."""
        if frames == 1:
            return sample_asides(rng)[None]
        knots = np.stack([sample_asides(rng) for _ in range(frames // ASIDE_FRAMES + 2)])
        knots[0] = 0
        place = np.arange(frames) / ASIDE_FRAMES
        columns = [np.interp(place, np.arange(len(knots)), knots[:, k]) for k in range(len(ASIDES))]
        return np.stack(columns, axis=1)

    def hand(self, rng: np.random.Generator) -> int:
        """Seed of a hand at the face, mostly 0: none."""
        return int(rng.integers(1, 1 << 31)) if rng.random() < HANDS else 0

    def layer(self, person: Any, shot: Shot, height: int, width: int) -> tuple[Array, Truth]:
        """The person without a background; see `picture.layer`."""
        return layer(self.head, person, shot, height, width)


@lru_cache(maxsize=1)
def morphable_heads(path: str | os.PathLike[str] | None = None) -> MorphableHeads:
    """People of the model in a file, or the one that AUPARITY_FACES names; see `model_file` for its errors."""
    return MorphableHeads(HeadModel(read_model(find_model(path))))
