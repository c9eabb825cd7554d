"""A pipeline whose numbers are known beforehand, and small clips to run it on, for the tests of extraction.

The k-th frame has x coordinates k, k + 1, ...; its online AUs are -k / 8 (negative, as raw predictions can be), its
post-processed ones (k + 1) / 4 and presence 1. Frame `fail_at` raises instead.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np

from auparity.models.types import BundleMeta
from auparity.reference.options import PipelineOptions
from auparity.reference.results import FrameResult, OfflineAUs

META = BundleMeta(
    "fake", "1", "none", {"landmark_model": "clnf", "reason": "there are no CE-CLM files", "path": Path("m")}
)


def result(
    index: int = 0, *, face_id: int = 0, timestamp: float = 0.0, success: bool = True, **changes: Any
) -> FrameResult:
    values: dict[str, Any] = {
        "index": index,
        "face_id": face_id,
        "timestamp": timestamp,
        "success": success,
        "detection_success": success,
        "confidence": float(np.float32(0.975)),
        "landmarks": np.stack([index + np.arange(68), 100 + np.arange(68)], axis=1).astype(np.float32),
        "landmarks_3d": np.arange(204, dtype=np.float32).reshape(3, 68).T,
        "params_global": np.full(6, 0.5, np.float32),
        "params_local": np.zeros(34, np.float32),
        "pose": np.array([1, 2, 3, 0.1, 0.2, 0.3], np.float32),
        "eye_landmarks": np.zeros((2, 28, 2), np.float32),
        "eye_landmarks_3d": np.zeros((2, 28, 3), np.float32),
        "gaze": np.zeros((2, 3), np.float32),
        "gaze_angles": np.zeros(2, np.float32),
        "au_intensity": np.full(17, -index / 8),
        "au_presence": np.zeros(18),
    }
    return FrameResult(**{**values, **changes})


class FakeSession:
    def __init__(self, owner: FakePipeline) -> None:
        self.owner = owner
        self.tracked = self.frames = 0

    def process_frame(self, image: np.ndarray, timestamp: float) -> FrameResult:
        tracked = self.track(image, timestamp)
        return self.measure(tracked, self.describe(image, tracked))

    def track(self, image: np.ndarray, timestamp: float) -> tuple[int, float]:
        assert image.dtype == np.uint8
        assert image.ndim == 3
        self.tracked += 1
        if self.owner.before_frame is not None and self.tracked - 1 != self.owner.fail_at:
            self.owner.before_frame(self.tracked - 1)
        return self.tracked - 1, timestamp

    def describe(self, image: np.ndarray, tracked: tuple[int, float]) -> None:
        pass

    def measure(self, tracked: tuple[int, float], described: None) -> FrameResult:
        index, timestamp = tracked
        self.frames += 1  # before the failure: an interrupted frame may have entered the history
        if index == self.owner.fail_at:
            assert self.owner.failure is not None
            raise self.owner.failure
        return result(index, timestamp=timestamp, success=self.owner.success and index % 2 == 0)

    def finish(self) -> OfflineAUs:
        ramp = (np.arange(self.frames) + 1.0) / 4
        return OfflineAUs(np.repeat(ramp[:, None], 17, axis=1), np.ones((self.frames, 18)))


class FakePipeline:
    def __init__(
        self, *, fail_at: int | None = None, failure: BaseException | None = None, before_frame: Any = None
    ) -> None:
        self.bundle = SimpleNamespace(meta=META, content_hash="0123456789abcdef")
        self.precision, self.variants = "float32", {"fhog": "fake"}
        self.fail_at, self.failure, self.before_frame = fail_at, failure, before_frame
        self.options = PipelineOptions()
        self.sessions: list[dict[str, Any]] = []
        self.faces_per_image = 2
        self.success = True  # False: no frame has a face

    def start_video(self, *, camera: Any = None, online: bool = False) -> FakeSession:
        self.sessions.append({"camera": camera, "online": online})
        return FakeSession(self)

    def process_image(self, image: np.ndarray, *, camera: Any = None, multi_view: Any = None) -> list[FrameResult]:
        if self.failure is not None:
            raise self.failure
        return [result(face_id=k, success=k == 0) for k in range(self.faces_per_image)]


def write_video(path: Path, n_frames: int, *, size: tuple[int, int] = (64, 48), fps: float = 25) -> Path:
    """A noisy MJPG clip of `size` (width, height); noise makes every frame large, so cutting the file loses frames."""
    rng = np.random.default_rng(0)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, size)
    assert writer.isOpened()
    for _ in range(n_frames):
        writer.write(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    writer.release()
    return path


def write_images(folder: Path, n_images: int, *, size: tuple[int, int] = (64, 48)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(n_images):
        cv2.imwrite(str(folder / f"{k:03d}.png"), np.full((size[1], size[0], 3), k, np.uint8))
    return folder
