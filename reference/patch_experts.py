"""Response maps: how much every place around a landmark looks like that landmark (spec 40).

For one scale and window w: gray images and face parameters in, one (w, w) map a landmark out, together with the two
similarity transforms between image and reference frame. The face is brought to the experts' scale and upright by a
similarity; around each landmark an area of w + 10 px is sampled, and an expert looks at each of its 11 x 11 patches:

* CCNF (continuous conditional neural field; Baltrusaitis, Robinson, Morency, ECCV 2014): a sum of sigmoid neurons,
  smoothed by the field's covariance;
* CEN (convolutional experts network; Zadeh et al., CVPRW 2017): a small multilayer perceptron, evaluated on every
  second position and interpolated; experts of one side of the face serve the other on mirrored areas.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError
from auparity.models.types import CCNFExperts, CCNFPatch, CENExperts, CENPatch, LandmarkModel
from auparity.reference.contracts import check_array
from auparity.reference.elementary import exp
from auparity.reference.inverses import inverse_of_mirrored, inverse_spd, keeps_mirror_images
from auparity.reference.numerics import FLOAT32, Numerics
from auparity.reference.pdm import ShapeModel
from auparity.reference.resampling import warp_affine_f32
from auparity.reference.similarity import align_with_scale
from auparity.reference.sums import in_order
from auparity.short_repr import short_repr

Array = npt.NDArray[Any]

#: Neurons with a smaller alpha are left out of the sum (spec 40.8).
SMALLEST_ALPHA = 1e-4


@short_repr
@dataclass(frozen=True, eq=False)
class ResponseMaps:
    """Responses of one scale. Maps of landmarks that are invisible in the chosen view are zero and mean nothing."""

    maps: Array  #: (N, n, w, w)
    visible: Array  #: (N, n) bool
    img_to_ref: Array  #: (N, 2, 2) image offsets to reference-frame offsets
    ref_to_img: Array  #: (N, 2, 2) its inverse
    view: Array  #: (N,) index of the experts' view


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


def select_view(centres: Array, rotation: Array, numerics: Numerics = FLOAT32) -> int:
    """The view whose centre (V, 3) rad is nearest to the rotation (3,); the first wins ties (spec 40.2)."""
    difference = numerics.cast(rotation) - numerics.cast(centres)
    return int(np.argmin(in_order(difference * difference)))


def invert_2x2(matrix: Array, numerics: Numerics = FLOAT32) -> Array:
    """Inverse of a (2, 2) matrix, operation for operation as the C++ build: equal to every reference record."""
    a, b, c, d = matrix.ravel()
    determinant = numerics.fma(a, d, -(b * c))
    reciprocal = numerics.dtype(1) / determinant
    return np.array([[d * reciprocal, -b * reciprocal], [-c * reciprocal, a * reciprocal]], numerics.dtype)


def extract_areas(gray: Array, landmarks: Array, ref_to_img: Array, side: int, numerics: Numerics = FLOAT32) -> Array:
    """Areas of interest (K, side, side) around landmarks (K, 2), in the reference frame (spec 40.4).

    `gray` is one image (H, W) in the working dtype, 0 to 255; outside it is 0.
    """
    x, y = landmarks[:, 0], landmarks[:, 1]
    a, b = ref_to_img[0, 0], -ref_to_img[0, 1]
    half = numerics.dtype((side - 1) / 2)
    if numerics.perturbed:
        # As a fused multiply-add contracts it: one rounding in place of three.
        x, y, a, b = (np.asarray(v, np.float64) for v in (x, y, a, b))
    # In this order and precision: any other moves several percent of the maps to a neighbouring 1/32 px cell.
    tx = (x - a * half) + b * half
    ty = (y - a * half) - b * half
    matrices = np.empty((len(landmarks), 2, 3), numerics.dtype)
    matrices[:, 0, 0], matrices[:, 0, 1], matrices[:, 0, 2] = a, -b, tx
    matrices[:, 1, 0], matrices[:, 1, 1], matrices[:, 1, 2] = b, a, ty
    return warp_affine_f32(gray, matrices, (side, side), numerics.dtype)


def normalised_patches(areas: Array, support: tuple[int, int]) -> Array:
    """Contrast-normalised patches (K, rows, cols, 1 + width * height) of areas (K, h, w) (spec 40.6, 90.5).

    Element 0 is the constant 1 that multiplies the bias; the pixels follow column by column. The sums are sequential
    in float32, patch row by row for the mean and column by column for the norm: on nearly flat patches the division
    by a tiny norm makes any other order visible (up to 2e-3 in a CEN response).
    """
    height, width = support
    rows, cols = areas.shape[1] - height + 1, areas.shape[2] - width + 1
    shifted = {(v, u): areas[:, v : v + rows, u : u + cols] for v in range(height) for u in range(width)}
    total = np.zeros((areas.shape[0], rows, cols), areas.dtype)
    for v in range(height):
        for u in range(width):
            total += shifted[v, u]
    mean = total / areas.dtype.type(width * height)
    patches = np.empty((areas.shape[0], rows, cols, 1 + width * height), areas.dtype)
    patches[..., 0] = 1
    squares = np.zeros_like(total)
    for u in range(width):
        for v in range(height):
            centred = shifted[v, u] - mean
            squares += centred * centred
            patches[..., 1 + u * height + v] = centred
    norm = np.sqrt(squares)
    norm[norm == 0] = 1
    patches[..., 1:] *= (1 / norm.astype(np.float64)).astype(areas.dtype)[..., None]
    return patches


def field_covariances(
    patches: Sequence[CCNFPatch], window: int, components: Iterable[Array], numerics: Numerics = FLOAT32
) -> Array:
    """Covariances (K, w*w, w*w) of experts' fields: inverses of 2 (sum alpha I + sum beta C) (spec 40.8).

    Parameters
    ----------
    patches : K experts with neurons.
    components : the C (w*w, w*w) of this window; none leaves the neurons' sum unsmoothed.

    Raises
    ------
    ContractError : a field that is not positive definite.
    """
    shared = [numerics.cast(component) for component in components]
    precision = np.empty((len(patches), window * window, window * window), numerics.dtype)
    for patch, own in zip(patches, precision, strict=True):
        total = numerics.dtype(0)
        for alpha in patch.alphas:
            total = numerics.dtype(total + alpha)
        own[:] = np.eye(window * window, dtype=numerics.dtype) * total
        for beta, component in zip(patch.betas, shared, strict=False):
            own += numerics.dtype(beta) * component
    precision *= 2
    # The C++ inverts in float32; float64 rounded once is nearer to both of its roundings (spec 90.4).
    if window % 2 and all(keeps_mirror_images(component, window) for component in shared):
        return inverse_of_mirrored(precision, window).astype(numerics.dtype)
    return inverse_spd(precision).astype(numerics.dtype)


class CCNFScale:
    """The CCNF experts of one scale at the working precision (spec 40.8)."""

    def __init__(self, experts: CCNFExperts, covariances: CCNFExperts, numerics: Numerics) -> None:
        self.numerics = numerics
        self._experts = experts
        # Sigma components come from the last file of the model, whatever the scale (spec 10.7).
        self._components = dict(zip(covariances.window_sizes, covariances.sigma_components, strict=True))
        self._sigmas: dict[tuple[int, int], dict[int, Array]] = {}

    def responses(
        self, gray: Array, landmarks: Array, ref_to_img: Array, window: int, view: int
    ) -> tuple[Array, Array]:
        """Maps (n, w, w) and visibility (n,) for one image (H, W) and its landmarks (n, 2)."""
        experts = self._experts
        visible = experts.visibility[view] != 0
        maps = np.zeros((landmarks.shape[0], window, window), self.numerics.dtype)
        for support, members in _by_support(experts.patches[view], np.flatnonzero(visible)).items():
            side = window + support[1] - 1
            areas = extract_areas(gray, landmarks[members], ref_to_img, side, self.numerics)
            maps[members] = self.area_responses(areas, members, view)
        return maps, visible

    def area_responses(self, areas: Array, landmarks: Array, view: int) -> Array:
        """Maps (K, w, w) of areas of interest (K, h, w + width - 1) around landmarks (K,) of one support."""
        experts, cast = self._experts, self.numerics.cast
        supports = list(_by_support(experts.patches[view], landmarks))
        if len(supports) != 1:
            raise ContractError("patch_experts", "landmarks", "experts of one support", f"supports {supports}")
        patches = normalised_patches(areas, supports[0])
        window = patches.shape[1]
        maps = np.zeros((len(landmarks), window, window), self.numerics.dtype)
        able = np.flatnonzero([experts.patches[view][landmark].n_neurons for landmark in landmarks])
        if not able.size:
            return maps
        weights, alphas = self._neurons(view, landmarks[able])
        z = self.numerics.matmul(patches[able].reshape(len(able), window * window, -1), weights)
        raw = np.zeros((len(able), window * window), self.numerics.dtype)
        # Terms in float64, their sum kept in float32, neuron after neuron.
        exponentials = exp(-z)
        for neuron in range(alphas.shape[1]):
            raw = cast(raw + 2 * alphas[:, neuron, None] / (1 + exponentials[..., neuron]))
        # Row-major vectors of the maps: q = i * w + j, as the rows of `patches` already are.
        sigmas = self.sigmas(view, window)
        smooth = self.numerics.smooth(np.stack([sigmas[int(k)] for k in landmarks[able]]), raw)
        lowest = np.minimum(smooth.min(axis=1, keepdims=True), 0)
        maps[able] = (smooth - lowest).reshape(-1, window, window)
        return maps

    def _neurons(self, view: int, landmarks: Array) -> tuple[Array, Array]:
        """Weights (K, 1 + taps, neurons), bias first, and alphas (K, neurons) float64 of experts of one support.

        Both are 0 beyond an expert's own neurons, alphas also where they are too small to count.
        """
        cast, chosen = self.numerics.cast, [self._experts.patches[view][landmark] for landmark in landmarks]
        most, taps = max(patch.n_neurons for patch in chosen), chosen[0].height * chosen[0].width
        weights, alphas = np.zeros((len(chosen), 1 + taps, most), self.numerics.dtype), np.zeros((len(chosen), most))
        for patch, own, own_alphas in zip(chosen, weights, alphas, strict=True):
            count = patch.n_neurons
            columns = cast(patch.weights).transpose(0, 2, 1).reshape(count, taps)
            own[0, :count] = cast(patch.biases)
            own[1:, :count] = (columns * cast(patch.norm_weights)[:, None]).T
            own_alphas[:count] = np.where(patch.alphas > SMALLEST_ALPHA, patch.alphas, 0)
        return weights, alphas

    def sigmas(self, view: int, window: int) -> dict[int, Array]:
        """Covariances (w*w, w*w) of the fields of a view by landmark (spec 40.8), computed when first asked for."""
        key = (view, window)
        if key not in self._sigmas:
            patches = {k: patch for k, patch in enumerate(self._experts.patches[view]) if patch.n_neurons}
            components = self._components.get(window, ())
            covariances = field_covariances(list(patches.values()), window, components, self.numerics)
            self._sigmas[key] = dict(zip(patches, covariances, strict=True))
        return self._sigmas[key]


class CENScale:
    """The CEN experts of one scale at the working precision (spec 40.7)."""

    def __init__(self, experts: CENExperts, mirrors: CENExperts, numerics: Numerics) -> None:
        self.numerics = numerics
        self._experts = experts
        # Each file overwrites the mirror tables of the one before it (spec 10.6).
        self._mirror_landmark = mirrors.mirror_landmarks.ravel()
        self._mirror_view = mirrors.mirror_views.ravel()

    def responses(
        self, gray: Array, landmarks: Array, ref_to_img: Array, window: int, view: int
    ) -> tuple[Array, Array]:
        """Maps (n, w, w) and visibility (n,) for one image (H, W) and its landmarks (n, 2)."""
        experts = self._experts
        visible = experts.visibility[view] != 0
        maps = np.zeros((landmarks.shape[0], window, window), self.numerics.dtype)

        def area(landmark: int, patch: CENPatch) -> Array:
            return extract_areas(gray, landmarks[[landmark]], ref_to_img, window + patch.width - 1, self.numerics)[0]

        for i in map(int, np.flatnonzero(visible)):
            own, mirror = experts.patches[view][i], int(self._mirror_landmark[i])
            if view != 0:
                if own.layers:
                    (maps[i],) = self._evaluate(own, [area(i, own)], window)
                else:
                    other = experts.patches[int(self._mirror_view[view])][mirror]
                    (flipped,) = self._evaluate(other, [area(i, other)[:, ::-1]], window)
                    maps[i] = flipped[:, ::-1]
            elif own.layers and mirror == i:
                (maps[i],) = self._evaluate(own, [area(i, own)], window)
            elif own.layers:
                # Frontal pairs: one expert looks at its own landmark and, mirrored, at its partner's.
                maps[i], flipped = self._evaluate(own, [area(i, own), area(mirror, own)[:, ::-1]], window)
                maps[mirror] = flipped[:, ::-1]
        return maps, visible

    def area_responses(self, areas: Array, landmarks: Array, view: int) -> Array:
        """Maps (K, w, w) of areas of interest (K, h, w + width - 1) around landmarks (K,), each by itself."""
        maps = []
        for area, landmark in zip(areas, landmarks, strict=True):
            own, mirror = self._experts.patches[view][landmark], int(self._mirror_landmark[landmark])
            window = area.shape[0] - own.height + 1
            if own.layers:
                maps += self._evaluate(own, [area], window)
                continue
            other = self._experts.patches[int(self._mirror_view[view])][mirror]
            (flipped,) = self._evaluate(other, [area[:, ::-1]], area.shape[0] - other.height + 1)
            maps.append(flipped[:, ::-1])
        return np.stack(maps)

    def _evaluate(self, patch: CENPatch, areas: list[Array], window: int) -> list[Array]:
        """Maps of one expert on some areas: network on every second position, means of neighbours between."""
        if not patch.layers:
            raise ContractError("patch_experts", "experts", "a network or a mirrored one", "an empty record for both")
        patches = normalised_patches(np.stack(areas), (patch.height, patch.width))
        # Positions in column-major order q = j * w + i; odd q are evaluated.
        columns = patches.transpose(0, 2, 1, 3).reshape(len(areas), window * window, -1)[:, 1::2]
        values = columns.reshape(-1, columns.shape[-1])
        for layer in patch.layers:
            weights, bias = self.numerics.cast(layer.weights), self.numerics.cast(layer.bias).ravel()
            values = self.numerics.layer(values, weights.T) + bias
            if layer.activation == 0:
                values = 1 / (1 + exp(-values).astype(values.dtype))
            elif layer.activation == 2:
                values = np.maximum(values, 0)
        return [interpolate_checkerboard(half, window) for half in values.reshape(len(areas), -1)]


@lru_cache(maxsize=32)
def _neighbours(window: int) -> Array:
    """1 / number of 4-neighbours inside a (w, w) map."""
    ones = np.pad(np.ones((window, window)), 1)
    return ones[:-2, 1:-1] + ones[2:, 1:-1] + ones[1:-1, :-2] + ones[1:-1, 2:]


def interpolate_checkerboard(values: Array, window: int) -> Array:
    """A full (w, w) map from its values at odd column-major positions ((w*w - 1) / 2,) (spec 40.7).

    Every other position is the mean of its neighbours, all of which were evaluated.
    """
    flat = np.zeros(window * window, values.dtype)
    flat[1::2] = values
    grid = flat.reshape(window, window).T  # column-major
    share = (1 / _neighbours(window)).astype(values.dtype)
    padded = np.pad(grid, 1)
    # Ascending column-major order of the neighbours: left, above, below, right.
    mean = padded[1:-1, :-2] * share
    mean = mean + padded[:-2, 1:-1] * share
    mean = mean + padded[2:, 1:-1] * share
    mean = mean + padded[1:-1, 2:] * share
    skipped = (np.arange(window)[:, None] + np.arange(window)[None, :]) % 2 == 0
    return np.where(skipped, mean, grid)


def _by_support(patches: Any, members: Array) -> dict[tuple[int, int], Array]:
    """Landmarks grouped by the (height, width) of their experts."""
    groups: dict[tuple[int, int], list[int]] = {}
    for landmark in members:
        groups.setdefault((patches[landmark].height, patches[landmark].width), []).append(int(landmark))
    return {support: np.array(group) for support, group in groups.items()}


class PatchExpertBank:
    """All scales of a landmark model's experts (spec 40)."""

    def __init__(self, model: LandmarkModel, shape_model: ShapeModel) -> None:
        self.numerics = shape_model.numerics
        self.shape_model = shape_model
        self.scales = tuple(float(e.scale) for e in model.experts)
        self.view_centres = [np.deg2rad(e.view_centres) for e in model.experts]
        self._scales: list[CCNFScale | CENScale] = []
        last = model.experts[-1]
        for experts in model.experts:
            if isinstance(experts, CCNFExperts) and isinstance(last, CCNFExperts):
                self._scales.append(CCNFScale(experts, last, self.numerics))
            elif isinstance(experts, CENExperts) and isinstance(last, CENExperts):
                self._scales.append(CENScale(experts, last, self.numerics))
            else:
                raise ContractError("patch_experts", "model", "experts of one kind at all scales", "a mixture")

    def experts_at(self, scale_index: int) -> CCNFScale | CENScale:
        """The experts of one scale."""
        return self._scales[scale_index]

    def area_responses(self, areas: Array, landmarks: Array, scale_index: int, view: int = 0) -> Array:
        """Response maps of areas that somebody else has cut out of an image.

        Parameters
        ----------
        areas : (K, w + 10, w + 10) in the working dtype, 0 to 255, upright and at the experts' scale (spec 40.4).
        landmarks : (K,) indices of the landmarks that they are centred on.
        scale_index, view : which experts; view 0 is frontal.

        Returns
        -------
        (K, w, w).

        Raises
        ------
        ContractError : shapes that do not fit, landmarks, scales or views that the model does not have.
        """
        stage = "patch_experts"
        check_array(stage, "areas", areas, ("K", "side", "side"), self.numerics.dtype)
        check_array(stage, "landmarks", landmarks, (len(areas),))
        if not 0 <= scale_index < len(self.scales):
            raise ContractError(stage, "scale_index", f"0 to {len(self.scales) - 1}", str(scale_index))
        if not 0 <= view < len(self.view_centres[scale_index]):
            raise ContractError(stage, "view", f"0 to {len(self.view_centres[scale_index]) - 1}", str(view))
        if landmarks.min() < 0 or landmarks.max() >= self.shape_model.n_points:
            raise ContractError(stage, "landmarks", f"0 to {self.shape_model.n_points - 1}", str(landmarks.tolist()))
        return self.experts_at(scale_index).area_responses(areas, landmarks, view)

    def similarity(self, scale_index: int, params_global: Array, params_local: Array) -> tuple[Array, Array]:
        """Image-to-reference similarity (2, 2) and its inverse for one face (spec 40.3)."""
        cast = self.numerics.cast
        upright = cast([self.scales[scale_index], 0, 0, 0, 0, 0])
        reference = self.shape_model.shape_2d(upright, params_local)
        image = self.shape_model.shape_2d(params_global, params_local)
        img_to_ref = align_with_scale(image, reference, self.numerics.dtype)
        return img_to_ref, invert_2x2(img_to_ref, self.numerics)

    def response_maps(
        self, gray: Array, params_global: Array, params_local: Array, window: int, scale_index: int
    ) -> ResponseMaps:
        """Response maps around the landmarks of given parameters.

        Parameters
        ----------
        gray : (N, H, W) in the working dtype, 0 to 255.
        params_global, params_local : (N, 6), (N, m).
        window : side w of the maps, odd.
        scale_index : which of `scales`.

        Raises
        ------
        ContractError : shapes or dtypes that do not fit, an even window, a scale that the model does not have.
        """
        stage, dtype = "patch_experts", self.numerics.dtype
        check_array(stage, "gray", gray, ("N", "H", "W"), dtype)
        count = gray.shape[0]
        check_array(stage, "params_global", params_global, (count, 6), dtype)
        check_array(stage, "params_local", params_local, (count, self.shape_model.n_modes), dtype)
        if window < 1 or window % 2 == 0:
            raise ContractError(stage, "window", "an odd number of at least 1", str(window))
        if not 0 <= scale_index < len(self.scales):
            raise ContractError(stage, "scale_index", f"0 to {len(self.scales) - 1}", str(scale_index))
        found = []
        for image, g, p in zip(gray, params_global, params_local, strict=True):
            view = select_view(self.view_centres[scale_index], g[1:4], self.numerics)
            img_to_ref, ref_to_img = self.similarity(scale_index, g, p)
            landmarks = self.shape_model.shape_2d(g, p)
            maps, visible = self.experts_at(scale_index).responses(image, landmarks, ref_to_img, window, view)
            found.append((maps, visible, img_to_ref, ref_to_img, view))
        return ResponseMaps(*(np.stack([np.asarray(entry[k]) for entry in found]) for k in range(5)))


def build(model: LandmarkModel, *, numerics: Numerics = FLOAT32) -> PatchExpertStage:
    """Stage `patch_experts`."""
    return PatchExpertBank(model, ShapeModel(model.pdm, numerics))
