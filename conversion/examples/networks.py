"""Inputs for the checks of network detectors and landmarkers, and the reference's results for them (spec 95).

These are module-level functions, not closures, because they are sent to other processes with the catalogue's items.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.types import STAR
from auparity.reference.networks.layers import Layers
from auparity.reference.networks.parts import Network, parts_of

Array = npt.NDArray[Any]


def maps(weights: Network, shape: tuple[int, int, int], rng: np.random.Generator) -> tuple[Array, ...]:
    """Maps (N, 3, H, W) as the network gets them, of N images of noise of a height and width."""
    pixels = rng.integers(0, 256, (*shape, 3), np.uint8)
    return (np.ascontiguousarray(parts_of(weights).prepare(pixels, np.float32)),)


def outputs(weights: Network, given: Array) -> tuple[Array, ...]:
    """The outputs of the layers."""
    results = parts_of(weights).graph(Layers(weights.tensors), given)
    return tuple(np.ascontiguousarray(output) for output in results)


def places(weights: STAR, results: Sequence[Array]) -> tuple[Array, ...]:
    """The points (N, P, 2) of heat maps, in parts of the crop from its left upper corner.

    A mask decides for each place whether coordinates are added (spec 95.4), so a value at its border moves single
    places of the maps by more than rounding, and the points by hardly anything (spec 95.10).
    """
    return (np.asarray((parts_of(weights).finish(results) + 1) / 2),)
