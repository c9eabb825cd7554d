"""The stages as interfaces: what each is built from, what it is called with, and the reference implementation of all.

A pipeline is a choice of one implementation a stage (docs/architecture.md). Everything that orchestrates stages
(tracking, hypotheses, part models, analysis) takes a `Stages` and so runs on any mixture; `golden_stages` are the
reference's own. Arrays are batch first: N frames or faces, of which a stage may assume nothing in common.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from auparity.models.types import MTCNN, PDM, AUPredictors, LandmarkModel, Validator
from auparity.reference.action_units import ActionUnitModels
from auparity.reference.alignment import align_faces
from auparity.reference.detection import Detections, detect_faces
from auparity.reference.fhog import fhog
from auparity.reference.fit_shape import fit_shape
from auparity.reference.fitting import Fit, FittingParameters, LandmarkFitter
from auparity.reference.gaze import gaze_angles, gaze_directions
from auparity.reference.geometry import geometry_descriptor
from auparity.reference.grayscale import to_gray
from auparity.reference.head_pose import Camera, head_pose, landmarks_in_camera
from auparity.reference.numerics import FLOAT32, Numerics
from auparity.reference.patch_experts import PatchExpertBank, ResponseMaps
from auparity.reference.pdm import ShapeModel
from auparity.reference.running_median import geometry_median, hog_median
from auparity.reference.validation import LandmarkValidator

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]

#: Which running median: of FHOG descriptors, or of geometry descriptors (spec 60.5).
MedianKind = Literal["hog", "geometry"]


class ShapeStage(Protocol):
    """Stage `pdm`, built from a `PDM`: shapes of parameters (spec 30.1 to 30.3)."""

    @property
    def n_points(self) -> int: ...
    @property
    def n_modes(self) -> int: ...

    def shape_3d(self, params_local: Array) -> Array:
        """(..., m) mm to (..., n, 3) mm."""

    def shape_2d(self, params_global: Array, params_local: Array) -> Array:
        """(..., 6), (..., m) to (..., n, 2) px."""

    def params_from_box(self, box: Array, params_local: Array, rotation: Array) -> Array:
        """Box (4,) px, (m,), (3,) rad to global parameters (6,)."""


class PatchExpertStage(Protocol):
    """Stage `patch_experts`, built from a `LandmarkModel`: response maps (spec 40)."""

    @property
    def scales(self) -> tuple[float, ...]:
        """px/mm of each scale."""

    def response_maps(
        self, gray: Array, params_global: Array, params_local: Array, window: int, scale_index: int
    ) -> ResponseMaps:
        """Gray (N, H, W) 0 to 255 in the working dtype, (N, 6), (N, m) to maps (N, n, w, w)."""

    def area_responses(self, areas: Array, landmarks: Array, scale_index: int, view: int = 0) -> Array:
        """Areas (K, w + s - 1, w + s - 1) cut out around landmarks (K,), for patches of side s, to maps (K, w, w)."""


class FittingStage(Protocol):
    """Stage `fitting`, built from a `LandmarkModel` and its patch experts: NU-RLMS (spec 50.1 to 50.5)."""

    def fit(self, gray: Array, params_global: Array, params_local: Array, parameters: FittingParameters) -> list[Fit]:
        """Gray (N, H, W), starting parameters (N, 6), (N, m) to one `Fit` each."""


class ValidationStage(Protocol):
    """Stage `validation`, built from a `Validator` (spec 50.8)."""

    def certainty(self, gray: Array, landmarks: Array, orientation: Array) -> Array:
        """Gray (N, H, W), landmarks (N, 68, 2) px, rotations (N, 3) rad to certainties (N,)."""


class MedianStage(Protocol):
    """Stage `running_median`, the state of one descriptor's median (spec 60.5)."""

    @property
    def median(self) -> F64: ...

    def step(self, descriptor: Array, success: bool) -> F64:
        """Descriptor (D,) of the next frame to the median (D,) float64 that its AUs are predicted with."""


class ActionUnitStage(Protocol):
    """Stage `action_units`, built from `AUPredictors` (spec 60.6)."""

    @property
    def needs_medians(self) -> bool: ...
    @property
    def cutoffs(self) -> F64:
        """(17,) quantiles of the calibration, NaN where there is none (spec 60.7)."""

    def predict(
        self, hog: Array, geometry: Array, hog_median: Array | None = None, geometry_median: Array | None = None
    ) -> tuple[F64, F64]:
        """Descriptors (N, 4464), (N, 238) and medians to intensities (N, 17), not clamped, and presences (N, 18)."""

    def predict_static(self, hog: Array, geometry: Array) -> tuple[F64, F64]:
        """Descriptors to intensities (N, 17) from 0 to 5 and presences (N, 18), by static models."""


class HeadPoseStage(Protocol):
    """Stage `head_pose`, built from a `PDM` (spec 70.1 to 70.3)."""

    def pose(self, params_global: Array, params_local: Array, landmarks: Array, camera: Camera) -> Array:
        """(N, 6), (N, m), (N, n, 2) px to (N, 6): Tx, Ty, Tz mm, Rx, Ry, Rz rad."""

    def landmarks_in_camera(self, params_global: Array, params_local: Array, landmarks: Array, camera: Camera) -> Array:
        """The same to 3D landmarks (N, n, 3) mm."""


#: Stage `grayscale`: (H, W, 3) uint8 BGR to (H, W) gray in the working dtype, 0 to 255.
ToGray = Callable[[Array], Array]
#: Stage `detection`, built from an `MTCNN`: (H, W, 3) uint8 BGR to `Detections`.
FaceDetector = Callable[[Array], Detections]
#: Stage `fit_shape`, built from a `PDM`: landmarks (N, n, 2) px to parameters (N, 6), (N, m).
ShapeFitter = Callable[[Array], tuple[Array, Array]]
#: Stage `alignment`, built from `AUPredictors`: images (N, H, W, 3), landmarks (N, 68, 2), parameters (N, 6) to aligned
#: faces (N, 112, 112, 3) uint8.
Aligner = Callable[[Array, Array, Array], Array]
#: Stage `fhog`: aligned faces (N, 112, 112, 3) uint8 to descriptors (N, 4464) in the working dtype.
Fhog = Callable[[Array], Array]
#: Stage `geometry`, built from a `PDM`: (N, m) to descriptors (N, 3 n + m) float64.
Geometry = Callable[[Array], F64]
#: Stage `gaze`: face (N, 68, 3) mm, eyes (N, 2, 28, 3) mm, head rotation (N, 3) rad to unit vectors (N, 2, 3) and
#: angles (N, 2) rad.
Gaze = Callable[[Array, Array, Array], tuple[Array, Array]]


@dataclass(frozen=True)
class Stages:
    """One implementation of every stage: for each the function that builds it from its part of a bundle."""

    grayscale: Callable[[], ToGray]
    detection: Callable[[MTCNN], FaceDetector]
    pdm: Callable[[PDM], ShapeStage]
    patch_experts: Callable[[LandmarkModel], PatchExpertStage]
    fitting: Callable[[LandmarkModel, PatchExpertStage], FittingStage]
    validation: Callable[[Validator], ValidationStage]
    fit_shape: Callable[[PDM], ShapeFitter]
    alignment: Callable[[AUPredictors], Aligner]
    fhog: Callable[[], Fhog]
    geometry: Callable[[PDM], Geometry]
    running_median: Callable[[MedianKind], MedianStage]
    action_units: Callable[[AUPredictors], ActionUnitStage]
    head_pose: Callable[[PDM], HeadPoseStage]
    gaze: Callable[[], Gaze]


#: Methods by which stage objects are called; stages that are not here are functions.
STAGE_METHODS: dict[str, tuple[str, ...]] = {
    "pdm": ("shape_3d", "shape_2d", "params_from_box"),
    "patch_experts": ("response_maps",),
    "fitting": ("fit",),
    "validation": ("certainty",),
    "running_median": ("step",),
    "action_units": ("predict", "predict_static"),
    "head_pose": ("pose", "landmarks_in_camera"),
}


class ReferenceHeadPose:
    """The reference's head pose of one PDM."""

    def __init__(self, pdm: PDM, numerics: Numerics = FLOAT32) -> None:
        model = ShapeModel(pdm, numerics)
        self.pose = partial(head_pose, model)
        self.landmarks_in_camera = partial(landmarks_in_camera, model)


def reference_stages(numerics: Numerics = FLOAT32) -> Stages:
    """The reference's implementation of every stage, in a working precision."""

    def gray(image: Array) -> Array:
        return to_gray(image[None])[0].astype(numerics.dtype)

    def detection(mtcnn: MTCNN) -> FaceDetector:
        return lambda image: detect_faces(image, mtcnn, numerics.dtype)

    def patch_experts(model: LandmarkModel) -> PatchExpertStage:
        return PatchExpertBank(model, ShapeModel(model.pdm, numerics))

    def fitting(model: LandmarkModel, experts: PatchExpertStage) -> FittingStage:
        return LandmarkFitter(model, numerics, experts)

    def alignment(predictors: AUPredictors) -> Aligner:
        return lambda images, landmarks, params_global: align_faces(
            images, landmarks, params_global, predictors.pdm, predictors.triangulation, numerics
        )

    def gaze(face_3d: Array, eyes_3d: Array, head_euler: Array) -> tuple[Array, Array]:
        directions = gaze_directions(face_3d, eyes_3d, head_euler, numerics)
        return directions, gaze_angles(directions)

    return Stages(
        grayscale=lambda: gray,
        detection=detection,
        pdm=lambda pdm: ShapeModel(pdm, numerics),
        patch_experts=patch_experts,
        fitting=fitting,
        validation=lambda validator: LandmarkValidator(validator, numerics),
        fit_shape=lambda pdm: partial(fit_shape, ShapeModel(pdm, numerics)),
        alignment=alignment,
        fhog=lambda: partial(fhog, numerics=numerics),
        geometry=lambda pdm: partial(geometry_descriptor, pdm=pdm),
        running_median=lambda kind: hog_median() if kind == "hog" else geometry_median(),
        action_units=ActionUnitModels,
        head_pose=lambda pdm: ReferenceHeadPose(pdm, numerics),
        gaze=lambda: gaze,
    )
