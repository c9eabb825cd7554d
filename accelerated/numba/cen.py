"""CEN responses of all landmarks of one scale (spec 40.6, 40.7): small perceptrons on every second position.

Positions are the SIMD lanes: of an expert's one or two areas (its own and, mirrored, its partner's) all evaluated
positions stand side by side, 80 for a pair in a window of 9, which is five vectors. A layer is a product of register
tiles, five units by up to five vectors (gemm.py), on weights packed in the order in which they are read; a layer's
output is the next one's input as it lies. Patches are normalised in the reference order of sums, lanes again positions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.numba.ccnf import exp_f64
from auparity.accelerated.numba.compile import kernel
from auparity.accelerated.numba.gemm import pack_weights, product
from auparity.accelerated.numba.resampling import areas_of_interest
from auparity.accelerated.numba.vectors import LANES, TILE_UNITS
from auparity.errors import ContractError
from auparity.models.types import CENExperts, CENPatch

Array = npt.NDArray[Any]

SIGMOID, RELU = 0, 2


@kernel
def normalised_inputs(
    area: Array, flipped: bool, side: int, window: int, height: int, width: int, out: Array, lane: int, lanes: int
) -> None:
    """Patches at odd column-major positions of an area, contrast-normalised, into out (1 + taps, lanes) from `lane` on.

    Sums are sequential in float32, patch row by row for the mean and column by column for the norm (spec 90.5).
    """
    turned = np.empty((side, side), np.float32)  # columns of the area as rows, so that positions lie side by side
    for row in range(side):
        for column in range(side):
            turned[side - 1 - column if flipped else column, row] = area[row * side + column]
    half = (window * window - 1) // 2
    total = np.empty((window, window), np.float32)
    factor = np.empty((window, window), np.float32)
    for column in range(window):
        sums, squares = total[column], factor[column]
        sums[:] = np.float32(0)
        squares[:] = np.float32(0)
        for v in range(height):
            for u in range(width):
                line = turned[column + u]
                for row in range(window):
                    sums[row] += line[row + v]
        for row in range(window):
            sums[row] /= np.float32(height * width)
        for u in range(width):
            line = turned[column + u]
            for v in range(height):
                for row in range(window):
                    centred = line[row + v] - sums[row]
                    squares[row] += centred * centred
        for row in range(window):
            norm = np.float32(math.sqrt(squares[row]))
            squares[row] = np.float32(1.0 / np.float64(norm)) if norm != 0 else np.float32(1)
    for r in range(half):
        out[lane + r] = np.float32(1)
    flat_mean, flat_factor = total.reshape(-1), factor.reshape(-1)
    values = np.empty(window * window, np.float32)
    for u in range(width):
        for v in range(height):
            for column in range(window):
                line = turned[column + u]
                for row in range(window):
                    values[column * window + row] = line[row + v]
            at = (1 + u * height + v) * lanes + lane
            for r in range(half):
                q = 2 * r + 1
                out[at + r] = (values[q] - flat_mean[q]) * flat_factor[q]


@kernel
def interpolate(values: Array, lane: int, window: int, flipped: bool, out: Array) -> None:
    """A full map (w, w) from its values at odd column-major positions; the others are means of their neighbours."""
    grid = np.zeros((window + 2, window + 2), np.float32)
    for q in range(1, window * window, 2):
        grid[q % window + 1, q // window + 1] = values[lane + (q - 1) // 2]
    for row in range(window):
        for column in range(window):
            target = window - 1 - column if flipped else column
            if (row + column) % 2:
                out[row, target] = grid[row + 1, column + 1]
                continue
            count = (row > 0) + (row < window - 1) + (column > 0) + (column < window - 1)
            share = np.float32(1.0 / count)
            mean = grid[row + 1, column] * share
            mean = mean + grid[row, column + 1] * share
            mean = mean + grid[row + 2, column + 1] * share
            out[row, target] = mean + grid[row + 1, column + 2] * share


@kernel
def activate(values: Array, units: int, lanes: int, biases: Array, first: int, activation: int) -> None:
    """Add the biases of a layer and apply its activation, in place."""
    for unit in range(units):
        bias, at = biases[first + unit], unit * lanes
        if activation == RELU:
            for i in range(lanes):
                values[at + i] = max(values[at + i] + bias, np.float32(0))
        elif activation == SIGMOID:
            for i in range(lanes):
                value = np.float32(exp_f64(-np.float64(values[at + i] + bias)))
                values[at + i] = np.float32(1) / (np.float32(1) + value)
        else:
            for i in range(lanes):
                values[at + i] += bias


@kernel
def _evaluate(
    areas: Array, jobs: Array, side: int, window: int, height: int, width: int, layers: Array, offsets: Array,
    weights: Array, biases: Array, maps: Array,
) -> None:  # fmt: skip
    """Maps of all jobs into maps (n, w, w).

    `jobs` (J, 4): expert, landmark, is it flipped, second landmark (flipped) or -1. `layers` (L, 3): inputs, units,
    activation; `offsets` (experts, L, 2): where an expert's weights and biases of a layer begin.
    """
    half = (window * window - 1) // 2
    pair_lanes = -(-2 * half // LANES) * LANES
    widest = 0
    for layer in range(layers.shape[0]):
        widest = max(widest, layers[layer, 0], layers[layer, 1])
    # Two buffers in turn; whole tiles are written, so each has room for the units that fill the last one.
    room = (widest + TILE_UNITS) * pair_lanes
    one, two, rows = np.zeros(room, np.float32), np.zeros(room, np.float32), np.empty(widest, np.int64)
    for j in range(jobs.shape[0]):
        expert, landmark, flipped, partner = jobs[j, 0], jobs[j, 1], jobs[j, 2] != 0, jobs[j, 3]
        lanes = pair_lanes if partner >= 0 else -(-half // LANES) * LANES
        inputs, outputs = one, two
        inputs[: layers[0, 0] * lanes] = np.float32(0)
        normalised_inputs(areas[landmark], flipped, side, window, height, width, inputs, 0, lanes)
        if partner >= 0:
            normalised_inputs(areas[partner], True, side, window, height, width, inputs, half, lanes)
        for layer in range(layers.shape[0]):
            depth, units, activation = layers[layer, 0], layers[layer, 1], layers[layer, 2]
            for k in range(depth):
                rows[k] = k * lanes
            product(weights, offsets[expert, layer, 0], units, inputs, 0, rows, depth, lanes, outputs, 0, lanes)
            activate(outputs, units, lanes, biases, offsets[expert, layer, 1], activation)
            inputs, outputs = outputs, inputs
        interpolate(inputs, 0, window, flipped, maps[landmark])
        if partner >= 0:
            interpolate(inputs, half, window, True, maps[partner])


@dataclass(frozen=True, eq=False)
class _Packed:
    """The experts of one view as the kernel reads them."""

    jobs: Array
    support: tuple[int, int]  #: height and width of the patches
    layers: Array
    offsets: Array
    weights: Array
    biases: Array


class CENScale:
    """The CEN experts of one scale, as reference/patch_experts.CENScale; landmarks come as (2, n)."""

    evaluate = staticmethod(_evaluate)
    pack_weights = staticmethod(pack_weights)

    def __init__(self, experts: CENExperts, mirrors: CENExperts) -> None:
        self._experts = experts
        # Each file overwrites the mirror tables of the one before it (spec 10.6).
        self._mirror_landmark = mirrors.mirror_landmarks.ravel()
        self._mirror_view = mirrors.mirror_views.ravel()
        self.visible = [np.ascontiguousarray(row != 0) for row in np.asarray(experts.visibility)]
        # Packed when first needed; two threads may pack the same view twice.
        self._packed: dict[int, _Packed] = {}

    def responses(
        self, gray: Array, landmarks: Array, ref_to_img: Array, window: int, view: int
    ) -> tuple[Array, Array]:
        """Maps (n, w, w) and visibility (n,) for one gray image (H, W) and its landmarks (2, n) px."""
        packed = self._pack(view)
        side, count = window + packed.support[1] - 1, landmarks.shape[1]
        areas = np.empty((count, side * side), np.float32)
        areas_of_interest(gray, landmarks, np.arange(count), ref_to_img, side, areas)
        maps = np.zeros((count, window, window), np.float32)
        self._run(areas, packed, packed.jobs, side, maps)
        return maps, self.visible[view]

    def area_responses(self, areas: Array, landmarks: Array, view: int) -> Array:
        """Maps (K, w, w) of areas of interest (K, side, side) around landmarks (K,), each by itself."""
        packed, side, maps = self._pack(view), areas.shape[1], []
        for area, landmark in zip(areas, landmarks, strict=True):
            job = self._alone(packed, int(landmark))
            window = side - packed.support[1] + 1
            responses = np.zeros((1, window, window), np.float32)
            self._run(np.ascontiguousarray(area.reshape(1, -1)), packed, job, side, responses)
            maps.append(responses[0])
        return np.stack(maps)

    def _run(self, areas: Array, packed: _Packed, jobs: Array, side: int, maps: Array) -> None:
        height, width = packed.support
        self.evaluate(
            areas, jobs, side, side - width + 1, height, width, packed.layers, packed.offsets, packed.weights,
            packed.biases, maps,
        )  # fmt: skip

    def _alone(self, packed: _Packed, landmark: int) -> Array:
        """The job (1, 4) of one landmark, on area 0 into map 0."""
        for expert, first, flipped, partner in packed.jobs:
            if first == landmark:
                return np.array([[expert, 0, flipped, -1]], np.int64)
            if partner == landmark:
                return np.array([[expert, 0, 1, -1]], np.int64)
        raise ContractError("patch_experts", "landmarks", "landmarks that the view shows", str(landmark))

    def _jobs(self, view: int) -> tuple[list[tuple[int, int, int, int]], list[CENPatch]]:
        """Which expert looks at which areas (spec 40.7), and the experts."""
        jobs: list[tuple[int, int, int, int]] = []
        patches: list[CENPatch] = []
        for i in map(int, np.flatnonzero(self.visible[view])):
            own, mirror = self._experts.patches[view][i], int(self._mirror_landmark[i])
            if view != 0:
                other = self._experts.patches[int(self._mirror_view[view])][mirror]
                jobs.append((len(patches), i, int(not own.layers), -1))
                patches.append(own if own.layers else other)
            elif own.layers:
                # Frontal pairs: one expert looks at its own landmark and, mirrored, at its partner's.
                jobs.append((len(patches), i, 0, -1 if mirror == i else mirror))
                patches.append(own)
        for patch in patches:
            if not patch.layers:
                raise ContractError(
                    "patch_experts", "experts", "a network or a mirrored one", "an empty record for both"
                )
        return jobs, patches

    def _pack(self, view: int) -> _Packed:
        if view not in self._packed:
            jobs, patches = self._jobs(view)
            kinds = {
                (p.height, p.width, *((*layer.weights.shape, layer.activation) for layer in p.layers)) for p in patches
            }
            if len(kinds) != 1:
                raise ContractError("patch_experts", "experts", "networks of one form in a view", f"{len(kinds)} forms")
            form = patches[0].layers
            layers = np.array([(layer.weights.shape[1], layer.weights.shape[0], layer.activation) for layer in form])
            weights, biases = [], []
            offsets = np.zeros((len(patches), len(form), 2), np.int64)
            at_weights = at_biases = 0
            for expert, patch in enumerate(patches):
                for k, layer in enumerate(patch.layers):
                    offsets[expert, k] = at_weights, at_biases
                    weights.append(self.pack_weights(np.asarray(layer.weights, np.float32)))
                    biases.append(np.asarray(layer.bias, np.float32).ravel())
                    at_weights += weights[-1].size
                    at_biases += biases[-1].size
            self._packed[view] = _Packed(
                np.array(jobs, np.int64).reshape(-1, 4), (patches[0].height, patches[0].width),
                np.ascontiguousarray(layers, np.int64), offsets, np.concatenate(weights), np.concatenate(biases),
            )  # fmt: skip
        return self._packed[view]
