"""The networks of the face detector for training: built in torch, run as a cascade, converted for the bundle.

The cascade here follows spec 20 without its roundings to whole pixels; it mines hard examples and sets thresholds. The
final figures are measured with the detection of the reference.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.detector import samples
from auparity.models.types import ConvNet, Convolution, FullyConnected, Layer, MaxPool, PReLU

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[Any]

#: Layers: ("conv", channels, kernel), ("pool", kernel, stride) or ("full", outputs); PReLU after all but the last.
STRUCTURE: dict[str, tuple[tuple[Any, ...], ...]] = {
    "pnet": (("conv", 10, 3), ("pool", 2, 2), ("conv", 16, 3), ("conv", 32, 3), ("full", 6)),
    "rnet": (
        ("conv", 20, 3),
        ("pool", 3, 2),
        ("conv", 36, 3),
        ("pool", 3, 2),
        ("conv", 48, 2),
        ("full", 96),
        ("full", 6),
    ),
    "onet": (
        ("conv", 20, 3),
        ("pool", 3, 2),
        ("conv", 36, 3),
        ("pool", 3, 2),
        ("conv", 48, 3),
        ("pool", 2, 2),
        ("conv", 72, 2),
        ("full", 144),
        ("full", 16),
    ),
}
SIDES = {"pnet": 12, "rnet": 24, "onet": 48}
MIN_FACE, PYRAMID = 60, 0.709  #: spec 20
THRESHOLDS = (0.6, 0.7, 0.7)
MEAN, FACTOR = 127.5, 0.0078125


def build(name: str) -> torch.nn.Sequential:
    """The torch network of a name, ending on logits, box and (O-Net) landmarks."""
    import torch

    channels, size, layers = 3, SIDES[name], []
    for number, (kind, *numbers) in enumerate(STRUCTURE[name]):
        last = number == len(STRUCTURE[name]) - 1
        if kind == "conv":
            layers.append(torch.nn.Conv2d(channels, numbers[0], numbers[1]))
            channels, size = numbers[0], size - numbers[1] + 1
        elif kind == "pool":
            layers.append(torch.nn.MaxPool2d(numbers[0], numbers[1], ceil_mode=True))
            size = math.ceil((size - numbers[0]) / numbers[1]) + 1
            continue
        elif name == "pnet":  # a fully connected layer that slides over the picture
            layers.append(torch.nn.Conv2d(channels, numbers[0], 1))
        else:
            if size:
                layers.append(_column_major())
                channels, size = channels * size * size, 0
            layers.append(torch.nn.Linear(channels, numbers[0]))
            channels = numbers[0]
        if not last:
            layers.append(torch.nn.PReLU(channels))
    return torch.nn.Sequential(*layers)


def _column_major() -> torch.nn.Module:
    """Flatten map by map, columns first, as the file format's readers do (spec 10.5)."""
    import torch

    class ColumnMajor(torch.nn.Module):  # type: ignore[misc]  # torch has no types here
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.transpose(2, 3).flatten(1)

    return ColumnMajor()


def inputs_of(pixels: Array) -> torch.Tensor:
    """(K, 3, side, side) RGB of crops (K, side, side, 3) BGR."""
    import torch

    rgb = torch.from_numpy(np.ascontiguousarray(pixels[..., ::-1].transpose(0, 3, 1, 2)))
    return (rgb.to(torch.float32) - MEAN) * FACTOR


def convert(net: torch.nn.Sequential) -> ConvNet:
    """A torch network as the bundle stores it."""
    import torch

    layers: list[Layer] = []
    for module in net:
        if isinstance(module, torch.nn.Conv2d) and module.kernel_size == (1, 1):
            layers.append(FullyConnected(_array(module.weight[:, :, 0, 0].T), _array(module.bias)))
        elif isinstance(module, torch.nn.Conv2d):
            layers.append(Convolution(_array(module.weight), _array(module.bias)))
        elif isinstance(module, torch.nn.MaxPool2d):
            layers.append(MaxPool((module.kernel_size, module.kernel_size), (module.stride, module.stride)))
        elif isinstance(module, torch.nn.Linear):
            layers.append(FullyConnected(_array(module.weight.T), _array(module.bias)))
        elif isinstance(module, torch.nn.PReLU):
            layers.append(PReLU(_array(module.weight)))
    return ConvNet(tuple(layers))


def _array(tensor: Any) -> Array:
    return np.ascontiguousarray(tensor.detach().numpy(), np.float32)


def suppress(boxes: Array, scores: Array, limit: float) -> Array:
    """Rows that non-maximum suppression keeps, best first."""
    order, kept = np.argsort(-scores), []
    while len(order):
        kept.append(int(order[0]))
        order = order[1:][samples.overlap(boxes[order[1:]], boxes[order[0]]) <= limit]
    return np.array(kept, np.int64)


def moved_boxes(boxes: Array, by: Array) -> Array:
    size = boxes[:, 2:]
    low, high = boxes[:, :2] + by[:, :2] * size, boxes[:, :2] + size * (1 + by[:, 2:])
    return np.concatenate([low, high - low], axis=1)


def propose(pnet: torch.nn.Sequential, image: Array, threshold: float = THRESHOLDS[0]) -> Array:
    """(K, 4) squares that P-Net proposes (spec 20.2 to 20.7, without its roundings)."""
    import torch

    height, width = image.shape[:2]
    proposals, scores = [], []
    scale = 12 / MIN_FACE
    while min(height, width) * scale >= 12:
        small = cv2.resize(
            image.astype(np.float32),
            (math.ceil(width * scale), math.ceil(height * scale)),
            interpolation=cv2.INTER_LINEAR,
        )
        with torch.no_grad():
            x = (torch.from_numpy(np.ascontiguousarray(small[..., ::-1].transpose(2, 0, 1)))[None] - MEAN) * FACTOR
            out = pnet(x)[0].numpy()
        p = 1 / (1 + np.exp(out[0] - out[1]))
        y, x_ = np.nonzero(p >= threshold)
        boxes = np.stack(
            [
                np.trunc((2 * x_ + 1) / scale),
                np.trunc((2 * y + 1) / scale),
                np.full(len(x_), np.trunc(11 / scale)),
                np.full(len(x_), np.trunc(11 / scale)),
            ],
            1,
        )
        kept = suppress(boxes, p[y, x_], 0.5)
        proposals.append(moved_boxes(boxes[kept], out[2:6, y[kept], x_[kept]].T))
        scores.append(p[y[kept], x_[kept]])
        scale *= PYRAMID
    if not proposals:
        return np.zeros((0, 4))
    boxes, values = np.concatenate(proposals), np.concatenate(scores)
    return samples.squared(boxes[suppress(boxes, values, 0.7)])


def judge(net: torch.nn.Sequential, image: Array, boxes: Array, side: int) -> tuple[Array, Array]:
    """Face probability (K,) and moved boxes (K, 4) of squares."""
    import torch

    if not len(boxes):
        return np.zeros(0), np.zeros((0, 4))
    with torch.no_grad():
        out = net(inputs_of(samples.cut(image, boxes, side))).numpy()
    return 1 / (1 + np.exp(out[:, 0] - out[:, 1])), moved_boxes(boxes, out[:, 2:6])


def refine(rnet: torch.nn.Sequential, image: Array, boxes: Array, threshold: float = THRESHOLDS[1]) -> Array:
    """(K, 4) squares that R-Net lets pass (spec 20.5 steps 4 and 5)."""
    p, moved = judge(rnet, image, boxes, SIDES["rnet"])
    kept = np.flatnonzero(p >= threshold)
    kept = kept[suppress(boxes[kept], p[kept], 0.7)] if len(kept) else kept
    return samples.squared(moved[kept]) if len(kept) else np.zeros((0, 4))
