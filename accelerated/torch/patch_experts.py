"""Patch experts as batched products in PyTorch (spec 40.7, 40.8): all landmarks of a scale and view at once.

CCNF: neurons, sigmoids and covariances as three batched products; CEN: one batched product a layer. Cutting out and
normalising patches is the reference's (accelerated/grouped).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from auparity.accelerated.grouped.ccnf import Fields
from auparity.accelerated.grouped.layout import GroupedPatchExperts
from auparity.accelerated.torch.device import device_of
from auparity.models.types import CENPatch, LandmarkModel

Array = npt.NDArray[Any]


class PatchExperts(GroupedPatchExperts):
    """Stage `patch_experts` of one landmark model on one device."""

    def __init__(self, model: LandmarkModel, device: str | None = None) -> None:
        self._device = device_of(device)
        super().__init__(model, self._networks, self._fields)

    def _tensor(self, values: Array) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self._device)

    def _fields(self, fields: Fields) -> Callable[[Array], Array]:
        weights, sigma = self._tensor(fields.weights), self._tensor(fields.sigma)
        # MPS has no float64: sigmoids in float32 there.
        wide = torch.float32 if self._device.type == "mps" else torch.float64
        alphas = self._tensor(2 * fields.alphas).to(wide)[:, None, :]

        @torch.inference_mode()
        def run(patches: Array) -> Array:
            terms = alphas * torch.sigmoid(torch.bmm(self._tensor(patches), weights).to(wide))
            raw = terms.sum(2).to(torch.float32)
            responses: Array = torch.bmm(sigma, raw[..., None])[..., 0].cpu().numpy()
            return responses

        return run

    def _networks(self, patches: list[CENPatch]) -> Callable[[Array], Array]:
        layers = []
        for k, layer in enumerate(patches[0].layers):
            weights = np.stack([np.asarray(patch.layers[k].weights, np.float32).T for patch in patches])
            biases = np.stack([np.asarray(patch.layers[k].bias, np.float32).ravel() for patch in patches])[:, None]
            layers.append((self._tensor(weights), self._tensor(biases), layer.activation))

        @torch.inference_mode()
        def run(values: Array) -> Array:
            at = self._tensor(values)
            for weights, biases, activation in layers:
                at = torch.baddbmm(biases, at, weights)
                at = torch.sigmoid(at) if activation == 0 else torch.relu(at) if activation == 2 else at
            responses: Array = at[..., 0].cpu().numpy()
            return responses

        return run


def build(model: LandmarkModel, device: str | None = None) -> PatchExperts:
    """Stage `patch_experts`."""
    return PatchExperts(model, device)
