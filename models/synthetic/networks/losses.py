"""What the networks are trained to make small."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[Any]

#: Anchors that overlap a face by so much learn it; so do the nearest anchors of faces that none overlaps so much.
FACE_FROM = 0.35
#: Anchors without a face that count, for each with one: the hardest (Liu et al., SSD, ECCV 2016).
HARD_NEGATIVES = 7
#: Weights of box, class and points (Deng et al., 2020, as their reference training has them).
BOX_WEIGHT, CLASS_WEIGHT, POINTS_WEIGHT = 2.0, 1.0, 1.0
#: Of the wing loss: from where on it is linear, and how sharp it is near 0; pixels of the crop.
WING, WING_SHARPNESS = 6.0, 1.5


def wing(found: torch.Tensor, true: torch.Tensor, side: int) -> torch.Tensor:
    """Wing loss of points in parts of a crop (Feng, Kittler, Awais, Huber, Wu, CVPR 2018): small errors count too."""
    import torch

    error = (found - true).abs() * side
    near = WING * torch.log1p(error / WING_SHARPNESS)
    beyond = WING - WING * float(np.log1p(WING / WING_SHARPNESS))
    return torch.where(error < WING, near, error - beyond).mean()


def assign(anchors: Array, boxes: Array, counted: Array) -> tuple[Array, Array]:
    """Which face each anchor learns.

    Parameters
    ----------
    anchors : (P, 4) centre x, y, width, height. boxes : (K, 4) corners, in the same units. counted : (K,) bool.

    Returns
    -------
    (P,) the face, and (P,) 1 for a face, 0 for none, -1 for anchors that learn nothing.
    """
    if not len(boxes):
        return np.zeros(len(anchors), np.int64), np.zeros(len(anchors), np.int8)
    first, last = anchors[:, :2] - anchors[:, 2:] / 2, anchors[:, :2] + anchors[:, 2:] / 2
    low = np.maximum(first[:, None], boxes[None, :, :2])
    high = np.minimum(last[:, None], boxes[None, :, 2:])
    common = np.maximum(high - low, 0).prod(axis=2)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    share = common / (anchors[:, 2:].prod(axis=1)[:, None] + areas[None] - common)
    face = share.argmax(axis=1)
    label = (share.max(axis=1) >= FACE_FROM).astype(np.int8)
    for k in np.flatnonzero(counted):
        nearest = int(share[:, k].argmax())
        face[nearest], label[nearest] = k, 1
    label[(label == 1) & ~counted[face]] = -1
    return face, label


def overlaps(boxes: Array, box: Array) -> Array:
    """(K,) intersection over union of boxes (K, 4) with one (4,); corners."""
    common = np.maximum(np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2]), 0).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    return np.asarray(common / np.maximum(areas - common, 1e-9))


def shown(box: Array, limits: Array) -> float:
    """How much of a box (4,) lies within a picture of corners (0, 0) and `limits[:2]`."""
    within = np.minimum(np.maximum(box, 0), limits)
    return float((within[2:] - within[:2]).prod() / max((box[2:] - box[:2]).prod(), 1e-9))


def targets(anchors: Array, boxes: Array, points: Array) -> tuple[Array, Array]:
    """What the network must say of anchors (A, 4) that are to find boxes (A, 4) and points (A, 5, 2)."""
    centre, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    of_box = np.concatenate(
        [(centre - anchors[:, :2]) / (0.1 * anchors[:, 2:]), np.log(size / anchors[:, 2:]) / 0.2], 1
    )
    of_points = (points - anchors[:, None, :2]) / (0.1 * anchors[:, None, 2:])
    return of_box.astype(np.float32), of_points.reshape(-1, 10).astype(np.float32)


def multibox(
    said: tuple[torch.Tensor, torch.Tensor, torch.Tensor], label: torch.Tensor, box: torch.Tensor, points: torch.Tensor
) -> torch.Tensor:
    """The loss of a batch.

    Parameters
    ----------
    said : boxes (N, P, 4), logits (N, P, 2) and points (N, P, 10) of the network.
    label : (N, P) as of `assign`. box, points : (N, P, 4) and (N, P, 10), of the anchors with label 1.
    """
    import torch
    import torch.nn.functional as F

    boxes, logits, five = said
    positive = label == 1
    count = positive.sum().clamp(min=1)
    of_box = F.smooth_l1_loss(boxes[positive], box[positive], reduction="sum")
    of_points = F.smooth_l1_loss(five[positive], points[positive], reduction="sum")
    entropy = F.cross_entropy(logits.flatten(0, 1), positive.flatten().long(), reduction="none").view(label.shape)
    negative = torch.where(label == 0, entropy.detach(), torch.zeros_like(entropy))
    # At least a few of every picture, so that backgrounds count.
    wanted = (HARD_NEGATIVES * positive.sum(1)).clamp(min=20)
    rank = negative.argsort(1, descending=True).argsort(1)
    hard = (rank < wanted[:, None]) & (label == 0)
    of_class = entropy[positive | hard].sum()
    return (BOX_WEIGHT * of_box + CLASS_WEIGHT * of_class + POINTS_WEIGHT * of_points) / count
