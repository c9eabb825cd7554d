"""All AU models as one float64 product in PyTorch (spec 60.6); on MPS, which has no float64, it is not offered."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from auparity.accelerated.batched.action_units import BatchedActionUnits
from auparity.accelerated.torch.device import device_of
from auparity.errors import VariantUnavailable
from auparity.models.types import AUPredictors

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]


class ActionUnits(BatchedActionUnits):
    """Stage `action_units` of one set of predictors on one device."""

    def __init__(self, predictors: AUPredictors, device: str | None = None) -> None:
        super().__init__(predictors)
        self._device = device_of(device)
        if self._device.type == "mps":
            raise VariantUnavailable("AU values need float64, which MPS has not; use batched or numba")
        self._weights = torch.tensor(self.weights, device=self._device)
        self._moved = torch.tensor(self.weights * self.dynamic[:, None], device=self._device)

    @torch.inference_mode()
    def values(self, features: F64, medians: F64 | None) -> F64:
        """Values (N, 35); frames one by one on the processor, where a product's rounding depends on its shape."""
        rows = []
        for k, row in enumerate(features):
            found = self._weights @ torch.from_numpy(np.ascontiguousarray(row)).to(self._device)
            if medians is not None:
                found = found - self._moved @ torch.from_numpy(np.ascontiguousarray(medians[k])).to(self._device)
            rows.append(found)
        values: F64 = torch.stack(rows).cpu().numpy() + self.biases
        return values


def build(predictors: AUPredictors, device: str | None = None) -> ActionUnits:
    """Stage `action_units`."""
    return ActionUnits(predictors, device)
