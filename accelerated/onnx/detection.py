"""MTCNN with its three networks in ONNX Runtime; the cascade and its decisions are the reference's (spec 20).

All crops of a stage are one batch, and an image's pyramid levels run one after the other on one graph of dynamic size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.onnx.session import Session
from auparity.conversion.contracts import detector_contract
from auparity.conversion.onnx.graphs import metadata_of, network
from auparity.models.types import MTCNN, ConvNet
from auparity.reference.detection import Detections, detect_faces

Array = npt.NDArray[Any]


def build(mtcnn: MTCNN, provider: str = "onnx") -> Callable[[Array], Detections]:
    """Stage `detection`: images (H, W, 3) uint8 B,G,R to `Detections`."""
    sessions = {}
    for name, net, side in (("pnet", mtcnn.pnet, None), ("rnet", mtcnn.rnet, 24), ("onet", mtcnn.onet, 48)):
        metadata = metadata_of("", "", "detection", detector_contract(net, side))
        sessions[id(net)] = Session(network(net, 3, name, metadata, per_pixel=name == "pnet"), provider)

    def run(net: ConvNet, maps: Array, dtype: npt.DTypeLike) -> Array:
        return sessions[id(net)](np.asarray(maps, np.float32))

    return lambda image: detect_faces(image, mtcnn, np.float32, run)
