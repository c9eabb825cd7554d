"""CCNF patch experts for runtimes that want few large products: all experts of a view in one call (spec 40.8).

Patches of all landmarks are cut out and normalised together; a function from patches (K, P, 1 + taps) to maps (K, P) is
the runtime's: neurons, their sigmoids (float64) and the field's covariance, as three batched products.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError
from auparity.models.types import CCNFExperts, CCNFPatch
from auparity.reference.numerics import FLOAT32
from auparity.reference.patch_experts import SMALLEST_ALPHA, extract_areas, field_covariances, normalised_patches

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Fields:
    """The experts of one view and window as arrays, K landmarks with neurons."""

    members: Array  #: (K,) landmarks
    support: tuple[int, int]  #: height and width of the patches
    weights: Array  #: (K, 1 + taps, neurons) float32, bias first
    alphas: Array  #: (K, neurons) float64, 0 for those that are left out
    sigma: Array  #: (K, P, P) float32
    experts: tuple[CCNFPatch, ...]  #: (K,) what the arrays were made of


class GroupedFields:
    """The CCNF experts of one scale, as reference/patch_experts.CCNFScale.

    Parameters
    ----------
    experts, covariances : as the reference takes them.
    make_runner : called once for each view and window; its function maps patches (K, P, 1 + taps) to (K, P).
    """

    def __init__(
        self, experts: CCNFExperts, covariances: CCNFExperts, make_runner: Callable[[Fields], Callable[[Array], Array]]
    ) -> None:
        self._experts, self._make_runner = experts, make_runner
        self._components = dict(zip(covariances.window_sizes, covariances.sigma_components, strict=True))
        self._runners: dict[tuple[int, int], tuple[Fields, Callable[[Array], Array]]] = {}

    def responses(
        self, gray: Array, landmarks: Array, ref_to_img: Array, window: int, view: int
    ) -> tuple[Array, Array]:
        """Maps (n, w, w) and visibility (n,) for one gray image (H, W) and its landmarks (n, 2)."""
        fields, run = self._view(view, window)
        maps = np.zeros((len(landmarks), window, window), np.float32)
        side = window + fields.support[1] - 1
        areas = extract_areas(gray, landmarks[fields.members], ref_to_img, side, FLOAT32)
        maps[fields.members] = self._evaluate(areas, fields, run, window)
        return maps, self._experts.visibility[view] != 0

    def area_responses(self, areas: Array, landmarks: Array, view: int) -> Array:
        """Maps (K, w, w) of areas of interest (K, side, side) around landmarks (K,), each by itself."""
        window = areas.shape[1] - self._experts.patches[view][int(landmarks[0])].width + 1
        fields, run = self._view(view, window)
        maps = []
        for area, landmark in zip(areas, landmarks, strict=True):
            (place,) = np.flatnonzero(fields.members == landmark)
            maps.append(self._evaluate(np.repeat(area[None], len(fields.members), axis=0), fields, run, window)[place])
        return np.stack(maps)

    def _evaluate(self, areas: Array, fields: Fields, run: Callable[[Array], Array], window: int) -> Array:
        patches = normalised_patches(areas, fields.support).reshape(len(areas), window * window, -1)
        smooth = run(patches).reshape(len(areas), window, window)
        lowest = np.minimum(smooth.min(axis=(1, 2), keepdims=True), 0)
        return smooth - lowest

    def _view(self, view: int, window: int) -> tuple[Fields, Callable[[Array], Array]]:
        key = (view, window)
        if key not in self._runners:
            fields = self._fields(view, window)
            self._runners[key] = fields, self._make_runner(fields)
        return self._runners[key]

    def _fields(self, view: int, window: int) -> Fields:
        patches = self._experts.patches[view]
        visible = np.flatnonzero(self._experts.visibility[view])
        members = np.array([k for k in visible if patches[k].n_neurons], np.int64)
        supports = {(patches[k].height, patches[k].width) for k in members}
        if len(supports) != 1:
            raise ContractError(
                "patch_experts", "experts", "patches of one size in a view", f"sizes {sorted(supports)}"
            )
        ((height, width),) = supports
        most = max(patches[k].n_neurons for k in members)
        weights = np.zeros((len(members), 1 + height * width, most), np.float32)
        alphas = np.zeros((len(members), most))
        for row, k in enumerate(members):
            patch, count = patches[k], patches[k].n_neurons
            taps = np.asarray(patch.weights, np.float32).transpose(0, 2, 1).reshape(count, -1)
            weights[row, 1:, :count] = (taps * np.asarray(patch.norm_weights, np.float32)[:, None]).T
            weights[row, 0, :count] = patch.biases
            alphas[row, :count] = np.where(patch.alphas > SMALLEST_ALPHA, patch.alphas, 0)
        experts = tuple(patches[k] for k in members)
        sigma = field_covariances(experts, window, self._components.get(window, ()))
        return Fields(members, (height, width), weights, alphas, sigma, experts)
