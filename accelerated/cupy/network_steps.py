"""The layers of small networks as steps of one launch each, packed for a device (convnet.py): a product, and with it
the bias, activation and pooling that follow it. Weights stand input by input, the units of one beside each other,
as lanes read them; those of several networks of one form stand behind each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.conv_tiles import padded
from auparity.accelerated.cupy.device import Device
from auparity.errors import ContractError
from auparity.models.types import ConvNet, Convolution, FullyConnected, MaxPool, PReLU, ReLU, Sigmoid
from auparity.reference.convnet import STAGE

Array = npt.NDArray[Any]

#: Activations, as activation.cuh numbers them.
NOTHING, PRELU, RELU, SIGMOID = 0, 1, 2, 3


@dataclass(frozen=True, eq=False)
class Step:
    """A product with what follows it: bias, activation, pooling."""

    weights: Array  #: (inputs * taps, units)
    biases: Array  #: (units,)
    inputs: int  #: maps, or values of a fully connected layer
    kernel: tuple[int, int] | None  #: None for a fully connected layer
    activation: int = NOTHING
    slopes: Array = field(default_factory=lambda: np.zeros(0, np.float32))  #: (units,) of PReLU, else none
    pool: tuple[tuple[int, int], tuple[int, int]] | None = None  #: window and stride, y and x

    @property
    def form(self) -> tuple[Any, ...]:
        return self.weights.shape, self.inputs, self.kernel, self.activation, self.pool


def steps_of(net: ConvNet) -> list[Step]:
    """Layers in groups of one product each.

    Raises
    ------
    ContractError : an order that these networks do not have (pooling or activation without a product before).
    """
    steps: list[Step] = []
    for layer in net.layers:
        if isinstance(layer, Convolution):
            units, inputs, height, width = layer.weights.shape
            weights = np.asarray(layer.weights, np.float32).reshape(units, -1).T
            steps.append(Step(weights, np.asarray(layer.bias, np.float32).ravel(), inputs, (height, width)))
        elif isinstance(layer, FullyConnected):
            weights = np.asarray(layer.weights, np.float32)
            steps.append(Step(weights, np.asarray(layer.bias, np.float32).ravel(), len(weights), None))
        elif not steps or steps[-1].pool is not None:
            raise ContractError(STAGE, "net", "a convolution or a fully connected layer first", type(layer).__name__)
        elif isinstance(layer, MaxPool):
            steps[-1] = replace(steps[-1], pool=(layer.kernel[::-1], layer.stride[::-1]))
        elif steps[-1].activation != NOTHING:
            raise ContractError(STAGE, "net", "one activation a layer", type(layer).__name__)
        elif isinstance(layer, PReLU):
            slopes = np.asarray(layer.slopes, np.float32).ravel()
            if len(slopes) != len(steps[-1].biases):
                expected = f"{len(steps[-1].biases)} slopes, one for each map"
                raise ContractError(STAGE, "net", expected, f"{len(slopes)}")
            steps[-1] = replace(steps[-1], activation=PRELU, slopes=slopes)
        else:
            assert isinstance(layer, ReLU | Sigmoid)
            steps[-1] = replace(steps[-1], activation=RELU if isinstance(layer, ReLU) else SIGMOID)
    return steps


@dataclass(frozen=True, eq=False)
class Packed:
    """A step of all networks on the device."""

    weights: Any  #: (networks, inputs * taps, padded)
    biases: Any  #: (networks, units)
    slopes: Any  #: (networks, units)
    step: Step  #: of the first network
    units: int
    padded: int


def pack(device: Device, steps: Sequence[Step]) -> Packed:
    first = steps[0]
    depth, units = first.weights.shape
    width = padded(units)
    weights = np.zeros((len(steps), depth, width), np.float32)
    for k, step in enumerate(steps):
        weights[k, :, :units] = step.weights
    biases = np.stack([step.biases for step in steps])
    slopes = np.stack([step.slopes for step in steps]) if first.activation == PRELU else np.zeros_like(biases)
    up = device.upload
    return Packed(up(weights), up(biases), up(slopes), first, units, width)
