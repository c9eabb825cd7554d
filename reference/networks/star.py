"""STAR (Zhou, Li, Liu, Wang, Yu, Ji, CVPR 2023; spec 95.4): stacked hourglasses whose heat maps are weighed by maps of
the points and of the edges on which they lie (anisotropic attention, from ADNet). Points are where the last heat maps
have their centre of mass. 98 points (WFLW), 68 or 29: the weights say how many.

Written as the paper has it, coordinates joined to the maps before each hourglass. A convolution of joined maps is a sum
of convolutions, which is how an export without concatenations writes it (spec 95.9.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.types import STAR
from auparity.reference import sums
from auparity.reference.contracts import check_array
from auparity.reference.networks.layers import Layers, Maps, NetworkLayers
from auparity.short_repr import short_repr

Array = npt.NDArray[Any]

STAGE = "point_network"
#: Pixels of a crop along each side, places of a map likewise, and depth of an hourglass.
SIDE, MAPS, DEPTH = 256, 64, 4
#: Where the last heat map of the stack before is above this, the next one is told the coordinates once more.
ATTENDED = 0.05
#: Smallest sum of a heat map that divides its moments.
SMALLEST_MASS = 1e-6


@short_repr
@dataclass(frozen=True, eq=False)
class StackMaps:
    """What one hourglass says (N images, P points, E edges, maps of n x n places)."""

    heatmaps: Array  #: (N, P, n, n)
    pointmaps: Array  #: (N, P, n, n)
    edgemaps: Array  #: (N, E, n, n)
    fused: Array  #: (N, P, n, n) the product of the three, edges brought to their points
    points: Array  #: (N, P, 2) x, y from -1 to 1: centres of mass of `fused`


class StarNetwork:
    """The network of one set of weights."""

    side = SIDE

    def __init__(self, weights: STAR, dtype: npt.DTypeLike = np.float32) -> None:
        self._net = Layers(weights.tensors, dtype)
        self._graph = StarGraph(self._net, stacks_of(weights))
        self.n_points = len(self._net["e2h_transform.bias"])

    def __call__(self, crops: Array) -> Array:
        """Points (N, P, 2), x, y from -1 to 1, of crops (N, 256, 256, 3) uint8 BGR.

        Raises
        ------
        ContractError : another shape or dtype.
        """
        return self.stacks(crops)[-1].points

    def stacks(self, crops: Array) -> list[StackMaps]:
        """What every hourglass says of crops (N, 256, 256, 3) uint8 BGR."""
        said = self._graph(signed(crops, self._net.dtype))
        return [StackMaps(*maps, points=centres_of_mass(maps[-1])) for maps in said]


class StarGraph:
    """The layers of STAR, made of `NetworkLayers`.

    Parameters
    ----------
    net : the layers. stacks : number of hourglasses.
    """

    def __init__(self, net: NetworkLayers, stacks: int) -> None:
        self._net, self._stacks = net, stacks

    def __call__(self, image: Maps) -> list[tuple[Maps, Maps, Maps, Maps]]:
        """Heat maps, point maps, edge maps and fused maps of each stack, of images (N, 3, 256, 256) from -1 to 1."""
        net = self._net
        maps = self._before(image)
        result: list[tuple[Maps, Maps, Maps, Maps]] = []
        for s in range(self._stacks):
            told = self._coordinates(maps, MAPS)
            if result:
                attended = net.above(net.channels(result[-1][0], -1, None), ATTENDED)
                told = net.join([told, net.channels(told, 0, 2) * attended])
            inside = net.conv(net.join([maps, told]), f"hgs.{s}.coordconv.conv")
            features = self._residual(self._hourglass(inside, f"hgs.{s}", DEPTH), f"features.{s}.0")
            features = net.relu(net.norm(net.conv(features, f"features.{s}.1.conv"), f"features.{s}.1.bn"))
            result.append(self._read(features, s))
            if s < self._stacks - 1:
                heatmaps, pointmaps, edgemaps, _ = result[-1]
                said = {"features": features, "heatmaps": heatmaps, "pointmaps": pointmaps, "edgemaps": edgemaps}
                for kind, of_kind in said.items():
                    maps = maps + net.conv(of_kind, f"merge_{kind}.{s}.conv")
        return result

    def _before(self, image: Maps) -> Maps:
        """From 256 x 256 pixels to 64 x 64 places."""
        net = self._net
        joined = net.join([image, self._coordinates(image, SIDE)])
        maps = net.relu(net.norm(net.conv(joined, "pre.0.conv", 2, 3), "pre.0.bn"))
        maps = net.max_pool(self._residual(maps, "pre.1"), 2, 2)
        return self._residual(self._residual(maps, "pre.3"), "pre.4")

    def _coordinates(self, maps: Maps, side: int) -> Maps:
        """Row, column and distance from the middle of each place."""
        row, column = np.meshgrid(places(side), places(side), indexing="ij")
        distance = np.sqrt(row * row + column * column) / np.sqrt(2.0)
        return self._net.constant(np.stack([row, column, distance])[None], maps)

    def _residual(self, maps: Maps, name: str) -> Maps:
        """Norm, convolution, three times over, beside the input itself (He et al., ECCV 2016)."""
        net, inside = self._net, maps
        for k, padding in ((1, 0), (2, 1), (3, 0)):
            inside = net.conv(net.relu(net.norm(inside, f"{name}.bn{k}")), f"{name}.conv{k}.conv", padding=padding)
        # Published files hold a skip layer of every block; it is used where the number of channels changes.
        if inside.shape[1] != maps.shape[1]:
            maps = net.conv(maps, f"{name}.skip_layer.conv")
        return inside + maps

    def _hourglass(self, maps: Maps, name: str, depth: int) -> Maps:
        """The same maps seen at half the size, and inside that at a quarter, ... (Newell, Yang, Deng, ECCV 2016)."""
        low = self._residual(self._net.max_pool(maps, 2, 2), f"{name}.low1")
        inner = f"{name}.low2"
        low = self._hourglass(low, inner, depth - 1) if depth > 1 else self._residual(low, inner)
        low = self._residual(low, f"{name}.low3")
        up = self._residual(maps, f"{name}.up1")
        return up + self._net.nearest(low, up)

    def _read(self, features: Maps, s: int) -> tuple[Maps, Maps, Maps, Maps]:
        net = self._net
        heatmaps = net.relu(net.instance_norm(net.conv(features, f"out_heatmaps.{s}.conv")))
        pointmaps = net.sigmoid(net.conv(features, f"out_pointmaps.{s}.conv"))
        edgemaps = net.sigmoid(net.conv(features, f"out_edgemaps.{s}.conv"))
        fused = net.conv(edgemaps, "e2h_transform") * pointmaps * heatmaps
        return heatmaps, pointmaps, edgemaps, fused


def stacks_of(weights: STAR) -> int:
    """How many hourglasses there are."""
    return sum(name.endswith(".coordconv.conv.weight") for name in weights.tensors.names)


def signed(crops: Array, dtype: Any = np.float32) -> Array:
    """Maps (N, 3, 256, 256) from -1 to 1 of crops (N, 256, 256, 3) uint8 BGR; ContractError for other crops."""
    check_array(STAGE, "crops", crops, ("N", SIDE, SIDE, 3), np.uint8)
    maps: Array = (crops.astype(dtype) / dtype(255) * dtype(2) - dtype(1)).transpose(0, 3, 1, 2)
    return maps


def places(count: int) -> Array:
    """Coordinates of `count` places from -1 to 1."""
    return 2 * np.arange(count) / (count - 1) - 1


def centres_of_mass(maps: Array) -> Array:
    """x, y (N, P, 2) from -1 to 1 of maps (N, P, n, n) of no negative values; 0 where a map is empty."""
    wide = maps.astype(np.float64)
    mass = np.maximum(sums.total(sums.total(wide)), SMALLEST_MASS)
    x = sums.total(sums.total(wide, 2) * places(maps.shape[3])) / mass
    y = sums.total(sums.total(wide, 3) * places(maps.shape[2])) / mass
    return np.stack([x, y], axis=-1).astype(maps.dtype)
