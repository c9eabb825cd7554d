"""Weights whose batch norms an exporter has folded into the convolutions before them.

The folded bias becomes a norm that does nothing else (mean 0, variance 1 less what a norm adds to it), so that the same
names, shapes and code serve both. Exporters keep no names for folded weights, only numbers: PyTorch's follow the order
in which layers are used, those of ONNX Runtime's fusion the order of the state dict. That is trusted here, every shape
is checked, and what the network then computes is compared with recorded outputs (parity_tests/golden/test_networks.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from auparity.errors import ModelFormatError
from auparity.models.formats.named_arrays import ADVICE, NamedArrays
from auparity.models.networks.shapes import HEADS, Shapes

Array = npt.NDArray[Any]

NORM_EPSILON = 1e-5
#: Numbers that exporters give to weights, in the order of the graph: PyTorch's own, and ONNX Runtime's fusion.
NUMBERED = re.compile(r"(?:onnx::Conv_|ConvBnFusion_(?:W|BN_B)_)?(\d+)(?:_\d+)?\Z")
#: Heads of RetinaFace under other names: "class_head.class_head.0.weight".
OTHER_HEAD = re.compile(r"(class|bbox|landmark)_head\.\1_head\.(\d)\.(weight|bias)\Z")

#: Layers of a state dict whose order is not that of use: the coarse levels are merged before the fine ones.
USED_BEFORE = {"fpn.merge1.0": "fpn.merge2.0", "fpn.merge2.0": "fpn.merge1.0"}
#: Exporters store the scales of the pyramid's two resizes after the weights.
SCALES = (4,)


def is_folded_retinaface(found: NamedArrays) -> bool:
    """Whether these are the numbered weights of a RetinaFace: convolutions with biases, and no norm by name."""
    numbered = [name for name in found.arrays if NUMBERED.match(name)]
    return len(numbered) > len(found.arrays) // 2 and any("Conv" in name for name in numbered)


def unfold_retinaface(found: NamedArrays, shapes: Shapes) -> NamedArrays:
    """Numbered weights of RetinaFace under the names of `shapes`."""
    numbered = [
        (int(match[1]), values)
        for name, values in found.arrays.items()
        if (match := NUMBERED.match(name)) and values.dtype.kind == "f"
    ]
    ordered = iter([values for _, values in sorted(numbered, key=lambda pair: pair[0])])
    named = {_head(name): values for name, values in found.arrays.items() if OTHER_HEAD.match(name)}
    arrays: dict[str, Array] = {}
    layers = _convolutions(shapes)
    if any(name.startswith("onnx::Conv_") for name in found.arrays):
        layers = [USED_BEFORE.get(layer, layer) for layer in layers]
    for layer in layers:
        if f"{layer}.weight" in named:
            arrays |= {name: named[name] for name in (f"{layer}.weight", f"{layer}.bias") if name in named}
            continue
        weight, bias = _next(ordered, found), _next(ordered, found)
        arrays[f"{layer}.weight"] = weight
        if f"{layer}.bias" in shapes:
            arrays[f"{layer}.bias"] = bias
        else:
            stem, _, index = layer.rpartition(".")
            arrays |= _norm(f"{stem}.{int(index) + 1}", bias)
    _end((values for values in ordered if values.shape != SCALES), found)
    return NamedArrays(found.file, found.sha256, arrays)


def unfold_mobilefacenet(found: NamedArrays, shapes: Shapes) -> NamedArrays:
    """The constants of MobileFaceNet's OpenVINO model under the names of `shapes`."""
    ordered = iter([values for values in found.arrays.values() if values.dtype.kind == "f"])
    arrays: dict[str, Array] = {}
    for layer in _convolutions(shapes):
        arrays[f"{layer}.weight"] = _shaped(_next(ordered, found), shapes[f"{layer}.weight"], found)
        norm, slopes = layer.removesuffix(".conv") + ".bn", layer.removesuffix("conv") + "prelu.weight"
        if layer == "output_layer.linear":
            factor = _next(ordered, found).ravel()
            arrays |= _norm("output_layer.bn", _next(ordered, found).ravel(), factor)
            continue
        arrays |= _norm(norm, _next(ordered, found).ravel())
        if slopes in shapes:
            arrays[slopes] = _next(ordered, found).ravel()
    _end(ordered, found)
    return NamedArrays(found.file, found.sha256, arrays)


def _convolutions(shapes: Shapes) -> list[str]:
    """Names of the layers with weights of several axes, in order."""
    return [name.removesuffix(".weight") for name, shape in shapes.items() if len(shape) > 1]


def _head(name: str) -> str:
    match = OTHER_HEAD.match(name)
    assert match is not None
    heads = {head.removesuffix("Head").lower(): head for head in HEADS}
    return f"{heads[match[1]]}.{match[2]}.conv1x1.{match[3]}"


def _norm(name: str, bias: Array, factor: Array | None = None) -> dict[str, Array]:
    """A norm that adds a bias, after a factor."""
    ones = np.ones(bias.shape, np.float32)
    return {
        f"{name}.weight": ones if factor is None else factor,
        f"{name}.bias": bias,
        f"{name}.running_mean": np.zeros(bias.shape, np.float32),
        f"{name}.running_var": ones - np.float32(NORM_EPSILON),
    }


def _shaped(values: Array, shape: tuple[int, ...], found: NamedArrays) -> Array:
    """Values of other axes of length 1 as they have in PyTorch."""
    if [n for n in values.shape if n > 1] != [n for n in shape if n > 1]:
        _fail(found, f"weights of {shape}", f"{values.shape}")
    return values.reshape(shape)


def _next(ordered: Iterator[Array], found: NamedArrays) -> Array:
    values = next(ordered, None)
    if values is None:
        _fail(found, "weights for every layer", "fewer")
    return values


def _end(ordered: Iterator[Array], found: NamedArrays) -> None:
    left = sum(1 for _ in ordered)
    if left:
        _fail(found, "the weights of this network", f"{left} more")


def _fail(found: NamedArrays, expected: str, other: str) -> NoReturn:
    raise ModelFormatError(found.file, None, expected, other, ADVICE)
