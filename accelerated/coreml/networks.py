"""Network detectors and landmarkers as Core ML packages; pixels, decoding and points are the reference's (spec 95).

A package takes one image of one size, because Core ML takes networks whose sizes it knows as a whole; RetinaFace gets a
package for each size of images that it meets.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.coreml.packages import Package
from auparity.conversion.coreml.builder import Precision
from auparity.conversion.coreml.network_programs import network_program
from auparity.models.types import PointNetwork, RetinaFace
from auparity.reference.networks.parts import Network, parts_of

Array = npt.NDArray[Any]

STAGE = "networks"


class NetworkPackages:
    """The layers of one network, as packages by height and width of the maps."""

    def __init__(self, weights: Network, mode: str) -> None:
        self._weights, self._mode, self._parts = weights, mode, parts_of(weights)
        self._packages: dict[tuple[int, int], Package] = {}
        if self._parts.side is not None:  # a package that cannot be had is told of now, not with the first face
            self._package(self._parts.side, self._parts.side)

    def _package(self, height: int, width: int) -> Package:
        if (height, width) not in self._packages:
            contract = f"maps (1, 3, {height}, {width}) float32 to {', '.join(self._parts.outputs)}"
            name = f"{type(self._weights).__name__.lower()}-{height}x{width}"
            make = partial(_make, self._weights, name, (height, width))
            package = Package(name, self._mode, (self._weights,), STAGE, contract, make)
            self._packages[height, width] = package
        return self._packages[height, width]

    def __call__(self, maps: Array) -> list[Array]:
        """The outputs, image after image, of maps (N, 3, H, W)."""
        package = self._package(maps.shape[2], maps.shape[3])
        each = [package.outputs(one[None]) for one in maps]
        return [np.concatenate(outputs) for outputs in zip(*each, strict=True)]


def build(weights: RetinaFace | PointNetwork, mode: str) -> Callable[[Array], Any]:
    """Stages `face_network` and `point_network`."""
    parts, packages = parts_of(weights), NetworkPackages(weights, mode)
    return lambda pixels: parts(packages, pixels)


def _make(
    weights: Network, name: str, size: tuple[int, int], metadata: dict[str, str], precision: Precision
) -> Any:  # fmt: skip
    return network_program(weights, name, metadata, size=size, precision=precision)
