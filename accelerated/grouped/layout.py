"""Stage `patch_experts` for runtimes that are fast with few large products: all experts of a view at once.

A technology evaluates the networks of CEN experts, or the neurons of CCNF experts; experts.py and ccnf.py of this
folder do the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy.typing as npt

from auparity.accelerated.grouped.ccnf import Fields, GroupedFields
from auparity.accelerated.grouped.experts import GroupedScale
from auparity.models.types import CCNFExperts, CENExperts, CENPatch, LandmarkModel
from auparity.reference.numerics import FLOAT32
from auparity.reference.patch_experts import PatchExpertBank
from auparity.reference.pdm import ShapeModel

Array = npt.NDArray[Any]


class GroupedPatchExperts(PatchExpertBank):
    """The experts of one landmark model.

    Parameters
    ----------
    networks : the CEN experts of a view to a function of patches (K, P, inputs) to responses (K, P).
    fields : the CCNF experts of a view and window likewise; None for a technology that leaves them to others.
    """

    def __init__(
        self,
        model: LandmarkModel,
        networks: Callable[[list[CENPatch]], Callable[[Array], Array]],
        fields: Callable[[Fields], Callable[[Array], Array]] | None = None,
    ) -> None:
        super().__init__(model, ShapeModel(model.pdm, FLOAT32))
        last = model.experts[-1]
        self._grouped: list[GroupedFields | GroupedScale] = []
        for experts in model.experts:
            if isinstance(experts, CENExperts) and isinstance(last, CENExperts):
                self._grouped.append(GroupedScale(experts, last, networks))
            elif fields is not None and isinstance(experts, CCNFExperts) and isinstance(last, CCNFExperts):
                self._grouped.append(GroupedFields(experts, last, fields))

    def experts_at(self, scale_index: int) -> Any:
        """The experts of one scale."""
        return self._grouped[scale_index]
