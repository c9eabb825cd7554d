"""RetinaFace as integrators of OpenFace ports call it: the first backend that runs here, and how fast it is.

The order is theirs: Core ML, then CUDA, then the processor. Pipelines choose otherwise, by what has been measured
(`choices.py`). Nothing is computed here: every backend is a registered variant of the stage `face_network`.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy.typing as npt

from auparity.accelerated.registry import REFERENCE, registry
from auparity.errors import AuparityError, ContractError
from auparity.media import read_photograph
from auparity.models.networks.published import read_network
from auparity.models.types import RetinaFace
from auparity.reference.networks.retinaface import Found, RawFaces, find_faces

Array = npt.NDArray[Any]

STAGE = "face_network"
#: Backends in the order in which they are tried.
ORDER = ("coreml", "onnx-cuda", "torch-cuda", "numba", "onnx", "torch", REFERENCE)


@dataclass(frozen=True)
class DetectorTiming:
    """How a detector ran on one image."""

    backend: str
    milliseconds: float  #: median of the iterations: pixels to faces
    best_milliseconds: float
    faces: int  #: found in the image
    passed: dict[str, str]  #: backends that were tried before, and why they cannot run here

    @property
    def frames_per_second(self) -> float:
        return 1000 / self.milliseconds


def detector_backends(weights: RetinaFace | None = None) -> dict[str, str | None]:
    """The backends in their order, with why each cannot run here (on these weights); None for those that can."""
    parts = () if weights is None else (weights,)
    known = registry().of_stage(STAGE)
    return {name: known[name].unavailable_reason(parts) for name in ORDER if name in known}


def best_detector(weights: RetinaFace) -> tuple[str, Callable[[Array], Found], dict[str, str]]:
    """The first backend that runs here: its name, images (H, W, 3) uint8 BGR to faces, and why others cannot."""
    passed: dict[str, str] = {}
    for name, why in detector_backends(weights).items():
        if why is not None:
            passed[name] = why
            continue
        network: Callable[[Array], RawFaces] = registry().get(STAGE, name).build(weights)
        return name, partial(find_faces, network), passed
    raise AssertionError("the reference runs everywhere")


def benchmark_detector(
    image_path: str | os.PathLike[str], model_path: str | os.PathLike[str], num_iterations: int = 50
) -> DetectorTiming:
    """Time RetinaFace on one image, by the first backend that runs here.

    Parameters
    ----------
    image_path : an image file.
    model_path : a published file of RetinaFace (`auparity.models.networks.published`).
    num_iterations : at least 1, after one that is not counted.

    Raises
    ------
    ContractError : no iterations. VideoError : the image cannot be read. ModelFormatError : the file is none that is
        read. AuparityError : it is another network's.
    """
    if num_iterations < 1:
        raise ContractError(STAGE, "num_iterations", "at least 1", str(num_iterations))
    image, _ = read_photograph(Path(image_path))
    published = read_network(model_path)
    if not isinstance(published.network, RetinaFace):
        kind = type(published.network).__name__
        raise AuparityError(f"{published.file}: holds {kind}, which finds no faces; a file of RetinaFace is needed.")
    name, detect, passed = best_detector(published.network)
    found, times = detect(image), []
    for _ in range(num_iterations):
        start = time.perf_counter()
        detect(image)
        times.append(1000 * (time.perf_counter() - start))
    return DetectorTiming(name, statistics.median(times), min(times), len(found.boxes), passed)
