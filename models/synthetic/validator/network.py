"""The small networks of the landmark validator (spec 10.10): their layers, inputs, and mirror images.

Four networks are trained, for heads that look ahead and to the left; those for heads that look to the right are the
same networks turned left to right. Frames (N, 1, 60, 60) in, scores of 20 bins (N, 20) out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.warps import MIRROR_VIEW, SIDE, VIEWS, mirrored_warp, piecewise_warp
from auparity.models.types import (
    PDM,
    ConvNet,
    Convolution,
    FullyConnected,
    MaxPool,
    PiecewiseWarp,
    ReLU,
    Validator,
    ValidatorView,
)

Array = npt.NDArray[Any]

BINS = 20
#: Maps of the three convolutions and numbers of the hidden layer; all views together have 167,000 numbers.
MAPS, HIDDEN = (10, 16, 20), 32
KERNELS = (5, 5, 3)
FLAT_SIDE = 5  #: side of the maps before the fully connected layers: 60 -> 56, 28 -> 24, 12 -> 10, 5
PARAMETERS = ("conv1", "conv2", "conv3", "hidden", "output")


def frames_of(pixels: Array, mean: Array, deviation: Array, warp: PiecewiseWarp) -> Array:
    """(N, 1, 60, 60) float32 inputs of the network from mask pixels (N, P)."""
    frames = np.zeros((len(pixels), SIDE, SIDE), np.float32)
    columns, rows = np.nonzero(warp.mask.T)
    frames[:, rows, columns] = (pixels.astype(np.float32) - mean) / deviation
    return frames[:, None]


def trainable_network(torch: Any) -> Any:
    """The layers of a view; flattening is map-major and column-major inside a map (spec 10.5)."""
    nn = torch.nn

    class ColumnMajor(nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, maps: Any) -> Any:
            return maps.transpose(2, 3).flatten(1)

    layers: list[Any] = []
    for inputs, maps, side in zip((1, *MAPS[:-1]), MAPS, KERNELS, strict=True):
        layers += [nn.Conv2d(inputs, maps, side), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [ColumnMajor(), nn.Linear(MAPS[-1] * FLAT_SIDE**2, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, BINS)]
    # Maps stored channels last train a third faster on a CPU.
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def convnet_from(arrays: dict[str, Array]) -> ConvNet:
    """The layers of a stored network; fully connected weights are stored as (n_out, n_in)."""
    weights, biases = (
        [np.asarray(arrays[f"{name}_{what}"], np.float32) for name in PARAMETERS] for what in ("weight", "bias")
    )
    pool = MaxPool((2, 2), (2, 2))
    layers: list[Any] = []
    for weight, bias in zip(weights[:3], biases[:3], strict=True):
        layers += [Convolution(weight, bias), ReLU(), pool]
    hidden, output = (
        FullyConnected(np.ascontiguousarray(w.T), b) for w, b in zip(weights[3:], biases[3:], strict=True)
    )
    return ConvNet((*layers, hidden, ReLU(), output))


def mirrored_network(net: ConvNet) -> ConvNet:
    """The network that gives for a mirrored picture the output of `net` for the picture itself.

    Kernels are turned left to right; the frame has an even number of columns before each pooling, so maps are mirrored
    exactly, and the first fully connected layer takes their columns in the other order.
    """
    layers: list[Any] = []
    flat_seen = False
    for layer in net.layers:
        if isinstance(layer, Convolution):
            layers.append(Convolution(np.ascontiguousarray(layer.weights[..., ::-1]), layer.bias))
        elif isinstance(layer, FullyConnected) and not flat_seen:
            flat_seen = True
            by_column = layer.weights.reshape(-1, FLAT_SIDE, FLAT_SIDE, layer.weights.shape[1])
            layers.append(
                FullyConnected(np.ascontiguousarray(by_column[:, ::-1].reshape(layer.weights.shape)), layer.bias)
            )
        else:
            layers.append(layer)
    return ConvNet(tuple(layers))


def mirrored_view(view: ValidatorView) -> ValidatorView:
    """The validator of the mirrored head."""
    warp = mirrored_warp(view.warp)

    def mirror(values: Array) -> Array:
        frame = np.zeros((SIDE, SIDE))
        frame.T[np.nonzero(view.warp.mask.T)] = values
        return frame[:, ::-1].T[np.nonzero(warp.mask.T)]

    return ValidatorView(mirror(view.mean), mirror(view.std), mirrored_network(view.net), warp)


def build_validator(pdm: PDM, networks: list[dict[str, Array]]) -> Validator:
    """The validator of four stored networks and the PDM that they were trained with."""
    left = []
    for degrees, arrays in zip(VIEWS, networks, strict=False):
        mean, deviation = (np.asarray(arrays[name], np.float64) for name in ("mean", "deviation"))
        left.append(ValidatorView(mean, deviation, convnet_from(arrays), piecewise_warp(pdm, degrees)))
    views = [left[v] if v < 4 else mirrored_view(left[MIRROR_VIEW[v]]) for v in range(len(VIEWS))]
    centres = np.zeros((len(VIEWS), 3))
    centres[:, 1] = VIEWS
    return Validator(centres, tuple(views))
