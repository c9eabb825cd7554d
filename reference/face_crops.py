"""What a measured face looks like to the AU models, for files beside the table: its FHOG descriptor, and the aligned
face in any size (spec 60.1 steps 2 and 3, 60.2, 80.4). An image (H, W, 3) uint8 BGR and landmarks (68, 2) px in.

Everything follows from the image and the landmarks of a result, so that it does not matter which pipeline found them,
in a clip or in a single image, nor how many faces a frame has.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.types import AUPredictors
from auparity.reference.alignment import AU_CROP, SIZE, Crop, align_faces
from auparity.reference.fhog import CELL
from auparity.reference.grayscale import to_gray
from auparity.reference.numerics import Numerics
from auparity.reference.stages import Stages

Array = npt.NDArray[Any]
F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]


class FaceCrops:
    """Aligned faces and their descriptors.

    Parameters
    ----------
    predictors : the AU models whose PDM and triangulation are used.
    stages : implementations of the stages. Only the AU models' own crop is a stage; others are the reference's.
    numerics : working precision of other crops.
    """

    def __init__(self, predictors: AUPredictors, stages: Stages, numerics: Numerics) -> None:
        self._predictors, self._numerics = predictors, numerics
        self._fit_shape = stages.fit_shape(predictors.pdm)
        self._align = stages.alignment(predictors)
        self._fhog = stages.fhog()

    def aligned(self, image: Array, landmarks: Array | None, crop: Crop = AU_CROP) -> U8:
        """(size, size, 3) uint8 BGR; black without landmarks, as for a frame without a face."""
        if landmarks is None:
            return np.zeros((crop.size, crop.size, 3), np.uint8)
        params_global, _ = self._fit_shape(landmarks[None])
        if crop == AU_CROP:
            return np.asarray(self._align(image[None], landmarks[None], params_global)[0])
        pdm, triangulation = self._predictors.pdm, self._predictors.triangulation
        return align_faces(image[None], landmarks[None], params_global, pdm, triangulation, self._numerics, crop)[0]

    def descriptor(self, image: Array, landmarks: Array | None) -> F32:
        """(12, 12, 31) float32, rows first: the FHOG descriptor of `aligned`."""
        cells = SIZE // CELL - 2  # the cells at the border have no descriptor
        flat = self._fhog(self.aligned(image, landmarks)[None])[0]
        return np.ascontiguousarray(flat.reshape(cells, cells, -1), np.float32)


def gray_face(aligned: U8) -> U8:
    """(size, size, 3) uint8 BGR to (size, size)."""
    return to_gray(aligned[None])[0]
