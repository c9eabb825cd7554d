"""face-api's landmark network with its own weights: the points that the npm package itself computes of a crop."""

from __future__ import annotations

import numpy as np
import pytest

from auparity.parity_tests.unit.helpers import fetched
from auparity.reference.networks.face_api import FaceApiNetwork
from auparity.reference.networks.point_networks import build
from auparity.reference.numerics import FLOAT64

#: Of the package 1.7.15 with TensorFlow.js 4.22.0 in Node.js 20, backend "cpu", as `auparity dev face-api` asks it.
POINTS = {
    0: (0.323185, 0.507334), 8: (0.629093, 0.546187), 16: (0.523669, 0.393643), 30: (0.528201, 0.537616),
    36: (0.476519, 0.599490), 45: (0.528121, 0.572686), 48: (0.559570, 0.492462), 54: (0.544985, 0.426983),
}  # fmt: skip
#: They are written down with six digits; float32 programs with other sums differ by less than that.
TOLERANCE = 1e-6


def pattern() -> np.ndarray:
    """A crop that is no face, whose blue, green and red differ."""
    y, x, c = np.indices((112, 112, 3))
    return ((3 * x + 5 * y * (c + 1) + x * y // 7) % 256).astype(np.uint8)


def test_the_points_are_those_of_the_package():
    found = FaceApiNetwork(fetched.face_api())(pattern()[None])[0]
    assert np.abs(found[list(POINTS)] - np.array(list(POINTS.values()))).max() < TOLERANCE


@pytest.mark.parametrize("change", ["colours", "mirror", "turn"])
def test_another_crop_has_other_points(change):
    """The tolerance above tells apart what it should: the order of colours, of columns, and of rows and columns."""
    other = {"colours": pattern()[..., ::-1], "mirror": pattern()[:, ::-1], "turn": pattern().transpose(1, 0, 2)}
    found = FaceApiNetwork(fetched.face_api())(np.ascontiguousarray(other[change])[None])[0]
    assert np.abs(found[list(POINTS)] - np.array(list(POINTS.values()))).max() > 100 * TOLERANCE


def test_rounding_moves_points_less_than_what_is_told_apart():
    weights = fetched.face_api()
    single, double = build(weights)(pattern()[None]), build(weights, numerics=FLOAT64)(pattern()[None])
    assert np.abs(single - double).max() < TOLERANCE / 2
