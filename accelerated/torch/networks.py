"""Network detectors and landmarkers in PyTorch; pixels, decoding and points are the reference's (spec 95).

The layers are the reference's own description, norms folded into convolutions; on a processor maps are kept with the
channels last, which its convolutions take twice as fast.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from auparity.accelerated.torch.device import device_of
from auparity.accelerated.torch.network_layers import TorchLayers
from auparity.conversion.networks.folding import fold
from auparity.models.types import PointNetwork, RetinaFace
from auparity.reference.networks.parts import parts_of

Array = npt.NDArray[Any]


def build(weights: RetinaFace | PointNetwork, device: str | None = None) -> Callable[[Array], Any]:
    """Stages `face_network` and `point_network` on one device."""
    where, parts = device_of(device), parts_of(weights)
    folded = fold(weights.tensors, parts.graph)
    layers = TorchLayers.of_arrays(folded.arrays, where, folded.norms)

    @torch.inference_mode()
    def run(maps: Array) -> list[Array]:
        given = torch.from_numpy(np.asarray(maps, np.float32)).to(where, memory_format=torch.channels_last)
        return [output.float().cpu().numpy() for output in parts.graph(layers, given)]

    return lambda pixels: parts(run, pixels)
