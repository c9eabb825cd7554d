"""MTCNN face detector on a GPU (spec 20): images (S, H, W, 3) uint8 B,G,R to `Detections`, many images at once.

Pyramid levels and crops are resized straight from bytes to normalised planes; all levels of all images go through P-Net
in one launch a layer, and so do the crops of all images through R-Net and O-Net (convnet.py). Places where P-Net sees a
face are picked on the device in the reference's order. The host gets them and the crops' scores, few numbers, and does
what is left with the reference's own functions: probabilities, thresholds, non-maximum suppression, boxes. So a batch
is 20 launches with OpenFace's networks and four waits for the device, however many images are in it.

Bounded by the host, 1 to 3 ms a photograph of suppression; the networks of a 640x480 photograph with 200 proposals are
1.5 GFLOP, 0.1 ms on an H200. Nothing here has run on a GPU yet.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.convnet import Maps, NetworkBatch
from auparity.accelerated.cupy.device import Device, shared_device
from auparity.accelerated.cupy.launch import check_device_array
from auparity.errors import ContractError
from auparity.models.types import MTCNN
from auparity.reference import detection as reference
from auparity.reference.boxes import correct_boxes, regress, square
from auparity.reference.detection import Candidates, Detections, pyramid_scales

Array = npt.NDArray[Any]

STAGE = reference.STAGE
THREADS = 256
#: The device picks places by the difference of the logits, the host by the reference's probability: ln(2/3) is where
#: that is 0.6, and the rest is far more than any rounding of the two.
LOGIT_LIMIT = np.float32(math.log(1 / float(reference.PNET_THRESHOLD) - 1) + 1e-4)
#: Bounds memory, not results: O-Net's first maps are 68 KB a crop.
CROPS_AT_ONCE = 4096
KEPT_SIZES = 64  # of images whose tables are kept on the device
SIGHT = np.dtype([("level", np.int32), ("x", np.int32), ("y", np.int32), ("values", np.float32, 6)])


@dataclass(frozen=True, eq=False)
class _Pyramid:
    """The levels of images of one size."""

    sigmas: list[float]
    sizes: tuple[tuple[int, int], ...]
    table: Any  #: (levels, 3) int32 on the device: rows, columns, first pixel
    pixels: int  #: of all levels


class Detector:
    """One `MTCNN` on a device.

    Raises
    ------
    ContractError : networks of a form that these have not.
    """

    def __init__(self, device: Device, mtcnn: MTCNN) -> None:
        self._device = device
        self._pnet, self._rnet, self._onet = (
            NetworkBatch(device, [net]) for net in (mtcnn.pnet, mtcnn.rnet, mtcnn.onet)
        )
        self._pyramids: dict[tuple[int, int], _Pyramid] = {}
        self._sight_tables: dict[Any, Any] = {}

    def detect(self, images: Any) -> list[Detections]:
        """All faces of each image.

        Parameters
        ----------
        images : (S, H, W, 3) uint8 B,G,R on the device.

        Returns
        -------
        `Detections` of each, on the host; none where an image is smaller than the smallest face.

        Raises
        ------
        ContractError : another shape or dtype, or networks with fewer outputs than spec 10.5 has.
        """
        check_device_array(STAGE, "images", images, ("S", "H", "W", 3), np.uint8)
        candidates = [
            _suppressed(
                reference._concatenate([reference._no_candidates(np.float32), *levels]), reference.NMS_PROPOSALS
            )
            for levels in self._proposals(images)
        ]
        candidates = [c.at(square(regress(c.boxes, c.regression))) for c in candidates]
        candidates = self._ask(self._rnet, reference.RNET_INPUT, reference.RNET_THRESHOLD, images, candidates)
        candidates = [_suppressed(c, reference.NMS_REFINED) for c in candidates]
        candidates = [c.at(square(regress(c.boxes, c.regression))) for c in candidates]
        candidates = self._ask(self._onet, reference.ONET_INPUT, reference.ONET_THRESHOLD, images, candidates)
        candidates = [c.at(regress(c.boxes, c.regression, add_one=True)) for c in candidates]
        candidates = [_suppressed(c, reference.NMS_FINAL, minimum=True) for c in candidates]
        return [Detections(correct_boxes(c.boxes), c.scores, c.points) for c in candidates]

    def _proposals(self, images: Any) -> list[list[Candidates]]:
        """For each image and level what P-Net takes for faces, after suppression within the level (spec 20.5, 1)."""
        count, height, width, _ = images.shape
        pyramid = self._pyramid(height, width)
        if not pyramid.sigmas:
            return [[] for _ in range(count)]
        planes = self._device.empty((count, 3 * pyramid.pixels), np.float32)
        kernel = self._device.kernel("detection", "pyramids", THREADS=THREADS)
        kernel((-(-pyramid.pixels // THREADS), count), (THREADS,), (
            images, np.int32(height), np.int32(width), pyramid.table, np.int32(len(pyramid.sigmas)),
            np.int32(pyramid.pixels), planes,
        ))  # fmt: skip
        sights = self._sights(self._pnet.run(Maps(planes, 3, pyramid.sizes)))
        scores = reference._face_probability(sights["values"], np.float32)
        sights, scores = sights[scores >= reference.PNET_THRESHOLD], scores[scores >= reference.PNET_THRESHOLD]
        levels = len(pyramid.sigmas)
        ends = np.searchsorted(sights["level"], np.arange(count * levels + 1))
        per_level = [
            _suppressed(_boxed(sights[own], scores[own], pyramid.sigmas[k % levels]), reference.NMS_SCALE)
            for k, own in enumerate(map(slice, ends[:-1], ends[1:]))
        ]
        return [per_level[k : k + levels] for k in range(0, count * levels, levels)]

    def _pyramid(self, height: int, width: int) -> _Pyramid:
        if (height, width) not in self._pyramids:
            if len(self._pyramids) >= KEPT_SIZES:
                self._pyramids.clear()
            sigmas = pyramid_scales(height, width)
            sizes = tuple((math.ceil(height * sigma), math.ceil(width * sigma)) for sigma in sigmas)
            firsts = np.concatenate([[0], np.cumsum([h * w for h, w in sizes])]).astype(np.int32)
            table = np.array([(*size, first) for size, first in zip(sizes, firsts[:-1], strict=True)], np.int32)
            self._pyramids[height, width] = _Pyramid(sigmas, sizes, self._device.upload(table), int(firsts[-1]))
        return self._pyramids[height, width]

    def _sights(self, maps: Maps) -> Array:
        """Places where P-Net may see a face (K,) `SIGHT`, on the host: by image, level, column and row."""
        if maps.channels < reference.N_BOX_OUTPUTS:
            raise ContractError(STAGE, "mtcnn.pnet", f"{reference.N_BOX_OUTPUTS} output maps", f"{maps.channels}")
        device, count, levels = self._device, len(maps.data), len(maps.sizes)
        places = [height * width for height, width in maps.sizes]
        if maps.sizes not in self._sight_tables:
            if len(self._sight_tables) >= KEPT_SIZES:
                self._sight_tables.clear()
            starts = maps.starts
            rows = [(*size, starts[k], sum(places[:k])) for k, size in enumerate(maps.sizes)]
            self._sight_tables[maps.sizes] = device.upload(np.array(rows, np.int32))
        table, sizes = self._sight_tables[maps.sizes], (np.int32(levels), np.int32(sum(places)))
        words = SIGHT.itemsize // 4
        scattered, gathered = (device.empty((count * sum(places), words), np.int32) for _ in range(2))
        counts = device.empty((count, levels), np.int32)
        device.kernel("detection", "see_faces", THREADS=THREADS)((levels, count), (THREADS,), (
            maps.data, np.int64(maps.data.shape[1]), table, *sizes, LOGIT_LIMIT, scattered, counts
        ))  # fmt: skip
        device.kernel("detection", "gather_sights", THREADS=THREADS)(
            (levels, count), (THREADS,), (scattered, counts, table, *sizes, gathered)
        )
        total = int(device.download(counts).sum())
        return device.download(gathered[:total]).view(SIGHT).reshape(total)

    def _ask(
        self, net: NetworkBatch, side: int, threshold: np.float32, images: Any, candidates: Sequence[Candidates]
    ) -> list[Candidates]:
        """Show the crops of all candidates to R-Net or O-Net and keep those that it takes for faces (spec 20.5)."""
        owner = np.repeat(np.arange(len(candidates)), [len(c.boxes) for c in candidates])
        together = reference._concatenate(list(candidates))
        inside = _touches(together.boxes, *images.shape[1:3])
        owner, together = owner[inside], together[inside]
        if len(owner):
            boxes = np.concatenate([owner[:, None], together.boxes.astype(np.int64)], axis=1)
            at = range(0, len(boxes), CROPS_AT_ONCE)
            outputs = np.concatenate([self._outputs(net, side, images, boxes[k : k + CROPS_AT_ONCE]) for k in at])
            if outputs.shape[1] < reference.N_BOX_OUTPUTS:
                raise ContractError(
                    STAGE, "mtcnn", f"networks with {reference.N_BOX_OUTPUTS} outputs", f"{outputs.shape[1]}"
                )
            scores = reference._face_probability(outputs, np.float64)
            has_points = outputs.shape[1] >= reference.N_POINT_OUTPUTS
            points = reference._decode_points(outputs, together.boxes) if has_points else together.points
            taken = scores >= threshold
            regression = outputs[:, 2 : reference.N_BOX_OUTPUTS]
            owner, together = owner[taken], Candidates(together.boxes, scores, regression, points)[taken]
        return [together[owner == k] for k in range(len(candidates))]

    def _outputs(self, net: NetworkBatch, side: int, images: Any, boxes: Array) -> Array:
        """Outputs (K, n) of a network for boxes (K, 5) of whole numbers: image, x, y, width, height."""
        _, height, width, _ = images.shape
        planes = self._device.empty((len(boxes), 3, side, side), np.float32)
        kernel = self._device.kernel("detection", "crops", THREADS=THREADS)
        kernel((len(boxes), -(-side * side // THREADS)), (THREADS,), (
            images, np.int32(height), np.int32(width), self._device.upload(boxes), np.int32(side), planes
        ))  # fmt: skip
        return self._device.download(net.forward(planes))


def _boxed(sights: Array, scores: Array, sigma: float) -> Candidates:
    """Candidates of one level, as reference.detection.proposals makes them (spec 20.4)."""
    x1, y1, x2, y2 = (
        np.trunc((reference.PNET_STRIDE * sights[axis] + offset).astype(np.float32) / np.float32(sigma))
        for offset in (1, reference.PNET_SUPPORT)
        for axis in ("x", "y")
    )
    boxes = np.stack([x1, y1, x2 - x1, y2 - y1], axis=-1)
    regression = sights["values"][:, 2 : reference.N_BOX_OUTPUTS]
    return Candidates(boxes, scores, regression, reference._no_points(len(sights), np.float32))


def _suppressed(candidates: Candidates, threshold: float, minimum: bool = False) -> Candidates:
    return reference._suppressed(candidates, threshold, minimum) if len(candidates.boxes) else candidates


def _touches(boxes: Array, height: int, width: int) -> Array:
    """Whether any pixel of the crops of boxes (K, 4) lies in the image (spec 20.8)."""
    x, y, w, h = boxes.astype(np.int64).T
    across = np.minimum(x + w, width) > np.maximum(x - 1, 0)
    down = np.minimum(y + h, height) > np.maximum(y - 1, 0)
    return np.asarray((w >= 0) & (h >= 0) & across & down)


class FaceDetector:
    """Stage `detection` with an image on the host."""

    def __init__(self, mtcnn: MTCNN, device: Device) -> None:
        self._device, self._detector = device, Detector(device, mtcnn)

    def __call__(self, image: Array) -> Detections:
        """All faces of an image (H, W, 3) uint8 B,G,R, or (H, W) gray; errors as in the reference."""
        colour = reference._as_colour(image)
        return self._detector.detect(self._device.upload(colour[None]))[0]


def build(mtcnn: MTCNN, device: Device | None = None) -> Callable[[Array], Detections]:
    """Stage `detection`, on the shared GPU where no device is given."""
    return FaceDetector(mtcnn, device or shared_device())
