"""How RetinaFace is trained (spec 95.1), and how well it finds faces."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from auparity.reference.networks.retinaface import (
    LEVELS,
    Found,
    RetinaFaceGraph,
    Selection,
    centred,
    decode,
    priors,
    raw_faces,
    select,
)

if TYPE_CHECKING:
    import torch

    from auparity.accelerated.torch.network_layers import TorchLayers

Array = npt.NDArray[Any]

#: Steps, pictures of a step, and largest rate.
RETINAFACE_TRAINING = (11000, 12, 2e-3)
SCENE = 320  #: px
FIXED_SEED = 9
#: Boxes on no face that 100 validation pictures may have at the score from which a box counts.
WRONG_PER_100 = 1.0
#: Boxes below the first are not looked at when that is decided; a network that needs more than the second stays wrong.
LOWEST, HIGHEST = 0.3, 0.999


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


@dataclass(frozen=True, eq=False)
class Judged:
    """The boxes that a network draws in pictures whose faces are known, by their scores.

    A box is right from an intersection over union of 0.5 with the box of the true landmarks.
    """

    right: Array  #: (faces,) of whole faces, the best right box; 0 without one
    wrong: Array  #: (K,) of boxes on no face
    pictures: int

    def figures(self, threshold: float = Selection.shown) -> dict[str, float]:
        """Recall of whole faces, and wrong boxes for 100 pictures, at a score."""
        wrong = 100 * float(np.count_nonzero(self.wrong >= threshold)) / self.pictures
        return {"recall": float((self.right >= threshold).mean()), "wrong_boxes_per_100": wrong}

    def threshold(self, wrong_per_100: float = WRONG_PER_100) -> float:
        """The score from which so many boxes of 100 pictures are wrong at most."""
        allowed = int(wrong_per_100 * self.pictures / 100)
        scores = np.sort(self.wrong)[::-1]
        return min(float(np.nextafter(scores[allowed], 1)), HIGHEST) if allowed < len(scores) else LOWEST


def judge(weights: Mapping[str, Array], sets: Sequence[PhotoSet], empty: Array) -> Judged:
    """Look at rendered pictures of one face each, and at pictures without one (K, H, W, 3)."""
    import torch

    from auparity.accelerated.torch.network_layers import TorchLayers

    graph = RetinaFaceGraph(TorchLayers.of_arrays(dict(weights), torch.device("cpu")), "mobile0.25")

    def faces_in(image: Array) -> Found:
        with torch.inference_mode():
            levels = graph(torch.from_numpy(centred(image[None])))
        raw = raw_faces([(boxes.numpy(), classes.numpy(), points.numpy()) for boxes, classes, points in levels])
        size = image.shape[0], image.shape[1]
        corners, points = decode(raw.boxes[0], raw.points[0], priors(*size), size)
        return select(corners, raw.faces[0], points, Selection(shown=LOWEST))

    right: list[float] = []
    wrong: list[float] = []
    for photos in sets:
        for k in range(len(photos)):
            image = np.asarray(photos.images[k])
            (box,) = box_of(np.asarray(photos.landmarks[k], np.float64)[None])
            found = faces_in(image)
            meets = losses.overlaps(found.boxes, box) >= 0.5 if len(found.boxes) else np.zeros(0, bool)
            limit = np.array([image.shape[1], image.shape[0]] * 2)
            if losses.shown(box, limit) >= 0.85:
                right.append(float(found.scores[meets].max(initial=0.0)))
            wrong += found.scores[~meets].tolist()
    for image in empty:
        wrong += faces_in(np.asarray(image)).scores.tolist()
    return Judged(np.array(right), np.array(wrong), sum(map(len, sets)) + len(empty))


def calibrated(weights: Mapping[str, Array], threshold: float) -> dict[str, Array]:
    """The same network with scores such that what had `threshold` has the score from which a box counts.

    The biases of the class heads move by the difference of the two in logits (spec 95.1: background and face of two
    anchors in turn), as the embedded MTCNN's biases are set for thresholds that are fixed.
    """
    moved = math.log(threshold / (1 - threshold)) - math.log(Selection.shown / (1 - Selection.shown))
    changed = dict(weights)
    for name in (f"ClassHead.{level}.conv1x1.bias" for level in range(len(LEVELS))):
        bias = np.array(weights[name])
        bias[1::2] -= np.float32(moved)
        changed[name] = bias
    return changed
