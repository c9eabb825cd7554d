"""What finds faces, above the stages: another implementation of a stage must not change numbers, another locator does.

`FaceLocator` is the interface; each kind of model has one implementation (design 3). MTCNN's is here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from auparity.reference.detection import Detections, FaceDetector
from auparity.reference.images import Images

Array = npt.NDArray[Any]


class FaceLocator(Protocol):
    """Finds faces in images."""

    def locate(self, images: Images | Sequence[Array] | npt.NDArray[np.uint8]) -> list[Detections]:
        """The faces of each image (H, W, 3) uint8 BGR: boxes (K, 4) x, y, w, h px, scores (K,), points (K, 5, 2) px."""


class MtcnnLocator:
    """MTCNN (Zhang et al., SPL 2016; spec 20): a cascade of three networks.

    Parameters
    ----------
    detect : the stage `detection`, built from the networks.
    """

    def __init__(self, detect: FaceDetector) -> None:
        self._detect = detect

    def locate(self, images: Images | Sequence[Array] | npt.NDArray[np.uint8]) -> list[Detections]:
        """The faces of each image, best score first; `ContractError` for images of another shape or dtype."""
        return [self._detect(image) for image in images]
