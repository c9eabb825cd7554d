"""Face analysis of many videos at once, from frames to action units (reference/analysis.py; spec 60.1, 60.7).

Aligned faces, descriptors and histograms stay on the device; 35 numbers a frame come down twice: predicted with the
medians of that moment, and without medians. A linear model's value is the second minus the medians' own product, so
that the clip's end can predict every frame again with the final medians from 280 bytes of it instead of 20 kB, in
float64 and to rounding. Nothing here has run on a GPU yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.batched.action_units import BatchedActionUnits
from auparity.accelerated.cupy.action_units import ActionUnitBatch
from auparity.accelerated.cupy.alignment import AlignmentBatch
from auparity.accelerated.cupy.device import Device
from auparity.accelerated.cupy.fhog import FhogBatch
from auparity.accelerated.cupy.fit_shape import ShapeFitterBatch
from auparity.accelerated.cupy.geometry import GeometryBatch
from auparity.accelerated.cupy.running_median import MedianBatch
from auparity.errors import ContractError
from auparity.models.types import AUPredictors
from auparity.reference.action_units import OnlineCorrection, clamp_intensity
from auparity.reference.alignment import SIZE
from auparity.reference.analysis import KEPT_FRAMES
from auparity.reference.postprocessing import postprocess
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS, OfflineAUs

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]


class DescriberBatch:
    """FHOG (B, 4464) float32 and geometry (B, 238) float64 of faces, on a device (spec 60.2 to 60.4)."""

    def __init__(self, device: Device, predictors: AUPredictors) -> None:
        self._device = device
        self._fit_shape = ShapeFitterBatch(device, predictors.pdm)
        self._align, self._fhog = AlignmentBatch(device, predictors), FhogBatch(device)
        self._geometry = GeometryBatch(device, predictors.pdm)

    def __call__(self, images: Any, frame: Any, landmarks: Any, success: Any) -> tuple[Any, Any]:
        """Descriptors; those of faces without `success` (B,) uint8 are a black face's, and zeros (spec 60.1)."""
        xp = self._device.xp
        g, p = self._fit_shape(landmarks)
        aligned = self._align(images, frame, landmarks, g, success)
        there = success != 0
        aligned = xp.where(there[:, None, None, None], aligned, np.uint8(0))
        p = xp.where(there[:, None], p, np.float32(0))
        return self._fhog(aligned), self._geometry(p)


class AnalysisBatch:
    """The AU models for videos on a device, with the running medians of `streams` streams.

    Attributes
    ----------
    models : the same models on the host.
    """

    def __init__(self, device: Device, predictors: AUPredictors, streams: int) -> None:
        self._device = device
        self.models = BatchedActionUnits(predictors)
        self._describe = DescriberBatch(device, predictors)
        self._batch = ActionUnitBatch(device, self.models)
        hog = (SIZE // 8 - 2) ** 2 * 31
        self._medians = (
            MedianBatch(device, "hog", hog, streams, np.float32),
            MedianBatch(device, "geometry", self.models.reference.n_features - hog, streams, np.float64),
        )

    def reset(self, stream: int) -> None:
        """Begin another clip (spec 60.9)."""
        for median in self._medians:
            median.reset(stream)

    def grow(self, streams: int) -> None:
        """Make room for more streams; those that there are keep their numbers and medians."""
        for median in self._medians:
            median.grow(streams)

    def __call__(self, images: Any, frame: Any, landmarks: Any, success: Any, streams: Any) -> tuple[Any, Any]:
        """Values of the next frame of B streams.

        Parameters
        ----------
        images : (S, H, W, 3) uint8. frame : (B,) int32, the image that each stream's frame is.
        landmarks : (B, 68, 2) float32 px. success : (B,) uint8, the trackers' own flags.
        streams : (B,) int32, each once.

        Returns
        -------
        (B, 35) and (B, 35) float64: raw intensities and presences; raw intensities and decision values of the
        descriptors without any medians.
        """
        hog, geometry = self._describe(images, frame, landmarks, success)
        starts = self._device.xp.arange(len(landmarks) + 1, dtype=np.int32)
        hog_median, geometry_median = (
            median(descriptors, success, streams, starts, 1)
            for median, descriptors in zip(self._medians, (hog, geometry), strict=True)
        )
        return self._batch(hog, geometry, hog_median, geometry_median), self._batch.plain(hog, geometry)

    def final_medians(self, stream: int) -> F64:
        """The medians (D,) after a stream's last frame, on the host."""
        return np.concatenate([self._device.download(median.median[stream]) for median in self._medians])


class StaticBatch:
    """The static AU models on a device: a face in one image by itself, without medians (spec 60.1, "image path").

    Raises
    ------
    ContractError : a model of `predictors` is dynamic.
    """

    def __init__(self, device: Device, predictors: AUPredictors) -> None:
        models = BatchedActionUnits(predictors)
        if models.needs_medians:
            raise ContractError("analysis", "predictors", "static models only (AU_all_static.txt)", "dynamic ones too")
        self._batch = ActionUnitBatch(device, models)
        self._describe = DescriberBatch(device, predictors)

    def __call__(self, images: Any, frame: Any, landmarks: Any, wanted: Any) -> Any:
        """(B, 35) float64: intensities, not clamped, then presences; black faces' where `wanted` (B,) uint8 is 0.

        The other arguments are those of `AnalysisBatch`.
        """
        return self._batch(*self._describe(images, frame, landmarks, wanted))


def static_aus(values: F64) -> tuple[F64, F64]:
    """Intensities (17,) from 0 to 5 and presences (18,) of a row of `StaticBatch` on the host."""
    split = len(INTENSITY_AUS)
    return clamp_intensity(values[:split]), values[split:].copy()


@dataclass
class StreamHistory:
    """What a clip leaves for its end on the host."""

    success: list[bool] = field(default_factory=list)
    values: list[F64] = field(default_factory=list)  #: (35,) a frame as predicted, 0 where it failed
    plain: list[F64] = field(default_factory=list)  #: (35,) a successful frame, without medians
    correction: OnlineCorrection | None = None

    def take(self, success: bool, values: F64, plain: F64) -> tuple[F64, F64]:
        """Remember a frame; intensities (17,) and presences (18,) to show."""
        shown = values if success else np.zeros_like(values)
        self.success.append(success)
        self.values.append(shown)
        if success:
            self.plain.append(plain)
        intensity, presence = shown[: len(INTENSITY_AUS)].copy(), shown[len(INTENSITY_AUS) :].copy()
        if self.correction is not None:
            intensity = self.correction.correct(intensity, success)
        return intensity, presence

    def finish(self, models: BatchedActionUnits, medians: F64) -> OfflineAUs:
        """The AUs of all frames so far, post-processed with the final medians (D,) (spec 60.7)."""
        frames = len(self.success)
        success = np.array(self.success, np.bool_)
        values = np.array(self.values, np.float64).reshape(frames, len(INTENSITY_AUS) + len(PRESENCE_AUS))
        again = np.flatnonzero(success)[:KEPT_FRAMES]
        if len(again):
            moved = np.array(self.plain[: len(again)])
            moved[:, models.dynamic] -= models.dynamic_weights @ medians
            values[again] = np.concatenate(models.outcomes(moved), axis=1)
        split = len(INTENSITY_AUS)
        return postprocess(values[:, :split].copy(), values[:, split:].copy(), success, models.cutoffs)
