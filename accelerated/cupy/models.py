"""The models of a bundle on a device, which sessions, their batches and single images share."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from auparity.accelerated.batched.action_units import BatchedActionUnits
from auparity.accelerated.choices import choose_best
from auparity.accelerated.cupy.clm import ClmBatch
from auparity.accelerated.cupy.detection import Detector
from auparity.accelerated.cupy.device import Device
from auparity.accelerated.cupy.face_landmarker import NetworkLandmarkerBatch
from auparity.accelerated.cupy.landmarker import LandmarkerBatch
from auparity.accelerated.cupy.network_start import NetworkStartBatch
from auparity.accelerated.cupy.retinaface import RetinaFaceDetector
from auparity.accelerated.gpu_models import unserved_reason
from auparity.accelerated.processor import ProcessorPipeline
from auparity.errors import VariantUnavailable
from auparity.models.types import LandmarkNetwork, NetworkStart, RetinaFace
from auparity.reference.detection import Detections
from auparity.reference.options import PipelineOptions
from auparity.reference.pipeline import StagedPipeline

if TYPE_CHECKING:
    from auparity.models.bundle import Bundle

Array = npt.NDArray[Any]


class DeviceModels:
    """What finds faces and landmarks on a device, and the pipeline of the host for what follows there.

    Parameters
    ----------
    bundle : with MTCNN or RetinaFace, and constrained local models, a network of landmarks, or both.
    device : where to compute.
    options : None for those of OpenFace's command-line programs.

    Raises
    ------
    VariantUnavailable : the bundle has models of another kind, or clips shall have static AUs.
    DeviceError : the device's memory does not suffice.
    """

    def __init__(self, bundle: Bundle, device: Device, options: PipelineOptions | None = None) -> None:
        if why := unserved_reason(bundle):
            raise VariantUnavailable(why)
        if options is not None and options.static_aus:
            raise VariantUnavailable(
                "the pipeline that stays on the GPU has no static AUs in clips of one face; take the processor's: "
                "PipelineOptions(device='cpu'), or --variants numba on the command line"
            )
        self.bundle, self.device = bundle, device
        #: Head pose and gaze, a few small numbers a face, are computed on the host by the fastest variants there.
        self.host = ProcessorPipeline(bundle, choose_best(bundle, "cpu"), options)
        self.options, self.results = self.host.options, self.host.staged.results
        with device.active():
            self.landmarker = _landmarker_of(device, bundle.serving("landmarker"), self.host.staged)
            self.locator = _locator_of(device, bundle.serving("locator"))
        self.video_aus = BatchedActionUnits(bundle.video_aus)  #: on the host, for the end of clips
        #: One thread at a time: stages keep scratch memory, and all work goes onto one stream of the device anyway.
        self.lock = threading.RLock()

    def locate(self, images: Any, which: Sequence[int]) -> list[Detections]:
        """The faces of each of some images (S, H, W, 3) uint8 on the device, best score first (spec 20)."""
        if not len(which):
            return []
        return self.locator.detect(images[self.device.upload(np.asarray(which, np.int64))])


class DeviceLocator(Protocol):
    """Finds faces in images on a device."""

    def detect(self, images: Any) -> list[Detections]:
        """The faces of each of some images (S, H, W, 3) uint8 on the device, best score first."""


def _locator_of(device: Device, weights: Any) -> DeviceLocator:
    return RetinaFaceDetector(device, weights) if isinstance(weights, RetinaFace) else Detector(device, weights)


def _landmarker_of(device: Device, weights: Any, host: StagedPipeline) -> LandmarkerBatch:
    match weights:
        case LandmarkNetwork():
            return NetworkLandmarkerBatch(device, weights, host.stages)
        case NetworkStart():
            return NetworkStartBatch(device, weights, host.stages, host.landmark_detector.parameters)
        case _:
            return ClmBatch(device, weights, host.landmark_detector.parameters)
