"""Files as TensorFlow.js writes them: a manifest, and the numbers of its weights, quantised to bytes or not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from auparity.models.types import FaceApi
from auparity.parity_tests.unit.helpers import random_networks

#: The parts of our names, and what face-api calls them and in which order of axes it has them.
PARTS = {
    "depthwise.weight": ("depthwise_filter", (2, 3, 0, 1)),
    "pointwise.weight": ("pointwise_filter", (2, 3, 1, 0)),
    "pointwise.bias": ("bias", (0,)),
    "weight": ("filters", (2, 3, 1, 0)),
    "bias": ("bias", (0,)),
}


def manifest(
    arrays: Mapping[str, np.ndarray], path: str = "w.bin", *, quantised: str = "uint8"
) -> tuple[list[dict[str, Any]], bytes]:
    """The groups of a manifest with one file of numbers, and that file; `quantised` "" keeps float32."""
    weights, data = [], b""
    for name, array in arrays.items():
        weight: dict[str, Any] = {"name": name, "shape": list(array.shape), "dtype": "float32"}
        if quantised:
            low, high = float(array.min()), float(array.max())
            scale = (high - low) / np.iinfo(quantised).max or 1.0
            weight["quantization"] = {"dtype": quantised, "scale": scale, "min": low}
            data += np.rint((array - low) / scale).astype(np.dtype(quantised).newbyteorder("<")).tobytes()
        else:
            data += array.astype("<f4").tobytes()
        weights.append(weight)
    return [{"weights": weights, "paths": [path]}], data


def write(folder: Path, name: str, groups: list[dict[str, Any]], data: bytes) -> Path:
    """A manifest NAME.json and NAME.bin; the manifest's path."""
    (folder / f"{name}.bin").write_bytes(data)
    (folder / f"{name}.json").write_text(json.dumps(groups))
    return folder / f"{name}.json"


def published(network: FaceApi) -> dict[str, np.ndarray]:
    """The weights of a network under the names and in the axes of face-api's files."""
    arrays = {}
    for name, values in network.tensors.by_name().items():
        if name == "fc.weight":
            arrays["fc/weights"] = values.T
            continue
        ours = next(part for part in PARTS if name.endswith(f".{part}"))
        theirs, axes = PARTS[ours]
        arrays[f"{name.removesuffix(f'.{ours}').replace('.', '/')}/{theirs}"] = values.transpose(axes)
    return arrays


def face_api(folder: Path, name: str, *, tiny: bool = False) -> str:
    """The path of a manifest with a network of random weights."""
    groups, data = manifest(published(random_networks.face_api(tiny=tiny)), f"{name}.bin")
    return str(write(folder, name, groups, data))
