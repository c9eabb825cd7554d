"""All AU models as one product in PyTorch (spec 60.6): in float64; on MPS, which has no float64, in float32 around a
centre.

The centre (conversion/centred_models.py) is subtracted from descriptors before the product, in float64 on the host, so
that large numbers cancel before they are rounded: values are within 1e-5 there, elsewhere within 1e-12.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from auparity.accelerated.batched.action_units import BatchedActionUnits
from auparity.accelerated.torch.device import device_of
from auparity.conversion.centred_models import centred
from auparity.models.types import AUPredictors

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]


class ActionUnits(BatchedActionUnits):
    """Stage `action_units` of one set of predictors on one device."""

    def __init__(self, predictors: AUPredictors, device: str | None = None) -> None:
        super().__init__(predictors)
        self._device = device_of(device)
        self._dtype = torch.float32 if self._device.type == "mps" else torch.float64
        self._models = centred(predictors)
        self._static, self._dynamic = (self._tensor(part) for part in (self._models.static, self._models.dynamic))

    @torch.inference_mode()
    def values(self, features: F64, medians: F64 | None) -> F64:
        """Values (N, 35); frames one by one, as a product's rounding depends on its shape."""
        models, rows = self._models, []
        for k, row in enumerate(features):
            sums = self._static @ self._tensor(row - models.still)
            if models.needs_medians:
                median = np.zeros_like(row) if medians is None else medians[k]
                sums = sums + self._dynamic @ self._tensor(row - median - models.moved)
            rows.append(sums)
        return torch.stack(rows).cpu().numpy().astype(np.float64) + models.biases

    def _tensor(self, values: Array) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(dtype=self._dtype).to(self._device)


def build(predictors: AUPredictors, device: str | None = None) -> ActionUnits:
    """Stage `action_units`."""
    return ActionUnits(predictors, device)
