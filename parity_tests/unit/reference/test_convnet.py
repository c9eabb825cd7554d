"""The layers of the detector's and the validator's networks, against brute force and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate

from auparity.errors import ContractError
from auparity.models.types import ConvNet, Convolution, FullyConnected, MaxPool, PReLU, ReLU, Sigmoid
from auparity.reference import convnet

RNG = np.random.default_rng(20)


def random_maps(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(0, 6), st.integers(0, 6))
def test_convolution_is_cross_correlation_without_flip(n, inputs, kernel_h, kernel_w, extra_h, extra_w):
    maps = random_maps(n, inputs, kernel_h + extra_h, kernel_w + extra_w)
    weights, bias = random_maps(2, inputs, kernel_h, kernel_w), random_maps(2)
    got = convnet.convolve(maps, weights, bias)
    for i in range(n):
        for b in range(2):
            planes = [correlate(maps[i, a].astype(float), weights[b, a].astype(float), "valid") for a in range(inputs)]
            # float32 sums of at most 64 products of size 1
            np.testing.assert_allclose(got[i, b], sum(planes) + bias[b], atol=2e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 14), st.integers(1, 14), st.integers(1, 3), st.integers(1, 3))
def test_max_pooling_clips_its_last_window(height, width, kernel, stride):
    stride = min(stride, kernel)
    rows, columns = convnet.pooled_length(height, kernel, stride), convnet.pooled_length(width, kernel, stride)
    maps = random_maps(2, 2, height, width)
    if min(rows, columns) < 1:
        with pytest.raises(ContractError):
            convnet.max_pool(maps, (kernel, kernel), (stride, stride))
        return
    got = convnet.max_pool(maps, (kernel, kernel), (stride, stride))
    assert got.shape == (2, 2, rows, columns)
    for y in range(rows):
        for x in range(columns):
            top, left = y * stride, x * stride
            window = maps[:, :, top : min(top + kernel, height), left : min(left + kernel, width)]
            np.testing.assert_array_equal(got[:, :, y, x], window.max(axis=(2, 3)))


@pytest.mark.parametrize(
    ("length", "kernel", "stride", "pooled"),
    [
        (22, 3, 2, 11),  # R-Net, 9.5 rounds up
        (9, 3, 2, 4),
        (46, 3, 2, 23),  # O-Net
        (21, 3, 2, 10),
        (8, 2, 2, 4),
        (10, 2, 2, 5),  # P-Net at its smallest
        (11, 2, 2, 6),  # 4.5 rounds away from zero: a partial window
        (56, 2, 2, 28),  # validator, 60 - 5 + 1
        (1, 2, 2, 0),
    ],
)
def test_pooled_sizes_are_those_of_the_shipped_networks(length, kernel, stride, pooled):
    assert convnet.pooled_length(length, kernel, stride) == pooled


def test_a_pool_that_steps_beyond_the_border_is_rejected():
    with pytest.raises(ContractError, match="inside the maps"):
        convnet.max_pool(random_maps(1, 1, 2, 2), (1, 1), (2, 2))


def test_a_rectangular_pool_takes_x_first():
    maps = random_maps(1, 1, 4, 6)
    assert convnet.max_pool(maps, (3, 2), (3, 2)).shape == (1, 1, 2, 2)


def test_fully_connected_flattens_maps_column_major():
    maps = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)
    picks_second = np.zeros((12, 1), np.float32)
    picks_second[1] = 1  # index = map * (H * W) + x * H + y: the value at y = 1, x = 0
    got = convnet.fully_connected(maps, picks_second, np.array([0.5], np.float32))
    assert got.tolist() == [[maps[0, 0, 1, 0] + 0.5]]


def test_fully_connected_on_as_many_inputs_as_maps_works_per_pixel():
    maps, weights, bias = random_maps(2, 3, 4, 5), random_maps(3, 6), random_maps(6)
    expected = np.einsum("ncyx,co->noyx", maps, weights) + bias[:, None, None]
    np.testing.assert_allclose(convnet.fully_connected(maps, weights, bias), expected, atol=1e-6)


def test_activations_follow_their_definitions():
    maps = np.array([-2.0, -0.0, 3.0], np.float32).reshape(1, 1, 1, 3)
    run = lambda layer: convnet.apply_layer(layer, maps).ravel()  # noqa: E731
    np.testing.assert_array_equal(run(ReLU()), [0, 0, 3])
    np.testing.assert_array_equal(run(PReLU(np.array([0.25], np.float32))), [-0.5, 0, 3])
    np.testing.assert_allclose(run(Sigmoid()), 1 / (1 + np.exp([2.0, 0.0, -3.0])), rtol=1e-6)


def test_prelu_has_a_slope_for_every_element_after_a_fully_connected_layer():
    values = np.array([[-1.0, -1.0], [2.0, -2.0]], np.float32)
    got = convnet.prelu(values, np.array([0.5, 0.25], np.float32))
    np.testing.assert_array_equal(got, [[-0.5, -0.25], [2.0, -0.5]])


def small_net() -> ConvNet:
    return ConvNet(
        (
            Convolution(random_maps(4, 3, 3, 3), random_maps(4)),
            PReLU(random_maps(4)),
            MaxPool((2, 2), (2, 2)),
            FullyConnected(random_maps(4 * 5 * 5, 6), random_maps(6)),
        )
    )


def test_a_batch_gives_what_its_items_give_alone():
    net, maps = small_net(), random_maps(3, 3, 12, 12)
    together = convnet.forward(net, maps)
    alone = np.concatenate([convnet.forward(net, maps[i : i + 1]) for i in range(3)])
    assert together.shape == (3, 6)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, alone, atol=1e-4)  # BLAS may order sums by the number of rows


def test_double_precision_differs_from_single_by_rounding_only():
    net, maps = small_net(), random_maps(2, 3, 12, 12)
    double = convnet.forward(net, maps, np.float64)
    assert double.dtype == np.float64
    np.testing.assert_allclose(convnet.forward(net, maps), double, atol=2e-4)  # sums of 100 products of size 10


@pytest.mark.parametrize("shape", [(1, 2, 12, 12), (1, 3, 2, 12), (3, 12, 12)])
def test_maps_that_do_not_fit_the_network_are_rejected(shape):
    with pytest.raises(ContractError, match="convnet"):
        convnet.forward(small_net(), random_maps(*shape))


def test_a_fully_connected_layer_rejects_another_number_of_inputs():
    with pytest.raises(ContractError, match="100 values"):
        convnet.forward(small_net(), random_maps(1, 3, 14, 14))


def test_not_a_number_is_rejected():
    maps = random_maps(1, 3, 12, 12)
    maps[0, 0, 0, 0] = np.nan
    with pytest.raises(ContractError, match="NaN"):
        convnet.forward(small_net(), maps)
