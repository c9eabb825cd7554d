"""What the page receives: JSON messages, and the picture of a frame as JPEG.

`hello` once, `frame` (each followed by one binary message, the picture) and finally `end`.
"""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

from auparity.live.measure import Update
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS, Array, FrameResult
from auparity.reports.action_units import ACTION_UNITS, FULL_INTENSITY

#: Longest side of a picture on the page, in pixels; landmarks stay in pixels of the frame.
LONGEST_SIDE = 960
JPEG_QUALITY = 80


@dataclass(frozen=True)
class End:
    """Nothing more will be measured."""

    message: str
    failed: bool


class FrameMessage:
    """A measured frame for all pages, encoded when the first page asks for it."""

    def __init__(self, update: Update) -> None:
        self._update = update
        self._lock = threading.Lock()
        self._encoded: tuple[dict[str, Any], bytes] | None = None

    def encoded(self) -> tuple[dict[str, Any], bytes]:
        """The JSON message and the picture; safe between threads."""
        with self._lock:
            if self._encoded is None:
                self._encoded = frame_fields(self._update), picture(self._update)
            return self._encoded


def hello(source: str, folder: str, *, several: bool = False) -> dict[str, Any]:
    """What the page must know before the first frame: the source, the output folder, whether several faces are followed
    and the action units in order."""
    units = [
        {
            "code": code,
            "name": name,
            "intensity": INTENSITY_AUS.index(code) if code in INTENSITY_AUS else None,
            "presence": PRESENCE_AUS.index(code),
        }
        for code, name in ACTION_UNITS.items()
    ]
    return {"type": "hello", "source": source, "folder": folder, "several": several, "units": units,
            "full": FULL_INTENSITY}  # fmt: skip


def frame_fields(update: Update) -> dict[str, Any]:
    """The JSON message of a frame: pixels of the frame, radians, milliseconds; no landmarks without a face."""
    height, width = update.image.shape[:2]
    return {
        "type": "frame",
        "width": width,
        "height": height,
        "time": round(update.timestamp, 3),
        "faces": [_face_fields(face) for face in update.faces],
        "latency": round(1000 * update.latency, 1),
        "rate": round(update.rate, 1),
        "measured": update.measured,
        **asdict(update.counts),
        "recording": asdict(update.recording),
    }


def _face_fields(result: FrameResult) -> dict[str, Any]:
    found = bool(result.success)
    eyes = result.eye_landmarks if found and np.any(result.eye_landmarks) else np.zeros((0, 2))
    return {
        "id": result.face_id,
        "success": found,
        "confidence": _numbers(np.asarray([result.confidence]), 2)[0],
        "landmarks": _numbers(result.landmarks, 1) if found else [],
        "eyes": _numbers(eyes, 1),
        "pose": _numbers(result.pose, 3) if found else [],
        "gaze": _numbers(result.gaze_angles, 3) if found else [],
        "intensity": _numbers(result.au_intensity, 3),
        "presence": _numbers(result.au_presence, 0),
    }


def picture(update: Update) -> bytes:
    """The frame as JPEG, made smaller where a side is longer than `LONGEST_SIDE`."""
    image = update.image
    scale = LONGEST_SIDE / max(image.shape[:2])
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes()


def _numbers(values: Array, decimals: int) -> list[float | None]:
    """A flat list; JSON cannot represent NaN and infinities, so they become null."""
    flat = np.asarray(values, np.float64).ravel().round(decimals)
    return [value if np.isfinite(value) else None for value in flat.tolist()]
