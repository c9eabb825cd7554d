"""Patch experts as grouped Core ML packages: one for each scale and view, all landmarks in one run (spec 40.7, 40.8).

CE-CLM: whole networks. CCNF: the neurons and their sums; Sigma and the minimum of a map stay here, in float32, because
a package of neurons can be used for every window, and Sigma has most of a CCNF expert's bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.coreml.packages import Package
from auparity.accelerated.grouped.ccnf import Fields
from auparity.accelerated.grouped.layout import GroupedPatchExperts
from auparity.conversion.coreml import programs
from auparity.conversion.coreml.builder import Precision
from auparity.models.types import CCNFPatch, CENPatch, LandmarkModel

Array = npt.NDArray[Any]

CONTRACT = "normalised patches (experts, positions, 1 + pixels) float32 to responses (experts, positions)"


class PatchExperts(GroupedPatchExperts):
    """Stage `patch_experts` of one landmark model."""

    def __init__(self, model: LandmarkModel, mode: str) -> None:
        self._mode = mode
        self._neurons: dict[tuple[int, ...], Package] = {}  # by experts: the same for all windows of a view
        super().__init__(model, self._networks, self._fields)

    def _networks(self, patches: list[CENPatch]) -> Callable[[Array], Array]:
        make = partial(_networks, patches)
        return Package("experts", self._mode, tuple(patches), "patch_experts", CONTRACT, make)

    def _fields(self, fields: Fields) -> Callable[[Array], Array]:
        key = tuple(map(id, fields.experts))
        if key not in self._neurons:
            make = partial(_neurons, fields.experts)
            self._neurons[key] = Package("neurons", self._mode, fields.experts, "patch_experts", CONTRACT, make)
        package = self._neurons[key]

        def run(patches: Array) -> Array:
            smooth: Array = np.matmul(fields.sigma, package(patches)[..., None])[..., 0]
            return smooth

        return run


def _networks(patches: Sequence[CENPatch], metadata: dict[str, str], precision: Precision) -> Any:
    return programs.grouped_experts(patches, "experts", metadata, precision=precision)


def _neurons(patches: Sequence[CCNFPatch], metadata: dict[str, str], precision: Precision) -> Any:
    return programs.grouped_ccnf(patches, "neurons", metadata, precision=precision)


def build(model: LandmarkModel, mode: str) -> PatchExperts:
    """Stage `patch_experts`."""
    return PatchExperts(model, mode)
