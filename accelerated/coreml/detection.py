"""MTCNN with its three networks as Core ML packages; the cascade and its decisions are the reference's (spec 20).

P-Net's package takes any image size and all crops of a stage are one batch, as in the ONNX variant.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.coreml.packages import Package
from auparity.conversion.contracts import detector_contract
from auparity.conversion.coreml import programs
from auparity.conversion.coreml.builder import Precision
from auparity.models.types import MTCNN, ConvNet
from auparity.reference.detection import Detections, detect_faces

Array = npt.NDArray[Any]


def build(mtcnn: MTCNN, mode: str) -> Callable[[Array], Detections]:
    """Stage `detection`: images (H, W, 3) uint8 B,G,R to `Detections`."""
    packages: dict[int, Package] = {}
    for name, net, side in (("pnet", mtcnn.pnet, None), ("rnet", mtcnn.rnet, 24), ("onet", mtcnn.onet, 48)):
        make = partial(_make, net, name, None if side is None else (side, side))
        packages[id(net)] = Package(name, mode, (net,), "detection", detector_contract(net, side), make)

    def run(net: ConvNet, maps: Array, dtype: npt.DTypeLike) -> Array:
        return packages[id(net)](np.asarray(maps, np.float32))

    return lambda image: detect_faces(image, mtcnn, np.float32, run)


def _make(net: ConvNet, name: str, size: tuple[int, int] | None, metadata: dict[str, str], precision: Precision) -> Any:
    return programs.network(net, 3, name, metadata, size=size, per_pixel=size is None, precision=precision)
