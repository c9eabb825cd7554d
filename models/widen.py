"""Function-preserving widening of CEN experts to OpenFace's true layer sizes (design 4; Chen, Goodfellow and Shlens
2016, "Net2Net").

Every hidden unit is copied as often as the wider layer needs, and what left the unit is shared between its copies in
random, uneven parts that add up to the whole. All weights are then different from zero and from each other, so that a
benchmark on a widened bundle costs what the real experts cost, while every response stays what it was to rounding.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError
from auparity.models.types import CENExperts, CENLayer, CENPatch, LandmarkModel

Array = npt.NDArray[Any]

#: Hidden layers of OpenFace's published CE-CLM experts, by scale (spec 10.6).
OPENFACE_HIDDEN = {0.25: (300, 100, 50), 0.35: (300, 100, 50), 0.5: (500, 200, 100), 1.0: (500, 200, 100)}
STAGE = "Bundle.widen"


def widen_layers(
    layers: tuple[CENLayer, ...], sizes: tuple[int, ...], rng: np.random.Generator
) -> tuple[CENLayer, ...]:
    """The same function with hidden layers of the given sizes.

    Parameters
    ----------
    layers : of one expert; all but the last are hidden.
    sizes : units of each hidden layer, none smaller than today's.

    Raises
    ------
    ContractError : another number of hidden layers, or one that would have to shrink.
    """
    today = tuple(len(layer.weights) for layer in layers[:-1])
    if len(today) != len(sizes) or any(new < old for new, old in zip(sizes, today, strict=True)):
        raise ContractError(STAGE, "sizes", f"{len(today)} layers of at least {today} units", str(sizes))
    wide = [(layer.weights.astype(np.float64), layer.bias.astype(np.float64).ravel()) for layer in layers]
    for k, size in enumerate(sizes):
        units = len(wide[k][1])
        # Every unit once, then copies of units drawn at random.
        source = np.concatenate([np.arange(units), rng.integers(0, units, size - units)])
        share = rng.uniform(0.5, 1.5, size)
        share /= np.bincount(source, share, units)[source]
        (weights, bias), (after, after_bias) = wide[k], wide[k + 1]
        wide[k] = (weights[source], bias[source])
        wide[k + 1] = (after[:, source] * share, after_bias)
    return tuple(
        CENLayer(
            layer.activation,
            bias.astype(np.float32).reshape((1, -1) if layer.bias.shape[0] == 1 else (-1, 1)),
            weights.astype(np.float32),
        )
        for layer, (weights, bias) in zip(layers, wide, strict=True)
    )


def widen_experts(experts: CENExperts, sizes: tuple[int, ...], seed: int) -> CENExperts:
    """All experts of one scale, widened; empty records stay empty."""
    views = []
    for view, patches in enumerate(experts.patches):
        wide = []
        for landmark, patch in enumerate(patches):
            if patch.layers:
                rng = np.random.default_rng([seed, view, landmark])
                patch = CENPatch(patch.width, patch.height, widen_layers(patch.layers, sizes, rng), patch.confidence)
            wide.append(patch)
        views.append(tuple(wide))
    return dataclasses.replace(experts, patches=tuple(views))


def widen_model(model: LandmarkModel) -> LandmarkModel:
    """A landmark model whose CEN experts have OpenFace's layer sizes.

    Raises
    ------
    ContractError : the model has no CEN experts, or a scale for which OpenFace has none.
    """
    wide = []
    for number, experts in enumerate(model.experts):
        if not isinstance(experts, CENExperts):
            raise ContractError(STAGE, "bundle", "CE-CLM patch experts", f"{model.kind} experts, which have one layer")
        sizes = OPENFACE_HIDDEN.get(round(experts.scale, 2))
        if sizes is None:
            raise ContractError(
                STAGE, "bundle", f"experts of scales {tuple(OPENFACE_HIDDEN)}", f"scale {experts.scale}"
            )
        wide.append(widen_experts(experts, sizes, number))
    return dataclasses.replace(model, experts=tuple(wide))
