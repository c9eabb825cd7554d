"""The networks that find points in a crop of a face, as one stage (spec 95.2 to 95.4, 95.6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy.typing as npt

from auparity.models.types import PFLD, STAR, FaceApi, MobileFaceNet, PointNetwork
from auparity.reference.networks.face_api import FaceApiNetwork
from auparity.reference.networks.mobilefacenet import MobileFaceNetwork
from auparity.reference.networks.pfld import PfldNetwork
from auparity.reference.networks.star import StarNetwork
from auparity.reference.numerics import FLOAT32, Numerics

Array = npt.NDArray[Any]

#: What is built: crops (N, side, side, 3) uint8 BGR to points (N, P, 2), in parts of the crop (PFLD, MobileFaceNet,
#: face-api) or from -1 to 1 (STAR).
FindPoints = Callable[[Array], Array]


def build(weights: PointNetwork, *, numerics: Numerics = FLOAT32) -> FindPoints:
    """Stage `point_network`."""
    match weights:
        case PFLD():
            return PfldNetwork(weights, numerics.dtype)
        case MobileFaceNet():
            return MobileFaceNetwork(weights, numerics.dtype)
        case FaceApi():
            return FaceApiNetwork(weights, numerics.dtype)
        case STAR():
            return StarNetwork(weights, numerics.dtype)
