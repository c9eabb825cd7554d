"""The data types of a bundle: frozen dataclasses of arrays, one for each kind of OpenFace model file.

They have the content of the file in its precision, so that writing it back gives the same bytes. The stages cast the
arrays (the C++ program computes most of them in float32).
Shapes: n = landmarks, m = modes of shape, V = views, w = side of a response window, S = sigma components.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from auparity.short_repr import short_repr

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]


@short_repr
@dataclass(frozen=True, eq=False)
class PDM:
    """Point distribution model (spec 10.3, 30): S = mean + components @ p, mm, X block, Y block, Z block."""

    mean: F64  # (3n,)
    components: F64  # (3n, m)
    eigenvalues: F64  # (m,)

    @property
    def n_points(self) -> int:
        return int(self.mean.shape[0]) // 3

    @property
    def n_modes(self) -> int:
        return int(self.eigenvalues.shape[0])


@short_repr
@dataclass(frozen=True, eq=False)
class CCNFPatch:
    """One CCNF expert (spec 10.7): N neurons over a patch; N = 0 is an empty record (landmark unseen in this view)."""

    width: int
    height: int
    neuron_types: I32  # (N,), 0 = raw intensities
    norm_weights: F64  # (N,)
    biases: F64  # (N,)
    alphas: F64  # (N,)
    weights: F32  # (N, height, width)
    betas: F64  # (B,)
    confidence: float  # NaN in an empty record, which stores none

    @property
    def n_neurons(self) -> int:
        return int(self.alphas.shape[0])


@short_repr
@dataclass(frozen=True, eq=False)
class CCNFExperts:
    """All CCNF experts of one scale (one file, spec 10.7)."""

    scale: float
    view_centres: F64  # (V, 3) degrees
    visibility: I32  # (V, n)
    window_sizes: tuple[int, ...]
    sigma_components: tuple[F32, ...]  # one (S_w, w*w, w*w) for each window size; S_w may be 0
    patches: tuple[tuple[CCNFPatch, ...], ...]  # [view][landmark]


@short_repr
@dataclass(frozen=True, eq=False)
class CENLayer:
    """One fully connected layer of a CEN expert: act(weights @ x + bias); 0 sigmoid, 2 ReLU, else identity."""

    activation: int
    bias: F32  # (1, N_out) or (N_out, 1), as stored; read it with .ravel()
    weights: F32  # (N_out, N_in)


@short_repr
@dataclass(frozen=True, eq=False)
class CENPatch:
    """One CEN expert (spec 10.6); no layers means "use the mirrored expert" (or unseen in this view)."""

    width: int
    height: int
    layers: tuple[CENLayer, ...]
    confidence: float


@short_repr
@dataclass(frozen=True, eq=False)
class CENExperts:
    """All CEN experts of one scale (one file, spec 10.6)."""

    scale: float
    view_centres: F64  # (V, 3) degrees
    visibility: I32  # (V, n)
    mirror_landmarks: I32  # n elements, (n, 1) or (1, n) as stored; read it with .ravel()
    mirror_views: I32  # V elements, (V, 1) or (1, V) as stored; read it with .ravel()
    patches: tuple[tuple[CENPatch, ...], ...]  # [view][landmark]


PatchExperts = CCNFExperts | CENExperts


@short_repr
@dataclass(frozen=True, eq=False)
class Convolution:
    """Valid cross-correlation with stride 1 (spec 10.5)."""

    weights: F32  # (kernels, inputs, height, width)
    bias: F32  # (kernels,)


@short_repr
@dataclass(frozen=True, eq=False)
class MaxPool:
    kernel: tuple[int, int]  # (x, y)
    stride: tuple[int, int]  # (x, y)


@short_repr
@dataclass(frozen=True, eq=False)
class FullyConnected:
    """weights.T @ x + bias; x is flattened map-major and column-major inside a map (spec 10.5)."""

    weights: F32  # (N_in, N_out)
    bias: F32  # (N_out,)


@short_repr
@dataclass(frozen=True, eq=False)
class PReLU:
    slopes: F32  # (C,)


@short_repr
@dataclass(frozen=True, eq=False)
class ReLU:
    pass


@short_repr
@dataclass(frozen=True, eq=False)
class Sigmoid:
    pass


Layer = Convolution | MaxPool | FullyConnected | PReLU | ReLU | Sigmoid


@short_repr
@dataclass(frozen=True, eq=False)
class ConvNet:
    """A small feed-forward network, layer after layer."""

    layers: tuple[Layer, ...]


@short_repr
@dataclass(frozen=True, eq=False)
class MTCNN:
    """The three networks of the face detector (spec 20)."""

    pnet: ConvNet
    rnet: ConvNet
    onet: ConvNet


@short_repr
@dataclass(frozen=True, eq=False)
class PiecewiseWarp:
    """Piecewise affine warp of the landmark validator to its 60 x 60 frame (spec 10.10, 50.8)."""

    n_pixels: int
    min_x: float
    min_y: float
    destination: F64  # (136,) destination landmarks, x block then y block
    triangles: I32  # (T, 3)
    triangle_id: I32  # (60, 60), -1 outside
    mask: I32  # (60, 60), non-zero inside
    alpha: F64  # (T, 3)
    beta: F64  # (T, 3)


@short_repr
@dataclass(frozen=True, eq=False)
class ValidatorView:
    mean: F64  # (P,)
    std: F64  # (P,)
    net: ConvNet
    warp: PiecewiseWarp


@short_repr
@dataclass(frozen=True, eq=False)
class Validator:
    """Landmark validator (spec 10.10): one small CNN for each head orientation."""

    view_centres: F64  # (V, 3) degrees
    views: tuple[ValidatorView, ...]


@short_repr
@dataclass(frozen=True, eq=False)
class EarlyTermination:
    """When is a frontal (or other) hypothesis good enough to skip the rest (spec 10.9, 50.9): score > cutoff."""

    weights: F64  # (V,)
    biases: F64  # (V,)
    cutoffs: F64  # (V,)


@short_repr
@dataclass(frozen=True, eq=False)
class LandmarkModel:
    """A PDM with its patch experts, one entry of `experts` for each scale, ascending (spec 10.2)."""

    name: str
    pdm: PDM
    experts: tuple[PatchExperts, ...]
    early_termination: EarlyTermination | None = None
    triangulations: tuple[I32, ...] = ()  # one (T, 3) for each view; drawing only

    @property
    def kind(self) -> Literal["ccnf", "cen"]:
        return "cen" if isinstance(self.experts[0], CENExperts) else "ccnf"


@short_repr
@dataclass(frozen=True, eq=False)
class PartModel:
    """A model of a part of the face (an eye, the inner face) fitted after the main one (spec 50.7)."""

    name: str
    model: LandmarkModel
    mapping: I32  # (K, 2): index in the main model, index in the part


@short_repr
@dataclass(frozen=True, eq=False)
class FaceModel:
    """Everything that landmark detection needs: main model, parts in file order, validator."""

    name: str  # stem of the main file, e.g. "main_ceclm_general": decides the CE-CLM factors of spec 50.1
    main: LandmarkModel
    parts: tuple[PartModel, ...]
    validator: Validator


@short_repr
@dataclass(frozen=True, eq=False)
class AUModel:
    """One linear AU model (spec 10.11, 60.6): value = (z - means [- running medians]) . weights + bias."""

    task: Literal["intensity", "presence"]
    dynamic: bool
    au_names: tuple[str, ...]  # usually one, e.g. ("AU01",)
    means: F64  # (D,), as stored in this file; the pipeline uses those of the first file of the same kind
    weights: F64  # (D,)
    bias: float
    cutoff: float | None = None  # dynamic intensity models only
    pos_class: float | None = None  # presence models only: emitted when value > 0
    neg_class: float | None = None


@short_repr
@dataclass(frozen=True, eq=False)
class AUPredictors:
    """The AU models of one list file, in file order, with the PDM and the mask triangulation of the analyser."""

    models: tuple[AUModel, ...]
    pdm: PDM
    triangulation: I32  # (T, 3)


@short_repr
@dataclass(frozen=True, eq=False)
class Tensors:
    """The weights of a network under the names of its published files; float32, of up to four axes."""

    names: tuple[str, ...]
    values: tuple[F32, ...]

    def by_name(self) -> dict[str, F32]:
        return dict(zip(self.names, self.values, strict=True))


@short_repr
@dataclass(frozen=True, eq=False)
class RetinaFace:
    """Weights of the face detector RetinaFace (spec 95.1)."""

    backbone: Literal["mobile0.25", "resnet50"]
    tensors: Tensors


@short_repr
@dataclass(frozen=True, eq=False)
class PFLD:
    """Weights of PFLD, 68 points (spec 95.2)."""

    tensors: Tensors


@short_repr
@dataclass(frozen=True, eq=False)
class MobileFaceNet:
    """Weights of MobileFaceNet, 68 points (spec 95.3)."""

    tensors: Tensors


@short_repr
@dataclass(frozen=True, eq=False)
class STAR:
    """Weights of STAR's stacked hourglasses (spec 95.4); their sizes follow from the shapes of the tensors."""

    tensors: Tensors
    margin: float | None = None  # side of the crop in parts of the box's longer side; None: 1.05 of the shorter one


@short_repr
@dataclass(frozen=True, eq=False)
class FaceApi:
    """Weights of face-api's landmark network or of its tiny one, 68 points (spec 95.6); the names tell which."""

    tensors: Tensors


PointNetwork = PFLD | MobileFaceNet | STAR | FaceApi


@short_repr
@dataclass(frozen=True, eq=False)
class LandmarkNetwork:
    """A network that finds landmarks in a crop of a face, and the shape model that explains them."""

    network: PFLD | MobileFaceNet | STAR | FaceApi
    shape: PDM  # 68 points
    brows: Literal["edge", "middle"] = "middle"  # of 98 points: which of them make the 68 (spec 95.7, A and B)


@short_repr
@dataclass(frozen=True, eq=False)
class NetworkStart:
    """A face model that begins at the points of a network where a face is new."""

    face: FaceModel
    network: PFLD | MobileFaceNet | STAR | FaceApi
    brows: Literal["edge", "middle"] = "middle"


@short_repr
@dataclass(frozen=True, eq=False)
class BundleMeta:
    """Where a bundle came from."""

    name: str
    version: str
    licence: str
    source: dict[str, Any] = field(default_factory=dict)
