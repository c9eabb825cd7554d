"""CCNF responses on a GPU (spec 40.8): the experts of all views packed side by side, looked up by the face's view.

One launch for all faces and landmarks of a batch, a block a map (ccnf.cu). Covariances are computed on the host when a
window is first used, for those experts that have neurons, which is most of the memory: 4 w^4 bytes each.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.device import Device
from auparity.accelerated.cupy.place import Places, pixel_define
from auparity.errors import ContractError
from auparity.models.types import CCNFExperts, CCNFPatch
from auparity.reference.patch_experts import SMALLEST_ALPHA, field_covariances

Array = npt.NDArray[Any]

STAGE = "patch_experts"
TOGETHER = 8  # neurons, as in ccnf.cu
MOST_THREADS, LANES = 256, 32
FLOAT = 4  # bytes


class CCNFScaleBatch:
    """The CCNF experts of one scale, as reference/patch_experts.CCNFScale.

    Raises
    ------
    ContractError : patches that are not square, or of different sizes.
    """

    def __init__(self, device: Device, experts: CCNFExperts, covariances: CCNFExperts) -> None:
        self._device = device
        # Sigma components come from the last file of the model, whatever the scale (spec 10.7).
        self._components = dict(zip(covariances.window_sizes, covariances.sigma_components, strict=True))
        table = np.full(np.shape(experts.visibility), -1, np.int32)
        self._patches: list[CCNFPatch] = []
        for view, landmark in np.argwhere(np.asarray(experts.visibility) != 0):
            if experts.patches[view][landmark].n_neurons:
                table[view, landmark] = len(self._patches)
                self._patches.append(experts.patches[view][landmark])
        sizes = {(patch.height, patch.width) for patch in self._patches}
        if len(sizes) > 1 or any(height != width for height, width in sizes):
            raise ContractError(STAGE, "experts", "square patches of one size at a scale", f"sizes {sorted(sizes)}")
        #: Side of its patches, px.
        self.support = next(iter(sizes))[0] if sizes else 1
        self._table = device.upload(table)
        self._groups = -(-max((patch.n_neurons for patch in self._patches), default=1) // TOGETHER)
        packed = [self._pack(patch) for patch in self._patches] or [self._nothing()]
        self._weights, self._biases, self._alphas = (
            device.upload(np.stack([arrays[k] for arrays in packed])) for k in range(3)
        )
        self._sigmas: dict[int, Any] = {}

    def _nothing(self) -> tuple[Array, Array, Array]:
        groups, taps = self._groups, self.support**2
        shape = (groups, TOGETHER)
        return np.zeros((groups, taps, TOGETHER), np.float32), np.zeros(shape, np.float32), np.zeros(shape)

    def _pack(self, patch: CCNFPatch) -> tuple[Array, Array, Array]:
        """Weights (groups, taps, 8) with their norms, biases and doubled alphas (groups, 8); 0 for padding."""
        weights, biases, alphas = self._nothing()
        count, (groups, taps, _) = patch.n_neurons, weights.shape
        columns = np.asarray(patch.weights, np.float32).transpose(0, 2, 1).reshape(count, taps)
        padded = np.zeros((groups * TOGETHER, taps), np.float32)
        padded[:count] = columns * np.asarray(patch.norm_weights, np.float32)[:, None]
        weights[:] = padded.reshape(groups, TOGETHER, taps).transpose(0, 2, 1)
        biases.reshape(-1)[:count] = patch.biases
        alphas.reshape(-1)[:count] = np.where(patch.alphas > SMALLEST_ALPHA, 2 * np.asarray(patch.alphas, float), 0)
        return weights, biases, alphas

    def responses(self, gray: Any, frame: Any, places: Places, window: int) -> Any:
        """Maps (B, n, w, w) float32 of faces at `places` in their images (S, H, W), all on the device."""
        count, n, _ = places.landmarks.shape
        positions, side = window * window, window + self.support - 1
        maps = self._device.empty((count, n, window, window), np.float32)
        self._device.kernel("ccnf", "ccnf_responses", SUPPORT=self.support, **pixel_define(gray))(
            (count, n), (min(MOST_THREADS, -(-positions // LANES) * LANES),),
            (
                gray, np.int32(gray.shape[1]), np.int32(gray.shape[2]), frame, places.landmarks, places.ref_to_img,
                places.view, places.good, self._table, np.int32(self._groups), self._weights, self._biases,
                self._alphas, self._sigma(window), np.int32(window), maps,
            ),
            shared_bytes=(side * side + 2 * positions) * FLOAT,
        )  # fmt: skip
        return maps

    def _sigma(self, window: int) -> Any:
        """Covariances (experts, w * w, w * w), transposed, on the device."""
        if window not in self._sigmas:
            components = self._components.get(window, ())
            sigma = np.zeros((max(1, len(self._patches)), window**2, window**2), np.float32)
            if self._patches:
                sigma[:] = field_covariances(self._patches, window, components).transpose(0, 2, 1)
            self._sigmas[window] = self._device.upload(sigma)
        return self._sigmas[window]
