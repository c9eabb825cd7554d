"""CCNF responses of all landmarks of one scale (spec 40.6, 40.8), one kernel for all of them.

Positions of a map are the SIMD lanes. A neuron's weights are made to sum to zero, which takes the patch mean out of the
product exactly, so that raw pixels are correlated and only divided by the patch's norm afterwards; pixels are taken
relative to the area's mean, which is exact and keeps the sums small. Norms come from running sums of pixels and squares
in float64, exact because pixels are multiples of 1/1024. The area is copied once for each column of taps, rows cut to
the width of the map: then all positions of a map stand side by side whatever the tap, and no lane is spent on the ends
of rows. Correlations run in register tiles of seven neurons by three vectors (vectors.py), sigmoids in float64 by a
polynomial (error below 1e-15), and Sigma is a product by rows.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.numba.compile import kernel
from auparity.accelerated.numba.fused import fma
from auparity.accelerated.numba.resampling import areas_of_interest
from auparity.accelerated.numba.vectors import (
    LANES,
    TILE_NEURONS,
    TILE_POSITIONS,
    copy_vector,
    correlation_tile_1,
    correlation_tile_2,
    correlation_tile_3,
)
from auparity.accelerated.stored_arrays import stored_array
from auparity.errors import ContractError
from auparity.models.types import CCNFExperts
from auparity.reference import inverses, numerics
from auparity.reference import patch_experts as reference
from auparity.reference.patch_experts import SMALLEST_ALPHA, field_covariances

Array = npt.NDArray[Any]

LARGEST_WINDOW = LANES  # a row of a map is one vector
LOG2_E, LN2_HIGH, LN2_LOW = 1.4426950408889634, 6.93147180369123816490e-01, 1.90821492927058770002e-10
#: 1.5 * 2**52: adding it rounds to a whole number, which then stands in the low bits.
TO_WHOLE = 6755399441055744.0
LARGEST_EXPONENT = 700.0


@kernel
def exp_f64(x: float) -> float:
    """exp(x) to 2e-16 for |x| <= 700 without a branch: x = k ln 2 + r, series of r, times 2^k (Cody and Waite)."""
    x = min(max(x, -LARGEST_EXPONENT), LARGEST_EXPONENT)
    whole = (x * LOG2_E + TO_WHOLE) - TO_WHOLE
    r = (x - whole * LN2_HIGH) - whole * LN2_LOW
    y = 1.0 / 6227020800.0
    y = fma(y, r, 1.0 / 479001600.0)
    y = fma(y, r, 1.0 / 39916800.0)
    y = fma(y, r, 1.0 / 3628800.0)
    y = fma(y, r, 1.0 / 362880.0)
    y = fma(y, r, 1.0 / 40320.0)
    y = fma(y, r, 1.0 / 5040.0)
    y = fma(y, r, 1.0 / 720.0)
    y = fma(y, r, 1.0 / 120.0)
    y = fma(y, r, 1.0 / 24.0)
    y = fma(y, r, 1.0 / 6.0)
    y = fma(y, r, 0.5)
    y = fma(y, r, 1.0)
    y = fma(y, r, 1.0)
    return y * np.int64((np.int64(whole) + 1023) << 52).view(np.float64)


@kernel
def _inverse_norms(area: Array, level: np.float32, side: int, window: int, height: int, width: int, out: Array) -> None:
    """1 / norm of the centred patch at every position, into out (w * w,) float32; 0 where a patch is constant.

    (The reference divides by 1 there, but what it divides is 0, where a correlation of raw pixels leaves its rounding.)
    """
    taps = np.float64(height * width)
    sums, squares = np.zeros(side, np.float64), np.zeros(side, np.float64)
    spread = np.empty(window * window, np.float64)
    for column in range(side):
        for row in range(height):
            value = np.float64(area[row * side + column] - level)
            sums[column] += value
            squares[column] += value * value
    for row in range(window):
        total, square = 0.0, 0.0
        for column in range(width):
            total += sums[column]
            square += squares[column]
        for column in range(window):
            if column:
                total += sums[column + width - 1] - sums[column - 1]
                square += squares[column + width - 1] - squares[column - 1]
            spread[row * window + column] = square - total * total / taps
        if row + 1 < window:
            for column in range(side):
                new = np.float64(area[(row + height) * side + column] - level)
                old = np.float64(area[row * side + column] - level)
                sums[column] += new - old
                squares[column] += new * new - old * old
    for q in range(window * window):
        out[q] = np.float32(1.0 / math.sqrt(spread[q])) if spread[q] > 0 else np.float32(0)


# In any order of sums: any level will do that is near the mean.
@kernel(fastmath={"reassoc", "nsz"})
def _level(area: Array, count: int) -> np.float32:
    """A whole number near the mean of the first `count` pixels: taking it off is exact."""
    total = np.float32(0)
    for i in range(count):
        total += area[i]
    return np.float32(np.rint(total / np.float32(count)))


@kernel
def _correlate(
    lines: Array, plane: int, window: int, vectors: int, weights: Array, first: int, height: int, width: int,
    out: Array, out_start: int, out_neuron: int,
) -> None:  # fmt: skip
    """One tile of neurons at all positions of a map, `vectors` of them."""
    done = 0
    while done < vectors:
        take, at = min(vectors - done, TILE_POSITIONS), done * LANES
        if take == 3:
            correlation_tile_3(
                lines, at, plane, window, weights, first, height, width, out, out_start + at, out_neuron
            )  # fmt: skip
        elif take == 2:
            correlation_tile_2(
                lines, at, plane, window, weights, first, height, width, out, out_start + at, out_neuron
            )  # fmt: skip
        else:
            correlation_tile_1(
                lines, at, plane, window, weights, first, height, width, out, out_start + at, out_neuron
            )  # fmt: skip
        done += take


@kernel
def _responses(
    areas: Array, chosen: Array, side: int, window: int, height: int, width: int, weights: Array, biases: Array,
    alphas: Array, sigma: Array, out: Array,
) -> None:  # fmt: skip
    """Maps of the landmarks in `chosen` (K,) into out (n, w, w); `areas` (K, side * side and some room)."""
    positions = window * window
    neurons, vectors = alphas.shape[1], -(-positions // LANES)
    stride = vectors * LANES
    z = np.empty(neurons * stride, np.float32)
    plane = side * window + LANES
    lines = np.zeros(width * plane + LANES, np.float32)
    inverse, raw = np.empty(positions, np.float32), np.empty(positions, np.float32)
    padded = sigma.shape[2]
    smooth = np.empty(padded, np.float32)
    for k in range(chosen.shape[0]):
        landmark = chosen[k]
        area = areas[k]
        level = _level(area, side * side)
        _inverse_norms(area, level, side, window, height, width, inverse)
        for column in range(width):
            for row in range(side):  # sixteen floats each, of which the next row overwrites what is too many
                copy_vector(area, row * side + column, level, lines, column * plane + row * window)
        flat = weights[landmark]
        for first in range(0, neurons, TILE_NEURONS):
            _correlate(
                lines, plane, window, vectors, flat, first * height * width, height, width, z, first * stride, stride
            )  # fmt: skip
        raw[:] = np.float32(0)
        for n in range(neurons):
            alpha, bias = alphas[landmark, n], biases[landmark, n]
            if alpha == 0.0:
                continue
            at = n * stride
            # Terms in float64, their sum kept in float32, neuron after neuron.
            for q in range(positions):
                value = np.float64(fma(z[at + q], inverse[q], bias))
                raw[q] = np.float32(np.float64(raw[q]) + alpha / (1.0 + exp_f64(-value)))
        smooth[:] = np.float32(0)
        for q in range(positions):
            factor = raw[q]
            for c in range(padded):
                smooth[c] = fma(sigma[landmark, q, c], factor, smooth[c])
        lowest = np.float32(0)
        for q in range(positions):
            lowest = min(lowest, smooth[q])
        for row in range(window):
            for column in range(window):
                out[landmark, row, column] = smooth[row * window + column] - lowest


@dataclass(frozen=True, eq=False)
class _Group:
    """Landmarks of one view whose experts look at patches of one size."""

    members: Array  #: (K,) int64
    height: int
    width: int
    weights: Array  #: (n, neurons * height * width) float32: tiles of neurons innermost, see `correlation_tile_1`
    biases: Array  #: (n, neurons) float32
    alphas: Array  #: (n, neurons) float64, twice the model's; 0 for padding and for those that are left out


class CCNFScale:
    """The CCNF experts of one scale, as reference/patch_experts.CCNFScale; landmarks come as (2, n)."""

    def __init__(self, experts: CCNFExperts, covariances: CCNFExperts) -> None:
        self._experts = experts
        # Sigma components come from the last file of the model, whatever the scale (spec 10.7).
        self._components = dict(zip(covariances.window_sizes, covariances.sigma_components, strict=True))
        self.visible = [np.ascontiguousarray(row != 0) for row in np.asarray(experts.visibility)]
        # Packed when first needed, keyed by everything they depend on; two threads may pack the same view twice.
        self._groups: dict[int, list[_Group]] = {}
        self._sigmas: dict[tuple[int, int], Array] = {}

    def responses(
        self, gray: Array, landmarks: Array, ref_to_img: Array, window: int, view: int
    ) -> tuple[Array, Array]:
        """Maps (n, w, w) and visibility (n,) for one gray image (H, W) and its landmarks (2, n) px."""
        maps = np.zeros((landmarks.shape[1], window, window), np.float32)
        for group in self._packed(view):
            side = window + group.width - 1
            areas = np.empty((len(group.members), _room(side)), np.float32)
            areas_of_interest(gray, landmarks, group.members, ref_to_img, side, areas)
            self._evaluate(areas, group, group.members, side, window, view, maps)
        return maps, self.visible[view]

    def area_responses(self, areas: Array, landmarks: Array, view: int) -> Array:
        """Maps (K, w, w) of areas of interest (K, side, side) around landmarks (K,), each by itself."""
        side, maps = areas.shape[1], []
        for area, landmark in zip(areas, landmarks, strict=True):
            group = next((g for g in self._packed(view) if landmark in g.members), None)
            if group is None:
                raise ContractError("patch_experts", "landmarks", f"landmarks that view {view} shows", str(landmark))
            window = side - group.width + 1
            responses = np.zeros((self._experts.visibility.shape[1], window, window), np.float32)
            room = np.zeros((1, _room(side)), np.float32)
            room[0, : side * side] = area.reshape(-1)
            self._evaluate(room, group, np.array([landmark], np.int64), side, window, view, responses)
            maps.append(responses[landmark])
        return np.stack(maps)

    def _evaluate(
        self, areas: Array, group: _Group, members: Array, side: int, window: int, view: int, maps: Array
    ) -> None:
        if window > LARGEST_WINDOW:
            raise ContractError("patch_experts", "window", f"at most {LARGEST_WINDOW}", str(window))
        _responses(
            areas, members, side, window, group.height, group.width, group.weights, group.biases, group.alphas,
            self._sigma(view, window), maps,
        )  # fmt: skip

    def _packed(self, view: int) -> list[_Group]:
        if view not in self._groups:
            patches = self._experts.patches[view]
            sizes: dict[tuple[int, int], list[int]] = {}
            for landmark in np.flatnonzero(self.visible[view]):
                patch = patches[landmark]
                if patch.n_neurons:
                    sizes.setdefault((patch.height, patch.width), []).append(int(landmark))
            self._groups[view] = [self._pack(view, size, members) for size, members in sizes.items()]
        return self._groups[view]

    def _pack(self, view: int, size: tuple[int, int], members: list[int]) -> _Group:
        patches, (height, width) = self._experts.patches[view], size
        most = max(patches[k].n_neurons for k in members)
        neurons = -(-most // TILE_NEURONS) * TILE_NEURONS
        weights = np.zeros((len(patches), neurons // TILE_NEURONS, height * width, TILE_NEURONS), np.float32)
        biases = np.zeros((len(patches), neurons), np.float32)
        alphas = np.zeros((len(patches), neurons))
        for k in members:
            patch, count = patches[k], patches[k].n_neurons
            # Rounded as the reference rounds them, then freed of their mean.
            taps = np.asarray(patch.weights, np.float32) * np.asarray(patch.norm_weights, np.float32)[:, None, None]
            taps = taps.reshape(count, -1).astype(np.float64)
            taps -= taps.mean(axis=1, keepdims=True)
            padded = np.zeros((neurons, height * width))
            padded[:count] = taps
            weights[k] = padded.reshape(-1, TILE_NEURONS, height * width).transpose(0, 2, 1)
            biases[k, :count] = patch.biases
            alphas[k, :count] = np.where(patch.alphas > SMALLEST_ALPHA, 2 * np.asarray(patch.alphas, np.float64), 0)
        flat = np.ascontiguousarray(weights.reshape(len(patches), -1))
        return _Group(np.array(members, np.int64), height, width, flat, biases, alphas)

    def _sigma(self, view: int, window: int) -> Array:
        """Covariances (n, w * w, w * w and padding) float32 of a view."""
        key = (view, window)
        if key not in self._sigmas:
            depends_on = self._depends_on(view, window)
            self._sigmas[key] = stored_array("covariances", depends_on, lambda: self._covariances(view, window))
        return self._sigmas[key]

    def _covariances(self, view: int, window: int) -> Array:
        positions = window * window
        padded = -(-positions // LANES) * LANES
        out = np.zeros((self._experts.visibility.shape[1], positions, padded), np.float32)
        components = self._components.get(window, ())
        for group in self._packed(view):
            patches = [self._experts.patches[view][k] for k in group.members]
            # The kernel adds up columns; the transpose is the same but for last bits.
            out[group.members, :, :positions] = field_covariances(patches, window, components).transpose(0, 2, 1)
        return out

    def _depends_on(self, view: int, window: int) -> str:
        """SHA-256 of all that `_covariances` computes from, the code included."""
        digest = hashlib.sha256(covariances_code() + repr((window, LANES, len(self._experts.patches[view]))).encode())
        arrays = [np.asarray(component) for component in self._components.get(window, ())]
        for group in self._packed(view):
            patches = [self._experts.patches[view][k] for k in group.members]
            arrays += [group.members, *(part for patch in patches for part in (patch.alphas, patch.betas))]
        for array in arrays:
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


@lru_cache(maxsize=1)
def covariances_code() -> bytes:
    """SHA-256 of the sources that compute covariances."""
    sources = [Path(module.__file__) for module in (reference, inverses, numerics) if module.__file__]
    return hashlib.sha256(b"".join(path.read_bytes() for path in [*sources, Path(__file__)])).digest()


def _room(side: int) -> int:
    """Floats of an area with what tiles read behind it."""
    return side * side + LANES
