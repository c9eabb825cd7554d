"""Network detectors and landmarkers on a GPU (spec 95): pixels to what a network says of them, many images at once.

The network's own description (reference/networks) becomes a list of launches for images of one size: a convolution with
its norm, its activation and a sum with earlier maps is one launch, and channels that are joined are written where they
belong. Pixels become maps on the device, by a table of what the reference makes of each byte. RetinaFace's MobileNet
takes 59 launches, PFLD 50, MobileFaceNet 51, however many images there are; results do not depend on their number.
Nothing here has run on a GPU yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.device import Device, shared_device
from auparity.accelerated.cupy.launch import check_device_array
from auparity.accelerated.cupy.network_kernels import IN_PLACE, NetworkKernels
from auparity.accelerated.cupy.network_nodes import STAGE, Joined, Node, recorded
from auparity.conversion.networks.folding import fold
from auparity.models.types import PointNetwork, RetinaFace
from auparity.reference.contracts import check_array
from auparity.reference.networks.parts import NetworkParts, parts_of

Array = npt.NDArray[Any]

#: Sizes of images whose launches are kept.
KEPT_SIZES = 8
#: Bounds memory, not results: 64 frames of 640x480, whose largest maps are 320 MB with MobileNet, 1.3 GB with
#: ResNet-50.
PIXELS_AT_ONCE = 64 * 640 * 480
COLOURS = 3  # of a pixel


@dataclass(frozen=True, eq=False)
class _Step:
    """A launch, or several of maps that are joined."""

    node: Node
    into: Joined | None  #: where it is written, if not by itself
    first_map: int
    copied: tuple[tuple[Node, int], ...]  #: of joined maps, those that are copied, and from which channel on
    last: tuple[Node, ...]  #: what nothing reads any more


class Network:
    """One network on a device.

    Raises
    ------
    DeviceError : the device's memory does not suffice.
    """

    def __init__(self, device: Device, weights: RetinaFace | PointNetwork) -> None:
        self.parts: NetworkParts = parts_of(weights)
        side = self.parts.side
        self._shape: tuple[int | str, ...] = ("N", "H", "W", 3) if side is None else ("N", side, side, 3)
        self._device = device
        self._folded = fold(weights.tensors, self.parts.graph)
        self._kernels = NetworkKernels(device, self._folded.arrays)
        self._table, self._colours = (device.upload(array) for array in _values_of_bytes(self.parts))
        self._launches: dict[tuple[int, int], tuple[Node, tuple[_Step, ...], tuple[Node, ...]]] = {}

    def __call__(self, pixels: Array) -> Any:
        """What the stage gives of pixels (N, H, W, 3) uint8 BGR on the host.

        Raises
        ------
        ContractError : another shape or dtype.
        """
        name = "images" if self.parts.side is None else "crops"
        check_array(STAGE, name, pixels, self._shape, np.uint8)
        step = at_once(*pixels.shape[1:3])
        outputs: list[list[Array]] = []
        with self._device.active():
            for first in range(0, len(pixels), step):
                made = self.run(self._device.upload(pixels[first : first + step]))
                outputs.append([self._device.download(each) for each in made])
        return self.parts.finish([np.concatenate(each) for each in zip(*outputs, strict=True)])

    def run(self, images: Any) -> list[Any]:
        """The outputs of the network, each (N, C, h, w), of images (N, H, W, 3) uint8 on the device.

        All of them together; whoever has many asks for so many at a time as `at_once` says.

        Raises
        ------
        ContractError : another shape or dtype.
        """
        count, height, width, _ = check_device_array(STAGE, "images", images, self._shape, np.uint8)
        image, steps, outputs = self._of_size(height, width)
        made: dict[Node, Any] = {image: self._kernels.read_pixels(images, self._table, self._colours)}
        for step in steps:
            self._take(step, made, count)
            for node in step.last:
                del made[node]
        return [made[node] for node in outputs]

    def _take(self, step: _Step, made: dict[Node, Any], count: int) -> None:
        kernels, node = self._kernels, step.node
        if step.into is not None:
            if step.into not in made:
                made[step.into] = kernels.empty(count, step.into)
            kernels.into(node, made, made[step.into], step.first_map)
        elif isinstance(node, Joined):
            if node not in made:
                made[node] = kernels.empty(count, node)
            for part, first_map in step.copied:
                kernels.copy(part, made[part], made[node], first_map)
        else:
            made[node] = kernels.new(node, made, count)

    def _of_size(self, height: int, width: int) -> tuple[Node, tuple[_Step, ...], tuple[Node, ...]]:
        if (height, width) not in self._launches:
            if len(self._launches) >= KEPT_SIZES:
                self._launches.clear()
            network = recorded(self._folded, self.parts.graph, height, width)
            steps = _steps_of(network.nodes, network.outputs)
            self._launches[height, width] = network.image, steps, network.outputs
        return self._launches[height, width]


def at_once(height: int, width: int) -> int:
    """How many images of a size go through a network together at most."""
    return max(PIXELS_AT_ONCE // (height * width), 1)


def _steps_of(nodes: tuple[Node, ...], outputs: tuple[Node, ...]) -> tuple[_Step, ...]:
    """The launches of nodes, which are in an order in which they can be made."""
    readers = Counter(read for node in nodes for read in node.inputs) + Counter(outputs)
    into: dict[Node, tuple[Joined, int]] = {}
    copied: dict[Node, list[tuple[Node, int]]] = {}
    for node in nodes:
        if not isinstance(node, Joined):
            continue
        first = 0
        for part in node.parts:
            if readers[part] == 1 and isinstance(part, IN_PLACE):
                into[part] = (node, first)
            else:
                copied.setdefault(node, []).append((part, first))
            first += part.channels
    last_read: dict[Node, int] = {}
    for k, node in enumerate(nodes):
        for read in node.inputs:
            if read not in into:
                last_read[read] = k
    steps = []
    for k, node in enumerate(nodes):
        joined, first = into.get(node, (None, 0))
        last = tuple(read for read in dict.fromkeys(node.inputs) if last_read.get(read) == k and read not in outputs)
        steps.append(_Step(node, joined, first, tuple(copied.get(node, ())), last))
    return tuple(steps)


def _values_of_bytes(parts: NetworkParts) -> tuple[Array, Array]:
    """What a network is given for each byte, which the reference is asked: (3, 256) float32 values of its maps, and
    (3,) int32 which colour of a pixel each map is made of."""
    side = parts.side or 16
    ramp = np.zeros((1, side, side, 3), np.uint8)
    ramp.reshape(-1, 3)[:256] = np.arange(256, dtype=np.uint8)[:, None]
    table = parts.prepare(ramp, np.float32).reshape(COLOURS, -1)[:, :256]
    black = parts.prepare(np.zeros_like(ramp), np.float32)
    colours = np.zeros(COLOURS, np.int32)
    for colour in range(COLOURS):
        one = np.zeros_like(ramp)
        one[..., colour] = 255
        changed = (parts.prepare(one, np.float32) != black).reshape(COLOURS, -1).any(axis=1)
        colours[changed] = colour
    return np.ascontiguousarray(table), colours


def build(weights: RetinaFace | PointNetwork, device: Device | None = None) -> Callable[[Array], Any]:
    """Stages `face_network` and `point_network`, on the shared GPU where no device is given."""
    return Network(device or shared_device(), weights)
