"""Each layer that STAR adds to the networks of Numba's kernels, by itself, against the reference's layers."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

from auparity.accelerated.numba.network_plan import Convolutions, plan_of
from auparity.accelerated.numba.network_program import Program
from auparity.accelerated.numba.network_steps import run
from auparity.accelerated.numba.network_weights import PackedWeights, in_line
from auparity.conversion.networks.folding import fold
from auparity.errors import ContractError
from auparity.models.networks.published import tensors
from auparity.parity_tests.unit.helpers import random_networks
from auparity.reference.networks.layers import Layers

#: Of the largest value: sums of up to 600 products in another order.
TOLERANCE = 2e-6
#: Around a register tile, a vector's neighbours, and a whole STAR map's row.
SIZES = ((1, 1), (3, 5), (8, 8), (13, 20), (16, 64))


class Case:
    """A network of a few layers, of an image (3, H, W), with weights of given shapes."""

    def __init__(self, graph, size, **shapes):
        named = {name.replace("__", "."): shape for name, shape in shapes.items()}
        self.weights = tensors({name: random_networks.values(name, shape) for name, shape in named.items()})
        self.graph, self.size = graph, size
        self.image = np.random.default_rng(3).integers(0, 9, (*size, 3), np.uint8)
        self.folded = fold(self.weights, graph)

    def plan(self):
        return plan_of(self.folded, self.graph)

    def computed(self):
        plan = self.plan()
        weights = PackedWeights(plan, lambda values: values)
        program = Program(plan, weights, *self.size)
        arena = in_line(program.size)
        arena[program.panels[:, 2].min() :] = np.nan  # nothing but the rim of the image is zero before
        means = np.zeros(3 * self.size[1], np.float32)
        run(self.image, means, program.steps, program.panels, weights.values, arena)
        return [maps.of(arena, first, channels).transpose(2, 0, 1) for maps, first, channels in program.outputs]

    def equals_the_reference(self):
        maps = self.image.transpose(2, 0, 1)[None].astype(np.float32)
        expected = [maps[0] for maps in self.graph(Layers(self.weights), maps)]
        found = self.computed()
        assert [each.shape for each in found] == [each.shape for each in expected]
        for each, wanted in zip(found, expected, strict=True):
            np.testing.assert_allclose(each, wanted, rtol=0, atol=TOLERANCE * np.abs(wanted).max())


def norm(name, channels):
    return {f"{name}__{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}


def conv(name, units, depth, kernel=1):
    return {f"{name}__weight": (units, depth, kernel, kernel), f"{name}__bias": (units,)}


def test_rows_of_any_length_are_covered_by_tiles_of_all_widths():
    def graph(net, image):
        maps = net.conv(image, "first")
        return [maps + net.conv(maps, "one"), net.conv(maps, "window", padding=1, stride=2)]

    shapes = {**conv("first", 48, 3), **conv("one", 48, 48), **conv("window", 40, 48, 3)}  # a panel of one vector, too
    for width in range(1, 54):
        Case(graph, (1, width), **shapes).equals_the_reference()


@pytest.mark.parametrize("size", SIZES)
def test_a_norm_before_a_convolution_and_the_sum_around_both(size):
    def graph(net, image):
        maps = net.conv(image, "first")
        inside = net.conv(net.relu(net.norm(maps, "bn")), "one")
        return [inside + maps]

    case = Case(graph, size, **conv("first", 20, 3), **norm("bn", 20), **conv("one", 20, 20))
    case.equals_the_reference()
    last = case.plan().steps[-1]
    assert last.depthwise.kind == "depthwise"  # no step of its own
    assert last.products[0].around is last.source


def test_a_norm_that_is_an_output_or_before_a_window_is_a_step():
    def graph(net, image):
        maps = net.conv(image, "first")
        return [net.conv(net.relu(net.norm(maps, "bn")), "one", padding=1), net.norm(maps, "other")]

    shapes = {**conv("first", 35, 3), **norm("bn", 35), **norm("other", 35), **conv("one", 18, 35, 3)}
    Case(graph, (9, 14), **shapes).equals_the_reference()


@pytest.mark.parametrize("size", SIZES[1:])
def test_heat_maps_point_maps_and_their_product(size):
    def graph(net, image):
        maps = net.conv(image, "first")
        heat = net.relu(net.instance_norm(net.conv(maps, "heat")))
        points = net.sigmoid(net.conv(maps, "points"))
        return [points * heat, net.instance_norm(maps)]

    Case(graph, size, **conv("first", 20, 3), **conv("heat", 29, 20), **conv("points", 29, 20)).equals_the_reference()


def test_sigmoids_of_all_numbers_are_exact_to_the_last_bits():
    def graph(net, image):
        return [net.sigmoid(net.conv(image, "first"))]

    case = Case(graph, (2, 1), **conv("first", 64, 3))
    arrays = case.folded.arrays
    values = np.concatenate([np.linspace(-100, 100, 58), [-1e4, 1e4, 1e-8, -87.5, 87.5, 0]])
    arrays["first.weight"], arrays["first.bias"] = np.zeros((64, 3, 1, 1), np.float32), values.astype(np.float32)
    (found,) = case.computed()
    wanted = 1 / (1 + np.exp(-np.clip(arrays["first.bias"].astype(np.float64), -700, 700)))
    np.testing.assert_allclose(found[:, 0, 0], wanted, rtol=4e-7, atol=2e-38)


@pytest.mark.parametrize("size", [(2, 2), (6, 10), (16, 64), (11, 7)])
def test_maps_of_half_the_size_and_back(size):
    def graph(net, image):
        maps = net.conv(image, "first")
        return [maps + net.nearest(net.max_pool(maps, 2, 2), maps)]

    Case(graph, size, **conv("first", 40, 3)).equals_the_reference()


def coordinates(net, like, height, width):
    return net.constant(np.random.default_rng(8).standard_normal((1, 3, height, width)), like)


def test_constants_beside_an_image_are_maps_that_are_added():
    def graph(net, image):
        joined = net.join([image, coordinates(net, image, 30, 22)])
        return [net.relu(net.conv(joined, "first", 2, 3))]

    case = Case(graph, (30, 22), **conv("first", 24, 6, 7))
    case.equals_the_reference()
    assert [getattr(step, "kind", "conv") for step in case.plan().steps] == ["constant", "conv"]


@pytest.mark.parametrize("channels", [8, 16, 35])
@pytest.mark.parametrize("kernel", [1, 3])
def test_constants_beside_maps_some_of_them_where_the_last_map_is_large(channels, kernel):
    def graph(net, image):
        maps = net.conv(image, "first")
        other = net.conv(net.sigmoid(maps), "other")
        told = coordinates(net, maps, 12, 17)
        mask = net.above(net.channels(other, -1, None), 0.05)
        told = net.join([told, net.channels(told, 0, 2) * mask])
        return [net.conv(net.join([maps, told]), "last", padding=kernel // 2)]

    shapes = {**conv("first", channels, 3), **conv("other", 18, channels), **conv("last", 20, channels + 5, kernel)}
    Case(graph, (12, 17), **shapes).equals_the_reference()


def test_sums_of_several_convolutions_are_one():
    def graph(net, image):
        maps = net.conv(image, "first")
        one, two, three = net.sigmoid(maps), net.instance_norm(maps), net.max_pool(maps, 1, 1)
        total = maps
        for name, of in (("one", one), ("two", two), ("three", three)):
            total = total + net.conv(of, name)
        return [net.relu(total)]

    shapes = {**conv("first", 20, 3), **conv("one", 20, 20), **conv("two", 20, 20), **conv("three", 20, 20)}
    case = Case(graph, (7, 9), **shapes)
    case.equals_the_reference()
    convolutions = [step for step in case.plan().steps if isinstance(step, Convolutions)]
    assert len(convolutions) == 2
    assert convolutions[1].source.room == 96  # three times twenty channels and twelve that fill a vector up


def test_a_sum_that_something_else_reads_stays():
    def graph(net, image):
        maps = net.conv(image, "first")
        between = maps + net.conv(net.sigmoid(maps), "one")
        return [between + net.conv(net.sigmoid(between), "two")]

    shapes = {**conv("first", 20, 3), **conv("one", 20, 20), **conv("two", 20, 20)}
    Case(graph, (7, 9), **shapes).equals_the_reference()


@pytest.mark.parametrize(
    ("graph", "wanted"),
    [
        (lambda net, maps: net.join([net.sigmoid(maps), net.instance_norm(maps)]), "multiples of 16"),
        (lambda net, maps: net.channels(maps, 0, 3), "channels by itself"),
        (lambda net, maps: net.above(maps, 0.5), "above by itself"),
        (lambda net, maps: maps + net.relu(maps), "active by itself"),
        (lambda net, maps: coordinates(net, maps, 5, 5) * net.above(net.channels(maps, 0, 1), 0), "another mask"),
        (lambda net, maps: maps * net.max_pool(net.conv(maps, "less"), 1, 1), "20 channels"),
        (lambda net, maps: maps * net.max_pool(maps, 2, 2), "one size"),
        (
            lambda net, maps: net.conv(net.join([maps, maps]), "last"),
            "joined once",
        ),
    ],
)
def test_combinations_without_a_step_are_refused(graph, wanted):
    shapes = {**conv("first", 20, 3), **conv("less", 4, 20), **conv("last", 4, 40)}
    case = Case(lambda net, image: [graph(net, net.conv(image, "first"))], (5, 5), **shapes)
    with pytest.raises(ContractError, match=wanted):
        case.computed()
