"""The catalogue of exported items: every network and model of a bundle by name, with contract and reference.

A `Bundle` in, `Item`s out, the same for every target format; a target knows how to write an item's `kind`. Names are
paths without a suffix: ``detection/pnet``, ``patch_experts/main/scale_0.25/view_0`` (all experts of a view in one
graph), ``patch_experts/main/scale_0.25/landmark_30`` (one expert of the frontal view, for code that runs single
experts: 68 landmarks by 4 scales), ``validation/view_0``, ``action_units/video``, ``analysis/image``
(from the aligned face of an image to its AUs), ``face_network/NAME`` and ``point_network/NAME`` where a network finds
faces or landmarks, under the name that it has in the bundle.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from auparity.conversion.contracts import detector_contract
from auparity.conversion.examples import analysis as examples
from auparity.conversion.examples import experts as expert_examples
from auparity.conversion.examples import networks as network_examples
from auparity.errors import AuparityError
from auparity.models.bundle import Bundle
from auparity.models.types import (
    MTCNN,
    STAR,
    AUPredictors,
    CCNFPatch,
    CENExperts,
    CENPatch,
    ConvNet,
    FaceApi,
    FaceModel,
    LandmarkModel,
    LandmarkNetwork,
    NetworkStart,
    PatchExperts,
    PointNetwork,
    RetinaFace,
)
from auparity.reference.action_units import ActionUnitModels
from auparity.reference.convnet import forward
from auparity.reference.networks.face_api import MEANS
from auparity.reference.networks.parts import parts_of

Array = npt.NDArray[Any]
Kind = Literal[
    "network", "per_pixel_network", "grouped_experts", "expert", "grouped_neurons", "action_units", "fhog", "analysis",
    "face_network", "point_network", "heat_map_network",
]  # fmt: skip

#: Heights and widths of images for targets that need one size a file.
IMAGE_SIZES = ((360, 480), (480, 640), (720, 1280))
#: Precisions of weights and layers.
Precision = Literal["float32", "float16"]


@dataclass(frozen=True)
class About:
    """The metadata of every exported file besides its contract."""

    bundle_hash: str
    licence: str
    version: str  #: of auparity
    precision: Precision

    def refuse_others(self, path: object, bundle_hash: str) -> None:
        """Raise `AuparityError` if the metadata of a file name another bundle."""
        if bundle_hash != self.bundle_hash:
            description = f"of bundle {bundle_hash[:12]}" if bundle_hash else "without the name of its bundle"
            raise AuparityError(f"{path}: is {description}, not of {self.bundle_hash[:12]}. Export it again.")


@dataclass(frozen=True, eq=False)
class Item:
    """One item to export. It is sent to other processes, so its functions must be defined at module level."""

    name: str
    stage: str
    kind: Kind
    model: Any  #: what the builder of its kind takes: a `ConvNet`, experts, `AUPredictors`
    channels: int  #: of a network's input; 0 for other kinds
    contract: str  #: description of inputs and outputs
    inputs: Callable[[np.random.Generator], tuple[Array, ...]]  #: an example
    reference: Callable[..., Array | tuple[Array, ...]]  #: the same by the reference; a tuple if several
    note: str = ""
    #: What of the outputs is compared; None for the outputs themselves.
    judged: Callable[[Sequence[Array]], tuple[Array, ...]] | None = None

    def error(self, path: Path, arrays: Sequence[Array], outputs: Sequence[Array]) -> float:
        """Largest error of a written file's outputs for `arrays`, each relative to its largest value.

        Raises
        ------
        AuparityError : the outputs have other shapes than those of the reference.
        """
        reference_outputs = self.reference(*arrays)
        expected = reference_outputs if isinstance(reference_outputs, tuple) else (reference_outputs,)
        shapes, wanted = ([array.shape for array in some] for some in (outputs, expected))
        if shapes != wanted:
            raise AuparityError(f"{path}: returns {_listed(shapes)}, the reference {_listed(wanted)}. Export it again.")
        judged = self.judged or tuple
        pairs = zip(judged(outputs), judged(expected), strict=True)
        return float(np.max([np.abs(a - b).max() / max(float(np.abs(b).max()), 1e-30) for a, b in pairs]))


def _listed(shapes: Sequence[tuple[int, ...]]) -> str:
    return " and ".join(map(str, shapes))


def items(bundle: Bundle, *, fixed_sizes: bool = False) -> Iterator[Item]:
    """Everything that serves in a bundle and can be exported.

    Parameters
    ----------
    fixed_sizes : a detector network that takes images of any size is one item for each of `IMAGE_SIZES`.
    """
    yield from _locator(bundle, fixed_sizes)
    yield from _landmarker(bundle)
    for name, predictors in (("video", bundle.video_aus), ("image", bundle.image_aus)):
        yield _action_units(f"action_units/{name}", predictors)
    yield from _analysis(bundle)


def _locator(bundle: Bundle, fixed_sizes: bool) -> Iterator[Item]:
    match model := bundle.serving("locator"):
        case MTCNN():
            for name, net, size in (("pnet", model.pnet, 40), ("rnet", model.rnet, 24), ("onet", model.onet, 48)):
                contract = detector_contract(net, None if name == "pnet" else size)
                kind: Kind = "per_pixel_network" if name == "pnet" else "network"
                yield _network(f"detection/{name}", "detection", kind, net, (2, 3, size, size), contract)
        case RetinaFace():
            name = f"face_network/{_file_name(bundle.serves['locator'])}"
            if not fixed_sizes:
                yield _face_network(name, model, (2, 67, 101), "H, W")  # odd, and no multiples of the strides
                return
            for height, width in IMAGE_SIZES:
                yield _face_network(f"{name}_{height}x{width}", model, (1, height, width), f"{height}, {width}")


def _landmarker(bundle: Bundle) -> Iterator[Item]:
    match model := bundle.serving("landmarker"):
        case FaceModel():
            yield from _local_models(model)
        case NetworkStart():
            yield _point_network(f"point_network/{type(model.network).__name__.lower()}", model.network)
            yield from _local_models(model.face)
        case LandmarkNetwork():
            yield _point_network(f"point_network/{_file_name(bundle.serves['landmarker'])}", model.network)


def _local_models(model: FaceModel) -> Iterator[Item]:
    for part, held in [("main", model.main), *((part.name, part.model) for part in model.parts)]:
        yield from _experts(part, held)
    for view, judge in enumerate(model.validator.views):
        height, width = judge.warp.mask.shape
        contract = f"faces (N, 1, {height}, {width}) float32, normalised, to scores of the bins of the error"
        shape = (2, 1, height, width)
        yield _network(f"validation/view_{view}", "validation", "network", judge.net, shape, contract)


def _file_name(name: str) -> str:
    """The name of a model of a bundle, which may be any text, as one that files can have."""
    return re.sub(r"[^\w-]", "_", name)


def _face_network(name: str, weights: RetinaFace, shape: tuple[int, int, int], size: str) -> Item:
    contract = (
        f"maps (N, 3, {size}) float32 B,G,R less (104, 117, 123), to boxes (N, 8, h, w), classes (N, 4, h, w) and "
        "points (N, 20, h, w) of two anchors a place at each of the strides 8, 16, 32"
    )
    return Item(
        name, "face_network", "face_network", weights, 3, contract,
        partial(network_examples.maps, weights, shape), partial(network_examples.outputs, weights),
        "anchors, decoding and the choice among overlapping boxes stay with the caller (spec 95.1)",
    )  # fmt: skip


def _point_network(name: str, weights: PointNetwork) -> Item:
    side = parts_of(weights).side or 0
    inputs, reference = network_examples.maps, partial(network_examples.outputs, weights)
    if isinstance(weights, STAR):
        contract = (
            f"maps (N, 3, {side}, {side}) float32 B,G,R from -1 to 1, to a map for each point (N, P, {side // 4}, "
            f"{side // 4}), whose centre of mass it is"
        )
        return Item(
            name, "point_network", "heat_map_network", weights, 3, contract,
            partial(inputs, weights, (1, side, side)), reference,
            "centres of mass stay with the caller, in float32 or more (spec 95.4); compared by them",
            partial(network_examples.places, weights),
        )  # fmt: skip
    colours = f"R,G,B less {MEANS}, divided by 255" if isinstance(weights, FaceApi) else "R,G,B from 0 to 1"
    contract = f"maps (N, 3, {side}, {side}) float32 {colours}, to x0 y0 x1 ... (N, 136) in parts of the crop"
    return Item(
        name, "point_network", "point_network", weights, 3, contract, partial(inputs, weights, (1, side, side)),
        reference,
    )  # fmt: skip


def _network(name: str, stage: str, kind: Kind, net: ConvNet, shape: tuple[int, ...], contract: str) -> Item:
    return Item(name, stage, kind, net, shape[1], contract, partial(_maps, shape), partial(_outputs, net))


def _maps(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Array, ...]:
    return (rng.normal(size=shape).astype(np.float32),)


def _outputs(net: ConvNet, maps: Array) -> Array:
    return forward(net, maps, np.float32)


def _experts(part: str, model: LandmarkModel) -> Iterator[Item]:
    for experts in model.experts:
        folder = f"patch_experts/{part}/scale_{experts.scale:g}"
        for view in range(len(experts.patches)):
            yield from _grouped(f"{folder}/view_{view}", experts, view)
        if isinstance(experts, CENExperts):
            for landmark, patch in enumerate(experts.patches[expert_examples.FRONTAL]):
                yield _single(f"{folder}/landmark_{landmark:02}", experts, landmark, patch)


def _grouped(name: str, experts: PatchExperts, view: int) -> Iterator[Item]:
    """All experts of a view with patches of one size; the name has a suffix if there are several sizes."""
    patches = cast(Sequence[CENPatch | CCNFPatch], experts.patches[view])
    chosen = [(k, patch) for k, patch in enumerate(patches) if _has_its_own(patch)]
    sizes = list(dict.fromkeys((patch.height, patch.width) for _, patch in chosen))
    for number, size in enumerate(sizes):
        some = [(k, patch) for k, patch in chosen if (patch.height, patch.width) == size]
        yield _group(name if len(sizes) == 1 else f"{name}_{number}", [k for k, _ in some], [p for _, p in some], size)


def _has_its_own(patch: CENPatch | CCNFPatch) -> bool:
    """Whether an expert is more than an empty record."""
    return bool(patch.layers) if isinstance(patch, CENPatch) else patch.n_neurons > 0


def _group(name: str, landmarks: list[int], patches: Sequence[CENPatch | CCNFPatch], size: tuple[int, int]) -> Item:
    neurons = isinstance(patches[0], CCNFPatch)
    reference: Callable[..., Array] = expert_examples.neuron_responses if neurons else expert_examples.network_responses
    shape = (len(patches), expert_examples.POSITIONS, 1 + size[0] * size[1])
    contract = (
        f"normalised patches ({shape[0]}, P, {shape[2]}) float32 of landmarks {', '.join(map(str, landmarks))}, a one "
        f"before the {size[0]} x {size[1]} pixels, column by column, to responses ({shape[0]}, P)"
    )
    return Item(
        name, "patch_experts", "grouped_neurons" if neurons else "grouped_experts", list(patches), 0, contract,
        partial(expert_examples.patches, shape), partial(reference, patches),
        "before Sigma and the minimum of the map, which stay with the caller" if neurons else "",
    )  # fmt: skip


def _single(name: str, experts: CENExperts, landmark: int, patch: CENPatch) -> Item:
    note, reference = "", cast(Callable[..., Array], expert_examples.network_response)
    if not patch.layers:
        reference = expert_examples.mirrored_response
        partner = int(experts.mirror_landmarks.ravel()[landmark])
        patch = experts.patches[int(experts.mirror_views.ravel()[expert_examples.FRONTAL])][partner]
        note = f"the expert of landmark {partner}: give it mirrored patches, and mirror the map"
    inputs = 1 + patch.height * patch.width
    contract = f"normalised patches (P, {inputs}) float32, a one before the pixels, column by column, to responses (P,)"
    return Item(
        name, "patch_experts", "expert", patch, 0, contract,
        partial(expert_examples.patches, (expert_examples.POSITIONS, inputs)), partial(reference, patch), note,
    )  # fmt: skip


def _action_units(name: str, predictors: AUPredictors) -> Item:
    models = ActionUnitModels(predictors)
    length = models.intensity.weights.shape[1]
    contract = (
        f"features and running medians (N, {length}), FHOG before geometry, to {len(models.intensity.biases)} "
        f"intensities and {len(models.presence.biases)} presences before their threshold (N, 35)"
    )
    inputs, reference = partial(examples.descriptors, length), partial(examples.values, predictors)
    return Item(name, "action_units", "action_units", predictors, 0, contract, inputs, reference)


_ALIGNED = "aligned faces (N, 112, 112, 3) B,G,R, whole numbers from 0 to 255,"


def _analysis(bundle: Bundle) -> Iterator[Item]:
    """The graphs from aligned faces on. In videos, the medians that a frame is compared with include the frame itself
    (spec 60.5). They are a state between the graphs ``analysis/fhog`` and ``action_units/video``, which can therefore
    not be one graph."""
    yield Item(
        "analysis/fhog", "fhog", "fhog", None, 0, f"{_ALIGNED} to FHOG features (N, 4464), cell by cell",
        examples.aligned_faces, examples.described,
        "float32; videos: update the running medians (spec 60.5), then action_units/video",
    )  # fmt: skip
    predictors = bundle.image_aus
    models = ActionUnitModels(predictors)
    if models.needs_medians:
        return
    geometry = 3 * predictors.pdm.n_points + predictors.pdm.n_modes
    contract = (
        f"{_ALIGNED} and geometry (N, {geometry}) to FHOG features (N, 4464) and {len(models.intensity.biases)} "
        f"intensities, not clamped, and {len(models.presence.biases)} presences before their threshold (N, 35)"
    )
    inputs, reference = partial(examples.photographs, geometry), partial(examples.analysed, predictors)
    yield Item("analysis/image", "analysis", "analysis", predictors, 0, contract, inputs, reference)
