"""The arithmetic of networks, and the table in which their variants stand beside it."""

from __future__ import annotations

import pytest

pytest.importorskip("numba")
pytest.importorskip("onnxruntime")

from auparity.accelerated.numba.network_floor import network_flop
from auparity.benchmarks import network_runtimes
from auparity.benchmarks.network_runtimes import network_table
from auparity.models.networks import shapes
from auparity.parity_tests.suite import random_networks
from auparity.reference.networks.star import MAPS


@pytest.mark.parametrize(
    ("make", "height", "width", "million"),
    [
        (random_networks.retinaface, 360, 480, 418),
        (random_networks.retinaface, 480, 640, 736),
        (random_networks.pfld, 112, 112, 153),
        (random_networks.mobilefacenet, 112, 112, 221),
        (random_networks.face_api, 112, 112, 52),
    ],
)
def test_multiply_adds_of_published_networks(make, height, width, million):
    assert round(network_flop(make(), height, width) / 2e6) == million


def test_the_convolutions_of_star_are_counted_at_the_size_of_their_maps():
    """Of a stack more: what it has at 64 x 64 places, and its hourglass at half, a quarter, ... of them."""
    one, two = (network_flop(random_networks.star(8, 3, stacks, 16), 256, 256) for stacks in (1, 2))
    more = 0
    for name, shape in shapes.star(8, 3, 2, 16).items():
        stack = "0" if name.startswith("merge") else "1"
        if len(shape) == 4 and not name.startswith("pre") and name.split(".")[1] == stack:
            below = name.count("low")
            more += 2 * shape[0] * shape[1] * shape[2] * shape[3] * (MAPS >> below) ** 2
    assert two - one == more + 2 * 8 * 3 * MAPS**2  # and the edges brought to their points


def test_the_table_has_every_variant_that_can_run_and_both_least_times(monkeypatch):
    monkeypatch.setattr(network_runtimes, "tile_gflops", lambda: 200.0)
    monkeypatch.setitem(network_runtimes.RANDOM, "star", lambda: random_networks.star(8, 3, 1, 16))
    monkeypatch.setitem(network_runtimes.RANDOM, "pfld", random_networks.pfld)
    asked = []

    def times(runs, images, rounds):
        asked.append((set(runs), images.shape, rounds))
        return {name: {"onnx": 4.0, "numba": 3.0, "torch": 6.0}[name] for name in runs}

    head, _, _, star, pfld = network_table(["star", "pfld"], times, 7, 100.0)[:5]
    assert head == "register tiles 200 GFLOP/s\n"
    assert [each[1:] for each in asked] == [((1, 256, 256, 3), 7), ((1, 112, 112, 3), 7)]
    assert {"numba", "onnx"} <= asked[0][0]
    assert {"numba", "onnx"} <= asked[1][0]
    cells = [cell.strip() for cell in pfld.strip("|").split("|")]
    assert cells[:6] == ["pfld", "112 x 112", "153", "1.53", "3.06", "4.00"]
    assert cells[-4:-1] == ["numba", "0.98", "0.75"]
    assert float(cells[-1]) < 1e-5
    assert star.startswith("| star | 256 x 256 |")
