"""Makers of small, random but valid models, and of a whole bundle of them (`make_bundle`), for unit tests. Networks
have the structure of OpenFace's with few maps, so every stage runs on them; they know nothing about faces. The same
`rng` state gives the same model. n = landmarks, m = modes, V = views.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from auparity.models.bundle import Bundle
from auparity.models.types import (
    MTCNN,
    PDM,
    AUModel,
    AUPredictors,
    BundleMeta,
    CCNFExperts,
    CCNFPatch,
    CENExperts,
    CENLayer,
    CENPatch,
    ConvNet,
    Convolution,
    EarlyTermination,
    FaceModel,
    FullyConnected,
    LandmarkModel,
    Layer,
    MaxPool,
    PartModel,
    PiecewiseWarp,
    PReLU,
    ReLU,
    Validator,
    ValidatorView,
)
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS

N_FACE, N_INNER, N_EYE = 68, 51, 28
FHOG_SIZE = 4464  # 12 x 12 cells of 31 channels (spec 60)
PATCH_SIDE = 11  # px
FRAME_SIDE = 60  # px, the validator's frame
SEVEN_VIEWS = (0.0, -20.0, -45.0, -70.0, 70.0, 45.0, 20.0)  # degrees about y, in the order of the experts
VALIDATOR_VIEWS = (0.0, -20.0, -45.0, -70.0, 20.0, 45.0, 70.0)
MIRRORED_VIEWS = (0, 6, 5, 4, 3, 2, 1)
#: Dynamic models of the video list (spec 10.11) and their cut-offs; the other AUs have static ones.
DYNAMIC_PRESENCE = {"AU01", "AU02", "AU09", "AU15", "AU17", "AU20", "AU25", "AU26", "AU28", "AU45"}
CUTOFFS = {
    "AU01": 0.55, "AU02": 0.75, "AU05": 0.8, "AU09": 0.7, "AU15": 0.55, "AU17": 0.2, "AU20": 0.65, "AU23": 0.65,
    "AU25": 0.3, "AU26": 0.3, "AU45": 0.6,
}  # fmt: skip
POSITIVE_FIRST = {"AU10", "AU12", "AU25"}  # stored classes (1, 0); the others (0, 1)

Rng = np.random.Generator
_F32 = np.float32


def _f32(rng: Rng, *shape: int, scale: float = 1.0) -> npt.NDArray[np.float32]:
    return (rng.standard_normal(shape) * scale).astype(_F32)


def make_pdm(rng: Rng, n: int = N_FACE, m: int = 6) -> PDM:
    """A cloud of points as large as a head (or part), with orthonormal components and falling variances."""
    mean = rng.standard_normal(3 * n) * np.repeat([35.0, 40.0, 15.0], n)
    components, _ = np.linalg.qr(rng.standard_normal((3 * n, m)))
    return PDM(mean, np.ascontiguousarray(components), np.sort(rng.uniform(1.0, 300.0, m))[::-1].copy())


def view_centres(degrees: tuple[float, ...]) -> npt.NDArray[np.float64]:
    """(V, 3) degrees: turned about y only."""
    centres = np.zeros((len(degrees), 3))
    centres[:, 1] = degrees
    return centres


def visibility(n: int, degrees: tuple[float, ...]) -> npt.NDArray[np.int32]:
    """(V, n): every other landmark is hidden in the profile views (beyond 45 degrees)."""
    visible = np.ones((len(degrees), n), np.int32)
    visible[np.abs(degrees) > 45, 1::2] = 0
    return visible


def make_ccnf_patch(rng: Rng, n_neurons: int = 2, n_betas: int = 2) -> CCNFPatch:
    """One CCNF expert; n_neurons = 0 is an empty record."""
    return CCNFPatch(
        width=PATCH_SIDE,
        height=PATCH_SIDE,
        neuron_types=np.zeros(n_neurons, np.int32),
        norm_weights=rng.uniform(0.5, 2.0, n_neurons),
        biases=rng.standard_normal(n_neurons),
        alphas=rng.uniform(0.1, 2.0, n_neurons),
        weights=_f32(rng, n_neurons, PATCH_SIDE, PATCH_SIDE, scale=0.2),
        betas=rng.uniform(0.01, 0.2, n_betas if n_neurons else 0),
        confidence=float(rng.uniform(0.2, 1.0)) if n_neurons else math.nan,
    )


def make_ccnf(
    rng: Rng,
    n: int = N_FACE,
    scale: float = 0.25,
    degrees: tuple[float, ...] = SEVEN_VIEWS,
    window_sizes: tuple[int, ...] = (7, 9, 11),
    n_components: int = 2,
) -> CCNFExperts:
    """CCNF experts of one scale; landmarks hidden in a view have empty records."""
    visible = visibility(n, degrees)
    components = []
    for side in window_sizes:
        spread = np.abs(_f32(rng, n_components, side**2, side**2, scale=0.01))
        components.append(np.ascontiguousarray(spread + spread.swapaxes(1, 2)))
    patches = tuple(tuple(make_ccnf_patch(rng, 2 if seen else 0, n_components) for seen in view) for view in visible)
    return CCNFExperts(scale, view_centres(degrees), visible, window_sizes, tuple(components), patches)


def make_cen_patch(rng: Rng, hidden: tuple[int, ...] = (5, 4)) -> CENPatch:
    """One CEN expert: ReLU layers of the sizes `hidden`, then one sigmoid output."""
    layers = []
    n_in = PATCH_SIDE**2 + 1
    for k, n_out in enumerate((*hidden, 1)):
        weights = _f32(rng, n_out, n_in, scale=math.sqrt(2 / n_in))
        layers.append(CENLayer(2 if k < len(hidden) else 0, _f32(rng, 1, n_out, scale=0.1), weights))
        n_in = n_out
    return CENPatch(PATCH_SIDE, PATCH_SIDE, tuple(layers), float(rng.uniform(0.2, 1.0)))


def make_cen(rng: Rng, n: int = N_FACE, scale: float = 0.25) -> CENExperts:
    """CEN experts of one scale for the seven views; the right half, and views turned right, are mirrored ones.

    The mirror of landmark k is n - 1 - k.
    """
    visible = visibility(n, SEVEN_VIEWS)
    mirror = np.arange(n, dtype=np.int32)[::-1].reshape(-1, 1).copy()
    visible[4:] = visible[3:0:-1, ::-1]
    empty = CENPatch(PATCH_SIDE, PATCH_SIDE, (), 0.0)
    patches = []
    for view in range(len(SEVEN_VIEWS)):
        own = [bool(visible[view, k]) and (k <= mirror[k, 0] if view == 0 else view <= 3) for k in range(n)]
        patches.append(tuple(make_cen_patch(rng) if mine else empty for mine in own))
    mirror_views = np.array(MIRRORED_VIEWS, np.int32).reshape(-1, 1)
    return CENExperts(scale, view_centres(SEVEN_VIEWS), visible, mirror, mirror_views, tuple(patches))


def make_early_termination(rng: Rng, views: int = 7) -> EarlyTermination:
    return EarlyTermination(rng.uniform(0.9, 1.1, views), rng.normal(0, 0.1, views), rng.normal(0, 0.2, views))


def make_triangles(rng: Rng, n: int = N_FACE, count: int = 20) -> npt.NDArray[np.int32]:
    """(count, 3) different corners each."""
    return np.array([rng.permutation(n)[:3] for _ in range(count)], np.int32)


def convolution(rng: Rng, inputs: int, kernels: int, side: int) -> Convolution:
    spread = math.sqrt(2 / (inputs * side * side))
    return Convolution(_f32(rng, kernels, inputs, side, side, scale=spread), _f32(rng, kernels, scale=0.1))


def fully_connected(rng: Rng, n_in: int, n_out: int) -> FullyConnected:
    return FullyConnected(_f32(rng, n_in, n_out, scale=math.sqrt(2 / n_in)), _f32(rng, n_out, scale=0.1))


def prelu(rng: Rng, maps: int) -> PReLU:
    return PReLU(rng.uniform(0.05, 0.5, maps).astype(_F32))


def make_mtcnn(rng: Rng) -> MTCNN:
    """The three nets of the face detector, of OpenFace's structure (spec 10.5), with 2 to 4 maps."""
    pool2, pool3 = MaxPool((2, 2), (2, 2)), MaxPool((3, 3), (2, 2))
    pnet: list[Layer] = [convolution(rng, 3, 2, 3), prelu(rng, 2), pool2]
    pnet += [convolution(rng, 2, 3, 3), prelu(rng, 3), convolution(rng, 3, 4, 3), prelu(rng, 4)]
    pnet += [fully_connected(rng, 4, 6)]
    rnet: list[Layer] = [convolution(rng, 3, 2, 3), prelu(rng, 2), pool3]  # 24 -> 22 -> 11
    rnet += [convolution(rng, 2, 3, 3), prelu(rng, 3), pool3]  # -> 9 -> 4
    rnet += [convolution(rng, 3, 4, 2), prelu(rng, 4)]  # -> 3
    rnet += [fully_connected(rng, 4 * 3 * 3, 5), prelu(rng, 5), fully_connected(rng, 5, 6)]
    onet: list[Layer] = [convolution(rng, 3, 2, 3), prelu(rng, 2), pool3]  # 48 -> 46 -> 23
    onet += [convolution(rng, 2, 3, 3), prelu(rng, 3), pool3]  # -> 21 -> 10
    onet += [convolution(rng, 3, 3, 3), prelu(rng, 3), pool2]  # -> 8 -> 4
    onet += [convolution(rng, 3, 4, 2), prelu(rng, 4)]  # -> 3
    onet += [fully_connected(rng, 4 * 3 * 3, 6), prelu(rng, 6), fully_connected(rng, 6, 16)]
    return MTCNN(ConvNet(tuple(pnet)), ConvNet(tuple(rnet)), ConvNet(tuple(onet)))


def make_warp(rng: Rng, n: int = N_FACE) -> PiecewiseWarp:
    """A warp to a square of two triangles, whose corners are the first four landmarks, in the middle of the frame."""
    low, high = 8.0, 52.0
    x, y = rng.uniform(low, high, (2, n))
    x[:4], y[:4] = (low, high, high, low), (low, low, high, high)
    triangles = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    rows, cols = np.mgrid[:FRAME_SIDE, :FRAME_SIDE]
    alpha, beta = np.zeros((2, 3)), np.zeros((2, 3))
    triangle_id = np.full((FRAME_SIDE, FRAME_SIDE), -1, np.int32)
    for t, (i, j, k) in enumerate(triangles):
        sides = np.array([[x[j] - x[i], x[k] - x[i]], [y[j] - y[i], y[k] - y[i]]])
        inverse = np.linalg.inv(sides)  # barycentric coordinates from the offset to corner i
        for coefficients, row in ((alpha, inverse[0]), (beta, inverse[1])):
            coefficients[t] = -row @ (x[i], y[i]), row[0], row[1]
        a, b = (c[t, 0] + c[t, 1] * cols + c[t, 2] * rows for c in (alpha, beta))
        triangle_id[(a >= 0) & (b >= 0) & (a + b <= 1)] = t
    mask = (triangle_id >= 0).astype(np.int32)
    return PiecewiseWarp(int(mask.sum()), 0.0, 0.0, np.concatenate([x, y]), triangles, triangle_id, mask, alpha, beta)


def make_validator(
    rng: Rng, n: int = N_FACE, degrees: tuple[float, ...] = VALIDATOR_VIEWS, n_bins: int = 4
) -> Validator:
    """A validator of the structure of validator_cnn_68 (spec 10.10) with two maps."""
    views = []
    for _ in degrees:
        warp = make_warp(rng, n)
        pool = MaxPool((2, 2), (2, 2))
        layers: list[Layer] = [convolution(rng, 1, 2, 5), ReLU(), pool]  # 60 -> 56 -> 28
        layers += [convolution(rng, 2, 2, 5), ReLU(), pool]  # -> 24 -> 12
        layers += [convolution(rng, 2, 2, 3), ReLU(), pool]  # -> 10 -> 5
        layers += [fully_connected(rng, 2 * 5 * 5, 5), ReLU(), fully_connected(rng, 5, n_bins)]
        mean, std = rng.normal(0, 0.1, warp.n_pixels), rng.uniform(0.5, 1.5, warp.n_pixels)
        views.append(ValidatorView(mean, std, ConvNet(tuple(layers)), warp))
    return Validator(view_centres(degrees), tuple(views))


def make_au_model(
    rng: Rng, name: str, task: Literal["intensity", "presence"], dynamic: bool, means: npt.NDArray[np.float64]
) -> AUModel:
    """One linear model; dynamic intensity models have the cut-off of their AU (0.5 where OpenFace has none)."""
    positive = 1.0 if name in POSITIVE_FIRST else 0.0
    extra: dict[str, Any] = {}
    if task == "presence":
        extra = {"pos_class": positive, "neg_class": 1.0 - positive}
    elif dynamic:
        extra = {"cutoff": CUTOFFS.get(name, 0.5)}
    weights = rng.normal(0, 0.02, means.size)
    return AUModel(task, dynamic, (name,), means, weights, float(rng.normal(0, 0.3)), **extra)


def make_au_predictors(rng: Rng, pdm: PDM, kind: Literal["video", "image"] = "video") -> AUPredictors:
    """18 presence and 17 intensity models; dynamic and static as in OpenFace's lists (images: all static)."""
    size = FHOG_SIZE + 3 * pdm.n_points + pdm.n_modes
    means = {dynamic: rng.uniform(0, 0.2, size) for dynamic in (False, True)}
    models = []
    for name in PRESENCE_AUS:
        dynamic = kind == "video" and name in DYNAMIC_PRESENCE
        models.append(make_au_model(rng, name, "presence", dynamic, means[dynamic]))
    for name in INTENSITY_AUS:
        dynamic = kind == "video" and name in CUTOFFS
        models.append(make_au_model(rng, name, "intensity", dynamic, means[dynamic]))
    return AUPredictors(tuple(models), pdm, make_triangles(rng, pdm.n_points))


def make_landmark_model(rng: Rng, kind: Literal["clnf", "ceclm"], pdm: PDM) -> LandmarkModel:
    """The main model, with three CCNF scales or four CEN ones."""
    if kind == "clnf":
        scales = tuple(make_ccnf(rng, pdm.n_points, scale) for scale in (0.25, 0.35, 0.5))
        return LandmarkModel("clnf_general", pdm, scales, None, (make_triangles(rng, pdm.n_points),) * 7)
    experts = tuple(make_cen(rng, pdm.n_points, scale) for scale in (0.25, 0.35, 0.5, 1.0))
    return LandmarkModel("cen_general", pdm, experts, make_early_termination(rng), ())


def make_parts(rng: Rng, inner: bool) -> tuple[PartModel, ...]:
    """Both eyes (28 points, scales 1.0 and 1.5, one view, no sigma components), after the inner face if wanted."""
    parts = []
    if inner:
        pdm = make_pdm(rng, N_INNER, 5)
        model = LandmarkModel("clnf_inner", pdm, (make_ccnf(rng, N_INNER, 1.0),))
        mapping = np.stack([np.arange(17, 68), np.arange(51)], axis=1).astype(np.int32)
        parts.append(PartModel("inner", model, mapping))
    for side, first in (("left", 36), ("right", 42)):
        pdm = make_pdm(rng, N_EYE, 4)
        experts = tuple(make_ccnf(rng, N_EYE, scale, (0.0,), (7, 9), 0) for scale in (1.0, 1.5))
        mapping = np.stack([first + np.arange(6), 8 + 2 * np.arange(6)], axis=1).astype(np.int32)
        parts.append(PartModel(f"{side}_eye_28", LandmarkModel(f"clnf_{side}_synth", pdm, experts), mapping))
    return tuple(parts)


def make_bundle(seed: int = 0, kind: Literal["clnf", "ceclm"] = "clnf", m: int = 34) -> Bundle:
    """A complete bundle as `Bundle.from_openface` gives it: CLNF with inner face and eyes, or CE-CLM with eyes."""
    rng = np.random.default_rng(seed)
    pdm = make_pdm(rng, N_FACE, m)
    main = make_landmark_model(rng, kind, pdm)
    name = {"clnf": "main_clnf_general", "ceclm": "main_ceclm_general"}[kind]
    face = FaceModel(name, main, make_parts(rng, inner=kind == "clnf"), make_validator(rng))
    video, image = (make_au_predictors(rng, pdm, which) for which in ("video", "image"))
    meta = BundleMeta("random", "0", "none: random numbers", {"seed": seed})
    return Bundle.of(meta, locator=make_mtcnn(rng), landmarker=face, video_aus=video, image_aus=image)
