"""Response maps on a GPU (spec 40): parameters of faces in, maps (B, n, w, w) out, nothing between leaves the device.

Two launches for CCNF experts (places, maps) and four for CEN ones (places, faces in order of their views, networks,
maps), whatever the batch. Kernels look experts up by the view that the first one chose: no decision waits for the host.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.checks import check_areas, check_gray, check_small
from auparity.accelerated.cupy.ccnf import CCNFScaleBatch
from auparity.accelerated.cupy.cen import CENScaleBatch
from auparity.accelerated.cupy.device import Device, shared_device
from auparity.accelerated.cupy.launch import check_device_array
from auparity.accelerated.cupy.place import PlaceBatch, Places
from auparity.errors import ContractError
from auparity.models.types import CCNFExperts, CENExperts, LandmarkModel
from auparity.models.types import PatchExperts as Experts
from auparity.reference.patch_experts import ResponseMaps

Array = npt.NDArray[Any]

STAGE = "patch_experts"


@dataclass(frozen=True, eq=False)
class MapsBatch:
    """Response maps of one scale, arrays on the device.

    A face that is not active has 0 everywhere; one whose landmarks all coincide (`good` is 0) has maps and similarities
    of 0. Maps of landmarks that the view does not show mean nothing.
    """

    maps: Any  #: (B, n, w, w) float32
    visible: Any  #: (B, n) uint8
    img_to_ref: Any  #: (B, 2, 2) float32, image offsets to reference-frame offsets
    ref_to_img: Any  #: (B, 2, 2) float32, its inverse
    view: Any  #: (B,) int32, index of the experts' view
    good: Any  #: (B,) uint8


class ExpertsBatch:
    """The patch experts of one landmark model on a device.

    Raises
    ------
    ContractError : experts of both kinds in one model, patches or networks of several forms at a scale.
    """

    def __init__(self, device: Device, model: LandmarkModel) -> None:
        self.device = device
        self.scales = tuple(float(experts.scale) for experts in model.experts)
        self._place = PlaceBatch(device, model.pdm, model.experts)
        self._scales = [self._scale(experts, model.experts[-1]) for experts in model.experts]

    @property
    def n_points(self) -> int:
        return self._place.n_points

    @property
    def n_modes(self) -> int:
        return self._place.n_modes

    def _scale(self, experts: Experts, last: Experts) -> CCNFScaleBatch | CENScaleBatch:
        if isinstance(experts, CCNFExperts) and isinstance(last, CCNFExperts):
            return CCNFScaleBatch(self.device, experts, last)
        if isinstance(experts, CENExperts) and isinstance(last, CENExperts):
            return CENScaleBatch(self.device, experts, last)
        raise ContractError(STAGE, "model", "experts of one kind at all scales", "a mixture")

    def response_maps(
        self, gray: Any, frame: Any, g: Any, p: Any, window: int, scale_index: int, active: Any
    ) -> MapsBatch:
        """Response maps around the landmarks of given parameters; arrays on the device.

        Parameters
        ----------
        gray : (S, H, W) uint8. frame : (B,) int32, the image that each face lies in.
        g, p : (B, 6), (B, m) float32. active : (B,) uint8, 0 for a face to be left alone.
        window : side w of the maps, odd. scale_index : which of `scales`.

        Raises
        ------
        ContractError : shapes or dtypes that do not fit, an even window, a scale that the model does not have.
        """
        (count,) = check_device_array(STAGE, "frame", frame, ("B",), np.int32)
        check_device_array(STAGE, "gray", gray, ("S", "H", "W"), np.uint8)
        check_device_array(STAGE, "params_global", g, (count, 6), np.float32)
        check_device_array(STAGE, "params_local", p, (count, self.n_modes), np.float32)
        check_device_array(STAGE, "active", active, (count,), np.uint8)
        _check_choice(window, scale_index, len(self.scales))
        places = self._place(g, p, active, scale_index)
        maps = self._scales[scale_index].responses(gray, frame, places, window)
        return MapsBatch(maps, places.visible, places.img_to_ref, places.ref_to_img, places.view, places.good)

    def area_responses(self, areas: Any, landmarks: Array, scale_index: int, view: int) -> Any:
        """Maps (K, w, w) on the device of areas (K, w + s - 1, w + s - 1) float32 there; s is the side of a patch.

        Every area stands for an image in which all landmarks of a face lie in the middle, upright and at the scale of
        the experts; the map of one of them is kept. That computes maps for nothing, but with the pipeline's kernels.
        """
        (count, side, _), scale, n = areas.shape, self._scales[scale_index], self.n_points
        window = side - scale.support + 1
        _check_choice(window, scale_index, len(self.scales))
        upload = self.device.upload
        upright = upload(np.repeat(np.eye(2, dtype=np.float32)[None], count, axis=0))
        middle = upload(np.full((count, n, 2), (side - 1) / 2, np.float32))
        views, ones = upload(np.full(count, view, np.int32)), upload(np.ones(count, np.uint8))
        places = Places(middle, upright, upright, views, ones, upload(np.ones((count, n), np.uint8)))
        maps = scale.responses(areas, upload(np.arange(count, dtype=np.int32)), places, window)
        with self.device.active():
            return maps[upload(np.arange(count)), upload(landmarks.astype(np.int64))]


def _check_choice(window: int, scale_index: int, scales: int) -> None:
    if window < 1 or window % 2 == 0:
        raise ContractError(STAGE, "window", "an odd number of at least 1", str(window))
    if not 0 <= scale_index < scales:
        raise ContractError(STAGE, "scale_index", f"0 to {scales - 1}", str(scale_index))


class PatchExperts:
    """Stage `patch_experts` of one landmark model with arrays on the host, see `PatchExpertStage`."""

    def __init__(self, model: LandmarkModel, device: Device) -> None:
        self.batch = ExpertsBatch(device, model)
        self.scales = self.batch.scales
        self._views = [len(experts.view_centres) for experts in model.experts]

    def response_maps(
        self, gray: Array, params_global: Array, params_local: Array, window: int, scale_index: int
    ) -> ResponseMaps:
        """Response maps around the landmarks of given parameters; arguments and errors as in the reference.

        Raises
        ------
        ContractError : also where `gray` has values that are no whole grey levels, which stage `grayscale` never makes.
        """
        check_gray(STAGE, gray)
        count, batch = len(gray), self.batch
        check_small(STAGE, "params_global", params_global, (count, 6), np.float32)
        check_small(STAGE, "params_local", params_local, (count, batch.n_modes), np.float32)
        with np.errstate(invalid="ignore"):
            levels = gray.astype(np.uint8)
        if not np.array_equal(levels, gray):
            raise ContractError(STAGE, "gray", "whole numbers from 0 to 255", "other values")
        upload, download = batch.device.upload, batch.device.download
        responses = batch.response_maps(
            upload(levels), upload(np.arange(count, dtype=np.int32)), upload(params_global), upload(params_local),
            window, scale_index, upload(np.ones(count, np.uint8)),
        )  # fmt: skip
        if not download(responses.good).all():
            raise ContractError(STAGE, "params_global", "a face of some extent", "landmarks that all coincide")
        return ResponseMaps(
            download(responses.maps), download(responses.visible) != 0, download(responses.img_to_ref),
            download(responses.ref_to_img), download(responses.view).astype(np.int64),
        )  # fmt: skip

    def area_responses(self, areas: Array, landmarks: Array, scale_index: int, view: int = 0) -> Array:
        """Response maps (K, w, w) of areas that somebody else has cut out, as in the reference.

        Raises
        ------
        ContractError : also where the areas make maps of an even side, which the kernels do not compute.
        """
        check_areas(STAGE, areas, landmarks, scale_index, view, self._views, self.batch.n_points)
        device = self.batch.device
        maps: Array = device.download(self.batch.area_responses(device.upload(areas), landmarks, scale_index, view))
        return maps


def build(model: LandmarkModel, device: Device | None = None) -> PatchExperts:
    """Stage `patch_experts`, on the shared GPU where no device is given."""
    return PatchExperts(model, device or shared_device())
