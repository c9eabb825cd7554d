"""CE-CLM patch experts as grouped ONNX graphs: one for each scale and view, all landmarks in one run (spec 40.7).

CCNF experts are left to other variants: they have few patches and short sums, so a graph of them would take most of its
time for overhead of the runtime.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy.typing as npt

from auparity.accelerated.grouped.layout import GroupedPatchExperts
from auparity.accelerated.onnx.session import Session
from auparity.conversion.onnx.graphs import grouped_experts, metadata_of
from auparity.models.types import CENPatch, LandmarkModel

Array = npt.NDArray[Any]


def unsupported_reason(model: LandmarkModel) -> str | None:
    """Why a model's experts cannot run here; None when they can."""
    return None if model.kind == "cen" else "supports only CE-CLM experts, these are CCNF"


def _runner(patches: list[CENPatch], provider: str) -> Callable[[Array], Array]:
    contract = "normalised patches (experts, positions, 1 + 121) float32 to responses (experts, positions)"
    session = Session(grouped_experts(patches, "experts", metadata_of("", "", "patch_experts", contract)), provider)
    return lambda values: session(values)


def build(model: LandmarkModel, provider: str = "onnx") -> GroupedPatchExperts:
    """Stage `patch_experts`."""
    return GroupedPatchExperts(model, partial(_runner, provider=provider))
