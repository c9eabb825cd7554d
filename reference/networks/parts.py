"""Each network as what comes before its layers, the layers, and what follows: pixels to maps, maps to maps, maps to
what is asked of it.

Whatever runs the layers (an ONNX file, another library) takes the rest from here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.types import PFLD, STAR, FaceApi, MobileFaceNet, RetinaFace
from auparity.reference.networks import face_api, mobilefacenet, pfld, retinaface, star
from auparity.reference.networks.layers import Maps, NetworkLayers

Array = npt.NDArray[Any]
Network = RetinaFace | PFLD | MobileFaceNet | STAR | FaceApi


@dataclass(frozen=True)
class NetworkParts:
    """A network of one set of weights, without what runs its layers.

    Parameters
    ----------
    prepare : pixels (N, H, W, 3) uint8 BGR to maps (N, 3, H, W) of a dtype; ContractError for other pixels.
    graph : the layers: maps to the outputs, in the order of `outputs`.
    finish : the outputs as arrays to `RawFaces`, or to points (N, P, 2) in the units of the network's crop.
    outputs : their names.
    side : pixels of a crop along each side; None for images of any size.
    """

    prepare: Callable[[Array, Any], Array]
    graph: Callable[[NetworkLayers, Maps], Sequence[Maps]]
    finish: Callable[[Sequence[Array]], Any]
    outputs: tuple[str, ...]
    side: int | None

    def __call__(self, run: Callable[[Array], Sequence[Array]], pixels: Array, dtype: Any = np.float32) -> Any:
        """The network's result, its layers run by `run` on maps of a dtype."""
        return self.finish(run(self.prepare(pixels, dtype)))


def parts_of(weights: Network) -> NetworkParts:
    """The parts of a network."""
    match weights:
        case RetinaFace():
            return _retinaface(weights.backbone)
        case PFLD():
            return NetworkParts(pfld.colours, lambda net, maps: [pfld.graph(net, maps)], _pairs, ("points",), pfld.SIDE)
        case MobileFaceNet():
            return NetworkParts(
                pfld.colours, lambda net, maps: [mobilefacenet.graph(net, maps)], _pairs, ("points",), pfld.SIDE
            )
        case FaceApi():
            return NetworkParts(
                face_api.colours, lambda net, maps: [face_api.graph(net, maps)], _pairs, ("points",), face_api.SIDE
            )
        case STAR():
            return _star(star.stacks_of(weights))


def _retinaface(backbone: str) -> NetworkParts:
    heads, strides = ("boxes", "classes", "points"), [stride for stride, _ in retinaface.LEVELS]

    def graph(net: NetworkLayers, maps: Maps) -> Sequence[Maps]:
        return [head for level in retinaface.RetinaFaceGraph(net, backbone)(maps) for head in level]

    def finish(outputs: Sequence[Array]) -> retinaface.RawFaces:
        return retinaface.raw_faces([(outputs[k], outputs[k + 1], outputs[k + 2]) for k in range(0, len(outputs), 3)])

    names = tuple(f"{head}_{stride}" for stride in strides for head in heads)
    return NetworkParts(retinaface.centred, graph, finish, names, None)


def _star(stacks: int) -> NetworkParts:
    def graph(net: NetworkLayers, maps: Maps) -> Sequence[Maps]:
        return [star.StarGraph(net, stacks)(maps)[-1][-1]]

    def finish(outputs: Sequence[Array]) -> Array:
        return star.centres_of_mass(outputs[0])

    return NetworkParts(star.signed, graph, finish, ("fused",), star.SIDE)


def _pairs(outputs: Sequence[Array]) -> Array:
    return outputs[0].reshape(len(outputs[0]), -1, 2)
