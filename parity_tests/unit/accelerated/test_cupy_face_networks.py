"""Network detectors and landmarkers as CUDA kernels, run on the host: the reference's numbers, and the same bits
whatever else is in the batch and however it is cut."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auparity.accelerated.cupy import network_kernels, networks
from auparity.accelerated.cupy.launch import MOST_SHARED_BYTES
from auparity.accelerated.cupy.network_nodes import Convolved, Joined, recorded
from auparity.accelerated.registry import registry
from auparity.errors import ContractError
from auparity.models.networks.published import tensors
from auparity.parity_tests.compare.tolerances import tolerance
from auparity.parity_tests.cuda_on_host import host_device
from auparity.parity_tests.unit.helpers import random_networks
from auparity.parity_tests.unit.helpers.counting_device import CountingDevice
from auparity.reference.networks import point_networks, retinaface
from auparity.reference.networks.layers import Layers
from auparity.reference.networks.parts import NetworkParts, parts_of

KINDS = ("retinaface", "pfld", "mobilefacenet", "face_api", "star")
SEEDS = st.integers(0, 2**32 - 1)
#: Of a layer's largest output: float32 sums of up to 245 products in another order; 5e-7 was measured.
LAYER = 3e-6


@pytest.fixture(scope="module")
def device():
    return host_device(strict=True)


def pixels(*shape, seed=5):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def held(found, expected, figure):
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance("stage", figure).tolerance)


# ---- the stages -----------------------------------------------------------------------------------------------------


def test_retinaface_says_what_the_reference_says():
    device = host_device(both_orders=False, strict=True)  # both orders of threads are for single layers
    weights = random_networks.retinaface()
    run, reference = networks.build(weights, device), retinaface.build(weights)
    for size in ((43, 66), (20, 30)):
        images = pixels(2, *size, 3)
        found, expected = run(images), reference(images)
        held(found.boxes, expected.boxes, "network_boxes")
        held(found.points, expected.points, "network_boxes")
        held(found.faces, expected.faces, "network_faces")
        assert found.boxes.dtype == found.faces.dtype == np.float32


@pytest.mark.parametrize("kind", KINDS[1:])
def test_points_are_the_references(kind):
    device = host_device(both_orders=False, strict=True)
    weights = getattr(random_networks, kind)()
    side = parts_of(weights).side
    crops = pixels(1, side, side, 3)
    found, expected = networks.build(weights, device)(crops), point_networks.build(weights)(crops)
    assert found.shape == expected.shape
    held(found, expected, "network_points_of_maps" if kind == "star" else "network_points")


@pytest.mark.parametrize("kind", ["retinaface", "face_api"])
def test_an_image_does_not_depend_on_the_others_nor_on_how_blocks_are_cut(kind, monkeypatch):
    device = host_device(both_orders=False, strict=True)
    network = networks.Network(device, getattr(random_networks, kind)())
    side = network.parts.side
    images = pixels(3, *((40, 50) if side is None else (side, side)), 3)
    whole = [device.download(each) for each in network.run(device.upload(images))]
    for part in (slice(2, 3), slice(0, 2)):
        alone = network.run(device.upload(images[part]))
        for one, other in zip(alone, whole, strict=True):
            np.testing.assert_array_equal(device.download(one), other[part])
    monkeypatch.setattr(network_kernels, "ENOUGH_BLOCKS", 1)  # the largest blocks
    for one, other in zip(network.run(device.upload(images)), whole, strict=True):
        np.testing.assert_array_equal(device.download(one), other)


def test_large_batches_are_taken_part_by_part(monkeypatch):
    device = host_device(both_orders=False, strict=True)
    network, images = networks.Network(device, random_networks.retinaface()), pixels(3, 32, 40, 3)
    whole = network(images)
    monkeypatch.setattr(networks, "PIXELS_AT_ONCE", 2 * 32 * 40)
    counting = CountingDevice(device)
    parts = networks.Network(counting, random_networks.retinaface())(images)
    assert counting.launches == 2 * 59
    for name in ("boxes", "faces", "points"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))


@pytest.mark.parametrize("kind", KINDS)
def test_a_convolution_is_one_launch_with_all_that_follows_it(kind):
    """No activation and no norm behind a convolution has a launch of its own, and no convolution is computed twice but
    face-api's sums, which are read before their rectifier and after it."""
    network = networks.Network(host_device(), getattr(random_networks, kind)())
    side = network.parts.side or 32
    nodes = recorded(network._folded, network.parts.graph, side, side).nodes
    convolutions = [node.name for node in nodes if isinstance(node, Convolved)]
    own = [name for name in convolutions if name != "e2h_transform"]  # which belongs to every stack of STAR
    assert len(own) - len(set(own)) == (8 if kind == "face_api" else 0)
    others = {type(node).__name__ for node in nodes if not isinstance(node, Convolved)}
    assert others <= {
        "retinaface": {"Both", "Joined"}, "pfld": {"Mean", "Joined"}, "mobilefacenet": set(), "face_api": {"Mean"},
        "star": {"Both", "Joined", "Each", "Constant", "Normed", "Largest"},
    }[kind]  # fmt: skip
    launches = {"retinaface": 58, "pfld": 50, "mobilefacenet": 50, "face_api": 41}
    assert kind == "star" or len([node for node in nodes if not isinstance(node, Joined)]) <= launches[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_become_the_references_maps_bit_for_bit(device, kind):
    network = networks.Network(device, getattr(random_networks, kind)())
    side = network.parts.side
    images = pixels(2, *((33, 47) if side is None else (side, side)), 3, seed=8)
    found = network._kernels.read_pixels(device.upload(images), network._table, network._colours)
    np.testing.assert_array_equal(device.download(found), network.parts.prepare(images, np.float32))


def test_other_pixels_are_refused(device):
    run = networks.build(random_networks.pfld(), device)
    for crops in (np.zeros((1, 96, 96, 3), np.uint8), np.zeros((1, 112, 112, 3), np.float32)):
        with pytest.raises(ContractError, match="crops"):
            run(crops)
        with pytest.raises(ContractError, match="images"):
            run.run(device.upload(crops))
    with pytest.raises(ContractError, match="images"):
        networks.build(random_networks.retinaface(), device)(np.zeros((4, 5, 3), np.uint8))


def test_both_stages_are_registered():
    for stage in ("face_network", "point_network"):
        assert registry().get(stage, "cupy").devices == ("cuda",)


# ---- single layers --------------------------------------------------------------------------------------------------


def layers_of(device, arrays, graph, maps):
    """What the layers of a graph make of maps (N, 3, H, W), on the device and in the reference."""
    weights = SimpleNamespace(tensors=tensors(arrays))
    parts = NetworkParts(lambda images, dtype: images.transpose(0, 3, 1, 2).astype(dtype), graph, list, ("x",), None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "parts_of", lambda _: parts)
        found = networks.Network(device, weights)(maps)
    return found, parts.graph(Layers(weights.tensors), parts.prepare(maps, np.float32))


@settings(max_examples=12, deadline=None)
@given(
    SEEDS, st.integers(1, 3), st.tuples(st.integers(7, 20), st.integers(7, 20)), st.integers(1, 70),
    st.sampled_from([1, 3, 5, 7]), st.integers(1, 3), st.tuples(st.integers(0, 3), st.integers(0, 3)),
)  # fmt: skip
def test_any_convolution_is_the_references(device, seed, count, size, units, kernel, stride, padding):
    rng = np.random.default_rng(seed)
    arrays = {
        "one.weight": rng.normal(0, 1, (units, 3, kernel, kernel)), "one.bias": rng.normal(0, 1, units),
        "each.weight": rng.normal(0, 0.01, (3, 1, kernel, kernel)), "slopes.weight": rng.normal(0, 1, units),
    }  # fmt: skip
    arrays = {name: values.astype(np.float32) for name, values in arrays.items()}

    def graph(net, maps):
        return [
            net.prelu(net.conv(maps, "one", stride, padding), "slopes"),
            net.sigmoid(net.conv(maps, "each", stride, padding)),
        ]

    for found, expected in zip(*layers_of(device, arrays, graph, pixels(count, *size, 3, seed=seed)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=LAYER * np.abs(expected).max())


def test_layers_in_an_order_that_no_network_has(device):
    """What is read twice, joined twice, added to itself, and asked for where it is part of something else."""
    rng = np.random.default_rng(3)
    arrays = {"a.weight": rng.normal(0, 0.5, (5, 3, 3, 3)), "b.weight": rng.normal(0, 0.5, (5, 5, 1, 1))}
    arrays |= {"n.weight": rng.normal(1, 0.1, 5), "n.bias": rng.normal(0, 1, 5), "n.running_mean": rng.normal(0, 1, 5)}
    arrays |= {"n.running_var": rng.uniform(1, 2, 5)}
    arrays = {name: values.astype(np.float32) for name, values in arrays.items()}

    def graph(net, maps):
        a = net.conv(maps, "a", 1, 1)
        b = net.conv(a, "b")
        active = net.relu(net.norm(a, "n"))
        twice = net.leaky_relu(net.join([a, b, b]), 0.5)
        halves = net.max_pool(active, 3, 2, 1)
        mask = net.above(net.channels(b, -1, None), 0.1)
        return [
            a, b, a + b, b + b, active, twice, net.join([twice, a * b]), active + net.nearest(halves, active),
            net.nearest(halves, maps), net.instance_norm(net.channels(a, 1, 3)), mask, net.channels(a, 0, 2) * mask,
            net.relu(net.instance_norm(b)), net.join([net.constant(np.arange(120.0).reshape(1, 2, 6, 10), maps), a]),
            net.relu(net.relu(a + b)),
        ]  # fmt: skip

    found, expected = layers_of(device, arrays, graph, pixels(2, 6, 10, 3))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=LAYER * np.abs(other).max())


def test_maps_that_are_too_small_are_refused(device):
    arrays = {"a.weight": np.ones((2, 3, 5, 5), np.float32)}
    with pytest.raises(ContractError, match="maps"):
        layers_of(device, arrays, lambda net, maps: [net.conv(maps, "a", 1, 1)], pixels(1, 2, 9, 3))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 2048), st.integers(1, 10_000_000))
def test_convolutions_are_cut_into_blocks_that_a_card_can_run(units, positions):
    blocks = network_kernels.cut(units, positions)
    assert 32 <= blocks.across * blocks.rows <= network_kernels.THREADS or blocks.across == network_kernels.FEWEST_ROW
    assert blocks.shared_bytes <= MOST_SHARED_BYTES
    down, across = blocks.grid(units, positions)
    assert down * blocks.across * network_kernels.POSITIONS >= positions
    assert across * blocks.rows * network_kernels.UNITS >= units
