"""Weights of networks drawn from a seed that is the name of each tensor: leaving one out changes no other."""

from __future__ import annotations

import zlib

import numpy as np

from auparity.models.networks import shapes
from auparity.models.networks.published import tensors
from auparity.models.types import PFLD, STAR, MobileFaceNet, RetinaFace, Tensors


def values(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Norms near the identity, small biases, and weights that keep the size of what they are given."""
    drawn = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    if name.endswith("running_var"):
        drawn = 1 + 0.1 * np.abs(drawn)
    elif name.endswith(("running_mean", "bias")):
        drawn = 0.1 * drawn
    elif len(shape) == 1:
        drawn = (0.25 if "prelu" in name else 1) + 0.1 * drawn
    else:
        drawn = drawn * np.sqrt((0.25 if name.endswith("conv3.conv.weight") else 2) / np.prod(shape[1:]))
    return drawn.astype(np.float32)


def random_tensors(of: shapes.Shapes) -> Tensors:
    return tensors({name: values(name, shape) for name, shape in of.items()})


def retinaface(backbone: shapes.Backbone = "mobile0.25") -> RetinaFace:
    return RetinaFace(backbone, random_tensors(shapes.retinaface(backbone)))


def pfld() -> PFLD:
    return PFLD(random_tensors(shapes.pfld()))


def mobilefacenet() -> MobileFaceNet:
    return MobileFaceNet(random_tensors(shapes.mobilefacenet()))


def star(points: int = 29, edges: int = 7, stacks: int = 2, width: int = 8) -> STAR:
    """A small one, each point on one edge and the last on none."""
    arrays = random_tensors(shapes.star(points, edges, stacks, width)).by_name()
    on_edge = np.arange(points) % edges
    table = (on_edge[:, None] == np.arange(edges)).astype(np.float32)
    table[-1] = 0
    bias = np.zeros(points, np.float32)
    bias[-1] = 1
    arrays |= {"e2h_transform.weight": table[:, :, None, None], "e2h_transform.bias": bias}
    return STAR(tensors(arrays))


def with_arrays(weights: Tensors, **changes: np.ndarray) -> Tensors:
    """The same with other values; names have `__` for each dot."""
    arrays = weights.by_name()
    arrays |= {name.replace("__", "."): value.astype(np.float32) for name, value in changes.items()}
    return tensors(arrays)
