"""RetinaFace, PFLD, MobileFaceNet and STAR in kernels for maps in blocks of channels; decoding is the reference's (spec
95).

The network's own description (reference/networks) becomes a table of steps, in which activations, sums and depthwise
convolutions are parts of the convolutions beside them, and 3x3 convolutions take a quarter of their products
(winograd_tiles.py). One kernel runs the table, image after image, so a result does not depend on the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.numba.network_plan import plan_of
from auparity.accelerated.numba.network_program import Program
from auparity.accelerated.numba.network_steps import run
from auparity.accelerated.numba.network_weights import PackedWeights, in_line
from auparity.conversion.networks.folding import fold
from auparity.models.types import STAR, FaceApi, PointNetwork, RetinaFace
from auparity.reference.contracts import check_array
from auparity.reference.networks import pfld, retinaface, star
from auparity.reference.networks.parts import parts_of

Array = npt.NDArray[Any]

#: Sizes of images whose programs and memory are kept.
KEPT_SIZES = 4


def unsupported_reason(weights: RetinaFace | PointNetwork) -> str | None:
    """Why a network cannot run here; None when it can."""
    # Its convolutions have zeros on two sides of their maps instead of four.
    if isinstance(weights, FaceApi):
        return f"supports RetinaFace, PFLD, MobileFaceNet and STAR, this is {type(weights).__name__}"
    return None


@dataclass(frozen=True)
class _Pixels:
    """What a network is given, and how its first weights read it.

    Parameters
    ----------
    stage, argument, shape : of its contract. means : of each channel, which are taken away.
    of_weights : the weights (K, 3, k, k) for what is left, of those for what the network is described for.
    """

    stage: str
    argument: str
    shape: tuple[str | int, ...]
    means: tuple[float, ...]
    of_weights: Callable[[Array], Array]


def _pixels_of(weights: RetinaFace | PointNetwork) -> _Pixels:
    if isinstance(weights, RetinaFace):
        return _Pixels(retinaface.STAGE, "images", ("N", "H", "W", 3), retinaface.MEANS, lambda values: values)
    if isinstance(weights, STAR):  # blue, green and red from -1 to 1
        middle, shape = 255 / 2, ("N", star.SIDE, star.SIDE, 3)
        return _Pixels(star.STAGE, "crops", shape, (middle,) * 3, lambda values: values / middle)
    shape = ("N", pfld.SIDE, pfld.SIDE, 3)  # red, green and blue from 0 to 1
    return _Pixels(pfld.STAGE, "crops", shape, (0, 0, 0), lambda values: values[:, ::-1] / 255)


class Network:
    """One network, on images (N, H, W, 3) uint8 BGR. Threads may call it at the same time."""

    def __init__(self, weights: RetinaFace | PointNetwork) -> None:
        self._parts = parts_of(weights)
        folded = fold(weights.tensors, self._parts.graph)
        self._plan = plan_of(folded, self._parts.graph)
        self._pixels = _pixels_of(weights)
        self._weights = PackedWeights(self._plan, self._pixels.of_weights)
        self._plan.arrays.clear()  # they are packed, and not needed any more
        self._programs: dict[tuple[int, int], _Sized] = {}

    def __call__(self, images: Array) -> Any:
        """`RawFaces`, or points (N, P, 2) in the units of the network's crop.

        Raises
        ------
        ContractError : another shape or dtype.
        """
        pixels = self._pixels
        check_array(pixels.stage, pixels.argument, images, pixels.shape, np.uint8)
        size = images.shape[1:3]
        sized = self._programs.get(size)
        if sized is None:
            if len(self._programs) >= KEPT_SIZES:
                self._programs.clear()
            sized = self._programs[size] = _Sized(Program(self._plan, self._weights, *size), pixels.means)
        return self._parts.finish(sized(images, self._weights.values))


class _Sized:
    """A network for images of one size, with the memory that its calls use: one arena for each at the same time."""

    def __init__(self, program: Program, means: tuple[float, ...]) -> None:
        self._program = program
        self._means = np.tile(np.array(means, np.float32), program.width)
        self._free: list[Array] = []

    def __call__(self, images: Array, weights: Array) -> list[Array]:
        """Maps (N, C, H, W) of each output."""
        program, images = self._program, np.ascontiguousarray(images)
        try:
            arena = self._free.pop()
        except IndexError:
            arena = in_line(program.size)
        results = [
            np.empty((len(images), maps.height, maps.width, channels), np.float32)
            for maps, _, channels in program.outputs
        ]
        for n, image in enumerate(images):
            run(image, self._means, program.steps, program.panels, weights, arena)
            for result, (maps, first, channels) in zip(results, program.outputs, strict=True):
                result[n] = maps.of(arena, first, channels)
        self._free.append(arena)
        return [result.transpose(0, 3, 1, 2) for result in results]


def build(weights: RetinaFace | PointNetwork) -> Callable[[Array], Any]:
    """Stages `face_network` and `point_network`."""
    return Network(weights)
