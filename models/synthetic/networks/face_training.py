"""How RetinaFace is trained (spec 95.1), and how well it finds faces."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from auparity.models.networks import shapes
from auparity.models.synthetic.networks import losses
from auparity.models.synthetic.networks.boxes import box_of
from auparity.models.synthetic.networks.scenes import ScenePainter
from auparity.models.synthetic.networks.trainer import Trainer, first_weights
from auparity.models.synthetic.training.samples import PhotoSet
from auparity.models.synthetic.training.workspace import Workspace
from auparity.reference.networks.retinaface import RetinaFaceGraph, centred, decode, priors, raw_faces, select

if TYPE_CHECKING:
    import torch

    from auparity.accelerated.torch.network_layers import TorchLayers

Array = npt.NDArray[Any]

#: Steps, pictures of a step, and largest rate.
RETINAFACE_TRAINING = (11000, 12, 2e-3)
SCENE = 320  #: px
FIXED_SEED = 9


def train_retinaface(
    workspace: Workspace, photos: PhotoSet, framed: PhotoSet, backgrounds: Array, seconds: float = math.inf,
    first: Mapping[str, Array] | None = None,
) -> Trainer:  # fmt: skip
    """Train RetinaFace, or go on training it, for so long; from weights that it has already, or from random ones.

    Scenes are painted from `photos`; the pictures of `framed` are scenes as they are.
    """
    steps, size, rate = RETINAFACE_TRAINING
    first = first or first_weights(shapes.retinaface("mobile0.25"), FIXED_SEED)
    trainer = Trainer(workspace, "retinaface", first, steps, rate)
    painter = ScenePainter(
        photos.images, photos.landmarks, backgrounds, SCENE, framed=(framed.images, framed.landmarks)
    )
    anchors = priors(SCENE, SCENE).astype(np.float64)

    def batch(rng: np.random.Generator) -> tuple[Array, ...]:
        parts = []
        for _ in range(size):
            scene = painter.paint(rng)
            boxes, points = scene.boxes.astype(np.float64) / SCENE, scene.points.astype(np.float64) / SCENE
            face, label = losses.assign(anchors, boxes, scene.counted)
            box, five = np.zeros((len(anchors), 4), np.float32), np.zeros((len(anchors), 10), np.float32)
            rows = np.flatnonzero(label == 1)
            box[rows], five[rows] = losses.targets(anchors[rows], boxes[face[rows]], points[face[rows]])
            parts.append((scene.image, label, box, five))
        return tuple(np.stack(column) for column in zip(*parts, strict=True))

    def loss_of(net: TorchLayers, given: tuple[Array, ...]) -> torch.Tensor:
        import torch

        images, label, box, five = given
        pixels = torch.from_numpy(centred(images)).to(memory_format=torch.channels_last)
        with trainer.precision():
            levels = RetinaFaceGraph(net, "mobile0.25")(pixels)
        said = [
            torch.cat(
                [level[kind].permute(0, 2, 3, 1).reshape(len(images), -1, width) for level in levels], dim=1
            ).float()
            for kind, width in enumerate((4, 2, 10))
        ]
        truth = (torch.from_numpy(values) for values in (label, box, five))
        return losses.multibox((said[0], said[1], said[2]), *truth)

    trainer.run(batch, loss_of, seconds)
    return trainer


def retinaface_figures(weights: dict[str, Array], photos: PhotoSet, empty: Array) -> dict[str, float]:
    """Recall of whole faces at the default threshold, and wrong boxes for 100 pictures.

    A box is right from an intersection over union of 0.5 with the box of the true landmarks.
    """
    import torch

    from auparity.accelerated.torch.network_layers import TorchLayers

    graph = RetinaFaceGraph(TorchLayers.of_arrays(weights, torch.device("cpu")), "mobile0.25")

    def boxes_in(image: Array) -> Array:
        with torch.inference_mode():
            levels = graph(torch.from_numpy(centred(image[None])))
        raw = raw_faces([(boxes.numpy(), classes.numpy(), points.numpy()) for boxes, classes, points in levels])
        size = image.shape[0], image.shape[1]
        corners, points = decode(raw.boxes[0], raw.points[0], priors(*size), size)
        return np.asarray(select(corners, raw.faces[0], points).boxes)

    whole = found = wrong = 0
    for k in range(len(photos)):
        image = np.asarray(photos.images[k])
        (box,) = box_of(np.asarray(photos.landmarks[k], np.float64)[None])
        boxes = boxes_in(image)
        right = losses.overlaps(boxes, box) >= 0.5 if len(boxes) else np.zeros(0, bool)
        limit = np.array([image.shape[1], image.shape[0]] * 2)
        if losses.shown(box, limit) >= 0.85:
            whole += 1
            found += bool(right.any())
        wrong += int((~right).sum())
    wrong += sum(len(boxes_in(np.asarray(image))) for image in empty)
    return {"recall": found / max(whole, 1), "wrong_boxes_per_100": 100 * wrong / (len(photos) + len(empty))}
