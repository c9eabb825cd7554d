"""Geometry descriptor of the AU models (spec 60.4): how far the fitted shape is from the mean face, and its modes.

Local parameters (N, 34) in, descriptors (N, 238) float64 out: V p, the 3D displacement of the 68 landmarks from the
mean shape in mm (all X, all Y, all Z), then p itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.types import PDM
from auparity.reference.contracts import check_array
from auparity.reference.numerics import FLOAT32, Numerics
from auparity.reference.sums import dot

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]

STAGE = "geometry"


def geometry_descriptor(params_local: Array, pdm: PDM) -> F64:
    """Geometry descriptors (N, 3n + m) float64 of local parameters (N, m), not clamped (spec 60.4).

    Parameters
    ----------
    params_local : (N, m) mm, of the fit of `pdm` to the landmarks (spec 30.7); zeros for a failed frame.
    pdm : shape model of the AU predictors. Its components are rounded to float32, in which the C++ program keeps them;
        the product is float64.

    Raises
    ------
    ContractError : another number of modes, or values that are not finite.
    """
    check_array(STAGE, "params_local", params_local, ("N", pdm.n_modes))
    p = params_local.astype(np.float64)
    components = pdm.components.astype(np.float32).astype(np.float64)
    displacement = np.stack([dot(components, row) for row in p])
    return np.concatenate([displacement, p], axis=1)


#: What is built: (N, m) to descriptors (N, 3 n + m) float64.
Geometry = Callable[[Array], F64]


def build(pdm: PDM, *, numerics: Numerics = FLOAT32) -> Geometry:
    """Stage `geometry`, which computes in float64 whatever the working precision."""
    return partial(geometry_descriptor, pdm=pdm)
