"""A peer beside auparity on the same frames: auparity's run in the same form as a peer's, and how far two runs differ.

In: a `Pipeline` and a `Clip`, or two `PeerRun`s of one clip; out: a `PeerRun`, or a `Difference` in px and AU
intensity over the frames in which both have a face.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from auparity.accelerated.pipeline import Pipeline
from auparity.benchmarks.peers.peer import Array, Clip, Image, Peer, PeerRun, timed
from auparity.errors import AuparityError, ContractError
from auparity.reference.results import INTENSITY_AUS, FrameResult


@dataclass(frozen=True)
class Difference:
    """How far two runs differ: means of absolute differences, None for what one of them does not measure."""

    frames: int  #: in which both have a face
    landmarks: float | None  #: px, over frames and landmarks
    aus: float | None  #: over frames and the AUs that both have
    boxes: float | None  #: px, over frames and the four edges


class OurPipeline:
    """A pipeline to compare peers with; its kernels are compiled and its weights packed when it is made."""

    def __init__(self, pipeline: Pipeline, clip: Clip) -> None:
        self._pipeline, self._clip = pipeline, clip
        self._version = f"{pipeline.bundle.meta.name} {pipeline.bundle.short_hash}"
        self.measure()  # a whole clip: weights are packed for each view that it shows

    def measure(self) -> PeerRun:
        """Landmarks, AUs after post-processing and success; frames are timed, the end of the clip is not."""
        session = self._pipeline.start_video()

        def process(image: Image) -> FrameResult:
            return session.process_frame(image, 0.0)

        results, ms = timed(process, self._clip.images)
        offline = session.finish()
        return PeerRun(
            version=self._version, seconds=float(ms.sum()) / 1000, frames_timed=len(ms), ms=ms,
            landmarks=np.stack([result.landmarks for result in results]).astype(np.float64),
            aus={name: offline.intensity[:, k].astype(np.float64) for k, name in enumerate(INTENSITY_AUS)},
            success=np.array([result.success for result in results], bool),
        )  # fmt: skip

    def detect(self) -> PeerRun:
        """The widest face of every frame by itself."""
        self._pipeline.find_face(self._clip.images[0])
        detected, ms = timed(self._pipeline.find_face, self._clip.images)
        boxes = np.stack([np.full(4, np.nan) if box is None else np.asarray(box, np.float64) for box in detected])
        return PeerRun(
            version=self._version, seconds=float(ms.sum()) / 1000, frames_timed=len(ms), ms=ms,
            success=np.isfinite(boxes).all(axis=1), boxes=boxes,
        )  # fmt: skip


def difference(ours: PeerRun, theirs: PeerRun) -> Difference:
    """Compare two runs over one clip.

    Raises
    ------
    ContractError : they are not of the same number of frames, or one has no success flags.
    """
    if ours.success is None or theirs.success is None:
        raise ContractError("peers", "success", "flags of both runs", "None")
    if ours.success.shape != theirs.success.shape:
        raise ContractError("peers", "success", f"shape {ours.success.shape}", f"{theirs.success.shape}")
    both = ours.success & theirs.success
    landmarks = aus = boxes = None
    if both.any():
        if ours.landmarks is not None and theirs.landmarks is not None:
            landmarks = float(np.linalg.norm(ours.landmarks[both] - theirs.landmarks[both], axis=-1).mean())
        names = sorted(set(ours.aus or ()) & set(theirs.aus or ()))
        if names and ours.aus is not None and theirs.aus is not None:
            aus = float(np.mean([np.abs(ours.aus[name] - theirs.aus[name])[both] for name in names]))
        if ours.boxes is not None and theirs.boxes is not None:
            boxes = float(np.abs(_edges(ours.boxes[both]) - _edges(theirs.boxes[both])).mean())
    return Difference(int(both.sum()), landmarks, aus, boxes)


def _edges(boxes: Array) -> Array:
    """Left, top, right and bottom of boxes x, y, width, height."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def compare(peer: Peer, ours: OurPipeline, clip: Clip) -> dict[str, Any]:
    """One peer beside auparity, as a row of the table; numbers are None if there is nothing to compare.

    Raises
    ------
    AuparityError : the peer failed.
    """
    if reason := peer.unavailable_reason():
        raise AuparityError(reason)
    tracked = ours.measure()
    theirs = peer.run(clip)
    beside = tracked if theirs.boxes is None else ours.detect()
    apart = difference(beside, theirs)
    return {
        "peer": peer.name, "measures": peer.measures, "version": theirs.version, "frames": len(clip),
        "success": None if theirs.success is None else int(theirs.success.sum()), "ms": theirs.ms_a_frame,
        "our_ms": beside.ms_a_frame, "ratio": theirs.ms_a_frame / beside.ms_a_frame, "frames_compared": apart.frames,
        "landmarks_px": apart.landmarks, "aus": apart.aus, "boxes_px": apart.boxes, "note": theirs.note,
    }  # fmt: skip
