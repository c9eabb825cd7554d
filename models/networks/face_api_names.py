"""The weights of face-api's files under our names, with axes in PyTorch's order.

Files name a layer by its path (`dense1/conv2`) and what it holds: `filters` (H, W, inputs, outputs) of a convolution;
`depthwise_filter` (H, W, channels, 1) and `pointwise_filter` (1, 1, inputs, outputs) of a separable one, whose `bias`
is added after both; `weights` (inputs, outputs) of a fully connected layer.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from auparity.errors import ModelFormatError
from auparity.models.formats.named_arrays import ADVICE, NamedArrays

Array = npt.NDArray[Any]

#: A weight that every file of face-api's landmark networks has.
FIRST = "dense0/conv0/filters"
#: What a layer holds: our name for it, and the order that its axes have in ours.
PARTS = {
    "filters": ("weight", (3, 2, 0, 1)),
    "depthwise_filter": ("depthwise.weight", (2, 3, 0, 1)),
    "pointwise_filter": ("pointwise.weight", (3, 2, 0, 1)),
    "weights": ("weight", (1, 0)),
}


def from_tensorflow(found: NamedArrays) -> NamedArrays:
    """Weights of a file of face-api's; names and axes that none of its layers has stay as they are.

    Raises
    ------
    ModelFormatError : two weights would have the same name.
    """
    arrays: dict[str, Array] = {}
    for name, values in found.arrays.items():
        layer, _, part = name.rpartition("/")
        ours, axes = PARTS.get(part, (part, ()))
        if part == "bias" and f"{layer}/pointwise_filter" in found.arrays:
            ours = "pointwise.bias"
        if layer:
            name = f"{layer.replace('/', '.')}.{ours}"
        if name in arrays:
            raise ModelFormatError(
                found.file, None, "weights of different names", f"two of {ascii(name)[:100]}", ADVICE
            )
        arrays[name] = values.transpose(axes) if len(axes) == values.ndim else values
    return NamedArrays(found.file, found.sha256, arrays, found.remarks)
