"""What STAR learns besides points: maps of the points and of the edges on which they lie; and its loss.

Zhou et al., STAR loss (CVPR 2023). They train the maps with adaptive wing loss; with cross entropy, which is used here,
a step takes half the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from auparity.reference.networks.star import MAPS, SMALLEST_MASS, places

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[Any]

#: The edges of a face as WFLW's points mark them, and whether their ends meet: contour, brows, line and base of the
#: nose, eyes, outer and inner edge of the lips (spec 95.4). The pupils, 96 and 97, are on none.
EDGES_98 = (
    (slice(0, 33), False), (slice(33, 42), True), (slice(42, 51), True), (slice(51, 55), False),
    (slice(55, 60), False), (slice(60, 68), True), (slice(68, 76), True), (slice(76, 88), True), (slice(88, 96), True),
)  # fmt: skip
#: Width of the hill around a point, and of the wall along an edge: standard deviations in places of the maps.
HILL, WALL = 1.0, 1.0
#: How much more the top of a hill weighs than a place where nothing is.
TOLD_WEIGHT = 10.0
#: Weight of the maps beside the points, and of the size of the fused maps.
MAP_WEIGHT, SIZE_WEIGHT = 5.0, 1.0
#: Errors within so much of a map's width are squared, as smooth L1 has it.
SMOOTH = 0.01


def edges_to_points(points: int = 98) -> dict[str, Array]:
    """The layer that gives each point the map of its edge: weights (P, E, 1, 1), and a bias of 1 for points on none."""
    weight = np.zeros((points, len(EDGES_98), 1, 1), np.float32)
    for k, (rows, _) in enumerate(EDGES_98):
        weight[rows, k] = 1
    return {"e2h_transform.weight": weight, "e2h_transform.bias": 1 - weight.sum(axis=(1, 2, 3))}


def target_maps(points: Array) -> tuple[Array, Array]:
    """Maps of points (N, 98, 2) from -1 to 1: (N, 98, 64, 64) hills and (N, 9, 64, 64) walls, float32 from 0 to 1."""
    at = (points.astype(np.float32) + 1) * np.float32((MAPS - 1) / 2)  # in places, as a centre of mass has them
    steps = np.arange(MAPS, dtype=np.float32)
    across = np.exp(-((steps - at[..., :1]) ** 2) / (2 * HILL**2))
    down = np.exp(-((steps - at[..., 1:]) ** 2) / (2 * HILL**2))
    hills = down[..., :, None] * across[..., None, :]
    walls = np.empty((len(at), len(EDGES_98), MAPS, MAPS), np.float32)
    for k, (rows, closed) in enumerate(EDGES_98):
        line = at[:, rows]
        ends = np.roll(line, -1, axis=1) if closed else line[:, 1:]
        starts = line if closed else line[:, :-1]
        walls[:, k] = np.exp(-_squared_distances(starts, ends, steps) / (2 * WALL**2))
    return hills, walls


def _squared_distances(starts: Array, ends: Array, steps: Array) -> Array:
    """(N, n, n) squared distance of each place from the nearest of segments (N, S, 2)."""
    nearest = np.full((len(starts), len(steps), len(steps)), np.float32(np.inf))
    x, y = steps[None, None, :], steps[None, :, None]
    for k in range(starts.shape[1]):
        (x0, y0), (u, v) = starts[:, k].T[..., None, None], (ends[:, k] - starts[:, k]).T[..., None, None]
        along = ((x - x0) * u + (y - y0) * v) / np.maximum(u * u + v * v, np.float32(1e-6))
        share = np.clip(along, 0, 1)
        np.minimum(nearest, (x - x0 - share * u) ** 2 + (y - y0 - share * v) ** 2, out=nearest)
    return nearest


def map_loss(found: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Cross entropy of maps from 0 to 1; a place of a hill or a wall weighs more than one where nothing is."""
    import torch.nn.functional as F

    return F.binary_cross_entropy(found, true, weight=1 + TOLD_WEIGHT * true)


def star_loss(fused: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Errors of points along the two axes of their maps, each in units of the root of its spread; and the spreads.

    Parameters
    ----------
    fused : (N, P, n, n) of no negative values. true : (N, P, 2) from -1 to 1.
    """
    import torch

    where = torch.as_tensor(places(fused.shape[-1]), dtype=fused.dtype)
    share = fused / fused.sum(dim=(2, 3), keepdim=True).clamp(min=SMALLEST_MASS)
    columns, rows = share.sum(2), share.sum(3)
    x, y = columns @ where, rows @ where
    # Variances of the marginals, and the covariance of both.
    xx = (columns * (where - x[..., None]) ** 2).sum(-1)
    yy = (rows * (where - y[..., None]) ** 2).sum(-1)
    xy = torch.einsum("npij,i,j->np", share, where, where) - x * y
    # A symmetric matrix of two rows has these eigenvalues, and its axis is turned by half of this angle.
    middle, half = (xx + yy) / 2, (((xx - yy) / 2) ** 2 + xy * xy + 1e-12).sqrt()
    angle = 0.5 * torch.atan2(2 * xy.detach(), (xx - yy).detach() + 1e-12)
    along, aside = torch.cos(angle), torch.sin(angle)
    off_x, off_y = x - true[..., 0], y - true[..., 1]
    first, second = along * off_x + aside * off_y, along * off_y - aside * off_x
    loss = torch.zeros((), dtype=fused.dtype)
    for off, spread in ((first, middle + half), (second, middle - half)):
        spread = spread.clamp(min=1e-5)
        loss = loss + (_smooth(off) / spread.sqrt()).mean() + SIZE_WEIGHT * spread.mean()
    return loss


def _smooth(error: torch.Tensor) -> torch.Tensor:
    import torch

    error = error.abs()
    return torch.where(error < SMOOTH, error * error / (2 * SMOOTH), error - SMOOTH / 2)
