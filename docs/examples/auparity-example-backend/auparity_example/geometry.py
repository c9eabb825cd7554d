"""Geometry descriptors of a batch by one sum of products: (N, m) local parameters to (N, 3n + m) float64.

Products are added up in another order than the reference's, so values may differ in the last bits of float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.types import PDM
from auparity.reference.contracts import check_array

Array = npt.NDArray[Any]


def build(pdm: PDM) -> Callable[[Array], Array]:
    """Stage `geometry` of one shape model, see auparity.reference.stages."""
    modes = np.asarray(pdm.components, np.float32).astype(np.float64)  # float32 is what the C++ program keeps

    def geometry(params_local: Array) -> Array:
        check_array("geometry", "params_local", params_local, ("N", pdm.n_modes))
        p = params_local.astype(np.float64)
        return np.concatenate([np.einsum("im,nm->ni", modes, p), p], axis=1)

    return geometry
