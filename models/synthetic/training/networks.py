"""``auparity dev train-networks -o FOLDER``: RetinaFace and PFLD, of the published sizes, trained on rendered faces.

They learn from the same pictures as the embedded bundle (`training/run.py`), so the folder of such a training may be
named, or one that this command has begun. Finished parts are not repeated, and a network goes on from its last
checkpoint; --seconds ends a sitting. FOLDER/progress.log has the progress, FOLDER/report.json the figures on faces that
training never saw, FOLDER/retinaface.npz and pfld.npz the weights. Networks: spec 95.1 and 95.2.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from auparity.errors import AuparityError
from auparity.models.networks import shapes
from auparity.models.synthetic.networks import losses
from auparity.models.synthetic.networks.boxes import box_of
from auparity.models.synthetic.networks.crops import crop_at, random_crop
from auparity.models.synthetic.networks.scenes import ScenePainter
from auparity.models.synthetic.networks.trainer import Trainer, first_weights
from auparity.models.synthetic.training.run import (
    BACKGROUND_SEEDS,
    BACKGROUNDS,
    PHOTOGRAPHS,
    TRAINING,
    VALIDATION,
    VALIDATION_BACKGROUNDS,
    VALIDATION_PHOTOGRAPHS,
)
from auparity.models.synthetic.training.samples import PhotoSet, background_set, photo_set
from auparity.models.synthetic.training.shape import MIRROR_68
from auparity.models.synthetic.training.torch_extra import require_torch
from auparity.models.synthetic.training.workspace import Workspace
from auparity.reference.networks import pfld
from auparity.reference.networks.retinaface import RetinaFaceGraph, centred, decode, priors, raw_faces, select

if TYPE_CHECKING:
    import torch

    from auparity.accelerated.torch.network_layers import TorchLayers

Array = npt.NDArray[Any]

#: Steps, pictures of a step, and largest rate.
PFLD_TRAINING = (5000, 32, 2e-3)
RETINAFACE_TRAINING = (5000, 12, 2e-3)
SCENE = 320  #: px
FIXED_SEED = 9


def maps_of(crops: Array) -> torch.Tensor:
    """(N, 3, H, W) red, green, blue from 0 to 1 of crops (N, H, W, 3) uint8 BGR."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(crops[..., ::-1])).permute(0, 3, 1, 2).float() / 255


def train_pfld(workspace: Workspace, photos: PhotoSet, seconds: float = math.inf) -> Trainer:
    """Train PFLD, or go on training it, for so long."""
    require_torch()
    steps, size, rate = PFLD_TRAINING
    trainer = Trainer(workspace, "pfld", first_weights(shapes.pfld(), FIXED_SEED), steps, rate)

    def batch(rng: np.random.Generator) -> tuple[Array, Array]:
        crops = []
        for k in rng.integers(0, len(photos), size):
            points = np.asarray(photos.landmarks[k])
            crops.append(random_crop(np.asarray(photos.images[k]), points, points, pfld.SIDE, MIRROR_68, rng))
        return np.stack([crop.image for crop in crops]), np.stack([crop.points for crop in crops])

    def loss_of(net: TorchLayers, given: tuple[Array, Array]) -> torch.Tensor:
        import torch

        found = pfld.graph(net, maps_of(given[0]))
        return losses.wing(found.view(len(found), -1, 2), torch.from_numpy(given[1]), pfld.SIDE)

    trainer.run(batch, loss_of, seconds)
    return trainer


def train_retinaface(workspace: Workspace, photos: PhotoSet, backgrounds: Array, seconds: float = math.inf) -> Trainer:
    """Train RetinaFace, or go on training it, for so long."""
    require_torch()
    steps, size, rate = RETINAFACE_TRAINING
    trainer = Trainer(workspace, "retinaface", first_weights(shapes.retinaface("mobile0.25"), FIXED_SEED), steps, rate)
    painter = ScenePainter(photos.images, photos.landmarks, backgrounds, SCENE)
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
        levels = RetinaFaceGraph(net, "mobile0.25")(
            torch.from_numpy(centred(images)).to(memory_format=torch.channels_last)
        )
        said = [
            torch.cat([level[kind].permute(0, 2, 3, 1).reshape(len(images), -1, width) for level in levels], dim=1)
            for kind, width in enumerate((4, 2, 10))
        ]
        truth = (torch.from_numpy(values) for values in (label, box, five))
        return losses.multibox((said[0], said[1], said[2]), *truth)

    trainer.run(batch, loss_of, seconds)
    return trainer


def pfld_error(weights: dict[str, Array], photos: PhotoSet, limit: int = 600) -> Array:
    """(N,) mean landmark error of each picture in parts of the distance of the outer eye corners, from true boxes."""
    import torch

    from auparity.accelerated.torch.network_layers import TorchLayers

    net = TorchLayers.of_arrays(weights, torch.device("cpu"))
    errors = []
    for k in range(min(limit, len(photos))):
        true = np.asarray(photos.landmarks[k], np.float64)
        crop = crop_at(np.asarray(photos.images[k]), true, box_of(true[None])[0], pfld.SIDE)
        with torch.inference_mode():
            found = pfld.graph(net, maps_of(crop.image[None])).numpy().reshape(-1, 2)
        off = np.linalg.norm(found - crop.points, axis=1).mean()
        errors.append(off / np.linalg.norm(crop.points[36] - crop.points[45]))
    return np.array(errors)


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


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="auparity dev train-networks", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("results/training"), metavar="FOLDER")
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch, default: 2")
    parser.add_argument("--networks", nargs="+", choices=("pfld", "retinaface"), default=["pfld", "retinaface"])
    parser.add_argument("--seconds", type=float, default=math.inf, help="of each network in this sitting")
    chosen = parser.parse_args(arguments)
    try:
        require_torch().set_num_threads(chosen.threads)
        _train(Workspace(chosen.output), chosen.networks, chosen.seconds)
    except AuparityError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command resumes", file=sys.stderr)
        return 130
    return 0


def _train(workspace: Workspace, networks: list[str], seconds: float) -> None:
    photos = photo_set(workspace, "photos_train", PHOTOGRAPHS, TRAINING)
    unseen = photo_set(workspace, "photos_validation", VALIDATION_PHOTOGRAPHS, VALIDATION)
    backgrounds = background_set(workspace, "backgrounds_train", BACKGROUNDS, TRAINING + BACKGROUND_SEEDS)
    empty = background_set(
        workspace, "backgrounds_validation", VALIDATION_BACKGROUNDS, VALIDATION + BACKGROUND_SEEDS
    )  # fmt: skip
    train: dict[str, Callable[[], Trainer]] = {
        "pfld": lambda: train_pfld(workspace, photos, seconds),
        "retinaface": lambda: train_retinaface(workspace, photos, backgrounds, seconds),
    }
    for name in networks:
        trainer = train[name]()
        weights = trainer.result()
        workspace.save(name, **weights)
        if name == "pfld":
            errors = pfld_error(weights, unseen)
            figures = {"nme": float(errors.mean()), "nme_median": float(np.median(errors))}
        else:
            figures = retinaface_figures(weights, unseen, empty)
        workspace.report(name, steps=trainer.step, of_steps=trainer.steps, **figures)
        workspace.log(f"{name}: step {trainer.step} of {trainer.steps}, {figures}")
