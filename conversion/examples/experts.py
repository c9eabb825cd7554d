"""Inputs for the checks of patch experts, and the reference's results for them (spec 40.6 to 40.8).

A file of experts takes normalised patches, while the experts of the reference take areas of an image. So each patch is
placed into an area; `area_responses` of the reference cuts it out, normalises it and evaluates the expert; and the file
has to return the response at that place. This module does not read weights, so it detects an exported graph whose
builder reads weights differently from the reference, or takes the pixels of a patch in another order.

These are module-level functions, not closures, because they are sent to other processes with the catalogue's items.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.types import CCNFExperts, CCNFPatch, CENExperts, CENPatch
from auparity.reference.numerics import FLOAT32
from auparity.reference.patch_experts import CCNFScale, CENScale

Array = npt.NDArray[Any]

POSITIONS = 40  #: patches of each expert in a check, about as many as the checkerboard of a 9 x 9 map has
FRONTAL = 0


def patches(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Array, ...]:
    """Patches (..., 1 + pixels) float32 as the stage normalises them: zero mean, norm one, a one before them."""
    values = rng.normal(size=shape)
    values[..., 1:] -= values[..., 1:].mean(axis=-1, keepdims=True)
    values[..., 1:] /= np.linalg.norm(values[..., 1:], axis=-1, keepdims=True)
    values[..., 0] = 1
    return (values.astype(np.float32),)


def network_responses(experts: Sequence[CENPatch], values: Array) -> Array:
    """Responses (K, P) of K CEN experts to their normalised patches (K, P, 1 + pixels)."""
    count = len(experts)
    alone = np.arange(count, dtype=np.int32)  # every expert is its own mirror image
    scale = _frontal(experts, alone)
    size = experts[0].height, experts[0].width
    areas, rows, columns = _tiled(values, size)
    maps = scale.area_responses(areas, alone, FRONTAL)
    return np.asarray(maps[:, rows, columns], np.float32)


def network_response(expert: CENPatch, values: Array) -> Array:
    """Responses (P,) of one CEN expert to normalised patches (P, 1 + pixels)."""
    return np.asarray(network_responses([expert], values[None])[0])


def mirrored_response(partner: CENPatch, values: Array) -> Array:
    """Responses (P,) at a landmark without an expert: its partner's, to patches (P, 1 + pixels) of the mirrored area.

    The reference gets the area as it is in the image, so it mirrors the area and turns the map back itself.
    """
    empty = CENPatch(0, 0, (), partner.confidence)
    scale = _frontal([empty, partner], np.array([1, 0], np.int32))
    areas, rows, columns = _tiled(values[None], (partner.height, partner.width))
    (responses,) = scale.area_responses(np.ascontiguousarray(areas[:, :, ::-1]), np.array([0]), FRONTAL)
    return np.asarray(responses[rows, responses.shape[1] - 1 - columns], np.float32)


def neuron_responses(experts: Sequence[CCNFPatch], values: Array) -> Array:
    """Sums of neurons (K, P) of K CCNF experts, before Sigma, from normalised patches (K, P, 1 + pixels).

    Without components of the field, Sigma is the unit matrix over twice the sum of the alphas, which is undone here. No
    sum of sigmoids is negative, so subtracting the minimum of the map changes nothing.
    """
    count, positions, _ = values.shape
    landmarks = np.repeat(np.arange(count), positions)
    of_view = CCNFExperts(1.0, np.zeros((1, 3)), np.ones((1, count), np.int32), (), (), (tuple(experts),))
    areas = _pixels(values, (experts[0].height, experts[0].width)).reshape(-1, experts[0].height, experts[0].width)
    maps = CCNFScale(of_view, of_view, FLOAT32).area_responses(areas, landmarks, FRONTAL)
    totals = np.array([2 * float(np.sum(expert.alphas)) for expert in experts])
    return np.asarray(maps.reshape(count, positions) * totals[:, None], np.float32)


def _frontal(experts: Sequence[CENPatch], mirrors: Array) -> CENScale:
    """The reference stage of one frontal view, in which landmark k is the mirror image of `mirrors[k]`."""
    visible, no_view = np.ones((1, len(experts)), np.int32), np.zeros(1, np.int32)
    held = CENExperts(1.0, np.zeros((1, 3)), visible, mirrors, no_view, (tuple(experts),))
    return CENScale(held, held, FLOAT32)


def _pixels(values: Array, size: tuple[int, int]) -> Array:
    """Patches (..., 1 + height * width), column by column, as pictures (..., height, width)."""
    height, width = size
    return np.ascontiguousarray(np.swapaxes(values[..., 1:].reshape(*values.shape[:-1], width, height), -1, -2))


def _tiled(values: Array, size: tuple[int, int]) -> tuple[Array, Array, Array]:
    """Areas (K, side, side) that hold the patches (K, P, ...) of each expert side by side; their rows and columns (P,).

    Networks are evaluated on a checkerboard (spec 40.7), so patches begin in odd rows and even columns.
    """
    count, positions, _ = values.shape
    step = max(size) + max(size) % 2
    across = int(np.ceil(np.sqrt(positions)))
    down, right = np.divmod(np.arange(positions), across)
    rows, columns = down * step + 1, right * step
    # Maps have an odd side, so their checkerboard begins and ends with a position that is not evaluated.
    side = across * step + max(size) - 1
    side += (side - size[1]) % 2
    areas = np.zeros((count, side, side), np.float32)
    pictures = _pixels(values, size)
    for k, (row, column) in enumerate(zip(rows, columns, strict=True)):
        areas[:, row : row + size[0], column : column + size[1]] = pictures[:, k]
    return areas, rows, columns
