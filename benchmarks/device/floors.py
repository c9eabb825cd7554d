"""The least work of the stages of the GPU pipeline: operations and bytes of a call, counted from shapes.

The floor of a stage is the longest of three times: its floating-point operations at the rate of the GPU's matrix
product, the bytes that it must read and write once at the rate of a copy, and the bytes that cross between host and
device at the rate of that link (rates.py). Every function counts one thing and says what it leaves out; work that
depends on the image (iterations until convergence, pixels under a turned face) is counted at its least. Floors are
therefore lower bounds of arithmetic and traffic, not estimates: they do not include the latency of barriers and
launches, which limits a single stream. All bytes are counted as if they came from memory; a small batch that is still
in the L2 cache from the previous launch may be below its floor of bytes. Operations in float64 count like those in
float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from auparity.models.types import (
    PDM,
    CCNFExperts,
    CENExperts,
    CENPatch,
    ConvNet,
    Convolution,
    FullyConnected,
    LandmarkModel,
    MaxPool,
)
from auparity.reference.alignment import SIZE
from auparity.reference.convnet import pooled_length
from auparity.reference.fit_shape import PATIENCE

FLOAT, DOUBLE = 4, 8  # bytes
ALIGNED_BYTES = SIZE * SIZE * 3
HOG_VALUES = (SIZE // 8 - 2) ** 2 * 31


@dataclass(frozen=True)
class Work:
    """The least work of one or several calls."""

    flop: float = 0.0  #: floating-point operations; a multiply-add is two
    moved: float = 0.0  #: bytes read from and written to the device's memory
    up: float = 0.0  #: bytes from host to device
    down: float = 0.0  #: bytes from device to host

    def __add__(self, other: Work) -> Work:
        return Work(self.flop + other.flop, self.moved + other.moved, self.up + other.up, self.down + other.down)

    def times(self, count: int) -> Work:
        """The work of `count` faces or images."""
        return Work(self.flop * count, self.moved * count, self.up * count, self.down * count)


def grayscale(arrays: Iterable[Any]) -> Work:
    """Gray images: the colours read, the gray written. Its integer operations are not counted."""
    return Work(moved=float(sum(map(bytes_of, arrays))))


def network(net: ConvNet, channels: int, sizes: Iterable[tuple[int, int]], samples: int) -> Work:
    """A network on maps (channels, H, W) of some sizes, so many samples of each: products, its weights once, the maps
    in and values out.

    Intermediate maps, pooling and activations are not counted.
    """
    products = (layer for layer in net.layers if isinstance(layer, Convolution | FullyConnected))
    weights = sum(int(layer.weights.size) for layer in products)
    each = sum((_one_map(net, channels, size) for size in sizes), Work())
    return each.times(samples) + Work(moved=FLOAT * weights)


def _one_map(net: ConvNet, channels: int, size: tuple[int, int]) -> Work:
    """A fully connected layer takes the whole maps where it has that many inputs, and works per pixel otherwise
    (P-Net's)."""
    (height, width), flop = size, 0.0
    bytes_in = FLOAT * channels * height * width
    for layer in net.layers:
        if isinstance(layer, Convolution):
            height, width = height - layer.weights.shape[2] + 1, width - layer.weights.shape[3] + 1
            channels = layer.weights.shape[0]
            flop += 2.0 * layer.weights.size * height * width
        elif isinstance(layer, MaxPool):
            (kernel_x, kernel_y), (stride_x, stride_y) = layer.kernel, layer.stride
            height, width = pooled_length(height, kernel_y, stride_y), pooled_length(width, kernel_x, stride_x)
        elif isinstance(layer, FullyConnected):
            if len(layer.weights) == channels * height * width:
                height = width = 1
            channels = layer.weights.shape[1]
            flop += 2.0 * layer.weights.size * height * width
    return Work(flop, bytes_in + FLOAT * channels * height * width)


def response_maps(model: LandmarkModel, scale_index: int, window: int, views: Sequence[int]) -> Work:
    """Maps (w, w) of the landmarks that each face's view shows: the products of the experts, each used expert
    read once, the maps written. Sampling of areas, contrast normalisation and activations are not counted."""
    experts = model.experts[scale_index]
    if isinstance(experts, CENExperts):
        last = model.experts[-1]
        assert isinstance(last, CENExperts)
        return _cen_maps(experts, last, window, views)
    return _ccnf_maps(experts, window, views)


def _cen_maps(experts: CENExperts, mirrors: CENExperts, window: int, views: Sequence[int]) -> Work:
    """Every other position is a product of all layers; the rest is interpolated (spec 40.7)."""
    positions = (window * window - 1) // 2
    work, used = Work(), dict[int, CENPatch]()
    for view, faces in _counted(views):
        seen = cen_experts(experts, mirrors, view)
        used |= {id(patch): patch for patch in seen}
        flop = sum(2.0 * _cen_weights(patch) * positions for patch in seen)
        work += Work(flop, FLOAT * len(seen) * window**2).times(faces)
    return work + Work(moved=FLOAT * sum(_cen_weights(patch) for patch in used.values()))


def _cen_weights(patch: CENPatch) -> int:
    return sum(int(layer.weights.size) for layer in patch.layers)


def cen_experts(experts: CENExperts, mirrors: CENExperts, view: int) -> list[CENPatch]:
    """The expert of every landmark that gets a map in a view, by the rule of accelerated/cupy/cen.py: in the frontal
    view one expert of a pair is used for both landmarks, other views use those of the mirrored view (spec 40.7)."""
    landmarks, other = mirrors.mirror_landmarks.ravel(), int(mirrors.mirror_views.ravel()[view])
    chosen: dict[int, CENPatch] = {}
    for i in map(int, np.flatnonzero(experts.visibility[view])):
        mirror = int(landmarks[i])
        if experts.patches[view][i].layers:
            chosen[i] = experts.patches[view][i]
            if view == 0 and mirror != i:
                chosen[mirror] = experts.patches[view][i]
        elif view != 0:
            chosen[i] = experts.patches[other][mirror]
    return list(chosen.values())


def _ccnf_maps(experts: CCNFExperts, window: int, views: Sequence[int]) -> Work:
    """Neurons at every position, and the covariance (w^2, w^2) times the map; both are read once for each expert."""
    work, positions = Work(), window * window
    for view, faces in _counted(views):
        seen = [p for p, shown in zip(experts.patches[view], experts.visibility[view], strict=True) if shown]
        seen = [patch for patch in seen if patch.n_neurons]
        taps = sum(patch.n_neurons * patch.width * patch.height for patch in seen)
        flop = 2.0 * (taps * positions + len(seen) * positions**2)
        work += Work(flop, FLOAT * len(seen) * positions).times(faces)
        work += Work(moved=FLOAT * (taps + len(seen) * positions**2))
    return work


def _counted(views: Sequence[int]) -> Iterable[tuple[int, int]]:
    """Each view of the faces, and the number of faces that have it."""
    values, counts = np.unique(np.asarray(views, np.int64), return_counts=True)
    return zip(map(int, values), map(int, counts), strict=True)


def shapes(pdm: PDM, faces: int) -> Work:
    """Projected shapes: the modes' sums and parameters in, landmarks out; the model once."""
    n, m = pdm.n_points, pdm.n_modes
    each = Work(2.0 * 3 * n * m, FLOAT * (6 + m + 2 * n))
    return each.times(faces) + Work(moved=FLOAT * 3 * n * (m + 1))


def gauss_newton_step(pdm: PDM) -> float:
    """Operations of one step for the full parameters: shape, Jacobian of the modes, lower triangle of the Hessian,
    right side, Cholesky factor and two substitutions."""
    n, m = pdm.n_points, pdm.n_modes
    unknowns = 6 + m
    shape, jacobian = 2.0 * 3 * n * m, 5.0 * 2 * n * m
    hessian, right = 2.0 * n * 2 * unknowns * (unknowns + 1) / 2, 2.0 * 2 * n * unknowns
    return shape + jacobian + hessian + right + unknowns**3 / 3 + 2.0 * unknowns**2


def fitting(pdm: PDM, windows: Iterable[int], faces: int) -> Work:
    """One iteration of each of both passes at each scale, the least that a fit may take: mean shifts over whole maps
    (a product and three sums a value), one step of all parameters (the rigid one's is not counted); maps read once."""
    n, each = pdm.n_points, Work()
    for window in windows:
        if window:
            shifts = 7.0 * n * window**2
            each += Work(2 * shifts + gauss_newton_step(pdm), FLOAT * n * window**2)
    return each.times(faces) + Work(moved=FLOAT * 3 * n * (pdm.n_modes + 1))


def fit_shape(pdm: PDM, faces: int) -> Work:
    """The steps before the fit may stop (spec 30.7); landmarks in, parameters out, the model
    once."""
    n, m = pdm.n_points, pdm.n_modes
    each = Work(PATIENCE * gauss_newton_step(pdm), FLOAT * (2 * n + 6 + m))
    return each.times(faces) + Work(moved=FLOAT * 3 * n * (m + 1))


def validation(net: ConvNet, size: tuple[int, int], faces: int) -> Work:
    """The network of one view for each face; the warp is not counted."""
    return network(net, 1, [size], faces) if faces else Work()


def alignment(faces: int) -> Work:
    """Aligned faces written. The part of the image under them depends on the face, and is not counted."""
    return Work(moved=float(ALIGNED_BYTES)).times(faces)


def fhog(faces: int) -> Work:
    """Aligned faces read, descriptors written; of a pixel inside the border the gradients of three channels (five
    operations each) and four votes (two each). Normalisation is not counted."""
    return Work((SIZE - 2) ** 2 * (3 * 5 + 4 * 2.0), ALIGNED_BYTES + FLOAT * HOG_VALUES).times(faces)


def geometry(pdm: PDM, faces: int) -> Work:
    """Products of modes and parameters in float64, descriptors written, the modes once."""
    n, m = pdm.n_points, pdm.n_modes
    each = Work(2.0 * 3 * n * m, FLOAT * m + DOUBLE * (3 * n + m))
    return each.times(faces) + Work(moved=DOUBLE * 3 * n * m)


def running_median(dimensions: int, itemsize: int, frames: int) -> Work:
    """For every dimension, its median, place and count below are read and written, and the median is returned; for
    every second frame, which is one that is counted, also the value and a two-byte histogram entry (read and
    written)."""
    state, given = 2 * (DOUBLE + FLOAT + DOUBLE), DOUBLE
    return Work(moved=dimensions * (state + given + (itemsize + 2 * 2) / 2)).times(frames)


def action_units(models: int, hog: int, others: int, frames: int, *, medians: bool) -> Work:
    """Products of all models in float64, with a subtraction of each feature where there are medians; descriptors in
    (histograms float32), values out, weights once."""
    features = hog + others
    flop = 2.0 * models * features + (features if medians else 0)
    bytes_in = FLOAT * hog + DOUBLE * others + (DOUBLE * features if medians else 0)
    return Work(flop, bytes_in + DOUBLE * models).times(frames) + Work(moved=DOUBLE * models * features)


def bytes_of(array: Any) -> int:
    """Of an array on either side."""
    return math.prod(array.shape) * int(np.dtype(array.dtype).itemsize)
