"""From the 98 points of WFLW (Wu et al., CVPR 2018) to the 68 of 300W, by two rules that are in use (spec 95.7).

They differ at the brows, which WFLW has all around: "edge" takes the points of the upper edge, "middle" the means of
the upper and lower edges (as facexlib does). Contours are marked differently in the two data sets, so points along the
jaw are the least comparable. The pupils, 96 and 97, have no counterpart.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

Brows = Literal["edge", "middle"]

N_POINTS = 98
#: Points of WFLW for those of 300W, in order: contour, (brows), nose, eyes, lips.
_CONTOUR = tuple(range(0, 33, 2))
_EYES = (60, 61, 63, 64, 65, 67, 68, 69, 71, 72, 73, 75)
_REST = (*range(51, 60), *_EYES, *range(76, 96))
#: Brows: pairs of points whose mean is taken.
BROWS: dict[Brows, tuple[tuple[int, int], ...]] = {
    "edge": tuple((k, k) for k in (*range(33, 38), *range(42, 47))),
    "middle": (
        (33, 33), (34, 41), (35, 40), (36, 39), (37, 38),
        (42, 50), (43, 49), (44, 48), (45, 47), (46, 46),
    ),
}  # fmt: skip


def to_68(points: Array, brows: Brows = "middle") -> Array:
    """The 68 points (..., 68, 2) of 98 (..., 98, 2)."""
    first, second = np.array(BROWS[brows]).T
    middle = (points[..., first, :] + points[..., second, :]) / points.dtype.type(2)
    parts = [points[..., list(_CONTOUR), :], middle, points[..., list(_REST), :]]
    return np.concatenate(parts, axis=-2)
