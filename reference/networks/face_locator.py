"""RetinaFace as a `FaceLocator`.

Its own box reaches from the forehead to the chin; that of the contract is MTCNN's after OpenFace's correction, because
constrained local models start from it, and the choice among several faces looks at it. One measured rule turns the one
into the other and back (`crops.mtcnn_box`), so a network landmarker, whose crops belong to RetinaFace's box, gets that
box again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.reference.contracts import check_image
from auparity.reference.detection import Detections
from auparity.reference.images import Images
from auparity.reference.networks.crops import mtcnn_box
from auparity.reference.networks.retinaface import STAGE, Found, RawFaces, Selection, find_faces

Array = npt.NDArray[Any]


class RetinaFaceLocator:
    """Finds faces in images of any size.

    Parameters
    ----------
    run : the network: images (N, H, W, 3) to `RawFaces`.
    selection : which of its boxes are faces.
    """

    def __init__(self, run: Callable[[Array], RawFaces], selection: Selection | None = None) -> None:
        self._run = run
        self.selection = selection or Selection()

    def locate(self, images: Images | Sequence[Array] | npt.NDArray[np.uint8]) -> list[Detections]:
        """The faces of each image, best score first; boxes as MTCNN would have them.

        Raises
        ------
        ContractError : images of another shape or dtype.
        """
        return [detections_of(find_faces(self._run, check_image(STAGE, image), self.selection)) for image in images]


def detections_of(found: Found) -> Detections:
    """What a locator says of the faces of an image: boxes as MTCNN would have them."""
    return Detections(mtcnn_box(found.boxes), found.scores, found.points)
