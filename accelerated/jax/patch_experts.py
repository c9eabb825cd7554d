"""Patch experts as batched products in JAX (spec 40.7, 40.8): all landmarks of a scale and view at once.

XLA compiles one program for each view and window, a few tenths of a second each. Cutting out and normalising patches is
the reference's (accelerated/grouped).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from auparity.accelerated.grouped.ccnf import Fields
from auparity.accelerated.grouped.layout import GroupedPatchExperts
from auparity.accelerated.jax.device import CPU, computing
from auparity.models.types import CENPatch, LandmarkModel

Array = npt.NDArray[Any]
#: Products in full float32, also on devices that would rather not.
EXACT = jax.lax.Precision.HIGHEST


def _fields(fields: Fields, device: str) -> Callable[[Array], Array]:
    with computing(device):
        weights, sigma = jnp.asarray(fields.weights), jnp.asarray(fields.sigma)
        alphas = jnp.asarray(2 * fields.alphas)[:, None, :]

    @jax.jit
    def compute(patches: Any) -> Any:
        z = jnp.matmul(patches, weights, precision=EXACT).astype(jnp.float64)
        raw = (alphas / (1 + jnp.exp(-z))).sum(2).astype(jnp.float32)
        return jnp.matmul(sigma, raw[..., None], precision=EXACT)[..., 0]

    def run(patches: Array) -> Array:
        with computing(device):
            return np.asarray(compute(jnp.asarray(patches)))

    return run


def _networks(patches: list[CENPatch], device: str) -> Callable[[Array], Array]:
    layers = []
    for k, layer in enumerate(patches[0].layers):
        weights = np.stack([np.asarray(patch.layers[k].weights, np.float32).T for patch in patches])
        biases = np.stack([np.asarray(patch.layers[k].bias, np.float32).ravel() for patch in patches])[:, None]
        with computing(device):
            layers.append((jnp.asarray(weights), jnp.asarray(biases), layer.activation))

    @jax.jit
    def compute(at: Any) -> Any:
        for weights, biases, activation in layers:
            at = jnp.matmul(at, weights, precision=EXACT) + biases
            at = jax.nn.sigmoid(at) if activation == 0 else jax.nn.relu(at) if activation == 2 else at
        return at[..., 0]

    def run(values: Array) -> Array:
        with computing(device):
            return np.asarray(compute(jnp.asarray(values)))

    return run


def build(model: LandmarkModel, device: str = CPU) -> GroupedPatchExperts:
    """Stage `patch_experts`."""
    return GroupedPatchExperts(model, partial(_networks, device=device), partial(_fields, device=device))
