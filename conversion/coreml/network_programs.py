"""Network detectors and landmarkers as Core ML ML Programs: their layers (reference/networks) one after another.

Sizes and batch are fixed, so that every shape is known to Core ML when it compiles; with unknown ones it takes a
network in pieces (spec 95.9). Priors, decoding and centres of mass stay with the caller, and so do all sums of float16
that would reach its end. The saved programs are interpreted (conversion/mil/interpreter.py) and compared with the
reference; no Mac has run them yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.conversion.coreml.builder import STAGE, Precision, builder, convert, f32
from auparity.conversion.networks.folding import FoldedWeights, fold
from auparity.conversion.networks.graph_layers import GraphLayers, GraphMaps
from auparity.errors import ContractError
from auparity.reference.networks.layers import NORM_EPSILON, Padding, sides
from auparity.reference.networks.parts import Network, parts_of

Array = npt.NDArray[Any]

#: Types of operations that stay float32 in a FLOAT16 package: variances of maps, whose sums of squares need the digits.
FULL_PRECISION = ("instance_norm",)
#: Passes of coremltools that are left out: it would make a batch norm of variance 1 of a product and a sum, and add its
#: epsilon of 1e-5 to the variance, which changes every norm by 5e-6 of its values.
WITHOUT = ("common::fuse_elementwise_to_batchnorm",)


class MilLayers(GraphLayers):
    """The layers of one network as operations of a program; values are the builder's variables."""

    def __init__(self, weights: FoldedWeights) -> None:
        super().__init__(weights)
        self._mb = builder()

    def _apply(self, operation: str, maps: GraphMaps, channels: int | None = None, **parameters: Any) -> GraphMaps:
        """An operation of maps, as parameter x, and of constants."""
        value = getattr(self._mb, operation)(x=self.written(maps), **parameters)
        return GraphMaps(self, value, maps.channels if channels is None else channels)

    def _stored(self, values: Array) -> Any:
        return self._mb.const(val=f32(values))

    def _concatenated(self, values: Sequence[Any]) -> Any:
        return self._mb.concat(values=list(values), axis=1)

    def add(self, first: GraphMaps, second: GraphMaps) -> GraphMaps:
        return self._apply("add", first, y=self.written(second))

    def multiply(self, first: GraphMaps, second: GraphMaps) -> GraphMaps:
        return self._apply("mul", first, y=self.written(second))

    def _convolved(
        self, maps: GraphMaps, weight: Array, bias: Array | None, stride: int, padding: Padding, groups: int
    ) -> GraphMaps:  # fmt: skip
        more = {} if bias is None else {"bias": f32(bias)}
        return self._apply(
            "conv", maps, len(weight), weight=f32(weight), strides=[stride, stride], pad_type="custom",
            pad=[*sides(padding)] * 2, groups=groups, **more,
        )  # fmt: skip

    def _scaled(self, maps: GraphMaps, factor: Array, summand: Array) -> GraphMaps:
        factor, summand = (f32(values)[None, :, None, None] for values in (factor, summand))
        return self._apply("add", self._apply("mul", maps, y=factor), y=summand)

    def _sliced(self, maps: GraphMaps, first: int, last: int) -> GraphMaps:
        others = [True, False, True, True]
        return self._apply(
            "slice_by_index", maps, last - first, begin=[0, first, 0, 0], end=[0, last, 0, 0], begin_mask=others,
            end_mask=others,
        )  # fmt: skip

    def linear(self, values: GraphMaps, name: str) -> GraphMaps:
        weight, bias = self.weight_and_bias(name)
        more = {} if bias is None else {"bias": f32(bias)}
        return self._apply("linear", values, len(weight), weight=f32(weight), **more)

    def prelu(self, maps: GraphMaps, name: str) -> GraphMaps:
        return self._apply("prelu", maps, alpha=f32(self.weights.arrays[f"{name}.weight"]))

    def relu(self, maps: GraphMaps) -> GraphMaps:
        return self._apply("relu", maps)

    def leaky_relu(self, maps: GraphMaps, slope: float) -> GraphMaps:
        return self._apply("leaky_relu", maps, alpha=np.float32(slope))

    def sigmoid(self, maps: GraphMaps) -> GraphMaps:
        return self._apply("sigmoid", maps)

    def max_pool(self, maps: GraphMaps, kernel: int, stride: int, padding: int = 0) -> GraphMaps:
        return self._apply(
            "max_pool", maps, kernel_sizes=[kernel, kernel], strides=[stride, stride], pad_type="custom",
            pad=[padding] * 4,
        )  # fmt: skip

    def mean_pool(self, maps: GraphMaps) -> GraphMaps:
        return self._apply("reduce_mean", maps, axes=[2, 3], keep_dims=False)

    def nearest(self, maps: GraphMaps, like: GraphMaps) -> GraphMaps:
        """Every value twice in both directions, without the last row or column where the larger size is odd.

        Row i of h is row floor(i ceil(h / 2) / h) of ceil(h / 2), which is floor(i / 2). Core ML's own resizing by a
        fraction is not defined to the last bit, this is.
        """
        old, new = self.written(maps).shape[2:], self.written(like).shape[2:]
        if any((length + 1) // 2 != half for length, half in zip(new, old, strict=True)):
            raise ContractError(STAGE, "maps", f"half of {tuple(new)}, rounded up", f"{tuple(old)}")
        twice = self._apply("upsample_nearest_neighbor", maps, scale_factor_height=2, scale_factor_width=2)
        if tuple(twice.value.shape[2:]) == tuple(new):
            return twice
        whole = [True, True, False, False]
        return self._apply(
            "slice_by_index", twice, begin=[0, 0, 0, 0], end=[0, 0, *new], begin_mask=whole, end_mask=whole
        )

    def instance_norm(self, maps: GraphMaps) -> GraphMaps:
        ones = np.ones(maps.channels, np.float32)
        return self._apply("instance_norm", maps, gamma=ones, beta=0 * ones, epsilon=np.float32(NORM_EPSILON))

    def above(self, maps: GraphMaps, threshold: float) -> GraphMaps:
        return self._apply("cast", self._apply("greater", maps, y=np.float32(threshold)), dtype="fp32")

    def flat(self, maps: GraphMaps) -> GraphMaps:
        return self._apply("squeeze", maps, axes=[2, 3])


def network_program(
    weights: Network, name: str, metadata: dict[str, str], *, size: tuple[int, int] | None = None, batch: int = 1,
    precision: Precision = "FLOAT32",
) -> Any:  # fmt: skip
    """The layers of a network: maps (batch, 3, H, W) to the outputs that its `NetworkParts` name, all sizes fixed.

    Parameters
    ----------
    size : (H, W) of images, for a network that takes any size; those of crops have their own.
    batch : number of images or crops.

    Raises
    ------
    ContractError : no size, or another one than that of the network's crops.
    VariantUnavailable : coremltools is not installed.
    """
    parts = parts_of(weights)
    own = None if parts.side is None else (parts.side, parts.side)
    height_and_width = size or own
    if height_and_width is None or own not in (None, height_and_width):
        expected = "the height and width of the images" if own is None else f"{own}, of the network's crops, or None"
        raise ContractError(STAGE, "size", expected, f"{size}")
    layers, mb = MilLayers(fold(weights.tensors, parts.graph)), builder()

    def build(maps: Any) -> Any:
        outputs = parts.graph(layers, GraphMaps(layers, maps, 3))
        named = zip(outputs, parts.outputs, strict=True)
        results = tuple(mb.identity(x=layers.written(output), name=label) for output, label in named)
        return results if len(results) > 1 else results[0]

    inputs = {"maps": (batch, 3, *height_and_width)}
    return convert(build, inputs, name, metadata, precision, full_precision=FULL_PRECISION, without=WITHOUT)
