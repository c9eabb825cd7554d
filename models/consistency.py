"""Checks that the parts of a bundle fit each other: shapes, indices and ranges, as for OpenFace's files.

It is meant for bundles from other files: a bundle that passes can be given to every stage.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError
from auparity.json_schema import MismatchError
from auparity.models.archive_values import RECORDS
from auparity.models.contents import BundleContents
from auparity.models.formats.experts import MAX_SIDE
from auparity.models.networks.checks import check_point_network, check_retinaface
from auparity.models.types import (
    MTCNN,
    PDM,
    AUPredictors,
    CCNFExperts,
    CCNFPatch,
    CENExperts,
    CENPatch,
    ConvNet,
    Convolution,
    FaceModel,
    FullyConnected,
    LandmarkModel,
    LandmarkNetwork,
    MaxPool,
    NetworkStart,
    PatchExperts,
    PiecewiseWarp,
    PReLU,
    RetinaFace,
    ValidatorView,
)
from auparity.plugins import load_plugins

Array = npt.NDArray[np.generic]
LANDMARKS = 68  #: of a face
COLOURS = 3  #: input maps of the face detector


def check_bundle(bundle: BundleContents) -> None:
    """Nothing, or a MismatchError that names the part that does not fit."""
    for name, model in bundle.models.items():
        check = CHECKS.get(type(model))
        if check is None:
            kinds = ", ".join(sorted(kind.__name__ for kind in CHECKS))
            _fail(name, f"a model of a known kind ({kinds})", type(model).__name__)
        check(name, model)


def _check_mtcnn(place: str, mtcnn: MTCNN) -> None:
    for name in ("pnet", "rnet", "onet"):
        _check_net(f"{place}.{name}", getattr(mtcnn, name), COLOURS)


def _fail(place: str, expected: str, found: object) -> NoReturn:
    raise MismatchError(place, expected, str(found))


def _shape(place: str, array: Array, *shape: int | None) -> None:
    """Refuse another shape; None stands for any size."""
    fits = array.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, array.shape, strict=True))
    if not fits:
        wanted = " x ".join("any" if size is None else str(size) for size in shape)
        _fail(place, f"an array of {wanted}", " x ".join(map(str, array.shape)) or "a single number")


def _indices(place: str, array: Array, limit: int) -> None:
    if array.size and (int(array.min()) < 0 or int(array.max()) >= limit):
        _fail(place, f"indices from 0 to {limit - 1}", f"{array.min()} to {array.max()}")


def _check_net(place: str, net: ConvNet, inputs: int) -> None:
    maps, flat = inputs, False
    if not net.layers:
        _fail(place, "at least one layer", "none")
    for k, layer in enumerate(net.layers):
        here = f"{place}.layers[{k}]"
        if isinstance(layer, Convolution):
            if flat:
                _fail(here, "a layer that takes a vector", "a convolution")
            _shape(f"{here}.weights", layer.weights, None, maps, None, None)
            maps = layer.weights.shape[0]
            _shape(f"{here}.bias", layer.bias, maps)
            if layer.weights.size == 0:
                _fail(here, "kernels", "none")
        elif isinstance(layer, FullyConnected):
            _shape(f"{here}.weights", layer.weights, maps if flat else None, None)
            n_in, n_out = layer.weights.shape
            if n_in == 0 or n_out == 0 or n_in % maps:
                _fail(here, f"weights for the {maps} maps before", f"{n_in} x {n_out}")
            _shape(f"{here}.bias", layer.bias, n_out)
            maps, flat = n_out, True
        elif isinstance(layer, PReLU):
            _shape(f"{here}.slopes", layer.slopes, maps)
        elif isinstance(layer, MaxPool) and not all(1 <= size <= MAX_SIDE for size in (*layer.kernel, *layer.stride)):
            _fail(here, f"pooling sizes from 1 to {MAX_SIDE}", f"{layer.kernel}, {layer.stride}")


def _check_pdm(place: str, pdm: PDM) -> None:
    _shape(f"{place}.mean", pdm.mean, None)
    if pdm.mean.size == 0 or pdm.mean.size % 3:
        _fail(f"{place}.mean", "x, y and z of points", f"{pdm.mean.size} numbers")
    _shape(f"{place}.eigenvalues", pdm.eigenvalues, None)
    if pdm.n_modes == 0:
        _fail(f"{place}.eigenvalues", "at least one mode", "none")
    _shape(f"{place}.components", pdm.components, pdm.mean.size, pdm.n_modes)


def _check_face(place: str, face: FaceModel) -> None:
    _check_landmark_model(f"{place}.main", face.main)
    points = face.main.pdm.n_points
    for k, part in enumerate(face.parts):
        here = f"{place}.parts[{k}]"
        _check_landmark_model(f"{here}.model", part.model)
        _shape(f"{here}.mapping", part.mapping, None, 2)
        if not len(part.mapping):
            _fail(f"{here}.mapping", "at least one pair", "none")
        _indices(f"{here}.mapping", part.mapping[:, 0], points)
        _indices(f"{here}.mapping", part.mapping[:, 1], part.model.pdm.n_points)
    views = face.validator.views
    if not views:
        _fail(f"{place}.validator.views", "at least one view", "none")
    _shape(f"{place}.validator.view_centres", face.validator.view_centres, len(views), 3)
    for k, view in enumerate(views):
        _check_validator_view(f"{place}.validator.views[{k}]", view, points)


def _check_landmark_model(place: str, model: LandmarkModel) -> None:
    _check_pdm(f"{place}.pdm", model.pdm)
    if not model.experts:
        _fail(f"{place}.experts", "at least one scale", "none")
    if len({type(experts) for experts in model.experts}) > 1:
        _fail(f"{place}.experts", "experts of one kind", "two kinds")
    for k, experts in enumerate(model.experts):
        _check_experts(f"{place}.experts[{k}]", experts, model.pdm.n_points)
    if any(before.scale >= after.scale for before, after in pairwise(model.experts)):
        _fail(f"{place}.experts", "ascending scales", [experts.scale for experts in model.experts])
    termination = model.early_termination
    if termination is not None:
        views = len(model.experts[0].view_centres)
        for name in ("weights", "biases", "cutoffs"):
            _shape(f"{place}.early_termination.{name}", getattr(termination, name), views)
    for k, triangles in enumerate(model.triangulations):
        _shape(f"{place}.triangulations[{k}]", triangles, None, 3)
        _indices(f"{place}.triangulations[{k}]", triangles, model.pdm.n_points)


def _check_experts(place: str, experts: PatchExperts, points: int) -> None:
    if experts.scale <= 0:
        _fail(f"{place}.scale", "a scale above 0", experts.scale)
    _shape(f"{place}.visibility", experts.visibility, None, points)
    views = len(experts.visibility)
    _shape(f"{place}.view_centres", experts.view_centres, views, 3)
    if not views or [len(view) for view in experts.patches] != [points] * views:
        _fail(f"{place}.patches", f"{points} patches in each of {views} views, at least one", "other numbers")
    if isinstance(experts, CENExperts):
        _check_cen(place, experts, points, views)
    else:
        _check_ccnf(place, experts)


def _check_cen(place: str, experts: CENExperts, points: int, views: int) -> None:
    for name, mirror, size in (("landmarks", experts.mirror_landmarks, points), ("views", experts.mirror_views, views)):
        if mirror.size != size or mirror.ndim != 2 or 1 not in mirror.shape:
            _fail(f"{place}.mirror_{name}", f"{size} indices in a row or column", mirror.shape)
        _indices(f"{place}.mirror_{name}", mirror, size)
    for v, view in enumerate(experts.patches):
        for k, patch in enumerate(view):
            _check_cen_patch(f"{place}.patches[{v}][{k}]", patch)
    present = np.array([[bool(patch.layers) for patch in view] for view in experts.patches])
    present |= present[experts.mirror_views.ravel()][:, experts.mirror_landmarks.ravel()]
    _check_present(place, experts, present)


def _check_cen_patch(place: str, patch: CENPatch) -> None:
    _check_sides(place, patch)
    n_in = patch.width * patch.height + 1  # column 0 multiplies a constant 1
    for layer in patch.layers:
        weights, bias = layer.weights, layer.bias
        n_out = len(weights) if weights.ndim == 2 else 0
        if n_out == 0 or weights.shape[1] != n_in or bias.shape not in ((1, n_out), (n_out, 1)):
            _fail(place, f"layers that fit behind {n_in} inputs", f"weights {weights.shape}, bias {bias.shape}")
        n_in = n_out
    if patch.layers and n_in != 1:
        _fail(place, "one output of the last layer", n_in)


def _check_sides(place: str, patch: CENPatch | CCNFPatch) -> None:
    if not (1 <= patch.width <= MAX_SIDE and 1 <= patch.height <= MAX_SIDE):
        _fail(place, f"patch sides from 1 to {MAX_SIDE}", f"{patch.width} x {patch.height}")


def _check_ccnf(place: str, experts: CCNFExperts) -> None:
    sizes, components = experts.window_sizes, experts.sigma_components
    if not sizes or len(sizes) != len(components) or not all(1 <= side <= MAX_SIDE for side in sizes):
        found = f"{sizes} and {len(components)} stacks"
        _fail(f"{place}.window_sizes", f"a size up to {MAX_SIDE} for each stack of sigma components", found)
    for k, (side, stack) in enumerate(zip(sizes, components, strict=True)):
        _shape(f"{place}.sigma_components[{k}]", stack, None, side * side, side * side)
    for v, view in enumerate(experts.patches):
        for k, patch in enumerate(view):
            _check_ccnf_patch(f"{place}.patches[{v}][{k}]", patch, len(components[0]))
    present = np.array([[patch.n_neurons > 0 for patch in view] for view in experts.patches])
    _check_present(place, experts, present)


def _check_ccnf_patch(place: str, patch: CCNFPatch, betas: int) -> None:
    _check_sides(place, patch)
    _shape(f"{place}.alphas", patch.alphas, None)
    count = patch.n_neurons
    shapes = {(count,)} == {a.shape for a in (patch.neuron_types, patch.norm_weights, patch.biases, patch.alphas)}
    if not shapes or patch.weights.shape != (count, patch.height, patch.width):
        _fail(place, f"types, weights and biases of {count} neurons", f"weights {patch.weights.shape}")
    _shape(f"{place}.betas", patch.betas, betas if count else 0)
    if count and not np.isfinite(patch.confidence):
        _fail(f"{place}.confidence", "a finite number", patch.confidence)


def _check_present(place: str, experts: PatchExperts, present: npt.NDArray[np.bool_]) -> None:
    missing = np.argwhere((experts.visibility != 0) & ~present)
    if len(missing):
        view, landmark = missing[0].tolist()
        _fail(place, "an expert for every visible landmark", f"none for landmark {landmark} in view {view}")


def _check_validator_view(place: str, view: ValidatorView, points: int) -> None:
    _check_net(f"{place}.net", view.net, 1)
    pixels = view.warp.n_pixels
    _shape(f"{place}.mean", view.mean, pixels)
    _shape(f"{place}.std", view.std, pixels)
    if (view.std == 0).any():
        _fail(f"{place}.std", "deviations other than 0", 0)
    _check_warp(f"{place}.warp", view.warp, points)


def _check_warp(place: str, warp: PiecewiseWarp, points: int) -> None:
    _shape(f"{place}.destination", warp.destination, 2 * points)
    _shape(f"{place}.triangles", warp.triangles, None, 3)
    _indices(f"{place}.triangles", warp.triangles, points)
    count = len(warp.triangles)
    for name in ("alpha", "beta"):
        _shape(f"{place}.{name}", getattr(warp, name), count, 3)
    _shape(f"{place}.triangle_id", warp.triangle_id, None, None)
    _shape(f"{place}.mask", warp.mask, *warp.triangle_id.shape)
    inside = warp.triangle_id[warp.mask != 0]
    if inside.size != warp.n_pixels:
        _fail(f"{place}.mask", f"{warp.n_pixels} pixels inside", inside.size)
    _indices(f"{place}.triangle_id", inside, count)


def _check_aus(place: str, predictors: AUPredictors) -> None:
    _check_pdm(f"{place}.pdm", predictors.pdm)
    _shape(f"{place}.triangulation", predictors.triangulation, None, 3)
    _indices(f"{place}.triangulation", predictors.triangulation, predictors.pdm.n_points)
    if not predictors.models:
        _fail(f"{place}.models", "at least one model", "none")
    size = predictors.models[0].weights.size
    for k, model in enumerate(predictors.models):
        here = f"{place}.models[{k}]"
        _shape(f"{here}.weights", model.weights, size)
        _shape(f"{here}.means", model.means, size)
        classes = (model.pos_class, model.neg_class) if model.task == "presence" else ()
        cutoff = (model.cutoff,) if model.task == "intensity" and model.dynamic else ()
        if not model.weights.size or not model.au_names or None in (*classes, *cutoff):
            _fail(here, "names, weights, and the cut-off or the classes of its kind", "none")


def _check_landmark_network(place: str, model: LandmarkNetwork) -> None:
    check_point_network(f"{place}.network", model.network)
    _check_pdm(f"{place}.shape", model.shape)
    if model.shape.n_points != LANDMARKS:
        _fail(f"{place}.shape", f"a shape of {LANDMARKS} points", model.shape.n_points)


def _check_network_start(place: str, model: NetworkStart) -> None:
    _check_face(f"{place}.face", model.face)
    check_point_network(f"{place}.network", model.network)


#: What is asked of each kind of model: called with its place in the bundle, for messages, and the model.
CHECKS: dict[type[Any], Callable[[str, Any], None]] = {
    MTCNN: _check_mtcnn,
    FaceModel: _check_face,
    AUPredictors: _check_aus,
    RetinaFace: check_retinaface,
    LandmarkNetwork: _check_landmark_network,
    NetworkStart: _check_network_start,
}
#: Entry points whose import registers kinds of models, and how to build from them (`reference/model_families.py`).
ENTRY_POINTS = "auparity.models"


def register_kind(kind: type[Any], check: Callable[[str, Any], None] = lambda place, model: None) -> None:
    """Let archives store a kind of model: a frozen dataclass of arrays, numbers, texts, and other records.

    Parameters
    ----------
    check : raises `MismatchError` for a model of this kind that nobody could use; called with its place and the model.

    Raises
    ------
    ContractError : a kind of that name is there already.
    """
    if kind.__name__ in RECORDS.values():
        raise ContractError("models", "kind", "a name that no kind of model has yet", kind.__name__)
    RECORDS[kind] = kind.__name__
    CHECKS[kind] = check


@lru_cache(maxsize=1)
def load_kinds() -> dict[str, str]:
    """Register the kinds of all installed packages, once; those that could not be imported, with the reason."""
    return load_plugins(ENTRY_POINTS)
