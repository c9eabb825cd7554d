"""The stages of a pipeline as one table: what each is built from, how it is called, what it gives, and the reference's
implementation of it.

Everything that deals with stages in general is derived from this table: the registry of variants, the clocks, the
recorders of arguments, the outputs that the parity suite compares, the test that every variant is called alike. A new
stage is a row here, a file of the reference, and its tolerances.

A pipeline is a choice of one implementation a stage (docs/architecture.md). Whatever orchestrates stages takes a
`Stages` and so runs on any mixture; `reference_stages` are the reference's own. Arrays are batch first: N frames or
faces, of which a stage may assume nothing in common.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from auparity.models.contents import face_model_in, point_network_in
from auparity.models.types import (
    MTCNN,
    PDM,
    AUPredictors,
    LandmarkModel,
    PointNetwork,
    RetinaFace,
    Validator,
)
from auparity.reference import (
    action_units,
    alignment,
    detection,
    fhog,
    fit_shape,
    fitting,
    gaze,
    geometry,
    grayscale,
    head_pose,
    patch_experts,
    pdm,
    running_median,
    validation,
)
from auparity.reference import stage_outputs as outputs
from auparity.reference.action_units import ActionUnitStage
from auparity.reference.alignment import Aligner
from auparity.reference.detection import FaceDetector
from auparity.reference.fhog import Fhog
from auparity.reference.fit_shape import ShapeFitter
from auparity.reference.fitting import FittingStage
from auparity.reference.gaze import Gaze
from auparity.reference.geometry import Geometry
from auparity.reference.grayscale import ToGray
from auparity.reference.head_pose import HeadPoseStage
from auparity.reference.networks import point_networks, retinaface
from auparity.reference.networks.point_networks import FindPoints
from auparity.reference.networks.retinaface import FaceNetwork
from auparity.reference.numerics import FLOAT32, Numerics
from auparity.reference.patch_experts import PatchExpertStage
from auparity.reference.pdm import ShapeStage
from auparity.reference.running_median import MedianKind, MedianStage
from auparity.reference.stage_outputs import Outputs
from auparity.reference.validation import ValidationStage

if TYPE_CHECKING:
    from auparity.models.contents import BundleContents

#: The models of a bundle that a stage is built from, one tuple of arguments for each time that it is built.
ModelsOf = Callable[["BundleContents"], Sequence[tuple[Any, ...]]]


def nothing(bundle: BundleContents) -> Sequence[tuple[Any, ...]]:
    """Of a stage without models."""
    return [()]


def landmark_models(bundle: BundleContents) -> list[LandmarkModel]:
    """The face model and its parts; none where the bundle finds landmarks by another kind of model."""
    face = face_model_in(bundle.serving("landmarker"))
    return [] if face is None else [face.main, *(part.model for part in face.parts)]


def shape_models(bundle: BundleContents) -> list[PDM]:
    """Of the landmark models, and where there are none that of the action unit models, which then explains pose."""
    return [model.pdm for model in landmark_models(bundle)] or [bundle.video_aus.pdm]


def _row(
    build: Callable[..., Any], models: ModelsOf, outputs_of: Outputs | None = None, *, stateful: bool = False
) -> Any:
    return dataclasses.field(metadata={"row": (build, models, outputs_of, stateful)})


@dataclass(frozen=True)
class Stages:
    """The table: for each stage the function that builds it from models of a bundle, in the order in which a frame
    meets them. A `Stages` object holds one such function for each; the rows say what is true of all of them.
    """

    grayscale: Callable[[], ToGray] = _row(grayscale.build, nothing)
    detection: Callable[[MTCNN], FaceDetector] = _row(
        detection.build,
        lambda bundle: [(model,) for model in [bundle.serving("locator")] if isinstance(model, MTCNN)],
        outputs.of_detections,
    )
    face_network: Callable[[RetinaFace], FaceNetwork] = _row(
        retinaface.build,
        lambda bundle: [(model,) for model in [bundle.serving("locator")] if isinstance(model, RetinaFace)],
        outputs.of_raw_faces,
    )
    pdm: Callable[[PDM], ShapeStage] = _row(pdm.build, lambda bundle: [(model,) for model in shape_models(bundle)])
    point_network: Callable[[PointNetwork], FindPoints] = _row(
        point_networks.build,
        lambda bundle: [(m,) for m in [point_network_in(bundle.serving("landmarker"))] if m is not None],
        outputs.of_points,
    )
    patch_experts: Callable[[LandmarkModel], PatchExpertStage] = _row(
        patch_experts.build, lambda bundle: [(model,) for model in landmark_models(bundle)], outputs.of_maps
    )
    fitting: Callable[[LandmarkModel, PatchExpertStage], FittingStage] = _row(
        fitting.build, lambda bundle: [(model,) for model in landmark_models(bundle)], outputs.of_fits
    )
    validation: Callable[[Validator], ValidationStage] = _row(
        validation.build,
        lambda bundle: [(m.validator,) for m in [face_model_in(bundle.serving("landmarker"))] if m is not None],
    )
    fit_shape: Callable[[PDM], ShapeFitter] = _row(
        fit_shape.build,
        lambda bundle: [*((model,) for model in shape_models(bundle)), (bundle.video_aus.pdm,)],
        outputs.of_shape,
    )
    alignment: Callable[[AUPredictors], Aligner] = _row(
        alignment.build, lambda bundle: [(bundle.video_aus,), (bundle.image_aus,)]
    )
    fhog: Callable[[], Fhog] = _row(fhog.build, nothing)
    geometry: Callable[[PDM], Geometry] = _row(geometry.build, lambda bundle: [(bundle.video_aus.pdm,)])
    running_median: Callable[[MedianKind], MedianStage] = _row(
        running_median.build, lambda bundle: [("hog",), ("geometry",)], stateful=True
    )
    action_units: Callable[[AUPredictors], ActionUnitStage] = _row(
        action_units.build, lambda bundle: [(bundle.video_aus,), (bundle.image_aus,)], outputs.of_action_units
    )
    head_pose: Callable[[PDM], HeadPoseStage] = _row(
        head_pose.build, lambda bundle: [(model,) for model in shape_models(bundle)]
    )
    gaze: Callable[[], Gaze] = _row(gaze.build, nothing, outputs.of_gaze)


@dataclass(frozen=True)
class StageSpec:
    """One row of the table.

    Parameters
    ----------
    name : of the stage.
    build : the reference's implementation: called with models and ``numerics=``.
    models : what it is built from, for every model of a bundle.
    outputs : its result as named arrays; the names are those of `parity_tests/tolerances.toml`.
    stateful : whether a call depends on the calls before.
    built_from : types of what it is built from.
    contract : what is built: a protocol, or the type of a function.
    """

    name: str
    build: Callable[..., Any]
    models: ModelsOf
    outputs: Outputs
    stateful: bool
    built_from: tuple[Any, ...]
    contract: Any

    @property
    def is_function(self) -> bool:
        """Whether the stage is called itself; others are objects with methods."""
        return get_origin(self.contract) is not None

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods of a stage that is an object."""
        return (
            ()
            if self.is_function
            else tuple(
                name for name, value in vars(self.contract).items() if inspect.isfunction(value) and name[0] != "_"
            )
        )


@lru_cache(maxsize=1)
def stage_table() -> dict[str, StageSpec]:
    """The rows by name, in the order in which a frame meets the stages."""
    hints, table = get_type_hints(Stages), {}
    for field in dataclasses.fields(Stages):
        build, models, outputs_of, stateful = field.metadata["row"]
        built_from, contract = get_args(hints[field.name])
        table[field.name] = StageSpec(
            field.name,
            build,
            models,
            outputs_of or outputs.one_array(field.name),
            stateful,
            tuple(built_from),
            contract,
        )
    return table


def reference_stages(numerics: Numerics = FLOAT32) -> Stages:
    """The reference's implementation of every stage, in a working precision."""
    return Stages(**{name: partial(spec.build, numerics=numerics) for name, spec in stage_table().items()})
