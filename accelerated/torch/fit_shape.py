"""CalcParams for many faces at once (spec 30.7): landmarks (N, n, 2) px to (N, 6) and (N, m).

All faces take their Gauss-Newton steps together, as batched products and one batched Cholesky solve; a face that has
stopped keeps its parameters while the others go on. Float32 as the reference, but solved in the library's own order of
sums (float64 inside the solve where the device has it), so parameters agree to CalcParams' tolerance, not to the bit.
On a processor it takes longer for a single face than Numba's kernel; it is meant for batches (GPUs, hundreds of
images).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from auparity.accelerated.torch.device import device_of
from auparity.errors import ContractError
from auparity.models.types import PDM
from auparity.reference import fit_shape as reference
from auparity.reference.contracts import check_array
from auparity.reference.pdm import ShapeModel

Array = npt.NDArray[Any]

STAGE = "fit_shape"


def rotation(euler: torch.Tensor) -> torch.Tensor:
    """(N, 3) Euler angles in rad to (N, 3, 3) rotations Rx Ry Rz (spec 30.1)."""
    s1, s2, s3 = torch.sin(euler).unbind(-1)
    c1, c2, c3 = torch.cos(euler).unbind(-1)
    rows = [
        c2 * c3, -c2 * s3, s2, c1 * s3 + c3 * s1 * s2, c1 * c3 - s1 * s2 * s3, -c2 * s1, s1 * s3 - c1 * c3 * s2,
        c3 * s1 + c1 * s2 * s3, c1 * c2,
    ]  # fmt: skip
    return torch.stack(rows, -1).reshape(-1, 3, 3)


def euler(r: torch.Tensor) -> torch.Tensor:
    """(N, 3, 3) rotations to (N, 3) Euler angles in rad, through a quaternion (spec 30.1)."""
    q0 = torch.sqrt(torch.clamp(1 + r[:, 0, 0] + r[:, 1, 1] + r[:, 2, 2], min=1e-12)) / 2
    q1 = (r[:, 2, 1] - r[:, 1, 2]) / (4 * q0)
    q2 = (r[:, 0, 2] - r[:, 2, 0]) / (4 * q0)
    q3 = (r[:, 1, 0] - r[:, 0, 1]) / (4 * q0)
    y = torch.asin(torch.clamp(2 * (q0 * q2 + q1 * q3), -1, 1))
    x = torch.atan2(2 * (q0 * q1 - q2 * q3), q0 * q0 - q1 * q1 - q2 * q2 + q3 * q3)
    z = torch.atan2(2 * (q0 * q3 - q1 * q2), q0 * q0 + q1 * q1 - q2 * q2 - q3 * q3)
    return torch.stack([x, y, z], -1)


class ShapeFitter:
    """Stage `fit_shape` of one PDM on one device."""

    def __init__(self, pdm: PDM, device: str | None = None) -> None:
        self._device = device_of(device)
        # Rotations and solves in float64 where there is one: MPS has none.
        self._wide = torch.float32 if self._device.type == "mps" else torch.float64
        model = ShapeModel(pdm)
        self._n, self._m = model.n_points, model.n_modes
        self._mean = torch.tensor(model.mean.reshape(3, -1), dtype=self._wide, device=self._device)  # (3, n)
        modes = model.components.reshape(3, self._n, self._m)
        self._modes = torch.tensor(modes, dtype=self._wide, device=self._device)  # (3, n, m)
        self._prior = torch.tensor(1 / model.eigenvalues, dtype=self._wide, device=self._device)

    @torch.inference_mode()
    def __call__(self, landmarks: Array) -> tuple[Array, Array]:
        """Parameters (N, 6), (N, m) of landmarks (N, n, 2); those with x = 0 are left out. Errors as the reference."""
        check_array(STAGE, "landmarks", landmarks, ("N", self._n, 2))
        given = landmarks[:, :, 0] != 0
        if not given.any(axis=1).all():
            raise ContractError(STAGE, "landmarks", "at least one landmark with x != 0", "all x are 0")
        target = torch.tensor(np.asarray(landmarks, np.float32), dtype=self._wide, device=self._device).mT  # (N, 2, n)
        weights = torch.tensor(given, dtype=self._wide, device=self._device)  # (N, n)
        g, p = self._fit(target, weights)
        return g.to("cpu", torch.float32).numpy(), p.to("cpu", torch.float32).numpy()

    def _fit(self, target: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        g, p = self._start(target, weights), torch.zeros(len(target), self._m, dtype=self._wide, device=self._device)
        error = self._error(g, self._shape(p), target, weights)
        active = torch.ones(len(g), dtype=torch.bool, device=self._device)
        stale = torch.zeros(len(g), dtype=torch.int64, device=self._device)
        for _ in range(reference.MAX_ITERATIONS):
            shape = self._shape(p)
            new_g, new_p = self._step(g, p, shape, target, weights)
            keep = active[:, None]
            g, p = torch.where(keep, new_g, g), torch.where(keep, new_p, p)
            # Tried on the shape of before the update, as the C++ program does: it decides when to stop.
            new_error = self._error(g, shape, target, weights)
            stale = stale + (active & (reference.ENOUGH * error < new_error)).long()
            error = torch.where(active, new_error, error)
            active = active & (stale < reference.PATIENCE)
            if not bool(active.any()):
                break
        return g, p

    def _shape(self, p: torch.Tensor) -> torch.Tensor:
        return self._mean + torch.einsum("anm,km->kan", self._modes, p)  # (N, 3, n)

    def _project(self, g: torch.Tensor, shape: torch.Tensor) -> torch.Tensor:
        turned = rotation(g[:, 1:4])[:, :2] @ shape
        return g[:, :1, None] * turned + g[:, 4:6, None]  # (N, 2, n)

    def _error(self, g: torch.Tensor, shape: torch.Tensor, target: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        squares = ((self._project(g, shape) - target) ** 2).sum(1) * weights
        return torch.sqrt(squares.sum(1)).to(torch.float32).to(self._wide)  # compared as float32 (spec 90.1)

    def _start(self, target: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Upright mean shape at the scale and centre of the given landmarks' box."""
        outside = (weights == 0)[:, None, :]
        infinity = torch.inf
        high = target.masked_fill(outside, -infinity).amax(2)
        low = target.masked_fill(outside, infinity).amin(2)
        mean = self._mean[None, :2].expand(len(target), -1, -1)
        mean_high = mean.masked_fill(outside, -infinity).amax(2)
        mean_low = mean.masked_fill(outside, infinity).amin(2)
        scale = ((high - low) / (mean_high - mean_low)).mean(1)
        g = torch.zeros(len(target), 6, dtype=self._wide, device=self._device)
        g[:, 0], g[:, 4:6] = scale, (high + low) / 2
        return g.to(torch.float32).to(self._wide)

    def _step(
        self, g: torch.Tensor, p: torch.Tensor, shape: torch.Tensor, target: torch.Tensor, weights: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        s, r = g[:, 0, None, None], rotation(g[:, 1:4])
        x, y, z = (shape[:, k, None, :] for k in range(3))  # (N, 1, n)
        r0, r1, r2 = (r[:, :2, k, None] for k in range(3))  # (N, 2, 1)
        ones, zeros = torch.ones_like(target[:, :1]), torch.zeros_like(target[:, :1])
        rigid = torch.stack([
            r0 * x + r1 * y + r2 * z, s * (y * r2 - z * r1), -s * (x * r2 - z * r0), s * (x * r1 - y * r0),
            torch.cat([ones, zeros], 1), torch.cat([zeros, ones], 1),
        ], 1)  # (N, 6, 2, n)  # fmt: skip
        shapes = s[..., None] * torch.einsum("kia,anm->kmin", r[:, :2], self._modes)  # (N, m, 2, n)
        rows = torch.cat([rigid, shapes], 1).flatten(2)  # (N, 6 + m, 2 n)
        weighted = rows * weights.repeat(1, 2)[:, None, :]
        residual = (target - self._project(g, shape)).flatten(1)
        right = (weighted @ residual[..., None])[..., 0]
        right[:, 6:] -= self._prior * p
        hessian = weighted @ rows.mT
        hessian.diagonal(dim1=1, dim2=2)[:, 6:] += self._prior
        delta = reference.STEP * torch.cholesky_solve(right[..., None], torch.linalg.cholesky(hessian))[..., 0]
        return self._update(g, r, delta), p + delta[:, 6:]

    def _update(self, g: torch.Tensor, r: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
        """Apply the rigid part of a step; the small rotation is made one by its polar factor (spec 30.5)."""
        w = delta[:, 1:4]
        zero = torch.zeros_like(w[:, 0])
        cross = torch.stack([zero, -w[:, 2], w[:, 1], w[:, 2], zero, -w[:, 0], -w[:, 1], w[:, 0], zero], -1)
        small = torch.eye(3, dtype=self._wide, device=self._device) + cross.reshape(-1, 3, 3)
        for _ in range(6):  # Newton's iteration for the polar factor: quadratic from anywhere near a rotation
            small = (small + torch.linalg.inv(small).mT) / 2
        out = g + torch.nn.functional.pad(delta[:, :1], (0, 5)) + torch.nn.functional.pad(delta[:, 4:6], (4, 0))
        return torch.cat([out[:, :1], euler(r @ small), out[:, 4:]], 1)


def build(pdm: PDM, device: str | None = None) -> Callable[[Array], tuple[Array, Array]]:
    """Stage `fit_shape`."""
    return ShapeFitter(pdm, device)
