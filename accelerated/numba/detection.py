"""MTCNN face detector (spec 20): an image (H, W, 3) uint8 B,G,R to `Detections`.

The cascade and every decision in it are the reference's; what costs time is in kernels: pyramid levels and crops are
resized straight from bytes to normalised planes, the networks run on register tiles (convnet.py; all crops of a stage
are one batch), and non-maximum suppression is one loop. 40 times faster than the reference on 640x480.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.numba.compile import kernel
from auparity.accelerated.numba.convnet import Network
from auparity.errors import ContractError
from auparity.models.types import MTCNN
from auparity.reference import detection as reference
from auparity.reference.boxes import correct_boxes, regress, square
from auparity.reference.detection import Candidates, Detections, PyramidLevelTrace, proposals, pyramid_scales

Array = npt.NDArray[Any]

STAGE = reference.STAGE
MEAN, FACTOR = np.float32(reference.INPUT_MEAN), np.float32(reference.INPUT_FACTOR)


@kernel
def _axis(source: int, destination: int, left: Array, fraction: Array) -> None:
    """Left neighbour and fraction of every destination index along one axis (spec 90.3)."""
    scale = 1.0 / (destination / source)
    for k in range(destination):
        position = np.float32((k + 0.5) * scale - 0.5)
        at = math.floor(position)
        part = position - np.float32(at)
        if at < 0 or at >= source - 1:
            part = np.float32(0)
        left[k], fraction[k] = min(max(at, 0), source - 1), part


@kernel
def _pixel(image: Array, y: int, x: int, c: int) -> np.float32:
    """A channel of a pixel; 0 outside."""
    if 0 <= y < image.shape[0] and 0 <= x < image.shape[1]:
        return np.float32(image[y, x, c])
    return np.float32(0)


@kernel
def resize_to_planes(image: Array, top: int, left: int, height: int, width: int, out: Array) -> None:
    """A region of an image (H, W, 3) uint8, 0 outside it, resized to normalised planes R, G, B (3, h, w) float32.

    Columns first, then rows, with the roundings of reference/resampling.resize_bilinear_f32; exactly 2:1 is area
    averaging there.
    """
    rows, columns = out.shape[1], out.shape[2]
    one, quarter = np.float32(1), np.float32(0.25)
    if height == 2 * rows and width == 2 * columns:
        for c in range(3):
            for y in range(rows):
                for x in range(columns):
                    a, b = top + 2 * y, left + 2 * x
                    value = _pixel(image, a, b, c) + _pixel(image, a, b + 1, c)
                    value = (value + _pixel(image, a + 1, b, c)) + _pixel(image, a + 1, b + 1, c)
                    out[2 - c, y, x] = (value * quarter - MEAN) * FACTOR
        return
    across, down = np.empty(columns, np.int64), np.empty(rows, np.int64)
    wx, wy = np.empty(columns, np.float32), np.empty(rows, np.float32)
    _axis(width, columns, across, wx)
    _axis(height, rows, down, wy)
    for y in range(rows):
        y0 = top + down[y]
        y1 = top + min(down[y] + 1, height - 1)
        for x in range(columns):
            x0 = left + across[x]
            x1 = left + min(across[x] + 1, width - 1)
            for c in range(3):
                upper = _pixel(image, y0, x0, c) * (one - wx[x]) + _pixel(image, y0, x1, c) * wx[x]
                lower = _pixel(image, y1, x0, c) * (one - wx[x]) + _pixel(image, y1, x1, c) * wx[x]
                value = upper * (one - wy[y]) + lower * wy[y]
                out[2 - c, y, x] = (value - MEAN) * FACTOR


@kernel
def _crops(image: Array, boxes: Array, side: int, out: Array, inside: Array) -> int:
    """Crops (K, 3, side, side) of boxes (K, 4) of whole numbers, those that touch the image in front (spec 20.8)."""
    kept = 0
    for k in range(boxes.shape[0]):
        x, y, width, height = boxes[k, 0], boxes[k, 1], boxes[k, 2], boxes[k, 3]
        x0, x1 = max(x - 1, 0), min(x + width, image.shape[1])
        y0, y1 = max(y - 1, 0), min(y + height, image.shape[0])
        inside[k] = width >= 0 and height >= 0 and x1 > x0 and y1 > y0
        if inside[k]:
            _resize_crop(image, x, y, width, height, out[kept])
            kept += 1
    return kept


@kernel
def _resize_crop(image: Array, x: int, y: int, width: int, height: int, out: Array) -> None:
    # The crop starts one pixel left of and above the box and holds nothing of the row and column behind it.
    resize_to_planes(image, y - 1, x - 1, height + 1, width + 1, out)


@kernel
def suppress(boxes: Array, order: Array, threshold: np.float32, minimum: bool) -> Array:
    """Indices of the boxes (K, 4) of whole numbers that stay, best first; `order` (K,) best first (spec 20.5)."""
    count = order.shape[0]
    gone, kept, number = np.zeros(count, np.bool_), np.empty(count, np.int64), 0
    for i in range(count):
        if gone[i]:
            continue
        best = order[i]
        kept[number] = best
        number += 1
        right, bottom = boxes[best, 0] + boxes[best, 2], boxes[best, 1] + boxes[best, 3]
        area = boxes[best, 2] * boxes[best, 3]
        for j in range(i + 1, count):
            if gone[j]:
                continue
            other = order[j]
            wide = min(right, boxes[other, 0] + boxes[other, 2]) - max(boxes[best, 0], boxes[other, 0])
            high = min(bottom, boxes[other, 1] + boxes[other, 3]) - max(boxes[best, 1], boxes[other, 1])
            common = max(wide, 0) * max(high, 0)
            other_area = boxes[other, 2] * boxes[other, 3]
            whole = min(area, other_area) if minimum else area + other_area - common
            # An overlap with an empty box is 0 / 0: not above the threshold, as in C++.
            gone[j] = np.float32(common) / np.float32(whole) > threshold
    return kept[:number]


def _suppressed(candidates: Candidates, threshold: float, minimum: bool = False) -> Candidates:
    order = np.argsort(candidates.scores, kind="stable")[::-1]
    boxes = np.rint(candidates.boxes).astype(np.int64)
    return candidates[suppress(boxes, np.ascontiguousarray(order), np.float32(threshold), minimum)]


class Detector:
    """Stage `detection` of one `MTCNN`."""

    def __init__(self, mtcnn: MTCNN) -> None:
        self._pnet, self._rnet, self._onet = (Network(net) for net in (mtcnn.pnet, mtcnn.rnet, mtcnn.onet))

    def __call__(self, image: Array) -> Detections:
        """All faces of an image (H, W, 3) uint8 B,G,R, or (H, W) gray; errors as in the reference."""
        colour = np.ascontiguousarray(reference._as_colour(image))
        levels = [self._level(colour, sigma) for sigma in pyramid_scales(*colour.shape[:2])]
        per_level = [_suppressed(proposals(level), reference.NMS_SCALE) for level in levels]
        candidates = reference._concatenate([reference._no_candidates(np.float32), *per_level])
        candidates = _suppressed(candidates, reference.NMS_PROPOSALS)
        candidates = candidates.at(square(regress(candidates.boxes, candidates.regression)))
        candidates = self._ask(self._rnet, reference.RNET_INPUT, reference.RNET_THRESHOLD, colour, candidates)
        candidates = _suppressed(candidates, reference.NMS_REFINED)
        candidates = candidates.at(square(regress(candidates.boxes, candidates.regression)))
        candidates = self._ask(self._onet, reference.ONET_INPUT, reference.ONET_THRESHOLD, colour, candidates)
        candidates = candidates.at(regress(candidates.boxes, candidates.regression, add_one=True))
        candidates = _suppressed(candidates, reference.NMS_FINAL, minimum=True)
        return Detections(correct_boxes(candidates.boxes), candidates.scores, candidates.points)

    def _level(self, image: Array, sigma: float) -> PyramidLevelTrace:
        """P-Net on one level of the pyramid."""
        height, width = image.shape[:2]
        planes = np.empty((1, 3, math.ceil(height * sigma), math.ceil(width * sigma)), np.float32)
        resize_to_planes(image, 0, 0, height, width, planes[0])
        outputs = self._pnet.forward(planes)
        if outputs.ndim == 2:  # the smallest level: P-Net's maps are single pixels
            outputs = outputs[:, :, None, None]
        if outputs.shape[1] < reference.N_BOX_OUTPUTS:
            raise ContractError(STAGE, "mtcnn.pnet", f"{reference.N_BOX_OUTPUTS} output maps", f"{outputs.shape[1]}")
        probability = reference._face_probability(outputs, np.float32)[0]
        return PyramidLevelTrace(sigma, planes, probability, outputs[0, 2 : reference.N_BOX_OUTPUTS].transpose(1, 2, 0))

    def _ask(self, net: Network, side: int, threshold: np.float32, image: Array, candidates: Candidates) -> Candidates:
        """Show the crops of candidates to R-Net or O-Net and keep those that it takes for faces (spec 20.5)."""
        count = len(candidates.boxes)
        crops, inside = np.empty((count, 3, side, side), np.float32), np.empty(count, np.bool_)
        kept = _crops(image, candidates.boxes.astype(np.int64), side, crops, inside)
        candidates = candidates[np.flatnonzero(inside)]
        if not kept:
            return candidates
        batches = (crops[k : min(k + reference.CROPS_AT_ONCE, kept)] for k in range(0, kept, reference.CROPS_AT_ONCE))
        outputs = np.concatenate([net.forward(batch) for batch in batches])
        if outputs.shape[1] < reference.N_BOX_OUTPUTS:
            raise ContractError(
                STAGE, "mtcnn", f"networks with {reference.N_BOX_OUTPUTS} outputs", f"{outputs.shape[1]}"
            )
        scores, boxes = reference._face_probability(outputs, np.float64), candidates.boxes
        has_points = outputs.shape[1] >= reference.N_POINT_OUTPUTS
        points = reference._decode_points(outputs, boxes) if has_points else reference._no_points(kept, np.float32)
        return Candidates(boxes, scores, outputs[:, 2 : reference.N_BOX_OUTPUTS], points)[scores >= threshold]


def build(mtcnn: MTCNN) -> Callable[[Array], Detections]:
    """Stage `detection`."""
    return Detector(mtcnn)
