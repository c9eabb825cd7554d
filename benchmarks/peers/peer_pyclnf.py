"""pyclnf: OpenFace's CE-CLM landmark detection with its validator, tracking from frame to frame (no AUs).

In: BGR frames. Out: 68 landmarks and whether the validator accepts them.

The interface is that of pyclnf 0.4.1's README and docstrings: ``CLNF()`` builds the model with pymtcnn as its detector;
for video ``detect_and_fit(image)`` is called on consecutive frames, returns landmarks (68, 2) and a dictionary, and
raises ValueError without a face; ``reset_temporal_state()`` has to be called at the start of a video and after a
tracking failure, which ``needs_redetection`` of the dictionary reports (``detect_and_fit`` by itself never detects
again). ``validation_passed`` is taken as success; a model without its validator does not have it. With PyTorch pyclnf
computes on a GPU if there is one, and chooses its number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from auparity.benchmarks.peers.packages import PYCLNF, PYMTCNN
from auparity.benchmarks.peers.peer import WARM_UP, Array, Clip, Image, PeerRun, as_array, timed
from auparity.errors import VariantUnavailable

NO_FACE = "No faces detected"  # start of the ValueError for an image without a face; others are failures


@dataclass(frozen=True)
class PyCLNF:
    """Landmarks in Python."""

    name: str = "pyclnf"
    measures: str = "landmarks (CE-CLM)"

    def unavailable_reason(self) -> str | None:
        """See `Peer`."""
        return PYCLNF.unavailable_reason() or PYMTCNN.unavailable_reason()

    def run(self, clip: Clip) -> PeerRun:
        """See `Peer`."""
        package = PYCLNF.load()
        PYMTCNN.load()
        with PYCLNF.at_work():
            model = package.CLNF()
            if model.detector is None:  # it only prints a warning when its detector cannot be built
                raise VariantUnavailable(
                    f"{PYCLNF.version} could not build its face detector (its warning is above): "
                    f'pip install "{PYMTCNN.requirement}"'
                )

            def fit(image: Image) -> tuple[Array, bool]:
                return _fit(model, image)

            for image in clip.images[:WARM_UP]:
                fit(image)
            model.reset_temporal_state()
            fits, ms = timed(fit, clip.images)
        return PeerRun(
            version=f"{PYCLNF.version}, {PYMTCNN.version}", seconds=float(ms.sum()) / 1000, frames_timed=len(clip),
            ms=ms, landmarks=np.stack([landmarks for landmarks, _ in fits]),
            success=np.array([success for _, success in fits]), note="landmarks without AUs",
        )  # fmt: skip


def _fit(model: Any, image: Image) -> tuple[Array, bool]:
    """Landmarks of the next frame, NaN without a face, and whether they are accepted."""
    try:
        landmarks, info = model.detect_and_fit(image)
    except ValueError as error:
        if not str(error).startswith(NO_FACE):
            raise
        return np.full((68, 2), np.nan), False
    if info.get("needs_redetection", False):
        model.reset_temporal_state()
    return as_array(landmarks, (68, 2), "landmarks of pyclnf"), bool(info.get("validation_passed", True))
