"""Tables for the graphs of the analysis half, the same for every target (spec 60.3, 60.6).

The reference itself, or its constants, give the nearest direction of every difference of bytes, the colour channel that
wins a tie, and the bilinear weights between pixels and cells.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.conversion.centred_models import Centred, centred
from auparity.errors import ContractError
from auparity.models.types import AUPredictors
from auparity.reference import fhog as reference
from auparity.reference.alignment import SIZE

Array = npt.NDArray[Any]
F32 = npt.NDArray[np.float32]

VOTERS = SIZE - 2  #: pixels of a row or a column that vote: all but the border
CELLS = SIZE // reference.CELL  #: along a side; the outermost are only there for the blocks of their neighbours
KEPT = CELLS - 2
SIGNED = 2 * reference.ORIENTATIONS
LENGTH = KEPT * KEPT * reference.FEATURES  #: of a descriptor
LARGEST = 255  #: of a difference of two bytes
SPAN = 2 * LARGEST + 1
RANKS = 4  #: squared lengths are multiplied by it, so that ranks fit in between; below 2**24 all the same


def directions() -> F32:
    """(511, 511): which of the 18 directions is nearest to the gradient (gy - 255, gx - 255), whole numbers.

    It is a table because projections in float32 would decide near-ties differently on devices that fuse product and
    sum.
    """
    gy, gx = np.mgrid[-LARGEST : LARGEST + 1, -LARGEST : LARGEST + 1]
    return reference.orientation(gx, gy).astype(np.float32)


def channel_ranks() -> F32:
    """(3, 110): rank of channels B, G, R by column; of channels whose gradients are equally long, the highest rank
    wins.

    This is the last of R, G, B in the columns of dlib's vector loop, and the first in the others.
    """
    in_vector_loop = np.arange(VOTERS) < reference._vector_columns(SIZE)
    return np.where(in_vector_loop, [[2], [1], [0]], [[0], [1], [2]]).astype(np.float32)


def cell_weights() -> F32:
    """(110, 14): how much of its vote each pixel from 1 to 110 gives to each cell, along one axis; multiples of 1/16.

    Votes for cells outside of the image are left out.
    """
    first, towards_second = reference._votes(VOTERS)
    weights = np.zeros((VOTERS, CELLS + 2))
    pixels = np.arange(VOTERS)
    weights[pixels, first + 1] = 1 - towards_second
    weights[pixels, first + 2] = towards_second
    return weights[:, 1:-1].astype(np.float32)


def static_models(predictors: AUPredictors) -> Centred:
    """AU models that need no medians.

    Raises
    ------
    ContractError : a model is dynamic, or the models are not for descriptors of 112 px faces.
    """
    models = centred(predictors)
    if models.needs_medians:
        raise ContractError("conversion", "predictors", "static models only: medians need a state", "dynamic ones too")
    if len(models.still) <= LENGTH:
        expected = f"models of more than the {LENGTH} features of FHOG"
        raise ContractError("conversion", "predictors", expected, f"{len(models.still)}")
    return models
