"""A small clip's truth and results for it with known errors, for the tests of truth files, overlays and pages."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from auparity.extraction.table_writers import open_table
from auparity.media.types import Frame
from auparity.media.web_video import write_web_video
from auparity.models.synthetic.truth_file import TruthMeta, write_truth
from auparity.models.synthetic.types import AU_NAMES, RenderCamera, Truth
from auparity.reference.results import FrameResult, OfflineAUs
from auparity.reports.clips.page import Video
from auparity.reports.clips.sidecar import sidecar_of

CAMERA = RenderCamera(400.0, 80.0, 60.0)
META = TruthMeta(3_000_000, 160, 120, 30.0, CAMERA, "auparity renderer 0123456789ab")
SIZE = (160, 120)
FRAMES = 12


def face_shape() -> np.ndarray:
    """(68, 2) px: an oval of 17, and the rest on a grid inside; outer eye corners 40 px apart."""
    jaw = np.stack([80 - 35 * np.cos(np.arange(17) * np.pi / 16), 60 + 45 * np.sin(np.arange(17) * np.pi / 16)], axis=1)
    rest = np.stack([55 + 6.0 * (np.arange(51) % 8), 40 + 6.0 * (np.arange(51) // 8)], axis=1)
    shape = np.concatenate([jaw, rest])
    shape[36], shape[45] = (60, 55), (100, 55)
    return shape


def truths(frames: int = FRAMES) -> list[Truth]:
    """A head that turns while one AU after another comes and goes."""
    rng = np.random.default_rng(5)
    found = []
    for k in range(frames):
        aus = np.zeros(len(AU_NAMES))
        aus[k % len(AU_NAMES)] = 3.0
        aus[AU_NAMES.index("AU12")] = 5 * k / frames
        gaze = np.array([[0.1, 0.0, -1.0], [0.0, 0.1, -1.0]])
        found.append(
            Truth(
                landmarks=face_shape() + k,
                points_98=np.tile(face_shape()[30] + k, (98, 1)),
                landmarks_3d=rng.normal(size=(68, 3)),
                visible=np.arange(68) != k,
                eye_landmarks=np.tile(face_shape()[36] + k, (2, 28, 1)) + rng.normal(size=(2, 28, 2)),
                eye_landmarks_3d=rng.normal(size=(2, 28, 3)),
                pose=np.array([0.0, 0.0, 600.0, 0.01 * k, 0.05 * k, -0.02 * k]),
                gaze=gaze / np.linalg.norm(gaze, axis=1, keepdims=True),
                aus=aus,
                camera=CAMERA,
            )
        )
    return found


def write_clip_truth(folder: Path, frames: int = FRAMES) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_truth(folder / "truth.csv", truths(frames), META)
    return folder / "truth.csv"


def write_results(path: Path, *, shift: float = 0.0, lost: int | None = None, frames: int = FRAMES) -> Path:
    """A table of `auparity extract` whose landmarks are `shift` px to the right; frame `lost` has no face."""
    table = open_table(path, "clip", "csv")
    kept = [AU_NAMES.index(name) for name in AU_NAMES if name != "AU28"]
    intensity, presence = np.zeros((frames, 17)), np.zeros((frames, 18))
    for k, truth in enumerate(truths(frames)):
        success = k != lost
        intensity[k], presence[k] = truth.aus[kept], truth.aus >= 1
        table.append(
            FrameResult(
                index=k, face_id=0, timestamp=0.0, success=success, detection_success=success,
                confidence=0.9 if success else 0.1, landmarks=truth.landmarks + [shift, 0],
                landmarks_3d=truth.landmarks_3d, params_global=np.array([0.5, *truth.pose[3:], 80, 60]),
                params_local=np.zeros(34), pose=truth.pose, eye_landmarks=truth.eye_landmarks,
                eye_landmarks_3d=truth.eye_landmarks_3d, gaze=truth.gaze if success else np.zeros((2, 3)),
                gaze_angles=np.zeros(2), au_intensity=intensity[k], au_presence=presence[k],
            )
        )  # fmt: skip
    table.finish(OfflineAUs(intensity, presence)).put(path)
    table.discard_part()
    return path


def pictures(frames: int = FRAMES) -> list[np.ndarray]:
    return [np.full((SIZE[1], SIZE[0], 3), 90 + k, np.uint8) for k in range(frames)]


def write_small_video(images: list[np.ndarray], path: Path, fps: float = 30.0) -> Video:
    """What a page shows of a clip with these pictures, which are of one size."""
    write_web_video((Frame(image, k / fps) for k, image in enumerate(images)), path, fps)
    return Video(path, (images[0].shape[1], images[0].shape[0]), is_clip=False)


def describe(table: Path, **facts: Any) -> None:
    """The sidecar of a table, as far as reports read it."""
    content = table.read_bytes()
    vouched = {
        "name": table.name, "rows": FRAMES, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(),
    }  # fmt: skip
    sidecar_of(table).write_text(json.dumps({"auparity": "0.1.0", "table": vouched, **facts}), encoding="utf-8")
