"""Layers of networks compute what PyTorch computes."""

from __future__ import annotations

import numpy as np
import pytest

from auparity.errors import ContractError
from auparity.models.networks.published import tensors
from auparity.reference.networks import layers
from auparity.reference.networks.layers import Layers

RNG = np.random.default_rng(3)
#: Of the largest value; float32 outputs are rounded once from sums of at most 500 products in PyTorch's float64.
RELATIVE = 1e-6


def maps(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.fixture
def f():
    return pytest.importorskip("torch").nn.functional


def same(found, wanted):
    assert found.dtype == np.float32
    assert found.shape == tuple(wanted.shape)
    assert np.abs(found - wanted.numpy()).max() <= RELATIVE * max(float(wanted.abs().max()), 1e-30)


def wide(array):
    import torch

    return torch.from_numpy(np.ascontiguousarray(array)).double()


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(1, 1, 0), (3, 1, 1), (3, 2, 1), (7, 2, 3), (1, 2, 0), (5, 3, 0)]
)
@pytest.mark.parametrize("size", [(7, 9), (12, 8)])
def test_convolutions(f, kernel, stride, padding, size):
    x, weights, bias = maps(2, 4, *size), maps(5, 4, kernel, kernel), maps(5)
    wanted = f.conv2d(wide(x), wide(weights), wide(bias), stride, padding)
    same(layers.convolve(x, weights, bias, stride, padding), wanted)
    alone = maps(4, 1, kernel, kernel)
    wanted = f.conv2d(wide(x), wide(alone), None, stride, padding, groups=4)
    same(layers.depthwise(x, alone, None, stride, padding), wanted)


def test_memory_bounds_no_result(monkeypatch):
    x, weights = maps(2, 3, 9, 7), maps(4, 3, 3, 3)
    whole = layers.convolve(x, weights)
    monkeypatch.setattr(layers, "AT_ONCE", 1)
    assert np.array_equal(layers.convolve(x, weights), whole)


@pytest.mark.parametrize("convolve", [layers.convolve, layers.depthwise])
def test_maps_that_do_not_fit_the_kernel_are_refused(convolve):
    weights = maps(3, 1 if convolve is layers.depthwise else 3, 3, 3)
    for x in (maps(1, 2, 5, 5), maps(1, 3, 2, 5), maps(3, 5, 5)):
        with pytest.raises(ContractError, match="maps"):
            convolve(x, weights)


def test_norms_linear_layers_and_slopes(f):
    names = {f"n.{part}": maps(4) for part in ("weight", "bias", "running_mean")}
    names |= {"n.running_var": np.abs(maps(4)), "l.weight": maps(3, 4), "l.bias": maps(3), "p.weight": maps(4)}
    names["b.weight"] = names["l.weight"]
    net, x, values = Layers(tensors(names)), maps(2, 4, 3, 5), maps(2, 4)
    parts = [wide(names[f"n.{part}"]) for part in ("running_mean", "running_var", "weight", "bias")]
    found, wanted = net.norm(x, "n"), f.batch_norm(wide(x), *parts)
    # A factor and a summand are rounded, then a product and a sum: their parts may cancel.
    assert np.abs(found - wanted.numpy()).max() < 4e-6 * float(wanted.abs().max())
    same(net.linear(values, "l"), f.linear(wide(values), wide(names["l.weight"]), wide(names["l.bias"])))
    same(net.linear(values, "b"), f.linear(wide(values), wide(names["l.weight"])))
    same(net.prelu(x, "p"), f.prelu(wide(x), wide(names["p.weight"])))
    assert "l.bias" in net
    assert "b.bias" not in net


def test_pooling_resizing_and_functions(f):
    x = maps(2, 3, 9, 7)
    same(layers.max_pool(x, 2, 2), f.max_pool2d(wide(x), 2, 2))
    same(layers.max_pool(x - 9, 3, 2, 1), f.max_pool2d(wide(x - 9), 3, 2, 1))
    same(layers.mean_pool(x), wide(x).mean((2, 3)))
    for size in ((18, 14), (17, 13), (9, 7), (40, 41)):
        same(layers.nearest(x, size), f.interpolate(wide(x), size=size, mode="nearest"))
    same(layers.relu(x), wide(x).relu())
    same(layers.leaky_relu(x, 0.1), f.leaky_relu(wide(x), 0.1))
    same(layers.sigmoid(20 * x), (20 * wide(x)).sigmoid())
    same(layers.instance_norm(3 + x), f.instance_norm(3 + wide(x)))
    assert layers.instance_norm(np.ones((1, 1, 4, 4), np.float32)).tolist() == np.zeros((1, 1, 4, 4)).tolist()
