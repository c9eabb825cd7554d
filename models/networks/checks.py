"""Checks that the weights of a network have its names and shapes, for bundles from other files (`consistency`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import ModelFormatError
from auparity.json_schema import MismatchError
from auparity.models.networks import shapes
from auparity.models.types import PFLD, STAR, FaceApi, MobileFaceNet, PointNetwork, RetinaFace, Tensors

Array = npt.NDArray[Any]

#: Largest numbers of a STAR: published are 98 points, 9 edges, 4 stacks, 256 channels.
MOST_POINTS, MOST_EDGES, MOST_STACKS, MOST_CHANNELS = 1000, 100, 16, 1024
#: Margins of crops: less cuts faces, more leaves little of them.
MARGINS = (0.5, 4.0)
#: Points that 68 can be made of.
POINTS = (68, 98)


def check_retinaface(place: str, model: RetinaFace) -> None:
    """MismatchError for weights of another network."""
    _check(place, model.tensors, shapes.retinaface(model.backbone))


def check_point_network(place: str, model: PointNetwork) -> None:
    """MismatchError for weights of another network, or of one whose points 68 cannot be made of."""
    if isinstance(model, STAR):
        _unique(place, model.tensors)
        try:
            sizes = star_sizes(place, model.tensors.by_name())
        except ModelFormatError as error:
            raise MismatchError(place, error.expected, error.found) from error
        if sizes[0] not in POINTS:
            raise MismatchError(place, f"a network of {POINTS[0]} or {POINTS[1]} points", f"{sizes[0]}")
        _check(place, model.tensors, shapes.star(*sizes))
        if model.margin is not None and not MARGINS[0] <= model.margin <= MARGINS[1]:
            raise MismatchError(f"{place}.margin", f"a margin from {MARGINS[0]} to {MARGINS[1]}", f"{model.margin}")
    elif isinstance(model, FaceApi):
        _check(place, model.tensors, shapes.face_api_like(model.tensors.names))
    else:
        of_kind = {PFLD: shapes.pfld, MobileFaceNet: shapes.mobilefacenet}
        _check(place, model.tensors, of_kind[type(model)]())


def star_sizes(label: str, arrays: Mapping[str, Array]) -> tuple[int, int, int, int]:
    """Points, edges, stacks and channels of a STAR, from the shapes of its weights.

    Raises
    ------
    ModelFormatError : they are missing, or larger than any that is known.
    """
    edges, first = (arrays.get(name, np.zeros(0)) for name in ("e2h_transform.weight", "hgs.0.coordconv.conv.weight"))
    stacks = 0
    while f"hgs.{stacks}.coordconv.conv.weight" in arrays:
        stacks += 1
    sizes = (*edges.shape[:2], stacks, *first.shape[:1]) if edges.ndim == first.ndim == 4 else (0,) * 4
    limits = (MOST_POINTS, MOST_EDGES, MOST_STACKS, MOST_CHANNELS)
    if not all(1 <= size <= limit for size, limit in zip(sizes, limits, strict=True)):
        raise ModelFormatError(label, None, f"points, edges, stacks and channels up to {limits}", f"{sizes}")
    return sizes[0], sizes[1], sizes[2], sizes[3]


def _unique(place: str, tensors: Tensors) -> None:
    if len(set(tensors.names)) != len(tensors.names) or len(tensors.names) != len(tensors.values):
        raise MismatchError(f"{place}.tensors", "a different name for each array", f"{len(tensors.values)} arrays")


def _check(place: str, tensors: Tensors, expected: shapes.Shapes) -> None:
    _unique(place, tensors)
    have = {name: values.shape for name, values in tensors.by_name().items()}
    wrong = sorted(name for name in have.keys() | expected.keys() if have.get(name) != expected.get(name))
    if wrong:
        raise MismatchError(f"{place}.tensors", f"{wrong[0]} of {expected.get(wrong[0])}", f"{have.get(wrong[0])}")
    for name, values in tensors.by_name().items():
        if name.endswith("running_var") and (values < 0).any():
            raise MismatchError(f"{place}.tensors", f"variances from 0 on in {name}", "negative ones")
