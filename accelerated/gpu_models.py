"""Which bundles the pipeline that stays on a GPU has kernels for; asked also where there is no GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auparity.models.types import MTCNN, FaceModel, LandmarkNetwork, NetworkStart, RetinaFace

if TYPE_CHECKING:
    from auparity.models.contents import BundleContents


def unserved_reason(bundle: BundleContents) -> str | None:
    """Why the pipeline that stays on the GPU cannot take these models; None where it can."""
    locator, landmarker = bundle.serving("locator"), bundle.serving("landmarker")
    for role, model, kinds in (
        ("locator", locator, (MTCNN, RetinaFace)),
        ("landmarker", landmarker, (FaceModel, NetworkStart, LandmarkNetwork)),
    ):
        if not isinstance(model, kinds):
            return (
                f"the pipeline that stays on the GPU has no {role} for a model of kind {type(model).__name__}; take "
                "the processor's: PipelineOptions(device='cpu')"
            )
    return None
