"""pymtcnn: MTCNN face detection with OpenFace's networks, each frame by itself (no landmarks of the face, no AUs).

In: BGR frames. Out: the box of the widest face, which OpenFace would track.

The interface is that of pymtcnn 1.2.0's README and docstrings: ``MTCNN()`` chooses a backend;
``detect(image)`` gives boxes (N, 4) as x, y, width, height and points (N, 5, 2); ``get_backend_info()`` says which
backend it is. Backends choose their number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from auparity.benchmarks.peers.packages import PYMTCNN
from auparity.benchmarks.peers.peer import WARM_UP, Array, Clip, Image, PeerRun, as_array, timed


@dataclass(frozen=True)
class PyMTCNN:
    """The detector of pyclnf and pyfaceau."""

    name: str = "pymtcnn"
    measures: str = "faces"

    def unavailable_reason(self) -> str | None:
        """See `Peer`."""
        return PYMTCNN.unavailable_reason()

    def run(self, clip: Clip) -> PeerRun:
        """See `Peer`."""
        package = PYMTCNN.load()
        with PYMTCNN.at_work():
            detector = package.MTCNN()

            def detect(image: Image) -> Any:
                return detector.detect(image)

            for image in clip.images[:WARM_UP]:
                detect(image)
            per_image, ms = timed(detect, clip.images)
            boxes = np.stack([widest(detected) for detected in per_image])
            backend = ", ".join(str(value) for value in detector.get_backend_info().values())
        return PeerRun(
            version=PYMTCNN.version, seconds=float(ms.sum()) / 1000, frames_timed=len(clip), ms=ms,
            success=np.isfinite(boxes).all(axis=1), boxes=boxes, note=f"detection in every frame, on {backend}",
        )  # fmt: skip


def widest(detected: Any) -> Array:
    """The box (4,) of the widest face that `MTCNN.detect` returns, NaN without one."""
    boxes, _ = detected
    boxes = as_array(boxes, (None, 4), "boxes of pymtcnn")
    return boxes[np.argmax(boxes[:, 2])] if len(boxes) else np.full(4, np.nan)
