"""CalcParams in JAX (spec 30.7): landmarks (N, n, 2) px to (N, 6) and (N, m), one compiled loop for a batch.

The Gauss-Newton steps of all faces are a `while_loop` that XLA compiles once for each batch size of `BATCHES` (others
are filled up); a face that has stopped keeps its parameters. Arithmetic is float64, results are rounded to float32 as
the reference stores them. Compiling takes about a second a size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from auparity.accelerated.jax.device import CPU, computing
from auparity.errors import ContractError
from auparity.models.types import PDM
from auparity.reference import fit_shape as reference
from auparity.reference.contracts import check_array
from auparity.reference.pdm import ShapeModel

Array = npt.NDArray[Any]

STAGE = "fit_shape"
#: Sizes that are compiled; a batch is filled up to the next one, larger ones go in pieces.
BATCHES = (1, 8, 64, 256)


def rotation(euler: Any) -> Any:
    """(N, 3) Euler angles in rad to (N, 3, 3) rotations Rx Ry Rz (spec 30.1)."""
    (s1, s2, s3), (c1, c2, c3) = (tuple(f(euler)[:, k] for k in range(3)) for f in (jnp.sin, jnp.cos))
    rows = [
        c2 * c3, -c2 * s3, s2, c1 * s3 + c3 * s1 * s2, c1 * c3 - s1 * s2 * s3, -c2 * s1, s1 * s3 - c1 * c3 * s2,
        c3 * s1 + c1 * s2 * s3, c1 * c2,
    ]  # fmt: skip
    return jnp.stack(rows, -1).reshape(-1, 3, 3)


def euler(r: Any) -> Any:
    """(N, 3, 3) rotations to (N, 3) Euler angles in rad, through a quaternion (spec 30.1)."""
    q0 = jnp.sqrt(jnp.maximum(1 + r[:, 0, 0] + r[:, 1, 1] + r[:, 2, 2], 1e-12)) / 2
    q1, q2 = (r[:, 2, 1] - r[:, 1, 2]) / (4 * q0), (r[:, 0, 2] - r[:, 2, 0]) / (4 * q0)
    q3 = (r[:, 1, 0] - r[:, 0, 1]) / (4 * q0)
    y = jnp.arcsin(jnp.clip(2 * (q0 * q2 + q1 * q3), -1, 1))
    x = jnp.arctan2(2 * (q0 * q1 - q2 * q3), q0 * q0 - q1 * q1 - q2 * q2 + q3 * q3)
    z = jnp.arctan2(2 * (q0 * q3 - q1 * q2), q0 * q0 + q1 * q1 - q2 * q2 - q3 * q3)
    return jnp.stack([x, y, z], -1)


def _project(g: Any, shape: Any) -> Any:
    return g[:, :1, None] * (rotation(g[:, 1:4])[:, :2] @ shape) + g[:, 4:6, None]


def _error(g: Any, shape: Any, target: Any, weights: Any) -> Any:
    squares = ((_project(g, shape) - target) ** 2).sum(1) * weights
    return jnp.sqrt(squares.sum(1)).astype(jnp.float32).astype(g.dtype)  # compared as float32 (spec 90.1)


def _start(mean: Any, target: Any, weights: Any) -> Any:
    outside = (weights == 0)[:, None, :]
    every = jnp.broadcast_to(mean[None, :2], target.shape)

    def box(points: Any) -> tuple[Any, Any]:
        return jnp.where(outside, jnp.inf, points).min(2), jnp.where(outside, -jnp.inf, points).max(2)

    (low, high), (mean_low, mean_high) = box(target), box(every)
    scale = ((high - low) / (mean_high - mean_low)).mean(1)
    g = jnp.concatenate([scale[:, None], jnp.zeros((len(target), 3), target.dtype), (high + low) / 2], 1)
    return g.astype(jnp.float32).astype(target.dtype)


def _step(g: Any, p: Any, shape: Any, target: Any, weights: Any, modes: Any, prior: Any) -> tuple[Any, Any]:
    s, r = g[:, 0, None, None], rotation(g[:, 1:4])
    x, y, z = (shape[:, k, None, :] for k in range(3))
    r0, r1, r2 = (r[:, :2, k, None] for k in range(3))
    ones, zeros = jnp.ones_like(target[:, :1]), jnp.zeros_like(target[:, :1])
    rigid = jnp.stack([
        r0 * x + r1 * y + r2 * z, s * (y * r2 - z * r1), -s * (x * r2 - z * r0), s * (x * r1 - y * r0),
        jnp.concatenate([ones, zeros], 1), jnp.concatenate([zeros, ones], 1),
    ], 1)  # fmt: skip
    shapes = s[..., None] * jnp.einsum("kia,anm->kmin", r[:, :2], modes)
    rows = jnp.concatenate([rigid, shapes], 1).reshape(len(g), 6 + p.shape[1], -1)
    weighted = rows * jnp.tile(weights, (1, 2))[:, None, :]
    residual = (target - _project(g, shape)).reshape(len(g), -1)
    right = jnp.einsum("krj,kj->kr", weighted, residual)
    right = right - jnp.concatenate([jnp.zeros_like(g), prior * p], 1)
    hessian = weighted @ rows.transpose(0, 2, 1) + jnp.diag(jnp.concatenate([jnp.zeros(6, g.dtype), prior]))
    delta = reference.STEP * jnp.linalg.solve(hessian, right[..., None])[..., 0]
    w, zero = delta[:, 1:4], jnp.zeros_like(delta[:, 0])
    cross = jnp.stack([zero, -w[:, 2], w[:, 1], w[:, 2], zero, -w[:, 0], -w[:, 1], w[:, 0], zero], -1)
    small = jnp.eye(3, dtype=g.dtype) + cross.reshape(-1, 3, 3)
    for _ in range(6):  # Newton's iteration for the polar factor: quadratic from anywhere near a rotation
        small = (small + jnp.linalg.inv(small).transpose(0, 2, 1)) / 2
    moved = jnp.concatenate([g[:, :1] + delta[:, :1], euler(r @ small), g[:, 4:] + delta[:, 4:6]], 1)
    return moved, p + delta[:, 6:]


@jax.jit
def _fit(target: Any, weights: Any, mean: Any, modes: Any, prior: Any) -> tuple[Any, Any]:
    def shape_of(p: Any) -> Any:
        return mean + jnp.einsum("anm,km->kan", modes, p)

    def go_on(state: Any) -> Any:
        return state[4].any() & (state[5] < reference.MAX_ITERATIONS)

    def once(state: Any) -> Any:
        g, p, error, stale, active, number = state
        shape = shape_of(p)
        new_g, new_p = _step(g, p, shape, target, weights, modes, prior)
        g, p = jnp.where(active[:, None], new_g, g), jnp.where(active[:, None], new_p, p)
        # Tried on the shape of before the update, as the C++ program does: it decides when to stop.
        new_error = _error(g, shape, target, weights)
        stale = stale + (active & (reference.ENOUGH * error < new_error))
        error = jnp.where(active, new_error, error)
        return g, p, error, stale, active & (stale < reference.PATIENCE), number + 1

    g, p = _start(mean, target, weights), jnp.zeros((len(target), len(prior)), target.dtype)
    error = _error(g, shape_of(p), target, weights)
    start = (g, p, error, jnp.zeros(len(g), jnp.int32), jnp.ones(len(g), bool), 0)
    final = jax.lax.while_loop(go_on, once, start)
    return final[0].astype(jnp.float32), final[1].astype(jnp.float32)


class ShapeFitter:
    """Stage `fit_shape` of one PDM."""

    def __init__(self, pdm: PDM, device: str = CPU) -> None:
        self._device = device
        model = ShapeModel(pdm)
        self._n = model.n_points
        with computing(device):
            self._mean = jnp.asarray(model.mean.reshape(3, -1), jnp.float64)
            self._modes = jnp.asarray(model.components.reshape(3, self._n, -1), jnp.float64)
            self._prior = jnp.asarray(1 / model.eigenvalues, jnp.float64)

    def __call__(self, landmarks: Array) -> tuple[Array, Array]:
        """Parameters (N, 6), (N, m) of landmarks (N, n, 2); those with x = 0 are left out. Errors as the reference."""
        check_array(STAGE, "landmarks", landmarks, ("N", self._n, 2))
        given = landmarks[:, :, 0] != 0
        if not given.any(axis=1).all():
            raise ContractError(STAGE, "landmarks", "at least one landmark with x != 0", "all x are 0")
        starts = range(0, len(landmarks), BATCHES[-1])
        pieces = [self._piece(landmarks[k : k + BATCHES[-1]], given[k : k + BATCHES[-1]]) for k in starts]
        return np.concatenate([g for g, _ in pieces]), np.concatenate([p for _, p in pieces])

    def _piece(self, landmarks: Array, given: Array) -> tuple[Array, Array]:
        count = len(landmarks)
        size = next(size for size in BATCHES if size >= count)
        filled = np.concatenate([landmarks, np.repeat(landmarks[-1:], size - count, axis=0)])
        weights = np.concatenate([given, np.repeat(given[-1:], size - count, axis=0)])
        with computing(self._device):
            target = jnp.asarray(np.asarray(filled, np.float32).transpose(0, 2, 1), jnp.float64)
            g, p = _fit(target, jnp.asarray(weights, jnp.float64), self._mean, self._modes, self._prior)
            return np.asarray(g)[:count], np.asarray(p)[:count]


def build(pdm: PDM, device: str = CPU) -> Callable[[Array], tuple[Array, Array]]:
    """Stage `fit_shape`."""
    return ShapeFitter(pdm, device)
