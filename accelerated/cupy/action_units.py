"""All AU models on a GPU (spec 60.6): a block a frame and model, descriptors and medians as they lie on the device.

The stacked models of batched/action_units.py in float64. Sums have one fixed order, so that a frame's values do not
depend on its batch; they are the reference's to 1e-12, presences equal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.batched.action_units import BatchedActionUnits
from auparity.accelerated.cupy.device import Device, shared_device
from auparity.accelerated.cupy.launch import check_device_array
from auparity.errors import ContractError
from auparity.models.types import AUPredictors
from auparity.reference.action_units import STAGE
from auparity.reference.contracts import check_array

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]

THREADS = 128  # as in action_units.cu


class ActionUnitBatch:
    """The models of a bundle on a device.

    Attributes
    ----------
    n_models : values a frame, intensities first. n_intensities : how many those are. n_features : D.
    """

    def __init__(self, device: Device, models: BatchedActionUnits) -> None:
        self._device = device
        self.n_models, self.n_features = models.weights.shape
        self.n_intensities, self.needs_medians = models.n_intensities, models.needs_medians
        outcomes = np.stack([models.reference.negative, models.reference.positive], axis=1)
        self._weights, self._biases = device.upload(models.weights), device.upload(models.biases)
        self._outcomes, self._dynamic = device.upload(outcomes), device.upload(models.dynamic.astype(np.uint8))

    def __call__(self, hog: Any, geometry: Any, hog_median: Any = None, geometry_median: Any = None) -> Any:
        """(N, n_models) float64 on the device: intensities, not clamped, then presences.

        Parameters
        ----------
        hog : (N, 4464) float32. geometry : (N, 238) float64.
        hog_median, geometry_median : float64 in the same shapes; needed if a model is dynamic.

        Raises
        ------
        ContractError : another shape or dtype, or no medians where they are needed.
        """
        n, split, rest = self._check("hog", hog, np.float32, "geometry", geometry)
        if not self.needs_medians:
            return self._predict(hog, geometry, self.n_intensities)
        if hog_median is None or geometry_median is None:
            raise ContractError(STAGE, "hog_median, geometry_median", "running medians (dynamic models)", "None")
        self._check("hog_median", hog_median, np.float64, "geometry_median", geometry_median)
        medians = (hog_median, geometry_median, self._dynamic)
        values = self._device.empty((n, self.n_models), np.float64)
        sizes = (np.int32(split), np.int32(rest), np.int32(self.n_intensities))
        self._device.kernel("action_units", "predict_dynamic")(
            (n, self.n_models), (THREADS,),
            (hog, geometry, *medians, self._weights, self._biases, self._outcomes, *sizes, values),
        )  # fmt: skip
        return values

    def plain(self, hog: Any, geometry: Any) -> Any:
        """(N, n_models) float64 on the device: raw values of all models, presences' too, without any medians.

        What dynamic models predict follows by subtracting their weights' product with the medians.
        """
        return self._predict(hog, geometry, self.n_models)

    def _predict(self, hog: Any, geometry: Any, raw: int) -> Any:
        """Values without medians; those of the first `raw` models as they are, presences of the others."""
        n, split, rest = self._check("hog", hog, np.float32, "geometry", geometry)
        values = self._device.empty((n, self.n_models), np.float64)
        sizes = (np.int32(split), np.int32(rest), np.int32(raw))
        self._device.kernel("action_units", "predict")(
            (n, self.n_models), (THREADS,),
            (hog, geometry, self._weights, self._biases, self._outcomes, *sizes, values),
        )  # fmt: skip
        return values

    def _check(
        self, name_hog: str, hog: Any, dtype: npt.DTypeLike, name_geometry: str, geometry: Any
    ) -> tuple[int, int, int]:
        """N and the lengths of both descriptors."""
        n, split = check_device_array(STAGE, name_hog, hog, ("N", "F"), dtype)
        rest = self.n_features - split
        check_device_array(STAGE, name_geometry, geometry, (n, rest), np.float64)
        return n, split, rest


class ActionUnits(BatchedActionUnits):
    """Stage `action_units` of one set of predictors with arrays on the host."""

    def __init__(self, predictors: AUPredictors, device: Device) -> None:
        super().__init__(predictors)
        self._device, self._batch = device, ActionUnitBatch(device, self)

    def predict(
        self, hog: Array, geometry: Array, hog_median: Array | None = None, geometry_median: Array | None = None
    ) -> tuple[F64, F64]:
        """Raw intensities (N, 17) and presences (N, 18); arguments and errors as in the reference."""
        given: list[tuple[Array, Any]] = [(hog, np.float32), (geometry, np.float64)]
        check_array(STAGE, "hog", hog, ("N", "F"))
        check_array(STAGE, "geometry", geometry, (len(hog), self.reference.n_features - hog.shape[1]))
        if self.needs_medians:
            if hog_median is None or geometry_median is None:
                raise ContractError(STAGE, "hog_median, geometry_median", "running medians (dynamic models)", "None")
            check_array(STAGE, "hog_median", hog_median, hog.shape)
            check_array(STAGE, "geometry_median", geometry_median, geometry.shape)
            given += [(hog_median, np.float64), (geometry_median, np.float64)]
        uploaded = [self._device.upload(np.asarray(array, dtype)) for array, dtype in given]
        values = self._device.download(self._batch(*uploaded))
        return np.ascontiguousarray(values[:, : self.n_intensities]), values[:, self.n_intensities :].copy()


def build(predictors: AUPredictors, device: Device | None = None) -> ActionUnits:
    """Stage `action_units`, on the shared GPU where no device is given."""
    return ActionUnits(predictors, device or shared_device())
