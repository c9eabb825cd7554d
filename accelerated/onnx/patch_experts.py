"""CE-CLM patch experts as grouped ONNX graphs: one for each scale and view, all landmarks in one run (spec 40.7).

CCNF experts are left to other variants: their patches are few and their sums short, and a graph of them would spend its
time in the runtime's overhead.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy.typing as npt

from auparity.accelerated.grouped_experts import GroupedScale
from auparity.accelerated.onnx.session import Session
from auparity.conversion.onnx_graphs import grouped_experts, metadata_of
from auparity.models.types import CENExperts, CENPatch, LandmarkModel
from auparity.reference.numerics import FLOAT32
from auparity.reference.patch_experts import PatchExpertBank
from auparity.reference.pdm import ShapeModel

Array = npt.NDArray[Any]


def serves(model: LandmarkModel) -> str | None:
    """Why a model's experts cannot run here; None when they can."""
    return None if model.kind == "cen" else "serves CE-CLM experts only, these are CCNF"


def _runner(patches: list[CENPatch], provider: str) -> Callable[[Array], Array]:
    contract = "normalised patches (experts, positions, 1 + 121) float32 to responses (experts, positions)"
    session = Session(grouped_experts(patches, "experts", metadata_of("", "", "patch_experts", contract)), provider)
    return lambda values: session(values)


class PatchExperts(PatchExpertBank):
    """Stage `patch_experts` of one CE-CLM model: the reference's plumbing around grouped graphs."""

    def __init__(self, model: LandmarkModel, provider: str) -> None:
        super().__init__(model, ShapeModel(model.pdm, FLOAT32))
        last = model.experts[-1]
        self._grouped = [
            GroupedScale(experts, last, partial(_runner, provider=provider))
            for experts in model.experts
            if isinstance(experts, CENExperts) and isinstance(last, CENExperts)
        ]

    def experts_at(self, scale_index: int) -> Any:
        """The experts of one scale."""
        return self._grouped[scale_index]


def build(model: LandmarkModel, provider: str = "onnx") -> PatchExperts:
    """Stage `patch_experts`."""
    return PatchExperts(model, provider)
