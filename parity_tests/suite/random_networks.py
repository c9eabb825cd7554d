"""Networks with random weights, so that their stages can be compared where nobody's trained weights are.

Each tensor is drawn from a seed that is its name: the weights are the same everywhere, and leaving one out changes no
other. They find no faces; what they say of an image is as hard to compute as what trained ones say.
"""

from __future__ import annotations

import zlib

import numpy as np

from auparity.models.networks import shapes
from auparity.models.networks.published import tensors
from auparity.models.types import PFLD, STAR, FaceApi, MobileFaceNet, RetinaFace, Tensors

#: Variance of a layer's outputs over that of its inputs, by parts of its name; 2 for the others, half of which a
#: rectifier takes. Last layers of residual blocks, layers before a sigmoid, last layers of networks, and the separable
#: layers of face-api, which has no norms and adds up what they give.
GAINS = {
    "conv3.conv.weight": 0.25, ".conv.6.weight": 0.25, ".project.conv.weight": 0.25, "out_pointmaps": 1e-4,
    "out_edgemaps": 1e-4, "Head.": 2e-3, "fc.weight": 0.01, "output_layer.linear.weight": 0.01,
    ".depthwise.weight": 1.0, ".pointwise.weight": 0.5,
}  # fmt: skip


def values(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Norms near the identity, small biases, and weights that keep the size of what they are given.

    The last layers make outputs of the size that trained networks have, so that absolute tolerances mean the same. The
    maps of STAR's points and edges are kept small: sigmoids that are 0 nearly everywhere would leave maps without a
    centre of mass.
    """
    drawn = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    if name.endswith("running_var"):
        drawn = 1 + 0.1 * np.abs(drawn)
    elif name.endswith(("running_mean", "bias")):
        drawn = 0.1 * drawn
    elif len(shape) == 1:
        drawn = (0.25 if "prelu" in name else 1) + 0.1 * drawn
    else:
        gain = next((gain for ending, gain in GAINS.items() if ending in name), 2.0)
        drawn = drawn * np.sqrt(gain / np.prod(shape[1:]))
    return drawn.astype(np.float32)


def random_tensors(of: shapes.Shapes) -> Tensors:
    return tensors({name: values(name, shape) for name, shape in of.items()})


def retinaface(backbone: shapes.Backbone = "mobile0.25") -> RetinaFace:
    return RetinaFace(backbone, random_tensors(shapes.retinaface(backbone)))


def pfld() -> PFLD:
    return PFLD(random_tensors(shapes.pfld()))


def mobilefacenet() -> MobileFaceNet:
    return MobileFaceNet(random_tensors(shapes.mobilefacenet()))


def face_api(*, tiny: bool = False) -> FaceApi:
    return FaceApi(random_tensors(shapes.face_api(tiny=tiny)))


def star(points: int = 29, edges: int = 7, stacks: int = 2, width: int = 8) -> STAR:
    """A small one, each point on one edge and the last on none."""
    arrays = random_tensors(shapes.star(points, edges, stacks, width)).by_name()
    on_edge = np.arange(points) % edges
    table = (on_edge[:, None] == np.arange(edges)).astype(np.float32)
    table[-1] = 0
    bias = np.zeros(points, np.float32)
    bias[-1] = 1
    arrays |= {"e2h_transform.weight": table[:, :, None, None], "e2h_transform.bias": bias}
    return STAR(tensors(arrays))
