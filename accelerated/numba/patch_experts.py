"""Response maps (spec 40): from gray images and parameters (N, 6), (N, m) to maps (N, n, w, w) and similarities.

View, similarity and landmarks of a face are one kernel, bit for bit the reference's; the maps of a scale are another
(ccnf.py, cen.py).
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from auparity.accelerated.checks import check_areas, check_gray, check_small
from auparity.accelerated.numba.ccnf import CCNFScale
from auparity.accelerated.numba.cen import CENScale
from auparity.accelerated.numba.compile import kernel
from auparity.accelerated.numba.linear import rotation_from_euler
from auparity.accelerated.numba.pdm import ModelArrays, project, shape_flat
from auparity.accelerated.numba.similarity import align_with_scale, invert_2x2
from auparity.errors import ContractError
from auparity.models.types import CCNFExperts, CENExperts, LandmarkModel
from auparity.reference.patch_experts import ResponseMaps

Array = npt.NDArray[Any]

STAGE = "patch_experts"


class _Scale(Protocol):
    def responses(
        self, gray: Array, landmarks: Array, ref_to_img: Array, window: int, view: int
    ) -> tuple[Array, Array]: ...
    def area_responses(self, areas: Array, landmarks: Array, view: int) -> Array: ...


@kernel
def _place(
    mean: Array, modes: Array, scale: np.float32, centres: Array, g: Array, p: Array
) -> tuple[Array, Array, Array, int, bool]:
    """Landmarks (2, n) px, image-to-reference similarity and its inverse, view; False for a face without extent."""
    shape = shape_flat(mean, modes, p)
    landmarks = project(g, rotation_from_euler(g[1], g[2], g[3]), shape)
    upright = np.zeros(6, np.float32)
    upright[0] = scale
    zero = np.float32(0)
    reference = project(upright, rotation_from_euler(zero, zero, zero), shape)
    img_to_ref, good = align_with_scale(landmarks.copy(), reference)
    view, nearest = 0, np.float32(np.inf)
    for k in range(centres.shape[0]):
        a, b, c = g[1] - centres[k, 0], g[2] - centres[k, 1], g[3] - centres[k, 2]
        distance = (a * a + b * b) + c * c
        if distance < nearest:  # the first wins ties
            view, nearest = k, distance
    return landmarks, img_to_ref, invert_2x2(img_to_ref), view, good


class PatchExperts:
    """Stage `patch_experts` of one landmark model, see `auparity.reference.stages.PatchExpertStage`."""

    def __init__(self, model: LandmarkModel) -> None:
        self.arrays = ModelArrays(model.pdm)
        self.scales = tuple(float(experts.scale) for experts in model.experts)
        self._float_scales = tuple(np.float32(scale) for scale in self.scales)
        self._centres = [
            np.ascontiguousarray(np.deg2rad(experts.view_centres), np.float32) for experts in model.experts
        ]
        self._scales = [self._scale(experts, model.experts[-1]) for experts in model.experts]

    def _scale(self, experts: CCNFExperts | CENExperts, last: CCNFExperts | CENExperts) -> _Scale:
        if isinstance(experts, CCNFExperts) and isinstance(last, CCNFExperts):
            return CCNFScale(experts, last)
        if isinstance(experts, CENExperts) and isinstance(last, CENExperts):
            return CENScale(experts, last)
        raise ContractError(STAGE, "model", "experts of one kind at all scales", "a mixture")

    def response_maps(
        self, gray: Array, params_global: Array, params_local: Array, window: int, scale_index: int
    ) -> ResponseMaps:
        """Response maps around the landmarks of given parameters; arguments and errors as in the reference."""
        check_gray(STAGE, gray)
        count, own = len(gray), self.arrays
        check_small(STAGE, "params_global", params_global, (count, 6), np.float32)
        check_small(STAGE, "params_local", params_local, (count, own.n_modes), np.float32)
        if window < 1 or window % 2 == 0:
            raise ContractError(STAGE, "window", "an odd number of at least 1", str(window))
        if not 0 <= scale_index < len(self.scales):
            raise ContractError(STAGE, "scale_index", f"0 to {len(self.scales) - 1}", str(scale_index))
        gray = np.ascontiguousarray(gray)
        maps = np.empty((count, own.n_points, window, window), np.float32)
        visible, view = np.empty((count, own.n_points), np.bool_), np.empty(count, np.int64)
        similarities = np.empty((2, count, 2, 2), np.float32)
        scale, centres = self._float_scales[scale_index], self._centres[scale_index]
        for k in range(count):
            landmarks, similarities[0, k], similarities[1, k], view[k], good = _place(
                own.mean, own.modes, scale, centres, params_global[k], params_local[k]
            )
            if not good:
                raise ContractError(STAGE, "params_global", "a face of some extent", "landmarks that all coincide")
            maps[k], visible[k] = self._scales[scale_index].responses(
                gray[k], landmarks, similarities[1, k], window, int(view[k])
            )
        return ResponseMaps(maps, visible, similarities[0], similarities[1], view)

    def area_responses(self, areas: Array, landmarks: Array, scale_index: int, view: int = 0) -> Array:
        """Response maps (K, w, w) of areas that somebody else has cut out, as in the reference."""
        views = [len(centres) for centres in self._centres]
        check_areas(STAGE, areas, landmarks, scale_index, view, views, self.arrays.n_points)
        return self._scales[scale_index].area_responses(areas, landmarks, view)


def build(model: LandmarkModel) -> PatchExperts:
    """Stage `patch_experts`."""
    return PatchExperts(model)
