"""Linear support vector machines in the primal, many at once (Fan et al., "LIBLINEAR", JMLR 2008, L2-loss; Keerthi and
DeCoste, JMLR 2005).

Both kinds have the same form: the value of a sample, x.w + b, should be in an interval, and the squared distance from
it is the loss. The interval is y - epsilon to y + epsilon for regression; for classification it is at least 1 for
positive samples and at most -1 for negative ones. K problems share the samples (N, D), so that each step is one matrix
product for all of them; steps are conjugate gradients on the piecewise quadratic, with exact line search. Weights (K,
D) and biases (K,) out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

#: A problem is solved when its gradient has shrunk to this share of that at w = 0.
TOLERANCE = 1e-3
MAX_STEPS = 400
LINE_SEARCH_STEPS = 8
#: Number of principal directions of the samples that the preconditioner has exactly; it averages over the others.
PRINCIPAL = 256


@dataclass(frozen=True, eq=False)
class Targets:
    """The targets of K problems for N samples."""

    low: Array  #: (N, K) smallest value without loss, -inf where none
    high: Array  #: (N, K) largest value without loss, inf where none
    weight: Array  #: (N, K) of the squared loss; LIBLINEAR's C

    @classmethod
    def regression(cls, values: Array, epsilon: float, weight: Array) -> Targets:
        """Targets for values (N, K) within epsilon."""
        return cls((values - epsilon).astype(np.float32), (values + epsilon).astype(np.float32), _f32(weight, values))

    @classmethod
    def classification(cls, positive: Array, weight: Array) -> Targets:
        """Targets for classes (N, K) bool."""
        low = np.where(positive, np.float32(1), np.float32(-np.inf))
        return cls(low, np.where(positive, np.float32(np.inf), np.float32(-1)), _f32(weight, positive))

    def excess(self, values: Array) -> Array:
        """(N, K) signed distance of values from their intervals."""
        return np.maximum(values - self.high, 0) - np.maximum(self.low - values, 0)


def _f32(weight: Array, like: Array) -> Array:
    return np.broadcast_to(np.asarray(weight, np.float32), like.shape)


@dataclass(frozen=True, eq=False)
class Preconditioner:
    """Approximate inverse of the Hessian 1 + 2 C X'X that K problems would have if every sample had a loss."""

    directions: Array  #: (D, P) principal directions of the samples
    gain: Array  #: (P, K) on them, above that of the rest
    rest: Array  #: (K,) on everything else
    bias: Array  #: (K,)

    @classmethod
    def of(cls, features: Array, weight: Array) -> Preconditioner:
        """For samples (N, D) and mean weights (K,): randomised range finding (Halko et al., SIAM Review 2011)."""
        samples, width = features.shape
        rank = min(PRINCIPAL, width, samples)
        probe = np.random.default_rng(0).standard_normal((width, rank)).astype(np.float32)
        for _ in range(2):
            probe = np.linalg.qr(features.T @ (features @ probe))[0]
        _, singular, turn = np.linalg.svd(features @ probe, full_matrices=False)
        left_over = max(float(np.einsum("nd,nd->", features, features)) - float((singular**2).sum()), 0.0)
        rest = 1 / (1 + 2 * weight * np.float32(left_over / max(width - rank, 1)))
        gain = 1 / (1 + 2 * weight * singular[:, None] ** 2) - rest
        return cls(probe @ turn.T, gain.astype(np.float32), rest, 1 / (2 * samples * weight))

    def __call__(self, gradient: Array) -> Array:
        """(D + 1, K) of weights and bias."""
        weights = self.rest * gradient[:-1] + self.directions @ (self.gain * (self.directions.T @ gradient[:-1]))
        return np.concatenate([weights, self.bias * gradient[-1:]])


def solve(
    features: Array, targets: Targets, *, tolerance: float = TOLERANCE, max_steps: int = MAX_STEPS
) -> tuple[Array, Array]:
    """Minimise 0.5 |w|^2 + sum of weight * distance^2 for each of K problems; the bias is not penalised.

    Parameters
    ----------
    features : (N, D) float32; best centred.

    Returns
    -------
    weights (K, D), biases (K,) float32.
    """
    samples, width = features.shape
    problems = targets.low.shape[1]
    smooth = Preconditioner.of(features, targets.weight.mean(axis=0))
    point = np.zeros((width + 1, problems), np.float32)  # weights, then bias
    values = np.zeros((samples, problems), np.float32)
    gradient = _gradient(features, targets, point, values)
    downhill = -smooth(gradient)
    size = start = -(gradient * downhill).sum(axis=0)
    direction = downhill
    for _ in range(max_steps):
        change = features @ direction[:-1] + direction[-1]
        length = _line_search(targets, point[:-1], direction[:-1], values, change)
        point += length * direction
        values += length * change
        fresh = _gradient(features, targets, point, values)
        downhill = -smooth(fresh)
        before, size = size, -(fresh * downhill).sum(axis=0)
        if (size <= tolerance**2 * start).all():
            break
        # Polak-Ribiere, restarted if the direction is not a descent.
        change_of_slope = np.maximum(size + (gradient * downhill).sum(axis=0), 0)
        turn = np.divide(change_of_slope, before, out=np.zeros_like(before), where=before > 0)
        gradient = fresh
        direction = downhill + turn * direction
        uphill = (direction * gradient).sum(axis=0) > 0
        direction[:, uphill] = downhill[:, uphill]
    return np.ascontiguousarray(point[:-1].T), point[-1].copy()


def _gradient(features: Array, targets: Targets, point: Array, values: Array) -> Array:
    """(D + 1, K) by weights and bias."""
    pull = 2 * targets.weight * targets.excess(values)
    return np.concatenate([point[:-1] + features.T @ pull, pull.sum(axis=0, keepdims=True)])


def _line_search(targets: Targets, weights: Array, direction: Array, values: Array, change: Array) -> Array:
    """(K,) lengths that minimise along the direction: Newton on the derivative, which is piecewise linear and rises."""
    along, curvature = (weights * direction).sum(axis=0), (direction**2).sum(axis=0)
    length = np.zeros(weights.shape[1], np.float32)
    for _ in range(LINE_SEARCH_STEPS):
        excess = targets.excess(values + length * change)
        pull = targets.weight * change
        slope = along + length * curvature + 2 * (pull * excess).sum(axis=0)
        bend = curvature + 2 * (pull * change * (excess != 0)).sum(axis=0)
        step = slope / np.maximum(bend, np.float32(1e-20))
        length = length - step
        if (np.abs(step) <= 1e-3 * np.abs(length)).all():
            break
    return length
