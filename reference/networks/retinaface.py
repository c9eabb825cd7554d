"""RetinaFace (Deng, Guo, Ververas, Kotsia, Zafeiriou, CVPR 2020; spec 95.1): a detector that looks at an image once.

A backbone (MobileNet of width 0.25, or ResNet-50) makes maps at strides 8, 16 and 32; a feature pyramid brings the
coarse ones down to the fine; a context module (SSH: three branches of different reach) looks around each place; and at
each place two anchors say where the face is (a box, five points) and whether there is one. Decoding turns that into
pixels, and of overlapping boxes the best stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.types import RetinaFace
from auparity.reference.contracts import check_array
from auparity.reference.elementary import exp
from auparity.reference.networks.layers import Layers, Maps, NetworkLayers
from auparity.reference.numerics import FLOAT32, Numerics
from auparity.short_repr import short_repr

Array = npt.NDArray[Any]

STAGE = "face_network"

#: Subtracted from blue, green and red.
MEANS = (104, 117, 123)
#: Anchors of each level: the stride of its map, and the sides of the boxes at each place, px.
LEVELS = ((8, (16, 32)), (16, (64, 128)), (32, (256, 512)))
#: In which units the network's outputs are: parts of an anchor's size, and logarithms of the ratio of sizes.
VARIANCE_CENTRE, VARIANCE_SIZE = 0.1, 0.2
#: Slope of negative values after the norms of MobileNet and of its pyramid; that of ResNet-50 is wide enough without.
SLOPE = 0.1
#: Strides of MobileNet's blocks.
MOBILE_STRIDES = {"stage1": (2, 1, 2, 1, 2, 1), "stage2": (2, 1, 1, 1, 1, 1), "stage3": (2, 1)}
RESNET_LAYERS = {"layer1": (3, 1), "layer2": (4, 2), "layer3": (6, 2), "layer4": (3, 2)}


@short_repr
@dataclass(frozen=True, eq=False)
class RawFaces:
    """What the network says of every anchor (N images, P anchors; order of `priors`)."""

    boxes: Array  #: (N, P, 4) centre x, y and width, height, relative to the anchor
    faces: Array  #: (N, P) probability that there is a face
    points: Array  #: (N, P, 10) x0 y0 ... x4 y4, relative to the anchor


#: What is built: images (N, H, W, 3) uint8 BGR of one size to what the network says of every anchor.
FaceNetwork = Callable[[Array], RawFaces]


class RetinaFaceGraph:
    """The layers of RetinaFace, made of `NetworkLayers`.

    Parameters
    ----------
    net : the layers, with weights of this backbone.
    backbone : "mobile0.25" or "resnet50".
    """

    def __init__(self, net: NetworkLayers, backbone: str) -> None:
        self._net, self._mobile = net, backbone == "mobile0.25"
        self._slope = SLOPE if self._mobile else 0.0

    def __call__(self, maps: Maps) -> list[tuple[Maps, Maps, Maps]]:
        """What the heads say at each place of each level, of images (N, 3, H, W) from which the means are subtracted.

        Returns
        -------
        For strides 8, 16, 32: maps of boxes (N, 8, h, w), of classes (N, 4, h, w) and of points (N, 20, h, w), where
        channels are anchor after anchor; h and w are those of the image over the stride, rounded up.
        """
        levels = self._context(self._pyramid(self._mobile_net(maps) if self._mobile else self._resnet(maps)))
        heads = ("BboxHead", "ClassHead", "LandmarkHead")
        said = [[self._net.conv(level, f"{head}.{k}.conv1x1") for head in heads] for k, level in enumerate(levels)]
        return [(boxes, classes, points) for boxes, classes, points in said]

    def _conv_norm(self, maps: Maps, name: str, stride: int = 1, padding: int = 0) -> Maps:
        return self._net.norm(self._net.conv(maps, f"{name}.0", stride, padding), f"{name}.1")

    def _active(self, maps: Maps) -> Maps:
        return self._net.leaky_relu(maps, self._slope) if self._slope else self._net.relu(maps)

    def _mobile_net(self, maps: Maps) -> list[Maps]:
        """Depthwise separable convolutions: each channel by itself, then all of them at each place."""
        net, levels = self._net, []
        for stage, strides in MOBILE_STRIDES.items():
            for k, stride in enumerate(strides):
                name = f"body.{stage}.{k}"
                maps = self._active(self._conv_norm(maps, name, stride, padding=1))
                if f"{name}.3.weight" in net:
                    maps = self._active(net.norm(net.conv(maps, f"{name}.3"), f"{name}.4"))
            levels.append(maps)
        return levels

    def _resnet(self, maps: Maps) -> list[Maps]:
        """Bottlenecks with a sum around each (He, Zhang, Ren, Sun, CVPR 2016)."""
        net, levels = self._net, []
        maps = net.max_pool(net.relu(net.norm(net.conv(maps, "body.conv1", 2, 3), "body.bn1")), 3, 2, padding=1)
        for layer, (blocks, stride) in RESNET_LAYERS.items():
            for k in range(blocks):
                maps = self._bottleneck(maps, f"body.{layer}.{k}", stride if k == 0 else 1)
            levels.append(maps)
        return levels[1:]

    def _bottleneck(self, maps: Maps, name: str, stride: int) -> Maps:
        net, inside = self._net, maps
        for k, (step, padding) in enumerate(((1, 0), (stride, 1), (1, 0)), 1):
            inside = net.norm(net.conv(inside, f"{name}.conv{k}", step, padding), f"{name}.bn{k}")
            inside = net.relu(inside) if k < 3 else inside
        around = maps
        if f"{name}.downsample.0.weight" in net:
            around = self._conv_norm(maps, f"{name}.downsample", stride)
        return net.relu(inside + around)

    def _pyramid(self, levels: list[Maps]) -> list[Maps]:
        """Feature pyramid: every level gets what the coarser ones know (Lin et al., CVPR 2017)."""
        nearest = self._net.nearest
        fine, middle, coarse = (
            self._active(self._conv_norm(maps, f"fpn.output{k}")) for k, maps in enumerate(levels, 1)
        )
        middle = self._active(self._conv_norm(middle + nearest(coarse, middle), "fpn.merge2", padding=1))
        fine = self._active(self._conv_norm(fine + nearest(middle, fine), "fpn.merge1", padding=1))
        return [fine, middle, coarse]

    def _context(self, levels: list[Maps]) -> list[Maps]:
        """SSH: convolutions of reach 3, 5 and 7 side by side (Najibi et al., ICCV 2017)."""
        result = []
        for k, maps in enumerate(levels, 1):
            near = self._conv_norm(maps, f"ssh{k}.conv3X3", padding=1)
            shared = self._active(self._conv_norm(maps, f"ssh{k}.conv5X5_1", padding=1))
            far = self._conv_norm(shared, f"ssh{k}.conv5X5_2", padding=1)
            deeper = self._active(self._conv_norm(shared, f"ssh{k}.conv7X7_2", padding=1))
            farther = self._conv_norm(deeper, f"ssh{k}.conv7x7_3", padding=1)
            result.append(self._net.relu(self._net.join([near, far, farther])))
        return result


class RetinaFaceNetwork:
    """The network of one set of weights, on images of any size.

    Parameters
    ----------
    weights : of either backbone.
    dtype : float32 as published programs compute, or float64.
    """

    def __init__(self, weights: RetinaFace, dtype: npt.DTypeLike = np.float32) -> None:
        net = Layers(weights.tensors, dtype)
        self._dtype, self._graph = net.dtype, RetinaFaceGraph(net, weights.backbone)

    def __call__(self, images: Array) -> RawFaces:
        """What it says of images (N, H, W, 3) uint8 BGR of one size.

        Raises
        ------
        ContractError : another shape or dtype.
        """
        return raw_faces(self._graph(centred(images, self._dtype)))


def build(weights: RetinaFace, *, numerics: Numerics = FLOAT32) -> FaceNetwork:
    """Stage `face_network`."""
    return RetinaFaceNetwork(weights, numerics.dtype)


def centred(images: Array, dtype: Any = np.float32) -> Array:
    """Maps (N, 3, H, W) of images (N, H, W, 3) uint8 BGR, with the means subtracted; ContractError for other images."""
    check_array(STAGE, "images", images, ("N", "H", "W", 3), np.uint8)
    maps = np.empty((len(images), 3, *images.shape[1:3]), dtype)
    for channel, mean in enumerate(MEANS):
        np.subtract(images[..., channel], maps.dtype.type(mean), out=maps[:, channel])
    return maps


def raw_faces(levels: Sequence[tuple[Array, Array, Array]]) -> RawFaces:
    """The outputs of `RetinaFaceGraph`, anchor after anchor in the order of `priors`."""
    boxes, classes, points = (
        np.concatenate([_by_anchor(level[kind], size) for level in levels], axis=1)
        for kind, size in enumerate((4, 2, 10))
    )
    return RawFaces(boxes, face_probability(classes), points)


def face_probability(classes: Array) -> Array:
    """The probability (...) of a face, of what the network says of no face and of a face (..., 2): their softmax."""
    with np.errstate(over="ignore"):  # infinite: probability 0
        faces = 1 / (1 + exp(classes[..., 0].astype(np.float64) - classes[..., 1]))
    return np.asarray(faces).astype(classes.dtype)


def _by_anchor(maps: Array, size: int) -> Array:
    """(N, places * anchors, size): the anchors of a place follow each other."""
    return maps.transpose(0, 2, 3, 1).reshape(len(maps), -1, size)


@lru_cache(maxsize=4)
def priors(height: int, width: int) -> Array:
    """The anchors of an image: (P, 4) float32 centre x, y and width, height in parts of the image.

    Level after level, row after row, column after column, size after size; not clipped.
    """
    levels = []
    for stride, sides in LEVELS:
        rows, columns = -(-height // stride), -(-width // stride)
        i, j, side = np.meshgrid(np.arange(rows), np.arange(columns), np.array(sides), indexing="ij")
        centre_x, centre_y = (j + 0.5) * stride / width, (i + 0.5) * stride / height
        levels.append(np.stack([centre_x, centre_y, side / width, side / height], axis=-1).reshape(-1, 4))
    anchors: Array = np.concatenate(levels).astype(np.float32)
    anchors.flags.writeable = False  # shared by all calls
    return anchors


@short_repr
@dataclass(frozen=True, eq=False)
class Found:
    """Faces of one image, best first."""

    boxes: Array  #: (K, 4) left, top, right, bottom px; may leave the image
    scores: Array  #: (K,)
    points: Array  #: (K, 5, 2) px: the eye, the eye, the nose, mouth corner, mouth corner; each pair from left to right


def decode(boxes: Array, points: Array, anchors: Array, size: tuple[int, int]) -> tuple[Array, Array]:
    """Corners (P, 4) and points (P, 5, 2) in px of what the network says of each anchor.

    Parameters
    ----------
    boxes : (P, 4). points : (P, 10). anchors : (P, 4), of `priors`. size : height and width of the image, px.
    """
    dtype, (height, width) = boxes.dtype.type, size
    anchors = anchors.astype(dtype)
    centre, side = anchors[:, :2], anchors[:, 2:]
    centres = centre + boxes[:, :2] * dtype(VARIANCE_CENTRE) * side
    with np.errstate(over="ignore"):  # infinite boxes are dropped by whoever selects
        sides = side * exp(boxes[:, 2:] * dtype(VARIANCE_SIZE)).astype(dtype)
        first = centres - sides / dtype(2)
        corners = np.concatenate([first, sides + first], axis=1) * np.array([width, height] * 2, dtype)
    offsets = points.reshape(-1, 5, 2) * dtype(VARIANCE_CENTRE) * side[:, None]
    return corners, (centre[:, None] + offsets) * np.array([width, height], dtype)


@dataclass(frozen=True)
class Selection:
    """Which of the anchors' boxes are faces. Other programs' numbers are in the table of spec 95.1.4."""

    candidate: float = 0.02  #: smallest probability that takes part
    most: int = 5000  #: candidates that take part, the best ones
    overlap: float = 0.4  #: a box that overlaps a better one by more (intersection over union) goes
    kept: int = 750  #: boxes after that
    shown: float = 0.5  #: smallest probability of a face


def select(boxes: Array, scores: Array, points: Array, selection: Selection = Selection()) -> Found:
    """The faces among boxes (P, 4), scores (P,) and points (P, 5, 2), best first.

    Among equal scores the first anchor comes first. (The public programs reverse an unstable ascending sort, which
    leaves the order of equal scores to the library.)
    """
    finite = np.isfinite(boxes).all(axis=1) & np.isfinite(points).all(axis=(1, 2))
    taking_part = np.flatnonzero((scores > selection.candidate) & finite)
    order = taking_part[np.argsort(-scores[taking_part], kind="stable")][: selection.most]
    order = order[_not_covered(boxes[order], selection.overlap)][: selection.kept]
    order = order[scores[order] >= selection.shown]
    return Found(boxes[order], scores[order], points[order])


def _not_covered(boxes: Array, overlap: float) -> Array:
    """Indices of boxes (K, 4), best first, that no better one of them covers; a box of n pixels is n + 1 wide."""
    one = boxes.dtype.type(1)
    left, top, right, bottom = boxes.T
    area = (right - left + one) * (bottom - top + one)
    rest, kept = np.arange(len(boxes)), []
    while rest.size:
        best, rest = rest[0], rest[1:]
        kept.append(best)
        width = np.minimum(right[best], right[rest]) - np.maximum(left[best], left[rest]) + one
        height = np.minimum(bottom[best], bottom[rest]) - np.maximum(top[best], top[rest]) + one
        common = np.maximum(width, 0) * np.maximum(height, 0)
        rest = rest[common / (area[best] + area[rest] - common) <= overlap]
    return np.array(kept, np.int64)


def find_faces(network: Callable[[Array], RawFaces], image: Array, selection: Selection = Selection()) -> Found:
    """The faces of an image (H, W, 3) uint8 BGR, best first."""
    size = image.shape[0], image.shape[1]
    raw = network(image[None])
    likely = raw.faces[0] > selection.candidate  # of thousands of anchors a few
    boxes, points = decode(raw.boxes[0][likely], raw.points[0][likely], priors(*size)[likely], size)
    return select(boxes, raw.faces[0][likely], points, selection)
