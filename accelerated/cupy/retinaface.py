"""RetinaFace as a locator on a GPU (reference/networks/face_locator.py): images (S, H, W, 3) uint8 to `Detections`.

The network runs on all images at once (networks.py). Of its thousands of anchors those that may be faces are picked on
the device, in the reference's order; only these come down, 68 bytes each, and the host does the rest with the
reference's own functions: probabilities, decoding, suppression, boxes as MTCNN has them. A batch waits for the device
twice. Nothing here has run on a GPU yet.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.device import Device
from auparity.accelerated.cupy.launch import check_device_array
from auparity.accelerated.cupy.networks import Network, at_once
from auparity.models.types import RetinaFace
from auparity.reference.detection import Detections
from auparity.reference.networks.face_locator import detections_of
from auparity.reference.networks.retinaface import STAGE, Found, Selection, decode, face_probability, priors, select

Array = npt.NDArray[Any]

THREADS = 256
SEEN = np.dtype([("anchor", np.int32), ("box", np.float32, 4), ("classes", np.float32, 2), ("points", np.float32, 10)])


class RetinaFaceDetector:
    """One `RetinaFace` on a device.

    Parameters
    ----------
    selection : which of its boxes are faces; None for the reference's choice.
    """

    def __init__(self, device: Device, weights: RetinaFace, selection: Selection | None = None) -> None:
        self._device, self.network = device, Network(device, weights)
        self.selection = selection or Selection()
        # The device picks anchors by the difference of the logits, the host by the reference's probability; what is
        # added is far more than any rounding of the two.
        self._limit = np.float32(math.log(1 / self.selection.candidate - 1) + 1e-4)

    def detect(self, images: Any) -> list[Detections]:
        """All faces of each image, best score first.

        Parameters
        ----------
        images : (S, H, W, 3) uint8 B,G,R on the device.

        Raises
        ------
        ContractError : another shape or dtype.
        """
        _, height, width, _ = check_device_array(STAGE, "images", images, ("S", "H", "W", 3), np.uint8)
        found: list[Found] = []
        step = at_once(height, width)
        for first in range(0, len(images), step):
            some = images[first : first + step]
            found += [self._faces(seen, (height, width)) for seen in self._seen(some)]
        return [detections_of(faces) for faces in found]

    def _seen(self, images: Any) -> list[Array]:
        """Of each image the anchors that may be faces, (K,) `SEEN` on the host."""
        device, outputs, count = self._device, self.network.run(images), len(images)
        arguments: list[Any] = []
        anchors = 0
        for level in range(0, len(outputs), 3):
            boxes, classes, points = outputs[level : level + 3]
            places = boxes.shape[2] * boxes.shape[3]
            arguments += [boxes, classes, points, np.int32(places)]
            anchors += 2 * places
        words = SEEN.itemsize // 4
        scattered, gathered = (device.empty((count * anchors, words), np.int32) for _ in range(2))
        counts = device.empty(count, np.int32)
        device.kernel("retinaface", "see_faces", THREADS=THREADS)(
            (count,), (THREADS,), (*arguments, self._limit, scattered, counts)
        )
        device.kernel("retinaface", "gather_faces", THREADS=THREADS)(
            (count,), (THREADS,), (scattered, counts, np.int32(anchors), gathered)
        )
        each = device.download(counts)
        total = int(each.sum())
        rows = device.download(gathered[:total]).view(SEEN).reshape(total)
        return np.split(rows, np.cumsum(each)[:-1])

    def _faces(self, seen: Array, size: tuple[int, int]) -> Found:
        """The faces among the anchors of an image that may be some, as `find_faces` has them."""
        scores = face_probability(seen["classes"])
        likely = scores > self.selection.candidate
        seen, scores = seen[likely], scores[likely]
        boxes, points = decode(seen["box"], seen["points"], priors(*size)[seen["anchor"]], size)
        return select(boxes, scores, points, self.selection)
