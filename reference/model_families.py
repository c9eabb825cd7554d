"""Which kind of model makes which locator or landmarker: one entry a kind, of ours and of other packages.

A bundle names the model of each role; here is said what to build from it. Someone who brings a network adds its
weights to a bundle (`Bundle.with_serving`) and registers how to build from them:

>>> class MyWeights: pass
>>> @locator(MyWeights)
... def build(weights, stages, numerics, parameters):
...     return MyLocator(weights)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from auparity.errors import ContractError
from auparity.models.consistency import load_kinds
from auparity.models.types import MTCNN, FaceModel, LandmarkNetwork, NetworkStart, RetinaFace
from auparity.reference.clm import ClmLandmarker
from auparity.reference.landmarker import Landmarker
from auparity.reference.landmarks import DetectorParameters
from auparity.reference.locator import FaceLocator, MtcnnLocator
from auparity.reference.networks.crops import crop_rule_of
from auparity.reference.networks.face_landmarker import NetworkLandmarker
from auparity.reference.networks.face_locator import RetinaFaceLocator
from auparity.reference.networks.network_start import NetworkStartLandmarker
from auparity.reference.numerics import FLOAT32, Numerics
from auparity.reference.stages import Stages, reference_stages

if TYPE_CHECKING:
    from auparity.models.contents import BundleContents

#: Called with the weights, the stages of the pipeline, its working precision and the settings of landmark detection.
BuildLocator = Callable[[Any, Stages, Numerics, DetectorParameters | None], FaceLocator]
BuildLandmarker = Callable[[Any, Stages, Numerics, DetectorParameters | None], Landmarker]
Build = TypeVar("Build", bound=Callable[..., Any])

_LOCATORS: dict[type[Any], BuildLocator] = {}
_LANDMARKERS: dict[type[Any], BuildLandmarker] = {}


def locator(weights: type[Any]) -> Callable[[Build], Build]:
    """Decorator for the function that builds a `FaceLocator` from weights of this class."""
    return _into(_LOCATORS, weights)


def landmarker(weights: type[Any]) -> Callable[[Build], Build]:
    """Decorator for the function that builds a `Landmarker` from weights of this class."""
    return _into(_LANDMARKERS, weights)


def _into(table: dict[type[Any], Any], weights: type[Any]) -> Callable[[Build], Build]:
    def decorate(build: Build) -> Build:
        if weights in table:
            raise ContractError("model families", "weights", "a class that has no family yet", weights.__name__)
        table[weights] = build
        return build

    return decorate


def locator_of(
    bundle: BundleContents, stages: Stages | None = None, numerics: Numerics = FLOAT32,
    parameters: DetectorParameters | None = None,
) -> FaceLocator:  # fmt: skip
    """What finds faces with the models of a bundle; `ContractError` for a kind of model that nobody has registered."""
    weights = bundle.serving("locator")
    return _known(_LOCATORS, weights, "locator")(weights, stages or reference_stages(numerics), numerics, parameters)


def landmarker_of(
    bundle: BundleContents, stages: Stages | None = None, numerics: Numerics = FLOAT32,
    parameters: DetectorParameters | None = None,
) -> Landmarker:  # fmt: skip
    """What finds landmarks with the models of a bundle; `ContractError` as of `locator_of`."""
    weights = bundle.serving("landmarker")
    build = _known(_LANDMARKERS, weights, "landmarker")
    return build(weights, stages or reference_stages(numerics), numerics, parameters)


def _known(table: dict[type[Any], Any], weights: Any, role: str) -> Any:
    if type(weights) not in table:
        load_kinds()  # of other packages
    if type(weights) not in table:
        kinds = ", ".join(sorted(kind.__name__ for kind in table))
        raise ContractError("pipeline", role, f"a model of a registered kind ({kinds})", type(weights).__name__)
    return table[type(weights)]


@locator(MTCNN)
def _mtcnn(weights: MTCNN, stages: Stages, numerics: Numerics, parameters: DetectorParameters | None) -> FaceLocator:
    return MtcnnLocator(stages.detection(weights))


@landmarker(FaceModel)
def _clm(weights: FaceModel, stages: Stages, numerics: Numerics, parameters: DetectorParameters | None) -> Landmarker:
    return ClmLandmarker(weights, parameters, numerics, stages)


@locator(RetinaFace)
def _retinaface(
    weights: RetinaFace, stages: Stages, numerics: Numerics, parameters: DetectorParameters | None
) -> FaceLocator:
    return RetinaFaceLocator(stages.face_network(weights))


@landmarker(LandmarkNetwork)
def _network(
    weights: LandmarkNetwork, stages: Stages, numerics: Numerics, parameters: DetectorParameters | None
) -> NetworkLandmarker:
    return NetworkLandmarker(
        stages.point_network(weights.network),
        weights.shape,
        crop_of=crop_rule_of(weights.network),
        brows=weights.brows,
        numerics=numerics,
        stages=stages,
    )


@landmarker(NetworkStart)
def _network_start(
    weights: NetworkStart, stages: Stages, numerics: Numerics, parameters: DetectorParameters | None
) -> Landmarker:
    points = LandmarkNetwork(weights.network, weights.face.main.pdm, weights.brows)
    network = _network(points, stages, numerics, parameters)
    return NetworkStartLandmarker(weights.face, network, parameters, numerics, stages)
