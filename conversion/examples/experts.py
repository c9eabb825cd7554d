"""What the checks of patch experts put in, and what the reference makes of it (spec 40.6 to 40.8).

A file of experts takes normalised patches, while the reference's experts look at areas of an image. So each patch is
laid into an area, the reference's own `area_responses` cuts it out, normalises it and evaluates the expert, and the
response at that place is what the file has to give. Nothing here reads weights: an exported graph whose builder reads
them in another way than the reference is found, and so is one that takes the pixels of a patch in another order.

Functions of modules, not closures: they go to other processes with the items of the catalogue.
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

POSITIONS = 40  #: patches of each expert that the checks evaluate: as many as a 9 x 9 map has on its checkerboard
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

    The reference gets the area as it is in the image, so that it mirrors the area and turns the map back itself.
    """
    empty = CENPatch(0, 0, (), partner.confidence)
    scale = _frontal([empty, partner], np.array([1, 0], np.int32))
    areas, rows, columns = _tiled(values[None], (partner.height, partner.width))
    (responses,) = scale.area_responses(np.ascontiguousarray(areas[:, :, ::-1]), np.array([0]), FRONTAL)
    return np.asarray(responses[rows, responses.shape[1] - 1 - columns], np.float32)


def neuron_responses(experts: Sequence[CCNFPatch], values: Array) -> Array:
    """Sums of neurons (K, P) of K CCNF experts, before Sigma, from normalised patches (K, P, 1 + pixels).

    Without components of the field, Sigma is the unit matrix over twice the sum of the alphas, which is undone here; no
    sum of sigmoids is negative, so that the map's minimum takes nothing away.
    """
    count, positions, _ = values.shape
    landmarks = np.repeat(np.arange(count), positions)
    of_view = CCNFExperts(1.0, np.zeros((1, 3)), np.ones((1, count), np.int32), (), (), (tuple(experts),))
    areas = _pixels(values, (experts[0].height, experts[0].width)).reshape(-1, experts[0].height, experts[0].width)
    maps = CCNFScale(of_view, of_view, FLOAT32).area_responses(areas, landmarks, FRONTAL)
    totals = np.array([2 * float(np.sum(expert.alphas)) for expert in experts])
    return np.asarray(maps.reshape(count, positions) * totals[:, None], np.float32)


def _frontal(experts: Sequence[CENPatch], mirrors: Array) -> CENScale:
    """The reference's experts of one frontal view, where landmark k is the mirror image of `mirrors[k]`."""
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
    # Maps have an odd side: their checkerboard begins and ends with a place that is not evaluated.
    side = across * step + max(size) - 1
    side += (side - size[1]) % 2
    areas = np.zeros((count, side, side), np.float32)
    pictures = _pixels(values, size)
    for k, (row, column) in enumerate(zip(rows, columns, strict=True)):
        areas[:, row : row + size[0], column : column + size[1]] = pictures[:, k]
    return areas, rows, columns
