"""CEN responses with weights and activations rounded to bfloat16, products added up in float32 (spec 40.7).

The layout of cen.py with pairs of neighbouring inputs in one word, which the processor's VDPBF16PS multiplies and adds
at once: half the instructions and half the memory of float32. Patches are normalised in float32 as ever and rounded
once. A tolerance class of its own ("bfloat16"), chosen only by name, where the processor has the instruction.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.numba.bfloat16_tiles import (
    pair_tile_1,
    pair_tile_2,
    pair_tile_3,
    pair_tile_4,
    pair_tile_5,
)
from auparity.accelerated.numba.cen import CENScale, activate, interpolate, normalised_inputs
from auparity.accelerated.numba.compile import kernel
from auparity.accelerated.numba.instructions import has_bfloat16_products
from auparity.accelerated.numba.patch_experts import PatchExperts
from auparity.accelerated.numba.vectors import LANES, TILE_UNITS
from auparity.errors import ContractError
from auparity.models.types import CCNFExperts, CENExperts, LandmarkModel

Array = npt.NDArray[Any]

HALF_ULP = np.uint32(0x7FFF)


@kernel
def _round(bits: np.uint32) -> np.uint32:
    """The upper half of a float32's bits, rounded to nearest, ties to even: a bfloat16."""
    return (bits + HALF_ULP + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)


@kernel
def _pack(values: Array, rows: int, lanes: int, out: Array) -> None:
    """Rows (rows, lanes) float32 to words of neighbouring rows (ceil(rows / 2), lanes); a last odd row beside zeros."""
    bits = values.view(np.uint32)
    for pair in range((rows + 1) // 2):
        low, high = 2 * pair * lanes, (2 * pair + 1) * lanes
        for i in range(lanes):
            upper = _round(bits[high + i]) if 2 * pair + 1 < rows else np.uint32(0)
            out[pair * lanes + i] = _round(bits[low + i]) | (upper << np.uint32(16))


@kernel
def _product(weights: Array, first: int, units: int, inputs: Array, pairs: int, lanes: int, out: Array) -> None:
    """out (units, lanes) float32 = weights (units, 2 pairs) times inputs (pairs, lanes) of words."""
    vectors, tile = lanes // LANES, first
    for unit in range(0, units, TILE_UNITS):
        done = 0
        while done < vectors:
            left = vectors - done
            take = left if left <= 5 else (3 if left == 6 else 4 if left <= 8 else 5)
            at, to = done * LANES, unit * lanes + done * LANES
            if take == 5:
                pair_tile_5(weights, tile, inputs, at, lanes, pairs, out, to, lanes)
            elif take == 4:
                pair_tile_4(weights, tile, inputs, at, lanes, pairs, out, to, lanes)
            elif take == 3:
                pair_tile_3(weights, tile, inputs, at, lanes, pairs, out, to, lanes)
            elif take == 2:
                pair_tile_2(weights, tile, inputs, at, lanes, pairs, out, to, lanes)
            else:
                pair_tile_1(weights, tile, inputs, at, lanes, pairs, out, to, lanes)
            done += take
        tile += TILE_UNITS * pairs


@kernel
def _evaluate(
    areas: Array, jobs: Array, side: int, window: int, height: int, width: int, layers: Array, offsets: Array,
    weights: Array, biases: Array, maps: Array,
) -> None:  # fmt: skip
    """As cen._evaluate."""
    half = (window * window - 1) // 2
    pair_lanes = -(-2 * half // LANES) * LANES
    widest = 0
    for layer in range(layers.shape[0]):
        widest = max(widest, layers[layer, 0], layers[layer, 1])
    room = (widest + TILE_UNITS + 1) * pair_lanes
    values, words = np.zeros(room, np.float32), np.zeros(room // 2 + pair_lanes, np.uint32)
    for j in range(jobs.shape[0]):
        expert, landmark, flipped, partner = jobs[j, 0], jobs[j, 1], jobs[j, 2] != 0, jobs[j, 3]
        lanes = pair_lanes if partner >= 0 else -(-half // LANES) * LANES
        values[: layers[0, 0] * lanes] = np.float32(0)
        normalised_inputs(areas[landmark], flipped, side, window, height, width, values, 0, lanes)
        if partner >= 0:
            normalised_inputs(areas[partner], True, side, window, height, width, values, half, lanes)
        for layer in range(layers.shape[0]):
            depth, units, activation = layers[layer, 0], layers[layer, 1], layers[layer, 2]
            _pack(values, depth, lanes, words)
            _product(weights, offsets[expert, layer, 0], units, words, (depth + 1) // 2, lanes, values)
            activate(values, units, lanes, biases, offsets[expert, layer, 1], activation)
        interpolate(values, 0, window, flipped, maps[landmark])
        if partner >= 0:
            interpolate(values, half, window, True, maps[partner])


def pack_weights(weights: Array) -> Array:
    """Weights (units, inputs) as words of two bfloat16, in the order in which `_product` reads them."""
    units, depth = weights.shape
    tiles, pairs = -(-units // TILE_UNITS), (depth + 1) // 2
    padded = np.zeros((tiles * TILE_UNITS, 2 * pairs), np.float32)
    padded[:units, :depth] = weights
    bits = padded.view(np.uint32)
    rounded = (bits + HALF_ULP + ((bits >> 16) & 1)) >> 16
    words = rounded[:, 0::2] | (rounded[:, 1::2] << np.uint32(16))
    return np.ascontiguousarray(words.reshape(tiles, TILE_UNITS, pairs).transpose(0, 2, 1)).reshape(-1)


class CENScaleBFloat16(CENScale):
    """The CEN experts of one scale in bfloat16."""

    evaluate = staticmethod(_evaluate)
    pack_weights = staticmethod(pack_weights)


class PatchExpertsBFloat16(PatchExperts):
    """Stage `patch_experts` of one CE-CLM model in bfloat16."""

    def _scale(self, experts: CCNFExperts | CENExperts, last: CCNFExperts | CENExperts) -> CENScaleBFloat16:
        if isinstance(experts, CENExperts) and isinstance(last, CENExperts):
            return CENScaleBFloat16(experts, last)
        raise ContractError("patch_experts", "model", "CE-CLM experts", "CCNF")


def check() -> str | None:
    """Why it cannot run here; None when it can."""
    return None if has_bfloat16_products() else "the processor has no AVX512-BF16"


def unsupported_reason(model: LandmarkModel) -> str | None:
    """Why a model's experts cannot run in bfloat16; None when they can."""
    return None if model.kind == "cen" else "supports only CE-CLM experts, these are CCNF"


def build(model: LandmarkModel) -> PatchExpertsBFloat16:
    """Stage `patch_experts`."""
    return PatchExpertsBFloat16(model)
