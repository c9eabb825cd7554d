"""Geometry descriptor (spec 60.4): local parameters (N, m) to (N, 3n + m) float64, coordinates as SIMD lanes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.checks import check_small
from auparity.accelerated.numba.compile import kernel
from auparity.models.types import PDM
from auparity.reference.contracts import check_array
from auparity.reference.geometry import STAGE

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]


@kernel
def _describe(modes: Array, p: Array) -> Array:
    m, size = modes.shape
    out = np.zeros((p.shape[0], size + m), np.float64)
    for k in range(p.shape[0]):
        for j in range(m):
            factor = p[k, j]
            for i in range(size):
                out[k, i] += modes[j, i] * factor
            out[k, size + j] = factor
    return out


class Geometry:
    """Stage `geometry` of one PDM; its components are rounded to float32 as the C++ program keeps them."""

    def __init__(self, pdm: PDM) -> None:
        self._modes = np.ascontiguousarray(np.asarray(pdm.components, np.float32).T.astype(np.float64))  # (m, 3n)

    def __call__(self, params_local: Array) -> F64:
        """Descriptors (N, 3n + m) float64 of (N, m); errors as in the reference."""
        if not isinstance(params_local, np.ndarray) or params_local.ndim != 2:
            check_array(STAGE, "params_local", params_local, ("N", len(self._modes)))
        check_small(STAGE, "params_local", params_local, (len(params_local), len(self._modes)), params_local.dtype)
        described: F64 = _describe(self._modes, np.ascontiguousarray(params_local, np.float64))
        return described


def build(pdm: PDM) -> Callable[[Array], F64]:
    """Stage `geometry`."""
    return Geometry(pdm)
